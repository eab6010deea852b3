"""Re-learning a profile on another model, from its log and the slices given anew.

A profile keeps no image and no mask, so that nothing can be replayed from it alone: the slices must be given
again. Each is recognised by its salted hash. The new model is then asked as the old one was, and answered for
what the user is known to have wanted there: the mask, where it is given, else the area that was approved and
the kind of candidates that were picked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import (
    Answered,
    CancelToken,
    Engine,
    Proposal,
    ProposalRequest,
)
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.profiles.learning import Ending, FinishedInteraction, evidence_of
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import ModelReference, SliceEvidence

ROUNDS = 6
"""At most so many proposals a slice (the paper's number of iterations)."""


@dataclass(frozen=True, eq=False)
class GivenSlice:
    """A slice the user still has, as the new model takes it.

    mask: (H, W) bool that was approved on it, if it was kept. key: of the slice as the profile was taught on
    it, where its intensities were cut in another window then.
    """

    image: SliceImage
    mask: np.ndarray | None = None
    key: str | None = None


@dataclass(frozen=True)
class Replayed:
    """What a replay gave.

    profile: on the new model. relearnt: slices it learnt from.
    missing: slices of the old profile that were not given, or of which the log says too little.
    unlike: slices on which the new model never came near what the user wanted; it learnt nothing there.
    """

    profile: Profile
    relearnt: int
    missing: int
    unlike: int

    @property
    def sentence(self) -> str:
        """In words."""
        text = f"Re-learnt from {self.relearnt} of {self.relearnt + self.missing + self.unlike} slices"
        if self.unlike:
            text += f"; on {self.unlike} the new model showed nothing like what was approved"
        return text + "."


def replay(
    profile: Profile,
    engine: Engine,
    given: Iterable[GivenSlice],
    name: str,
    *,
    base: Mixture | None = None,
    cancel: CancelToken | None = None,
) -> Replayed:
    """Teach a new profile `name` on the engine's model what `profile` was taught on its own.

    The candidate that comes nearest to what was wanted is picked as long as one beats the recommendation,
    which is then approved. Dates stay those of the old evidence. Raises ProfileError where none of the slices
    is known to the profile, and what the engine raises.
    """
    reference = ModelReference.of(engine.model)
    new = new_profile(
        name,
        reference,
        structure=profile.structure,
        modality=profile.modality,
        half_life=profile.half_life,
        base=base,
    )
    found = {identity: s for s in given for identity in profile.image_identities(s.key or s.image.key)}
    usable = [item for item in profile.slices if item.image in found and item.can_be_replayed]
    if not usable:
        raise ProfileError(
            f'None of the slices given is one the profile "{profile.name}" was taught on; a profile keeps no '
            "images, so give it the same slices, in the same window and orientation, to re-learn it."
        )
    unlike = 0
    for item in usable:
        interaction = _again(engine, new, item, found[item.image], cancel)
        if interaction is None:
            unlike += 1
            continue
        learnt = evidence_of(new, interaction, date=item.date)
        new = new.commit(learnt.model_copy(update={"weight": item.weight}))
    missing = len(profile.slices) - len(usable)
    return Replayed(new, len(usable) - unlike, missing, unlike)


def _again(
    engine: Engine, new: Profile, item: SliceEvidence, given: GivenSlice, cancel: CancelToken | None
) -> FinishedInteraction | None:
    """The interaction on the new model, or None where it did not come to what was wanted."""
    points = tuple(click.point for click in item.clicks)
    prior, area = new.log_prior(), new.usual_area()
    answered: list[Answered] = []
    while True:
        seed = item.seed + len(answered)
        request = ProposalRequest(given.image, points, tuple(answered), prior, seed, usual_area=area)
        proposal = engine.propose(request, cancel)
        chosen = _choose(proposal, item, given.mask) if len(answered) + 1 < ROUNDS else None
        if chosen is None:
            break
        answered.append(Answered(proposal, chosen))
    limit = math.log(DEFAULT.alike_area) if given.mask is None else 1 - DEFAULT.alike_dice
    if _distance(proposal.recommendation, proposal.area_mm2, item, given.mask) > limit:
        return None
    mask = proposal.recommendation if given.mask is None else given.mask
    ending = Ending(mask, tuple(answered), proposal)
    return FinishedInteraction(
        given.image, engine.model, points, ending, prior, random_seed=item.seed, usual_area=area
    )


def _choose(proposal: Proposal, item: SliceEvidence, mask: np.ndarray | None) -> int | None:
    """Index of the candidate nearest to what was wanted, or None where the recommendation is nearer.

    Without a mask, candidates of a kind that was picked on this slice go before others.
    """
    distances = [_distance(c.mask, c.description.area_mm2, item, mask) for c in proposal.candidates]
    limit = _distance(proposal.recommendation, proposal.area_mm2, item, mask)
    nearer = [i for i, distance in enumerate(distances) if distance < limit]
    if not nearer:
        return None
    kinds = {pick.shown[pick.picked].kind for pick in item.picks if pick.picked is not None}
    unusual = [mask is None and c.description.kind not in kinds for c in proposal.candidates]
    return min(nearer, key=lambda i: (unusual[i], distances[i]))


def _distance(mask: np.ndarray, area_mm2: float, item: SliceEvidence, wanted: np.ndarray | None) -> float:
    """How far a mask is from what was wanted: 1 - Dice; without a wanted mask, |log| of the areas' ratio."""
    if wanted is not None:
        return 1 - _dice(mask, wanted)
    if area_mm2 <= 0 or not item.approved_mm2:
        return math.inf
    return abs(math.log(area_mm2 / item.approved_mm2))


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0
