"""What is being segmented: one object on one slice (`Work`), and the order they were worked on (`Trail`)."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import InputError, SPASegmentError, StepError
from SPASegmentLib.imaging.geometry import Slab
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.inference.session import Done, Session
from SPASegmentLib.mrml.screen import Card, SlicePlace

if TYPE_CHECKING:
    from SPASegmentLib.inference.session_log import SessionLog
    from SPASegmentLib.profiles.approvals import KeptApproval
    from SPASegmentLib.profiles.evidence import ObjectStyle
    from SPASegmentLib.profiles.learning import Receipt
    from SPASegmentLib.profiles.teaching import Teaching

MAX_PIXELS = 2**28
LIVE = 4
"""Sessions kept whole; older ones are kept as logs and computed again when they are needed."""
SEED_FIRST = "Click a seed on the object first."
STILL_COMPUTING = "The last step is still being computed; wait for it or cancel it first."


class StillComputingError(StepError):
    """A step has to wait for the one before."""

    def __init__(self) -> None:
        super().__init__(STILL_COMPUTING)


KEPT = 1000
"""Works kept at all; what was approved on older ones stays, but is not undone here any more."""


@dataclass(frozen=True, eq=False)
class SlicePosition:
    """How a slice was cut, so that the very same one can be cut again.

    slice_to_ras: (4, 4) of the view. at_ras: the point it was cut through. moves: slices from there.
    """

    slice_to_ras: np.ndarray
    at_ras: tuple[float, float, float] | None
    moves: tuple[int, ...] = ()

    def moved(self, steps: int, *, exact: bool) -> SlicePosition:
        """The place `steps` further. exact: on planes of voxels steps add up without rounding."""
        moves = (*self.moves, steps)
        return SlicePosition(self.slice_to_ras, self.at_ras, (sum(moves),) if exact else moves)


@dataclass(eq=False)
class Work:
    """One object on one slice.

    node_id: of the view it was seeded in. session: None until the seed's proposal is there (`opening` then
    holds the seed, and `given` the mask it goes on from), or while only its `log` is kept. carried: its seed
    came from the neighbouring slice.
    target: (segmentation node ID, segment ID) its mask went to. packed: what was approved, once the session
    rests. changes: its writes, oldest first. receipt: what a profile holds of it since before the scene was
    saved. kept: its approval in the folder of kept ones. doubts: sentences beside it. stale: its volume has
    changed since. stuck: its log cannot be brought back. voxels: those its mask covers, once needed.
    saved: its record in a saved state. cards: by proposal. style: of the object's slices before this one.
    strokes: steps that came of one line, which undo takes back together.
    """

    view: ViewSlice
    place: SlicePosition
    node_id: str
    session: Session | None = None
    opening: PointPrompt | None = None
    given: np.ndarray | None = None
    carried: bool = False
    log: SessionLog | None = None
    target: tuple[str, str] | None = None
    packed: bytes | None = None
    changes: list[Any] = field(default_factory=list)
    teaching: Teaching | None = None
    receipt: Receipt | None = None
    kept: KeptApproval | None = None
    doubts: tuple[str, ...] = ()
    stale: bool = False
    stuck: bool = False
    voxels: tuple[bytes, Slab | None] | None = field(default=None, repr=False)
    saved: tuple[tuple[Any, ...], Any] | None = field(default=None, repr=False)
    cards: dict[Proposal, tuple[Card, ...]] = field(default_factory=dict)
    style: ObjectStyle | None = None
    strokes: list[tuple[Done, ...]] = field(default_factory=list, repr=False)

    @property
    def key(self) -> str:
        """Of its slice."""
        return self.view.key

    @cached_property
    def slice_place(self) -> SlicePlace:
        """Where its slice lies; that never changes."""
        view = self.view
        height, width = view.shape
        r, a, s = (float(value) for value in view.to_world((height - 1) / 2, (width - 1) / 2))
        across = np.cross(view.pixel_to_world[:3, 0], view.pixel_to_world[:3, 1])
        x, y, z = (float(value) for value in across / np.linalg.norm(across))
        return SlicePlace((r, a, s), (x, y, z))

    @property
    def finished(self) -> bool:
        """Whether its mask was approved or taken."""
        if self.session is not None:
            return self.session.finished
        return (
            self.log is not None and bool(self.log.steps) and self.log.steps[-1].kind in ("approve", "take")
        )

    @property
    def goes_on(self) -> bool:
        """Whether it began from what the segment had on this slice."""
        held = self.session if self.session is not None else self.log
        return self.given is not None if held is None else held.goes_on

    @property
    def computing(self) -> bool:
        """Whether a proposal is awaited."""
        return self.opening is not None or (self.session is not None and self.session.pending is not None)

    def goes_on_in(self, view: ViewSlice) -> bool:
        """Whether a click on the slice belongs to this work: where all was undone, not in another window."""
        windows = [(one.cut.windows, one.volume.window) for one in (self.view, view)]
        return not self.empty or windows[0] == windows[1]

    @property
    def empty(self) -> bool:
        """Whether nothing holds here, be it that all was undone."""
        if self.opening is not None:
            return False
        if self.session is not None:
            return not self.session.done and self.session.pending is None
        return self.log is None or not self.log.steps

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone here and nothing is awaited."""
        if self.computing:
            return False
        if self.session is not None:
            return self.session.can_redo
        return self.log is not None and bool(self.log.undone)

    @property
    def proposal(self) -> Proposal | None:
        """On the screen."""
        return self.session.proposal if self.session is not None else None

    def together_with(self, done: Done) -> int:
        """How many steps undo or redo takes that begins with this one."""
        return next((len(steps) for steps in self.strokes if done in (steps[0], steps[-1])), 1)

    def approved(self) -> np.ndarray | None:
        """(H, W) bool, the mask that was approved or taken; None where none was or only the log is kept."""
        if self.session is None or not self.session.finished:
            return (
                None
                if self.packed is None or not self.finished
                else unpack(self.packed, self.view.image.shape)
            )
        return self.session.result().mask

    def taught(self) -> Receipt | None:
        """What a profile holds of it."""
        return self.receipt if self.teaching is None else self.teaching.receipt or self.receipt

    def hold(self, session: Session) -> None:
        """Take a new state of the session; cards of proposals that are gone go too."""
        self.session, self.opening, self.log = session, None, None
        kept = {done.proposal for done in (*session.done, *session.undone)}
        self.cards = {proposal: cards for proposal, cards in self.cards.items() if proposal in kept}

    def rest(self) -> None:
        """Keep only the log of the session."""
        if self.session is None or self.computing:
            return
        from SPASegmentLib.inference.session_log import log_of

        mask = self.approved()
        self.packed = None if mask is None else pack(mask)
        self.log = log_of(self.session)
        if self.saved is not None:
            stood, record = self.saved
            rests = (None, self.log, *stood[2:]) if stood[0] is self.session else None
            self.saved = (rests, record) if rests else None  # the record is the same, and holds no session
        self.session, self.cards = None, {}
        self.view = light(self.view)
        if self.teaching is not None and self.teaching.receipt is not None:
            self.receipt, self.teaching = self.teaching.receipt, None


