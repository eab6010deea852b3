"""What a process begins with that `warm` starts: the made-up chest CT, whose voxels take a second."""

from SPASegmentLib.imaging.sample import make_sample_volume

make_sample_volume()
