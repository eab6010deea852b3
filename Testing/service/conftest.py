"""What the tests of the server share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from servers import ServerProcess, running

from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.service.server.keys import add_key


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests run where they are asked for."""
    if not os.environ.get("SPASEGMENT_LONG"):
        for item in items:
            if item.get_closest_marker("service"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; set SPASEGMENT_LONG=1"))


@pytest.fixture(scope="session")
def a_local_engine(a_model: Path) -> LocalEngine:
    return load_engine(a_model, "cpu")


@pytest.fixture(scope="session")
def a_server(a_model: Path) -> Iterator[ServerProcess]:
    """A server of one process, without keys."""
    with running("--engine", "local", "--model", a_model, "--device", "cpu") as server:
        yield server


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A keys file, the key of Ann, and the key of Ben."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, add_key(path, "Ann"), add_key(path, "Ben")


@pytest.fixture(scope="session")
def a_guarded_server(a_model: Path, keys: tuple[Path, str, str]) -> Iterator[ServerProcess]:
    """A server that only lets Ann and Ben in."""
    with running("--engine", "local", "--model", a_model, "--device", "cpu", "--keys", keys[0]) as server:
        yield server
