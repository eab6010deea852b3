"""Users of a server at work all at once, while something happens to it, and the same work undisturbed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from sessions import a_slice, apart, interact

from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.inference.session import Session
from SPASegmentLib.service.client import connect

PATIENCE = 240.0


@dataclass
class Work:
    """A user's sessions by their seed, and what they waited for each proposal, in seconds."""

    sessions: dict[int, Session] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)


class Paced:
    """An engine whose user thinks before they ask, and notes what they wait."""

    def __init__(self, engine: Engine, think: float, seed: int, waits: list[float]) -> None:
        """think: s on average. waits: what is waited, in seconds, is added to it."""
        self._engine, self._think, self._waits = engine, think, waits
        self._rng = np.random.default_rng(seed)

    @property
    def model(self) -> ModelInfo:
        return self._engine.model

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        time.sleep(self._rng.uniform(0, 2 * self._think))
        started = time.monotonic()
        answer = self._engine.propose(request, cancel)
        self._waits.append(time.monotonic() - started)
        return answer


def work_through(
    happens: Callable[[], None],
    address: str,
    keys: list[str],
    *,
    steps: int = 4,
    size: int = 96,
    think: float = 0.5,
    fewest: int = 1,
) -> list[Work]:
    """A user per key, who has session after session until what happens is over; whole sessions, always.

    think: s on average before each request. fewest: sessions of each. Raises what a user's session raises.
    """
    over = threading.Event()

    def at_work(number: int) -> Work:
        done, seed = Work(), number
        engine = connect(address, keys[number], patience=PATIENCE)
        try:
            while len(done.sessions) < fewest or not over.is_set():
                paced = Paced(engine, think, seed, done.waits)
                done.sessions[seed] = interact(paced, a_slice(100 + seed, size), steps=steps, seed=seed)
                seed += len(keys)
        finally:
            engine.close()
        return done

    with ThreadPoolExecutor(len(keys)) as pool:
        working = [pool.submit(at_work, number) for number in range(len(keys))]
        try:
            happens()
        finally:
            over.set()
        return [each.result() for each in working]


def assert_undisturbed(found: list[Work], engine: Engine, *, steps: int = 4, size: int = 96) -> None:
    """Every session is, bit for bit, the one that an engine in this process gives without disturbance."""
    for work in found:
        for seed, session in work.sessions.items():
            alone = interact(engine, a_slice(100 + seed, size), steps=steps, seed=seed)
            assert apart(session, alone) == [], f"the session of seed {seed}"


def summary(what: str, found: list[Work]) -> str:
    """Sessions, proposals and seconds waited, in a line."""
    waits = np.array([wait for work in found for wait in work.waits])
    count = sum(len(work.sessions) for work in found)
    return (
        f"{what}: {len(found)} users, {count} sessions, {len(waits)} proposals, waits p50 "
        f"{np.median(waits):.2f} s, p95 {np.percentile(waits, 95):.2f} s, longest {waits.max():.1f} s"
    )
