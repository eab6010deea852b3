"""Proposals keep what was given, add what agreeing samples say nearby, and differ from each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.research.systems.partial.growth import PartialRequest, grow, sample_weights
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND, UNKNOWN


@pytest.fixture
def request_(image, rough) -> PartialRequest:
    return PartialRequest(image, rough)


def everything(proposal):
    return [proposal.recommendation, *proposal.candidates]


def test_no_label_of_the_user_is_ever_changed(engine, request_):
    given = request_.labels != UNKNOWN
    for reach in (None, 1.0, 100.0):
        for one in everything(grow(engine, replace(request_, reach=reach))):
            assert np.array_equal(one.labels[given], request_.labels[given])
            assert (one.labels != UNKNOWN).sum() >= given.sum()


def test_what_the_samples_disagree_on_stays_unknown_in_the_recommendation(engine, request_, distance):
    labels = grow(engine, replace(request_, reach=100.0)).recommendation.labels
    assert (labels[distance < 7] == FOREGROUND).all()
    assert (labels[(distance > 9) & (distance < 13)] == UNKNOWN).all()
    outside = (distance > 15) & (distance < 22)
    assert (labels[outside] == BACKGROUND).mean() > 0.99


def test_each_candidate_stands_for_another_opinion(engine, request_):
    proposal = grow(engine, replace(request_, reach=100.0))
    sizes = [int((one.labels == FOREGROUND).sum()) for one in proposal.candidates]
    assert len(proposal.candidates) == 4 and sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]
    assert sum(one.growth.support for one in proposal.candidates) == pytest.approx(1)
    assert len({one.growth.name for one in proposal.candidates}) >= 3


def test_a_short_reach_keeps_the_step_small(engine, request_, distance):
    labels = grow(engine, replace(request_, reach=2.0)).recommendation.labels
    new = (labels == FOREGROUND) & (request_.labels == UNKNOWN)
    assert new.any() and distance[new].max() < 7


def test_samples_that_contradict_the_labels_lose_their_weight(engine, request_, distance):
    labels = request_.labels.copy()
    labels[(distance > 12.5) & (distance < 16)] = BACKGROUND
    proposal = grow(engine, replace(request_, labels=labels, reach=100.0))
    weights = sample_weights(proposal.samples, labels, request_.image).reshape(4, 4).sum(axis=1)
    assert weights[3] < 0.01 and weights[:3].min() > 0.2
    labels[distance < 9.5] = FOREGROUND
    proposal = grow(engine, replace(request_, labels=labels, reach=100.0))
    weights = sample_weights(proposal.samples, labels, request_.image).reshape(4, 4).sum(axis=1)
    assert weights[0] < 0.01 and weights[1] > 0.2


def test_what_was_turned_down_is_not_shown_again(engine, request_):
    first = grow(engine, replace(request_, reach=100.0))
    rejected = tuple(one.labels for one in first.candidates)
    second = grow(engine, replace(request_, reach=100.0, rejected=rejected, seed=1))
    for one in second.candidates:
        assert all((one.labels != old).sum() >= 2 for old in rejected)
    assert "turned down" in second.fewer_reason


def test_equal_requests_give_equal_proposals(engine, request_):
    first, second = (everything(grow(engine, request_)) for _ in range(2))
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(first, second, strict=True))


def test_where_everything_is_labelled_the_proposal_says_it_is_complete(engine, request_, distance):
    labels = np.where(distance < 11, FOREGROUND, BACKGROUND).astype(np.uint8)
    proposal = grow(engine, replace(request_, labels=labels))
    assert proposal.complete and proposal.candidates == ()
    assert proposal.fewer_reason.startswith("No alternatives are shown")


def test_labels_far_from_where_the_model_looks_are_warned_of(engine, request_):
    labels = request_.labels.copy()
    labels[:6, :20] = FOREGROUND
    assert any("outside" in sentence for sentence in grow(engine, replace(request_, labels=labels)).warnings)


def test_what_cannot_be_is_refused(engine, request_):
    with pytest.raises(InputError, match="shape of the slice"):
        grow(engine, replace(request_, labels=request_.labels[:-1]))
    with pytest.raises(InputError, match=r"certainty of 0\.5"):
        grow(engine, replace(request_, certainty=0.5))
