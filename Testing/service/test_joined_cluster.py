"""`serve --address` on a Ray cluster that runs already: it follows the load, and replaces what is broken.

SPASEGMENT_LONG=1 python -m pytest Testing/service/test_joined_cluster.py -m service
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import below, replicas
from servers import ServerProcess, wait_until
from sessions import a_slice, apart, interact
from users import PATIENCE

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.service.client import connect

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.alone,
    pytest.mark.service,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc"),
]
SUPPORT = Path(__file__).parent / "support"


@pytest.fixture(scope="module")
def a_running_ray() -> Iterator[tuple[int, str, dict[str, str]]]:
    """A cluster of one node, as `ray start` makes it: process, address, and the environment to join it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": ("SPASegmentLib.service.server.connections.guard_proxy"),
    }
    options = ["--head", "--block", "--num-cpus", "4", "--num-gpus", "0", "--port", str(port)]
    options += ["--node-ip-address", "127.0.0.1", "--include-dashboard", "false", "--disable-usage-stats"]
    options += ["--object-store-memory", str(2**27)]
    ray = subprocess.Popen(
        [str(Path(sys.executable).parent / "ray"), "start", *options],
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        assert ray.stdout is not None
        said = ""
        for line in ray.stdout:
            said += line
            if "Ray runtime started" in line:
                break
        else:
            pytest.fail(f"Ray did not start: {said}")
        yield ray.pid, f"127.0.0.1:{port}", environment
    finally:
        ray.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            ray.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ray.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def to_break(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("break") / "now"


@pytest.fixture(scope="module")
def a_joined_server(a_model, a_running_ray, to_break) -> Iterator[ServerProcess]:
    _, address, environment = a_running_ray
    options = ("--address", address, "--replicas", "1-2", "--model", a_model, "--device", "cpu")
    environment = {**environment, "BREAK": str(to_break)}
    server = ServerProcess(*options, environment=environment, program=SUPPORT / "breakable.py")
    try:
        yield server
    finally:
        server.stop()


def test_a_server_on_a_running_cluster_answers_as_one_engine_does(
    a_joined_server, a_running_ray, a_local_engine
):
    assert replicas(a_joined_server.process.pid) == [] and len(replicas(a_running_ray[0])) == 1
    engine = connect(a_joined_server.address, patience=PATIENCE)
    assert apart(interact(engine, a_slice(1), seed=1), interact(a_local_engine, a_slice(1), seed=1)) == []


def test_a_replica_whose_model_is_broken_is_replaced(a_joined_server, a_running_ray, to_break):
    (before,) = replicas(a_running_ray[0])
    to_break.touch()
    assert wait_until(lambda: replicas(a_running_ray[0]) not in ([before], []), PATIENCE)
    engine = connect(a_joined_server.address, patience=PATIENCE)
    assert engine.propose(ProposalRequest(a_slice(3), (PointPrompt(48.0, 48.0),))).recommendation.any()
    assert wait_until(lambda: before not in replicas(a_running_ray[0]), PATIENCE)


def test_replicas_follow_the_load(a_joined_server, a_running_ray):
    """A second one is added while eight users ask without a pause, and taken away minutes later."""
    assert wait_until(lambda: len(replicas(a_running_ray[0])) == 1, PATIENCE)
    over = threading.Event()

    def busy(n: int) -> None:
        engine = connect(a_joined_server.address, patience=PATIENCE)
        while not over.is_set():
            request = ProposalRequest(a_slice(n), (PointPrompt(48.0, 48.0),), n_samples=256)
            assert engine.propose(request).recommendation.any()
        engine.close()

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(busy, n) for n in range(8)]
        added = wait_until(lambda: len(replicas(a_running_ray[0])) == 2, PATIENCE)
        over.set()
        for each in asking:
            each.result()
    assert added
    assert wait_until(lambda: len(replicas(a_running_ray[0])) == 1, PATIENCE)


def test_a_server_that_ends_leaves_the_cluster_and_can_be_started_again(a_joined_server, a_running_ray):
    a_joined_server.stop()
    assert a_joined_server.process.returncode == 0
    assert wait_until(lambda: replicas(a_running_ray[0]) == [], 60)
    assert any("raylet" in command for command in below(a_running_ray[0]).values())
    a_joined_server.start()
    engine = connect(a_joined_server.address, patience=PATIENCE)
    assert engine.propose(ProposalRequest(a_slice(4), (PointPrompt(48.0, 48.0),))).recommendation.any()
