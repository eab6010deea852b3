from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from SPASegmentLib.errors import InputError
from SPASegmentLib.network.mixture import Mixture, log_shares


@pytest.fixture
def a_mixture_of_two_far_apart() -> Mixture:
    return Mixture(np.log([0.25, 0.75]), np.array([[-10.0, 0.0], [10.0, 5.0]]), np.full((2, 2), 0.04))


def test_samples_lie_at_the_component_they_are_said_to_come_from(a_mixture_of_two_far_apart):
    z, components = a_mixture_of_two_far_apart.sample(2000, np.random.default_rng(0))
    assert z.shape == (2000, 2) and components.shape == (2000,)
    for m in (0, 1):
        own = z[components == m]
        assert np.abs(own.mean(axis=0) - a_mixture_of_two_far_apart.means[m]).max() < 0.05
        assert np.abs(own.std(axis=0) - 0.2).max() < 0.03
    assert abs((components == 1).mean() - 0.75) < 0.04


def test_no_sample_lies_between_components_as_an_average_of_them_would(a_mixture_of_two_far_apart):
    z, _ = a_mixture_of_two_far_apart.sample(500, np.random.default_rng(1))
    assert (np.abs(z[:, 0]) > 8).all()


def test_the_same_seed_draws_the_same_samples(a_mixture_of_two_far_apart):
    first = a_mixture_of_two_far_apart.sample(20, np.random.default_rng(7))
    second = a_mixture_of_two_far_apart.sample(20, np.random.default_rng(7))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])


def test_moments_agree_with_those_of_many_samples():
    rng = np.random.default_rng(3)
    mixture = Mixture(rng.normal(size=4), rng.normal(size=(4, 3)), rng.uniform(0.1, 1.0, size=(4, 3)))
    z, _ = mixture.sample(200_000, rng)
    assert np.allclose(mixture.mean(), z.mean(axis=0), atol=0.02)
    assert np.allclose(mixture.variance(), z.var(axis=0), atol=0.03)
    assert np.allclose(mixture.covariance(), np.cov(z.T), atol=0.03)
    assert np.allclose(np.diag(mixture.covariance()), mixture.variance())


def test_density_integrates_to_one():
    mixture = Mixture(np.log([0.3, 0.7]), np.array([[-1.0], [2.0]]), np.array([[0.5], [1.5]]))
    grid = np.linspace(-15, 15, 20_001)
    assert abs(trapezoid(np.exp(mixture.log_density(grid[:, None])), grid) - 1.0) < 1e-6


def test_responsibilities_name_the_component_a_point_lies_in(a_mixture_of_two_far_apart):
    shares = a_mixture_of_two_far_apart.responsibilities(np.array([[-10.0, 0.0], [10.0, 5.0]]))
    assert np.allclose(shares, np.eye(2), atol=1e-9)


def test_entropy_falls_from_log_m_to_zero():
    even = Mixture(np.zeros(16), np.zeros((16, 2)), np.ones((16, 2)))
    assert even.entropy() == pytest.approx(np.log(16))
    assert even.reweighted(np.eye(16)[3] * 200).entropy() == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.floats(-50, 50), min_size=5, max_size=5))
def test_reweighting_is_bayes_rule_and_is_undone_by_its_negative(evidence):
    prior = Mixture(np.log([0.1, 0.2, 0.3, 0.15, 0.25]), np.zeros((5, 1)), np.ones((5, 1)))
    posterior = prior.reweighted(np.array(evidence))
    unnormalised = np.array([0.1, 0.2, 0.3, 0.15, 0.25]) * np.exp(np.array(evidence) - max(evidence))
    assert np.allclose(posterior.weights, unnormalised / unnormalised.sum(), atol=1e-12)
    restored = posterior.reweighted(-np.array(evidence))
    assert np.allclose(restored.log_weights, prior.log_weights, atol=1e-9)


