from __future__ import annotations

import shlex
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import ModelInfo
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.profiles.codec import DamagedProfileError, OtherVersionError, decode, encode
from SPASegmentLib.profiles.profile import Profile, blend, merge, new_profile, restored
from SPASegmentLib.profiles.records import AnswerRecord, ModelReference, SliceEvidence, new_id

M = 4
MODEL = ModelReference(name="compact", hash="c" * 64, components=M)
BASE = Mixture(np.log([0.4, 0.3, 0.2, 0.1]), np.arange(8.0).reshape(M, 2), np.full((M, 2), 0.5))
DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)
rows = st.lists(st.floats(-20, 0), min_size=M, max_size=M).map(tuple)


@st.composite
def slice_evidence(draw: st.DrawFn) -> SliceEvidence:
    picks = draw(st.lists(rows, max_size=3))
    return SliceEvidence(
        id=draw(st.integers(0, 2**60)).to_bytes(16, "big").hex(),
        image=f"{draw(st.integers(0, 3)):032x}",
        date=DAY + timedelta(hours=draw(st.integers(0, 500))),
        outcome="approved",
        picks=tuple(
            AnswerRecord(recommended_mm2=9.0, shown=(), picked=None, log_likelihood=row) for row in picks
        ),
        approval=draw(st.sampled_from([(), (-1.0, -2.0, -0.5, -3.0)])),
    )


slices = st.lists(slice_evidence(), max_size=6, unique_by=lambda item: item.id)


def profile_with(items: list[SliceEvidence], name: str = "Dr. A") -> Profile:
    profile = new_profile(name, MODEL, base=BASE)
    for item in items:
        profile = profile.commit(item)
    return profile


