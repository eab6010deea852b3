"""The figures are the experiment's: Dice of what is added with the best possible truth, and pixels added."""

from __future__ import annotations

import numpy as np
import torch

from SPASegmentLib.research.systems.wong.discs import HELD_OUT, make_discs
from SPASegmentLib.research.systems.wong.measure import added_dice, fixed_pairs, grown, measure
from SPASegmentLib.research.systems.wong.network import Partial, WongNetwork


class Teller(WongNetwork):
    """Says of every image what it was told."""

    def __init__(self, mask: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self.told = [torch.from_numpy(plane)[:, None] for plane in (mask, labels)]

    def grow(self, x, z):
        count = len(z)
        mask, labels = (plane[:count] for plane in self.told)
        self.told = [plane[count:] for plane in self.told]
        return Partial(mask, labels)


def test_dice_counts_only_what_was_added():
    labels, truth, added = np.zeros((3, 1, 4, 4), bool)
    labels[0, 0], truth[0, 0, :2], added[0, 0, :3] = True, True, True
    labels[0, 3], truth[0, 2] = True, True  # outside what was added
    assert added_dice(labels, truth[:, None], added)[0, 0] == 2 * 2 / (3 + 2)


def test_nothing_to_find_and_nothing_found_counts_as_one():
    nothing, added = np.zeros((1, 4, 4), bool), np.ones((1, 4, 4), bool)
    assert added_dice(nothing, nothing[:, None], added)[0, 0] == 1


def test_who_says_the_next_step_itself_has_dice_one_and_adds_just_its_pixels(tiny):
    data = make_discs(tiny, HELD_OUT)
    pairs = fixed_pairs(data, HELD_OUT, tiny)
    figures = measure(Teller(pairs.larger_mask, pairs.larger_labels), data, pairs, 0)
    assert figures.dice == figures.dice_any == 1 and figures.broken == 0
    assert figures.foreground == figures.target_foreground > 0
    assert figures.background == figures.target_background > 0


def test_who_forgets_the_input_or_calls_a_disc_background_is_found_out(tiny):
    data = make_discs(tiny, HELD_OUT)
    pairs = fixed_pairs(data, HELD_OUT, tiny)
    everything = np.ones_like(pairs.mask)
    figures = measure(Teller(everything, pairs.labels.copy()), data, pairs, 0)
    assert figures.dice < 0.7, "discs the input shows were left out"
    figures = measure(Teller(np.zeros_like(everything), np.zeros_like(everything)), data, pairs, 0)
    assert figures.broken == int(pairs.mask.any(axis=(1, 2)).sum()) > 0


def test_a_truth_that_disagrees_with_the_input_does_not_count(tiny):
    data = make_discs(tiny, HELD_OUT)
    pairs = fixed_pairs(data, HELD_OUT, tiny)
    contrary = np.where(pairs.mask, pairs.labels, ~pairs.labels & data.discs.any(axis=1))
    figures = measure(Teller(np.ones_like(pairs.mask), contrary), data, pairs, 0)
    assert figures.dice <= figures.dice_any


def test_the_same_seed_gives_the_same_predictions(tiny):
    torch.manual_seed(0)
    network = WongNetwork()
    pairs = fixed_pairs(make_discs(tiny, HELD_OUT), HELD_OUT, tiny)
    first, again, other = (grown(network, pairs, seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert first[0].shape == other[0].shape == pairs.mask.shape
