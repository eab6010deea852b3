"""Followed objects as JSON, a part of a scene's state: anchors, what was carried, and what is doubtful."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from SPASegmentLib.errors import InputError
from SPASegmentLib.inference.fill import FillState, ObjectSlice, WholeObject
from SPASegmentLib.mrml.whole_object import FollowedObject, SavedObject
from SPASegmentLib.mrml.work import Work, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(gt=0, lt=2**16)]
Index = Annotated[int, Field(gt=-(2**16), lt=2**16)]


class StateRecord(BaseModel):
    """A part of a saved state."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ObjectSliceRecord(StateRecord):
    """See `fill.ObjectSlice`. mask: bits, packed, compressed and in base 64, of that shape."""

    index: Index
    shape: tuple[Size, Size]
    mask: str
    expected_dice: Share
    presence: Share
    reason: Annotated[str, Field(max_length=100)] = ""
    anchor: bool = False
    area_mm2: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FollowedObjectRecord(StateRecord):
    """See `whole_object.FollowedObject` and `fill.FillState`. work, first: indices of works."""

    work: int
    first: int
    model: str
    step_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    slices: Annotated[tuple[ObjectSliceRecord, ...], Field(min_length=1, max_length=10_000)]
    lowest: Index | None = None
    highest: Index | None = None
    log_prior: tuple[Number, ...] | None = None
    random_seed: int = 0
    looked_at: tuple[Index, ...] = ()


def object_records(
    objects: Iterable[FollowedObject | SavedObject], works: Sequence[Work]
) -> tuple[FollowedObjectRecord, ...]:
    """The objects whose works are saved, too."""
    return tuple(_record(one, works) for one in objects if one.work in works and one.first in works)


def saved_objects(records: Sequence[FollowedObjectRecord], works: Mapping[int, Work]) -> list[SavedObject]:
    """The objects whose works could be taken up; those that are damaged are left out.

    works: by their index in the state. What was written of an object is in the segmentation in any case.
    """
    found = []
    for record in records:
        work, first = works.get(record.work), works.get(record.first)
        if work is None or first is None:
            continue
        try:
            state = _state(record)
        except InputError:
            continue
        found.append(SavedObject(work, first, record.model, state, frozenset(record.looked_at)))
    return found


def _record(one: FollowedObject | SavedObject, works: Sequence[Work]) -> FollowedObjectRecord:
    state = one.state
    slices = one.records if isinstance(one, FollowedObject) else []
    if not slices:  # made once: the state is asked for with every screen
        slices += map(_slice_record, state.object.slices)
    return FollowedObjectRecord(
        work=works.index(one.work),
        first=works.index(one.first),
        model=one.model,
        step_mm=state.object.step_mm,
        slices=tuple(slices),
        lowest=state.lowest,
        highest=state.highest,
        log_prior=None if state.log_prior is None else tuple(map(float, state.log_prior)),
        random_seed=state.random_seed,
        looked_at=tuple(sorted(one.looked_at)),
    )


def _slice_record(one: ObjectSlice) -> ObjectSliceRecord:
    height, width = one.mask.shape
    return ObjectSliceRecord(
        index=one.index,
        shape=(height, width),
        mask=base64.b64encode(pack(one.mask)).decode(),
        expected_dice=one.expected_dice,
        presence=one.presence,
        reason=one.reason,
        anchor=one.anchor,
        area_mm2=one.area_mm2,
    )


def _state(record: FollowedObjectRecord) -> FillState:
    """Raises InputError for slices that are no object."""
    indices = [one.index for one in record.slices]
    if indices != sorted(set(indices)) or not any(one.anchor for one in record.slices):
        raise InputError("its slices are damaged; what was approved is kept.")
    slices = tuple(
        ObjectSlice(
            one.index,
            unpacked(one.mask, one.shape),
            one.expected_dice,
            one.presence,
            one.reason,
            one.anchor,
            one.area_mm2,
        )
        for one in record.slices
    )
    return FillState(
        WholeObject(slices, record.step_mm),
        record.lowest,
        record.highest,
        None if record.log_prior is None else np.array(record.log_prior),
        record.random_seed,
    )


def unpacked(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Packed bits in base 64 to bool of that shape. Raises InputError for what is none."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    return unpack(data, shape)
