"""The whole interaction on a scene, without any widget: what the panel and the browser viewer have in common.

A face tells the workbench what the user chose and did, and draws its `screen`. Nothing here blocks: engine,
profiles and pictures are the worker's; the scene is touched by the calling thread only.
"""

from __future__ import annotations

import functools
import inspect
import logging
import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from SPASegmentLib.errors import InputError, SPASegmentError
from SPASegmentLib.scene.chosen import Chosen
from SPASegmentLib.scene.engine_room import EngineRoom
from SPASegmentLib.scene.interaction import Interaction
from SPASegmentLib.scene.profile_desk import ProfileDesk
from SPASegmentLib.scene.screen import Screen, Tone
from SPASegmentLib.scene.screen_maker import make_screen
from SPASegmentLib.scene.settings import Settings
from SPASegmentLib.scene.target import Target
from SPASegmentLib.scene.worker import Outcome, Worker

if TYPE_CHECKING:
    from SPASegmentLib.engine.messages import Engine
    from SPASegmentLib.preference.store import ProfileStore

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 30.0
"""How long `close` waits for what the worker is in the middle of."""
_F = TypeVar("_F", bound=Callable[..., None])
_signature = functools.cache(inspect.signature)


def _safe(method: _F) -> _F:
    """What a face may call: whatever goes wrong becomes a sentence on the screen."""

    @functools.wraps(method)
    def run(self: Workbench, *args: Any, **more: Any) -> None:
        if self._closed:
            return
        if not method.__name__.startswith("set_"):
            self._say("", "hint")  # a choice that changes nothing leaves the sentence that is shown
        try:
            _signature(method).bind(self, *args, **more)
        except TypeError:
            self._refuse(f'The action "{method.__name__}" was given something it cannot use.')
            return
        self._guarded(lambda: method(self, *args, **more))
        self._refresh()

    return run  # type: ignore[return-value]


