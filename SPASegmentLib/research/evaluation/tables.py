"""The figures of an evaluation as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from SPASegmentLib.research.evaluation.figure_table import (
    Figures,
    FigureTable,
    dice_cell,
    number,
    title_of,
    user_title,
)
from SPASegmentLib.research.evaluation.results import WORDS, sub_row
from SPASegmentLib.research.evaluation.set_tables import nested_table, set_table
from SPASegmentLib.research.evaluation.subgroups import EXCLUDED, INCLUDED

if TYPE_CHECKING:
    from rich.table import Table

FAILURE = "0.80"
"""The Dice that cases are counted as never reaching, where it is among the thresholds."""


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
        user_table(summary),
        paired_table(summary),
        nested_table(summary),
    ]
    if transfer is not None:
        for name, model in transfer["models"].items():
            tables += [transfer_table(everybody(model), name), level_table(everybody(model), name)]
    if unseen is not None:
        tables.append(unseen_table(unseen))
    return [table.shown() for table in tables if table.rows]


def dice_table(summary: Figures, user: str) -> FigureTable:
    """Mean Dice by iteration with intervals, of one user model."""
    iterations = _iterations(summary)
    rows = [
        [title, str(figures["cases"]), *(dice_cell(figures["users"][user], i) for i in iterations)]
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


def user_table(summary: Figures) -> FigureTable:
    """How each user fares: Dice at the end and against `always-pick`, area under it, surface Dice, picks."""
    thresholds = _thresholds(summary)
    reach = FAILURE if FAILURE in thresholds else thresholds[-1]
    last = str(summary["iterations"])

    def surface(figures: Figures, at: str) -> str:
        return number(None if figures["surface_dice"] is None else figures["surface_dice"][at], 3)

    rows = []
    for name, model in summary["models"].items():
        for user, figures in model["users"].items():
            change = figures.get("against_always_pick")
            told = "-" if change is None else dice_cell(change, last, sign="+")
            ends = [surface(figures, at) for at in ("1", last)]
            never = f"{100 * figures['failure_rate'][reach]:.1f}%"
            dice, area = number(figures["dice"][last], 4), number(figures["auc"], 4)
            picks = number(figures["picks"], 2)
            rows.append([f"{title_of(name, model)}, {user}", dice, told, area, *ends, never, picks])
    tolerance = summary["surface_tolerance"]
    caption = (
        "change: of that Dice against always-pick. AUC: area under Dice over iterations, of 1. surface: "
        f"normalised surface Dice within {tolerance['mm']:g} mm, or "
        f"{tolerance['pixels_of_unknown_size']:g} pixels where their size is not known."
    )
    columns = [f"Dice {last}", "change", "AUC", "surface 1", f"surface {last}", f"never {reach}", "picks"]
    return FigureTable("Users", ["model, user", *columns], rows, caption)


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
    """GED (squared) to all raters and to those who drew something, D_max and ECE of the first proposal.

    Then GED, HM-IoU and D_max of 16 of its samples.
    """
    names = ("ged", "ged_drawn", "d_max", "ece", "ged_16", "hm_iou_16", "d_max_16")
    columns = ["model", "GED", "GED, who drew", "D_max", "ECE", "GED 16", "HM-IoU 16", "D_max 16"]
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
    """Picks of the `approve` user, seconds, how rough outlines are beside the target's, memory, device."""

    def cells(model: Figures) -> list[str]:
        return [
            number(model["users"].get("approve", {}).get("picks"), 2),
            number(model["seconds_per_click"], 3),
            number(model["seconds_per_pick"], 3),
            number(model["bending_ratio"], 2),
            number(model["peak_memory_mb"], 0),
            model["device"],
            str(model["errors"]),
        ]

    columns = ["model", "picks", "s per click", "s per pick", "outline", "peak MiB", "device", "refused"]
    return _by_model("Picks (approve user), median seconds, memory", columns, summary, cells)


def paired_table(summary: Figures) -> FigureTable:
    """Differences of two models' Dice on the same cases, of the headline user and then of the others."""
    iterations = _iterations(summary)
    rows = [
        [
            f"{pair['first']} - {title_of(pair['second'], summary['models'][pair['second']])}{words}",
            str(figures["cases"]),
            *(dice_cell(figures, i, sign="+") if i in figures["dice"] else "-" for i in iterations),
        ]
        for pair in summary["paired"]
        for words, figures in (
            ("", pair),
            (f", {WORDS}", sub_row(pair)),
            *((f", {user}", found) for user, found in pair["users"].items()),
        )
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


def level_table(users: Figures, name: str = "") -> FigureTable:
    """What a profile that knew how much its user includes could bring at most."""

    def change(mean: float, ends: Sequence[float]) -> str:
        return f"{mean:+.4f} [{ends[0]:+.3f}, {ends[1]:+.3f}]"

    rows = [
        [
            user,
            ", ".join(f"{level:.2f}" for level in found["levels"].values()) if user != "all" else "own",
            change(found["dice_difference"], found["dice_interval"]),
            change(found["best_of_each"], found["best_of_each_interval"]),
        ]
        for user, figures in users.items()
        if figures["cases"] and (found := figures["own_level"]) is not None
    ]
    caption = (
        "the mean map after the click, cut at one level for each user or each case, the best in hindsight, "
        "against 0.5: an oracle"
    )
    columns = ["user", "level", "one a user brings", "one a case brings"]
    return FigureTable(f"Dice that the level could bring: {name}", columns, rows, caption)


def unseen_table(found: Figures) -> FigureTable:
    """Dice by iteration per rater left out and model, and the mean over raters."""
    iterations = list(next(iter(found["mean"].values()))["dice"])
    rows = [
        [f"{rater}, {model}", *(f"{value:.4f}" for value in figures["dice"].values())]
        for rater, models in {**found["raters"], "mean": found["mean"]}.items()
        for model, figures in models.items()
    ]
    means = frozenset(range(len(rows) - len(found["mean"]), len(rows)))
    rows += [
        [f"all, {pair['first']} - {pair['second']}", *(dice_cell(pair, i, sign="+") for i in iterations)]
        for pair in found["paired"]
    ]
    columns = ["rater, model", *iterations]
    return FigureTable("Dice with raters left out of training", columns, rows, strong=means)


def everybody(model: Figures) -> dict[str, Any]:
    """The users of a transfer, those of each part of the sets, and all together where they are persons."""
    parts = {f"all, {part}": figures for part, figures in model.get("parts", {}).items()}
    return {**model["users"], **parts, **({"all": model["all"]} if model.get("all") else {})}


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


def _points(figures: Figures, step: str) -> str:
    mean, low, high = (100 * v for v in (figures["gain"][step], *figures["gain_interval"][step]))
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _thresholds(summary: Figures) -> list[str]:
    return [f"{x:.2f}" for x in summary["thresholds"]]


def _iterations(summary: Figures) -> list[str]:
    return [str(i) for i in range(1, summary["iterations"] + 1)]
