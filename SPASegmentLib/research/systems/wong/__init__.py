"""Probabilistic partial segmentation (Wong, Guttag, Dalca), with its own experiment; see docs/wong.md."""
