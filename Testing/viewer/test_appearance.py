"""The page fits every screen and says what is the matter; the documents' pictures are made here.

`SPASEGMENT_PICTURES=docs/images pytest Testing/viewer/test_appearance.py` draws them anew.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

OUTSIDE = """() => [
    ...document.querySelectorAll('button, select, input:not([hidden]), figcaption, output, .help')]
  .filter((e) => { const b = e.getBoundingClientRect(), panel = e.closest('.panel');
    if (b.width && panel && b.right > panel.getBoundingClientRect().right - 12) return true;
    return b.width && (b.left < 0 || b.top < 0 || b.right > innerWidth || b.bottom > innerHeight); })
  .map((e) => e.id || e.className || e.tagName)"""
CUT_OFF = """() => [...document.querySelectorAll('figcaption, figcaption span:not(.number), .take, .button,'
    + ' h1, h2, .segmented button, .field > span, output, .legal, .status, .status span, .corner,'
    + ' .warnings, .warnings p')]
  .filter((e) => getComputedStyle(e).display !== 'inline' && e.innerText)
  .filter((e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 2)
  .map((e) => e.innerText)"""
BESIDE_THE_PANEL = """() => [...document.querySelectorAll('aside.panel button')]
  .filter((e) => e.getBoundingClientRect().right > e.closest('aside').getBoundingClientRect().right)
  .map((e) => e.innerText)"""
COLLIDING = """() => { const box = (e) => e.getBoundingClientRect();
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const over = [...document.querySelectorAll('.view.large > :is(.letter, .corner, .tool, .warnings)')]
    .filter((e) => e.innerText.trim());
  return over.flatMap((a, i) => over.slice(i + 1).filter((b) => meet(box(a), box(b)))
    .map((b) => a.innerText + ' | ' + b.innerText)); }"""


MARK_OFF_THE_SLIDER = """() => { const track = document.querySelector('#slice').getBoundingClientRect();
  const s = trame.state, m = s.get('marks').find((one) => one.kind === 'anchor');
  const share = (s.get('slice_at') - s.get('slice_min')) / (s.get('slice_max') - s.get('slice_min'));
  const thumb = track.left + 8 + share * (track.width - 16);
  const mark = document.querySelector('.marks .anchor').getBoundingClientRect();
  return Math.abs(thumb - (mark.left + mark.right) / 2); }"""


KEPT = os.environ.get("SPASEGMENT_PICTURES")
REST_MS = 1200 if KEPT else 300
"""Between two looks whether the page is at rest: pictures at rest are sharper, and small views are last."""


@pytest.fixture
def photograph(tmp_path: Path) -> Callable[[Any, str], Path]:
    """Checks that nothing is cut off, and keeps a picture of the page under a name."""

    def take(page: Any, name: str) -> Path:
        assert page.page.evaluate(OUTSIDE) == [], name
        assert page.page.evaluate(CUT_OFF) == [], name
        assert page.page.evaluate(BESIDE_THE_PANEL) == [], name
        assert page.page.evaluate(COLLIDING) == [], name
        page.page.mouse.move(5, 5)
        seen = None
        for _ in range(30):
            page.page.wait_for_timeout(REST_MS)
            before, seen = seen, page.pictures()
            if seen == before:
                break
        path = Path(KEPT or tmp_path) / f"{name}.png"
        page.page.screenshot(path=path)
        return path

    return take


@pytest.mark.parametrize(
    ("name", "width", "height"),
    [
        pytest.param("viewer-small", 1024, 700, marks=pytest.mark.long),
        ("viewer", 1280, 800),
        pytest.param("viewer-large", 1920, 1080, marks=pytest.mark.long),
    ],
)
def test_everything_fits_the_screen(
    a_server: Any,
    new_page: Callable[..., Any],
    photograph: Callable[..., Path],
    name: str,
    width: int,
    height: int,
) -> None:
    page = new_page(a_server.address, width, height).begin(3)
    page.click_at()
    page.proposed(1)
    with Image.open(photograph(page, name)) as picture:
        assert picture.size == (width, height)
    explained = "els => els.map(e => e.title)"
    shares = page.page.locator(".view.small .support").evaluate_all(explained)
    assert shares and all("Share of the masks" in one for one in shares), "explained where it stands"
    large, small = (
        page.page.locator(".view.large").bounding_box(),
        page.page.locator(".view.small .canvas").first.bounding_box(),
    )
    assert large["width"] > 2 * small["width"] > 0.3 * width


@pytest.mark.long
def test_every_state_is_legible(
    a_server: Any, new_page: Callable[..., Any], photograph: Callable[..., Path], tmp_path: Path
) -> None:
    page = new_page(a_server.address).begin(1)
    photograph(page, "viewer-start")
    assert "after the seed" in page.page.inner_text(".grid")
    (tmp_path / "broken.nrrd").write_bytes(b"NRRD0004\n")
    page.page.set_input_files("#upload", str(tmp_path / "broken.nrrd"))
    page.said("broken.nrrd")
    photograph(page, "viewer-message")
    page.page.keyboard.press("Escape")
    page.wait("() => trame.state.get('problem') === ''")
    page.page.keyboard.press("?")
    page.page.wait_for_selector(".help")
    page.wait("() => document.querySelector('#samples').naturalWidth > 0")
    photograph(page, "viewer-keys")
    page.page.keyboard.press("?")
    page.page.wait_for_selector(".help", state="detached")
    page.click_at()
    page.proposed(1)
    page.page.keyboard.press("Enter")
    page.said("Approved")
    assert page.page.locator(".view.small.ready").count() == 0, "nothing is shown twice"
    assert page.page.locator(".view.small .awaits").all_inner_texts() == [""] * 4
    page.page.click("#toggle-3d")
    page.wait("() => { const i = document.querySelector('.solid img'); return i && i.naturalWidth > 20; }")
    photograph(page, "viewer-approved")
    page.page.click("#toggle-3d")
    page.page.keyboard.press("Backspace")
    page.proposed(1)


SIZES = {"small": (1024, 700), "middle": (1280, 800), "large": (1920, 1080)}


class Film:
    """A moving picture of the page, a second or more for each of its pictures."""

    def __init__(self, page: Any) -> None:
        self.page, self.pictures, self.seconds = page, [], []

    def take(self, seconds: float = 1.5) -> None:
        self.page.page.wait_for_timeout(2 * REST_MS)
        with Image.open(io.BytesIO(self.page.page.screenshot())) as picture:
            self.pictures.append(picture.convert("RGB").resize((960, 600), Image.Resampling.LANCZOS))
        self.seconds.append(seconds)

    def save(self, path: Path) -> None:
        first, *others = self.pictures
        times = [round(1000 * seconds) for seconds in self.seconds]
        first.save(path, save_all=True, append_images=others, duration=times, loop=0, quality=80, method=4)


@pytest.mark.long
def test_the_whole_object_has_its_own_place_in_3d_its_volume_and_its_doubtful_slices(
    new_server: Callable[..., Any],
    new_page: Callable[..., Any],
    photograph: Callable[..., Path],
    tmp_path: Path,
) -> None:
    page = new_page(new_server("--model", "compact").address).begin(3)
    film = Film(page)
    film.take()
    page.click_at()
    page.proposed(1)
    film.take(3)
    page.page.keyboard.press("2")
    page.proposed(2)
    photograph(page, "viewer-picked")
    film.take(3)
    page.page.keyboard.press("f")
    page.said("Following the object")
    film.take(1)
    page.said("Whole object:")
    page.wait("() => { const i = document.querySelector('.solid img'); return i && i.naturalWidth > 20; }")
    marks = page.state("marks")
    assert [m["number"] for m in marks] == list(range(marks[0]["number"], marks[-1]["number"] + 1))
    assert sum(m["kind"] == "anchor" for m in marks) == 1
    doubtful = page.state("doubtful")
    assert page.page.locator(".review .parts .button").count() == len(doubtful) > 0
    assert page.page.inner_text("#object").startswith("Whole object: ")
    assert page.page.evaluate(MARK_OFF_THE_SLIDER) < 4
    film.take(4)
    for name, (width, height) in SIZES.items():
        page.page.set_viewport_size({"width": width, "height": height})
        page.page.wait_for_timeout(400)
        with Image.open(photograph(page, f"viewer-object-{name}")) as picture:
            place = page.page.locator(".solid").bounding_box()
            corner = (place["x"], place["y"], place["x"] + place["width"], place["y"] + place["height"])
            seen = np.asarray(picture.convert("RGB").crop(tuple(map(round, corner))), int)
        lit = seen.max(axis=2) > 90
        assert 0.08 < lit.mean() < 0.8, f"the object takes {lit.mean():.0%} of its place"
        edges = [lit[:3], lit[-3:], lit[:, :3], lit[:, -3:]]
        assert max(edge.mean() for edge in edges[:2]) < 0.5, "the object is cut off"
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.page.keyboard.press("Space")
    page.wait("() => trame.state.get('screen').cards.length > 0 && !trame.state.get('screen').busy")
    assert page.screen["warnings"][0] == f"This slice is doubtful: {doubtful[0]['reason']}."
    assert abs(page.state("slice_at") - doubtful[0]["offset"]) < 0.1
    photograph(page, "viewer-object-review")
    film.take(3)
    page.page.keyboard.press("Shift+Enter")
    page.wait("(n) => trame.state.get('marks').filter((m) => m.kind === 'anchor').length === n", 2)
    page.wait("() => !trame.state.get('screen').busy")
    film.take(3)
    page.page.keyboard.press("Home")
    at = next(m["offset"] for m in marks if m["kind"] == "anchor")
    page.wait("(at) => Math.abs(trame.state.get('slice_at') - at) < 0.1", at)
    page.wait("() => { const i = document.querySelector('.solid img'); return i && i.naturalWidth > 20; }")
    film.take(4)
    moving = Path(KEPT or tmp_path) / "whole-object.webp"
    film.save(moving)
    assert moving.stat().st_size < 1_500_000
    with Image.open(moving) as picture:
        # A quick computer has followed the object before it is photographed on the way: two equal pictures.
        assert len(film.pictures) == 8 and picture.n_frames >= 7


def test_a_file_that_cannot_be_read_leaves_a_page_that_says_what_to_do(
    new_server: Callable[..., Any], chromium: Any, tmp_path: Path
) -> None:
    (tmp_path / "broken.nrrd").write_bytes(b"NRRD0004\n")
    address = new_server(str(tmp_path / "broken.nrrd")).address
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    try:
        page.goto(address)
        page.wait_for_selector(".empty", timeout=90_000)
        assert "choose a sample on the left" in page.inner_text(".empty")
        assert "broken.nrrd" in page.inner_text("#status")
        assert page.is_disabled("#slice") and page.is_disabled("#approve") and page.is_enabled("#volume")
        assert page.evaluate(OUTSIDE) == []
        page.select_option("#volume", "sample")
        page.wait_for_selector(".empty", state="detached", timeout=90_000)
        assert page.is_enabled("#slice")
    finally:
        page.close()
