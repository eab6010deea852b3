from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.errors import Cancelled, ProfileError, StepError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.network.mixture import log_normalised
from SPASegmentLib.profiles.evidence import result_row, rows_of
from SPASegmentLib.profiles.learning import (
    Ending,
    FinishedInteraction,
    add_consensus,
    commit_approval,
    consensus_area,
    consensus_request,
    consensus_share,
    evidence_of,
    retract_approval,
)
from SPASegmentLib.profiles.profile import merge, new_profile
from SPASegmentLib.profiles.records import ModelReference
from SPASegmentLib.research.evaluation.disk_profiles import DiskProfiles, TaughtOnDisk


@pytest.fixture
def stored(store, fresh):
    return store.create(fresh)


@pytest.fixture
def approved(engine, disc, a_user):
    return a_user(engine, disc(9), 1.2)


def test_approving_a_slice_teaches_the_profile_on_the_disk(store, stored, approved):
    receipt = commit_approval(store, stored, approved)
    profile = store.load(stored.name)
    (item,) = profile.slices
    assert receipt is not None and item.id == receipt.evidence_id
    assert item.outcome == "approved" and len(item.picks) == approved.result().picks > 0
    assert np.abs(profile.log_prior()).max() > 0.1


def test_undoing_the_approval_takes_back_exactly_that(store, stored, approved, a_user, engine, disc):
    commit_approval(store, stored, a_user(engine, disc(11, 5), 1.2))
    before = store.load(stored.name)
    receipt = commit_approval(store, before, approved)
    assert store.load(stored.name).n_images == 2
    after = retract_approval(store, receipt)
    assert after.slices == before.slices
    assert np.abs(after.log_prior() - before.log_prior()).max() <= 1e-9


def test_approving_again_after_the_undo_teaches_again(store, stored, approved):
    receipt = commit_approval(store, stored, approved)
    retract_approval(store, receipt)
    again = approved.undo().approve()
    commit_approval(store, stored, again)
    assert store.load(stored.name).n_images == 1


def test_a_slice_not_to_be_learnt_from_teaches_nothing(store, stored, approved):
    assert commit_approval(store, stored, replace(approved, learn=False)) is None
    assert store.load(stored.name) == stored and len(store.history(stored.name)) == 1


def test_a_slice_that_was_not_finished_teaches_nothing(store, stored, approved):
    with pytest.raises(StepError):
        commit_approval(store, stored, approved.undo())
    assert store.load(stored.name) == stored


def test_taking_a_candidate_as_it_is_counts_as_picking_it(fresh, approved):
    taken = approved.undo().take(0)
    item = evidence_of(fresh, taken)
    assert item.outcome == "taken" and item.approval == ()
    assert item.picks[-1].picked == 0 and len(item.picks) == taken.result().picks + 1
    mask = taken.result().mask
    assert item.approved_mm2 == pytest.approx(np.count_nonzero(mask) * 0.64)


def test_beside_a_taken_candidate_no_recommendation_was_approved(fresh, approved):
    item = evidence_of(fresh, approved.undo().take(0))
    assert item.outcome == "taken" and item.beside is None and len(item.picks[-1].shown) > 0


def test_none_of_these_is_kept_in_the_log_but_says_nothing(engine, disc, fresh, a_user):
    session = a_user(engine, disc(9), 1.2)
    while (session.done or session.pending) and session.iteration > 1:
        session = session.undo()
    session = session.none_of_these().advance(engine).approve()
    item = evidence_of(fresh, session)
    assert [pick.picked for pick in item.picks] == [None] and item.picks[0].log_likelihood == ()
    assert len(item.picks[0].shown) > 0


def test_the_log_says_what_was_shown_in_words_and_areas(fresh, approved):
    item = evidence_of(fresh, approved)
    proposal = approved.done[0].proposal
    shown = item.picks[0].shown
    assert [s.words for s in shown] == [c.description.name for c in proposal.candidates]
    assert item.picks[0].recommended_mm2 == pytest.approx(proposal.area_mm2)
    assert item.first_mm2 == pytest.approx(proposal.area_mm2) == pytest.approx(item.consensus_mm2)
    beside = approved.result().proposal.candidates
    assert [s.words for s in item.beside] == [c.description.name for c in beside]


def test_the_answer_of_another_model_is_refused_and_nothing_learnt(
    store, stored, another_engine, disc, a_user
):
    with pytest.raises(ProfileError, match="says nothing about"):
        commit_approval(store, stored, a_user(another_engine, disc(9), 1.2))
    assert store.load(stored.name) == stored


