"""Made-up slices and whole interactions, to be compared between engines."""

from __future__ import annotations

import numpy as np
from comparing import differences

from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.inference.session import Session


def a_slice(seed: int = 0, size: int = 96, **more) -> SliceImage:
    """A bright disc with a soft rim in noise; another one for every seed."""
    rng = np.random.default_rng(seed)
    centre, radius = rng.uniform(0.4 * size, 0.6 * size, 2), rng.uniform(6, 12)
    rows, cols = np.mgrid[:size, :size]
    distance = np.hypot(rows - centre[0], cols - centre[1]) - radius
    pixels = 0.1 + 0.5 / (1 + np.exp(distance)) + rng.normal(0, 0.02, rows.shape)
    pixels = np.clip(pixels, 0, 1).astype(np.float32)
    return SliceImage(pixels, (0.7, 0.8), more.pop("modality", "CT"), **more)


def interact(engine: Engine, image: SliceImage, steps: int = 4, seed: int = 0) -> Session:
    """A seed in the middle, then picks, points and "none of these" as drawn, then an approval."""
    rng = np.random.default_rng(seed)
    middle = (image.shape[0] / 2, image.shape[1] / 2)
    session = Session.start(image, engine.model, PointPrompt(*middle), random_seed=seed).advance(engine)
    for _ in range(steps):
        shown = len(session.proposal.candidates)
        kind = rng.choice(["pick", "pick", "point", "none"])
        if kind == "pick" and shown:
            session = session.pick(int(rng.integers(shown)))
        elif kind == "none":
            session = session.none_of_these()
        else:
            row, col = rng.uniform(0.3, 0.7, 2) * image.shape
            session = session.add_point(row, col, positive=bool(rng.integers(2)))
        session = session.advance(engine)
    return session.approve()


def apart(one: Session, other: Session, ignored: tuple[str, ...] = ()) -> list[str]:
    """Where two interactions differ, the time that they took left out."""
    found = [] if len(one.done) == len(other.done) else ["of other lengths"]
    for number, (a, b) in enumerate(zip(one.done, other.done, strict=False)):
        found += differences(a, b, f"step {number}", ("seconds", *ignored))
    return found
