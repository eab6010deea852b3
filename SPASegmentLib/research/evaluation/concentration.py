"""The supplement's theorem, simulated: the posterior finds the component its user comes from (Section 2)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.vq import kmeans2

from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.network.mixture import Mixture, log_shares

_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
"""Told apart without colour, too."""


@dataclass(frozen=True, eq=False)
class Concentration:
    """P(true component | picks so far). probability: (T, users, picks + 1) for T true components."""

    true_components: tuple[int, ...]
    probability: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(T, picks + 1) over the users of each component."""
        return np.asarray(self.probability.mean(axis=1))


def simulate_concentration(
    mixture: Mixture,
    true_components: tuple[int, ...],
    *,
    picks: int = 40,
    users: int = 20,
    n_samples: int = 48,
    k: int = 4,
    seed: int = 0,
) -> Concentration:
    """Let users of given components pick, and follow the exact posterior.

    At each step N samples of the mixture are clustered into K candidates; the user wants something drawn from
    their own component (the supplement's r_u) and picks the nearest candidate. Only the pick's index enters.
    """
    rng = np.random.default_rng(seed)
    curves = np.zeros((len(true_components), users, picks + 1))
    for t, component in enumerate(true_components):
        for user in range(users):
            evidence = np.zeros(mixture.n_components)
            curves[t, user, 0] = mixture.weights[component]
            for step in range(1, picks + 1):
                evidence = evidence + _pick(mixture, component, n_samples, k, rng)
                curves[t, user, step] = mixture.reweighted(evidence).weights[component]
    return Concentration(tuple(true_components), curves)


def _pick(mixture: Mixture, component: int, n_samples: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(M,) evidence of one simulated pick."""
    z, components = mixture.sample(n_samples, rng)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres, labels = kmeans2(z, k, minit="++", seed=rng)
    shown, labels = np.unique(labels, return_inverse=True)
    centres = centres[shown]
    noise = rng.standard_normal(mixture.dimension)
    wanted = mixture.means[component] + np.sqrt(mixture.variances[component]) * noise
    picked = int(((centres - wanted) ** 2).sum(axis=1).argmin())
    rates = DEFAULT.error_rate, DEFAULT.prior_counts
    return log_shares(components, labels, len(shown), mixture.n_components, *rates)[picked]


def draw_concentration(result: Concentration, path: Path) -> None:
    """Draw the probability of the true component against the number of picks, one line a component."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    lines = zip(result.true_components, result.mean, cycle(_DASHES), strict=False)
    for component, mean, dashes in lines:
        axes.plot(mean, label=f"component {component + 1}", linewidth=1.8, linestyle=dashes)
    axes.set(xlabel="picks", ylabel="probability of the true component", ylim=(0, 1.02), xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)
