"""The users of prompted systems: they see the target, as who corrects a mask does; engines never do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import Engine, ProposalRequest
from SPASegmentLib.inference.session import proposal_seed
from SPASegmentLib.research.evaluation.corrections import error_point
from SPASegmentLib.research.evaluation.interaction import Trace, score, slice_image
from SPASegmentLib.research.evaluation.protocol import Draw, generator

if TYPE_CHECKING:
    from SPASegmentLib.research.datasets.case import Case


@dataclass(frozen=True)
class Box:
    """A box the user drew, in slice pixels: outer edges lie half a pixel beyond these pixel centres."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, eq=False)
class BoxRequest(ProposalRequest):
    """A request with the boxes the user drew so far, oldest first."""

    boxes: tuple[Box, ...] = ()


HAND = 0.05
"""Deviation of the sides of a box drawn by hand, in sides of the box."""


def click_on_errors(engine: Engine, case: Case, draw: Draw, *, iterations: int, seed: int) -> Trace:
    """Iteration 1: the protocol's click. Each further one: `error_point` of the mask before.

    Ends where nothing is wrong any more.
    """
    image, trace = slice_image(case), Trace(prompted=True)
    points: tuple[PointPrompt, ...] = (draw.click,)
    for iteration in range(1, iterations + 1):
        request = ProposalRequest(image, points, seed=proposal_seed(seed, iteration))
        _ask(engine, request, trace, draw.target)
        point = error_point(trace.proposals[-1].recommendation, draw.target)
        if point is None:
            break
        points = (*points, point)
    return trace


def draw_boxes(engine: Engine, case: Case, draw: Draw, *, iterations: int, seed: int) -> Trace:
    """At each iteration the user draws one more box around the target, each time with their own unsteadiness.

    The protocol's click is given too; only the region's position needs it.
    """
    image, trace = slice_image(case), Trace(prompted=True)
    boxes: tuple[Box, ...] = ()
    for iteration in range(1, iterations + 1):
        rng = generator(case.dataset, case.case_id, seed, f"box {iteration}")
        boxes = (*boxes, hand_drawn_box(draw.target, rng))
        number = proposal_seed(seed, iteration)
        _ask(engine, BoxRequest(image, (draw.click,), seed=number, boxes=boxes), trace, draw.target)
    return trace


def _ask(engine: Engine, request: ProposalRequest, trace: Trace, target: np.ndarray) -> None:
    begun = time.perf_counter()
    proposal = engine.propose(request)
    trace.seconds.append(time.perf_counter() - begun)
    score(trace, proposal, target)


def hand_drawn_box(target: np.ndarray, rng: np.random.Generator) -> Box:
    """The bounding box of a (H, W) target, each side moved by a normal error of `HAND` of its length."""
    rows, cols = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
    height, width = rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1
    top, bottom = np.array([rows[0], rows[-1]]) + HAND * height * rng.standard_normal(2)
    left, right = np.array([cols[0], cols[-1]]) + HAND * width * rng.standard_normal(2)
    (top, bottom), (left, right) = sorted((top, bottom)), sorted((left, right))
    return Box(float(top), float(left), float(bottom), float(right))
