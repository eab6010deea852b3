"""What the user does: points, picks, approvals, undo, the next slice. Part of the `Controller`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from SPASegmentLib.mrml.interaction import SceneInteraction
from SPASegmentLib.mrml.user_messages import UserMessages, safe, whole


class StepActions:
    """The controller's steps, called or by their names. None raises; none blocks."""

    messages: UserMessages
    closed: bool
    _work: SceneInteraction

    def refresh(self) -> None:
        """Draw what came of a step."""

    @safe
    def seed(self, ras: Sequence[float], *, positive: bool = True, slice_node: Any = None) -> None:
        """Place the seed, or a further point; world RAS in mm. slice_node: the view, else the large one."""
        self._work.seed(ras, positive, slice_node)

    @safe
    def box(self, one: Sequence[float], opposite: Sequence[float], *, slice_node: Any = None) -> None:
        """Draw a box around the object: two opposite corners, world RAS in mm. slice_node: as of `seed`."""
        self._work.box(one, opposite, slice_node)

    @safe
    def scribble(
        self, path: Sequence[Sequence[float]], *, positive: bool = True, slice_node: Any = None
    ) -> None:
        """Draw a line in the object, or in what does not belong to it: places on it, world RAS in mm."""
        self._work.scribble(path, positive, slice_node)

    @safe
    def pick(self, k: int) -> None:
        """Pick candidate k, counted from 0: a new proposal follows."""
        self._work.pick(whole(k, "A candidate"))

    @safe
    def none_of_these(self) -> None:
        """Turn all candidates down: others follow."""
        self._work.none_of_these()

    @safe
    def keep(self) -> None:
        """Keep the recommendation: other alternatives around it follow."""
        self._work.keep()

    @safe
    def approve(self) -> None:
        """Take the recommendation as final: its mask is written, the profile learns."""
        self._work.finish(None)

    @safe
    def take(self, k: int) -> None:
        """Take candidate k, counted from 0, as final as it is."""
        self._work.finish(whole(k, "A candidate"))

    @safe
    def undo(self) -> None:
        """Take the last step back, over slices too; an approval's voxels and evidence go with it."""
        self._work.undo()

    @safe
    def take_back_open(self) -> None:
        """Take all steps back on slices where nothing is approved yet; redo brings them back."""
        self._work.take_back_open()

    @safe
    def redo(self) -> None:
        """Bring back the step that was undone last."""
        self._work.redo()

    @safe
    def whole_object(self) -> None:
        """Approve the recommendation, if it is not yet, and follow the object through all its slices."""
        self._work.whole_object()

    @safe
    def continue_segment(self) -> None:
        """Go on from what the chosen segment has on the slice of the large view: it is recommended first."""
        self._work.continue_segment()

    @safe
    def approve_next(self) -> None:
        """Approve and go on: a slice further, or to the next doubtful one of the whole object."""
        self._work.approve_next()

    @safe
    def next_doubtful(self) -> None:
        """Go to the slice of the whole object that is the most doubtful of those not looked at."""
        self._work.next_doubtful()

    @safe
    def first_anchor(self) -> None:
        """Go back to the slice the whole object was followed from."""
        self._work.first_anchor()

    @safe
    def cancel(self) -> None:
        """Drop the step that waits for the one before, or else stop computing; nothing is changed."""
        self._work.cancel()

    @safe
    def next_slice(self, steps: int = 1) -> None:
        """Go `steps` slices along the view and carry the object over."""
        self._work.next_slice(whole(steps, "A number of slices"))

    @safe
    def previous_slice(self) -> None:
        """Go a slice back along the view and carry the object over."""
        self._work.next_slice(-1)

    # By name

    def act(self, name: str, *args: Any) -> None:
        """Do an action by its name in `keys.KEYS` ("pick:0", "approve", "next_slice", ...)."""
        verb, _, number = str(name).partition(":")
        if verb not in _ACTIONS or (number and verb not in ("pick", "take")):
            self._refuse(f'There is no action "{name}".')
            return
        given = (number, *args) if number else args
        _ACTIONS[verb](self, *given)

    def _refuse(self, sentence: str) -> None:
        if not self.closed:
            self.messages.say(sentence, "problem")
            self.refresh()


_ACTIONS: dict[str, Callable[..., None]] = {
    name: getattr(StepActions, name)
    for name in (
        "seed",
        "pick",
        "take",
        "none_of_these",
        "keep",
        "approve",
        "undo",
        "redo",
        "whole_object",
        "continue_segment",
        "approve_next",
        "next_doubtful",
        "first_anchor",
        "cancel",
        "next_slice",
        "previous_slice",
    )
}
