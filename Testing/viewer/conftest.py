"""A viewer in its own process and a real Chromium that looks at it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import pytest
import warm

pytest.importorskip("trame_slicer", reason="the viewer's parts are not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SERVED = Path(__file__).with_name("served.py")
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]
PATIENCE = 90_000
"""ms a page may take on a busy computer."""
DRAWN = (
    "() => new Promise((done) => { setTimeout(done, 200); requestAnimationFrame(() => setTimeout(done)); })"
)
"""Vue brings what it shows up to date only after the state has changed. Tabs behind another draw nothing."""
CHOSEN_VOLUME = """(title) => { const chosen = document.querySelector('#volume').selectedOptions[0];
    return chosen && chosen.innerText === title; }"""


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A viewer's process. home: its profiles, states and temporary files. fresh: with nothing loaded.

    environment: variables set otherwise, or not at all where None. within: a command that runs the command.
    """

    home: Path
    arguments: tuple[str, ...]
    environment: dict[str, str | None] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    address: str = ""
    said: list[str] = field(default_factory=list)
    process: Any = None
    fresh: bool = False

    def start(self) -> Server:
        """Start it with the same arguments, and wait until it says where it is."""
        environment = os.environ | {
            "SPASEGMENT_PROFILES": str(self.home / "profiles"),
            "SPASEGMENT_STATE": str(self.home / "state"),
            "TMPDIR": str(self.home / "tmp"),
            "SPASEGMENT_DEBUG": "1",
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }
        environment = {name: value for name, value in environment.items() if value is not None}
        (self.home / "tmp").mkdir(exist_ok=True)
        popen = subprocess.Popen if self.fresh or self.within or self.environment else warm.Popen
        self.process = popen(
            [*self.within, sys.executable, str(SERVED), str(self.truth_file), *self.arguments],
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.home / "errors.txt").open("a"),
            encoding="utf-8",
        )
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            found = re.search(r"http://\S+", line)
            if found:
                self.address = found[0]
                return self
        raise AssertionError(f"The viewer ended ({self.process.wait()}): {self.said} {self.errors[-3000:]}")

    @property
    def errors(self) -> str:
        path = self.home / "errors.txt"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def truth_file(self) -> Path:
        return self.home / "truth.npz"

    def truth(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """What the server's scene holds: about it, and one (K, J, I) mask for each segment."""
        self.truth_file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        until = time.monotonic() + 60
        while not self.truth_file.exists():
            assert time.monotonic() < until and self.process.poll() is None, self.errors[-3000:]
            time.sleep(0.05)
        with np.load(self.truth_file) as found:
            about = json.loads(str(found["about"]))
            return about, [found[f"mask{i}"] for i in range(len(about["segments"]))]

    def kept(self, last_step: str) -> None:
        """Wait until what a restart finds ends with a step of that kind on the slice on the screen."""
        until = time.monotonic() + 60
        while last_step not in [self._last_step_in(path) for path in self.home.rglob("state.json")]:
            assert time.monotonic() < until, self.errors[-3000:]
            time.sleep(0.05)

    @staticmethod
    def _last_step_in(path: Path) -> str:
        works = json.loads(json.loads(path.read_text(encoding="utf-8"))["workbench"])["works"]
        return str(works[-1]["log"]["steps"][-1]["kind"])

    def resident_mb(self) -> float:
        """Memory the process holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return int(self.process.wait(60))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.stdout.close()


class Page:
    """The viewer's page as a person sees it."""

    begun: ClassVar[dict[tuple[str, int], int]] = {}
    """How often a server's place was begun at."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._listeners = {
            "request": lambda request: self.requests.append(request.url),
            "websocket": lambda socket: self.requests.append(socket.url),
            "pageerror": lambda error: self.complaints.append(str(error)),
            "console": lambda said: said.type == "error" and self.complaints.append(said.text),
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)

    def open(self, address: str) -> Page:
        """Open the page and wait for the image in all five views."""
        self.page.goto(address)
        return self.drawn()

    def leave(self) -> None:
        """Leave the tab as it was found, or close it."""
        if self.page.is_closed():
            return
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)
        try:
            self.page.mouse.move(0, 0)
            self.page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
            self.page.goto("about:blank")
        except sync_api.Error:
            self.page.close()

    def drawn(self) -> Page:
        """Wait for the image in all five views."""
        self.page.wait_for_selector(".spa", timeout=PATIENCE)
        self.wait("() => trame.state.get('volume') !== '' && !trame.state.get('job')")
        self.wait(
            "() => { const seen = [...document.querySelectorAll('.view img')];"
            " return seen.length >= 5 && seen.every((i) => i.naturalWidth > 20); }"
        )
        return self

    def wait(self, condition: str, argument: Any = None) -> None:
        """Until a condition in the page's own language holds, and the page has drawn what followed."""
        try:
            self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE, polling=25)
            self.page.evaluate(DRAWN)
        except sync_api.TimeoutError as error:
            shown = {key: value for key, value in self.screen.items() if key != "warnings"}
            raise AssertionError(f"{condition} never came true; {self.complaints}; {shown}") from error

    def shows_volume(self, title: str) -> None:
        """The list of volumes shows this one as the chosen one."""
        self.wait(CHOSEN_VOLUME, title)

    def state(self, name: str) -> Any:
        return self.page.evaluate("(name) => trame.state.get(name)", name)

    @property
    def screen(self) -> Any:
        return self.state("screen")

    def begin(self, place: int = 0) -> Page:
        """Go to a place of the sample, on a slice no test of this server has worked on."""
        server = urlsplit(self.page.url).netloc
        n = self.begun[server, place] = self.begun.get((server, place), -1) + 1
        aside = (n + 1) // 2 * (1 if n % 2 else -1)
        self.page.evaluate(
            "async ([place, aside]) => {"
            " await trame.trigger('go_to', [place]); await trame.trigger('scroll', [aside]); }",
            [place, aside],
        )
        fresh = (
            "() => { const s = trame.state.get('screen');"
            " return !s.busy && s.iteration === 0 && s.cards.length === 0; }"
        )
        for _ in range(8):
            self.wait("() => !trame.state.get('screen').busy")
            self.page.wait_for_timeout(600)
            if self.page.evaluate(fresh):
                break
            # Somebody came here from a neighbouring slice: on to the next.
            self.page.evaluate(
                "async (by) => { await trame.trigger('scroll', [by]); }", 1 if aside > 0 else -1
            )
        self.wait(fresh)
        return self

    def click_at(self, right: float = 0.5, down: float = 0.5) -> None:
        """Click on the large view, in shares of its width and height."""
        box = self.page.locator(".view.large").bounding_box()
        self.page.mouse.click(box["x"] + right * box["width"], box["y"] + down * box["height"])

    def proposed(self, iteration: int) -> None:
        """Wait for the proposal of that iteration."""
        self.wait(
            "(n) => { const s = trame.state.get('screen');"
            " return !s.busy && s.iteration === n && s.cards.length > 0; }",
            iteration,
        )

    def said(self, words: str) -> None:
        """Wait until the status line holds these words."""
        self.wait("(words) => document.querySelector('#status').innerText.includes(words)", words)

    def changed(self, before: list[str], which: range = range(5)) -> None:
        """Wait until those views show another picture."""
        until = time.monotonic() + PATIENCE / 1000
        while not all(now != before[i] for i, now in enumerate(self.pictures()) if i in which):
            assert time.monotonic() < until, f"not all of the views {list(which)} have changed"
            self.page.wait_for_timeout(50)

    def pictures(self) -> list[str]:
        """A fingerprint of what each of the five views shows."""
        return [
            self.page.evaluate(
                """(i) => { const img = document.querySelectorAll('.view img')[i];
                const c = document.createElement('canvas'); c.width = 48; c.height = 48;
                const g = c.getContext('2d'); g.drawImage(img, 0, 0, 48, 48);
                return [...g.getImageData(0, 0, 48, 48).data].map((v) => v >> 4).join(); }""",
                i,
            )
            for i in range(5)
        ]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real browser, without a window."""
    if not Path(CHROMIUM).exists():
        if hasattr(os, "getuid") and os.getuid() == 0:
            pytest.fail("Chromium is not installed; run .ci/setup, which installs it.")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts a viewer with arguments; all are stopped at the end."""
    started: list[Server] = []

    def start(
        *arguments: str,
        home: Path | None = None,
        environment: dict[str, str | None] | None = None,
        within: tuple[str, ...] = (),
        fresh: bool = False,
    ) -> Server:
        home = home or tmp_path_factory.mktemp("home")
        own = ("--no-browser", "--port", str(a_free_port()), *arguments)
        server = Server(home, own, environment or {}, within, fresh=fresh)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        if server.process is not None and server.process.poll() is None:
            server.stop()
        shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture(scope="session")
