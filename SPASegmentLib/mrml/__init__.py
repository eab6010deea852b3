"""MRML: slices from volume nodes, proposals as overlays, approved masks into a segmentation node.

Nothing is imported here, so that the package can be named without slicer and vtk; take what you need from its
modules (slicing, volumes, segments, segment_undo, overlays, layout, seeds, thumbnails).
"""
