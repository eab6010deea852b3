"""The interactions of a scene as JSON, to be saved with it and taken up again.

No image and no name of one is in it: slices are cut again from the volume and known by their content, and
proposals are computed again from the steps.
"""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from SPASegmentLib.errors import InputError, SPASegmentError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.imaging.window import is_ct
from SPASegmentLib.inference.session_log import SessionLog, log_of
from SPASegmentLib.mrml.grid import Grid
from SPASegmentLib.mrml.object_state import (
    FollowedObjectRecord,
    Number,
    StateRecord,
    object_records,
    saved_objects,
    unpacked,
)
from SPASegmentLib.mrml.segment_undo import Part, SegmentChange
from SPASegmentLib.mrml.slicing import cut_view
from SPASegmentLib.mrml.volumes import matrix_of, to_world_of
from SPASegmentLib.mrml.work import SlicePosition, Work, pack, whole
from SPASegmentLib.profiles.learning import Receipt

if TYPE_CHECKING:
    from SPASegmentLib.mrml.interaction import SceneInteraction
    from SPASegmentLib.mrml.profile_controller import ProfileController
    from SPASegmentLib.mrml.selection import SceneSelection
    from SPASegmentLib.mrml.settings import InteractionSettings
    from SPASegmentLib.mrml.target import Target

MAX_BYTES = 64 * 2**20
"""No larger text is read."""
SAVED = 50
"""The latest works are saved; what was approved on older ones stays in the segmentation."""
SUMS = 8
SAME = 1e-4
"""Slices whose weighted sums are this close (of a range of about 1) are the same slice."""
Row = tuple[Number, Number, Number, Number]
Window = tuple[Number, Number]
Size = Annotated[int, Field(gt=0, lt=2**16)]


class PlaceRecord(StateRecord):
    """See `work.Place`. window, model_window: what the slice was cut with."""

    slice_to_ras: tuple[Row, Row, Row, Row]
    at_ras: tuple[Number, Number, Number] | None
    moves: Annotated[tuple[int, ...], Field(max_length=100_000)]
    window: Window | None
    model_window: Window | None


class ImageRecord(StateRecord):
    """How a slice is known again after a file format has rounded its geometry: spacing, weighted sums."""

    spacing: tuple[Number, Number]
    sums: Annotated[tuple[Number, ...], Field(min_length=SUMS, max_length=SUMS)]


class PendingSeedRecord(StateRecord):
    """A seed whose proposal was not there yet, in pixels; given: the mask it goes on from."""

    row: Number
    col: Number
    size_mm: Number | None = None
    given: str | None = None


class ReceiptRecord(StateRecord):
    """See `learning.Receipt`."""

    profile: str
    profile_id: str
    evidence_id: str


class PartRecord(StateRecord):
    """See `segment_undo.Part`. to_node: of its grid."""

    segment: str
    to_node: tuple[Row, Row, Row, Row]
    start: tuple[int, int, int]
    shape: tuple[Size, Size, Size]
    gained: str
    lost: str


class WorkRecord(StateRecord):
    """See `work.Work`. Bits are packed, compressed and in base 64."""

    volume: str
    key: str
    view: str
    place: PlaceRecord
    image: ImageRecord
    carried: bool = False
    log: SessionLog | None = None
    opening: PendingSeedRecord | None = None
    target: tuple[str, str] | None = None
    mask: str | None = None
    changes: tuple[tuple[PartRecord, ...], ...] = ()
    receipt: ReceiptRecord | None = None


class SceneState(StateRecord):
    """Everything a controller needs to go on. current, following: indices of works. profile: its name."""

    format: Literal["spasegment-scene"] = "spasegment-scene"
    version: Literal[1] = 1
    works: Annotated[tuple[WorkRecord, ...], Field(max_length=10_000)] = ()
    current: int | None = None
    objects: Annotated[tuple[FollowedObjectRecord, ...], Field(max_length=100)] = ()
    following: int | None = None
    volume: str | None = None
    segmentation: str | None = None
    segment: str | None = None
    profile: str | None = None
    learn: bool = True
    samples: int | None = None
    window: Window | None = None


