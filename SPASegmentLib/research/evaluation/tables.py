"""The figures as tables on the terminal, made to fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from SPASegmentLib.research.evaluation.protocol import SIGHTED
from SPASegmentLib.research.evaluation.results import WORDS, sub_row


def all_tables(
    summary: dict[str, Any],
    transfer: dict[str, Any] | None = None,
    unseen: dict[str, Any] | None = None,
) -> list[Table]:
    """Dice, effort and more; differences of models, carried profiles, raters left out where there are any."""
    tables = [set_table(name, model) for name, model in summary.get("by_set", {}).items()]
    tables += [dice_table(summary), gain_table(summary), failure_table(summary), figures_table(summary)]
    if summary["paired"]:
        tables.append(paired_table(summary))
    if transfer is not None:
        tables += [transfer_table(name, everybody(model)) for name, model in transfer["models"].items()]
    if unseen is not None:
        tables.append(unseen_table(unseen))
    return tables


def everybody(model: Mapping[str, Any]) -> dict[str, Any]:
    """The users of a transfer, and all of them together where they are persons."""
    return {**model["users"], **({"all": model["all"]} if model.get("all") else {})}


def dice_table(summary: dict[str, Any]) -> Table:
    """Mean Dice by iteration with its 95% interval, a row per model."""
    user = user_title(summary["headline_user"])
    table = _table(
        f"Dice by iteration: {summary['dataset']}, target {summary['target']}, {user}",
        ["model", "cases", *_iterations(summary)],
    )
    table.caption = "below each mean the ends of its 95% interval, resampled by patient"
    for name, model in summary["models"].items():
        cells = [_lines("", model["dice"][i], *model["interval"][i]) for i in _iterations(summary)]
        table.add_row(title_of(name, model), str(model["cases"]), *cells)
        if (few := sub_row(model)) is not None:
            told = few["users"][summary["headline_user"]]
            cells = [_lines("", told["dice"][i], *told["interval"][i]) for i in _iterations(summary)]
            table.add_row(f"  {WORDS}", str(few["cases"]), *cells)
    return table


SET_COLUMNS = (
    ("always-pick", "1", "click"),
    ("always-pick", "3", "2\npicks"),
    ("always-pick", "6", "5\npicks"),
    ("approve", "6", "approve"),
    ("correct", "2", "1\npoint"),
    ("correct", "4", "3\npoints"),
    ("mixed", "2", "1\nmixed"),
    ("mixed", "4", "3\nmixed"),
)
"""User, iteration and heading of the figures told by set."""


def set_columns(model: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Those of `SET_COLUMNS` that were measured; the click stands first whoever the users are."""
    users = next(iter(model["macro"].values()))["users"]
    found = [column for column in SET_COLUMNS if column[1] in users.get(column[0], {"dice": {}})["dice"]]
    if "always-pick" not in users:
        found.insert(0, (next(iter(users)), "1", "click"))
    return found


def set_rows(model: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], bool]]:
    """Title and figures of each set, part by part, each part's macro mean (True) after its sets."""
    rows: list[tuple[str, Mapping[str, Any], bool]] = []
    for part, macro in model["macro"].items():
        rows += [(name, one, False) for name, one in model["sets"].items() if one["part"] == part]
        rows.append((f"{part}: mean, {macro['sets']} sets", macro, True))
    return rows


def set_notes(model: Mapping[str, Any]) -> list[str]:
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


def set_table(name: str, model: Mapping[str, Any]) -> Table:
    """Mean Dice of every set and the macro means; the interval of these stands below."""
    columns = set_columns(model)
    table = _table(f"Dice by set: {name}", ["set", "cases", *(heading for _, _, heading in columns)])
    table.caption = "\n".join(["below each macro mean its 95% interval", *set_notes(model)])
    for title, figures, is_macro in set_rows(model):
        cells = []
        for user, at, _ in columns:
            told = figures["users"][user]
            cells.append(_lines("", told["dice"][at], *(told["interval"][at] if is_macro else ())))
        table.add_row(title, str(figures["cases"]), *cells, end_section=is_macro)
    return table