def a_server(new_server: Callable[..., Server]) -> Server:
    """One for all tests that leave it as it was, with the model that answers soonest."""
    return new_server("--model", "compact", "--max-upload-mb", "8")


@pytest.fixture(scope="session")
def browser_window(chromium: Any) -> Iterator[Any]:
    """A window of the browser, whose tabs are used again: a new one takes a second of computing time more."""
    window = chromium.new_context(accept_downloads=True)
    yield window
    window.close()


@pytest.fixture
def new_page(browser_window: Any) -> Iterator[Callable[..., Page]]:
    """Opens an address in a tab of some size."""
    opened: list[Page] = []
    idle = list(browser_window.pages)

    def open_page(address: str, width: int = 1280, height: int = 800) -> Page:
        tab = idle.pop() if idle else browser_window.new_page()
        tab.set_viewport_size({"width": width, "height": height})
        tab.bring_to_front()
        opened.append(Page(tab))
        return opened[-1].open(address)

    yield open_page
    for page in opened:
        page.leave()
    browser_window.clear_cookies()


USUAL_SECONDS = 0.28
"""What the sums below take on one of two quiet cores of 2.5 GHz."""


@pytest.fixture
def busy() -> Callable[[], float]:
    """Says how much longer things take now, as this computer is slow or used by others: 1 where neither."""

    def measure() -> float:
        began, used = time.perf_counter(), time.process_time()
        for _ in range(3000):
            sum(range(10_000))
        own = time.process_time() - used
        stretched = (time.perf_counter() - began) / own
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return max(1.0, own / USUAL_SECONDS) * max(1.0, stretched, load / (os.cpu_count() or 1))

    return measure


@pytest.fixture
def in_viewer() -> Callable[..., None]:
    """Run a coroutine with a started viewer, on a thread of its own; no browser."""
    from SPASegmentLib.viewer.options import ViewerOptions
    from SPASegmentLib.viewer.server import Service, prepare

    prepare()

    async def main(use: Callable[[Any], Any], options: dict[str, Any]) -> None:
        service = Service(ViewerOptions(browser=False, port=a_free_port(), **options), keep=False)
        try:
            await service.start()
            await use(service.viewer)
        finally:
            await service.stop()

    def run(use: Callable[[Any], Any], **options: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(main(use, options))).result(120)

    return run
