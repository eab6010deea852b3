"""The figures as tables, written once: Markdown in the report, and the same rows on the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from SPASegmentLib.research.evaluation.protocol import SIGHTED
from SPASegmentLib.research.evaluation.results import WORDS, sub_row
from SPASegmentLib.research.evaluation.subgroups import EXCLUDED, INCLUDED

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


def all_tables(
    summary: Figures, transfer: Figures | None = None, unseen: Figures | None = None
) -> list[Table]:
    """What the terminal shows; carried profiles and raters left out where they were measured."""
    tables = [set_table(model, name) for name, model in summary.get("by_set", {}).items()]
    tables += [
        dice_table(summary, summary["headline_user"]),
        gain_table(summary),
        reach_table(summary),
        no_interaction_table(summary),
        candidate_table(summary),
        uncertainty_table(summary),
        effort_table(summary),
        paired_table(summary),
    ]
    if transfer is not None:
        tables += [transfer_table(everybody(model), name) for name, model in transfer["models"].items()]
    if unseen is not None:
        tables.append(unseen_table(unseen))
    return [table.shown() for table in tables if table.rows]


def dice_table(summary: Figures, user: str) -> FigureTable:
    """Mean Dice by iteration with intervals, of one user model."""
    iterations = _iterations(summary)
    rows = [
        [title, str(figures["cases"]), *(_dice(figures["users"][user], i) for i in iterations)]
        for title, figures in _with_sub_rows(summary)
    ]
    title = f"Dice by iteration: {summary['dataset']}, target {summary['target']}, {user_title(user)}"
    caption = "below each mean the ends of its 95% interval, resampled by patient"
    return FigureTable(title, ["model", "cases", *iterations], rows, caption)


def gain_table(summary: Figures) -> FigureTable:
    """Change of the mean Dice in points from each iteration to the next (supplement Table 4)."""
    user = summary["headline_user"]
    steps = list(next(iter(summary["models"].values()))["gain"])
    rows = [
        [title, *(_points(figures["users"][user], step) for step in steps)]
        for title, figures in _with_sub_rows(summary)
    ]
    return FigureTable("Gain of Dice in points from iteration to iteration", ["model", *steps], rows)


def reach_table(summary: Figures) -> FigureTable:
    """NoI and failure rate at every Dice to reach."""
    user, thresholds = summary["headline_user"], _thresholds(summary)

    def fails(figures: Figures, x: str) -> str:
        values = figures["failure_rate"][x], *figures["failure_interval"][x]
        return "{:.1f}% [{:.1f}, {:.1f}]".format(*(100 * value for value in values))

    rows = [
        [
            title,
            *(f"{figures['users'][user]['noi'][x]:.2f}" for x in thresholds),
            *(fails(figures["users"][user], x) for x in thresholds),
        ]
        for title, figures in _with_sub_rows(summary)
    ]
    columns = [*(f"NoI {x}" for x in thresholds), *(f"fails {x}" for x in thresholds)]
    title = f"Iterations to reach a Dice, and cases that do not in {summary['iterations']}"
    return FigureTable(title, ["model", *columns], rows)


def below_table(summary: Figures, threshold: str) -> FigureTable:
    """Share of cases below a Dice, by iteration."""
    iterations, user = _iterations(summary), summary["headline_user"]
    rows = [
        [title, *(f"{100 * figures['users'][user]['below'][threshold][i]:.1f}%" for i in iterations)]
        for title, figures in _with_sub_rows(summary)
    ]
    return FigureTable(f"Cases below {threshold}", ["model", *iterations], rows)


def no_interaction_table(summary: Figures) -> FigureTable:
    """Failures over those of the model that offers nothing to pick; no row where there is no such model."""
    thresholds = _thresholds(summary)

    def ratio(found: Figures) -> str:
        rates = f"{100 * found['rate']:.1f}% / {100 * found['rival_rate']:.1f}%"
        if found["ratio"] is None:
            return rates
        low, high = ("inf" if end is None else f"{end:.2f}" for end in found["interval"])
        return f"{rates} = {found['ratio']:.2f} [{low}, {high}]"

    rows = [
        [f"{pair['model']} / {pair['rival']}", *(ratio(pair["thresholds"][x]) for x in thresholds)]
        for pair in summary["against_no_interaction"]
    ]
    return FigureTable("Failures over those without interaction", ["failures", *thresholds], rows)


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
            cells = (_dice(figures["users"][user], at, 3, 2) for user, at, _ in columns)
            rows.append([title, str(figures["cases"]), *cells])
        strong.add(len(rows) - 1)
    caption = "\n".join(["below each mean its 95% interval", *set_notes(model)])
    headings = ["set", "cases", *(heading for _, _, heading in columns)]
    return FigureTable(f"Dice by set: {name}", headings, rows, caption, frozenset(strong))


def set_notes(model: Figures) -> list[str]:
    """Sentences on users who see the target, points that hold, and structures that share a click."""
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
        if macro["nested"] is not None:
            nested = macro["nested"]
            notes.append(
                f"{part}: {100 * nested['covered']:.0f}% of {nested['structures']} structures that share "
                f"{nested['clicks']} click(s) are shown at iteration 1."
            )
    return notes


def candidate_table(summary: Figures) -> FigureTable:
    """Similarity among candidates by iteration, what the best adds, how many there are."""
    iterations = _iterations(summary)

    def cells(model: Figures) -> list[str]:
        return [
            *(number(model["candidate_similarity"].get(i), 3) for i in iterations),
            number(model["best_candidate_gain"].get("1"), 3),
            number(model["candidates_shown"].get("1"), 2),
        ]

    columns = ["model", *iterations, "best of 1 adds", "shown at 1"]
    return _by_model("Median Dice between two candidates", columns, summary, cells)


def uncertainty_table(summary: Figures) -> FigureTable:
    """GED (squared) to all raters and to those who drew something, D_max and ECE of the first proposal."""
    names = ("ged", "ged_drawn", "d_max", "ece")
    columns = ["model", "GED", "GED, who drew", "D_max", "ECE"]
    return _by_model(
        "Uncertainty at 1", columns, summary, lambda model: [number(model[name], 4) for name in names]
    )


def among_raters_table(summary: Figures) -> FigureTable:
    """Dice with single raters: of the other raters' majority, of each model by iteration."""
    iterations = _iterations(summary)
    rows = [
        [
            title_of(name, model),
            str(found["masks"]),
            f"{found['others']:.4f} [{found['others_interval'][0]:.3f}, {found['others_interval'][1]:.3f}]",
            *(number(found["model"].get(i), 4) for i in iterations),
        ]
        for name, model in summary["models"].items()
        if (found := model["among_raters"]) is not None
    ]
    return FigureTable(
        "Dice with single raters", ["model", "masks", "the others' majority", *iterations], rows
    )


