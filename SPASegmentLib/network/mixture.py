"""The preference distribution: a mixture of M Gaussians, sampled as a mixture (paper Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SPASegmentLib.errors import InputError


def log_normalised(log_weights: np.ndarray) -> np.ndarray:
    """Shift log-weights so that the weights sum to one along the last axis."""
    values = np.asarray(log_weights, dtype=np.float64)
    top = values.max(axis=-1, keepdims=True)
    shifted = values - top
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Mixture:
    """p(z) = sum_m pi_m N(z | mu_m, sigma_m^2), the paper's Eq. 1, with diagonal covariances.

    log_weights: (M,) log pi_m, any offset; stored normalised. means: (M, D). variances: (M, D), above zero.
    Raises InputError for shapes that do not fit, numbers that are not finite and variances not above zero.
    """

    log_weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def __post_init__(self) -> None:
        log_weights = np.array(self.log_weights, dtype=np.float64)
        means = np.array(self.means, dtype=np.float64)
        variances = np.array(self.variances, dtype=np.float64)
        fits = log_weights.ndim == 1 and means.ndim == 2 and means.shape == variances.shape
        if not fits or len(log_weights) != len(means) or means.size == 0:
            raise InputError(
                "A mixture needs M log-weights and M x D means and variances; "
                f"it was given {log_weights.shape}, {means.shape} and {variances.shape}."
            )
        if not all(np.isfinite(part).all() for part in (log_weights, means, variances)):
            raise InputError("A mixture needs finite weights, means and variances; one is NaN or infinite.")
        if (variances <= 0).any():
            raise InputError("A mixture needs variances above zero; one is zero or negative.")
        for name, value in (
            ("log_weights", log_normalised(log_weights)),
            ("means", means),
            ("variances", variances),
        ):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def n_components(self) -> int:
        """M."""
        return len(self.log_weights)

    @property
    def dimension(self) -> int:
        """D, the length of z."""
        return int(self.means.shape[1])

    @property
    def weights(self) -> np.ndarray:
        """(M,) pi_m, summing to one."""
        return np.exp(self.log_weights)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw n vectors: first the component, then the vector from it.

        Returns z: (n, D) float64 and components: (n,) int64, the component each z came from.
        """
        weights = self.weights
        components = rng.choice(self.n_components, size=n, p=weights / weights.sum())
        noise = rng.standard_normal((n, self.dimension))
        z = self.means[components] + np.sqrt(self.variances[components]) * noise
        return z, components.astype(np.int64)

    def reweighted(self, log_evidence: np.ndarray) -> Mixture:
        """The exact posterior over components: pi_m times exp(log_evidence_m) (supplement Eq. 1).

        log_evidence: (M,) log-likelihood of what the user did under each component. Raises InputError.
        """
        evidence = np.asarray(log_evidence, dtype=np.float64)
        if evidence.shape != self.log_weights.shape:
            raise InputError(
                f"The evidence is over {evidence.shape} components but the mixture has {self.n_components}; "
                "it belongs to another model."
            )
        return Mixture(self.log_weights + evidence, self.means, self.variances)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Log p(z) of z: (n, D). Returns (n,)."""
        joint = self._log_joint(z)
        top = joint.max(axis=1)
        return top + np.log(np.exp(joint - top[:, None]).sum(axis=1))

    def responsibilities(self, z: np.ndarray) -> np.ndarray:
        """P(component m | z) of z: (n, D), the E-step of Algorithm 1. Returns (n, M), rows sum to one."""
        return np.exp(log_normalised(self._log_joint(z)))

    def mean(self) -> np.ndarray:
        """(D,) mean of the mixture."""
        return self.weights @ self.means

    def variance(self) -> np.ndarray:
        """(D,) variance of the mixture per dimension: within components plus between them."""
        centred = self.means - self.mean()
        return self.weights @ (self.variances + centred**2)

    def covariance(self) -> np.ndarray:
        """(D, D) covariance of the mixture."""
        centred = self.means - self.mean()
        return (self.weights[:, None] * centred).T @ centred + np.diag(self.weights @ self.variances)

    def entropy(self) -> float:
        """Entropy of the component in nats: log M where nothing is known, 0 where one component is sure."""
        return float(-(self.weights * self.log_weights).sum())

    def _log_joint(self, z: np.ndarray) -> np.ndarray:
        """(n, M) log pi_m + log N(z | mu_m, sigma_m^2)."""
        points = np.atleast_2d(np.asarray(z, dtype=np.float64))
        if points.shape[1] != self.dimension:
            raise InputError(
                f"The mixture lives in {self.dimension} dimensions, the points have {points.shape[1]}."
            )
        squared = (points[:, None, :] - self.means[None]) ** 2 / self.variances[None]
        normaliser = np.log(2 * np.pi * self.variances).sum(axis=1)
        return self.log_weights - 0.5 * (squared.sum(axis=2) + normaliser)


def log_shares(
    components: np.ndarray,
    labels: np.ndarray,
    k: int,
    M: int,
    error_rate: float,
    prior_counts: float,
) -> np.ndarray:
    """Log P(pick k | component m), from the samples of a proposal (supplement Section 2).

    components: (N,) component each sample came from.
    labels: (N,) cluster each sample fell into; a negative one belongs to no shown candidate and is left out.
    k: number of candidates shown, K'. M: number of components.
    error_rate: share of picks spread evenly over the candidates.
    prior_counts: a component's few samples are joined by this many at the shares of all samples together, so
    that three samples do not pass for certainty. A component without samples has the shares of all samples
    and so keeps its posterior whatever is picked: the pick says nothing about it.

    Returns (K', M) float64; each column sums to one as probabilities. Raises InputError.
    """
    components, labels = np.asarray(components), np.asarray(labels)
    if components.shape != labels.shape or components.ndim != 1:
        raise InputError("Every sample needs one component and one cluster; their numbers differ.")
    if not (0 < error_rate <= 1) or prior_counts < 0:
        raise InputError("The error rate must be above 0 and at most 1, and the prior counts at least 0.")
    if k == 0:
        return np.zeros((0, M))
    kept = labels >= 0
    if (labels[kept] >= k).any() or (components < 0).any() or (components >= M).any():
        raise InputError(f"A sample names a cluster beyond {k} or a component beyond {M}.")
    counts = np.zeros((k, M))
    np.add.at(counts, (labels[kept], components[kept]), 1.0)
    pooled = (counts.sum(axis=1) if counts.any() else np.ones(k)).reshape(k, 1)
    pooled = pooled / pooled.sum()
    totals = counts.sum(axis=0)
    joined = np.where(totals + prior_counts > 0, totals + prior_counts, 1.0)
    shares = np.where(totals > 0, (counts + prior_counts * pooled) / joined, pooled)
    return np.log((1 - error_rate) * shares + error_rate / k)
