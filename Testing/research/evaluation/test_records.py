"""The records of an evaluation survive kills and refuse to be mixed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.research.evaluation.records import (
    CaseRecord,
    RecordFile,
    from_line,
    pack_mask,
    to_line,
    unpack_mask,
    write_whole,
)

HEADER = {"model": "toy", "hash": "1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cases" / "toy.jsonl"


def a_record(case: str) -> CaseRecord:
    return CaseRecord(case, "p", dice=[0.1, 0.2], candidates=[[0.3], []], seconds=[0.5])


def test_records_are_read_back(path: Path) -> None:
    store = RecordFile(path, HEADER, CaseRecord)
    for case in "ba":
        store.append(a_record(case))
    assert RecordFile(path, HEADER, CaseRecord).records == {"a": a_record("a"), "b": a_record("b")}


def test_a_line_cut_short_by_a_kill_is_dropped_and_the_rest_kept(path: Path) -> None:
    store = RecordFile(path, HEADER, CaseRecord)
    store.append(a_record("a"))
    whole = path.read_bytes()
    store.append(a_record("b"))
    for length in range(len(whole), len(path.read_bytes())):
        cut = path.with_name(f"cut-{length}.jsonl")
        cut.write_bytes(path.read_bytes()[:length])
        again = RecordFile(cut, HEADER, CaseRecord)
        assert list(again.records) == ["a"]
        again.append(a_record("b"))
        assert cut.read_bytes() == path.read_bytes()


def test_a_damaged_line_is_computed_anew(path: Path) -> None:
    store = RecordFile(path, HEADER, CaseRecord)
    store.append(a_record("a"))
    store.append(a_record("b"))
    path.write_text(
        path.read_text(encoding="utf-8").replace('"case":"a"', '"cas\x00e":"a"'), encoding="utf-8"
    )
    assert list(RecordFile(path, HEADER, CaseRecord).records) == ["b"]
    assert list(RecordFile(path, HEADER, CaseRecord).records) == ["b"]


@pytest.mark.parametrize("head", ["", "not json", "[]"])
def test_a_file_that_is_no_record_file_is_left_alone(path: Path, head: str) -> None:
    path.parent.mkdir()
    path.write_text(head + "\n", encoding="utf-8")
    with pytest.raises(SPASegmentError, match="another evaluation"):
        RecordFile(path, HEADER, CaseRecord)
    assert path.read_text(encoding="utf-8") == head + "\n"


def test_records_of_other_weights_are_not_mixed_in(path: Path) -> None:
    RecordFile(path, HEADER, CaseRecord).append(a_record("a"))
    with pytest.raises(SPASegmentError, match="another evaluation of this model"):
        RecordFile(path, {**HEADER, "hash": "2"}, CaseRecord)
    assert list(RecordFile(path, HEADER, CaseRecord).records) == ["a"]


def test_sorting_puts_cases_in_order_and_loses_none(path: Path) -> None:
    store = RecordFile(path, HEADER, CaseRecord)
    for case in "cab":
        store.append(a_record(case))
    store.sort()
    assert list(RecordFile(path, HEADER, CaseRecord).records) == ["a", "b", "c"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SPASegmentError, match="cannot be written"):
        write_whole(tmp_path / "file" / "results.json", "{}")


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_packed_mask_is_the_mask(mask: np.ndarray) -> None:
    assert (unpack_mask(pack_mask(mask)) == mask).all()


@given(st.lists(st.floats(0, 1), max_size=6))
def test_a_record_is_the_same_after_writing_and_reading(dice: list[float]) -> None:
    record = CaseRecord("a/b", "p", dice=dice, ged=0.25)
    assert from_line(CaseRecord, to_line(record)) == record