def test_an_engine_that_contradicts_itself_is_refused(engine, another_engine, disc, a_user, fresh):
    session = replace(a_user(another_engine, disc(9), 1.2), model=engine.model)
    with pytest.raises(ProfileError, match="another number of components"):
        evidence_of(fresh, session)


def test_an_interaction_without_a_session_teaches_the_same(fresh, approved, interaction_of):
    same = {"evidence_id": "0" * 32, "date": fresh.created}
    plain = evidence_of(fresh, interaction_of(approved), **same)
    assert plain == evidence_of(fresh, approved, **same)


def test_a_taught_profile_makes_the_first_recommendation_right(taught, engine, disc, a_user, wanted):
    image = disc(10, 99)
    want = wanted(image, 1.2)

    def first_dice(log_prior):
        mask = a_user(engine, image, 1.2, log_prior, 3).done[0].proposal.recommendation
        return 2 * np.count_nonzero(mask & want) / (np.count_nonzero(mask) + np.count_nonzero(want))

    assert first_dice(taught.log_prior()) > max(0.93, first_dice(None) + 0.05)


def test_the_same_slice_is_known_again_and_another_is_not(fresh, engine, disc, a_user):
    first = evidence_of(fresh, a_user(engine, disc(9, 1), 1.2))
    again = evidence_of(fresh, a_user(engine, disc(9, 1), 0.9))
    other = evidence_of(fresh, a_user(engine, disc(9, 2), 1.2))
    assert first.image == again.image != other.image and first.id != again.id


def test_the_consensus_is_read_off_samples_weighted_back(another_engine, disc):
    prior = np.where(np.arange(7) >= 5, 1.5, -0.5)
    many = {"points": (PointPrompt(24, 24),), "n_samples": 600, "seed": 1}
    pushed = another_engine.propose(ProposalRequest(disc(12), log_prior=prior, **many))
    plain = another_engine.propose(ProposalRequest(disc(12), **many))
    base = log_normalised(np.zeros(7))
    share = consensus_share(pushed, prior, base)
    assert pushed.area_mm2 > 1.2 * plain.area_mm2
    assert share is not None and share * pushed.area_mm2 == pytest.approx(plain.area_mm2, rel=0.1)
    assert consensus_share(plain, None, base) == 1.0


def test_where_the_profile_is_sure_the_consensus_is_unknown_unless_it_is_asked_for(
    store, taught, engine, disc, a_user
):
    session = a_user(engine, disc(12), 1.2, taught.log_prior())
    assert evidence_of(taught, session).consensus_mm2 is None
    assert evidence_of(taught, session, consensus_mm2=77.0).consensus_mm2 == 77.0
    assert commit_approval(store, store.create(taught), session, engine=engine)
    asked = store.load(taught.name).slices[-1].consensus_mm2
    assert asked == pytest.approx(np.pi * (12 * 0.8) ** 2, rel=0.2)


class Asked:
    """An engine that remembers what it was asked."""

    def __init__(self, engine):
        self.engine, self.requests = engine, []

    @property
    def model(self):
        return self.engine.model

    def propose(self, request, cancel=None):
        self.requests.append(request)
        if cancel is not None and cancel.is_set():
            raise Cancelled("Cancelled; nothing was changed.")
        return self.engine.propose(request, cancel)


def test_the_consensus_is_added_later_to_the_approval_it_belongs_to(store, taught, engine, disc, a_user):
    session = a_user(engine, disc(12), 1.2, taught.log_prior())
    receipt = commit_approval(store, store.create(taught), session)
    open_still = store.load(taught.name)
    assert open_still.slices[-1].consensus_mm2 is None
    store.rename(taught.name, "Dr. B")  # another window may have
    added = add_consensus(store, receipt, engine, consensus_request(session))
    assert added == store.load("Dr. B")
    assert added.slices[-1].consensus_mm2 == consensus_area(engine, session) > 0
    assert added.slices[:-1] == open_still.slices[:-1]
    assert add_consensus(store, receipt, engine, consensus_request(session)) is None, "it is known"
    for pair in ((added, open_still.renamed("Dr. B")), (open_still.renamed("Dr. B"), added)):
        assert merge(*pair).slices == added.slices


