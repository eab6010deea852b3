"""The browser viewer: the whole interaction on trame-slicer, without the Slicer application."""