def effort_table(summary: Figures) -> FigureTable:
    """Picks of the `approve` user, seconds, memory and device."""

    def cells(model: Figures) -> list[str]:
        return [
            number(model["users"].get("approve", {}).get("picks"), 2),
            number(model["seconds_per_click"], 3),
            number(model["seconds_per_pick"], 3),
            number(model["peak_memory_mb"], 0),
            model["device"],
            str(model["errors"]),
        ]

    columns = ["model", "picks", "s per click", "s per pick", "peak MiB", "device", "refused"]
    return _by_model("Picks (approve user), median seconds, memory", columns, summary, cells)


def paired_table(summary: Figures) -> FigureTable:
    """Differences of the Dice of the first model and each other's on the same cases."""
    iterations = _iterations(summary)
    rows = [
        [
            f"{pair['first']} - {title_of(pair['second'], summary['models'][pair['second']])}{words}",
            str(figures["cases"]),
            *(_dice(figures, i, sign="+") if i in figures["dice"] else "-" for i in iterations),
        ]
        for pair in summary["paired"]
        for words, figures in (("", pair), (f", {WORDS}", sub_row(pair)))
        if figures is not None
    ]
    return FigureTable("Differences of Dice on the same cases", ["models", "cases", *iterations], rows)


def alignment_table(found: Figures) -> FigureTable:
    """Dice with single raters by iteration, and the change to the last (paper Table 2)."""
    rows = [
        [
            f"{name}, {side}",
            str(figures["cases"]),
            *(f"{100 * value:.2f}" for value in figures["dice"].values()),
            "{:+.2f} [{:+.2f}, {:+.2f}]".format(
                *(100 * value for value in (figures["change"], *figures["change_interval"]))
            ),
        ]
        for name, sides in {**found["raters"], "**all**": found["mean"]}.items()
        for side, figures in sides.items()
        if side in (INCLUDED, EXCLUDED)
    ]
    iterations = list(next(iter(found["mean"].values()))["dice"])
    return FigureTable("Dice with each rater in percent", ["rater", "cases", *iterations, "change"], rows)


