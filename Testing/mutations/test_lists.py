"""The lists of changes fit the code they change."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations_run", Path(__file__).with_name("run.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_no_entry_is_stale(run):
    entries = run.changes()
    assert entries
    assert [(change.name, why) for change in entries if (why := change.stale(ROOT))] == []
    names = [change.name for change in entries]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("find, why", [("one", "found 2 times"), ("three", "found 0 times"), ("two", None)])
def test_an_entry_is_stale_where_its_text_is_not_there_exactly_once(run, tmp_path, find, why):
    (tmp_path / "code.py").write_text("one two one", encoding="utf-8")
    reason = run.Change("a", "code.py", find, "four", ("code.py",)).stale(tmp_path)
    assert reason is None if why is None else why in reason


def test_a_list_that_does_not_exist_is_refused(run):
    with pytest.raises(typer.BadParameter, match="no list"):
        run.changes("nowhere")


@pytest.mark.long
def test_a_change_is_caught_where_a_test_fails_with_it_and_survives_where_none_does(run, tmp_path):
    (tmp_path / "code.py").write_text("A, B = 1, 2\n", encoding="utf-8")
    test = "from pathlib import Path\n\ndef test_a():\n    assert 'B = 1' in Path('code.py').read_text()\n"
    (tmp_path / "test_code.py").write_text(test, encoding="utf-8")
    caught = run.Change("a", "code.py", "1", "3", ("test_code.py",))
    survived = run.Change("b", "code.py", ", 2", ", 4", ("test_code.py",))
    broken = run.Change("c", "code.py", "1", "3", ("test_code.py::test_nowhere",))
    verdicts = [run.try_change(tmp_path, change).verdict for change in (caught, survived, broken)]
    assert verdicts == ["caught", "survived", "no verdict"]
    assert (tmp_path / "code.py").read_text(encoding="utf-8") == "A, B = 1, 2\n", "each change is taken back"
