"""The whole interaction on a scene, without any widget: what the panel and the browser viewer have in common.

A face tells the controller what the user chose and did, and draws its `screen`. Nothing here blocks: engine,
profiles and pictures are the worker's; the scene is touched by the calling thread only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SPASegmentLib.errors import InputError
from SPASegmentLib.inference.config import DEFAULT_MODEL
from SPASegmentLib.mrml.engine_holder import EngineHolder
from SPASegmentLib.mrml.interaction import SceneInteraction
from SPASegmentLib.mrml.profile_actions import ProfileActions
from SPASegmentLib.mrml.profile_controller import ProfileController
from SPASegmentLib.mrml.screen import Screen
from SPASegmentLib.mrml.screen_maker import make_screen
from SPASegmentLib.mrml.selection import SceneSelection
from SPASegmentLib.mrml.settings import InteractionSettings
from SPASegmentLib.mrml.step_actions import StepActions
from SPASegmentLib.mrml.target import Target
from SPASegmentLib.mrml.user_messages import UserMessages, safe
from SPASegmentLib.mrml.worker import JobOutcome, SceneCalls, Worker

if TYPE_CHECKING:
    from SPASegmentLib.inference.messages import Engine
    from SPASegmentLib.mrml.work import Work
    from SPASegmentLib.profiles.store import ProfileStore
    from SPASegmentLib.service.choice import ServerChoice

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 30.0
"""How long `close` waits for what the worker is in the middle of."""


class Controller(StepActions, ProfileActions):
    """Choices, actions and the screen. Every method may be called at any time, in any order; none raises.

    Create it, call it and close it on the thread that owns the scene.
    """

    def __init__(
        self,
        scene: Any,
        *,
        engine: Engine | None = None,
        model: str | Path = DEFAULT_MODEL,
        device: str = "auto",
        server: ServerChoice | None = None,
        store: ProfileStore | None = None,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        """engine: one that is ready; else `model` is loaded when needed, on `device` (see `choose_device`).

        server: what computes instead of this computer, or None. store: the profiles, or None for the user's
        own folder. post(f): run f soon on this thread.
        """
        self.closed = False
        self.messages = UserMessages()
        self._calls = SceneCalls(post, self.messages.guarded, self.refresh)
        self._listeners: list[Callable[[Screen], None]] = []
        self._worker = Worker(self._calls.put)
        self._server = server
        self._holder = EngineHolder(model, device, engine, server)
        self._settings = InteractionSettings()
        self._target = Target(scene)
        self._profiles = ProfileController(self._worker, lambda: self._holder, store, self._reply)
        self._selection = SceneSelection(scene, self._post_change)
        self._work = SceneInteraction(
            scene,
            self._worker,
            self._selection,
            self._target,
            self._profiles,
            self._settings,
            self.messages.say,
            lambda: self._holder,
        )
        self._selection.listen(
            looked=self._work.look,
            removed=self._work.changes.node_removed,
            changed=self._work.changes.volume_changed,
            closed=self._work.changes.scene_closed,
        )
        self.screen = Screen()
        self.refresh()

    def subscribe(self, f: Callable[[Screen], None]) -> Callable[[], None]:
        """Call f with every new screen; the returned function ends that."""
        self._listeners.append(f)

        def end() -> None:
            if f in self._listeners:
                self._listeners.remove(f)

        return end

    @property
    def works(self) -> tuple[Work, ...]:
        """The objects worked on, each on its slice, in the order they were begun."""
        return tuple(self._work.trail)

    @property
    def working(self) -> bool:
        """Whether anything is computed, in the background too: a face that holds Python yields then."""
        return not self.closed and (self._worker.busy or self._work.waiting)

    # What is worked on

    @safe
    def set_volume(self, node: Any) -> None:
        """The volume to segment, or None. Its masks go to its own segmentation."""
        if node is self._selection.volume:
            return
        self.messages.say("", "hint")
        self._selection.choose_volume(node)
        self._work.volume_chosen()

    @property
    def segmentation(self) -> Any:
        """The segmentation node that the chosen volume's masks go to, or None where one is yet to be made."""
        return self._target.segmentation

    @safe
    def set_segmentation(self, node: Any) -> None:
        """The segmentation the chosen volume's masks go to from now on; None: its own, made when needed.

        Choosing a volume chooses its own, so choose the volume first.
        """
        if node is not None and not (hasattr(node, "IsA") and node.IsA("vtkMRMLSegmentationNode")):
            raise InputError("This is no segmentation; choose another one.")
        if node is not self._target.segmentation:
            self.messages.say("", "hint")
        self._target.choose_segmentation(node)

    @safe
    def set_segment(self, id_or_name: str | None) -> None:
        """The segment that approved masks go to, by ID or name; a new name makes a new segment."""
        if id_or_name is not None and not isinstance(id_or_name, str):
            raise InputError("A segment is chosen by its name; choose another one.")
        self._target.choose_segment(id_or_name)

    @safe
    def set_editor_node(self, node: Any) -> None:
        """The vtkMRMLSegmentEditorNode whose masking and overwriting are honoured, or None."""
        self._target.choose_editor(node)

    @safe
    def set_before_change(self, before_change: Callable[[], object] | None) -> None:
        """Called before each write to a segment, so that Ctrl+Z in the Segment Editor finds the state."""
        self._target.before_change = before_change

    @safe
    def set_colors(self, colors: Any) -> None:
        """Other colours for the overlays (`overlays.OverlayColors`), or None for those of the start."""
        self._work.recolor(colors)

    @safe
    def set_views(self, large: Any, small: Sequence[Any] = ()) -> None:
        """The slice nodes of the large view and of the small ones; without any, nothing is shown."""
        if large is not self._selection.large:
            self.messages.say("", "hint")
        self._selection.choose_views(large, small)
        self._work.look(None)

    @safe
    def set_learn(self, learn: bool) -> None:
        """Whether approvals teach the profile; also of the slice that is shown."""
        self._settings.learn = bool(learn)
        self._work.learn_changed()

    @safe
    def set_keep_approved(self, folder: Path | None) -> None:
        """Keep what is approved from now on in a folder, for `spasegment adapt`; None keeps nothing."""
        self._settings.keep_approved = folder

    @safe
    def set_samples(self, n: int | None) -> None:
        """How many samples a proposal takes (the paper's N), from the next seed on; None: the model's own."""
        if n is not None and not (isinstance(n, int) and 4 <= n <= 1024):
            raise InputError("The number of samples must lie between 4 and 1024.")
        self._settings.samples = n

    @safe
    def set_window(self, window: tuple[float, float] | None) -> None:
        """Intensities (low, high) that are black and white, from the next seed on; None: automatic."""
        self._settings.choose_window(window)

    @safe
    def set_model(self, name_or_path: str | Path, device: str = "auto") -> None:
        """Another model, from the next seed on; it is loaded when it is first needed."""
        self._holder = EngineHolder(name_or_path, device, server=self._server)
        self._profiles.model_changed()

    @safe
    def set_server(self, server: ServerChoice | None) -> None:
        """Where proposals are computed from the next step on: on a server, or on this computer with None."""
        self._server = server
        self._holder = EngineHolder(self._holder.asked, self._holder.device_asked, server=server)
        self._profiles.model_changed()

    @safe
    def prepare(self) -> None:
        """Load the model now, in the background, so that the first seed does not wait for it."""
        self._worker.chore(lambda token: self._holder.get(token), self._prepared, keep=False)

    # A saved scene

    def to_state(self) -> str:
        """All interactions as JSON, to be saved with the scene: seeds, steps, views, segment, profile.

        Quick enough to be called with every new screen.
        """
        from SPASegmentLib.mrml.state import to_state

        volume = self._selection.volume
        volume_id = volume.GetID() if volume is not None else None
        return to_state(self._work, self._target, self._settings, self._profiles, volume_id)

    @safe
    def from_state(self, text: str) -> None:
        """Go on from a saved state; each slice is computed again when it is shown."""
        from SPASegmentLib.mrml.state import from_state

        from_state(text, self._work, self._target, self._settings, self._profiles, self._selection)

    # The thread of the scene

    def wait(self, timeout: float = 30.0) -> bool:
        """Take in what is computed until nothing is left to do. Returns whether that came in time.

        For tests and for saving; a face has its event loop instead.
        """
        return self._calls.take_in_until(lambda: not self.working, timeout)

    def close(self) -> None:
        """End the worker (what was approved is still taught), take nodes and observers of ours away."""
        if self.closed:
            return
        self.closed = True
        self._calls.close()
        self._worker.close(CLOSING_SECONDS)
        self._selection.close()
        self._work.close()
        self._listeners.clear()

    def _post_change(self, call: Callable[[], None]) -> None:
        if not self.closed:
            self._calls.put(call)

    def _prepared(self, outcome: JobOutcome) -> None:
        if outcome.error is not None:
            self.messages.say(str(outcome.error), "problem")

    def _reply(self, sentence: str, problem: bool) -> None:
        if sentence:
            self.messages.say(sentence, "problem" if problem else "done")

    def refresh(self) -> None:
        """Draw what is worked on, and tell the listeners of a new screen."""
        if self.closed:
            return
        self.messages.guarded(self._work.go_on)
        self.messages.guarded(self._work.show)
        screen = make_screen(
            self._work, self._target, self._settings, self._profiles, self._holder, self.messages.said
        )
        if screen == self.screen:
            return
        self.screen = screen
        for listener in tuple(self._listeners):
            try:
                listener(screen)
            except Exception:
                logger.exception("A listener of the screen failed.")
