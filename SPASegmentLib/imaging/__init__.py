"""Volumes from files, slices out of volumes as the network sees them, and masks back onto the voxel grid."""

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.types import IntensityWindow, PointPrompt, Region, SliceImage, Volume

__all__ = ["IntensityWindow", "PointPrompt", "Region", "SliceImage", "Volume", "read_volume"]