def gain_table(summary: dict[str, Any]) -> Table:
    """Gain of the mean Dice from each iteration to the next; the interval's ends stand below."""
    steps = list(next(iter(summary["models"].values()))["gain"])
    table = _table("Gain of Dice in points from iteration to iteration", ["model", *steps])
    for name, model in summary["models"].items():
        cells = [
            "\n".join(f"{100 * v:+.2f}" for v in (model["gain"][s], *model["gain_interval"][s]))
            for s in steps
        ]
        table.add_row(title_of(name, model), *cells)
    return table


def failure_table(summary: dict[str, Any]) -> Table:
    """Cases that reach a Dice at no iteration, in percent; the interval's ends stand below."""
    thresholds = [f"{x:.2f}" for x in summary["thresholds"]]
    table = _table(
        f"Cases that do not reach a Dice in {summary['iterations']} iterations, in percent",
        ["model", *thresholds],
    )
    ratios = {pair["model"]: pair["thresholds"] for pair in summary["against_no_interaction"]}
    for name, model in summary["models"].items():
        cells = [
            "\n".join(f"{100 * v:.1f}" for v in (model["failure_rate"][x], *model["failure_interval"][x]))
            for x in thresholds
        ]
        table.add_row(title_of(name, model), *cells)
        if name in ratios:
            shares = [ratios[name][x]["ratio"] for x in thresholds]
            table.add_row("  over no-interaction's", *(number(share, 2) for share in shares))
    return table


def figures_table(summary: dict[str, Any]) -> Table:
    """Effort, candidates, uncertainty and speed, a row per model."""
    table = _table(
        "Picks (approve user), candidates at 1, uncertainty, median seconds",
        ["model", "picks", "similar", "GED", "D_max", "ECE", "s/click", "s/pick", "MiB", "device"],
    )
    for name, model in summary["models"].items():
        table.add_row(
            name,
            number(model["users"].get("approve", model)["picks"], 2),
            number(model["candidate_similarity"].get("1"), 3),
            number(model["ged"], 3),
            number(model["d_max"], 3),
            number(model["ece"], 3),
            number(model["seconds_per_click"], 3),
            number(model["seconds_per_pick"], 3),
            number(model["peak_memory_mb"], 0),
            model["device"],
        )
    return table


def paired_table(summary: dict[str, Any]) -> Table:
    """The first model's Dice minus each other's on the same cases; the interval's ends stand below."""
    first = summary["paired"][0]["first"]
    table = _table(f"Dice of {first} minus that of", ["model", *_iterations(summary)])
    for pair in summary["paired"]:
        cells = [
            _lines("+", pair["dice"][i], *pair["interval"][i]) if i in pair["dice"] else "-"
            for i in _iterations(summary)
        ]
        table.add_row(title_of(pair["second"], summary["models"][pair["second"]]), *cells)
    return table


def transfer_table(name: str, users: dict[str, Any]) -> Table:
    """A carried profile against a fresh one, a row per user; the interval's ends stand below."""
    columns = ["user", "cases", "fresh", "carried", "difference", "picks fresh", "carried"]
    table = _table(f"Dice after the click with a carried profile: {name}", columns)
    for user, figures in users.items():
        if not figures["cases"]:
            continue
        table.add_row(
            user,
            str(figures["cases"]),
            number(figures["fresh_dice"], 3),
            number(figures["carried_dice"], 3),
            _lines("+", figures["dice_difference"], *figures["dice_interval"]),
            number(figures["fresh_picks"], 2),
            number(figures["carried_picks"], 2),
        )
    return table


def unseen_table(found: Mapping[str, Any]) -> Table:
    """Dice with what a rater drew of models trained without them."""
    iterations = list(next(iter(found["mean"].values()))["dice"])
    table = _table("Dice with raters left out of training", ["rater", "model", *iterations])
    for rater, models in {**found["raters"], "mean": found["mean"]}.items():
        for model, figures in models.items():
            table.add_row(rater, model, *(number(value, 3) for value in figures["dice"].values()))
    return table


def title_of(name: str, model: Mapping[str, Any]) -> str:
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


def _iterations(summary: dict[str, Any]) -> list[str]:
    return [str(i) for i in range(1, summary["iterations"] + 1)]


def _lines(sign: str, *values: float) -> str:
    return "\n".join(f"{value:{sign}.3f}" for value in values)


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number_, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if number_ else "left",
            no_wrap=number_ > 0,
            overflow="fold",
        )
    return table
