"""One Markdown report of an evaluation, with its pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset
from SPASegmentLib.research.evaluation import plots, tables
from SPASegmentLib.research.evaluation.outputs import Results
from SPASegmentLib.research.evaluation.records import CaseRecord, unpack_mask, write_whole
from SPASegmentLib.research.evaluation.results import WORDS, sub_row
from SPASegmentLib.research.evaluation.set_tables import nested_table, set_notes, set_table
from SPASegmentLib.research.evaluation.tables import everybody, user_title

REPORT_FILE = "report.md"
PICTURES_FOLDER = "pictures"
FAILURE = 0.70
"""The Dice below which cases are told by iteration."""


def write_report(
    results: Results,
    out: Path,
    *,
    dataset: MultiRaterDataset | None = None,
    transfer: Mapping[str, Any] | None = None,
    unseen: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Path:
    """Write report.md and its pictures to a folder; returns the report's path.

    dataset: to draw where masks differ from named raters; without it that picture is left out. transfer: the
    summary of `run_transfer`. unseen: that of `evaluate_unseen_raters`. command: the one that
    reproduces the figures.
    """
    pictures = out / PICTURES_FOLDER
    parts = [
        _heading(results.summary, command),
        _by_set(results.summary),
        _dice(results.summary, pictures),
        _effort(results.summary, pictures),
        _candidates(results, pictures),
        _uncertainty(results.summary, pictures),
        _among_raters(results.summary),
        _alignment(results, dataset, pictures),
        _transfer(transfer, pictures),
        _unseen(unseen),
        _cases(results),
    ]
    path = out / REPORT_FILE
    write_whole(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _heading(summary: Mapping[str, Any], command: str | None) -> str:
    machine = summary["machine"]
    settings = (
        f"Target: {summary['target']}. Protocol seed {summary['protocol_seed']}, engine seed "
        f"{summary['engine_seed']}, N {summary['n_samples'] or 'of each model'}. "
        f"{_processes(machine)} of {machine['threads']} thread(s), {machine['system']}."
    )
    models = "\n".join(
        f"- **{name}**: {model['model']['name']}, SHA-256 `{model['model']['hash']}`, on {model['device']}"
        + (f"; profile {model['model']['profile']}" if "profile" in model["model"] else "")
        + ("; **is shown the target, so it is no rival**" if model["oracle"] else "")
        + (f"; its user {model['user']}, and so sees the target" if model.get("user") else "")
        for name, model in summary["models"].items()
    )
    made_by = f"\n\n```\n{command}\n```" if command else ""
    return f"# Evaluation on {summary['dataset']}\n\n{settings}{made_by}\n\n{models}"


def _processes(machine: Mapping[str, Any]) -> str:
    """How many computed, and where."""
    count = "All" if machine["workers"] is None else str(machine["workers"])
    return f"{count} process(es){' of a Ray cluster' if machine.get('cluster') else ''}"


def _by_set(summary: Mapping[str, Any]) -> str:
    if "by_set" not in summary:
        return ""
    parts = [f"### {name}\n\n{_set(model)}" for name, model in summary["by_set"].items()]
    nested = nested_table(summary)
    if nested.rows:
        parts.append(f"### {nested.title}\n\n{nested.caption}\n\n{nested.markdown()}")
    return (
        "## By set\n\nMean Dice with 95% intervals, resampled by patient within each set; the mean over sets "
        "weighs each alike. Sections below are over all cases and so follow the largest sets.\n\n"
        + "\n\n".join(parts)
    )


def _set(model: Mapping[str, Any]) -> str:
    told, notes = set_table(model).markdown(), set_notes(model)
    return "\n\n".join([told, "\n".join(f"- {note}" for note in notes)]) if notes else told


def _dice(summary: Mapping[str, Any], pictures: Path) -> str:
    plots.dice_by_iteration(summary, pictures / "dice-by-iteration.png")
    users = list(next(iter(summary["models"].values()))["users"])
    told = "\n\n".join(
        f"User: {user_title(user)}\n\n{tables.dice_table(summary, user).markdown()}" for user in users
    )
    text = (
        "## Dice by iteration\n\nMean over cases of the recommended mask, with 95% bootstrap intervals "
        f"resampled by patient.\n\n{told}\n\n{_picture('dice-by-iteration.png', 'Dice by iteration')}\n\n"
        f"Gain in points from each iteration to the next:\n\n{tables.gain_table(summary).markdown()}"
    )
    compared = tables.user_table(summary)
    text += f"\n\nUsers; {compared.caption}\n\n{compared.markdown()}"
    if summary["paired"]:
        text += f"\n\nDifferences on the same cases:\n\n{tables.paired_table(summary).markdown()}"
    if any(sub_row(model) is not None for model in summary["models"].values()):
        text += (
            f'\n\nRows "{WORDS}" leave out the cases in which the first subset of raters drawn had an empty '
            "target and others were drawn until one had not; the engines ran once, on all cases."
        )
    return text


def _effort(summary: Mapping[str, Any], pictures: Path) -> str:
    plots.bars_by_threshold(summary, "noi", "mean iterations (10 if never)", pictures / "noi.png")
    plots.bars_by_threshold(summary, "failure_rate", "share of cases that fail", pictures / "failures.png")
    return (
        "## Effort\n\nIterations to reach a Dice (10 where six do not), and the share that do not.\n\n"
        f"{tables.reach_table(summary).markdown()}\n\n{_picture('noi.png', 'Iterations to reach a Dice')}\n\n"
        f"{_picture('failures.png', 'Failure rate')}\n\n{_below(summary)}"
        f"Picks are the approve user's; seconds are medians.\n\n{tables.effort_table(summary).markdown()}"
    )


def _below(summary: Mapping[str, Any]) -> str:
    """Cases below 0.70, where it is among the thresholds, and failures over those without interaction."""
    text = ""
    if f"{FAILURE:.2f}" in (f"{x:.2f}" for x in summary["thresholds"]):
        text = (
            f"Cases whose Dice is below {FAILURE:.2f}, by iteration:\n\n"
            f"{tables.below_table(summary, f'{FAILURE:.2f}').markdown()}\n\n"
        )
    if rows := tables.no_interaction_table(summary).markdown():
        text += (
            f"Failures over those of the model that offers nothing to pick, by Dice to reach:\n\n{rows}\n\n"
        )
    return text


def _candidates(results: Results, pictures: Path) -> str:
    name = "candidate-similarity.png"
    plots.candidate_similarity(results.records, results.summary["iterations"], pictures / name)
    text = (
        "## Candidates\n\nMedian Dice between every two candidates, by iteration; what the best of the first "
        f"four adds to the recommendation.\n\n{tables.candidate_table(results.summary).markdown()}"
    )
    return f"{text}\n\n{_picture(name, 'Similarity of candidates')}" if (pictures / name).exists() else text


def _uncertainty(summary: Mapping[str, Any], pictures: Path) -> str:
    plots.calibration(summary, pictures / "calibration.png")
    return (
        "## Uncertainty\n\nOf the first proposal: squared generalised energy distance (1 - IoU, lower is "
        "better) and D_max of its samples against all raters on the slice's pixels, the distance also "
        "against only the raters who drew something, since nobody clicks on what they would not draw; "
        "calibration error of its mean against the target inside the zoomed region. Then the distance, "
        "HM-IoU (samples and raters matched one to one) and D_max of 16 of the samples, as they are often "
        "printed.\n\n"
        f"{tables.uncertainty_table(summary).markdown()}\n\n"
        f"{_picture('calibration.png', 'Calibration')}"
    )


def _among_raters(summary: Mapping[str, Any]) -> str:
    rows = tables.among_raters_table(summary).markdown()
    if not rows:
        return ""
    return (
        "## The raters among themselves\n\nDice with the mask of a single rater, where at least three drew: "
        "of the majority of the other raters, who saw the same image, and of each model by iteration. The "
        f"models steer towards their target, which is not always that rater.\n\n{rows}"
    )


def _alignment(results: Results, dataset: MultiRaterDataset | None, pictures: Path) -> str:
    parts = []
    for number, (name, model) in enumerate(results.summary["models"].items()):
        if model["alignment"] is None:
            continue
        chart, picture = f"alignment-{number + 1}.png", f"alignment-case-{number + 1}.png"
        plots.alignment_by_iteration(model["alignment"], pictures / chart)
        part = (
            f"### {name}\n\n{tables.alignment_table(model['alignment']).markdown()}\n\n"
            f"{_picture(chart, 'Change of Dice with each rater')}"
        )
        record = typical_case(results.records[name])
        if dataset is not None and record is not None:
            _draw_case(dataset, record, pictures / picture)
            part += f"\n\n{_picture(picture, f'Case {record.case}: where the mask differs from each rater')}"
        parts.append(part)
    if not parts:
        return ""
    title = "## Alignment with single raters\n\nDice in percent with each rater, in cases whose target"
    return f"{title} includes them and in the others.\n\n" + "\n\n".join(parts)


def typical_case(records: list[CaseRecord]) -> CaseRecord | None:
    """Of the cases with raters included and left out, the one whose gain is the median; not the best one."""
    able = [r for r in records if r.pictures and 0 < len(r.included) < len(r.raters)]
    able.sort(key=lambda record: (record.dice[-1] - record.dice[0], record.case))
    return able[len(able) // 2] if able else None


def _draw_case(dataset: MultiRaterDataset, record: CaseRecord, path: Path) -> None:
    case: Case = dataset[dataset.case_ids().index(record.case)]
    masks = unpack_mask(record.pictures["first"]), unpack_mask(record.pictures["last"])
    raters = dict(zip(case.raters, np.asarray(case.masks, dtype=bool), strict=True))
    plots.alignment_picture(case.image, raters, record, masks, path)


def _transfer(transfer: Mapping[str, Any] | None, pictures: Path) -> str:
    if transfer is None:
        return ""
    parts = []
    for number, (name, model) in enumerate(transfer["models"].items()):
        picture = f"transfer-{number + 1}.png"
        plots.transfer_by_position(model["users"], pictures / picture)
        rows = tables.transfer_table(everybody(model)).markdown()
        levels = tables.level_table(everybody(model)).markdown()
        parts.append(f"### {name}\n\n{rows}\n\n{levels}\n\n{_picture(picture, 'Carried and fresh')}")
    apart = transfer["learn_from"] or transfer.get("apart")
    where = "other images" if apart else "the cases before"
    return (
        f"## Transfer\n\nDice after the click and picks of the approve user, with a profile taught on "
        f"{where} ({transfer['warm']} at least) against a fresh one. The second table says how much is there "
        "to be had: the mean map after the click cut at one level for each user, or for each case, the best "
        "in hindsight, against 0.5.\n\n" + "\n\n".join(parts)
    )


def _unseen(unseen: Mapping[str, Any] | None) -> str:
    if unseen is None:
        return ""
    return (
        "## Raters left out\n\nMean Dice by iteration with what a rater drew, of models trained without that "
        "rater; differences over all raters' cases, with 95% intervals resampled by patient.\n\n"
        f"{tables.unseen_table(unseen).markdown()}"
    )


def _cases(results: Results) -> str:
    skipped, redrawn = len(results.targets["skipped"]), len(results.targets["redrawn"])
    text = f"Targets and clicks: `{results.summary['targets_file']}`; every case: `cases.csv`."
    if redrawn:
        text += f" In {redrawn} of {len(results.targets['cases'])} cases the first draw was empty."
    return f"{text} {skipped} case(s) without a target were left out." if skipped else text


def _picture(name: str, words: str) -> str:
    return f"![{words}]({PICTURES_FOLDER}/{name})"
