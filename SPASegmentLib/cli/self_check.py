"""One scripted interaction on the real server, without a browser: does everything work on this computer?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from SPASegmentLib.errors import SPASegmentError, StepError
from SPASegmentLib.viewer.options import ViewerOptions
from SPASegmentLib.viewer.server import Service

PATIENCE = 120.0
"""Seconds one step may take on a slow computer."""


async def check(options: ViewerOptions, say: Callable[[str], None]) -> None:
    """Seed, pick, approve and download on the built-in sample, saying each step.

    Nothing of the user's is touched: no profile, nothing kept. Raises StepError where a step fails.
    """
    service = Service(replace(options, volumes=(), profile=None, browser=False), keep=False)
    try:
        await service.start()
        say(f"The viewer answers at {service.address}")
        await _page_is_there(service)
        await _interaction(service, say)
    finally:
        await service.stop()
    say("Self-check passed.")


async def _page_is_there(service: Service) -> None:
    import aiohttp

    cookies = aiohttp.CookieJar(unsafe=True)  # those of plain addresses, too
    async with aiohttp.ClientSession(cookie_jar=cookies) as client, client.get(service.address) as answer:
        if answer.status != 200 or '<div id="app">' not in await answer.text():
            raise StepError(f"The page does not come ({answer.status}); is a proxy in between?")


async def _interaction(service: Service, say: Callable[[str], None]) -> None:
    viewer = service.viewer
    bench = viewer.controller
    place = viewer.choice.places[0] if viewer.choice is not None else None
    if place is None:
        raise StepError("The sample could not be shown; see above.")
    said = await _step(viewer, lambda: bench.seed(place.ras, slice_node=viewer.large.node))
    if not bench.screen.cards:
        raise StepError(f"The seed brought no alternatives: {bench.screen.status}")
    say(f"Seed on the {place.name}: {len(bench.screen.cards)} alternatives after {said:.1f} s")
    for card in bench.screen.cards:
        say(f"  {card.number}  {card.name}")
    said = await _step(viewer, lambda: bench.act("pick:1"))
    say(f"Picked 2: a new proposal after {said:.1f} s")
    await _step(viewer, lambda: bench.act("approve"))
    content = await service.written("seg.nrrd")
    say(f"Approved; the segmentation has {len(content)} bytes as .seg.nrrd")


async def _step(viewer: Any, act: Callable[[], None]) -> float:
    """Do something and wait until the controller rests; seconds it took."""
    started = time.monotonic()
    act()
    while viewer.controller.screen.busy:
        if time.monotonic() - started > PATIENCE:
            raise StepError(f"A step took more than {PATIENCE:.0f} s; is the computer busy?")
        await asyncio.sleep(0.02)
    screen = viewer.controller.screen
    if screen.tone == "problem":
        raise SPASegmentError(screen.status)
    return time.monotonic() - started