class Trail:
    """Works in the order they were begun. Undo walks back over those of the chosen volume, redo forward.

    volume_id: of the chosen volume node, "" for none.
    """

    def __init__(self) -> None:
        self._works: list[Work] = []
        self.current: Work | None = None
        self.volume_id = ""

    def __iter__(self) -> Iterator[Work]:
        return iter(tuple(self._works))

    def __len__(self) -> int:
        return len(self._works)

    def begin(self, work: Work) -> None:
        """A new object, after the one before; what was undone further on cannot be redone any more."""
        self.settle()
        self._works.append(work)
        self.current = work

    def clear(self) -> None:
        """Forget all works."""
        self._works, self.current = [], None

    def settle(self) -> None:
        """Something new was done: forget the works that hold nothing but undone steps."""
        self._works = [work for work in self._works if work is self.current or not work.empty]

    def drop(self, unwanted: Callable[[Work], bool]) -> list[Work]:
        """Forget works. Returns them."""
        dropped = [work for work in self._works if unwanted(work)]
        self._works = [work for work in self._works if work not in dropped]
        if self.current not in self._works:
            self.current = None
        return dropped

    def latest(self, key: str) -> Work | None:
        """The object worked on last on a slice; an empty one only where there is no other."""
        here = [work for work in self._works if work.key == key]
        return next((w for w in reversed(here) if not w.empty), here[-1] if here else None)

    def on(self, key: str) -> list[Work]:
        """All objects of a slice, oldest first."""
        return [work for work in self._works if work.key == key]

    def before(self) -> Work | None:
        """The work undo goes to when nothing is left to undo in the current one."""
        works = self._here()
        if self.current in works:
            works = works[: works.index(self.current)]
        return next((work for work in reversed(works) if not work.empty), None)

    def after(self) -> Work | None:
        """The work redo goes to when nothing is left to redo in the current one."""
        works = self._here()
        start = works.index(self.current) + 1 if self.current in works else 0
        return next((work for work in works[start:] if work.empty and work.can_redo), None)

    def _here(self) -> list[Work]:
        """Those of the chosen volume."""
        return [work for work in self._works if work.view.volume_id == self.volume_id]

    def rest(self) -> None:
        """Keep the latest sessions whole, and logs of the others."""
        live = [work for work in self._works if work.session is not None and work is not self.current]
        for work in live[: max(0, len(live) - LIVE + 1)]:
            work.rest()
        if len(self._works) > KEPT:
            oldest = self._works[: len(self._works) - KEPT]
            self._works = [work for work in self._works if work not in oldest or work is self.current]


