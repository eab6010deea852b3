"""Slicer's views in the browser: a large slice view, four small ones and one in 3-D, as picture streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trame_rca.encoders import RcaImageEncoder
from trame_rca.schedulers import RcaImageRenderScheduler
from trame_rca.utils import RcaViewAdapter
from trame_server.utils.asynchronous import create_task
from trame_slicer.rca_view.rca_view_factory import RcaWindow
from trame_slicer.views import (
    NoScheduleRendering,
    ScheduledRenderStrategy,
    SliceView,
    ThreeDView,
    ViewProps,
)
from vtkmodules.vtkCommonCore import vtkObject

FRAMES_PER_SECOND = 30.0
MOVING_QUALITY, STILL_QUALITY = 72, 93
"""JPEG quality while the picture changes, and once it rests."""
REST_SECONDS = 0.16
"""The small views follow when the wheel has rested so long."""
AFTER_THE_LARGE = 0.03
"""Small views draw this much later than the large one, so that it reaches the browser first."""


class PatientRender(ScheduledRenderStrategy):
    """Draws a view soon, or later while something more important moves; many requests become one picture."""

    def __init__(self, draw: Callable[[], None], delay: float = 0.0) -> None:
        super().__init__()
        self._draw, self._delay = draw, delay
        self._timer: asyncio.TimerHandle | None = None
        self._held_until = 0.0

    def hold(self, seconds: float) -> None:
        """Draw nothing for so long; what is asked for meanwhile is drawn then."""
        self._held_until = asyncio.get_running_loop().time() + seconds
        if self._timer is not None:
            self._arm()

    def schedule_render(self) -> None:
        """Ask for a picture."""
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(max(loop.time() + self._delay, self._held_until), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._draw()


class _Window(RcaWindow):
    """A render window whose size and mouse are the page's."""

    def __init__(self, pane: Pane, state: Any) -> None:
        super().__init__(pane.view.render_window(), state, active_view_cursor=f"{pane.name}_cursor")
        self._pane = pane

    def process_resize_event(self, width: int, height: int) -> None:
        """The page gave the view another size."""
        super().process_resize_event(width, height)
        for follow in self._pane.resized:
            follow()

    def process_interaction_event(self, event: dict[str, Any]) -> None:
        """Everything but keys, which the page itself understands."""
        if not event["type"].lower().startswith("key"):
            super().process_interaction_event(event)


class Pane:
    """One view of the page. name: of its stream. delay: s it draws later than asked."""

    def __init__(self, server: Any, view: Any, name: str, delay: float = 0.0) -> None:
        self.name, self.view = name, view
        self.resized: list[Callable[[], None]] = []
        server.state.setdefault(f"{name}_cursor", "default")
        self.window = window = _Window(self, server.state)
        self._scheduler = RcaImageRenderScheduler(
            window,
            rca_encoder=RcaImageEncoder.TURBO_JPEG,
            target_fps=FRAMES_PER_SECOND,
            interactive_quality=MOVING_QUALITY,
            still_quality=STILL_QUALITY,
        )
        self._adapter = RcaViewAdapter(
            window, name, scheduler=self._scheduler, do_schedule_render_on_interaction=False
        )
        self.render = PatientRender(self._scheduler.schedule_render, delay)
        view.set_scheduled_render(self.render)
        create_task(self._register(server))

    @property
    def node(self) -> Any:
        """The view's own node in the scene."""
        return self.view.get_view_node()

    async def close(self) -> None:
        """Stop drawing and free the window."""
        await self._scheduler.close()
        self.view.finalize()

    async def _register(self, server: Any) -> None:
        await server.ready
        server.root_server.controller.rc_area_register(self._adapter)


@contextmanager
def _hushed() -> Iterator[None]:
    """trame-slicer observes an event that VTK 9.6 warns about at each view; the resize itself works."""
    shown = vtkObject.GetGlobalWarningDisplay()
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(shown)


def slice_pane(server: Any, app: Any, tag: str, stream: str, *, small: bool = False) -> Pane:
    """A slice view with this singleton tag, streamed under this name; black around the slice.

    Nothing is drawn while it is made: a view draws at every change until its pane says when.
    """
    with _hushed():
        view = SliceView(app.scene, app.app_logic, tag, NoScheduleRendering())
    view.set_view_properties(ViewProps(label=tag, orientation="Axial", background_color="#000000"))
    return Pane(server, view, stream, AFTER_THE_LARGE if small else 0.0)


def three_d_pane(server: Any, app: Any, stream: str) -> Pane:
    """A 3-D view, without box and labels."""
    with _hushed():
        view = ThreeDView(app.scene, app.app_logic, "SPASegment3D", NoScheduleRendering())
    view.set_view_properties(
        ViewProps(label="3-D", background_color=("#10161c", "#232e38"), box_visible=False)
    )
    view.renderer().SetUseDepthPeeling(False)
    return Pane(server, view, stream, 2 * AFTER_THE_LARGE)


def logic_of(app: Any, pane: Pane) -> Any:
    """The slice logic of a slice view."""
    return app.app_logic.GetSliceLogic(pane.node)
