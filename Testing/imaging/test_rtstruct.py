"""Contours of RT structure sets on the voxels of made-up series, pixel for pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_dicom import AXIAL, write_slice, write_structures
from matplotlib.path import Path as Outline
from scipy.spatial.transform import Rotation

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging import rtstruct
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.rtstruct import polygon_mask
from SPASegmentLib.imaging.segment_files import read_segments
from SPASegmentLib.imaging.types import Volume

SHAPE = (6, 20, 24)
OBLIQUE = tuple(Rotation.from_euler("xyz", (20, -35, 130), degrees=True).as_matrix().T[:2].ravel())
SOURCES = {"axial": (AXIAL, 2.5), "descending": (AXIAL, -2.5), "oblique": (OBLIQUE, 2.5)}
START = np.array((-31.7, 13.25, 42.125))
SPACING = (0.8, 0.7)
MIDDLE, OUTER, INNER = (9.3, 11.6), 5.27, 2.61
"""(row, col) in pixels and radii in mm of a disc and the hole in it."""


def write_series(folder: Path, axes=AXIAL, gap: float = 2.5) -> Volume:
    """A series whose slices follow each other along the normal, or against it."""
    for k in range(SHAPE[0]):
        pixels = np.full(SHAPE[1:], k, np.uint16)
        place = START + k * gap * np.cross(axes[:3], axes[3:])
        write_slice(
            folder / f"{k}.dcm", pixels, place, axes=axes, InstanceNumber=k + 1, FrameOfReferenceUID="1.2.9"
        )
    return read_volume(folder)


def in_space(points, k: float, axes=AXIAL, gap: float = 2.5) -> np.ndarray:
    """(n, 3) mm in LPS of (n, 2) rows and columns on the slice that was written as number k."""
    across, down = np.array(axes[:3]), np.array(axes[3:])
    rows, cols = np.asarray(points, float).T[:, :, None]
    return START + k * gap * np.cross(across, down) + rows * SPACING[0] * down + cols * SPACING[1] * across


def circle(radius: float, middle=MIDDLE) -> np.ndarray:
    """(n, 2) rows and columns; so many that no pixel centre lies between them and the true circle."""
    angles = np.linspace(0, 2 * np.pi, 1500, endpoint=False)
    return np.stack([np.sin(angles), np.cos(angles)], 1) * radius / SPACING + middle


def distance() -> np.ndarray:
    """(J, I) mm of each pixel centre from the disc's middle."""
    rows, cols = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return np.hypot((rows - MIDDLE[0]) * SPACING[0], (cols - MIDDLE[1]) * SPACING[1])


def written(volume: Volume, k: int) -> int:
    """Index in the volume of the slice that was written as number k, by the value of its pixels."""
    [index] = {int(at) for at in np.argwhere(volume.array == volume.array.min() + k)[:, 0]}
    return index


@pytest.fixture
def a_volume(tmp_path: Path) -> Volume:
    return write_series(tmp_path / "series")


@pytest.mark.parametrize("source", SOURCES)
def test_a_disc_with_a_hole_lies_on_its_pixels(source, tmp_path):
    axes, gap = SOURCES[source]
    volume = write_series(tmp_path / "series", axes, gap)
    for radius in (OUTER, INNER):
        assert np.abs(distance() - radius).min() > 1e-3, "no pixel is ambiguous"
    ring = [in_space(circle(r), k, axes, gap) for k in (1, 2) for r in (OUTER, INNER)]
    write_structures(
        tmp_path / "plan.dcm", {"GTV": ring, "Größe, 2": [in_space(circle(INNER), 4, axes, gap)]}
    )
    gtv, other = read_segments(tmp_path / "plan.dcm", volume)
    expected = np.zeros((2, *SHAPE), bool)
    for k in (1, 2):
        expected[0, written(volume, k)] = (distance() < OUTER) & (distance() > INNER)
    expected[1, written(volume, 4)] = distance() < INNER
    np.testing.assert_array_equal(gtv.mask, expected[0])
    np.testing.assert_array_equal(other.mask, expected[1])
    assert (gtv.name, other.name) == ("GTV", "Größe, 2") and gtv.algorithm.kind == "MANUAL"
    assert (gtv.colour, other.colour) == ((0.2, 1.0, 0.0), (0.4, 1.0, 0.0))


@pytest.mark.filterwarnings("ignore:The value for the data element")  # as long ones are written
def test_a_hole_that_a_keyhole_leads_to_is_one(a_volume, tmp_path):
    outer, inner = circle(OUTER), circle(INNER)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner[-1:], inner, outer[:1]])
    write_structures(tmp_path / "plan.dcm", {"GTV": [in_space(keyhole, 3)]})
    [gtv] = read_segments(tmp_path / "plan.dcm", a_volume)
    expected = (distance() < OUTER) & (distance() > INNER)
    np.testing.assert_array_equal(gtv.mask[written(a_volume, 3)], expected)


