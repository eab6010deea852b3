"""Tables of a report, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from SPASegmentLib.research.evaluation.results import WORDS, sub_row
from SPASegmentLib.research.evaluation.subgroups import EXCLUDED, INCLUDED
from SPASegmentLib.research.evaluation.tables import number, set_columns, set_notes, set_rows, title_of


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is to the left, the others to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def dice_table(summary: Mapping[str, Any], user: str) -> str:
    """Mean Dice by iteration with intervals, of one user model."""
    iterations = _iterations(summary)
    rows = [
        [title, str(figures["cases"]), *(_with_interval(figures["users"][user], i) for i in iterations)]
        for title, figures in _with_sub_rows(summary)
    ]
    return table(["model", "cases", *iterations], rows)


def _with_sub_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Title and figures of every model, and of its cases whose first draw was not empty."""
    for name, model in summary["models"].items():
        yield title_of(name, model), model
        if (few := sub_row(model)) is not None:
            yield f"{title_of(name, model)}, {WORDS}", few


def _with_interval(figures: Mapping[str, Any], iteration: str) -> str:
    low, high = figures["interval"][iteration]
    return f"{figures['dice'][iteration]:.4f} [{low:.3f}, {high:.3f}]"


def gain_table(summary: Mapping[str, Any]) -> str:
    """Change of the mean Dice in points from each iteration to the next (supplement Table 4)."""
    user = summary["headline_user"]
    steps = list(next(iter(summary["models"].values()))["gain"])
    rows = [
        [title, *(_points(figures["users"][user], step) for step in steps)]
        for title, figures in _with_sub_rows(summary)
    ]
    return table(["model", *steps], rows)


def _points(figures: Mapping[str, Any], step: str) -> str:
    low, high = figures["gain_interval"][step]
    return f"{100 * figures['gain'][step]:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def reach_table(summary: Mapping[str, Any]) -> str:
    """NoI and failure rate at every Dice to reach."""
    user, thresholds = summary["headline_user"], _thresholds(summary)
    rows = [
        [
            title,
            *(f"{figures['users'][user]['noi'][x]:.2f}" for x in thresholds),
            *(_percent(figures["users"][user], x) for x in thresholds),
        ]
        for title, figures in _with_sub_rows(summary)
    ]
    columns = [*(f"NoI@{x}" for x in thresholds), *(f"fails {x}" for x in thresholds)]
    return table(["model", *columns], rows)


def _percent(figures: Mapping[str, Any], threshold: str) -> str:
    low, high = figures["failure_interval"][threshold]
    return f"{100 * figures['failure_rate'][threshold]:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def below_table(summary: Mapping[str, Any], threshold: str) -> str:
    """Share of cases below a Dice, by iteration."""
    iterations, user = _iterations(summary), summary["headline_user"]
    rows = [
        [title, *(f"{100 * figures['users'][user]['below'][threshold][i]:.1f}%" for i in iterations)]
        for title, figures in _with_sub_rows(summary)
    ]
    return table(["model", *iterations], rows)


def no_interaction_table(summary: Mapping[str, Any]) -> str:
    """Failures over those of the model that offers nothing to pick; "" where there is no such model."""
    thresholds = _thresholds(summary)
    rows = [
        [f"{pair['model']} / {pair['rival']}", *(_ratio(pair["thresholds"][x]) for x in thresholds)]
        for pair in summary["against_no_interaction"]
    ]
    return table(["failures", *thresholds], rows) if rows else ""


def _ratio(found: Mapping[str, Any]) -> str:
    rates = f"{100 * found['rate']:.1f}% / {100 * found['rival_rate']:.1f}%"
    if found["ratio"] is None:
        return rates
    low, high = ("inf" if end is None else f"{end:.2f}" for end in found["interval"])
    return f"{rates} = {found['ratio']:.2f} [{low}, {high}]"


def _thresholds(summary: Mapping[str, Any]) -> list[str]:
    return [f"{x:.2f}" for x in summary["thresholds"]]


def set_table(model: Mapping[str, Any]) -> str:
    """Mean Dice of every set with its interval, and of each part the macro mean."""
    columns = set_columns(model)
    rows = []
    for title, figures, is_macro in set_rows(model):
        bold = "**" if is_macro else ""
        cells = [_short_with_interval(figures["users"][user], at) for user, at, _ in columns]
        rows.append([f"{bold}{title}{bold}", str(figures["cases"]), *cells])
    notes = "\n".join(f"- {note}" for note in set_notes(model))
    told = table(["set", "cases", *(heading.replace("\n", " ") for _, _, heading in columns)], rows)
    return f"{told}\n\n{notes}" if notes else told


def _short_with_interval(figures: Mapping[str, Any], iteration: str) -> str:
    low, high = figures["interval"][iteration]
    return f"{figures['dice'][iteration]:.3f} [{low:.2f}, {high:.2f}]"


