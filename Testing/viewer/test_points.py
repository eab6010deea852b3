"""Points on a photograph in a real browser: the seed and points to exclude, by key, by Ctrl and by button."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

GREEN, PINK = "green", "pink"
"""Of points that belong to the object and that do not."""


@pytest.fixture
def a_fundus(tmp_path: Path) -> Path:
    """A disc with a darker half on a dark retina."""
    rows, cols = np.mgrid[:240, :320].astype(float)
    far = np.hypot(rows - 120, cols - 160)
    red = 90 + 130 / (1 + np.exp((far - 45) / 3)) - 40 * ((cols > 175) & (far < 45))
    noise = np.random.default_rng(0).normal(0, 4, (240, 320, 3))
    pixels = np.clip(red[..., None] * (1.0, 0.55, 0.3) + noise, 0, 255).astype(np.uint8)
    path = tmp_path / "fundus.png"
    Image.fromarray(pixels).save(path)
    return path


def pixels_near(page: Any, colour: str) -> int:
    """How many pixels of the large view are as green, or as pink, as a point; JPEG mixes them with others."""
    png = page.page.locator(".view.large").screenshot()
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(shown, 2, 0)
    is_green, is_pink = (green > red + 30) & (green > blue + 30), (red > green + 60) & (blue > green + 25)
    return int((is_green if colour == GREEN else is_pink).sum())


def test_a_point_is_excluded_by_key_by_ctrl_click_and_by_button_is_drawn_and_taken_back(
    new_server: Callable[..., Any], new_page: Callable[..., Any], a_fundus: Path
) -> None:
    server = new_server(str(a_fundus))
    page = new_page(server.address, 1024, 700)
    assert page.page.inner_text("output") == "1 of 1"
    assert page.page.query_selector("#orientation-Sagittal") is None
    assert not page.page.is_enabled("#exclude")
    page.click_at()
    page.proposed(1)
    assert "px" in page.page.inner_text(".corner") and "mm" not in page.page.inner_text(".grid")
    page.page.wait_for_timeout(800)
    assert pixels_near(page, GREEN) > 5 and pixels_near(page, PINK) == 0

    def by_key() -> None:
        page.page.keyboard.press("x")
        page.said("does not belong")
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
        signs = [point[3] for point in server.truth()[0]["points"]]
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
        assert len(server.truth()[0]["points"]) == left
    page.page.wait_for_timeout(800)
    assert pixels_near(page, PINK) == 0 and pixels_near(page, GREEN) > 5
    page.page.screenshot(path="/tmp/faults-fundus.png")
