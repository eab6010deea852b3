"""SPA without one of its parts, with the shipped model."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import Answered, Engine, Proposal, ProposalRequest
from SPASegmentLib.research.systems.registry import rival_factory

MIDDLE = 48.0


@pytest.fixture(scope="module")
def nodule() -> SliceImage:
    rows, cols = np.mgrid[:96, :96]
    distance = np.hypot(rows - MIDDLE, 0.7 * (cols - MIDDLE)) - 6
    pixels = 0.08 + 0.4 / (1 + np.exp(distance)) + np.random.default_rng(0).normal(0, 0.02, rows.shape)
    return SliceImage(np.clip(pixels, 0, 1).astype(np.float32), (0.7, 0.7), "CT")


def rounds(engine: Engine, image: SliceImage, count: int) -> list[Proposal]:
    """Proposals of a user who always picks the first candidate."""
    answered: list[Answered] = []
    for _ in range(count):
        request = ProposalRequest(image, (PointPrompt(MIDDLE, MIDDLE),), answered=tuple(answered))
        answered.append(Answered(engine.propose(request), 0))
    return [answer.proposal for answer in answered]


def engine_without(part: str) -> Engine:
    factory = rival_factory(f"without-{part}")
    assert factory is not None
    return factory()


def same(a: Proposal, b: Proposal) -> bool:
    return bool(np.array_equal(a.probability, b.probability))


@pytest.mark.parametrize(("part", "first_that_differs"), [("posterior", 1), ("memory", 2)])
def test_what_speaks_from_a_later_iteration_on_changes_nothing_before(nodule, part, first_that_differs):
    whole, less = rounds(load_engine("compact"), nodule, 3), rounds(engine_without(part), nodule, 3)
    told = [same(a, b) for a, b in zip(whole, less, strict=True)]
    assert told[: first_that_differs + 1] == [True] * first_that_differs + [False]


def test_an_averaged_mixture_makes_samples_that_hardly_differ(nodule):
    whole, less = (
        rounds(engine, nodule, 1)[0] for engine in (load_engine("compact"), engine_without("mixture"))
    )

    def spread(proposal: Proposal) -> float:
        samples = proposal.feedback.samples.astype(float)
        return float(samples.std(axis=0).mean())

    assert spread(less) < 0.5 * spread(whole)


def test_without_looks_the_region_is_the_first_one(nodule):
    engine = load_engine("compact")
    whole, less = (rounds(e, nodule, 1)[0].feedback.region for e in (engine, engine_without("looks")))
    assert less.size_mm == pytest.approx(engine.config.default_region * 0.7)
    assert whole.size_mm < less.size_mm