@pytest.mark.parametrize(
    ("log_weights", "means", "variances"),
    [
        (np.zeros(2), np.zeros((3, 2)), np.ones((3, 2))),
        (np.zeros(2), np.zeros((2, 2)), np.ones((2, 3))),
        (np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))),
        (np.array([0.0, np.nan]), np.zeros((2, 2)), np.ones((2, 2))),
        (np.zeros(2), np.full((2, 2), np.inf), np.ones((2, 2))),
        (np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2))),
    ],
)
def test_a_mixture_that_is_none_is_refused(log_weights, means, variances):
    with pytest.raises(InputError, match="mixture needs"):
        Mixture(log_weights, means, variances)


def test_evidence_over_another_number_of_components_is_refused(a_mixture_of_two_far_apart):
    with pytest.raises(InputError, match="another model"):
        a_mixture_of_two_far_apart.reweighted(np.zeros(3))


def test_a_mixture_cannot_be_changed_in_place(a_mixture_of_two_far_apart):
    with pytest.raises(ValueError, match="read-only"):
        a_mixture_of_two_far_apart.means[0, 0] = 1.0


def test_shares_without_prior_counts_are_the_share_of_samples_mixed_with_the_error_rate():
    components = np.array([0, 0, 0, 0, 1, 1])
    labels = np.array([0, 0, 0, 1, 2, 2])
    shares = np.exp(log_shares(components, labels, k=3, M=2, error_rate=0.06, prior_counts=0))
    assert np.allclose(shares[:, 0], 0.94 * np.array([0.75, 0.25, 0.0]) + 0.02)
    assert np.allclose(shares[:, 1], 0.94 * np.array([0.0, 0.0, 1.0]) + 0.02)


@given(st.data())
def test_shares_are_probabilities_over_the_candidates_for_every_component(data):
    n, k, m = data.draw(st.integers(0, 60)), data.draw(st.integers(1, 5)), data.draw(st.integers(1, 16))
    components = np.array(data.draw(st.lists(st.integers(0, m - 1), min_size=n, max_size=n)), dtype=int)
    labels = np.array(data.draw(st.lists(st.integers(-1, k - 1), min_size=n, max_size=n)), dtype=int)
    counts = data.draw(st.sampled_from([0.0, 1.0, 2.5]))
    shares = log_shares(components, labels, k=k, M=m, error_rate=0.05, prior_counts=counts)
    assert shares.shape == (k, m) and np.isfinite(shares).all()
    assert np.allclose(np.exp(shares).sum(axis=0), 1.0)


@pytest.mark.parametrize("prior_counts", [0.0, 1.0])
@pytest.mark.parametrize("picked", [0, 1])
def test_a_pick_says_nothing_about_a_component_without_samples(picked, prior_counts):
    weights = np.array([0.5, 0.4, 0.1])
    components = np.repeat([0, 1], [50, 40])
    labels = np.concatenate([np.zeros(45), np.ones(5), np.zeros(4), np.ones(36)]).astype(int)
    shares = log_shares(components, labels, k=2, M=3, error_rate=0.05, prior_counts=prior_counts)
    posterior = Mixture(np.log(weights), np.zeros((3, 1)), np.ones((3, 1))).reweighted(shares[picked])
    assert posterior.weights[2] == pytest.approx(0.1, abs=0.005)


def test_three_samples_do_not_pass_for_certainty():
    components = np.array([0, 0, 0] + [1] * 45)
    labels = np.array([0, 0, 0] + [1] * 45)
    bold = log_shares(components, labels, k=2, M=2, error_rate=0.05, prior_counts=0)
    careful = log_shares(components, labels, k=2, M=2, error_rate=0.05, prior_counts=1.0)
    assert careful[1, 0] > bold[1, 0] + 1.0


def test_a_proposal_without_candidates_has_no_shares():
    assert log_shares(
        np.array([0, 1]), np.array([-1, -1]), k=0, M=2, error_rate=0.05, prior_counts=1.0
    ).shape == (0, 2)


@pytest.mark.parametrize(
    ("components", "labels"), [([0, 1], [0]), ([0, 5], [0, 0]), ([0, -1], [0, 0]), ([0, 1], [0, 4])]
)
def test_samples_that_name_what_does_not_exist_are_refused(components, labels):
    with pytest.raises(InputError):
        log_shares(np.array(components), np.array(labels), k=4, M=2, error_rate=0.05, prior_counts=1.0)
