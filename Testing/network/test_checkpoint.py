"""A checkpoint comes back as it went in, or says in one sentence why not."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import struct
import sys
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import (
    FORMAT_VERSION,
    CheckpointHeader,
    _unwritable,
    hash_state,
    load_checkpoint,
    read_header,
    save_checkpoint,
)

HEADER = CheckpointHeader(
    config={"backbone": "compact", "components": 16, "rates": [0.1, 0.2]},
    provenance={"trained_on": "made-up discs", "licence": "Apache-2.0", "steps": 3, "date": "2025-01-01"},
)


def a_state() -> dict[str, torch.Tensor]:
    """Tensors of every kind a network holds."""
    generator = torch.Generator().manual_seed(0)
    return {
        "layer.weight": torch.randn(4, 3, 2, 2, generator=generator),
        "layer.bias": torch.randn(4, generator=generator).to(torch.bfloat16),
        "steps": torch.tensor(7),
        "used": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
    }


@pytest.fixture
def a_checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, a_state(), HEADER)
    return path


def is_one_sentence(error: pytest.ExceptionInfo[CheckpointError]) -> bool:
    text = str(error.value)
    return "\n" not in text and text.endswith(".") and len(text) < 300


def test_tensors_and_header_come_back_as_they_went_in(a_checkpoint: Path) -> None:
    state, header = load_checkpoint(a_checkpoint)
    assert state.keys() == a_state().keys()
    for name, tensor in a_state().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    assert (header.config, header.provenance) == (HEADER.config, HEADER.provenance)
    assert (header.format_version, header.hash) == (FORMAT_VERSION, hash_state(a_state()))


def test_the_header_is_read_while_a_training_writes_the_next_one(tmp_path: Path) -> None:
    """Each file as a whole is there at any time, of one size or another."""
    path, done = tmp_path / "last.safetensors", threading.Event()

    def write() -> None:
        for count in range(400):
            save_checkpoint(path, {"weight": torch.zeros(10 + count % 7)}, HEADER)
        done.set()

    save_checkpoint(path, {"weight": torch.zeros(10)}, HEADER)
    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert read_header(path).config == HEADER.config
    writer.join()


def test_the_header_is_read_without_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    written = save_checkpoint(path, {"weight": torch.zeros(1000, 1000)}, HEADER)
    assert read_header(path) == written
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\xff\xff\xff\xff")
    assert read_header(path) == written
    with pytest.raises(CheckpointError, match="weights do not match"):
        load_checkpoint(path)


def test_any_safetensors_reader_opens_the_file(a_checkpoint: Path) -> None:
    assert safetensors.torch.load_file(a_checkpoint).keys() == a_state().keys()


def test_equal_checkpoints_are_equal_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for file in files:
        save_checkpoint(file, a_state(), HEADER)
    assert len({file.read_bytes() for file in files}) == 1


def test_tied_and_transposed_weights_are_saved_by_value(tmp_path: Path) -> None:
    weight = torch.arange(12.0).reshape(1, 3, 2, 2)
    state = {"a": weight, "b": weight, "c": weight.to(memory_format=torch.channels_last), "d": weight[0].mT}
    save_checkpoint(tmp_path / "m.safetensors", state, HEADER)
    loaded, _ = load_checkpoint(tmp_path / "m.safetensors")
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_the_hash_tells_names_shapes_types_and_values_apart() -> None:
    x = torch.zeros(2, 3)
    hashes = {
        hash_state(state)
        for state in (
            {"a": x},
            {"b": x},
            {"a": x.T},
            {"a": x.to(torch.int32)},
            {"a": x + 1},
            {"a": x, "b": x},
        )
    }
    assert len(hashes) == 6
    assert hash_state({"a": x, "b": x + 1}) == hash_state({"b": x + 1, "a": x})


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_byte_anywhere_is_noticed(a_checkpoint: Path, data: st.DataObject) -> None:
    whole = a_checkpoint.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(1, 255))
    damaged = a_checkpoint.with_name("damaged.safetensors")
    damaged.write_bytes(whole[:place] + bytes([whole[place] ^ other]) + whole[place + 1 :])
    try:
        state, header = load_checkpoint(damaged)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:  # a change that changes nothing, such as another key for metadata nobody reads
        assert (header.config, header.provenance) == (HEADER.config, HEADER.provenance)
        assert hash_state(state) == hash_state(a_state())


@pytest.mark.parametrize("kept", [0, 4, 8, 9, 200, -1])
def test_a_file_cut_short_is_refused(a_checkpoint: Path, kept: int) -> None:
    a_checkpoint.write_bytes(a_checkpoint.read_bytes()[:kept])
    for read in (read_header, load_checkpoint):
        with pytest.raises(CheckpointError) as error:
            read(a_checkpoint)
        assert is_one_sentence(error)


def test_bytes_after_the_end_are_refused(a_checkpoint: Path) -> None:
    a_checkpoint.write_bytes(a_checkpoint.read_bytes() + b"more")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(a_checkpoint)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(CheckpointError) as error:
            load_checkpoint(path)
        assert is_one_sentence(error)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "harm").exists()


def test_safetensors_of_somebody_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="not a SPASegment model"):
        load_checkpoint(path)


def with_metadata(path: Path, **changes: str) -> None:
    """Write the file again with other metadata, everything else equal."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    table = json.loads(raw[8 : 8 + length])
    table["__metadata__"] |= changes
    text = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def test_a_newer_format_asks_for_an_update(a_checkpoint: Path) -> None:
    with_metadata(a_checkpoint, format_version=str(FORMAT_VERSION + 1))
    with pytest.raises(CheckpointError, match="update SPASegment"):
        read_header(a_checkpoint)


