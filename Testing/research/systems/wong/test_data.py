"""The discs, the random shapes and the partial segmentations are what the paper describes."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.research.systems.wong.discs import (
    HELD_OUT,
    TRAIN,
    VALIDATION,
    WongOptions,
    make_discs,
    make_pairs,
    random_shapes,
    subsets,
)


@pytest.fixture(scope="module")
def options() -> WongOptions:
    return WongOptions(images=60, validation_images=60, held_out_images=60)


def test_every_image_shows_three_discs_that_do_not_touch(options):
    data = make_discs(options, TRAIN)
    assert data.images.shape == (60, 32, 32) and data.discs.shape == (60, 3, 32, 32)
    assert data.discs.sum(axis=1).max() == 1, "no pixel lies in two discs"
    areas = data.discs.sum(axis=(2, 3))
    assert areas.min() > 30 and areas.max() < 1.1 * np.pi * options.radius[1] ** 2
    for image, discs in zip(data.images, data.discs, strict=True):
        assert len(np.unique(image)) == 4, "a background and three intensities"
        assert (image[~discs.any(axis=0)] == 0).all()
        assert all(len(np.unique(image[disc])) == 1 for disc in discs)


def test_the_three_sets_differ_and_only_the_training_images_depend_on_the_seed(options):
    other = options.model_copy(update={"seed": 7})
    sets = [make_discs(options, part).images for part in (TRAIN, VALIDATION, HELD_OUT)]
    again = [make_discs(other, part).images for part in (TRAIN, VALIDATION, HELD_OUT)]
    assert not any(np.array_equal(sets[a], sets[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert [np.array_equal(a, b) for a, b in zip(sets, again, strict=True)] == [False, True, True]


def test_the_possible_truths_are_all_subsets_of_the_discs_but_the_empty_one():
    found = {tuple(row) for row in subsets(3).tolist()}
    assert len(subsets(3)) == len(found) == 7
    assert (False, False, False) not in found


def test_random_shapes_cover_the_image_in_a_few_connected_pieces():
    shapes = random_shapes(np.random.default_rng(0), 50, 6, 4, 32)
    assert shapes.shape == (50, 32, 32)
    assert shapes.min() == 0 and shapes.max() == 5
    borders = (shapes[:, 1:] != shapes[:, :-1]).mean()
    assert borders < 0.2, "neighbours mostly belong to one shape, unlike noise"
    assert np.mean([len(np.unique(one)) for one in shapes]) > 3


def test_the_larger_partial_segmentation_contains_the_given_one_and_both_tell_the_truth(options):
    data = make_discs(options, TRAIN)
    pairs = make_pairs(data, np.arange(60), np.random.default_rng(1), options)
    assert not (pairs.mask & ~pairs.larger_mask).any()
    assert np.array_equal(pairs.labels, pairs.larger_labels & pairs.mask)
    assert not (pairs.larger_labels & ~pairs.larger_mask).any()
    possible = subsets(3)
    for index in range(60):
        truths = data.truth(np.full(7, index), possible)
        here = pairs.larger_mask[index]
        assert any(np.array_equal(t & here, pairs.larger_labels[index]) for t in truths)
    added = pairs.larger_mask & ~pairs.mask
    assert (added & pairs.larger_labels).any() and (added & ~pairs.larger_labels).any()
