"""Volumes from files, slices out of volumes as the network sees them, and masks back onto the voxel grid."""