def test_no_consensus_is_added_to_what_was_taken_back_or_while_another_request_waits(
    store, taught, engine, disc, a_user
):
    session = a_user(engine, disc(12), 1.2, taught.log_prior())
    receipt = commit_approval(store, store.create(taught), session)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        add_consensus(store, receipt, Asked(engine), consensus_request(session), cancel)
    retract_approval(store, receipt)
    before = store.load(taught.name)
    assert add_consensus(store, receipt, engine, consensus_request(session)) is None
    assert store.load(taught.name) == before


def test_the_model_is_not_asked_again_for_a_consensus_that_the_samples_tell(
    store, stored, engine, disc, a_user
):
    asked = Asked(engine)
    session = a_user(engine, disc(9), 1.2)
    assert commit_approval(store, stored, session, engine=asked)
    (item,) = store.load(stored.name).slices
    assert item.consensus_mm2 == pytest.approx(session.done[0].proposal.area_mm2)
    assert asked.requests == []


def test_the_model_is_asked_for_the_consensus_of_as_many_samples_as_the_user_saw(
    store, taught, engine, disc, a_user
):
    asked = Asked(engine)
    session = replace(a_user(engine, disc(12), 1.2, taught.log_prior()), n_samples=96)
    assert commit_approval(store, store.create(taught), session, engine=asked)
    assert [request.n_samples for request in asked.requests] == [96]


def test_the_consensus_is_of_the_object_that_was_meant(store, taught, engine, disc, a_user):
    """The usual area says which object that is; what it is compared with is about the same one."""
    asked = Asked(engine)
    session = replace(a_user(engine, disc(12), 1.2, taught.log_prior()), usual_area=taught.usual_area())
    assert commit_approval(store, store.create(taught), session, engine=asked)
    [request] = asked.requests
    assert request.log_prior is None and request.usual_area == taught.usual_area() is not None


def test_what_was_approved_is_asked_of_the_samples_before_the_first_pick(approved, fresh):
    first, result = approved.done[0].proposal.feedback, approved.result()
    item = evidence_of(fresh, approved)
    assert np.allclose(item.result, result_row(first, result.mask, 8, approved.image.spacing))
    assert np.array_equal(item.rows(8), [item.result])
    later = result_row(result.proposal.feedback, result.mask, 8, approved.image.spacing)
    assert not np.allclose(item.result, later)


def test_picks_count_where_the_model_drew_no_samples(approved, fresh):
    first = approved.done[0].proposal
    bare = replace(first, feedback=replace(first.feedback, samples=first.feedback.samples[:0]))
    outcome = approved.result()
    answered = (replace(outcome.answered[0], proposal=bare), *outcome.answered[1:])
    ending = Ending(outcome.mask, answered, outcome.proposal)
    interaction = FinishedInteraction(approved.image, approved.model, approved.points, ending)
    item = evidence_of(fresh, interaction)
    assert item.result == ()
    assert np.array_equal(item.rows(8), rows_of(answered, 8))


def test_a_transfer_can_be_measured_through_the_store(store, engine, disc, a_user):
    fresh = new_profile("carried", ModelReference.of(engine.model))
    carried = TaughtOnDisk(store, fresh)
    for n in range(4):
        session = a_user(engine, disc(9 + n, n), 1.2, carried.log_prior(), n)
        carried.learn(f"case {n}", session.answered, session.proposal, (0.8, 0.8))
    assert store.load("carried").n_images == 4
    best = np.argmax(TaughtOnDisk(store, fresh).log_prior())
    assert abs(engine.mixture.means[best, 0] - 1.2) < 0.12


def test_every_measured_user_gets_an_empty_file_of_their_own(tmp_path, engine, disc, a_user):
    make = DiskProfiles(tmp_path / "measured")
    first, second = make(engine, "Ann"), make(engine, "Bob")
    session = a_user(engine, disc(9), 1.2)
    first.learn("case", session.answered, session.proposal, session.image.spacing, 7.0)
    assert np.abs(first.log_prior()).max() > 0.1 and not second.log_prior().any()
    assert first.profile.slices[0].consensus_mm2 == 7.0
    assert len(list((tmp_path / "measured").glob("*.json"))) == 2
    assert not make(engine, "Ann").log_prior().any()


def test_a_measured_profile_knows_the_mixture_of_an_engine_that_tells_it(tmp_path, engine):
    class Telling(type(engine)):
        def base_mixture(self):
            return self.mixture

    assert DiskProfiles(tmp_path)(engine, "a").profile.base is None
    base = DiskProfiles(tmp_path)(Telling(), "b").profile.base
    assert base is not None and np.array_equal(base.mixture.means, engine.mixture.means)