@pytest.mark.parametrize("at_once", [1, 2**21])
def test_polygons_of_any_shape_are_filled_as_matplotlib_does(monkeypatch, at_once):
    monkeypatch.setattr(rtstruct, "_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    centres = np.stack(np.mgrid[:20, :24], -1).reshape(-1, 2)
    for count in (3, 4, 9, 40):
        corners = random.uniform(-6, 28, (count, 2))
        expected = Outline(np.vstack([corners, corners[:1]]), closed=True).contains_points(centres)
        np.testing.assert_array_equal(polygon_mask(corners, (20, 24)), expected.reshape(20, 24))


def test_what_touches_shares_no_pixel_and_leaves_none_out():
    square = np.array([(2, 3), (2, 8), (6, 8), (6, 3)])
    beside, below = square + np.array((0, 5)), square + np.array((4, 0))
    masks = [polygon_mask(one, (20, 24)) for one in (square, beside, below)]
    assert [int(one.sum()) for one in masks] == [20, 20, 20] and not (np.sum(masks, axis=0) > 1).any()


def test_slices_between_contours_stay_empty_and_are_named(a_volume, tmp_path, caplog):
    write_structures(tmp_path / "plan.dcm", {"GTV": [in_space(circle(OUTER), k) for k in (0, 3)]})
    [gtv] = read_segments(tmp_path / "plan.dcm", a_volume)
    assert set(np.flatnonzero(gtv.mask.any(axis=(1, 2)))) == {written(a_volume, k) for k in (0, 3)}
    assert '"GTV" on slices' in caplog.text and "stay empty" in caplog.text


def test_points_and_empty_regions_are_left_out(a_volume, tmp_path):
    path = tmp_path / "plan.dcm"
    made = write_structures(
        path, {"mark": [in_space([(3, 3)], 1.4)], "none": [], "GTV": [in_space(circle(OUTER), 1)]}
    )
    made.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    made.save_as(path)
    assert [one.name for one in read_segments(path, a_volume)] == ["GTV"]
    write_structures(path, {"mark": [in_space([(3, 3)], 1)]}, kind="POINT")
    with pytest.raises(InputError, match="no closed contour"):
        read_segments(path, a_volume)


@pytest.mark.parametrize(
    ("contour", "said"),
    [
        (in_space(circle(OUTER), 1.5), "between the slices"),
        (in_space(circle(OUTER), 1) + np.linspace(0, 2, 1500)[:, None] * (0, 0, 1), "across them"),
        (in_space(circle(OUTER), 6), "reaches beyond"),
        (in_space(circle(OUTER, (9, 23)), 1), "reaches beyond"),
    ],
)
def test_contours_off_the_slices_are_refused(a_volume, tmp_path, contour, said):
    write_structures(tmp_path / "plan.dcm", {"GTV": [contour]})
    with pytest.raises(InputError, match=f'"GTV".*{said}.*open the series'):
        read_segments(tmp_path / "plan.dcm", a_volume)


def test_another_frame_of_reference_is_refused_where_both_are_known(a_volume, tmp_path):
    contours = {"GTV": [in_space(circle(OUTER), 1)]}
    write_structures(tmp_path / "other.dcm", contours, frame="1.2.10")
    with pytest.raises(InputError, match="another frame of reference"):
        read_segments(tmp_path / "other.dcm", a_volume)
    unknown = Volume(a_volume.array, a_volume.ijk_to_ras)
    write_structures(tmp_path / "unstated.dcm", contours, frame=None)
    for name, volume in (("other.dcm", unknown), ("unstated.dcm", a_volume)):
        assert read_segments(tmp_path / name, volume)[0].mask.any()


@pytest.mark.parametrize("data", [b"1\\2", b"nan\\0\\0", b"1e999\\0\\0", b"x\\0\\0", b"\\\\", b""])
def test_damaged_contours_are_refused_in_a_sentence(a_volume, tmp_path, data):
    path = tmp_path / "plan.dcm"
    write_structures(path, {"GTV": [[(1111111, 2222222, 333333)]]})
    whole = path.read_bytes()
    before = b"1111111\\2222222\\333333"
    assert whole.count(before) == 1
    path.write_bytes(whole.replace(before, data.ljust(len(before))))
    with pytest.raises(InputError, match="damaged"):
        read_segments(path, a_volume)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_breaks_off_is_refused_in_a_sentence(a_volume, tmp_path, share):
    path = tmp_path / "plan.dcm"
    write_structures(path, {"GTV": [in_space(circle(OUTER), k) for k in (1, 2, 3)]})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"damaged"):
        read_segments(path, a_volume)


@pytest.mark.parametrize("keyword", ["StructureSetROISequence", "ROIContourSequence"])
def test_missing_sequences_are_refused_in_a_sentence(a_volume, tmp_path, keyword):
    path = tmp_path / "plan.dcm"
    made = write_structures(path, {"GTV": [in_space(circle(OUTER), 1)]})
    delattr(made, keyword)
    made.save_as(path)
    with pytest.raises(InputError, match="damaged"):
        read_segments(path, a_volume)


def test_more_than_any_plan_has_is_refused_in_a_sentence(a_volume, tmp_path, monkeypatch):
    path = tmp_path / "plan.dcm"
    write_structures(path, {name: [in_space(circle(OUTER), 1)] for name in "ab"})
    monkeypatch.setattr(rtstruct, "_MOST_POINTS", 2999)
    with pytest.raises(InputError, match="more than 2999 points"):
        read_segments(path, a_volume)
    monkeypatch.setattr(rtstruct, "_MOST_ROIS", 1)
    with pytest.raises(InputError, match="more than 1 regions"):
        read_segments(path, a_volume)
