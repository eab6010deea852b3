"""A whole object that a server computes: as it does here, also through a broken line, and no further."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from servers import Line, wait_until

from SPASegmentLib.errors import Cancelled
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference import carrying
from SPASegmentLib.inference.fill import ObjectFill, ObjectSlice, WholeObject
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.service.client import connect

ROWS, COLS = np.mgrid[:96, :96]
DISC = np.hypot(ROWS - 48, COLS - 48) < 14


class Stack:
    """Slices of a bright column in noise, without end in both directions."""

    step_mm = 2.0

    def image(self, index: int) -> SliceImage | None:
        noise = np.random.default_rng(1000 + index).normal(0, 0.02, DISC.shape)
        return SliceImage((0.1 + 0.5 * DISC + noise).clip(0, 1).astype(np.float32), (0.7, 0.7), "CT")

    def moved(self, mask: np.ndarray, index: int, to_index: int) -> np.ndarray:
        return mask


def a_fill(engine: Engine) -> ObjectFill:
    """Of seven slices, the middle one approved."""
    fill = ObjectFill(engine, Stack())
    fill.approve(0, DISC)
    fill.end(-3)
    fill.end(3)
    return fill


def same(one: ObjectSlice, other: ObjectSlice) -> bool:
    figures = [(s.index, s.expected_dice, s.presence, s.reason, s.area_mm2) for s in (one, other)]
    return figures[0] == figures[1] and np.array_equal(one.mask, other.mask)


def all_same(one: WholeObject, other: WholeObject) -> bool:
    return len(one.slices) == len(other.slices) and all(map(same, one.slices, other.slices))


@pytest.fixture(scope="module")
def here(a_local_engine) -> WholeObject:
    found = a_fill(a_local_engine).complete()
    assert len(found.slices) == 7
    return found


def test_it_is_the_same_as_in_process_and_each_slice_comes_when_it_is_ready(a_server, here):
    fill, seen = a_fill(connect(a_server.address)), []
    for one in fill.run():
        seen.append((one.index, a_server.metric("spasegment_requests_total")))
    assert all_same(fill.object, here)
    asked = [count for _, count in seen]
    assert len(seen) == 6 and len(set(asked)) == 6, "a slice was there before the next was asked for"


def test_it_is_the_same_over_a_line_that_breaks(a_server, here):
    line = Line(a_server.port)
    fill = a_fill(connect(f"127.0.0.1:{line.port}", patience=60))
    for number, _ in enumerate(fill.run()):
        if number % 2:
            line.break_all()
    line.close()
    assert all_same(fill.object, here)


def test_cancelling_it_reaches_the_server_and_keeps_what_was_there(a_server, here, monkeypatch):
    token = threading.Event()
    fill = a_fill(connect(a_server.address))
    slices = fill.run(token)
    next(slices)
    hung_up = 'spasegment_requests_total{path="/v1/propose",status="499"}'
    before = a_server.metric(re.escape(hung_up))
    many = replace(carrying.CARRY, samples=1024)
    monkeypatch.setattr(carrying, "CARRY", many)  # a slice that takes long
    threading.Timer(0.08, token.set).start()
    with pytest.raises(Cancelled):
        next(slices)
    assert wait_until(lambda: a_server.metric(re.escape(hung_up)) == before + 1)
    monkeypatch.undo()
    assert all_same(fill.complete(), here)
