"""Replicas of Ray Serve: they answer as one engine does, and one that is killed is not noticed."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import zstandard
from processes import below, is_there, proxies, replicas, session_folder
from servers import ServerProcess, wait_until
from sessions import a_slice, apart, interact
from traces import holding, is_in_memory, open_on_disk, written_since
from users import PATIENCE

from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.inference.session import Session
from SPASegmentLib.service.client import connect
from SPASegmentLib.service.codec import encode_image, encode_request, identity
from SPASegmentLib.service.server.keys import add_key
from SPASegmentLib.service.wire import compress

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.alone,
    pytest.mark.long,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc"),
]


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A keys file and the keys of eight users."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, [add_key(path, f"user {n}") for n in range(8)]


@pytest.fixture(scope="module")
def a_cluster(a_model, users) -> Iterator[ServerProcess]:
    """Two replicas with Ray of their own, where other programs use more memory than Ray would stand."""
    options = ("--replicas", "2", "--model", a_model, "--device", "cpu", "--keys", users[0])
    server = ServerProcess(*options, environment={"RAY_memory_usage_threshold": "0.01"})
    try:
        yield server
    finally:
        server.stop()


def sessions_of(server: ServerProcess, users, count: int, steps: int) -> list[Session]:
    """So many users' interactions, all at once."""

    def of(n: int) -> Session:
        engine = connect(server.address, users[1][n % 8], patience=PATIENCE)
        try:
            return interact(engine, a_slice(100 + n), steps=steps, seed=n)
        finally:
            engine.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(of, range(count)))


def undisturbed(engine, count: int, steps: int) -> list[Session]:
    return [interact(engine, a_slice(100 + n), steps=steps, seed=n) for n in range(count)]


def assert_equal(found: list[Session], wanted: list[Session]) -> None:
    assert [apart(one, other) for one, other in zip(found, wanted, strict=True)] == [[]] * len(wanted)


@contextlib.contextmanager
def meanwhile(happens: Callable[[], None], every: float, most: int) -> Iterator[None]:
    """Something happens again and again."""
    over = threading.Event()

    def again() -> None:
        for _ in range(most):
            if over.wait(every):
                return
            happens()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def kill_a_replica(server: ServerProcess) -> None:
    there = replicas(server.process.pid)
    if there:
        os.kill(there[0], signal.SIGKILL)


def test_users_at_once_get_the_answers_of_one_engine_alone(a_cluster, users, a_local_engine):
    assert len(replicas(a_cluster.process.pid)) == 2
    assert_equal(sessions_of(a_cluster, users, 6, 2), undisturbed(a_local_engine, 6, 2))


def test_replicas_compute_with_the_servers_own_priority(a_cluster):
    """Ray's own choice would let every other program of the computer go first."""
    whole = [a_cluster.process.pid, *replicas(a_cluster.process.pid)]
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in whole} == {os.getpriority(os.PRIO_PROCESS, 0)}


def test_requests_on_a_slice_go_to_the_replica_that_has_it(a_cluster, users):
    """Without that, eight slices would all be found on one of two replicas once in 256 times."""
    key = users[1][0]
    model = connect(a_cluster.address, key).model.hash
    with httpx.Client(base_url=a_cluster.address, trust_env=False, timeout=120) as client:
        for n in range(8):
            request = ProposalRequest(a_slice(200 + n), (PointPrompt(48.0, 48.0),), n_samples=4)
            sent = encode_image(request.image)
            named = identity(sent)
            headers = {"authorization": f"Bearer {key}", "x-session-id": named}
            assert (
                client.put(f"/v1/images/{named}", content=compress(sent), headers=headers).status_code == 204
            )
            body = compress(encode_request(request, model, named, None))
            assert client.post("/v1/propose", content=body, headers=headers).status_code == 200


def test_a_replica_that_is_killed_costs_nobody_a_pick_or_another_answer(a_cluster, users, a_local_engine):
    before = replicas(a_cluster.process.pid)
    with meanwhile(lambda: kill_a_replica(a_cluster), every=1.0, most=1):
        found = sessions_of(a_cluster, users, 4, 4)
    assert_equal(found, undisturbed(a_local_engine, 4, 4))
    assert wait_until(lambda: len(replicas(a_cluster.process.pid)) == 2, PATIENCE), (
        "no replica took its place"
    )
    assert replicas(a_cluster.process.pid) != before


