"""The picture of an iteration."""

from __future__ import annotations

import matplotlib.image
import matplotlib.text
import numpy as np
import pytest

from SPASegmentLib.cli import pictures
from SPASegmentLib.cli.pictures import report_iteration
from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.candidates import assemble
from SPASegmentLib.inference.messages import Feedback, Proposal

SIZE = (1106, 1960)


def a_disc(radius: float, centre: tuple[float, float] = (30, 40)) -> np.ndarray:
    rows, cols = np.mgrid[:70, :80]
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2


def a_proposal(masks: list[np.ndarray]) -> Proposal:
    recommendation = a_disc(10)
    candidates, reason = assemble(recommendation, masks, [1 / 4] * len(masks), spacing=(0.7, 0.7))
    empty = np.zeros((0, 1, 1), np.uint8)
    feedback = Feedback(
        Region((30, 40), 64, 1), empty, np.zeros(0, int), empty, empty[:0].reshape(0, 1), np.zeros((0, 1))
    )
    area = float(recommendation.sum() * 0.49)
    return Proposal(recommendation, recommendation.astype(np.float32), candidates, feedback, area, reason)


@pytest.fixture
def an_image() -> SliceImage:
    noise = np.random.default_rng(0).random((70, 80)).astype(np.float32)
    return SliceImage(0.3 + 0.4 * a_disc(11) + 0.2 * noise, (0.7, 0.7), "CT")


@pytest.fixture
def four() -> Proposal:
    return a_proposal([a_disc(13), a_disc(8), a_disc(10) | a_disc(4, (50, 55)), a_disc(10, (32, 42))])


def read(path) -> np.ndarray:
    return (matplotlib.image.imread(path)[..., :3] * 255).astype(int)


def test_the_same_proposal_gives_the_same_bytes(tmp_path, an_image, four):
    for name in ("a.png", "b.png"):
        report_iteration(
            tmp_path / name, an_image, four, 2, points=[PointPrompt(30, 40)], answer="picked 2", chosen=1
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert read(tmp_path / "a.png").shape[:2] == SIZE


@pytest.mark.long
def test_what_was_picked_is_framed(tmp_path, an_image, four):
    shown = {}
    for chosen in (None, 0, 3):
        path = tmp_path / f"{chosen}.png"
        report_iteration(path, an_image, four, 1, answer="" if chosen is None else "picked", chosen=chosen)
        shown[chosen] = read(path)
    changed = (shown[None] != shown[0]).any(axis=2)[: SIZE[0] * 9 // 10]
    rows, cols = np.nonzero(changed)
    assert rows.max() < SIZE[0] / 2
    assert SIZE[1] * 0.49 < cols.min() < cols.max() < SIZE[1] * 0.75
    assert (shown[0] != shown[3]).any()


def test_no_word_is_cut_off_even_with_the_longest_names(tmp_path, an_image, monkeypatch):
    boxes: list[tuple[str, float, float, float, float]] = []
    original = pictures.FigureCanvasAgg.print_png

    def measured(canvas, path, **options):
        original(canvas, path, **options)
        for text in canvas.figure.findobj(matplotlib.text.Text):
            if text.get_text():
                box = text.get_window_extent(canvas.get_renderer())
                boxes.append((text.get_text(), box.x0, box.x1, box.y0, box.y1))

    monkeypatch.setattr(pictures.FigureCanvasAgg, "print_png", measured)
    sides = [a_disc(10) | a_disc(4.2, at) for at in ((15, 20), (48, 60), (48, 20), (15, 60))]
    caption = "model compact, trained on LIDC-IDRI lung nodules"
    report_iteration(
        tmp_path / "a.png", an_image, a_proposal(sides), 12, answer="none of these", caption=caption
    )
    assert len(boxes) > 12
    for text, x0, x1, y0, y1 in boxes:
        assert x0 >= 0, text
        assert y0 >= 0, text
        assert x1 <= SIZE[1], text
        assert y1 <= SIZE[0], text
    for i, (text, x0, x1, y0, y1) in enumerate(boxes):
        for other, u0, u1, v0, v1 in boxes[i + 1 :]:
            apart = x1 <= u0 or u1 <= x0 or y1 <= v0 + 2 or v1 <= y0 + 2
            assert apart, f"{text!r} runs into {other!r}"


def test_fewer_candidates_leave_a_reason_where_they_would_be(tmp_path, an_image):
    one, none = a_proposal([a_disc(13)]), a_proposal([])
    report_iteration(tmp_path / "one.png", an_image, one, 1)
    report_iteration(tmp_path / "none.png", an_image, none, 1)
    assert (read(tmp_path / "one.png") != read(tmp_path / "none.png")).any()


def test_a_colour_slice_and_a_one_pixel_mask_can_be_drawn(tmp_path):
    proposal = a_proposal([a_disc(0.1)])
    pixels = np.random.default_rng(1).random((70, 80, 3)).astype(np.float32)
    report_iteration(tmp_path / "deep" / "folder" / "a.png", SliceImage(pixels, (3.0, 0.5)), proposal, 1)
    assert read(tmp_path / "deep" / "folder" / "a.png").shape[:2] == SIZE


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path, an_image, four):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder for the report"):
        report_iteration(tmp_path / "file" / "a.png", an_image, four, 1)
