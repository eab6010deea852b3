"""Which slice the large view shows, in which direction and window, and what the page says about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from SPASegmentLib.viewer.views import REST_SECONDS, Pane

PRESETS = {"lung": (-1350.0, 150.0), "soft": (-160.0, 240.0), "bone": (-450.0, 1550.0)}
"""Low and high in Hounsfield units."""
PRESET_NAMES = {
    "lung": "Lung",
    "soft": "Soft tissue",
    "bone": "Bone",
    "auto": "Automatic",
    "model": "As the model sees it",
}
CLOSE_UP = 52.0
"""mm across when a place is visited."""
ROOM = 4.5
"""An object is shown with this many times its diameter across."""
CURSOR_STEP, CURSOR_STRIDE = 0.6, 4.0
"""Percent of the view one keystroke moves the cross, alone and with Shift."""


class Navigation:
    """The large view's place in the volume. `rest` is called when it has moved, for what may follow later."""

    def __init__(self, server: Any, logic: Any, large: Pane, small: tuple[Pane, ...]) -> None:
        """logic: the large view's slice logic."""
        self._server, self._logic = server, logic
        self._large, self._small = large, small
        self._volume: Any = None
        self._told: tuple[Any, ...] = ()
        large.view.modified.connect(self._on_moved)

    @property
    def node(self) -> Any:
        """The large view's slice node."""
        return self._large.node

    def show(self, volume: Any) -> None:
        """Show a volume node in all slice views, whole, in the middle."""
        self._volume = volume
        for pane in (self._large, *self._small):
            pane.view.set_background_volume_id(volume.GetID() if volume else None)
        if volume is not None:
            self.orient("Axial")

    def orient(self, orientation: str) -> None:
        """Turn the view to Axial, Sagittal or Coronal, along the voxels' own axes, and fit the slice."""
        if orientation not in ("Axial", "Sagittal", "Coronal") or self._volume is None:
            return
        before = self.centre()
        self.node.SetOrientation(orientation)
        self._logic.RotateSliceToLowestVolumeAxes(False)
        self._logic.FitSliceToBackground()
        with self._server.state as state:
            state.orientation = orientation
        if before is not None and self._inside(before):
            self.jump(before)
        self._logic.SnapSliceOffsetToIJK()
        self.tell()

    def centre(self) -> np.ndarray | None:
        """(3,) RAS in mm of the middle of the large view."""
        if self._volume is None:
            return None
        matrix = self.node.GetSliceToRAS()
        return np.array([matrix.GetElement(row, 3) for row in range(3)])

    def jump(self, ras: Any) -> None:
        """Show the slice through a point, without moving the picture."""
        self.node.JumpSliceByOffsetting(*map(float, ras))

    def visit(self, ras: Any, across: float = CLOSE_UP) -> None:
        """Look at a point closely. across: mm the view's shorter side shows, at least."""
        self.node.JumpSliceByCentering(*map(float, ras))
        width, height, depth = self.node.GetFieldOfView()
        scale = across / max(min(width, height), 1e-6)
        self.node.SetFieldOfView(width * scale, height * scale, depth)
        self._logic.SnapSliceOffsetToIJK()
        self.tell()

    def zoom(self, ras: Any, area: float) -> None:
        """Look at an object of so many mm2 around a point, or at the whole slice where that is so already."""
        width, height, _ = self.node.GetFieldOfView()
        across = max(ROOM * 2 * math.sqrt(max(area, 1.0) / math.pi), 25.0)
        if ras is None or min(width, height) < 1.15 * across:
            offset = self.node.GetSliceOffset()
            self._logic.FitSliceToBackground()
            self._logic.SetSliceOffset(offset)
            self.tell()
        else:
            self.visit(ras, across)

    def slide(self, offset: float) -> None:
        """Show the slice at this offset in mm; the small views follow when it rests."""
        self.hold_small()
        self._logic.SetSliceOffset(float(offset))
        self.tell()

    def scroll(self, steps: int) -> None:
        """Move by slices without carrying anything over."""
        low, high, step = self._range()
        self.slide(min(max(self.node.GetSliceOffset() + steps * step, low), high))

    def hold_small(self) -> None:
        """Let the small views wait until the large one rests."""
        for pane in self._small:
            pane.render.hold(REST_SECONDS)

    def set_window(self, name: str, model_window: tuple[float, float] | None) -> None:
        """Show intensities in a preset's window, the model's own, or one that fits the volume."""
        display = self._volume.GetScalarVolumeDisplayNode() if self._volume is not None else None
        if display is None or name not in PRESET_NAMES:
            return
        chosen = model_window if name == "model" else PRESETS.get(name)
        if chosen is None:
            display.SetAutoWindowLevel(True)
        else:
            display.SetAutoWindowLevel(False)
            display.SetWindowLevelMinMax(*chosen)
        with self._server.state as state:
            state.window = name if chosen is not None else "auto"
        self.tell()

    def at(self, x: float, y: float) -> tuple[float, float, float]:
        """World RAS in mm of a point of the large view in display pixels, from its lower left corner."""
        ras = self.node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))
        return (ras[0], ras[1], ras[2])

    def move_cursor(self, right: int, down: int, far: bool) -> None:
        """Move the keyboard's cross over the large view; the first move shows it in the middle."""
        step = CURSOR_STRIDE if far else CURSOR_STEP
        with self._server.state as state:
            at = state.cursor
            if at is None:
                state.cursor = [50.0, 50.0]
                return
            state.cursor = [
                min(max(at[0] + right * step, 0.0), 100.0),
                min(max(at[1] + down * step, 0.0), 100.0),
            ]

    def at_cursor(self) -> tuple[float, float, float] | None:
        """World RAS under the keyboard's cross, or None where it is not shown."""
        at = self._server.state.cursor
        if at is None:
            return None
        width, height = self._large.view.render_window().GetSize()
        return self.at(at[0] / 100 * width, (1 - at[1] / 100) * height)

    def tell(self) -> None:
        """Bring the page's slider, letters and numbers up to date."""
        if self._volume is None:
            return
        low, high, step = self._range()
        offset = self.node.GetSliceOffset()
        told = (low, high, step, round(offset, 3), self._letters(), self._window_text())
        if told == self._told:
            return
        self._told = told
        count = round((high - low) / step) + 1 if step > 0 else 1
        number = min(max(round((offset - low) / step) + 1, 1), count) if step > 0 else 1
        with self._server.state as state:
            state.slice_min, state.slice_max, state.slice_step = low, high, step
            state.slice_at = offset
            state.slice_text = f"{number} of {count}  ·  {offset:.1f} mm"
            state.letters = self._letters()
            state.window_text = self._window_text()

    def _on_moved(self, _view: Any) -> None:
        if self._volume is not None and round(self.node.GetSliceOffset(), 3) != (self._told or [0] * 4)[3]:
            self.hold_small()
            self.tell()

    def _range(self) -> tuple[float, float, float]:
        low, high = self._large.view.get_slice_range()
        return low, high, self._large.view.get_slice_step()

    def _inside(self, ras: np.ndarray) -> bool:
        bounds = [0.0] * 6
        self._volume.GetRASBounds(bounds)
        return all(bounds[2 * i] <= ras[i] <= bounds[2 * i + 1] for i in range(3))

    def _letters(self) -> list[str]:
        """Letters at the top, right, bottom and left of the view."""
        matrix = self.node.GetSliceToRAS()
        right = _letter([matrix.GetElement(row, 0) for row in range(3)])
        up = _letter([matrix.GetElement(row, 1) for row in range(3)])
        opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
        return [up, right, opposite[up], opposite[right]]

    def _window_text(self) -> str:
        display = self._volume.GetScalarVolumeDisplayNode()
        if display is None or display.IsA("vtkMRMLVectorVolumeDisplayNode"):
            return ""
        return f"W {display.GetWindow():.0f}  L {display.GetLevel():.0f}"


def _letter(direction: list[float]) -> str:
    """The patient's side a direction in RAS points to most."""
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "SI")[axis][0 if direction[axis] > 0 else 1]


OnClick = Callable[[tuple[float, float, float], bool], None]


def observe_clicks(large: Pane, navigation: Navigation, clicked: OnClick) -> None:
    """Call `clicked` with the point in RAS and whether it is positive (no Ctrl) for every click."""
    interactor = large.view.interactor()

    def pressed(_caller: Any, _event: str) -> None:
        clicked(navigation.at(*interactor.GetEventPosition()), not interactor.GetControlKey())

    def turned(_caller: Any, _event: str) -> None:
        navigation.hold_small()

    interactor.AddObserver("LeftButtonPressEvent", pressed)
    interactor.AddObserver("MouseWheelForwardEvent", turned, 10.0)
    interactor.AddObserver("MouseWheelBackwardEvent", turned, 10.0)
