"""Clinicians at work on a server, each at a pace of their own: seconds that they wait, and who waits longest.

python Testing/service/load.py --replicas 2 --clinicians 64 --minutes 5
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "support"))

from servers import running
from sessions import a_slice

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.session import Session
from SPASegmentLib.service.client import connect
from SPASegmentLib.service.server.keys import add_key

MOST_MINUTES = 10.0


@dataclass
class Waits:
    """What a clinician waited for, in seconds, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def work(address: str, key: str, number: int, until: float, think: float, waits: Waits) -> None:
    """Segment slice after slice with some picks each, thinking in between, until time is up."""
    rng = np.random.default_rng(number)
    engine = connect(address, key, patience=60)
    while True:
        image = a_slice(int(rng.integers(10**6)), size=512)
        session = Session.start(image, engine.model, PointPrompt(256.0, 256.0))
        for _ in range(int(rng.integers(1, 4))):
            time.sleep(max(0.0, min(rng.exponential(think), until - time.monotonic())))
            if time.monotonic() >= until:
                return
            started = time.monotonic()
            try:
                session = session.advance(engine)
            except SPASegmentError as error:
                waits.errors.append(str(error))
                break
            waits.seconds.append(time.monotonic() - started)
            shown = len(session.proposal.candidates)
            session = session.pick(int(rng.integers(shown))) if shown else session.none_of_these()


def main() -> None:
    """Start a server, let clinicians work, print what they waited."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--replicas", default="2")
    options.add_argument("--clinicians", type=int, default=64)
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--think", type=float, default=10.0, help="mean seconds between two requests of one")
    options.add_argument("--model", default="compact")
    options.add_argument("--engine", default="ray")
    given = options.parse_args()
    minutes = min(given.minutes, MOST_MINUTES)
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        secrets = [add_key(keys, f"clinician {n}") for n in range(given.clinicians)]
        how = ("--engine", given.engine, "--replicas", given.replicas, "--model", given.model, "--keys", keys)
        with running(*how) as server:
            until = time.monotonic() + 60 * minutes
            everyone = [Waits() for _ in secrets]
            threads = [
                threading.Thread(target=work, args=(server.address, key, n, until, given.think, waits))
                for n, (key, waits) in enumerate(zip(secrets, everyone, strict=True))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    report(everyone, minutes, given.replicas)


def report(everyone: list[Waits], minutes: float, replicas: str) -> None:
    """Print the figures."""
    waited = np.array([s for waits in everyone for s in waits.seconds])
    each = np.array([np.percentile(waits.seconds, 95) for waits in everyone if waits.seconds])
    errors = [error for waits in everyone for error in waits.errors]
    machine = platform.processor() or platform.machine()
    shares = each.max() / np.median(each)
    print(f"{machine}, {replicas} replicas, {len(everyone)} clinicians, {minutes:g} minutes")
    print(f"{len(waited)} proposals, {len(waited) / minutes / 60:.2f} per second, {len(errors)} errors")
    print(f"p50 {np.median(waited):.2f} s, p95 {np.percentile(waited, 95):.2f} s")
    print(f"the slowest clinician's p95 is {shares:.1f} times the median's")
    for error in sorted(set(errors)):
        print(error)


if __name__ == "__main__":
    main()