def to_state(
    work: SceneInteraction,
    target: Target,
    settings: InteractionSettings,
    profiles: ProfileController,
    volume: str | None,
) -> str:
    """The state as JSON. volume: ID of the chosen volume node."""
    current = work.trail.current
    works = [w for w in work.trail if w.session is not None or w.log is not None or w.opening is not None]
    works = [w for w in works[:-SAVED] if w is current] + works[-SAVED:]
    segmentation = target.segmentation
    state = SceneState(
        works=tuple(map(_record, works)),
        current=works.index(current) if current in works else None,
        objects=object_records(work.objects, works),
        following=works.index(work.following) if work.following in works else None,
        volume=volume,
        segmentation=segmentation.GetID() if segmentation is not None else None,
        segment=target.segment,
        profile=profiles.wanted,
        learn=settings.learn,
        samples=settings.samples,
        window=settings.window,
    )
    return state.model_dump_json()


def from_state(
    text: str,
    work: SceneInteraction,
    target: Target,
    settings: InteractionSettings,
    profiles: ProfileController,
    selection: SceneSelection,
) -> None:
    """Take up a state; what cannot be taken up is left out.

    Raises InputError for what is no state, and after all else where a slice had to be left out.
    """
    state = _read(text)
    scene = selection.scene
    settings.learn, settings.samples = state.learn, state.samples
    settings.choose_window(state.window)
    volume = scene.GetNodeByID(state.volume) if state.volume else None
    if volume is not None:
        selection.choose_volume(volume)
        target.choose_volume(volume)
    segmentation = scene.GetNodeByID(state.segmentation) if state.segmentation else None
    if segmentation is not None and segmentation.IsA("vtkMRMLSegmentationNode"):
        target.choose_segmentation(segmentation)
    target.choose_segment(state.segment)
    works: dict[int, Work] = {}
    problems: list[SPASegmentError] = []
    for n, record in enumerate(state.works):
        try:
            works[n] = _work(record, scene)
        except SPASegmentError as error:
            problems.append(error)
    current = works.get(state.current) if state.current is not None else None
    if state.profile:
        profiles.choose(state.profile, quietly=True)
    following = works.get(state.following) if state.following is not None else None
    work.restore(list(works.values()), current, saved_objects(state.objects, works), following)
    if problems:
        left = len(problems)
        slices = "One slice" if left == 1 else f"{left} slices"
        raise InputError(f"{slices} of the saved interaction could not be taken up: {problems[0]}")


def _read(text: str) -> SceneState:
    if len(text) > MAX_BYTES:
        raise InputError("The saved interaction is too large to be one; begin with a seed.")
    with contextlib.suppress(ValidationError, ValueError, RecursionError):
        return SceneState.model_validate_json(text)
    newer = False
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        newer = isinstance(found, dict) and isinstance(found.get("version"), int) and found["version"] > 1
    if newer:
        raise InputError("The interaction was saved by a newer SPASegment; update it to go on from there.")
    raise InputError("The saved interaction is damaged; begin with a seed, what was approved is kept.")


def _record(work: Work) -> WorkRecord:
    """Made anew only where the work has changed: the state is asked for with every screen."""
    receipt = work.taught()
    stands = (work.session, work.log, work.opening, work.target, receipt, *work.changes)
    if work.saved is None or not _same(work.saved[0], stands):
        work.saved = (stands, _made(work, receipt))
    record: WorkRecord = work.saved[1]
    return record


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _made(work: Work, receipt: Receipt | None) -> WorkRecord:
    view = work.view
    log = log_of(work.session) if work.session is not None else work.log
    return WorkRecord(
        volume=view.volume_id,
        key=view.key,
        view=work.node_id,
        place=_place(work),
        image=ImageRecord(spacing=view.image.spacing, sums=_sums(whole(view))),
        carried=work.carried,
        log=log,
        opening=_pending(work),
        target=work.target,
        mask=_packed(work.approved()),
        changes=tuple(tuple(map(_part, change.parts)) for change in work.changes if change.done),
        receipt=None
        if receipt is None
        else ReceiptRecord(
            profile=receipt.profile, profile_id=receipt.profile_id, evidence_id=receipt.evidence_id
        ),
    )


def _pending(work: Work) -> PendingSeedRecord | None:
    seed = work.opening
    if seed is None:
        return None
    return PendingSeedRecord(row=seed.row, col=seed.col, size_mm=seed.size_mm, given=_packed(work.given))


def _place(work: Work) -> PlaceRecord:
    """The window is written down too where it is the volume's own: the user may change that one."""
    place, view = work.place, work.view
    given = view.cut.windows.given
    own = view.volume.window
    if given is None and own is not None and not (view.cut.windows.model is not None and is_ct(view.volume)):
        given = (own.low, own.high)
    return PlaceRecord(
        slice_to_ras=_rows(place.slice_to_ras),
        at_ras=place.at_ras,
        moves=place.moves,
        window=given,
        model_window=view.cut.windows.model,
    )


