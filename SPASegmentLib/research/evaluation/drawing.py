"""Users who begin with a drawing instead of a click, a box or a scribble, and then pick."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.scribble import scribble_points
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.inference.session import Session
from SPASegmentLib.research.evaluation.corrections import Corrections
from SPASegmentLib.research.evaluation.metrics import dice, dice_of_each
from SPASegmentLib.research.evaluation.protocol import BOX, pick

DEEP = 0.5
"""A scribble covers where the object is at least this share of its greatest depth deep."""


def draw_and_pick(
    engine: Engine,
    first: Session,
    target: np.ndarray,
    *,
    user: str,
    iterations: int,
    closeness: Callable[[np.ndarray], float] | None = None,
) -> Corrections:
    """Begin anew on the slice of a session with a drawing, then pick the best candidate, as `always-pick`.

    user: `box` draws the target's exact box; `scribble` scribbles over its middle. The first Dice is that of
    the mask after the whole drawing. points: that the drawing became. closeness: the surface Dice of a mask,
    where it is wanted.
    """
    drawing = (box_of if user == BOX else scribble_of)(target, first.image.spacing)
    found = Corrections(points=len(drawing))
    try:
        session = Session.start(
            first.image,
            first.model,
            drawing[0],
            log_prior=first.log_prior,
            usual_area=first.usual_area,
            random_seed=first.random_seed,
            n_samples=first.n_samples,
        ).advance(engine)
        for point in drawing[1:]:
            session = session.add_point(point.row, point.col, positive=point.positive).advance(engine)
        while True:
            proposal = session.proposal
            if proposal is None:
                raise InputError("The engine gave no proposal; it cannot be evaluated.")
            found.dice.append(dice(proposal.recommendation, target))
            if closeness is not None:
                found.surface.append(closeness(proposal.recommendation))
            if not proposal.candidates or len(found.dice) == iterations:
                break
            shown = np.stack([candidate.mask for candidate in proposal.candidates])
            session = session.pick(pick([float(value) for value in dice_of_each(shown, target)]))
            session = session.advance(engine)
            found.picks += 1
    except InputError as error:
        found.error = str(error)
    last = found.dice[-1] if found.dice else 0.0
    found.dice += [last] * (iterations - len(found.dice))
    if closeness is not None:
        near = found.surface[-1] if found.surface else 0.0
        found.surface += [near] * (iterations - len(found.surface))
    return found


def box_of(target: np.ndarray, spacing: tuple[float, float]) -> tuple[PointPrompt, ...]:
    """The box of a (H, W) bool target that is not empty, as one point with a size."""
    rows, cols = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
    sides = [(hit[-1] - hit[0] + 1) * step for hit, step in zip((rows, cols), spacing, strict=True)]
    middle = [float(hit[0] + hit[-1]) / 2 for hit in (rows, cols)]
    return (PointPrompt(middle[0], middle[1], size_mm=float(max(sides))),)


def scribble_of(target: np.ndarray, spacing: tuple[float, float]) -> tuple[PointPrompt, ...]:
    """Points of a scribble all over the middle of a (H, W) bool target that is not empty."""
    depth = ndimage.distance_transform_edt(np.pad(target, 1), sampling=spacing)[1:-1, 1:-1]
    return scribble_points(depth >= DEEP * depth.max(), spacing)
