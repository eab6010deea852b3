"""Draw the picture of the browser viewer anew: `python docs/make_viewer_figure.py`.

Starts the viewer on its sample, plays an interaction in Chromium and photographs it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).with_name("images")
CHROMIUM = "/usr/bin/chromium"
READY = (
    "() => { const s = trame.state.get('screen');"
    " return !s.busy && s.iteration >= %d && s.cards.length > 0; }"
)


def photograph(address: str, out: Path, size: tuple[int, int], place: int, picks: str) -> None:
    """Click on a place of the sample, pick, and write what the page shows."""
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto(address)
        page.wait_for_selector(".view img", timeout=60_000)
        page.wait_for_timeout(1500)
        page.select_option("#places", str(place))
        page.wait_for_timeout(1000)
        box = page.locator(".view.large").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_function(READY % 1, timeout=120_000)
        for n, pick in enumerate(picks, start=2):
            page.keyboard.press(pick)
            page.wait_for_function(READY % n, timeout=120_000)
        page.mouse.move(5, 5)
        page.wait_for_timeout(3000)
        page.screenshot(path=out)
        browser.close()


def main() -> None:
    """Write docs/images/viewer.png, or the file named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES / "viewer.png")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 800))
    parser.add_argument("--place", type=int, default=3, help="which of the sample's nodules, from 0")
    parser.add_argument("--picks", default="", help="keys pressed after the click, such as 21")
    given = parser.parse_args()
    command = [sys.executable, "-m", "SPASegmentLib.cli", "view", "--no-browser"]
    with tempfile.TemporaryDirectory() as home:
        environment = {"SPASEGMENT_STATE": home, "SPASEGMENT_PROFILES": home}

        server = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, encoding="utf-8"
        )
        try:
            assert server.stdout is not None
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
            photograph(address, given.out, tuple(given.size), given.place, given.picks)
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
