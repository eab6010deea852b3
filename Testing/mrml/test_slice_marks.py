"""Marks along a view's slider: which slices, where, and how they are told apart."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from SPASegmentLib.mrml.screen import ObjectShown, SliceMark, SlicePlace
from SPASegmentLib.mrml.slice_marks import LOOKS, slice_range, slider_marks, strip


def test_an_approved_slice_is_marked_where_it_lies_and_only_along_its_own_direction(a_controller):
    a_controller.click()
    controller = a_controller.controller
    assert controller.screen.approved == ()
    controller.approve()
    (place,) = a_controller.settle().approved
    (mark,) = slider_marks(None, (place,), a_controller.volume, a_controller.large)
    low, high, step = slice_range(a_controller.volume, a_controller.large)
    count = a_controller.chest.shape[0]
    assert (high - low) / step == pytest.approx(count - 1)
    (k,) = np.unique(np.nonzero(a_controller.voxels())[0])
    assert mark.kind == "approved" and mark.number - 1 in (k, count - 1 - k)
    assert mark.offset == pytest.approx(a_controller.large.GetSliceOffset(), abs=step / 2)
    a_controller.look("sagittal")
    assert slider_marks(None, (place,), a_controller.volume, a_controller.large) == ()
    controller.undo()
    assert controller.screen.approved == ()


def test_a_slice_of_a_followed_object_is_marked_once(a_volume_node, slicer_app):
    node = slicer_app.add_slice_view("Red", "Axial")
    low, _high, step = slice_range(a_volume_node, node)
    matrix = np.array([[node.GetSliceToRAS().GetElement(r, c) for c in range(4)] for r in range(4)])
    normal = tuple(matrix[:3, 2])
    at = [tuple(matrix[:3, 2] * (low + n * step)) for n in range(4)]
    kinds = ("carried", "anchor", "doubtful")
    slices = tuple(SliceMark(n, at[n], kind, "", 0.9) for n, kind in enumerate(kinds))
    shown = ObjectShown(1.0, normal, slices)
    places = (SlicePlace(at[1], normal), SlicePlace(at[3], normal), SlicePlace(at[3], normal))
    marks = slider_marks(shown, places, a_volume_node, node)
    assert [(one.number, one.kind) for one in marks] == [
        (1, "carried"), (2, "anchor"), (3, "doubtful"), (4, "approved")
    ]  # fmt: skip
    assert marks[0].share == pytest.approx(0.0)


def test_kinds_are_told_apart_without_seeing_colours():
    from SPASegmentLib.mrml.slice_marks import SliderMark

    seen = set()
    for kind in ("carried", "approved", "doubtful"):
        picture = strip([SliderMark(0.5, 0.0, 1, kind)], 40, 120, 14)
        assert picture.shape == (14, 120, 3)
        ground = picture == picture[0, 0]
        marked = ~ground.all(axis=2)
        columns = np.flatnonzero(marked.any(axis=0))
        assert abs(columns.mean() - 59.5) < 2 and len(columns) == 3
        seen.add(tuple(marked[:, columns[0]]))
    assert len(seen) == 3 and len({look[1] for look in LOOKS.values()}) == 3
