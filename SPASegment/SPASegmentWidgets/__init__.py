"""The parts of the panel. Their tops import nothing but the standard library, qt, slicer and vtk."""
