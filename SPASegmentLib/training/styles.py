"""Styles of outlining as users: what one person would draw where another drew this mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from skimage.morphology import convex_hull_image
