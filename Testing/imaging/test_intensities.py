"""What the model sees of a volume whose file states no window: the user's images, by kind."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.geometry import SlicePlane
from SPASegmentLib.imaging.slicing import windowed_slice
from SPASegmentLib.imaging.types import IntensityWindow, Volume
from SPASegmentLib.imaging.window import CT_SOFT_TISSUE, PERCENTILES, choose_window, make_slice


def a_body(*, lung: float = 0.0, organ: float = 60.0) -> np.ndarray:
    """(4, 64, 64) HU: air, fat, muscle with an organ in it, a little bone. lung: share of the body."""
    random = np.random.default_rng(0)
    array = np.full((4, 64, 64), -1000.0)
    array[:, 8:56, 8:56] = -100
    array[:, 12:52, 12:52] = 45
    array[:, 20:36, 20:36] = organ
    array[:, 44:50, 28:34] = 700
    rows = round(lung * 48)
    if rows:
        array[:, 8 : 8 + rows, 8:56] = -850
    return array + random.normal(0, 10, array.shape)


def shown(volume: Volume) -> IntensityWindow:
    """The window that the middle slice is seen in when nobody sets one."""
    return choose_window(volume, None, volume.array[2])


@pytest.mark.parametrize("modality", ["CT", None])
def test_liver_and_kidney_differ_to_the_model_in_a_ct_that_states_no_window(modality: str | None) -> None:
    volume = Volume(a_body(organ=110), np.eye(4), modality)
    assert shown(volume) == CT_SOFT_TISSUE
    image = make_slice(volume, SlicePlane.of_voxels(volume, 0, 2))
    organ, muscle = image.pixels[24:32, 24:32].mean(), image.pixels[40:43, 16:24].mean()
    assert organ - muscle > 0.14, "65 HU; between percentiles they would be 0.04 apart"
    assert image.neighbours[0] is not None
    assert image.neighbours[0][24:32, 24:32].mean() == pytest.approx(organ, abs=0.01), "neighbours, too"


def test_lung_is_seen_with_its_nodules_rims_not_black() -> None:
    volume = Volume(a_body(lung=0.4), np.eye(4), "CT")
    found = shown(volume)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(volume.array[2], PERCENTILES)))
    assert found.low < -950


def test_gas_in_the_bowel_does_not_make_a_slice_one_of_the_lung() -> None:
    array = a_body()
    array[:, 40:44, 40:48] = -800
    assert shown(Volume(array, np.eye(4), "CT")) == CT_SOFT_TISSUE


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.random.default_rng(0).normal(35, 12, (4, 64, 64)), "brain only: grey and white matter"),
        (np.clip(a_body() + 160, 0, 400) * 255 / 400, "windowed to 8 bit by who sent it"),
        (a_body() + 1024, "stored without the rescaling to HU"),
        (np.random.default_rng(0).normal(-1000, 15, (4, 64, 64)), "air beside the patient"),
    ],
)
def test_a_ct_whose_values_are_not_soft_tissue_among_air_is_stretched(array: np.ndarray, why: str) -> None:
    volume = Volume(array, np.eye(4), "CT")
    found = shown(volume)
    expected = np.percentile(volume.array[2], PERCENTILES)
    assert (found.low, found.high) == pytest.approx(tuple(expected)), why


@pytest.mark.parametrize(
    "volume",
    [
        Volume(a_body(), np.eye(4), "MR"),
        Volume(a_body(), np.eye(4), "PT"),
        Volume(a_body() + 1024, np.eye(4), None),
        Volume(np.repeat(np.clip(a_body(), 0, 255)[..., None], 3, axis=3).astype(np.uint8), np.eye(4), "CT"),
    ],
)
def test_what_is_no_ct_is_never_seen_as_one(volume: Volume) -> None:
    assert shown(volume) != CT_SOFT_TISSUE


def test_the_windows_in_their_order_by_who_set_them() -> None:
    file = IntensityWindow(0.0, 80.0)
    volume, plain = (Volume(a_body(), np.eye(4), "CT", window) for window in (file, None))
    plane = SlicePlane.of_voxels(volume, 0, 2)

    def seen(volume: Volume, user: tuple[float, float] | None, model: tuple[float, float] | None) -> str:
        return windowed_slice(volume, plane, user, model)[0].key

    def in_window(window: IntensityWindow) -> str:
        return make_slice(plain, plane, window).key

    assert seen(volume, (-200.0, 100.0), (-1000.0, 1200.0)) == in_window(IntensityWindow(-200, 100))
    assert seen(volume, None, (-1000.0, 1200.0)) == in_window(IntensityWindow(-1000, 1200))
    assert seen(volume, None, None) == in_window(file)
    assert seen(plain, None, None) == in_window(CT_SOFT_TISSUE)
