"""K-means on inner products: as good as the usual one, and the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from SPASegmentLib.inference.kmeans import inner_products, kmeans


def spread(points: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> float:
    """What K-means minimises: weighted squared distances to the weighted means."""
    total = 0.0
    for label in np.unique(labels):
        own, share = points[labels == label], weights[labels == label]
        total += float((share[:, None] * (own - np.average(own, axis=0, weights=share)) ** 2).sum())
    return total


def clouds(seed: int, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """n points without clear groups, and their weights."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 6)) * [3, 2, 1, 1, 0.5, 0.2], random.uniform(0.1, 1, n)


@pytest.mark.parametrize("k", [2, 4, 6, 12])
def test_its_clusters_are_as_tight_as_scikit_learns(k: int):
    ours, theirs = [], []
    for seed in range(12):
        points, weights = clouds(seed)
        labels = kmeans(inner_products(points), weights, k, seed)
        ours.append(spread(points, weights, labels))
        theirs.append(
            KMeans(k, n_init=4, random_state=seed).fit(points, sample_weight=weights).inertia_,
        )
        assert len(np.unique(labels)) == k
    assert np.mean(ours) < 1.03 * np.mean(theirs)


def test_every_point_is_with_its_nearest_centre():
    points, weights = clouds(3)
    labels = kmeans(inner_products(points), weights, 5, 0)
    centres = np.stack(
        [np.average(points[labels == i], axis=0, weights=weights[labels == i]) for i in range(5)]
    )
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(labels, nearest)


def test_the_same_seed_gives_the_same_labels_and_a_shift_changes_nothing():
    points, weights = clouds(1)
    first = kmeans(inner_products(points), weights, 6, 7)
    np.testing.assert_array_equal(first, kmeans(inner_products(points), weights, 6, 7))
    np.testing.assert_array_equal(first, kmeans(inner_products(points + 5), weights, 6, 7))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(1, 8), st.integers(0, 9))
def test_points_that_are_the_same_share_a_cluster_and_none_is_empty(kinds, k, seed):
    points = np.random.default_rng(0).random((6, 30))[kinds]
    labels = kmeans(inner_products(points), np.ones(len(kinds)), k, seed)
    groups = {kind: set(labels[np.array(kinds) == kind].tolist()) for kind in kinds}
    assert all(len(found) == 1 for found in groups.values())
    assert set(labels.tolist()) == set(range(min(k, len(groups))))


OVERLAP = """
import threading
from threadpoolctl import threadpool_info
from SPASegmentLib.inference.kmeans import one_thread

def blas():
    return {entry["num_threads"] for entry in threadpool_info() if entry["user_api"] == "blas"}

first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
within = []

def first():
    with one_thread():
        first_is_in.set()
        second_is_in.wait(0.5)  # in vain where users wait for each other
        within.append(blas())
    first_is_out.set()

def second():
    first_is_in.wait()
    with one_thread():
        second_is_in.set()
        first_is_out.wait()
        with one_thread():
            within.append(blas())

before = blas()
users = [threading.Thread(target=first), threading.Thread(target=second)]
for user in users:
    user.start()
for user in users:
    user.join()
print(before, within, blas())
"""


def test_blas_has_its_threads_back_after_two_users_of_one_overlapped():
    """The first to come is the first to go, so that each could restore what the other had set."""
    run = subprocess.run(
        [sys.executable, "-c", OVERLAP],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    assert run.stdout.strip() == "{2} [{1}, {1}] {2}"
