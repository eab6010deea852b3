"""Clinicians at work on a server, each at a pace of their own: seconds that they wait, and who waits longest.

python Testing/service/support/clinicians.py --replicas 2 --clinicians 64 --minutes 5
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))
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


@dataclass(frozen=True)
class Load:
    """What clinicians waited in so many minutes of work on so many replicas."""

    everyone: list[Waits]
    minutes: float
    replicas: str

    @property
    def waited(self) -> np.ndarray:
        """Seconds of every proposal."""
        return np.array([s for waits in self.everyone for s in waits.seconds])

    @property
    def errors(self) -> list[str]:
        """What clinicians were shown in place of a proposal."""
        return [error for waits in self.everyone for error in waits.errors]

    @property
    def unfairness(self) -> float:
        """The slowest clinician's p95 over the median clinician's."""
        each = [np.percentile(waits.seconds, 95) for waits in self.everyone if waits.seconds]
        return float(max(each) / np.median(each))

    def report(self) -> str:
        """The figures, for people."""
        waited, machine = self.waited, platform.processor() or platform.machine()
        median, late = np.median(waited), np.percentile(waited, 95)
        idle = sum(not waits.seconds for waits in self.everyone)
        return "\n".join(
            [
                f"{machine}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f} over the last 5 minutes",
                f"{self.replicas} replicas, {len(self.everyone)} clinicians, {self.minutes:g} minutes",
                f"{len(waited)} proposals, {len(waited) / self.minutes / 60:.2f} per second, "
                f"{len(self.errors)} errors, {idle} clinicians without a proposal",
                f"p50 {median:.2f} s, p95 {late:.2f} s, longest {waited.max():.2f} s",
                f"the slowest clinician's p95 is {self.unfairness:.2f} times the median's",
                *sorted(set(self.errors)),
            ]
        )


def at_work(address: str, keys: list[str], minutes: float, think: float, replicas: str) -> Load:
    """Let a clinician per key work on a server. think: mean s between two requests of one."""
    minutes = min(minutes, MOST_MINUTES)
    until = time.monotonic() + 60 * minutes
    everyone = [Waits() for _ in keys]
    threads = [
        threading.Thread(target=work, args=(address, key, n, until, think, waits))
        for n, (key, waits) in enumerate(zip(keys, everyone, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(everyone, minutes, replicas)


def measure(
    *,
    replicas: str = "2",
    clinicians: int = 64,
    minutes: float = 5.0,
    think: float = 10.0,
    model: str | Path = "compact",
    engine: str = "ray",
) -> Load:
    """Start a server, let clinicians work on it, and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        secrets = [add_key(keys, f"clinician {n}") for n in range(clinicians)]
        how = ("--engine", engine, "--replicas", replicas, "--model", model, "--keys", keys)
        with running(*how) as server:
            return at_work(server.address, secrets, minutes, think, replicas)


def main() -> None:
    """Measure as the command line says, and print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--replicas", default="2")
    options.add_argument("--clinicians", type=int, default=64)
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--think", type=float, default=10.0, help="mean seconds between two requests of one")
    options.add_argument("--model", default="compact")
    options.add_argument("--engine", default="ray")
    print(measure(**vars(options.parse_args())).report())


if __name__ == "__main__":
    main()
