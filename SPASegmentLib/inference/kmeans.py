"""K-means of a few dozen probability maps in well under a millisecond (paper Section 3.3).

K-means only needs distances, and those follow from the maps' N x N inner products: no step but the first sees
a pixel. All starts run together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from threadpoolctl import ThreadpoolController

from SPASegmentLib.inference.config import DEFAULT

SAME = 1e-6
"""Maps whose squared distance is below this share of the largest one are the same map ..."""
SAME_CELLS = 1e-7
"""... and so are those this close, the rounding of the products."""
_LIBRARIES = ThreadpoolController()
_LIMITED = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of BLAS within: arrays this small only lose by more, which then wait for work in a loop that
    takes a core from others, and the order of sums stays the same. The setting is the process's: threads take
    turns, or one would restore what another had set.
    """
    with _LIMITED, _LIBRARIES.limit(limits=1, user_api="blas"):
        yield


def inner_products(samples: np.ndarray) -> np.ndarray:
    """(N, ...) maps -> (N, N) float64 inner products of the maps less their mean."""
    flat = np.ascontiguousarray(samples, dtype=np.float32).reshape(len(samples), -1)
    with one_thread():
        centred = flat - np.full((1, len(flat)), 1 / len(flat), dtype=np.float32) @ flat
        return (centred @ centred.T).astype(np.float64)


def kmeans(products: np.ndarray, weights: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Labels (N,) int of weighted K-means into at most k clusters; fewer where fewer points are distinct.

    products: (N, N) inner products. weights: (N,) positive. The best of some runs of Lloyd's algorithm from
    greedy k-means++ starts, the first of equally good ones; the same bits for the same seed.
    """
    with one_thread():
        square = np.diagonal(products)
        distance = np.maximum(square[:, None] + square[None] - 2 * products, 0)
        distance[distance < max(SAME * float(distance.max()), SAME_CELLS)] = 0
        labels = _starts(distance, weights, k, np.random.default_rng(seed))
        k = int(labels.max()) + 1
        for _ in range(DEFAULT.kmeans_steps):
            to_centre = _to_centres(products, weights, labels, k)
            after = to_centre.argmin(axis=1)
            if np.array_equal(after, labels):
                break
            labels = after
        spread = (to_centre.min(axis=1) + square) @ weights
    return np.asarray(labels[int(spread.argmin())], dtype=np.int64)


def _starts(distance: np.ndarray, weights: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(starts, N) labels: the nearest of up to k points chosen by greedy k-means++.

    distance: (N, N) squared distances, 0 between points that are the same.
    """
    starts, trials = DEFAULT.kmeans_starts, DEFAULT.kmeans_trials
    start = np.arange(starts)
    first = _draw(np.tile(weights, (starts, 1)), rng.random((starts, 1)))[:, 0]
    nearest, labels = distance[first], np.zeros((starts, len(weights)), dtype=np.int64)
    for centre in range(1, k):
        if not nearest.any(axis=1).all():
            break
        tried = _draw(nearest * weights, rng.random((starts, trials)))
        then = np.minimum(nearest[:, None], distance[tried])
        chosen = tried[start, (then @ weights).argmin(axis=1)]
        labels[distance[chosen] < nearest] = centre
        nearest = np.minimum(nearest, distance[chosen])
    return labels


def _draw(mass: np.ndarray, random: np.ndarray) -> np.ndarray:
    """(s, N) masses, (s, t) numbers in [0, 1) -> (s, t) indices drawn in proportion, none without mass."""
    upto = np.cumsum(mass, axis=1)
    index = (upto[:, None] <= random[:, :, None] * upto[:, -1:, None]).sum(axis=2)
    return np.minimum(index, mass.shape[1] - 1)


def _to_centres(products: np.ndarray, weights: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """(starts, k, N) squared distances of points to centres, less each point's own square."""
    shares = (labels[:, None] == np.arange(k)[:, None]) * weights
    total = shares.sum(axis=2, keepdims=True)
    shares /= np.where(total > 0, total, 1)
    dots = shares @ products
    own = (dots * shares).sum(axis=2)
    return np.where(total[:, :, 0] > 0, own, np.inf)[:, :, None] - 2 * dots
