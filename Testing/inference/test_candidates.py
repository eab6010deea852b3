"""Clusters, clean masks and the choice of candidates."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.candidates import (
    K,
    assemble,
    clean_mask,
    cluster,
    same_mask,
    select,
    worth_showing,
)

SPACING = (0.7, 0.7)


def a_disc(radius: float, centre: tuple[float, float] = (32, 32), size: int = 64) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size]
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2


def four_families(n: int = 48, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """n noisy probability maps around four discs, and the disc each came from."""
    random = np.random.default_rng(3)
    truth = np.arange(n) % 4
    discs = np.stack([a_disc(r, size=size) for r in (6, 10, 15, 20)]).astype(float)
    return np.clip(discs[truth] + random.normal(0, 0.1, (n, size, size)), 0, 1), truth


def test_clusters_are_the_families_the_samples_came_from_ordered_from_large_to_small():
    samples, truth = four_families()
    labels, centroids = cluster(samples, k=4)
    assert centroids.shape == (4, 64, 64)
    assert [len(set(labels[truth == t])) for t in range(4)] == [1, 1, 1, 1]
    areas = (centroids >= 0.5).sum(axis=(1, 2))
    assert list(areas) == sorted(areas, reverse=True)
    np.testing.assert_allclose(centroids[labels[0]], samples[truth == 0].mean(axis=0), atol=1e-6)


def test_clustering_the_rotated_maps_gives_the_partition_of_the_full_maps():
    from sklearn.cluster import KMeans

    samples, _ = four_families()
    labels, centroids = cluster(samples, k=4, seed=1)
    full = KMeans(4, n_init=4, random_state=1).fit(samples.reshape(48, -1))
    inertia = sum(((samples[i] - centroids[labels[i]]) ** 2).sum() for i in range(48))
    assert inertia == pytest.approx(full.inertia_, rel=1e-4)


def test_weights_move_the_centroids():
    samples = np.stack([np.zeros((4, 4)), np.full((4, 4), 0.2), np.ones((4, 4))])
    labels, centroids = cluster(samples, np.array([3.0, 1.0, 1.0]), k=2)
    assert labels.tolist() == [1, 1, 0]
    np.testing.assert_allclose(centroids[1], 0.05, atol=1e-6)


def test_clustering_twice_gives_the_same_bits():
    samples, _ = four_families()
    first, second = cluster(samples, k=4, seed=9), cluster(samples, k=4, seed=9)
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_fewer_distinct_samples_give_fewer_clusters(distinct: int):
    kinds = np.stack([a_disc(4 + 5 * i).astype(np.float32) for i in range(distinct)])
    labels, centroids = cluster(kinds[np.arange(12) % distinct], k=4)
    assert len(centroids) == distinct
    assert sorted(set(labels.tolist())) == list(range(distinct))


def test_samples_without_any_weight_count_equally():
    samples, _ = four_families(8)
    np.testing.assert_array_equal(cluster(samples, np.zeros(8), k=4)[0], cluster(samples, k=4)[0])


def test_clustering_48_samples_takes_milliseconds():
    samples, _ = four_families()
    cluster(samples, k=4)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        cluster(samples, k=4)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_specks_go_and_pinholes_close():
    mask = a_disc(12)
    dirty = mask.copy()
    dirty[2, 2] = dirty[60:62, 5] = True
    dirty[32, 32] = dirty[28, 30] = False
    np.testing.assert_array_equal(clean_mask(dirty), mask)


def test_a_pixel_hanging_on_by_its_corner_is_a_speck():
    mask = np.zeros((20, 20), bool)
    mask[5:10, 5:10] = True
    dirty = mask.copy()
    dirty[10, 10] = True
    np.testing.assert_array_equal(clean_mask(dirty), mask)


def test_a_thin_diagonal_line_is_no_speck():
    line = np.eye(20, dtype=bool)
    np.testing.assert_array_equal(clean_mask(line), line)


def test_a_second_lesion_and_a_cavity_stay():
    mask = a_disc(12) & ~a_disc(4)
    mask |= a_disc(3, (10, 10))
    np.testing.assert_array_equal(clean_mask(mask), mask)


def test_what_the_user_pointed_at_stays_as_it_is():
    mask = a_disc(15)
    mask[3, 3] = True
    mask[32, 32] = False
    points = (PointPrompt(3.2, 2.9), PointPrompt(32, 32, positive=False), PointPrompt(-5, 900))
    np.testing.assert_array_equal(clean_mask(mask, points), mask)


def test_a_mask_of_one_pixel_stays_and_an_empty_one_stays_empty():
    one = np.zeros((8, 8), bool)
    assert not clean_mask(one).any()
    one[0, 7] = True
    np.testing.assert_array_equal(clean_mask(one), one)


@settings(max_examples=150, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_a_cleaned_mask_needs_no_more_cleaning(mask: np.ndarray):
    before = mask.copy()
    cleaned = clean_mask(mask)
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(clean_mask(cleaned), cleaned)
    assert cleaned.any() == mask.any()
    sizes = np.bincount(ndimage.label(cleaned, np.ones((3, 3)))[0].ravel())[1:]
    assert len(sizes) <= 1 or sizes.min() >= 3


def test_the_same_mask_is_told_by_pixels_and_by_share():
    disc = a_disc(20)
    other = disc.copy()
    other[32, 53] = True
    assert same_mask(disc, other)
    other[30:34, 53] = True
    assert same_mask(disc, other), "four of 1257 pixels are below one percent"
    other[25:40, 53] = True
    assert not same_mask(disc, other)
    dot = np.zeros((4, 4), bool)
    dot[0, 0] = True
    pair = dot.copy()
    pair[0, 1] = True
    assert same_mask(dot, pair)
    assert not same_mask(dot, np.roll(dot, 1))


def test_scattered_specks_are_no_difference_but_a_thin_ring_or_one_corner_is():
    disc = a_disc(20)
    specks = disc.copy()
    specks[3::6, 3::6] ^= True
    specks[4::6, 3::6] ^= True
    share = np.count_nonzero(disc != specks) / np.count_nonzero(disc)
    assert share > 0.05 and not same_mask(disc, specks, distinct_share=0.03)
    assert same_mask(disc, specks, distinct_share=0.03, piece_share=0.01)
    assert not same_mask(disc, a_disc(21), distinct_share=0.03, piece_share=0.01)
    corner = disc | a_disc(8, centre=(32, 50))
    assert not same_mask(disc, corner, distinct_share=0.03, piece_share=0.01)
    assert select(disc, [specks, corner], [0.9, 0.1], distinct_share=0.03, piece_share=0.01).kept == (1,)
    bump = specks | a_disc(4, centre=(32, 52))
    assert not same_mask(disc, bump, distinct_share=0.03, piece_share=0.01)
    assert same_mask(disc, bump, distinct_share=0.03, piece_share=0.01, in_pieces=True)
    assert not same_mask(disc, corner, distinct_share=0.03, piece_share=0.01, in_pieces=True)


def test_candidates_that_are_empty_or_no_news_are_left_out():
    recommendation = a_disc(10)
    nearly = recommendation.copy()
    nearly[0, 0] = True
    masks = [a_disc(8), np.zeros_like(nearly), nearly, a_disc(12), a_disc(8)]
    chosen = select(recommendation, masks, [0.2, 0.1, 0.3, 0.3, 0.1])
    assert chosen.kept == (3, 0)
    assert chosen.supports == pytest.approx((0.3, 0.3))
    assert chosen.fewer_reason == (
        "Only two alternatives are shown: "
        "the model's other samples agree with these or with the recommendation."
    )


def test_no_alternative_at_all_is_said_so():
    chosen = select(a_disc(10), [a_disc(10)] * 4, [0.25] * 4)
    assert chosen.kept == ()
    assert chosen.fewer_reason == (
        "No alternatives are shown: all of the model's samples agree with the recommendation."
    )


def test_what_was_turned_down_is_not_shown_again():
    rejected = [a_disc(8), a_disc(12)]
    again = a_disc(12)
    again[0, 0] = True
    chosen = select(a_disc(10), [a_disc(8), again, a_disc(14)], [0.4, 0.4, 0.2], rejected=rejected)
    assert chosen.kept == (2,)
    assert chosen.fewer_reason == (
        "Only one alternative is shown: everything else the model considers likely was turned down before."
    )


def test_of_many_the_best_supported_are_shown_from_large_to_small():
    masks = [a_disc(r) for r in (4, 6, 8, 12, 14, 16)]
    chosen = select(a_disc(10), masks, [0.05, 0.2, 0.2, 0.3, 0.05, 0.2])
    assert chosen.kept == (5, 3, 2, 1)
    assert chosen.fewer_reason == ""


def test_the_assembled_candidates_are_clean_distinct_and_know_their_cluster():
    recommendation = a_disc(10)
    masks = [a_disc(7), a_disc(13), recommendation | a_disc(4, (50, 50)), a_disc(10, (34, 34))]
    masks[0][60, 60] = True
    candidates, reason = assemble(
        recommendation, masks, [0.25] * 4, spacing=SPACING, points=(PointPrompt(32, 32),)
    )
    assert reason == ""
    assert [c.cluster for c in candidates] == [1, 2, 3, 0]
    assert not candidates[-1].mask[60, 60]
    assert len({c.description.name for c in candidates}) == K
    areas = [c.description.area_mm2 for c in candidates]
    assert areas == sorted(areas, reverse=True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(arrays(bool, (9, 9)), min_size=1, max_size=8),
    arrays(bool, (9, 9)),
    st.lists(arrays(bool, (9, 9)), max_size=3),
)
def test_whatever_the_masks_the_candidates_keep_their_promises(masks, recommendation, rejected):
    supports = [1 / len(masks)] * len(masks)
    candidates, reason = assemble(recommendation, masks, supports, spacing=(1, 2), rejected=rejected)
    shown = [c.mask for c in candidates]
    assert len(shown) <= K
    assert (reason == "") == (len(shown) == K)
    for i, mask in enumerate(shown):
        assert mask.any()
        assert not any(same_mask(mask, other) for other in [recommendation, *rejected, *shown[:i]])
    assert len({c.description.name for c in candidates}) == len(shown)
    assert sum(c.description.support for c in candidates) <= 1 + 1e-9


def test_a_quick_look_tells_how_many_opinions_the_clusters_hold():
    mean = a_disc(10).astype(float)
    nearly = a_disc(10)
    nearly[0, 0] = True
    agreeing = np.stack([a_disc(10), nearly, np.zeros_like(mean)]).astype(float)
    assert worth_showing(agreeing, mean, 1.0) == 0
    differing = np.stack([a_disc(10), a_disc(12), a_disc(12), a_disc(7)]).astype(float)
    assert worth_showing(differing, mean, 1.0) == 2
    one_cell = a_disc(10)
    one_cell[0, :3] = True
    assert worth_showing(one_cell[None].astype(float), mean, 1.0) == 1
    assert worth_showing(one_cell[None].astype(float), mean, 9.0) == 0, "less than a pixel of nine cells"
