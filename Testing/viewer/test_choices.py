"""Which series and time point of a file is read: said at the start, or asked on the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted
from SPASegmentLib.mrml.volumes import ijk_to_ras_of
from SPASegmentLib.viewer.volumes import Library, PartNeededError, file_choice


@pytest.fixture
def perfusion(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A file of three time points, and their voxels."""
    array = np.random.default_rng(0).integers(0, 90, (3, 4, 5, 6)).astype(np.int16)
    path = tmp_path / "perfusion.nrrd"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(one) for one in array]), str(path))
    return path, array


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    """A folder of two CT series, of six and of four slices."""
    folder = tmp_path / "thorax"
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for series, (count, words) in {"1.2.3": (6, "Lung 2.5"), "1.2.4": (4, "Soft 5.0")}.items():
        for k in range(count):
            pixels = np.random.default_rng(k).integers(-900, 100, (32, 32)).astype(np.int16)
            image = sitk.GetImageFromArray(pixels)
            for tag, value in {
                "0008|0060": "CT",
                "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
                "0008|0018": f"{series}.{k}",
                "0008|103e": words,
                "0020|000d": "1.2",
                "0020|000e": series,
                "0020|0032": f"0\\0\\{2.5 * k}",
                "0020|0037": "1\\0\\0\\0\\1\\0",
                "0020|0013": str(k + 1),
            }.items():
                image.SetMetaData(tag, value)
            writer.SetFileName(str(folder / f"{series}-{k}.dcm"))
            writer.Execute(image)
    return folder


def test_the_time_point_wanted_is_shown_and_without_one_it_is_asked_for(
    perfusion: tuple[Path, np.ndarray],
) -> None:
    path, array = perfusion
    np.testing.assert_array_equal(file_choice(path, wanted=Wanted(time=2)).load().array, array[1])
    with pytest.raises(PartNeededError, match=r"^perfusion.nrrd has 3 phases or time points") as asked:
        file_choice(path).load()
    assert len(asked.value.labels) == 3
    part = file_choice(path).part(2, asked.value.labels[2])
    np.testing.assert_array_equal(part.load().array, array[2])
    assert part.label == f"perfusion.nrrd: {asked.value.labels[2]}"
    with pytest.raises(InputError, match="has changed"):
        file_choice(path).part(7, "").load()


def test_a_part_is_found_again_by_its_key(perfusion: tuple[Path, np.ndarray]) -> None:
    path, array = perfusion
    library = Library()
    whole = library.add(file_choice(path))
    found = library.find(whole.part(1, "").key)
    assert found is not None and found.key in library.choices
    np.testing.assert_array_equal(found.load().array, array[1])
    assert library.find(f"{whole.key}#part:x") is None and library.find("nothing#part:1") is None


def test_the_page_asks_which_series_and_opens_that_one(
    in_viewer: Callable[..., None], two_series: Path
) -> None:
    async def use(viewer: Any) -> None:
        state = viewer.server.state
        assert state.question["what"].endswith("holds 2 series")
        assert "Lung 2.5" in state.question["labels"][0] and "Soft 5.0" in state.question["labels"][1]
        assert viewer.choice is None
        await viewer.question.answer(1)
        assert state.question is None and not state.problem
        assert viewer.volume.GetImageData().GetDimensions() == (32, 32, 4)
        assert state.volume == viewer.choice.key and "Soft 5.0" in viewer.choice.label
        await viewer.open(next(iter(viewer.library.choices)))
        await viewer.question.answer(0)
        assert viewer.volume.GetImageData().GetDimensions() == (32, 32, 6)
        assert sum("thorax" in item["title"] for item in state.volumes) == 3
        await viewer.open(next(iter(viewer.library.choices)))
        await viewer.question.answer(-1)
        assert state.question is None and viewer.volume.GetImageData().GetDimensions() == (32, 32, 6)
        assert np.linalg.norm(ijk_to_ras_of(viewer.volume)[:3, 2]) == pytest.approx(2.5)

    in_viewer(use, volumes=(two_series,))


def test_the_page_asks_for_the_time_point_of_an_upload_which_stays_until_it_is_closed(
    in_viewer: Callable[..., None], perfusion: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    sent = tmp_path / "ab12cd34" / "0"
    sent.mkdir(parents=True)
    shutil.copy(perfusion[0], sent)

    async def use(viewer: Any) -> None:
        viewer.opening.upload_begins("ab12cd34")
        await viewer.open_upload(sent / "perfusion.nrrd", "perfusion.nrrd")
        assert len(viewer.server.state.question["labels"]) == 3
        await viewer.question.answer(2)
        assert viewer.choice.is_upload and viewer.choice.parts == (2,)
        assert viewer.spare_upload() is None
        await viewer.open("sample")
        assert viewer.spare_upload() == "ab12cd34"
        assert not [key for key in viewer.library.choices if key.startswith("upload:")]

    in_viewer(use)
