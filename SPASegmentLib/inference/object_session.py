"""A whole object of a volume, from one approved slice: filled, reviewed slice by slice, put on the voxels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from SPASegmentLib.errors import StepError
from SPASegmentLib.imaging.slicing import OpenedSlice
from SPASegmentLib.imaging.stack import VolumeStack
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.inference.crossing import Progress
from SPASegmentLib.inference.fill import ObjectFill, ObjectSlice, WholeObject
from SPASegmentLib.inference.messages import CancelToken, Engine
from SPASegmentLib.inference.session import Session


class ObjectSession:
    """One object in one volume; slices are numbered as the volume's voxels are along the axis."""

    def __init__(
        self,
        engine: Engine,
        opened: OpenedSlice,
        mask: np.ndarray,
        *,
        log_prior: np.ndarray | None = None,
        random_seed: int = 0,
    ) -> None:
        """opened: the slice on which `mask`, (H, W) bool, was approved. log_prior: a profile's evidence.

        Raises InputError for an empty mask or a slice that is no plane of voxels.
        """
        self._engine, self._log_prior, self._random_seed = engine, log_prior, random_seed
        self.stack = VolumeStack(opened)
        self._fill = ObjectFill(engine, self.stack, log_prior=log_prior, random_seed=random_seed)
        self.approve(opened, mask)

    @property
    def object(self) -> WholeObject:
        """As far as it is computed."""
        return self._fill.object

    def approve(self, opened: OpenedSlice, mask: np.ndarray) -> None:
        """Add a slice the user approved, or change it. Raises InputError as `ObjectFill.approve`."""
        assert opened.plane.index is not None
        self._fill.approve(opened.plane.index, mask)

    def accept(self, index: int) -> None:
        """Approve a slice as it was filled. Raises StepError where the object has no such slice."""
        self._fill.approve(index, self._slice(index).mask)

    def end(self, index: int) -> None:
        """Say that the object's last slice on this side is `index`."""
        self._fill.end(index)

    def run(self, cancel: CancelToken | None = None, across: Progress | None = None) -> Iterator[ObjectSlice]:
        """Compute what is missing, slice by slice; see `ObjectFill.run`. Raises what the engine raises."""
        return self._fill.run(cancel, across)

    def complete(self, cancel: CancelToken | None = None) -> WholeObject:
        """Compute what is missing; the object. Raises what the engine raises."""
        return self._fill.complete(cancel)

    def review(self, index: int, cancel: CancelToken | None = None) -> tuple[OpenedSlice, Session]:
        """A slice, and an interaction on it that begins from the object's outline there or nearby.

        Raises StepError where the volume has no such slice.
        """
        carried = self._fill.carried(index)
        image = self.stack.image(index)
        if image is None:
            raise StepError(f"There is nothing to see on slice {index}; choose another one.")
        opened = self.stack.opened(index, carried_seed(carried.mask, image.spacing))
        session = Session.start(
            opened.image,
            self._engine.model,
            log_prior=self._log_prior,
            random_seed=self._random_seed,
            carried=carried,
        )
        return opened, session.advance(self._engine, cancel)

    def mask(self) -> np.ndarray:
        """(K, J, I) bool on the volume's voxels."""
        return self.stack.on_grid(self.object.masks)

    def _slice(self, index: int) -> ObjectSlice:
        found = [one for one in self.object.slices if one.index == index]
        if not found:
            raise StepError(f"The object has no slice {index}; review that slice to add it.")
        return found[0]