@given(slices, st.randoms())
def test_a_profile_does_not_depend_on_the_order_in_which_it_was_taught(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    one, other = profile_with(items), profile_with(shuffled)
    assert one.slices == other.slices and np.array_equal(one.log_prior(), other.log_prior())


@given(slices, slices)
def test_taking_back_what_was_taught_restores_the_mixture(before, later):
    held = {item.id for item in before}
    profile = profile_with(before)
    fuller = profile
    later = [item for item in later if item.id not in held]
    for item in later:
        fuller = fuller.commit(item)
    for item in later:
        fuller = fuller.retract(item.id)
    assert np.abs(fuller.posterior() - profile.posterior()).max() <= 1e-9
    assert np.abs(fuller.log_prior() - profile.log_prior()).max() <= 1e-9
    assert np.abs(fuller.adapted().mean() - profile.adapted().mean()).max() <= 1e-9


@given(slices, st.floats(0.01, 0.99))
def test_blending_a_profile_with_itself_changes_nothing(items, share):
    profile = profile_with(items)
    blended = blend(profile, profile, "blend", share)
    assert np.abs(blended.posterior() - profile.posterior()).max() <= 1e-9
    assert np.abs(blended.log_prior() - profile.log_prior()).max() <= 1e-9
    assert blended.n_images == profile.n_images and blended.id != profile.id


@given(slices, slices)
def test_a_blend_lies_between_its_profiles(first, second):
    held = {item.id for item in first}
    a, b = profile_with(first), profile_with([item for item in second if item.id not in held], "Dr. B")
    blended = blend(a, b, "blend", 0.25)
    assert np.allclose(blended.evidence.total(), 0.25 * a.evidence.total() + 0.75 * b.evidence.total())


@given(slices, st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_merging_two_windows_depends_on_neither_order_nor_repetition(items, taken_here, taken_there):
    start = new_profile("Dr. A", MODEL)
    here, there = start, start
    for n, item in enumerate(items):
        here = here.commit(item) if n % 2 else here
        there = there.commit(item) if n % 3 else there
    for n in taken_here:
        here = here.retract(items[n].id) if n < len(items) else here
    for n in taken_there:
        there = there.retract(items[n].id) if n < len(items) else there
    both = merge(here, there)
    assert both == merge(there, here) == merge(both, here) == merge(both, both)
    assert merge(merge(start, here), there) == merge(start, merge(here, there))
    gone = set(here.removed) | set(there.removed)
    assert {i.id for i in both.slices} == {i.id for i in (*here.slices, *there.slices)} - gone


def test_what_one_window_took_back_does_not_return_from_the_other():
    item = SliceEvidence(id=new_id(), image="1" * 32, date=DAY, outcome="approved", approval=(-1.0,) * M)
    taught = new_profile("Dr. A", MODEL).commit(item)
    assert merge(taught, taught.retract(item.id)).slices == ()
    assert taught.retract(item.id).commit(item).slices == ()


def test_the_settings_changed_last_win_a_merge():
    profile = new_profile("Dr. A", MODEL)
    older = profile.with_half_life(5.0)
    newer = profile.with_half_life(9.0).renamed("Dr. B")
    assert merge(older, newer).name == "Dr. B" and merge(newer, older).half_life == 9.0


def test_a_fresh_profile_leaves_the_model_as_it_is(fresh):
    assert np.allclose(fresh.log_prior(), 0.0, atol=1e-12)
    assert np.allclose(fresh.adapted().weights, fresh.base.mixture.weights)


def test_a_taught_profile_prefers_what_its_user_wants_and_keeps_a_doubt(taught, engine):
    posterior = taught.posterior()
    assert abs(engine.mixture.means[posterior.argmax(), 0] - 1.2) < 0.1 and posterior.max() > 0.8
    assert taught.log_prior().min() >= np.log(DEFAULT.doubt) - 1e-12
    assert abs(taught.adapted().mean()[0] - 1.2) < 0.1


def test_with_forgetting_old_slices_weigh_less(taught):
    forgetful = taught.with_half_life(1.0)
    assert np.abs(forgetful.evidence.total()).sum() < 0.5 * np.abs(taught.evidence.total()).sum()
    with pytest.raises(ProfileError, match="above zero"):
        taught.with_half_life(0)


def test_a_reset_profile_has_learnt_nothing_but_is_still_the_same(taught):
    empty = taught.reset()
    assert empty.n_images == 0 and np.allclose(empty.log_prior(), 0.0, atol=1e-12)
    assert (empty.id, empty.name, empty.model) == (taught.id, taught.name, taught.model)
    assert merge(empty, taught).slices == ()


def test_a_copy_goes_its_own_way(taught):
    copy = taught.copy_as("Dr. B")
    assert copy.id != taught.id and copy.slices == taught.slices
    with pytest.raises(ProfileError, match="blend them instead"):
        merge(copy, taught)


def test_one_image_can_be_removed(taught):
    image = taught.slices[3].image
    left = taught.remove_image(image)
    assert left.n_images == taught.n_images - 1 and image not in {item.image for item in left.slices}
    with pytest.raises(ProfileError, match="learnt nothing from the image"):
        left.remove_image(image)


def test_a_restored_version_survives_a_merge_with_a_window_that_holds_later_evidence(taught):
    version = taught
    later = taught.retract(taught.slices[0].id).commit(
        SliceEvidence(id=new_id(), image="2" * 32, date=DAY, outcome="approved")
    )
    back = merge(restored(version, later), later)
    assert sorted(i.image for i in back.slices) == sorted(i.image for i in version.slices)
    assert np.allclose(back.log_prior(), version.log_prior(), atol=1e-12)


def test_a_profile_of_another_model_is_refused_in_one_clear_sentence(fresh, engine):
    fresh.check_model(engine.model)
    other = ModelInfo("medsam_vit_b", "d" * 64, 8, "")
    with pytest.raises(
        ProfileError, match='taught on the model "discs" and says nothing about "medsam_vit_b"'
    ):
        fresh.check_model(other)


def test_the_refusal_names_the_command_that_learns_it_again_where_the_log_is_there(fresh, taught):
    other = ModelInfo("medsam_vit_b", "d" * 64, 8, "")
    with pytest.raises(ProfileError) as nothing_to_replay:
        fresh.check_model(other)
    assert str(nothing_to_replay.value).endswith("; choose that model or another profile")
    with pytest.raises(ProfileError) as refusal:
        taught.check_model(other)
    command = str(refusal.value).partition("taught on: ")[2]
    assert shlex.split(command) == [
        *("spasegment", "profile", "relearn", "Dr. A, nodules", "Dr. A, nodules on medsam_vit_b"),
        *("VOLUME...", "--model", "medsam_vit_b"),
    ]
    with pytest.raises(ProfileError, match=r"VOLUME\.\.\. --model runs/mine/best\.safetensors$"):
        taught.check_model(other, "runs/mine/best.safetensors")


@pytest.mark.parametrize("name", ['Dr. "A"', "it's $HOME", "`A`", "Müller; & Söhne", "100%"])
def test_the_command_holds_any_name_as_it_is(taught, name):
    with pytest.raises(ProfileError) as refusal:
        taught.renamed(name).check_model(ModelInfo("m", "d" * 64, 8, ""))
    assert shlex.split(str(refusal.value).partition("taught on: ")[2])[3:5] == [name, f"{name} on m"]


def test_two_models_of_one_name_are_told_apart(fresh):
    with pytest.raises(
        ProfileError, match=r'"discs \(aaaaaaaa\)" and says nothing about "discs \(dddddddd\)"'
    ):
        fresh.check_model(ModelInfo("discs", "d" * 64, 8, ""))


def test_an_image_of_another_modality_draws_a_doubt_not_a_refusal():
    profile = new_profile("Dr. A", MODEL, structure="lung nodule", modality="CT")
    assert "taught on CT and this image is MR" in profile.doubts_about("MR")
    assert profile.doubts_about("ct") == profile.doubts_about(None) == ""
    assert new_profile("Dr. B", MODEL).doubts_about("MR") == ""


def test_profiles_of_different_models_do_not_blend(fresh):
    other = new_profile("B", MODEL)
    with pytest.raises(ProfileError, match="different models"):
        blend(fresh, other, "both")


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 101, "\x1b[31mred", "a\u202eb", "nul\x00"])
def test_a_name_nobody_can_read_is_refused(name):
    with pytest.raises(ProfileError):
        new_profile(name, MODEL)


