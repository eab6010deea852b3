"""Which slice the large view shows, in which direction and window, and what the page says about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.mrml.slice_marks import slice_range, slider_marks
from SPASegmentLib.mrml.volumes import array_of, ijk_to_ras_of
from SPASegmentLib.viewer.views import REST_SECONDS, Pane

if TYPE_CHECKING:
    from SPASegmentLib.mrml.screen import ObjectShown, SlicePlace
    from SPASegmentLib.viewer.open_volumes import OpenVolume

Window = tuple[float, float]

PRESETS = {"lung": (-1350.0, 150.0), "soft": (-160.0, 240.0), "bone": (-450.0, 1550.0)}
"""Low and high in Hounsfield units."""
PRESET_NAMES = {
    "lung": "Lung",
    "soft": "Soft tissue",
    "bone": "Bone",
    "file": "The file's own",
    "auto": "Automatic",
    "model": "As the model sees it",
    "manual": "By hand",
}
ORIENTATIONS = ("Sagittal", "Coronal", "Axial")
"""In the order of the axes R, A, S that they lie across."""
THICK = 1.5
"""Slices so many times as thick as their pixels are wide are looked at as they were acquired."""
CLOSE_UP = 52.0
"""mm across when a place is visited."""
ROOM = 4.5
"""An object is shown with this many times its diameter across."""
CURSOR_STEP, CURSOR_STRIDE = 0.6, 4.0
"""Percent of the view one keystroke moves the cross, alone and with Shift."""


@dataclass(frozen=True, eq=False)
class Seen:
    """How a volume was looked at. slice_to_ras: (4, 4). window: its name, and intensities set by hand."""

    orientation: str
    slice_to_ras: np.ndarray
    field_of_view: tuple[float, ...]
    origin: tuple[float, ...]
    window: str


class Navigation:
    """The large view's place in the volume, and its window. model_window: the model's for a CT, or None.

    object: the whole object whose slices are marked on the page's slider, or None.
    """

    def __init__(self, server: Any, logic: Any, large: Pane, small: tuple[Pane, ...]) -> None:
        """logic: the large view's slice logic."""
        self._server, self._logic = server, logic
        self._large, self._small = large, small
        self._opened: OpenVolume | None = None
        self._told: tuple[Any, ...] = ()
        self._frame: Callable[[], None] | None = None
        self._by_hand: Window | None = None
        self.model_window: Window | None = None
        self.object: ObjectShown | None = None
        self.approved: tuple[SlicePlace, ...] = ()
        large.view.modified.connect(self._on_moved)
        large.resized.append(self._frame_again)

    @property
    def node(self) -> Any:
        """The large view's slice node."""
        return self._large.node

    @property
    def _volume(self) -> Any:
        return self._opened.node if self._opened is not None else None

    def show(self, opened: OpenVolume) -> None:
        """Show a volume in all slice views: as it was left, or else whole and in the middle."""
        self._opened = opened
        for pane in (self._large, *self._small):
            pane.view.set_background_volume_id(opened.node.GetID())
        with self._server.state as state:
            state.is_ct, state.flat = opened.is_ct, opened.is_flat
            state.has_own_window = opened.own_window is not None
            state.unit = "mm²" if opened.is_sized else "px"
        seen: Seen | None = opened.seen
        self.orient(seen.orientation if seen is not None else _opening_orientation(opened.node), anew=True)
        if seen is not None:
            self.node.GetSliceToRAS().DeepCopy(seen.slice_to_ras.ravel())
            self.node.SetXYZOrigin(*seen.origin)
            self.node.SetFieldOfView(*seen.field_of_view)
            self.node.UpdateMatrices()
            self._frame = None
        first = seen.window if seen is not None else self._first_window(opened)
        self.set_window(first, self._by_hand)

    def _first_window(self, opened: OpenVolume) -> str:
        """By hand, else a CT as its sample or the model has it, else the file's own, else automatic."""
        if self._by_hand is not None:
            return "manual"
        if opened.is_ct and (opened.choice.window != "model" or self.model_window is not None):
            return opened.choice.window
        return "file" if opened.own_window is not None else "auto"

    def seen(self) -> Seen:
        """How the volume is looked at now."""
        node, state = self.node, self._server.state
        matrix = array_of(node.GetSliceToRAS())
        return Seen(state.orientation, matrix, node.GetFieldOfView(), node.GetXYZOrigin(), str(state.window))

    def orient(self, orientation: str, *, anew: bool = False) -> None:
        """Turn the view along the voxels' own axes, and fit the slice. anew: in the middle of the volume."""
        if orientation not in ORIENTATIONS or self._volume is None:
            return
        before = None if anew else self.centre()
        self.node.SetOrientation(orientation)
        self._logic.RotateSliceToLowestVolumeAxes(False)
        self._fit()
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
        return array_of(self.node.GetSliceToRAS())[:3, 3]

    def jump(self, ras: Any) -> None:
        """Show the slice through a point, without moving the picture."""
        self.node.JumpSliceByOffsetting(*map(float, ras))

    def touched(self) -> None:
        """The user has zoomed or moved the picture: it is not framed anew when the view changes its size."""
        self._frame = None

    def _fit(self) -> None:
        self._logic.FitSliceToBackground()
        self._frame = self._logic.FitSliceToBackground

    def _frame_again(self) -> None:
        """The view has another size, at first the page's own: what was framed is framed again."""
        if self._frame is not None and self._volume is not None:
            offset = self.node.GetSliceOffset()
            self._frame()
            self._logic.SetSliceOffset(offset)
            self.tell()

    def visit(self, ras: Any, across: float = CLOSE_UP) -> None:
        """Look at a point closely. across: mm the view's shorter side shows, at least."""
        self._centre_on(ras, across)
        self._frame = partial(self._centre_on, ras, across)
        self._logic.SnapSliceOffsetToIJK()
        self.tell()

    def _centre_on(self, ras: Any, across: float) -> None:
        self.node.JumpSliceByCentering(*map(float, ras))
        width, height, depth = self.node.GetFieldOfView()
        scale = across / max(min(width, height), 1e-6)
        self.node.SetFieldOfView(width * scale, height * scale, depth)

    def zoom(self, ras: Any, area: float) -> None:
        """Look at an object of so many mm2 around a point, or at the whole slice where that is so already."""
        width, height, _ = self.node.GetFieldOfView()
        across = max(ROOM * 2 * math.sqrt(max(area, 1.0) / math.pi), 25.0)
        if ras is None or min(width, height) < 1.15 * across:
            offset = self.node.GetSliceOffset()
            self._fit()
            self._logic.SetSliceOffset(offset)
            self.tell()
        else:
            self.visit(ras, across)

    def slide(self, offset: float) -> None:
        """Show the slice at this offset in mm; the small views follow when it rests."""
        if self._volume is None:
            return
        self.hold_small()
        low, high, _step = self._range()
        self._logic.SetSliceOffset(min(max(float(offset), low), high))
        self.tell()

    def scroll(self, steps: int) -> None:
        """Move by slices without carrying anything over."""
        if self._volume is not None:
            self.slide(self.node.GetSliceOffset() + steps * self._range()[2])

    def hold_small(self) -> None:
        """Let the small views wait until the large one rests."""
        for pane in self._small:
            pane.render.hold(REST_SECONDS)

    def set_window(self, name: str, by_hand: Window | None = None) -> None:
        """Show intensities in a preset's window, the file's, the model's, one set by hand, or a fitting one.

        by_hand: (low, high) for "manual". Raises InputError for what is no window.
        """
        if name not in PRESET_NAMES:
            return
        if name == "manual":
            if by_hand is None or not (np.isfinite(by_hand).all() and by_hand[0] < by_hand[1]):
                raise InputError("The window's first intensity must lie below its second one.")
            self._by_hand = by_hand
        else:
            self._by_hand = None
        display = self._volume.GetScalarVolumeDisplayNode() if self._volume is not None else None
        if display is None or display.IsA("vtkMRMLVectorVolumeDisplayNode"):
            return
        own = self._opened.own_window if self._opened is not None else None
        chosen = {"model": self.model_window, "manual": by_hand, "file": own}.get(name, PRESETS.get(name))
        if chosen is None:
            display.SetAutoWindowLevel(True)
        else:
            display.SetAutoWindowLevel(False)
            display.SetWindowLevelMinMax(*chosen)
        with self._server.state as state:
            state.window = name if chosen is not None else "auto"
            state.window_low, state.window_high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
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
        letters = self._letters() if self._opened is not None and self._opened.has_sides else [""] * 4
        window, seen = self._window_text(), self._model_sees()
        marks = self._marks()
        told = (low, high, step, round(offset, 3), letters, window, seen, self._volume.GetID(), marks)
        if told == self._told:
            return
        self._told = told
        count = round((high - low) / step) + 1
        number = min(max(round((offset - low) / step) + 1, 1), count)
        with self._server.state as state:
            state.slice_min, state.slice_max, state.slice_step = low, high, step
            state.slice_at, state.slice_count = offset, count
            state.slice_text = f"{number} of {count}" + (f"  ·  {offset:.1f} mm" if count > 1 else "")
            state.letters, state.window_text, state.model_sees = letters, window, seen
            state.marks = marks
            state.doubtful = sorted((m for m in marks if m["kind"] == "doubtful"), key=lambda m: m["dice"])

    def _marks(self) -> list[dict[str, Any]]:
        """The slices that are done or followed, where the view runs along them: in percent of the slider."""
        return [
            {
                "at": round(100 * one.share, 2),
                "offset": one.offset,
                "number": one.number,
                "kind": one.kind,
                "reason": one.reason,
                "dice": one.expected_dice,
            }
            for one in slider_marks(self.object, self.approved, self._volume, self.node)
        ]

    def _on_moved(self, _view: Any) -> None:
        if self._volume is not None and round(self.node.GetSliceOffset(), 3) != (self._told or [0] * 4)[3]:
            self.hold_small()
            self.tell()

    def _range(self) -> tuple[float, float, float]:
        """Offsets in mm of the first and the last slice along the view, and from one to the next."""
        return slice_range(self._volume, self.node)

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
        return _told_window(display.GetWindowLevelMin(), display.GetWindowLevelMax())

    def _model_sees(self) -> str:
        """In which window the model sees the slice, where that is not the one shown."""
        display = self._volume.GetScalarVolumeDisplayNode()
        if display is None or display.IsA("vtkMRMLVectorVolumeDisplayNode") or self._by_hand is not None:
            return ""
        if self._opened is not None and self._opened.is_ct and self.model_window is not None:
            shown = (display.GetWindowLevelMin(), display.GetWindowLevelMax())
            same = np.allclose(shown, self.model_window, atol=0.5)
            return "" if same else f"the model sees {_told_window(*self.model_window)}"
        if not display.GetAutoWindowLevel():
            return ""
        if self._opened is not None and self._opened.is_ct:
            return "the model sees soft tissue; all intensities where lung shows"
        return "the model fits it to each slice"


