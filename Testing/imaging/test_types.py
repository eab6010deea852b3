"""What the values that travel between files, slices and the engine promise."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.types import SliceImage


def test_the_pixels_of_a_slice_cannot_be_changed_so_that_its_key_stays_true():
    pixels = np.random.default_rng(0).random((8, 9)).astype(np.float32)
    image = SliceImage(pixels)
    key = image.key
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1
    pixels[0, 0] = 1
    assert image.pixels[0, 0] != 1
    assert SliceImage(image.pixels).key == key != SliceImage(pixels).key


def test_a_view_of_an_array_that_may_change_is_copied_too():
    volume = np.zeros((3, 8, 9), np.float32)
    locked = volume[1]
    locked.flags.writeable = False
    image = SliceImage(locked)
    volume[:] = 1
    assert not image.pixels.any()


def test_pixels_that_cannot_change_are_not_copied_again():
    image = SliceImage(np.zeros((8, 9)))
    assert image.pixels.dtype == np.float32
    assert SliceImage(image.pixels).pixels is image.pixels


def test_a_view_of_pixels_that_cannot_change_takes_no_memory():
    image = SliceImage(np.zeros((8, 9)))
    assert np.shares_memory(SliceImage(image.pixels[::-1]).pixels, image.pixels)
