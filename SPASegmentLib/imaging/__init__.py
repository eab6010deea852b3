"""Volumes from files, slices out of volumes as the network sees them, and masks back onto the voxel grid."""

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.geometry import (
    Slab,
    SlicePlane,
    display_steps,
    extract_slice,
    ijk_to_ras,
    paste_mask,
    paste_slab,
    pixel_to_ras,
    ras_to_ijk,
    ras_to_pixel,
    seed_voxel,
    to_display,
)
from SPASegmentLib.imaging.masks import write_mask
from SPASegmentLib.imaging.types import IntensityWindow, PointPrompt, Region, SliceImage, Volume
from SPASegmentLib.imaging.window import CT_LUNG, CT_SOFT_TISSUE, apply_window, choose_window, make_slice

__all__ = [
    "CT_LUNG",
    "CT_SOFT_TISSUE",
    "IntensityWindow",
    "PointPrompt",
    "Region",
    "Slab",
    "SliceImage",
    "SlicePlane",
    "Volume",
    "apply_window",
    "choose_window",
    "display_steps",
    "extract_slice",
    "ijk_to_ras",
    "make_slice",
    "paste_mask",
    "paste_slab",
    "pixel_to_ras",
    "ras_to_ijk",
    "ras_to_pixel",
    "read_volume",
    "seed_voxel",
    "to_display",
    "write_mask",
]