def _told_window(low: float, high: float) -> str:
    width, level = high - low, (high + low) / 2
    digits = 0 if width >= 20 else 3
    return f"W {width:.{digits}f}  L {level:.{digits}f}"


def _opening_orientation(volume: Any) -> str:
    """As the slices were acquired where they are thick, or are but one picture; else axial."""
    matrix = ijk_to_ras_of(volume)[:3, :3]
    sizes = np.array(volume.GetImageData().GetDimensions())
    lengths = np.linalg.norm(matrix, axis=0)
    across = int(np.argmin(sizes)) if sizes.min() == 1 else int(np.argmax(lengths))
    if sizes.min() > 1 and lengths[across] < THICK * np.median(lengths):
        return "Axial"
    return ORIENTATIONS[int(np.argmax(np.abs(matrix[:, across])))]


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

    def moved(_caller: Any, _event: str) -> None:
        navigation.touched()

    # Before Slicer's own tools, to which Ctrl with the left button means something else.
    interactor.AddObserver("LeftButtonPressEvent", pressed, 10.0)
    interactor.AddObserver("RightButtonPressEvent", moved, 10.0)
    interactor.AddObserver("MiddleButtonPressEvent", moved, 10.0)
    interactor.AddObserver("MouseWheelForwardEvent", turned, 10.0)
    interactor.AddObserver("MouseWheelBackwardEvent", turned, 10.0)
