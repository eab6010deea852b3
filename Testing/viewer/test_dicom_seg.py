"""DICOM SEG from the browser: of a series that was opened or sent, with what the structure is in codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from SPASegmentLib import __version__
from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.segments import Segment
from SPASegmentLib.imaging.terminology import STRUCTURES, TISSUE
from SPASegmentLib.mrml.continuing import put_segments
from SPASegmentLib.viewer.server import Service

sys.path.insert(0, str(Path(__file__).parents[1] / "imaging" / "support"))  # made-up DICOM files


@pytest.fixture(scope="module")
def a_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CT slices with a bright ball in the middle."""
    from made_dicom import write_slice

    folder = tmp_path_factory.mktemp("dicom") / "series"
    k, j, i = np.mgrid[:7, :56, :60]
    ball = np.hypot(np.hypot((k - 3) * 2.5, (j - 28) * 0.8), (i - 30) * 0.7) < 7
    stored = np.where(ball, 1000, 300).astype(np.uint16)
    for index in range(7):
        path, place = folder / f"{index}.dcm", (1.5, -20, 30 - 2.5 * index)
        write_slice(path, stored[index], place, FrameOfReferenceUID="1.2.9")
    return folder


def downloaded(page: Any, folder: Path) -> Path:
    with page.page.expect_download(timeout=60_000) as waiting:
        page.page.click("#download-dcm")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@pytest.mark.long
def test_an_opened_and_a_sent_series_give_dicom_segmentations(
    new_server: Callable[..., Any], new_page: Callable[..., Any], a_series: Path, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    server = new_server(str(a_series))
    page = new_page(server.address)
    assert page.page.is_disabled("#download-dcm") and page.page.is_disabled("#structure")
    volume = read_volume(a_series)
    for name in ("series", "sent"):
        if name == "sent":
            page.page.set_input_files("#upload", sorted(a_series.iterdir()))
            page.wait("() => trame.state.get('volume').startsWith('upload:') && !trame.state.get('job')")
            page.drawn()
        page.click_at()
        page.proposed(1)
        page.page.keyboard.press("Enter")
        page.said("Approved")
        page.wait("() => document.querySelector('#structure').value === 'tissue'")
        page.page.select_option("#structure", "lung-nodule")
        page.wait("() => trame.state.get('structure') === 'lung-nodule'")
        _, (mask,) = server.truth()
        [read] = read_dicom_seg(downloaded(page, tmp_path), volume)
        np.testing.assert_array_equal(read.mask, mask)
        assert mask.any() and read.structure == STRUCTURES["lung-nodule"] != TISSUE
        assert (read.algorithm.name, read.algorithm.version) == ("SPASegment", __version__)
        assert [key for key, _ in read.algorithm.parameters] == ["model", "model hash"]
    page.page.select_option("#volume", "sample")
    page.wait("() => trame.state.get('volume') === 'sample' && !trame.state.get('job')")
    assert page.page.locator("#download-dcm").count() == 0, "the sample is no series"
    assert page.complaints == []


def test_what_cannot_be_is_said_in_a_sentence(
    in_viewer: Callable[..., None], a_series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(viewer: Any) -> None:
        assert viewer.server.state.dicom
        with pytest.raises(InputError, match="no segment Segment yet"):
            viewer.set_structure("nodule")
        with pytest.raises(InputError, match="is no structure"):
            viewer.set_structure("nothing")
        volume = read_volume(a_series)
        put_segments(viewer.segmentation, [Segment("ball", volume.array > -500)], viewer.volume)
        monkeypatch.setitem(sys.modules, "highdicom", None)
        service = SimpleNamespace(viewer=viewer, uploads=SimpleNamespace(folder=tmp_path))
        with pytest.raises(
            InputError, match=r"needs the package highdicom.*pip install .spasegment\[dicom\]"
        ):
            await Service.written(service, "dcm")

    in_viewer(use, volumes=(a_series,))
