"""Images that are in memory already become volumes, or one sentence says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.arrays import volume_of_array
from SPASegmentLib.imaging.files import read_volume, volume_of


@pytest.mark.parametrize("shape", [(5, 6, 7), (6, 7), (5, 6, 7, 3), (6, 7, 4)])
def test_an_image_of_simpleitk_is_the_volume_its_file_is(shape: tuple[int, ...], tmp_path: Path) -> None:
    is_colour = shape[-1] in (3, 4)
    values = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8 if is_colour else np.int16)
    image = sitk.GetImageFromArray(values, isVector=is_colour)
    image.SetSpacing([0.7, 0.8, 2.5][: image.GetDimension()])
    image.SetMetaData("Modality", "MET_MOD_MR")
    sitk.WriteImage(image, str(tmp_path / "image.mha"))
    read, made = read_volume(tmp_path / "image.mha"), volume_of(image)
    np.testing.assert_array_equal(made.array, read.array)
    np.testing.assert_array_equal(made.ijk_to_ras, read.ijk_to_ras)
    assert (made.modality, made.window, made.warnings) == ("MR", None, read.warnings)
    made.array[0] = 0
    assert sitk.GetArrayFromImage(image).any(), "voxels are copied"


def test_voxels_that_are_no_numbers_are_replaced_and_said() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    values[1, 1, 1] = np.nan
    volume = volume_of(sitk.GetImageFromArray(values))
    assert volume.array[1, 1, 1] == 0
    assert "1 voxel was not a number" in volume.warnings[0]


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (sitk.Image([4, 4, 4, 2], sitk.sitkUInt8), "The image has 4 dimensions"),
        (sitk.Image([4, 4], sitk.sitkComplexFloat32), "The image has complex voxels"),
        (sitk.Image([4, 4], sitk.sitkVectorFloat32, 2), "The image has 2 components"),
        (sitk.Image([4, 4], sitk.sitkVectorInt16, 3), "The image has 3 signed values"),
        (sitk.Image([1, 1], sitk.sitkUInt8), "The image is a single pixel"),
        (np.zeros((4, 4)), "A ndarray is no volume"),
    ],
)
def test_what_is_no_volume_is_refused_in_a_sentence(image: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        volume_of(image)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_an_array_lies_as_a_picture_of_its_spacing() -> None:
    values = np.arange(12).reshape(3, 4)
    volume = volume_of_array(values, (0.5, 0.25), "CT")
    np.testing.assert_array_equal(volume.array, values[None])
    assert np.diag(volume.ijk_to_ras).tolist() == [-0.25, -0.5, 1, 1]
    assert volume.modality == "CT"
