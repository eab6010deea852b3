"""Leave one rater out: models meet a rater they were not trained on (supplement Table 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.research.datasets.case import MultiRaterDataset
from SPASegmentLib.research.evaluation.options import Options
from SPASegmentLib.research.evaluation.records import write_whole
from SPASegmentLib.research.evaluation.results import rounded
from SPASegmentLib.research.evaluation.runner import evaluate
from SPASegmentLib.research.evaluation.workers import EngineFactory

UNSEEN_FILE = "unseen-raters.json"


def evaluate_unseen_raters(
    engines: Mapping[str, Mapping[str, Engine | EngineFactory]],
    dataset: MultiRaterDataset,
    options: Options | None = None,
    *,
    out: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """What each rater drew is the target of models that never saw it (supplement Table 3).

    engines: by the name of the rater left out of their training, then by the name of the model.
    Returns `{"raters": {RATER: {MODEL: figures}}, "mean": {MODEL: figures}}` with dice, noi and failure_rate,
    the mean over raters. out: a folder per rater and unseen-raters.json. Raises as `evaluate` does.
    """
    if not engines:
        raise SPASegmentError("There is no rater to leave out; name at least one, with the models for it.")
    options = options or Options()
    found: dict[str, Any] = {}
    for number, (rater, models) in enumerate(engines.items()):
        folder = None if out is None else out / f"unseen-{number}"
        asked = replace(options, target=f"raters:{rater}")
        results = evaluate(models, dataset, asked, out=folder, console=console)
        found[rater] = {
            name: {key: figures[key] for key in ("cases", "dice", "noi", "failure_rate")}
            for name, figures in results.summary["models"].items()
        }
    summary = {"raters": found, "mean": _mean_over_raters(found)}
    if out is not None:
        write_whole(out / UNSEEN_FILE, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    return summary


def _mean_over_raters(found: dict[str, Any]) -> dict[str, Any]:
    models = dict.fromkeys(name for figures in found.values() for name in figures)
    return {
        model: {
            key: {
                at: rounded(float(np.mean([f[model][key][at] for f in found.values() if model in f])))
                for at in next(f[model][key] for f in found.values() if model in f)
            }
            for key in ("dice", "noi", "failure_rate")
        }
        for model in models
    }