def test_a_client_that_is_killed_is_forgotten(a_cluster, users, a_local_engine):
    """Its request is given up, and the next one of somebody else is answered."""
    import subprocess

    code = (
        "import numpy as np\n"
        "from SPASegmentLib.imaging.types import PointPrompt, SliceImage\n"
        "from SPASegmentLib.inference.messages import ProposalRequest\n"
        "from SPASegmentLib.service.client import connect\n"
        f"engine = connect({a_cluster.address!r}, {users[1][0]!r})\n"
        "pixels = np.random.default_rng(0).random((96, 96), dtype=np.float32)\n"
        "request = ProposalRequest(SliceImage(pixels), (PointPrompt(48.0, 48.0),), n_samples=1024)\n"
        "print('asking', flush=True)\n"
        "engine.propose(request)\n"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert client.stdout is not None and client.stdout.readline() == "asking\n"
    time.sleep(0.3)
    client.kill()
    client.wait()
    assert_equal(sessions_of(a_cluster, users, 2, 1), undisturbed(a_local_engine, 2, 1))


def test_no_image_reaches_a_disk(a_cluster, users, tmp_path):
    """Bodies hold their pixels as they are, so each place that holds a body is found."""
    since, loud = time.time() - 1, zstandard.ZstdCompressor(level=-60, write_content_size=True)
    needles = []
    with httpx.Client(base_url=a_cluster.address, trust_env=False, timeout=120) as client:
        for n in range(12):
            pixels = np.random.default_rng(n).random((700, 700), dtype=np.float32)
            sent = encode_image(SliceImage(pixels))
            needles.append(pixels.tobytes()[1_000_000:1_000_032])
            body, named = loud.compress(sent), identity(sent)
            assert needles[-1] in body
            headers = {"authorization": f"Bearer {users[1][n % 8]}", "x-session-id": named}
            assert client.put(f"/v1/images/{named}", content=body, headers=headers).status_code == 204
    (tmp_path / "kept").write_bytes(b"before" + needles[3] + b"after")
    assert holding(needles, written_since(since, [tmp_path])) == [tmp_path / "kept"], "it would be found"
    (tmp_path / "kept").unlink()

    whole = below(a_cluster.process.pid)
    session = session_folder(a_cluster.process.pid)
    folders = [session, *map(Path, {tempfile.gettempdir(), "/tmp", "/var/tmp"})]
    assert holding(needles, written_since(since, folders)) == []
    assert holding(needles, open_on_disk([a_cluster.process.pid, *whole])) == []
    (store,) = (command for command in whole.values() if "--fallback_directory=" in command)
    for where in ("plasma", "fallback"):  # Ray's own choice for what the former cannot hold is a disk
        assert is_in_memory(Path(re.search(rf"--{where}_directory=(\S+)", store)[1])), where


def test_a_head_without_an_end_and_connections_without_a_head_stop_nobody(a_cluster, users):
    """By somebody without a key. Ray ended its proxy for it, which was busy copying the head."""
    before = proxies(a_cluster.process.pid)
    idle = [socket.create_connection(("127.0.0.1", a_cluster.port), 10) for _ in range(200)]
    with socket.create_connection(("127.0.0.1", a_cluster.port), 30) as line:
        line.sendall(b"POST /v1/propose HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with contextlib.suppress(OSError):
            for _ in range(16):
                line.sendall(bytes([97]) * 2**20)
            line.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):  # it may be reset before its answer is read
            assert b" 400 " in line.recv(300)
        engine = connect(a_cluster.address, users[1][0], patience=20)
        assert engine.propose(ProposalRequest(a_slice(), (PointPrompt(48.0, 48.0),))).recommendation.any()
        engine.close()
    for each in idle:
        each.close()
    assert proxies(a_cluster.process.pid) == before


def test_at_its_end_a_server_answers_what_it_has_begun_and_leaves_no_process(a_cluster, users):
    started = below(a_cluster.process.pid)
    assert len(started) > 3
    engine = connect(a_cluster.address, users[1][1], patience=1)
    request = ProposalRequest(a_slice(7), (PointPrompt(48.0, 48.0),), n_samples=1024)
    waiting = functools.partial(a_cluster.metric, "spasegment_waiting", users[1][2])  # of either replica
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(engine.propose, replace(request, seed=n)) for n in range(8)]
        assert wait_until(lambda: waiting() >= 5)
        time.sleep(0.2)  # the last of them have come, too
        a_cluster.stop()
        assert all(each.result(30).recommendation.any() for each in asked)
    assert wait_until(lambda: not any(map(is_there, started)), 30), [
        started[pid] for pid in started if is_there(pid)
    ]
    assert "/v1/" not in a_cluster.log and "Traceback" not in a_cluster.log
