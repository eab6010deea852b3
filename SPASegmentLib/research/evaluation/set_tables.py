"""Tables of figures told by set: Dice of every set, and how much of nested structures is shown."""

from __future__ import annotations

from SPASegmentLib.research.evaluation.figure_table import Figures, FigureTable, dice_cell, number
from SPASegmentLib.research.evaluation.protocol import SIGHTED

SET_COLUMNS = (
    ("always-pick", "1", "click"),
    ("always-pick", "3", "2 picks"),
    ("always-pick", "6", "5 picks"),
    ("approve", "6", "approve"),
    ("correct", "2", "1 point"),
    ("correct", "4", "3 points"),
    ("mixed", "2", "1 mixed"),
    ("mixed", "4", "3 mixed"),
)
"""User, iteration and heading of the figures told by set."""


def set_table(model: Figures, name: str = "") -> FigureTable:
    """Mean Dice of every set with its interval, and of each part the macro mean.

    Of `SET_COLUMNS` those that were measured; the click stands first whoever the users are.
    """
    users = next(iter(model["macro"].values()))["users"]
    columns = [column for column in SET_COLUMNS if column[1] in users.get(column[0], {"dice": {}})["dice"]]
    if "always-pick" not in users:
        columns.insert(0, (next(iter(users)), "1", "click"))
    rows: list[list[str]] = []
    strong = set()
    for part, macro in model["macro"].items():
        held = [(title, one) for title, one in model["sets"].items() if one["part"] == part]
        for title, figures in [*held, (f"{part}: mean, {macro['sets']} sets", macro)]:
            cells = (dice_cell(figures["users"][user], at, 3, 2) for user, at, _ in columns)
            rows.append([title, str(figures["cases"]), *cells])
        strong.add(len(rows) - 1)
    caption = "\n".join(["below each mean its 95% interval", *set_notes(model)])
    headings = ["set", "cases", *(heading for _, _, heading in columns)]
    return FigureTable(f"Dice by set: {name}", headings, rows, caption, frozenset(strong))


def set_notes(model: Figures) -> list[str]:
    """Sentences on users who see the target and on points that hold."""
    first = next(iter(model["macro"].values()))
    notes = [f"{user} {SIGHTED[user]}." for user in first["users"] if user in SIGHTED]
    for part, macro in model["macro"].items():
        for user, found in macro["corrections"].items():
            if found is not None:
                notes.append(
                    f"{part}, {user}: {found['points_held']} of {found['points_checked']} points hold after "
                    f"{found['corrections']} corrections; far from the point "
                    f"{100 * found['far_changed_median']:.1f}% of the mask changed (median)."
                )
    return notes


def nested_table(summary: Figures) -> FigureTable:
    """How many of the structures that share a click are shown at once, by model and part."""
    rows = []
    for name, model in summary.get("by_set", {}).items():
        for part, macro in model["macro"].items():
            if (found := macro["nested"]) is None:
                continue
            share = "{:.0f}% [{:.0f}, {:.0f}]".format(
                *(100 * value for value in (found["covered"], *found["covered_interval"]))
            )
            counts = [str(found[key]) for key in ("clicks", "structures")]
            best = [number(found[key], 3) for key in ("best_first", "best_last")]
            rows.append([f"{name}, {part}", *counts, share, *best])
    caption = (
        "shown: some mask of iteration 1 comes within 0.15 Dice of the best mask of the last iteration for "
        "who wants that structure; best: the mean of that Dice."
    )
    columns = ["model", "clicks", "structures", "shown at 1", "best at 1", "best at last"]
    return FigureTable("Structures that share a click", columns, rows, caption)
