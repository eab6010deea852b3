"""A table of figures: Markdown in the report, and the same rows on the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from SPASegmentLib.research.evaluation.protocol import PICKING, SIGHTED

if TYPE_CHECKING:
    from rich.table import Table

Figures = Mapping[str, Any]
_BREAKS = re.compile(r" \[|, | = | / ")
"""Where a cell goes on in the next line on the terminal, so that a table fits 80 columns."""


@dataclass(frozen=True)
class FigureTable:
    """A table; the first column is to the left, the others to the right.

    caption: what stands below it on the terminal. strong: numbers of rows that are means of others.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    strong: frozenset[int] = frozenset()

    def markdown(self) -> str:
        """Without title and caption; "" where there is no row."""
        if not self.rows:
            return ""
        told = [
            [f"**{cell}**" if number in self.strong and not at else cell for at, cell in enumerate(row)]
            for number, row in enumerate(self.rows)
        ]
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *told]
        escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
        return "\n".join("| " + " | ".join(line) + " |" for line in escaped)

    def shown(self) -> Table:
        """For the terminal, the ends of an interval below its mean."""
        from rich import box
        from rich.table import Table

        table = Table(
            title=self.title,
            caption=self.caption or None,
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for number, column in enumerate(self.columns):
            heading = column.replace(" ", "\n") if number else column
            side = "right" if number else "left"
            table.add_column(heading, justify=side, no_wrap=number > 0, overflow="fold")  # type: ignore[arg-type]
        for number, (name, *cells) in enumerate(self.rows):
            stacked = (_BREAKS.sub("\n", cell).rstrip("]") for cell in cells)
            table.add_row(name, *stacked, end_section=number in self.strong)
        return table


def title_of(name: str, model: Figures) -> str:
    """The model's name, and what it or its user is told of the target."""
    if model["oracle"]:
        return f"{name} (oracle)"
    return f"{name} (user {model['user']})" if model.get("user") else name


ABOUT = {**PICKING, **SIGHTED}


def user_title(user: str) -> str:
    """The user's name, and what they do or see."""
    return f"{user} ({ABOUT[user]})" if user in ABOUT else user


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals, a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def dice_cell(figures: Figures, iteration: str, digits: int = 4, ends: int = 3, sign: str = "") -> str:
    """A mean Dice with its interval."""
    low, high = (f"{end:{sign}.{ends}f}" for end in figures["interval"][iteration])
    return f"{figures['dice'][iteration]:{sign}.{digits}f} [{low}, {high}]"