@pytest.mark.parametrize("version", ["", "0", "-1", "one", "²"])
def test_a_nonsense_version_is_refused(a_checkpoint: Path, version: str) -> None:
    with_metadata(a_checkpoint, format_version=version)
    with pytest.raises(CheckpointError, match="format version is unreadable"):
        read_header(a_checkpoint)


@pytest.mark.parametrize("changes", [{"config": "{}"}, {"provenance": '{"trained_on": "anything"}'}])
def test_a_forged_header_is_refused(a_checkpoint: Path, changes: dict[str, str]) -> None:
    with_metadata(a_checkpoint, **changes)
    with pytest.raises(CheckpointError, match="header does not match"):
        read_header(a_checkpoint)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_a_header_that_is_not_json_is_refused_before_anything_is_written(
    tmp_path: Path, value: object
) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(CheckpointError, match="JSON"):
        save_checkpoint(path, a_state(), CheckpointHeader(config={"value": value}))
    assert list(tmp_path.iterdir()) == []


def test_saving_again_replaces_the_old_file_and_leaves_nothing_beside_it(a_checkpoint: Path) -> None:
    save_checkpoint(a_checkpoint, {"weight": torch.ones(3)}, HEADER)
    state, _ = load_checkpoint(a_checkpoint)
    assert torch.equal(state["weight"], torch.ones(3))
    assert list(a_checkpoint.parent.iterdir()) == [a_checkpoint]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's limit on file size")
def test_a_disk_that_takes_no_more_leaves_the_old_file_whole(a_checkpoint: Path) -> None:
    before = a_checkpoint.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match="could not be written") as error:
            save_checkpoint(a_checkpoint, {"weight": torch.zeros(100_000)}, HEADER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert is_one_sentence(error)
    assert a_checkpoint.read_bytes() == before
    assert list(a_checkpoint.parent.iterdir()) == [a_checkpoint]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named_as_such(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as error:
        full.write(b"x")
    sentence = str(_unwritable(tmp_path / "m.safetensors", error.value, 12_000_000))
    assert sentence.startswith("The disk is full") and "12 MB" in sentence


def test_effort_counts_what_a_network_started_from():
    first = CheckpointHeader(provenance={"steps": 400, "steps_of_run": 500, "seconds": 20.0}, hash="ab")
    assert first.effort == (500, 20.0)
    assert first.as_start() == {"hash": "ab", "steps": 500, "seconds": 20.0}
    second = CheckpointHeader(provenance={"steps": 300, "seconds": 5.5, "started_from": first.as_start()})
    assert second.effort == (800, 25.5)
    assert CheckpointHeader(provenance={"steps": 7, "started_from": second.as_start()}).effort == (807, 25.5)
    assert CheckpointHeader().effort == (0, 0.0)
