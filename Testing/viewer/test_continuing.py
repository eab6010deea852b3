"""A file of segments on the command line, and C in the browser: going on from what is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.imaging.masks import write_segments
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.imaging.segments import Segment
from SPASegmentLib.imaging.types import Volume

sys.path.insert(0, str(Path(__file__).parents[1] / "imaging" / "support"))  # made-up DICOM files


def test_c_recommends_the_files_segment_and_enter_keeps_it(
    new_server: Callable[..., Any], new_page: Callable[..., Any], tmp_path: Path
) -> None:
    volume = make_sample_volume()
    write_sample_volume(tmp_path / "chest.nrrd", volume)
    i, j, k = (round(at) for at in np.linalg.solve(volume.ijk_to_ras, (*sample_seeds()[0].ras, 1))[:3])
    tumour, rib = np.zeros((2, *volume.shape), bool)
    tumour[k - 2 : k + 3, j - 6 : j + 5, i - 4 : i + 7] = True
    rib[k - 2 : k + 3, j - 30 : j - 20, i - 4 : i + 7] = True
    file = tmp_path / "before.seg.nrrd"
    write_segments(file, [Segment("Tumour", tumour), Segment("Rib", rib)], volume)

    server = new_server(str(tmp_path / "chest.nrrd"), "--continue", str(file), "--model", "compact")
    page = new_page(server.address)
    page.wait("() => trame.state.get('segments').length === 2")
    assert page.state("segments") == ["Tumour", "Rib"] and page.state("segment") == "Tumour"
    _, masks = server.truth()
    np.testing.assert_array_equal(masks[0], tumour)
    np.testing.assert_array_equal(masks[1], rib)

    page.page.keyboard.press("c")
    page.proposed(1)
    assert page.screen["recommendation"]
    page.page.keyboard.press("Enter")
    page.said("Approved")
    _, masks = server.truth()
    np.testing.assert_array_equal(masks[0], tumour)

    page.page.click("#continue")
    page.proposed(1)
    page.page.keyboard.press("Shift+Digit1")
    page.said("Taken")
    _, masks = server.truth()
    changed = (masks[0] != tumour).any(axis=(1, 2))
    assert changed.sum() == 1, "only the slice that was gone on with"
    np.testing.assert_array_equal(masks[1], rib)
    assert page.complaints == []


@pytest.mark.long
def test_a_file_of_other_voxels_gets_one_sentence_on_the_page(
    new_server: Callable[..., Any], new_page: Callable[..., Any], tmp_path: Path
) -> None:
    volume = make_sample_volume()
    write_sample_volume(tmp_path / "chest.nrrd", volume)
    other = make_sample_volume(rotated=True)
    write_segments(tmp_path / "other.seg.nrrd", [Segment("x", np.ones(other.shape, bool))], other)
    server = new_server(str(tmp_path / "chest.nrrd"), "--continue", str(tmp_path / "other.seg.nrrd"))
    page = new_page(server.address)
    page.wait("() => trame.state.get('problem').includes('another voxel grid')")
    assert page.state("segments") == []


@pytest.mark.long
def test_contours_of_another_frame_of_reference_get_one_sentence_on_the_page(
    new_server: Callable[..., Any], new_page: Callable[..., Any], tmp_path: Path
) -> None:
    from made_dicom import write_slice, write_structures

    stored = np.random.default_rng(0).integers(900, 1200, (4, 40, 40), dtype=np.uint16)
    for k in range(4):
        write_slice(tmp_path / "series" / f"{k}.dcm", stored[k], (0, 0, 2 * k), FrameOfReferenceUID="1.2.9")
    box = [(5, 5, 2), (20, 5, 2), (20, 20, 2), (5, 20, 2)]
    write_structures(tmp_path / "other.dcm", {"GTV": [box]}, frame="1.2.10")
    server = new_server(str(tmp_path / "series"), "--continue", str(tmp_path / "other.dcm"))
    page = new_page(server.address)
    page.wait("() => trame.state.get('problem').includes('another frame of reference')")
    assert page.state("segments") == []


def test_a_file_without_a_voxel_gets_one_sentence(in_viewer: Callable[..., None], tmp_path: Path) -> None:
    volume = Volume(np.random.default_rng(0).integers(0, 99, (4, 40, 40), dtype=np.int16), np.eye(4))
    write_sample_volume(tmp_path / "chest.nrrd", volume)
    write_segments(tmp_path / "none.seg.nrrd", [Segment("x", np.zeros(volume.shape, bool))], volume)

    async def use(viewer: Any) -> None:
        said = "none.seg.nrrd holds no segment with a voxel; there is nothing to go on from."
        assert viewer.server.state.problem == said
        assert viewer.server.state.segments == []

    in_viewer(use, volumes=(tmp_path / "chest.nrrd",), continued=tmp_path / "none.seg.nrrd")
