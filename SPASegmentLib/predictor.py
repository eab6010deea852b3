"""The front door: one interaction after another from Python, with nothing else to know.

    from SPASegmentLib import SPAPredictor

    predictor = SPAPredictor.from_pretrained("general")
    predictor.set_image(array, spacing=(0.7, 0.7), modality="CT")
    proposal = predictor.click(row, col)
    proposal = predictor.pick(1)
    mask = predictor.approve()

Alternatives are numbered from 1, as on the screen. All sentences of errors are for the person who reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import StepError
from SPASegmentLib.imaging.slicing import OpenedSlice
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.config import DEFAULT_MODEL
from SPASegmentLib.inference.fill import WholeObject
from SPASegmentLib.inference.image_input import ImageInput, checked_number, two_numbers
from SPASegmentLib.inference.messages import Engine, Proposal
from SPASegmentLib.inference.object_session import ObjectSession
from SPASegmentLib.inference.session import Session
from SPASegmentLib.profiles.evidence import object_prior
from SPASegmentLib.profiles.teaching import Teaching, UsedProfile

__all__ = ["SPAPredictor"]


class SPAPredictor(ImageInput):
    """Segments slices by a click, picks among alternatives, further points and an approval.

    A predictor holds one image and one interaction at a time; what was shown is in `proposal`, what became
    final in `mask`. The same calls give the same masks, bit for bit on one machine. A call that raises leaves
    everything as it was.
    """

    def __init__(self, engine: Engine, *, random_seed: int = 0) -> None:
        """Use `from_pretrained` for a model by name.

        Args:
            engine: what computes proposals.
            random_seed: of everything random, zero or positive.
        """
        super().__init__(engine)
        self._random_seed = random_seed
        self._session: Session | None = None
        self._object: ObjectSession | None = None
        self._profile: UsedProfile | None = None
        self._teaching: Teaching | None = None

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path = DEFAULT_MODEL, device: str = "auto", *, random_seed: int = 0
    ) -> SPAPredictor:
        """Load a model.

        Args:
            name_or_path: a model's name (see `spasegment models list`) or the path of a checkpoint.
            device: "cpu", "cuda", "mps" (Apple silicon), or "auto": CUDA where there is one, else the CPU.
            random_seed: of everything random, zero or positive; another one draws other alternatives.

        Returns:
            A predictor without an image.

        Raises:
            InputError: there is no model of that name.
            CheckpointError: the checkpoint is missing, damaged or does not fit, or there is no such device.
        """
        from SPASegmentLib.inference.local import load_engine  # torch, some seconds

        return cls(load_engine(name_or_path, device), random_seed=random_seed)

    def use_profile(self, name: str | None, *, learn: bool = True, folder: str | Path | None = None) -> None:
        """Begin the clicks that follow with what a preference profile knows, and teach it what they end in.

        An approval teaches, its undo takes that back; a whole object teaches its first slice.

        Args:
            name: of the profile, as `spasegment profile list` has it; None: none any more.
            learn: whether to teach it.
            folder: of the profiles, or None for the user's own.

        Raises:
            ProfileError: there is no such profile, its file cannot be read, or it is another model's.
        """
        self._profile = None if name is None else UsedProfile(self._engine, name, learn, folder)

    # The interaction

    def click(self, row: float, col: float) -> Proposal:
        """Click the object on the slice: a new interaction begins, and an earlier one ends.

        Args:
            row: of `image`, pixel centres at whole numbers.
            col: the same.

        Returns:
            The recommendation and up to four alternatives.

        Raises:
            StepError: no slice is chosen yet.
            SeedError: the click lies outside the slice.
        """
        return self._begin(self._chosen(), PointPrompt(*_checked_point(row, col)))

    def click_ras(self, ras: Sequence[float], orientation: str = "axial") -> Proposal:
        """Click the object in the volume: the slice through that place is chosen, and an interaction begins.

        Args:
            ras: (R, A, S) in mm, as 3D Slicer shows it.
            orientation: "axial", "sagittal" or "coronal".

        Returns:
            The recommendation and up to four alternatives.

        Raises:
            StepError: there is no volume yet.
            SeedError: the place lies outside the volume.
            InputError: there is no such orientation, or the slice cannot be segmented.
        """
        return self._begin(self._through(ras, orientation))

    def add_point(self, row: float, col: float, positive: bool = True) -> Proposal:
        """Say of a further place whether it belongs to the object.

        Args:
            row: of `image`.
            col: the same.
            positive: whether the place belongs to the object.

        Returns:
            The next recommendation and alternatives.

        Raises:
            StepError: nothing was clicked yet, or a mask is final.
            SeedError: the point lies outside the slice.
        """
        at = _checked_point(row, col)
        return self._computed(self._running().add_point(*at, positive=positive))

    def pick(self, number: int) -> Proposal:
        """Pick the alternative that is closer to what you want.

        Args:
            number: of the alternative, from 1.

        Returns:
            The next recommendation and alternatives.

        Raises:
            StepError: nothing was clicked yet, a mask is final, or there is no such alternative.
            InputError: the number is no whole number.
        """
        return self._computed(self._running().pick(checked_number(number) - 1))

    def none_of_these(self) -> Proposal:
        """Turn down all alternatives shown.

        Returns:
            The next recommendation and other alternatives.

        Raises:
            StepError: nothing was clicked yet, or a mask is final.
        """
        return self._computed(self._running().none_of_these())

    def keep(self) -> Proposal:
        """Keep the recommendation as it is and see other alternatives around it.

        Returns:
            The same recommendation and other alternatives.

        Raises:
            StepError: nothing was clicked yet, or a mask is final.
        """
        return self._computed(self._running().keep())

    def undo(self) -> Proposal:
        """Take back the last step, an approval too.

        Returns:
            What is shown again.

        Raises:
            StepError: nothing was clicked yet, or only the click is left.
        """
        session = self._running()
        if len(session.done) == 1:
            raise StepError("Only the click is left; click elsewhere to change it.")
        return self._computed(session.undo())

    def redo(self) -> Proposal:
        """Bring back the step that was undone last.

        Returns:
            What is shown again.

        Raises:
            StepError: there is nothing to redo.
        """
        return self._computed(self._running().redo())

    def approve(self) -> np.ndarray:
        """Take the recommendation as final.

        Returns:
            (H, W) bool on `image`, a copy; `volume_mask` has it on the volume's voxels.

        Raises:
            StepError: nothing was clicked yet, or a mask is final already.
            ProfileError: the profile in use could not be taught.
        """
        self._taught(self._running().approve())
        return self.mask

    def take(self, number: int) -> np.ndarray:
        """Take an alternative as final, as it is.

        Args:
            number: of the alternative, from 1.

        Returns:
            (H, W) bool on `image`, a copy.

        Raises:
            StepError: nothing was clicked yet, a mask is final, or there is no such alternative.
            InputError: the number is no whole number.
            ProfileError: the profile in use could not be taught.
        """
        self._taught(self._running().take(checked_number(number) - 1))
        return self.mask

    # The whole object

    def fill(self) -> WholeObject:
        """Follow the object from the approved slice through the volume, in both directions, until it ends.

        Called again after `review` and another approval, it computes anew only what lies between that slice
        and the approved ones next to it.

        Returns:
            The object's slices with masks on `image`, expected Dice and why they are doubtful; `doubtful` has
            those worth a review, `volume_ml` its volume. `object_mask` has it on the volume's voxels.

        Raises:
            StepError: no mask is approved or taken.
            InputError: the mask is empty.
        """
        opened, mask = self._chosen(), self.mask
        if self._object is None:
            prior = object_prior(self._running(), mask)
            self._object = ObjectSession(
                self._engine, opened, mask, log_prior=prior, random_seed=self._random_seed
            )
        else:
            self._object.approve(opened, mask)
        return self._object.complete()

    def review(self, index: int) -> Proposal:
        """Open a slice of the object, or one beside it, from the object's outline there.

        Picks, points and an approval follow as after a click; then call `fill` again.

        Args:
            index: of the slice, as in the object's `slices`.

        Returns:
            The recommendation and up to four alternatives.

        Raises:
            StepError: `fill` was not called yet, or there is nothing to see on that slice.
        """
        self._slice, self._session = self._filled().review(checked_number(index))
        self._teaching = None  # an object teaches once
        return self.proposal

    def end_object(self, index: int) -> WholeObject:
        """Say that the object's last slice on that side is `index`.

        Args:
            index: of the slice, as in the object's `slices`.

        Returns:
            The object, which ends there.

        Raises:
            StepError: `fill` was not called yet.
        """
        self._filled().end(checked_number(index))
        return self._filled().complete()

    def object_mask(self) -> np.ndarray:
        """The whole object on the voxels of the volume.

        Returns:
            (K, J, I) bool.

        Raises:
            StepError: `fill` was not called yet.
        """
        return self._filled().mask()

    # What is the case

    @property
    def proposal(self) -> Proposal:
        """What is shown: recommendation, alternatives (name, area, support), probability, warnings.

        Raises:
            StepError: nothing was clicked yet.
        """
        proposal = self._running().proposal
        assert proposal is not None  # a session is kept only once its first proposal is there
        return proposal

    @property
    def points(self) -> tuple[PointPrompt, ...]:
        """The click and the further points, in pixels of `image`.

        Raises:
            StepError: nothing was clicked yet.
        """
        return self._running().points

    @property
    def mask(self) -> np.ndarray:
        """The final mask, (H, W) bool on `image`, a copy.

        Raises:
            StepError: no mask is approved or taken.
        """
        return self._running().result().mask.copy()

    def volume_mask(self) -> np.ndarray:
        """The final mask on the voxels of the volume.

        Returns:
            (K, J, I) bool, true on the chosen slice only; (1, H, W) for an image given as an array.

        Raises:
            StepError: no mask is approved or taken.
        """
        return self._chosen().on_grid(self.mask)

    def _filled(self) -> ObjectSession:
        if self._object is None:
            raise StepError("There is no whole object yet; approve a slice and call fill first.")
        return self._object

    def _running(self) -> Session:
        self._chosen()
        if self._session is None:
            raise StepError("Nothing was clicked yet; call click first.")
        return self._session

    def _end_interaction(self) -> None:
        self._session = self._object = None

    def _begin(self, opened: OpenedSlice, seed: PointPrompt | None = None) -> Proposal:
        profile = None if self._profile is None else self._profile.now()
        session = Session.start(
            opened.image,
            self.model,
            seed or opened.seed,
            log_prior=None if profile is None else profile.log_prior(),
            usual_area=None if profile is None else profile.usual_area(),
            random_seed=self._random_seed,
        ).advance(self._engine)
        self._slice, self._session, self._object = opened, session, None
        self._teaching = None if self._profile is None else self._profile.teaching()
        return self.proposal

    def _computed(self, session: Session) -> Proposal:
        self._taught(session.advance(self._engine))
        return self.proposal

    def _taught(self, session: Session) -> None:
        """Go on with a session, and tell the profile in use where it is."""
        if self._teaching is not None:
            self._teaching.follow(session)
        self._session = session


def _checked_point(row: float, col: float) -> tuple[float, float]:
    return two_numbers((row, col), "A point is two numbers: row and col of a pixel.")
