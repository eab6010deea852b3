"""The slice of a volume node that a slice view shows, as the engine gets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.slicing import Window
from SPASegmentLib.imaging.view_slices import ViewSlice, slice_as_viewed
from SPASegmentLib.mrml.volumes import array_of, to_world_of, volume_of_node


def cut_view(
    volume_node: Any,
    slice_node: Any,
    *,
    at_ras: Sequence[float] | None = None,
    window: Window | None = None,
    model_window: Window | None = None,
    slice_logic: Any = None,
) -> ViewSlice:
    """The slice of a volume node parallel to a slice view, through a point or else where the view is.

    at_ras: world RAS in mm. window: (low, high) that the user set; else a CT gets `model_window`, the model's
    own; else the display node's window where it was set by hand; else robust percentiles of the slice.
    slice_logic: not needed; its slice node is used where `slice_node` is None.
    Raises SeedError for a point outside the volume, InputError for a volume or slice that cannot be shown.
    """
    if slice_node is None and slice_logic is not None:
        slice_node = slice_logic.GetSliceNode()
    if slice_node is None:
        raise InputError("There is no slice view; show the volume in one first.")
    return slice_as_viewed(
        volume_of_node(volume_node),
        volume_node.GetID(),
        array_of(slice_node.GetSliceToRAS()),
        to_world_of(volume_node),
        at_ras=at_ras,
        window=window,
        model_window=model_window,
    )
