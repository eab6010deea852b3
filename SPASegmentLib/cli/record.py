"""An interaction in numbers, for scripts: plain JSON values, times apart from everything else."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.inference.messages import Candidate, Proposal
from SPASegmentLib.inference.session import Session, Step

if TYPE_CHECKING:
    from SPASegmentLib.imaging.slicing import OpenedSlice


def interaction_record(session: Session) -> dict[str, Any]:
    """Every iteration of a session (mask areas, candidates, what was answered, seconds) and its result.

    Two runs on the same input differ only under the keys named "seconds". result is None while nothing is
    final.
    """
    record: dict[str, Any] = {
        "model": {"name": session.model.name, "hash": session.model.hash},
        "random_seed": session.random_seed,
        "slice": {"shape": list(session.image.shape), "spacing_mm": list(session.image.spacing)},
        "points": [[p.row, p.col, p.positive] for p in session.points],
        "iterations": [],
        "result": None,
    }
    steps = [done.step for done in session.done[1:]]
    for done, answer in zip(session.done, [*steps, None], strict=False):
        if done.proposal is not None:
            number = len(record["iterations"]) + 1
            record["iterations"].append(_iteration(number, done.proposal, answer))
    if session.finished:
        result = session.result()
        pixels = int(result.mask.sum())
        record["result"] = {
            "how": result.how,
            "candidate": None if result.candidate is None else result.candidate + 1,
            "mask_pixels": pixels,
            "mask_area_mm2": _round(pixels * session.image.spacing[0] * session.image.spacing[1]),
            "iterations": result.iterations,
            "picks": result.picks,
            "seconds": _round(result.seconds),
        }
    return record


def slice_record(session: Session, opened: OpenedSlice) -> dict[str, Any]:
    """`interaction_record` with the volume and slice it is of, and the steps to replay it."""
    from SPASegmentLib.inference.session_log import log_of

    return {
        "volume": {
            "shape_kji": list(opened.volume.shape),
            "seed_ras": list(opened.ras),
            "seed_ijk": list(opened.ijk),
            "slice": {"axis": "kji"[opened.plane.axis or 0], "index": opened.plane.index},
            "window": [opened.window.low, opened.window.high],
            "modality": opened.volume.modality,
            "warnings": list(opened.image.warnings),
        },
        **interaction_record(session),
        "session": log_of(session).model_dump(mode="json"),
    }


def answer_words(step: Step | None) -> str:
    """What the user answered to a proposal: "picked 2", "none of these", "kept", "approved", "" for open."""
    if step is None:
        return ""
    number = "" if step.candidate is None else str(step.candidate + 1)
    words = {"pick": f"picked {number}", "take": f"took {number}", "none": "none of these", "keep": "kept"}
    return {**words, "approve": "approved", "point": "placed a point"}[step.kind]


def write_record(record: dict[str, Any], path: Path) -> None:
    """Write a record as JSON. Raises InputError where the file cannot be written."""
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    with atomic_file(path) as file:
        file.write(text.encode())


def _iteration(number: int, proposal: Proposal, answer: Step | None) -> dict[str, Any]:
    return {
        "iteration": number,
        "mask_pixels": int(proposal.recommendation.sum()),
        "mask_area_mm2": _round(proposal.area_mm2),
        "candidates": [_candidate(candidate) for candidate in proposal.candidates],
        "fewer_reason": proposal.fewer_reason,
        "expected_dice": None if proposal.expected_dice is None else round(proposal.expected_dice, 4),
        "warnings": list(proposal.warnings),
        "answer": answer_words(answer),
        "seconds": {name: _round(value) for name, value in (proposal.seconds or {}).items()},
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    values = asdict(candidate.description)
    numbers = {name: _round(value) for name, value in values.items() if isinstance(value, float)}
    return {**values, **numbers, "mask_pixels": int(candidate.mask.sum())}


def _round(value: float) -> float:
    return round(float(value), 6)
