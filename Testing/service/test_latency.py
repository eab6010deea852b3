"""What a server on this computer adds to the time of computing here."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sessions import a_slice

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.session import Session
from SPASegmentLib.service.client import connect

pytestmark = [pytest.mark.alone, pytest.mark.service]
UPLOAD_SECONDS, PICK_SECONDS = 0.100, 0.025
ROUNDS = 9


def first_and_pick(engine, seed: int) -> tuple[float, float]:
    """Seconds of a slice of 512 x 512 pixels with its first proposal, and of the proposal after a pick."""
    image = a_slice(seed, size=512)
    session = Session.start(image, engine.model, PointPrompt(256.0, 256.0))
    started = time.perf_counter()
    session = session.advance(engine)
    seen = time.perf_counter()
    session = session.pick(0)
    picked = time.perf_counter()
    session.advance(engine)
    return seen - started, time.perf_counter() - picked


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads of the network here as the server has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_server_adds_little_to_a_first_proposal_and_to_a_pick(a_server, a_local_engine):
    remote = connect(a_server.address)
    for engine in (remote, a_local_engine):
        first_and_pick(engine, 900)
    there, here = [], []
    for seed in range(901, 901 + ROUNDS):  # in turn, so that both meet the same other programs
        there.append(first_and_pick(remote, seed))
        here.append(first_and_pick(a_local_engine, seed))
    # The quick quarter: what else runs only makes it slower.
    upload, pick = np.percentile(there, 25, axis=0) - np.percentile(here, 25, axis=0)
    print(f"a server adds {1000 * upload:.0f} ms to a first proposal, {1000 * pick:.0f} ms to a pick")
    assert upload <= UPLOAD_SECONDS
    assert pick <= PICK_SECONDS