def candidate_table(summary: Mapping[str, Any]) -> str:
    """Similarity among candidates by iteration, what the best adds, how many there are."""
    iterations = _iterations(summary)
    rows = [
        [
            title_of(name, model),
            *(number(model["candidate_similarity"].get(i), 3) for i in iterations),
            number(model["best_candidate_gain"].get("1"), 3),
            number(model["candidates_shown"].get("1"), 2),
        ]
        for name, model in summary["models"].items()
    ]
    return table(["model", *iterations, "best of 1 adds", "shown at 1"], rows)


def uncertainty_table(summary: Mapping[str, Any]) -> str:
    """GED (squared) to all raters and to those who drew something, D_max and ECE of the first proposal."""
    names = ("ged", "ged_drawn", "d_max", "ece")
    rows = [
        [title_of(name, model), *(number(model[figure], 4) for figure in names)]
        for name, model in summary["models"].items()
    ]
    return table(["model", "GED", "GED, who drew", "D_max", "ECE"], rows)


def among_raters_table(summary: Mapping[str, Any]) -> str:
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
    return table(["model", "masks", "the others' majority", *iterations], rows) if rows else ""


def effort_table(summary: Mapping[str, Any]) -> str:
    """Picks of the `approve` user, seconds, memory and device."""
    rows = [
        [
            title_of(name, model),
            number(model["users"].get("approve", {}).get("picks"), 2),
            number(model["seconds_per_click"], 3),
            number(model["seconds_per_pick"], 3),
            number(model["peak_memory_mb"], 0),
            model["device"],
            str(model["errors"]),
        ]
        for name, model in summary["models"].items()
    ]
    return table(["model", "picks", "s per click", "s per pick", "peak MiB", "device", "refused"], rows)


def paired_table(summary: Mapping[str, Any]) -> str:
    """Differences to the first model."""
    iterations = _iterations(summary)
    rows = [
        [f"{pair['first']} - {pair['second']}{words}", str(figures["cases"])]
        + [_difference(figures, i) for i in iterations]
        for pair in summary["paired"]
        for words, figures in (("", pair), (f", {WORDS}", sub_row(pair)))
        if figures is not None
    ]
    return table(["models", "cases", *iterations], rows)


def _difference(pair: Mapping[str, Any], iteration: str) -> str:
    if iteration not in pair["dice"]:
        return "-"
    low, high = pair["interval"][iteration]
    return f"{pair['dice'][iteration]:+.4f} [{low:+.3f}, {high:+.3f}]"


def alignment_table(found: Mapping[str, Any]) -> str:
    """Dice with single raters by iteration, and the change to the last (paper Table 2)."""
    groups = {**found["raters"], "**all**": found["mean"]}
    rows = [
        [
            f"{name}, {side}",
            str(figures["cases"]),
            *(f"{100 * value:.2f}" for value in figures["dice"].values()),
            "{:+.2f} [{:+.2f}, {:+.2f}]".format(
                *(100 * value for value in (figures["change"], *figures["change_interval"]))
            ),
        ]
        for name, sides in groups.items()
        for side, figures in sides.items()
        if side in (INCLUDED, EXCLUDED)
    ]
    iterations = list(next(iter(found["mean"].values()))["dice"])
    return table(["rater", "cases", *iterations, "change"], rows)


def transfer_table(users: Mapping[str, Any]) -> str:
    """A carried profile against a fresh one, per user."""
    rows = [
        [
            user,
            str(figures["cases"]),
            f"{figures['fresh_dice']:.4f}",
            f"{figures['carried_dice']:.4f}",
            _change(figures, "dice", 4),
            f"{figures['fresh_picks']:.2f}",
            f"{figures['carried_picks']:.2f}",
            _change(figures, "picks", 2),
        ]
        for user, figures in users.items()
        if figures["cases"]
    ]
    return table(
        ["user", "cases", "Dice fresh", "carried", "difference", "picks fresh", "carried", "difference"], rows
    )


def unseen_table(found: Mapping[str, Any]) -> str:
    """Dice by iteration per rater left out and model, and the mean over raters."""
    iterations = list(next(iter(found["mean"].values()))["dice"])
    rows = [
        [rater, model, *(f"{value:.4f}" for value in figures["dice"].values())]
        for rater, models in {**found["raters"], "**mean**": found["mean"]}.items()
        for model, figures in models.items()
    ]
    return table(["rater", "model", *iterations], rows)


def _change(figures: Mapping[str, Any], what: str, digits: int) -> str:
    low, high = figures[f"{what}_interval"]
    return f"{figures[f'{what}_difference']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _iterations(summary: Mapping[str, Any]) -> list[str]:
    return [str(i) for i in range(1, summary["iterations"] + 1)]
