"""Changes the code in one place at a time and reports which changes no test notices.

A list (`*.json` beside this file) holds entries {"name", "file", "find", "replace", "tests"}: `find` occurs
exactly once in `file`, and at least one of `tests` (paths of pytest, "::name" where one is enough) must fail
once it reads `replace`. The changes are made in a copy of the checkout, never in the checkout itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer
from rich.console import Console
from rich.table import Column, Table

LISTS = Path(__file__).resolve().parent
ROOT = LISTS.parents[1]
TIME_LIMIT = 600
"""Seconds a change's tests may take; a change that makes them hang is noticed."""

Verdict = Literal["caught", "survived", "stale", "no verdict"]


@dataclass(frozen=True)
class Change:
    """One entry of a list; `file` and `tests` are relative to the repository."""

    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]

    def stale(self, root: Path) -> str | None:
        """Why the entry does not fit the checkout at `root`; None if it does."""
        if self.find == self.replace:
            return "it changes nothing"
        for path in (self.file, *(test.split("::")[0] for test in self.tests)):
            if not (root / path).is_file():
                return f"there is no {path}"
        found = (root / self.file).read_text(encoding="utf-8").count(self.find)
        return None if found == 1 and self.tests else f"found {found} times, tests: {len(self.tests)}"


class Outcome(NamedTuple):
    """What became of a change; note: the reason, or the first test that failed."""

    change: Change
    verdict: Verdict
    note: str


def changes(name: str | None = None) -> list[Change]:
    """The entries of one list, or of all lists. Raises typer.BadParameter where there is no such list."""
    paths = sorted(LISTS.glob("*.json")) if name is None else [LISTS / f"{Path(name).stem}.json"]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise typer.BadParameter(f"there is no list {missing[0]}")
    entries = [entry for path in paths for entry in json.loads(path.read_text(encoding="utf-8"))]
    return [Change(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def copy_checkout(to: Path) -> None:
    """Copy every file git keeps or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    for name in sorted(set(listed.split("\0")) - {""}):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def run_tests(copy: Path, tests: Iterable[str]) -> tuple[int, str]:
    """pytest's exit code in the copy and its output; a hang counts as a failed test."""
    environment = {
        "SPASEGMENT_DATA": str(ROOT.parent / "shared" / "data"),
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",  # compiled files are told apart by size and second only
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, encoding="utf-8", timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        return 1, f"FAILED the tests took more than {TIME_LIMIT} s"
    return done.returncode, done.stdout + done.stderr


def first_failure(output: str) -> str:
    """The line that names the first failed test, or the last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    named = [line.removeprefix("FAILED ").split(" - ")[0] for line in lines if line.startswith("FAILED ")]
    return (named or lines[-1:] or [""])[0]


def try_change(copy: Path, change: Change) -> Outcome:
    """Make the change in the copy, run its tests, take it back."""
    if reason := change.stale(copy):
        return Outcome(change, "stale", reason)
    path = copy / change.file
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(change.find, change.replace), encoding="utf-8")
    try:
        code, output = run_tests(copy, change.tests)
    finally:
        path.write_text(before, encoding="utf-8")
    verdict: Verdict = "survived" if code == 0 else "caught" if code == 1 else "no verdict"
    return Outcome(change, verdict, "" if code == 0 else first_failure(output))


def report(outcomes: list[Outcome], console: Console) -> None:
    """Show a table, one row a change."""
    table = Table("change", "verdict", Column("by", overflow="fold"))
    colours = {"caught": "green", "survived": "red", "stale": "yellow", "no verdict": "yellow"}
    for change, verdict, note in outcomes:
        table.add_row(change.name, f"[{colours[verdict]}]{verdict}[/]", note)
    console.print(table)


def main(
    list_name: Annotated[str | None, typer.Option("--list", help="Only this list, such as training.")] = None,
    only: Annotated[str, typer.Option(help="Only changes whose name contains this.")] = "",
) -> None:
    """Apply the changes one by one in a copy of the checkout; exit code 1 if any is not noticed."""
    console = Console()
    chosen = [change for change in changes(list_name) if only in change.name]
    if not chosen:
        raise typer.BadParameter(f"no change is called {only!r}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        copy_checkout(copy)
        fitting = [change for change in chosen if change.stale(copy) is None]
        code, output = (
            run_tests(copy, sorted({test for c in fitting for test in c.tests})) if fitting else (0, "")
        )
        if code != 0:
            console.print(f"The tests do not pass as the code is: {first_failure(output)}")
            raise typer.Exit(1)
        outcomes = []
        for change in chosen:
            outcomes.append(try_change(copy, change))
            console.print(f"{outcomes[-1].verdict}: {change.name}")
    report(outcomes, console)
    raise typer.Exit(int(any(outcome.verdict != "caught" for outcome in outcomes)))


if __name__ == "__main__":
    typer.run(main)
