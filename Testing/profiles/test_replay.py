from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.cli.relearning import GivenSlice, replay
from SPASegmentLib.errors import ProfileError
from SPASegmentLib.profiles.learning import evidence_of
from SPASegmentLib.profiles.profile import Profile


@pytest.fixture(scope="module")
def slices(disc) -> list:
    return [disc(8 + n, n) for n in range(6)]


@pytest.fixture(scope="module")
def logged(engine, fresh, slices, a_user) -> Profile:
    """Six slices of a user who wants discs 20% wider, taught on the first model."""
    profile = fresh
    for n, image in enumerate(slices):
        profile = profile.commit(evidence_of(profile, a_user(engine, image, 1.2, profile.log_prior(), n)))
    return profile


def wanted_size(profile: Profile, engine) -> float:
    return float(engine.mixture.means[profile.posterior().argmax(), 0])


@pytest.mark.parametrize("with_masks", [False, True])
def test_given_the_slices_again_the_preference_is_re_learnt_on_another_model(
    with_masks, logged, slices, another_engine, wanted
):
    given = [GivenSlice(image, wanted(image, 1.2) if with_masks else None) for image in slices]
    result = replay(logged, another_engine, given, "Dr. A on the new model")
    assert (result.relearnt, result.missing) == (6, 0)
    result.profile.check_model(another_engine.model)
    assert abs(wanted_size(result.profile, another_engine) - 1.2) < 0.12
    assert [item.date for item in result.profile.slices] == [item.date for item in logged.slices]
    assert "6 of 6 slices" in result.sentence


def test_what_was_re_learnt_of_the_usual_area_helps_with_the_next_slice(logged, slices, another_engine):
    asked = []

    class Asked:
        model = another_engine.model

        def propose(self, request, cancel=None):
            asked.append(request.usual_area)
            return another_engine.propose(request, cancel)

    new = replay(logged, Asked(), map(GivenSlice, slices), "new").profile
    assert asked[0] is None and asked[-1] is not None
    assert asked[-1].log_mm2 == pytest.approx(new.retract(new.slices[-1].id).usual_area().log_mm2)


def test_slices_that_are_not_given_are_counted_as_missing(logged, slices, another_engine):
    result = replay(logged, another_engine, map(GivenSlice, slices[:2]), "new")
    assert (result.relearnt, result.missing, result.profile.n_images) == (2, 4, 2)


def test_without_the_images_there_is_no_replay_and_the_sentence_says_why(logged, disc, another_engine):
    for given in ([], [GivenSlice(disc(20, 77))]):
        with pytest.raises(ProfileError, match="a profile keeps no images, so give it the same slices"):
            replay(logged, another_engine, given, "new")


def test_a_profile_without_a_log_cannot_be_replayed(logged, slices, another_engine):
    bare = [item.model_copy(update={"clicks": ()}) for item in logged.slices]
    silent = logged.reset()
    for n, item in enumerate(bare):
        silent = silent.commit(item.model_copy(update={"id": f"{n:032x}"}))
    with pytest.raises(ProfileError, match="keeps no images"):
        replay(silent, another_engine, map(GivenSlice, slices), "new")


def test_slices_on_which_the_new_model_comes_to_something_else_are_left_out(logged, slices, another_engine):
    strange = logged.reset()
    for n, item in enumerate(logged.slices):
        area = item.approved_mm2 * (50 if n < 2 else 1)
        strange = strange.commit(item.model_copy(update={"id": f"{n:032x}", "approved_mm2": area}))
    result = replay(strange, another_engine, map(GivenSlice, slices), "new")
    assert (result.relearnt, result.unlike, result.profile.n_images) == (4, 2, 4)
    assert "on 2 the new model showed nothing like" in result.sentence


def test_a_replay_is_the_same_each_time(logged, slices, another_engine):
    once, again = (replay(logged, another_engine, map(GivenSlice, slices), "new") for _ in range(2))
    assert np.array_equal(once.profile.log_prior(), again.profile.log_prior())
