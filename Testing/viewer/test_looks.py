"""The page fits a laptop and a large screen, and pictures of it are kept for people to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_everything_fits_the_screen(
    a_server: Any, new_page: Callable[..., Any], tmp_path: Path, width: int, height: int
) -> None:
    page = new_page(a_server.address, width, height).begin()
    page.click_at()
    page.proposed(1)
    page.page.wait_for_timeout(800)
    path = tmp_path / f"viewer-{width}x{height}.png"
    page.page.screenshot(path=path)
    with Image.open(path) as picture:
        assert picture.size == (width, height)
    outside = page.page.evaluate(
        """() => [...document.querySelectorAll('button, select, input:not([hidden]), figcaption, output')]
        .filter((e) => { const b = e.getBoundingClientRect();
          return b.width && (b.left < 0 || b.top < 0 || b.right > innerWidth || b.bottom > innerHeight); })
        .map((e) => e.id || e.className || e.tagName)"""
    )
    assert outside == []
    large, small = (
        page.page.locator(".view.large").bounding_box(),
        page.page.locator(".view.small .canvas").first.bounding_box(),
    )
    assert large["width"] > 2 * small["width"] > 400
    cut_off = page.page.evaluate(
        """() => [...document.querySelectorAll('figcaption .name, .button, .numbers')]
        .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.innerText)"""
    )
    assert cut_off == []
