"""Draws the pictures of profiles.md anew: `python docs/make_profile_figures.py`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from scipy import ndimage

from SPASegmentLib.cli import main as cli
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.imaging.slicing import OpenedSlice, cut_slice
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.inference.session import Session
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.store import FOLDER_VARIABLE, ProfileStore
from SPASegmentLib.profiles.teaching import Teaching
from SPASegmentLib.research.evaluation.concentration import draw_concentration, simulate_concentration
from SPASegmentLib.research.evaluation.metrics import dice_of_each
from SPASegmentLib.research.evaluation.protocol import approves, pick

IMAGES = Path(__file__).parent / "images"
NAME = "Dr. A, nodules"
APPROVALS = 12
RIM_MM = 1.3
"""How far the simulated user's masks reach beyond what the model recommends by itself."""
MOST_PICKS = 5
TRUE_COMPONENTS = (0, 3, 6, 9, 12)


def nodules(engine: LocalEngine) -> Iterator[OpenedSlice]:
    """The five nodules of one made-up chest CT after the other."""
    for number in range(3):
        volume = make_sample_volume(number)
        for place in sample_seeds(number):
            yield cut_slice(
                volume,
                seed_ras=place.ras,
                seed_ijk=None,
                orientation="axial",
                window=None,
                model_window=engine.model.window,
            )


def interact(engine: LocalEngine, opened: OpenedSlice, profile: Profile, seed: int) -> Session:
    """A user who wants the rim picks the candidate nearest to that until the recommendation is nearest."""
    plain = engine.propose(ProposalRequest(opened.image, (opened.seed,), seed=seed)).recommendation
    wanted = ndimage.distance_transform_edt(~plain, sampling=opened.image.spacing) <= RIM_MM
    session = Session.start(
        opened.image, engine.model, opened.seed, log_prior=profile.log_prior(), random_seed=seed
    ).advance(engine)
    for _ in range(MOST_PICKS):
        proposal = session.proposal
        assert proposal is not None
        masks = [proposal.recommendation, *(candidate.mask for candidate in proposal.candidates)]
        recommended, *shown = map(float, dice_of_each(np.stack(masks), wanted))
        if not shown or approves(recommended, shown):
            break
        session = session.pick(pick(shown)).advance(engine)
    return session.approve()


def draw_profile(engine: LocalEngine) -> None:
    """Teach a profile twelve nodules through its file, and let the command draw it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        words = ["--structure", "lung nodule", "--modality", "CT"]
        command("profile", "create", NAME, *words)
        store = ProfileStore()
        for number, opened in enumerate(islice(nodules(engine), APPROVALS)):
            profile = store.load(NAME)
            Teaching(store, profile, engine).follow(interact(engine, opened, profile, number))
        command("profile", "show", NAME, "--picture", str(IMAGES / "profile.png"))


def draw_posterior() -> None:
    """Simulate users of five of sixteen components, and draw how the posterior finds each."""
    random = np.random.default_rng(5)
    means, variances = 2.5 * random.normal(size=(16, 8)), random.uniform(0.3, 1.0, (16, 8))
    mixture = Mixture(np.zeros(16), means, variances)
    result = simulate_concentration(mixture, TRUE_COMPONENTS, picks=60, users=40, seed=1)
    draw_concentration(result, IMAGES / "posterior.png")


def command(*words: str) -> None:
    """Run `spasegment`."""
    try:
        cli.main(list(words))
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    draw_profile(load_engine("compact", "cpu"))
    draw_posterior()