def session_of(work: Work) -> Session:
    """The session of a work. Raises StillComputingError where its first proposal is awaited."""
    if work.session is None:
        raise StillComputingError
    return work.session


def light(view: ViewSlice) -> ViewSlice:
    """The slice without its pixels, where `whole` can cut them again to the last bit."""
    if view.plane.index is None:
        # Resampled between voxels: not every plane comes out the same to the last bit.
        with contextlib.suppress(SPASegmentError):
            if np.array_equal(view.moved(0).image.pixels, view.image.pixels):
                return _hollow(view)
        return view
    return _hollow(view)


def _hollow(view: ViewSlice) -> ViewSlice:
    nothing = np.zeros((), np.float32)
    nothing.flags.writeable = False  # a slice copies pixels that may change, and this is to take no memory
    pixels = np.broadcast_to(nothing, view.image.pixels.shape)
    return replace(view, image=replace(view.image, pixels=pixels, neighbours=()))


def whole(view: ViewSlice) -> ViewSlice:
    """The slice with its pixels."""
    if view.image.pixels.size == 1 or any(view.image.pixels.strides):
        return view
    image = view.moved(0).image
    return replace(view, image=replace(view.image, pixels=image.pixels, neighbours=image.neighbours))


def pack(mask: np.ndarray) -> bytes:
    """Bool of any shape -> compressed bits."""
    return zlib.compress(np.packbits(mask).tobytes(), 6)


def unpack(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Bool of that shape. Raises InputError for what is none; never unpacks more than that."""
    count = math.prod(shape)
    bits, stream = b"", zlib.decompressobj()
    if count <= MAX_PIXELS:
        with contextlib.suppress(zlib.error):
            bits = stream.decompress(data, count // 8 + 2)
    if (
        len(bits) != (count + 7) // 8 or not stream.eof
    ):  # cut off, all pixels may be there but not the checksum
        raise InputError("its mask is damaged; what was approved is kept.")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool).reshape(shape)