def transfer_table(users: Figures, name: str = "") -> FigureTable:
    """A carried profile against a fresh one, per user."""

    def change(figures: Figures, what: str, digits: int) -> str:
        values = figures[f"{what}_difference"], *figures[f"{what}_interval"]
        mean, low, high = (f"{value:+.{digits}f}" for value in values)
        return f"{mean} [{low}, {high}]"

    rows = [
        [
            user,
            str(figures["cases"]),
            f"{figures['fresh_dice']:.4f}",
            f"{figures['carried_dice']:.4f}",
            change(figures, "dice", 4),
            f"{figures['fresh_picks']:.2f}",
            f"{figures['carried_picks']:.2f}",
            change(figures, "picks", 2),
        ]
        for user, figures in users.items()
        if figures["cases"]
    ]
    columns = ["user", "cases", "Dice fresh", "carried", "difference", "picks fresh", "carried", "difference"]
    return FigureTable(f"Dice after the click with a carried profile: {name}", columns, rows)


def unseen_table(found: Figures) -> FigureTable:
    """Dice by iteration per rater left out and model, and the mean over raters."""
    iterations = list(next(iter(found["mean"].values()))["dice"])
    rows = [
        [rater, model, *(f"{value:.4f}" for value in figures["dice"].values())]
        for rater, models in {**found["raters"], "mean": found["mean"]}.items()
        for model, figures in models.items()
    ]
    means = frozenset(range(len(rows) - len(found["mean"]), len(rows)))
    columns = ["rater", "model", *iterations]
    return FigureTable("Dice with raters left out of training", columns, rows, strong=means)


def everybody(model: Figures) -> dict[str, Any]:
    """The users of a transfer, and all of them together where they are persons."""
    return {**model["users"], **({"all": model["all"]} if model.get("all") else {})}


def title_of(name: str, model: Figures) -> str:
    """The model's name, and what it or its user is told of the target."""
    if model["oracle"]:
        return f"{name} (oracle)"
    return f"{name} (user {model['user']})" if model.get("user") else name


def user_title(user: str) -> str:
    """The user's name, and what they see."""
    return f"{user} ({SIGHTED[user]})" if user in SIGHTED else user


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals, a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def _by_model(
    title: str, columns: Sequence[str], summary: Figures, cells: Callable[[Figures], Iterable[str]]
) -> FigureTable:
    rows = [[title_of(name, model), *cells(model)] for name, model in summary["models"].items()]
    return FigureTable(title, columns, rows)


def _with_sub_rows(summary: Figures) -> Iterator[tuple[str, Figures]]:
    """Title and figures of every model, and of its cases whose first draw was not empty."""
    for name, model in summary["models"].items():
        yield title_of(name, model), model
        if (few := sub_row(model)) is not None:
            yield f"{title_of(name, model)}, {WORDS}", few


def _dice(figures: Figures, iteration: str, digits: int = 4, ends: int = 3, sign: str = "") -> str:
    low, high = (f"{end:{sign}.{ends}f}" for end in figures["interval"][iteration])
    return f"{figures['dice'][iteration]:{sign}.{digits}f} [{low}, {high}]"


def _points(figures: Figures, step: str) -> str:
    mean, low, high = (100 * v for v in (figures["gain"][step], *figures["gain_interval"][step]))
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _thresholds(summary: Figures) -> list[str]:
    return [f"{x:.2f}" for x in summary["thresholds"]]


def _iterations(summary: Figures) -> list[str]:
    return [str(i) for i in range(1, summary["iterations"] + 1)]
