"""A made-up engine whose components are sizes of a disc, and profiles and users for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from SPASegmentLib.imaging.types import Region, SliceImage
from SPASegmentLib.inference.candidates import assemble, cluster
from SPASegmentLib.inference.messages import CancelToken, Feedback, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.inference.session import Session
from SPASegmentLib.network.mixture import Mixture, log_shares
from SPASegmentLib.profiles.evidence import rows_of, summed
from SPASegmentLib.profiles.learning import Ending, FinishedInteraction, evidence_of
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import ModelReference
from SPASegmentLib.profiles.store import ProfileStore

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

SIDE = 48
STYLES = np.linspace(0.6, 1.4, 8)
"""Radius of the drawn disc over that of the bright disc, per component."""


class DiscEngine:
    """Draws discs around the seed: a component is a size, and the posterior over sizes follows the picks."""

    def __init__(self, styles: np.ndarray = STYLES, hash: str = "a" * 64, name: str = "discs") -> None:
        m = len(styles)
        self.mixture = Mixture(np.zeros(m), np.array(styles)[:, None], np.full((m, 1), 0.02**2))
        self.info = ModelInfo(name, hash, m, "discs made up for tests", ("CT",))

    @property
    def model(self) -> ModelInfo:
        return self.info

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        prior = np.zeros(self.mixture.n_components) if request.log_prior is None else request.log_prior
        picks = rows_of(request.answered, self.mixture.n_components)
        mixture = self.mixture.reweighted(prior + summed(picks) if len(picks) else prior)
        z, components = mixture.sample(request.n_samples or 48, np.random.default_rng(request.seed))
        seed, image = request.points[0], request.image
        radius = np.sqrt(np.count_nonzero(image.pixels > 0.5) / np.pi)
        rows, cols = np.indices(image.shape)
        distance = np.hypot(rows - seed.row, cols - seed.col)
        samples = (distance[None] <= radius * z[:, :1, None]).astype(np.float32)
        labels, clusters = cluster(samples, k=4, seed=0)
        mean = samples.mean(axis=0)
        supports = np.bincount(labels, minlength=len(clusters)) / len(labels)
        candidates, reason = assemble(
            mean >= 0.5, list(clusters >= 0.5), list(supports), spacing=image.spacing, points=request.points
        )
        feedback = Feedback(
            region=Region((seed.row, seed.col), SIDE * image.spacing[0], SIDE),
            samples=np.uint8(samples * 255),
            components=components,
            clusters=np.uint8(clusters * 255),
            recommendation=np.uint8(mean * 255),
            log_shares=log_shares(components, labels, len(clusters), mixture.n_components, 0.05, 1.0),
        )
        area = float(np.count_nonzero(mean >= 0.5) * np.prod(image.spacing))
        return Proposal(mean >= 0.5, mean, candidates, feedback, area, reason, (), {"total": 0.0})


def a_disc(radius: float, noise: int = 0) -> SliceImage:
    """A bright disc in the middle of a 48 x 48 slice with 0.8 mm pixels."""
    rows, cols = np.indices((SIDE, SIDE))
    pixels = (np.hypot(rows - SIDE / 2, cols - SIDE / 2) <= radius).astype(np.float32)
    pixels = pixels * 0.9 + np.random.default_rng(noise).uniform(0, 0.05, pixels.shape).astype(np.float32)
    return SliceImage(pixels, (0.8, 0.8), "CT")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))


def wanted_mask(image: SliceImage, style: float) -> np.ndarray:
    radius = np.sqrt(np.count_nonzero(image.pixels > 0.5) / np.pi)
    rows, cols = np.indices(image.shape)
    return np.hypot(rows - SIDE / 2, cols - SIDE / 2) <= radius * style


def interact(
    engine: DiscEngine, image: SliceImage, style: float, log_prior: np.ndarray | None = None, seed: int = 0
) -> Session:
    """A user who wants discs of one size picks until the recommendation is best, then approves."""
    want = wanted_mask(image, style)
    session = Session.start(
        image, engine.model, (SIDE / 2, SIDE / 2), log_prior=log_prior, random_seed=seed
    ).advance(engine)
    for _ in range(5):
        proposal = session.proposal
        assert proposal is not None
        scores = [dice(candidate.mask, want) for candidate in proposal.candidates]
        if not scores or max(scores) <= dice(proposal.recommendation, want):
            break
        session = session.pick(int(np.argmax(scores))).advance(engine)
    return session.approve()


@pytest.fixture(scope="session")
def engine() -> DiscEngine:
    return DiscEngine()


@pytest.fixture(scope="session")
def another_engine() -> DiscEngine:
    return DiscEngine(np.linspace(0.5, 1.5, 7), hash="b" * 64, name="other discs")


@pytest.fixture(scope="session")
def disc() -> Callable[..., SliceImage]:
    return a_disc


@pytest.fixture(scope="session")
def a_user() -> Callable[..., Session]:
    return interact


@pytest.fixture(scope="session")
def wanted() -> Callable[[SliceImage, float], np.ndarray]:
    return wanted_mask


@pytest.fixture(scope="session")
def fresh(engine: DiscEngine) -> Profile:
    return new_profile("Dr. A, nodules", ModelReference.of(engine.model), base=engine.mixture)


@pytest.fixture(scope="session")
def taught(engine: DiscEngine, fresh: Profile) -> Profile:
    """Twelve slices of a user who wants discs 20% wider than they are bright."""
    profile = fresh
    for n in range(12):
        image = a_disc(7 + n % 5, noise=n)
        session = interact(engine, image, 1.2, profile.log_prior(), seed=n)
        profile = profile.commit(evidence_of(profile, session))
    return profile


@pytest.fixture
def interaction_of() -> Callable[[Session], FinishedInteraction]:
    """The same interaction without its session."""

    def convert(session: Session) -> FinishedInteraction:
        end = session.result()
        ending = Ending(end.mask, end.answered, end.proposal, end.how, end.candidate)
        return FinishedInteraction(
            session.image, session.model, session.points, ending, session.log_prior, session.learn
        )

    return convert


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "profiles")
