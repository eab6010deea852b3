"""Points on a photograph in a real browser: the seed and points to exclude, by key, by Ctrl and by button."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

GREEN, PINK = "green", "pink"
"""Of points that belong to the object and that do not."""

UNDER_THE_MOUSE = "() => getComputedStyle(document.querySelector('.view.large > .waiting + div')).cursor"


@pytest.fixture(scope="module")
def a_server(new_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Shows a disc with a darker half on a dark retina; tests leave no point behind."""
    rows, cols = np.mgrid[:240, :320].astype(float)
    far = np.hypot(rows - 120, cols - 160)
    red = 90 + 130 / (1 + np.exp((far - 45) / 3)) - 40 * ((cols > 175) & (far < 45))
    noise = np.random.default_rng(0).normal(0, 4, (240, 320, 3))
    pixels = np.clip(red[..., None] * (1.0, 0.55, 0.3) + noise, 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("fundus") / "fundus.png"
    Image.fromarray(pixels).save(path)
    return new_server(str(path))


def pixels_near(page: Any, colour: str) -> int:
    """How many pixels of the large view are as green, or as pink, as a point; JPEG mixes them with others."""
    png = page.page.locator(".view.large").screenshot()
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(shown, 2, 0)
    is_green, is_pink = (green > red + 30) & (green > blue + 30), (red > green + 60) & (blue > green + 25)
    return int((is_green if colour == GREEN else is_pink).sum())


def none_left(page: Any) -> None:
    """Take the seed back."""
    page.page.click("#undo")
    page.wait("() => trame.state.get('screen').iteration === 0")


@pytest.mark.long
def test_a_point_is_excluded_by_key_by_ctrl_click_and_by_button_is_drawn_and_taken_back(
    a_server: Any, new_page: Callable[..., Any]
) -> None:
    page = new_page(a_server.address, 1024, 700)
    assert page.page.inner_text("output") == "1 of 1"
    assert page.page.query_selector("#orientation-Sagittal") is None
    assert not page.page.is_enabled("#exclude")
    page.click_at()
    page.proposed(1)
    assert "px" in page.page.inner_text(".corner") and "mm" not in page.page.inner_text(".grid")
    page.page.wait_for_timeout(800)
    assert pixels_near(page, GREEN) > 5 and pixels_near(page, PINK) == 0
    including = page.page.evaluate(UNDER_THE_MOUSE)
    assert "crosshair" in including

    def by_key() -> None:
        page.page.keyboard.press("x")
        page.said("does not belong")
        assert page.page.evaluate(UNDER_THE_MOUSE) != including, "it looks other than a seed's cross"
        page.click_at(0.6, 0.5)

    def by_ctrl() -> None:
        page.page.keyboard.down("Control")
        page.click_at(0.6, 0.45)
        page.page.keyboard.up("Control")

    def by_button() -> None:
        page.page.click("#exclude")
        page.page.wait_for_selector("#exclude.on")
        page.click_at(0.6, 0.55)

    for number, exclude in enumerate((by_key, by_ctrl, by_button)):
        exclude()
        page.proposed(number + 2)
        signs = [point[3] for point in a_server.truth()[0]["points"]]
        assert signs == [True] + [False] * (number + 1), exclude.__name__
        assert page.page.query_selector("#exclude.on") is None, "one click, then points belong again"
    page.page.wait_for_timeout(800)
    assert pixels_near(page, PINK) > 15
    page.page.keyboard.press("x")
    page.page.wait_for_selector("#exclude.on")
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#exclude:not(.on)")
    for left in (3, 2, 1):
        page.page.click("#undo")
        page.proposed(left)
        assert len(a_server.truth()[0]["points"]) == left
    page.page.wait_for_timeout(800)
    assert pixels_near(page, PINK) == 0 and pixels_near(page, GREEN) > 5
    none_left(page)


def test_a_box_and_a_line_are_dragged_and_a_line_is_taken_back_in_one_step(
    a_server: Any, new_page: Callable[..., Any]
) -> None:
    page = new_page(a_server.address, 1024, 700)

    def drag(*places: tuple[float, float]) -> None:
        box = page.page.locator(".view.large").bounding_box()
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        page.page.mouse.move(*at[0])
        page.page.mouse.down()
        for x, y in at[1:]:
            page.page.mouse.move(x, y, steps=8)
            page.page.wait_for_timeout(60)
        page.page.mouse.up()

    page.page.keyboard.press("o")
    page.said("Drag a box")
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#box:not(.on)")
    page.page.click("#box")
    page.page.wait_for_selector("#box.on")
    drag((0.36, 0.34), (0.64, 0.66))
    page.proposed(1)
    page.page.wait_for_selector("#box:not(.on)")
    (seed,) = a_server.truth()[0]["points"]
    assert seed[3] is True
    page.page.keyboard.press("d")
    page.said("Drag a line")
    page.page.keyboard.down("Control")
    drag((0.58, 0.44), (0.58, 0.5), (0.58, 0.56))
    page.page.keyboard.up("Control")
    page.wait("() => { const s = trame.state.get('screen'); return !s.busy && s.iteration > 2; }")
    signs = [point[3] for point in a_server.truth()[0]["points"]]
    assert signs == [True] + [False] * (len(signs) - 1) and len(signs) > 2
    page.page.click("#undo")
    page.proposed(1)
    assert len(a_server.truth()[0]["points"]) == 1
    none_left(page)