@pytest.mark.parametrize(
    "name", ["Dr. Åse Œrsted 💡", "名前", "../../etc/passwd", "CON", "a" * 100, " padded "]
)
def test_any_readable_name_is_a_name(name):
    assert new_profile(name, MODEL).name == name.strip()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(slices)
def test_a_profile_reads_back_from_its_file_exactly(items):
    profile = profile_with(items).with_half_life(3.0)
    assert decode(encode(profile)) == profile
    assert encode(decode(encode(profile))) == encode(profile)


def test_a_file_says_in_words_what_it_holds(taught):
    text = encode(taught).decode()
    assert "larger than the consensus" in text and '"words": "larger, ' in text
    assert max(map(len, text.splitlines())) < 1500


def test_a_file_of_a_newer_version_is_refused_as_that(fresh):
    newer = encode(fresh).replace(b'"schema_version": 4', b'"schema_version": 5')
    with pytest.raises(OtherVersionError, match="update SPASegment"):
        decode(newer)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"schema_version": 4', b'"schema_version": "4"'),
        (b'"schema_version": 4', b'"schema_version": -1'),
        (b'"half_life": null', b'"half_life": NaN'),
        (b'"half_life": null', b'"half_life": 1e999'),
        (b'"half_life": null', b'"half_life": -3'),
        (b'"half_life": null', b'"half_life": null, "surprise": 1'),
        (b'"spasegment-profile"', b'"something else"'),
        (b'"components": 8', b'"components": 7'),
        (b'"components": 8', b'"components": 8.0'),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_called_damaged(taught, old, new):
    data = encode(taught)
    assert data.count(old) >= 1
    with pytest.raises(DamagedProfileError):
        decode(data.replace(old, new, 1))


def test_every_truncation_of_a_file_is_noticed(fresh):
    data = encode(fresh).rstrip()
    for length in range(len(data)):
        with pytest.raises(DamagedProfileError):
            decode(data[:length])


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_a_version_that_was_never_released_is_refused_as_that(fresh, version):
    older = encode(fresh).replace(b'"schema_version": 4', b'"schema_version": %d' % version)
    with pytest.raises(OtherVersionError, match=f"schema version {version}.*knows version 4"):
        decode(older)


def an_approval(area: float | None, day: int, weight: float = 1.0) -> SliceEvidence:
    date = DAY + timedelta(days=day)
    return SliceEvidence(
        id=new_id(), image=f"{day:032x}", date=date, outcome="approved", approved_mm2=area, weight=weight
    )


def test_the_usual_area_is_that_of_what_was_approved():
    assert profile_with([]).usual_area() is None
    assert profile_with([an_approval(None, 0), an_approval(0.0, 1)]).usual_area() is None
    one = profile_with([an_approval(100.0, 0)]).usual_area()
    assert one.log_mm2 == pytest.approx(np.log(100))
    assert one.deviation == pytest.approx(DEFAULT.area_deviation * np.sqrt(2 / 3 * 2)), "one says little"
    alike = profile_with([an_approval(100.0, n) for n in range(20)]).usual_area()
    spread = profile_with([an_approval(10.0 ** (1 + n % 3), n) for n in range(20)]).usual_area()
    assert alike.deviation < 0.4 * one.deviation < spread.deviation
    logs = np.log([10.0 ** (1 + n % 3) for n in range(20)])
    assert spread.log_mm2 == pytest.approx(logs.mean())
    prior = DEFAULT.area_counts * DEFAULT.area_deviation**2
    variance = (((logs - logs.mean()) ** 2).sum() + prior) / (20 + DEFAULT.area_counts) * 21 / 20
    assert spread.deviation == pytest.approx(np.sqrt(variance))


def test_the_usual_area_forgets_and_weighs_as_the_evidence_does():
    items = [*(an_approval(100.0, n) for n in range(6)), *(an_approval(1000.0, 6 + n) for n in range(6))]
    profile = profile_with(items)
    assert profile.usual_area().log_mm2 == pytest.approx(np.log(100) / 2 + np.log(1000) / 2)
    assert profile.with_half_life(1.0).usual_area().log_mm2 > np.log(950)
    light = profile_with([an_approval(100.0, 0), an_approval(1000.0, 1, weight=0.01)])
    assert light.usual_area().log_mm2 < np.log(105)
    assert profile.retract(items[0].id).usual_area().log_mm2 > profile.usual_area().log_mm2
