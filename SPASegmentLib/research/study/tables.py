"""The report of a study as text: tables in the terminal and a page in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from SPASegmentLib.research.study.users import MOST_PROPOSALS, Operators

PAPER = (
    "The paper's study (supplement, Section 7; five medical professionals, 100 fundus "
    "images, MedSAM) prints 6.62 and 4.34 s, 4.33 and 2.46 iterations for one of them, 7.40 and 4.77 s, 5.60 "
    "and 3.58 iterations for another, and claims 35% more images with 39% fewer iterations."
)
SIMULATION = (
    "**This is a simulation: no person took part.** Simulated users know the mask they want, and their "
    "seconds are those of the keystroke-level model, not measured ones."
)


@dataclass(frozen=True)
class StudyTable:
    """A table: the first column is text, the others stand to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As Markdown writes it."""
        lines = ["| " + " | ".join(self.columns) + " |"]
        lines.append("| --- |" + " ---: |" * (len(self.columns) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines)

    def rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table


def tables(results: Mapping[str, Any]) -> Iterator[StudyTable]:
    """By user as the paper prints it, the conditions, and each against the first."""
    names = list(results["conditions"])
    yield StudyTable(
        "Seconds / iterations per image",
        ("condition", *results["by_user"], "mean"),
        tuple(_user_row(results, name) for name in names),
    )
    yield StudyTable(
        "Conditions",
        ("condition", "images", "seconds", "iterations"),
        tuple(
            (name, str(found["images"]), _interval(found["seconds"]), _interval(found["iterations"]))
            for name, found in results["conditions"].items()
        ),
    )
    given_up = "by hand" if results["simulated"] else "given up"
    yield StudyTable(
        "What was done",
        ("condition", "picks", "points", "keys", "clicks", "Dice", given_up),
        tuple(_done_row(name, found) for name, found in results["conditions"].items()),
    )
    if results["compared"]:
        more = ("equal at s a look",) if results["simulated"] else ()
        yield StudyTable(
            f"{names[0]} against",
            ("", "more images", "fewer iterations", "seconds less", *more),
            tuple(_compared_row(name, found, bool(more)) for name, found in results["compared"].items()),
        )
    yield StudyTable(
        "Learning",
        ("condition", "change of the seconds from one image to the next"),
        tuple((name, _interval(found["change"], percent=1)) for name, found in results["learning"].items()),
    )


def show(results: Mapping[str, Any], console: Console) -> None:
    """All tables in the terminal."""
    if results["simulated"]:
        console.print(SIMULATION.replace("**", ""))
    for table in tables(results):
        console.print(table.rich())


def page(results: Mapping[str, Any], command: str = "") -> str:
    """The whole report in Markdown. command: that made it."""
    title = results["title"] or "Study"
    parts = [f"# {title}" if not results["simulated"] else f"# {title}: a simulation"]
    if results["simulated"]:
        parts += [SIMULATION, _model()]
    parts.append(_who(results))
    for table in tables(results):
        parts += [f"## {table.title}", table.markdown()]
    parts += [
        "In brackets the 95% interval, users and patients drawn anew, both at once (10,000 times).",
        "![Seconds and iterations by condition](conditions.png)",
        "![Seconds along the images](learning.png)",
        PAPER,
    ]
    if command:
        parts.append(f"```\n{command}\n```")
    return "\n\n".join(parts) + "\n"


def _model() -> str:
    times = Operators()
    return (
        f"Times: K {times.key} s a key, P {times.point} s to a place with the mouse, BB {times.press} s a "
        f"press of its button, M {times.think} s to prepare a decision (once to judge the recommendation, "
        f"once to choose among alternatives or where to click), {times.look} s to read each mask shown, "
        f"{times.response} s until a proposal is there; drawing {times.side} s for each straight side and "
        f"{times.length} s for each cm, the object {times.shown:g} cm long on the screen. A user who is not "
        f"satisfied after {MOST_PROPOSALS} proposals draws the object by hand, so that all images end in a "
        "mask that satisfies. Nothing is learnt or tires."
    )


def _who(results: Mapping[str, Any]) -> str:
    said = (
        f"{results['users']} users, {results['patients']} patients, {results['recorded']} of "
        f"{results['planned']} planned images, design {results['design']}, seed {results['seed']}."
    )
    if results["restarted"]:
        said += f" {results['restarted']} images were begun more than once."
    return said


def _user_row(results: Mapping[str, Any], name: str) -> tuple[str, ...]:
    users = [found[name] for found in results["by_user"].values()]
    cells = ["" if own is None else f"{own['seconds']:.2f} / {own['iterations']:.2f}" for own in users]
    found = results["conditions"][name]
    return (name, *cells, f"{found['seconds'][0]:.2f} / {found['iterations'][0]:.2f}")


def _done_row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (f"{found[key][0]:.2f}" for key in ("picks", "points", "keys", "clicks"))
    dice = "" if found["dice"] is None else f"{found['dice'][0]:.3f}"
    return (name, *counts, dice, f"{100 * found['gave_up'][0]:.0f}%")


def _compared_row(name: str, found: Mapping[str, Any], simulated: bool) -> tuple[str, ...]:
    row = (
        name,
        _interval(found["more_images"], percent=0),
        _interval(found["fewer_iterations"], percent=0),
        _interval(found["seconds_less"]),
    )
    if not simulated:
        return row
    return (*row, "" if found["look"] is None else f"{found['look']:.2f}")


def _interval(found: Sequence[float] | None, *, percent: int | None = None) -> str:
    """percent: decimals of a share in percent; None for two decimals of anything else."""
    if found is None:
        return ""
    if percent is not None:
        mean, low, high = (_number(100 * value, percent) for value in found)
        return f"{mean}% ({low} to {high})"
    mean, low, high = (_number(value, 2) for value in found)
    return f"{mean} ({low} to {high})"


def _number(value: float, digits: int) -> str:
    """Rounded; what rounds to nothing has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"
