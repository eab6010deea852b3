"""Eight users work for minutes through every fault there is; each session is the one without any fault.

SPASEGMENT_LONG=1 python -m pytest Testing/service/test_long_faults.py -m service -rP
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import is_there, proxies, replicas
from servers import Line, ServerProcess, wait_until
from users import PATIENCE, Work, assert_undisturbed, summary, work_through

from SPASegmentLib.service.server.keys import add_key

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.alone,
    pytest.mark.service,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc"),
]

ASKING = """
import sys
import numpy as np
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.service.client import connect

engine = connect(sys.argv[1], sys.argv[2])
print("asking", flush=True)
for seed in range(1000):
    pixels = np.random.default_rng(seed).random((96, 96), dtype=np.float32)
    engine.propose(ProposalRequest(SliceImage(pixels), (PointPrompt(48.0, 48.0),), n_samples=1024))
"""


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A keys file and the keys of nine users."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, [add_key(path, f"user {n}") for n in range(9)]


@pytest.fixture(scope="module")
def a_cluster(a_model, users) -> Iterator[ServerProcess]:
    """Two replicas, each with room for one slice of 512 x 512 pixels."""
    options = ("--replicas", "2", "--model", a_model, "--device", "cpu", "--keys", users[0])
    server = ServerProcess(*options, "--image-mb", "1")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def eight_work_through(a_cluster, users, a_local_engine) -> Callable[..., list[Work]]:
    """Have eight users work while something happens, and compare."""

    def work(what: str, happens: Callable[[], None], address: str | None = None, **more) -> list[Work]:
        found = work_through(happens, address or a_cluster.address, users[1][:8], **more)
        print(summary(what, found))
        more = {name: more[name] for name in ("steps", "size") if name in more}
        assert_undisturbed(found, a_local_engine, **more)
        return found

    return work


def test_two_hundred_random_requests_of_eight_users_at_once(eight_work_through):
    """Five sessions of five requests each, without a pause between them."""
    found = eight_work_through("no fault", lambda: None, fewest=5, think=0.0)
    assert sum(len(work.waits) for work in found) == 200


def test_a_replica_killed_every_ten_seconds_for_two_minutes(a_cluster, eight_work_through):
    killed: list[int] = []

    def kill_again_and_again() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            time.sleep(10)
            there = [pid for pid in replicas(a_cluster.process.pid) if is_there(pid)]
            if there:
                killed.append(random.choice(there))
                os.kill(killed[-1], signal.SIGKILL)

    eight_work_through("a replica killed every 10 s", kill_again_and_again)
    print(f"{len(killed)} replicas killed")
    assert len(set(killed)) >= 6 and not any(map(is_there, killed))
    assert wait_until(lambda: len(replicas(a_cluster.process.pid)) == 2, PATIENCE)


def test_the_proxy_killed(a_cluster, eight_work_through):
    before = proxies(a_cluster.process.pid)
    assert len(before) == 1

    def kill() -> None:
        time.sleep(5)
        os.kill(before[0], signal.SIGKILL)
        time.sleep(20)

    eight_work_through("the proxy killed", kill, fewest=2)
    assert not is_there(before[0]) and len(proxies(a_cluster.process.pid)) == 1


def test_the_whole_server_stopped_and_started_again(a_cluster, eight_work_through):
    before = a_cluster.process.pid

    def restart() -> None:
        time.sleep(5)
        a_cluster.stop()
        time.sleep(5)
        a_cluster.start()
        time.sleep(5)

    eight_work_through("the server stopped and started again", restart, fewest=2)
    assert a_cluster.process.pid != before


def test_the_network_cut_for_twenty_seconds(a_cluster, eight_work_through):
    line = Line(a_cluster.port)

    def cut() -> None:
        time.sleep(5)
        line.cut = True
        time.sleep(20)
        line.cut = False
        time.sleep(10)

    try:
        eight_work_through("the network cut for 20 s", cut, f"127.0.0.1:{line.port}", fewest=2)
    finally:
        line.close()


def test_a_cache_that_is_always_full(a_cluster, users, eight_work_through):
    """Slices of 512 x 512 pixels take each other's place, so they are sent again and again."""

    def sent_again() -> float:
        name = r'spasegment_requests_total\{path="/v1/propose",status="409"\}'
        return max(a_cluster.metric(name, users[1][8]) for _ in range(20))

    before = sent_again()
    eight_work_through("a full cache", lambda: time.sleep(30), size=512, steps=3)
    assert sent_again() > before


def test_a_client_killed_again_and_again(a_cluster, users, eight_work_through):
    """It dies with a request on its way, one that takes seconds; nobody else's answer differs."""

    def kill_clients() -> None:
        for _ in range(6):
            command = [sys.executable, "-c", ASKING, a_cluster.address, users[1][8]]
            client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
            assert client.stdout is not None and client.stdout.readline() == "asking\n"
            time.sleep(random.uniform(0.2, 2.0))
            assert client.poll() is None
            client.kill()
            client.wait()

    eight_work_through("a client killed six times", kill_clients)
    assert wait_until(lambda: a_cluster.metric("spasegment_waiting", users[1][8]) == 0)