def _work(record: WorkRecord, scene: Any) -> Work:
    """Raises InputError or SeedError where the slice is not to be had any more."""
    volume = scene.GetNodeByID(record.volume)
    if volume is None:
        raise InputError("its volume is not in the scene; load the volume and open the scene again.")
    place = record.place
    view = _cut(volume, place)
    view, log = _known_again(view, record)
    work = Work(
        view,
        SlicePosition(np.array(place.slice_to_ras), place.at_ras, place.moves),
        record.view,
        carried=record.carried,
        log=log,
        target=record.target,
        packed=None if record.mask is None else pack(unpacked(record.mask, view.image.shape)),
        receipt=None if record.receipt is None else Receipt(**record.receipt.model_dump()),
    )
    node = scene.GetNodeByID(record.target[0]) if record.target else None
    if node is not None and node.IsA("vtkMRMLSegmentationNode"):
        work.changes = [_change(change, node) for change in record.changes]
    if record.opening is not None:
        work.opening = PointPrompt(record.opening.row, record.opening.col, size_mm=record.opening.size_mm)
        if record.opening.given is not None:
            work.given = unpacked(record.opening.given, view.image.shape)
    return work


def _known_again(view: ViewSlice, record: WorkRecord) -> tuple[ViewSlice, SessionLog | None]:
    """The slice with the spacing it had, to the last bit, and the log for it.

    Files round: directions to some digits, and with them what is resampled between voxels. Raises InputError
    where the slice is another one.
    """
    log, image = record.log, view.image
    if np.allclose(image.spacing, record.image.spacing, rtol=1e-4, atol=0):
        image = replace(image, spacing=record.image.spacing)
        view = replace(view, image=image)
    if log is None or log.image == image.key:
        return view, log
    if log.shape != image.shape or not np.allclose(_sums(view), record.image.sums, rtol=0, atol=SAME):
        raise InputError("its volume has other voxels now; click the seed again.")
    return view, log.model_copy(update={"image": image.key})


def _sums(view: ViewSlice) -> tuple[float, ...]:
    """SUMS numbers that tell slices apart and hardly change with rounding."""
    rows, cols = (np.linspace(0, 1, n) for n in view.image.shape)
    waves = np.arange(SUMS)[:, None]
    down, across = np.cos(np.pi * waves * rows + waves), np.cos(np.pi * (SUMS - waves) * cols)
    grey = view.image.pixels if view.image.pixels.ndim == 2 else view.image.pixels.mean(axis=2)
    found = ((down @ grey.astype(np.float64)) * across).sum(axis=1) / np.sqrt(grey.size)
    return tuple(float(value) for value in found)


class _StoredView:
    """What `cut_view` asks of a slice node, for a view that was."""

    def __init__(self, slice_to_ras: np.ndarray) -> None:
        self._matrix = matrix_of(slice_to_ras)

    def GetSliceToRAS(self) -> Any:  # noqa: N802
        """vtkMatrix4x4."""
        return self._matrix


def _cut(volume: Any, place: PlaceRecord) -> ViewSlice:
    view = cut_view(
        volume,
        _StoredView(np.array(place.slice_to_ras)),
        at_ras=place.at_ras,
        window=place.window,
        model_window=place.model_window,
    )
    for steps in place.moves:
        view = view.moved(steps) if steps else view
    return view


def _rows(matrix: np.ndarray) -> tuple[Row, Row, Row, Row]:
    rows = [(float(a), float(b), float(c), float(d)) for a, b, c, d in matrix]
    return rows[0], rows[1], rows[2], rows[3]


def _part(part: Part) -> PartRecord:
    gained, lost = part.unpacked()
    to_node, shape = _rows(part.grid.to_node), part.shape
    return PartRecord(
        segment=part.segment_id,
        to_node=to_node,
        start=part.start,
        shape=shape,
        gained=_packed(gained) or "",
        lost=_packed(lost) or "",
    )


def _change(records: tuple[PartRecord, ...], node: Any) -> SegmentChange:
    outer = to_world_of(node)
    parts = []
    for record in records:
        to_node = np.array(record.to_node)
        gained, lost = (np.packbits(unpacked(text, record.shape)) for text in (record.gained, record.lost))
        grid = Grid(to_node, outer @ to_node)
        parts.append(Part(record.segment, grid, record.start, record.shape, gained, lost))
    change = SegmentChange(node, tuple(parts))
    change.done = True  # its voxels were saved with the scene
    return change


def _packed(mask: np.ndarray | None) -> str | None:
    return None if mask is None else base64.b64encode(pack(mask)).decode()
