"""SPASegment: interactive segmentation that learns what its user includes and leaves out."""

__version__ = "0.1.0"
