"""Profiles that are taught through their files, for measuring what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SPASegmentLib.inference.messages import Answered, Engine, Proposal, UsualArea
from SPASegmentLib.profiles.learning import HasMixture, pick_record, result_of, turned_down
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import ModelReference, SliceEvidence, new_id, now
from SPASegmentLib.profiles.store import ProfileStore


class TaughtOnDisk:
    """A profile that is taught slice by slice through its file, for measuring what it is worth.

    Every slice goes the way an approval in the panel goes: read, learn, write.
    """

    def __init__(self, store: ProfileStore, profile: Profile) -> None:
        """profile: as it is in the store, or a new one to add to it."""
        self.store = store
        self.profile = store.load(profile.name) if profile.name in store else store.create(profile)

    def log_prior(self) -> np.ndarray:
        """(M,) what a request carries, as the file says now."""
        self.profile = self.store.load(self.profile.name)
        return self.profile.log_prior()

    def usual_area(self) -> UsualArea | None:
        """What a request carries beside it, as the file said when `log_prior` was asked for."""
        return self.profile.usual_area()

    def learn(
        self,
        image_key: str,
        answered: tuple[Answered, ...],
        last: Proposal,
        spacing: tuple[float, float],
        consensus_mm2: float | None = None,
    ) -> None:
        """Take in one image: the picks, and the proposal whose recommendation its user was content with.

        spacing: (row, col) mm of the slice. consensus_mm2: of the recommendation without a profile.
        """
        m = self.profile.model.components
        first = answered[0].proposal if answered else last
        item = SliceEvidence(
            id=new_id(),
            image=self.profile.image_identities(image_key)[0],
            date=now(),
            outcome="approved",
            picks=tuple(pick_record(answer, m) for answer in answered),
            result=result_of(first, last.recommendation, m, spacing),
            beside=turned_down(last),
            first_mm2=float(first.area_mm2),
            consensus_mm2=consensus_mm2,
            approved_mm2=float(last.area_mm2),
        )
        self.profile = self.store.commit(self.profile.name, item, id=self.profile.id)


@dataclass(frozen=True)
class DiskProfiles:
    """Makes empty profiles in a folder, each in a file of its own."""

    folder: Path

    def __call__(self, engine: Engine, name: str) -> TaughtOnDisk:
        """An empty profile of the engine's model, in the place of one that has the name already."""
        store = ProfileStore(self.folder)
        base = engine.base_mixture() if isinstance(engine, HasMixture) else None
        profile = new_profile(name, ModelReference.of(engine.model), base=base)
        if name in store:
            store.delete(name, forever=True)
        return TaughtOnDisk(store, profile)
