"""`evaluate --invariance`: what a click's Dice changes by when the same picture is shown in another way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.inference.session import Session
from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset, read_case
from SPASegmentLib.research.evaluation.interaction import slice_image
from SPASegmentLib.research.evaluation.metrics import bootstrap_means, dice
from SPASegmentLib.research.evaluation.protocol import Options, draw
from SPASegmentLib.research.evaluation.records import RecordFile, RecordList, write_whole
from SPASegmentLib.research.evaluation.results import rounded
from SPASegmentLib.research.evaluation.runner import (
    RECORDS_FOLDER,
    chosen_cases,
    file_name,
    progress_bars,
)
from SPASegmentLib.research.evaluation.workers import EngineFactory

Turn = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class ShownSlice:
    """A case as it is shown. target: (H, W) bool. click: (row, col)."""

    image: SliceImage
    target: np.ndarray
    click: tuple[float, float]


@dataclass
class InvarianceRecord:
    """One case of one model: way of showing it -> Dice after the click. skipped: why there is none."""

    case: str
    patient: str = ""
    dice: dict[str, float] = field(default_factory=dict)
    skipped: str = ""

    @property
    def key(self) -> str:
        """The case."""
        return self.case


def ways(shown: ShownSlice) -> dict[str, ShownSlice]:
    """The same slice as it is, mirrored, turned, in other windows, inverted where it is MR, resampled.

    At another resolution the target is what of it lies on those pixels; where nothing does, it is left out.
    """
    height, width = shown.target.shape
    (row, col), spacing = shown.click, shown.image.spacing
    found = {
        "as it is": shown,
        "mirrored left to right": _turned(shown, np.fliplr, (row, width - 1 - col), spacing),
        "mirrored top to bottom": _turned(shown, np.flipud, (height - 1 - row, col), spacing),
        "a quarter turn": _turned(shown, np.rot90, (width - 1 - col, row), spacing[::-1]),
        "a wider window": _valued(shown, lambda values: 0.1 + 0.8 * values),
        "a narrower window": _valued(shown, lambda values: np.clip((values - 0.05) / 0.85, 0, 1)),
        "half the resolution": _halved(shown),
        "twice the resolution": _doubled(shown),
    }
    if shown.image.modality == "MR":
        found["inverted"] = _valued(shown, lambda values: 1 - values)
    return {name: one for name, one in found.items() if one.target.any() and not _flat(one.image)}


def evaluate_invariance(
    factories: Mapping[str, EngineFactory],
    cases: MultiRaterDataset,
    *,
    out: Path | None = None,
    limit: int | None = None,
    protocol_seed: int = 0,
    console: Console | None = None,
) -> dict[str, Any]:
    """Every model on the same clicks, each shown in all `ways`.

    limit: so many cases (of a data set of sets, per set). out: folder of results.json and the records, from
    which a killed run goes on. Returns models -> NAME -> invariance -> WAY: cases, dice [mean, low, high] and
    change [mean, low, high], the paired difference to the slice as it is; patients are resampled.
    Raises SPASegmentError where `out` holds another evaluation or there is no case.
    """
    chosen = chosen_cases(cases, Options(limit=limit, protocol_seed=protocol_seed))
    ids = cases.case_ids()
    models: dict[str, Any] = {}
    for name, factory in factories.items():
        engine = factory()
        header = {
            "model": name,
            "hash": engine.model.hash,
            "inference": DEFAULT.digest(),
            "invariance of": cases.name,
            "protocol_seed": protocol_seed,
        }
        store: RecordFile[InvarianceRecord] | RecordList[InvarianceRecord] = RecordList()
        if out is not None:
            path = out / RECORDS_FOLDER / file_name(name, list(factories))
            store = RecordFile(path, header, InvarianceRecord)
        with progress_bars(console) as progress:
            for index in progress.track(chosen, description=name):
                if ids[index] not in store.records:
                    case = read_case(cases, index, protocol_seed)
                    store.append(_record(engine, case, protocol_seed, ids[index]))
        store.sort()
        wanted = {ids[index] for index in chosen}
        models[name] = _figures([r for r in store.records.values() if r.case in wanted and not r.skipped])
    results = {"dataset": cases.name, "protocol_seed": protocol_seed, "limit": limit, "models": models}
    if out is not None:
        write_whole(out / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    if console is not None:
        for name, figures in models.items():
            console.print(invariance_table(name, figures))
    return results


def invariance_table(name: str, figures: dict[str, Any]) -> Table:
    """What the terminal shows of a model."""
    table = Table(title=f"Dice after the click, shown in another way: {name}, {figures['cases']} cases")
    for column in ("shown", "cases", "Dice", "change (95% interval)"):
        table.add_column(column, justify="left" if column == "shown" else "right")
    for way, found in figures["invariance"].items():
        mean, low, high = found["change"]
        change = "" if way == "as it is" else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
        table.add_row(way, str(found["cases"]), f"{found['dice'][0]:.3f}", change)
    return table


def _record(engine: Engine, case: Case, protocol_seed: int, case_id: str) -> InvarianceRecord:
    wanted = draw(case, protocol_seed)
    if wanted is None:
        return InvarianceRecord(case_id, case.patient, skipped="no rater in the target drew anything")
    shown = ShownSlice(slice_image(case), wanted.target, (wanted.click.row, wanted.click.col))
    found = {}
    for way, one in ways(shown).items():
        try:
            session = Session.start(one.image, engine.model, one.click, random_seed=0).advance(engine)
        except SPASegmentError:
            found[way] = 0.0
            continue
        assert session.proposal is not None
        found[way] = rounded(dice(session.proposal.recommendation, one.target), 6)
    return InvarianceRecord(case_id, case.patient, found)


def _figures(records: Sequence[InvarianceRecord]) -> dict[str, Any]:
    if not records:
        raise SPASegmentError("There is no case with a target here; choose another split or data set.")
    found: dict[str, Any] = {}
    for way in dict.fromkeys(way for record in records for way in record.dice):
        there = [record for record in records if way in record.dice]
        values = [[r.dice[way], r.dice[way] - r.dice["as it is"]] for r in there]
        means = bootstrap_means(np.array(values), [record.patient for record in there])
        mean, change = ([rounded(v, 5) for v in (one.mean, one.low, one.high)] for one in means)
        found[way] = {"cases": len(there), "dice": mean, "change": change}
    return {"cases": len(records), "invariance": found}


def _turned(
    shown: ShownSlice, turn: Turn, click: tuple[float, float], spacing: tuple[float, ...]
) -> ShownSlice:
    def turned(pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(turn(pixels))

    return ShownSlice(shown.image.turned(turned, (spacing[0], spacing[1])), turned(shown.target), click)


def _valued(shown: ShownSlice, change: Turn) -> ShownSlice:
    def changed(pixels: np.ndarray) -> np.ndarray:
        return change(pixels).astype(np.float32)

    return replace(shown, image=shown.image.turned(changed, shown.image.spacing))


def _halved(shown: ShownSlice) -> ShownSlice:
    """Means of two by two pixels; of an odd row or column at the end, of what is there."""

    def halved(pixels: np.ndarray) -> np.ndarray:
        ends = [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), *[(0, 0)] * (pixels.ndim - 2)]
        even = np.pad(pixels.astype(np.float32), ends, mode="edge")
        return np.asarray((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4)

    spacing = (2 * shown.image.spacing[0], 2 * shown.image.spacing[1])
    covered = halved(shown.target)
    even = np.indices(covered.shape).sum(axis=0) % 2 == 0
    target = (covered > 0.5) | ((covered == 0.5) & even)  # else the target would grow or shrink
    click = ((shown.click[0] + 0.5) / 2 - 0.5, (shown.click[1] + 0.5) / 2 - 0.5)
    last = np.array(target.shape) - 1.0
    row, col = np.clip(click, 0, last)
    return ShownSlice(shown.image.turned(halved, spacing), target, (float(row), float(col)))


def _doubled(shown: ShownSlice) -> ShownSlice:
    """Four pixels for each, interpolated linearly between the middles of the old ones."""

    def doubled(pixels: np.ndarray) -> np.ndarray:
        zoom = (2, 2, *[1] * (pixels.ndim - 2))
        return np.asarray(ndimage.zoom(pixels, zoom, order=1, mode="nearest", grid_mode=True))

    spacing = (shown.image.spacing[0] / 2, shown.image.spacing[1] / 2)
    target = doubled(shown.target.astype(np.float32)) >= 0.5
    click = (2 * shown.click[0] + 0.5, 2 * shown.click[1] + 0.5)
    return ShownSlice(shown.image.turned(doubled, spacing), target, click)


def _flat(image: SliceImage) -> bool:
    return bool(image.pixels.min() == image.pixels.max())