class Workbench:
    """Choices, actions and the screen. Every method may be called at any time, in any order; none raises.

    Create it, call it and close it on the thread that owns the scene.
    """

    def __init__(
        self,
        scene: Any,
        *,
        engine: Engine | None = None,
        model: str | Path = "compact",
        device: str = "auto",
        store: ProfileStore | None = None,
        post: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """engine: one that is ready; else `model` is loaded when needed, on `device` ("auto", "cpu", "cuda").

        store: the profiles, or None for the user's own folder. post(f): run f soon on this thread.
        """
        self._post_to_face = post
        self._clock = clock
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._listeners: list[Callable[[Screen], None]] = []
        self._said: tuple[str, Tone] = ("", "hint")
        self._closed = False
        self._worker = Worker(self._post)
        self._room = EngineRoom(model, device, engine)
        self._settings = Settings()
        self._target = Target(scene)
        self._desk = ProfileDesk(self._worker, lambda: self._room, store, self._reply)
        self._chosen = Chosen(scene, self._post_change)
        self._work = Interaction(
            scene, self._worker, self._chosen, self._target, self._desk, self._settings, self._say, self._room
        )
        self._chosen.listen(
            looked=self._work.look,
            removed=self._work.node_removed,
            changed=self._work.volume_changed,
            closed=self._work.scene_closed,
        )
        self.screen = Screen()
        self._refresh()

    def subscribe(self, f: Callable[[Screen], None]) -> Callable[[], None]:
        """Call f with every new screen; the returned function ends that."""
        self._listeners.append(f)

        def end() -> None:
            if f in self._listeners:
                self._listeners.remove(f)

        return end

    @property
    def working(self) -> bool:
        """Whether anything is computed, in the background too: a face that holds Python yields then."""
        return not self._closed and (self._worker.busy or self._work.waiting)

    # What is worked on

    @_safe
    def set_volume(self, node: Any) -> None:
        """The volume to segment, or None."""
        if node is self._chosen.volume and node is not None:
            return
        self._say("", "hint")
        self._chosen.choose_volume(node)
        self._work.volume_chosen()

    @_safe
    def set_segmentation(self, node: Any) -> None:
        """The segmentation that approved masks go to; None: one is made when it is needed."""
        if node is not None and not (hasattr(node, "IsA") and node.IsA("vtkMRMLSegmentationNode")):
            raise InputError("This is no segmentation; choose another one.")
        if node is not self._target.segmentation:
            self._say("", "hint")
        self._target.choose_segmentation(node)

    @_safe
    def set_segment(self, id_or_name: str | None) -> None:
        """The segment that approved masks go to, by ID or name; a new name makes a new segment."""
        if id_or_name is not None and not isinstance(id_or_name, str):
            raise InputError("A segment is chosen by its name; choose another one.")
        self._target.choose_segment(id_or_name)

    @_safe
    def set_editor_node(self, node: Any) -> None:
        """The vtkMRMLSegmentEditorNode whose masking and overwriting are honoured, or None."""
        self._target.choose_editor(node)

    @_safe
    def set_before_change(self, before_change: Callable[[], object] | None) -> None:
        """Called before each write to a segment, so that Ctrl+Z in the Segment Editor finds the state."""
        self._target.before_change = before_change

    @_safe
    def set_colors(self, colors: Any) -> None:
        """Other colours for the overlays (`overlays.OverlayColors`), or None for those of the start."""
        self._work.recolor(colors)

    @_safe
    def set_views(self, large: Any, small: Sequence[Any] = ()) -> None:
        """The slice nodes of the large view and of the small ones."""
        if large is not self._chosen.large:
            self._say("", "hint")
        self._chosen.choose_views(large, small)
        self._work.look(None)

    @_safe
    def set_profile(self, name: str | None) -> None:
        """The profile to start from and to teach, from the next seed on; None for none."""
        self._desk.choose(name)

    @_safe
    def set_learn(self, learn: bool) -> None:
        """Whether approvals teach the profile; also of the slice that is shown."""
        self._settings.learn = bool(learn)
        self._work.learn_changed()

    @_safe
    def set_samples(self, n: int | None) -> None:
        """How many samples a proposal takes (the paper's N), from the next seed on; None: the model's own."""
        if n is not None and not (isinstance(n, int) and 4 <= n <= 1024):
            raise InputError("The number of samples must lie between 4 and 1024.")
        self._settings.samples = n

    @_safe
    def set_window(self, window: tuple[float, float] | None) -> None:
        """Intensities (low, high) that are black and white, from the next seed on; None: automatic."""
        self._settings.choose_window(window)

    @_safe
    def set_model(self, name_or_path: str | Path, device: str = "auto") -> None:
        """Another model, from the next seed on; it is loaded when it is first needed."""
        self._room = EngineRoom(name_or_path, device)
        self._work.use(self._room)
        self._desk.model_changed()

    @_safe
    def prepare(self) -> None:
        """Load the model now, in the background, so that the first seed does not wait for it."""
        self._worker.chore(lambda token: self._room.get(), self._prepared)

    # What the user does

    @_safe
    def seed(self, ras: Sequence[float], *, positive: bool = True, slice_node: Any = None) -> None:
        """Place the seed, or a further point; world RAS in mm. slice_node: the view, else the large one."""
        self._work.seed(ras, positive, slice_node)

    @_safe
    def pick(self, k: int) -> None:
        """Pick candidate k, counted from 0: a new proposal follows."""
        self._work.pick(_whole(k, "A candidate"))

    @_safe
    def none_of_these(self) -> None:
        """Turn all candidates down: others follow."""
        self._work.none_of_these()

    @_safe
    def approve(self) -> None:
        """Take the recommendation as final: its mask is written, the profile learns."""
        self._work.finish(None)

    @_safe
    def take(self, k: int) -> None:
        """Take candidate k, counted from 0, as final as it is."""
        self._work.finish(_whole(k, "A candidate"))

    @_safe
    def undo(self) -> None:
        """Take the last step back, over slices too; an approval's voxels and evidence go with it."""
        self._work.undo()

    @_safe
    def redo(self) -> None:
        """Bring back the step that was undone last."""
        self._work.redo()

    @_safe
    def cancel(self) -> None:
        """Stop computing; nothing is changed."""
        self._work.cancel()

    @_safe
    def next_slice(self, steps: int = 1) -> None:
        """Go `steps` slices along the view and carry the object over."""
        self._work.next_slice(_whole(steps, "A number of slices"))

    @_safe
    def previous_slice(self) -> None:
        """Go a slice back along the view and carry the object over."""
        self._work.next_slice(-1)

    # Profiles

    @_safe
    def refresh_profiles(self) -> None:
        """Read which profiles there are; `screen.profiles` has them soon."""
        self._desk.refresh()

    @_safe
    def new_profile(self, name: str, structure: str = "", modality: str = "") -> None:
        """Create a profile of the model in use and choose it."""
        self._desk.create(name, structure, modality)

    @_safe
    def save_profile_as(self, name: str) -> None:
        """Copy the chosen profile under another name and choose the copy."""
        self._desk.save_as(name)

    @_safe
    def import_profile(self, path: str | Path, name: str | None = None) -> None:
        """Add a profile from a file, under its own or another name, and choose it."""
        self._desk.bring_in(Path(path), name)

    @_safe
    def export_profile(self, path: str | Path, replace: bool = False) -> None:
        """Write the chosen profile to a file."""
        self._desk.give_out(Path(path), overwrite=replace)

    @_safe
    def summarise_profile(self, name: str | None = None) -> None:
        """What the chosen (or named) profile has learnt: `screen.notes` has it soon."""
        self._desk.summarise(name)

    @_safe
    def compare_profiles(self, other: str, name: str | None = None) -> None:
        """How the chosen (or named) profile differs from another: `screen.notes` has it soon."""
        self._desk.compare(other, name)

    # By name

    def act(self, name: str, *args: Any) -> None:
        """Do an action by its name in `keys.KEYS` ("pick:0", "approve", "next_slice", ...)."""
        verb, _, number = str(name).partition(":")
        if verb not in _ACTIONS or (number and verb not in ("pick", "take")):
            self._refuse(f'There is no action "{name}".')
            return
        given = (number, *args) if number else args
        _ACTIONS[verb](self, *given)

    # A saved scene

    def to_state(self) -> str:
        """All interactions as JSON, to be saved with the scene: seeds, steps, views, segment, profile.

        Quick enough to be called with every new screen.
        """
        from SPASegmentLib.scene.state import to_state

        volume = self._chosen.volume
        volume_id = volume.GetID() if volume is not None else None
        return to_state(self._work, self._target, self._settings, self._desk, volume_id)

    @_safe
    def from_state(self, text: str) -> None:
        """Go on from a saved state; each slice is computed again when it is shown."""
        from SPASegmentLib.scene.state import from_state

        from_state(text, self._work, self._target, self._settings, self._desk, self._chosen)

    # The thread of the scene

    def wait(self, timeout: float = 30.0) -> bool:
        """Take in what is computed until nothing is left to do. Returns whether that came in time.

        For tests and for saving; a face has its event loop instead.
        """
        until = time.monotonic() + timeout
        while True:
            self._take_in()
            if self.idle:
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            try:
                call = self._inbox.get(timeout=left)
            except queue.Empty:
                return False
            self._guarded(call)

    @property
    def idle(self) -> bool:
        """Whether all that was asked for is done and delivered."""
        return self._closed or not (self._worker.busy or self._work.waiting)

    def close(self) -> None:
        """End the worker (what was approved is still taught), take nodes and observers of ours away."""
        if self._closed:
            return
        self._closed = True
        self._worker.close(CLOSING_SECONDS)
        self._chosen.close()
        self._work.close()
        self._listeners.clear()

    def _post(self, call: Callable[[], None]) -> None:
        """From any thread: do this soon on the scene's thread."""
        self._inbox.put(call)
        self._post_to_face(self._take_in)

    def _post_change(self, call: Callable[[], None]) -> None:
        if not self._closed:
            self._post(call)

    def _take_in(self) -> None:
        """Do what was posted, and show what came of it."""
        while not self._closed:
            try:
                call = self._inbox.get_nowait()
            except queue.Empty:
                break
            self._guarded(call)
        self._refresh()

    def _guarded(self, call: Callable[[], None]) -> None:
        """Call, and make a sentence of what goes wrong."""
        try:
            call()
        except SPASegmentError as error:
            self._say(str(error), "problem")
        except Exception:
            logger.exception("An action failed.")
            self._say("Something went wrong inside SPASegment; what was approved is kept.", "problem")

    def _prepared(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._say(str(outcome.error), "problem")

    def _reply(self, sentence: str, problem: bool) -> None:
        if sentence:
            self._say(sentence, "problem" if problem else "done")

    def _say(self, sentence: str, tone: Tone) -> None:
        """Show a sentence until the next action, in place of what to do next; "" for that again."""
        self._said = (sentence, tone)

    def _refuse(self, sentence: str) -> None:
        if not self._closed:
            self._say(sentence, "problem")
            self._refresh()

    def _refresh(self) -> None:
        if self._closed:
            return
        self._guarded(self._work.show)
        screen = make_screen(self._work, self._target, self._settings, self._desk, self._room, self._said)
        if screen == self.screen:
            return
        self.screen = screen
        for listener in tuple(self._listeners):
            try:
                listener(screen)
            except Exception:
                logger.exception("A listener of the screen failed.")


def _whole(value: Any, what: str) -> int:
    """A whole number, also as text. Raises InputError."""
    try:
        if isinstance(value, float) and value != int(value):
            raise ValueError(value)
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} is a whole number, not {str(value)[:20]!r}.") from None


_ACTIONS: dict[str, Callable[..., None]] = {
    name: getattr(Workbench, name)
    for name in (
        "seed",
        "pick",
        "take",
        "none_of_these",
        "approve",
        "undo",
        "redo",
        "cancel",
        "next_slice",
        "previous_slice",
    )
}
