from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from SPASegmentLib.cli.trend import trend
from SPASegmentLib.inference.describe import describe
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import AnswerRecord, ModelReference, Shown, SliceEvidence, new_id
from SPASegmentLib.profiles.summary import drift, summarise, tendency

DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)


def shown(words: str) -> Shown:
    """A candidate of that name; what it is comes first in it."""
    kind = "without part" if words.startswith("without") else words.split()[0].rstrip(",")
    return Shown(words=words, kind=kind, area_mm2=9.0, added_percent=0.0, removed_percent=0.0, support=0.25)


def a_slice(
    n: int,
    change: float | None = None,
    picks: tuple[tuple[tuple[str, ...], int | None], ...] = (),
    row: tuple[float, ...] = (),
    beside: tuple[str, ...] | None = (),
) -> SliceEvidence:
    return SliceEvidence(
        id=new_id(),
        image=f"{n:032x}",
        date=DAY + timedelta(hours=n),
        outcome="approved",
        picks=tuple(
            AnswerRecord(recommended_mm2=10.0, shown=tuple(map(shown, kinds)), picked=picked)
            for kinds, picked in picks
        ),
        approval=row,
        beside=None if beside is None else tuple(map(shown, beside)),
        first_mm2=None if change is None else 100.0,
        consensus_mm2=None if change is None else 100.0,
        approved_mm2=None if change is None else 100.0 * (1 + change),
    )


def profile_of(*slices: SliceEvidence) -> Profile:
    profile = new_profile("Dr. A", ModelReference(name="m", hash="h", components=3))
    for item in slices:
        profile = profile.commit(item)
    return profile


def test_a_fresh_profile_says_it_has_learnt_nothing():
    assert summarise(profile_of()) == ("Nothing learnt yet.",)


def test_size_is_told_against_the_consensus_over_the_images():
    changes = [0.14, 0.10, 0.20, 0.13, 0.15]
    profile = profile_of(*(a_slice(n, change) for n, change in enumerate(changes)))
    assert summarise(profile)[0] == "Masks 14% larger than the consensus over 5 images."
    assert tendency(profile.slices)[0] == pytest.approx(0.14)


@pytest.mark.parametrize(
    ("change", "words"),
    [(-0.25, "Masks 25% smaller than"), (0.01, "Masks about as large as"), (None, "areas are not known")],
)
def test_size_in_other_words(change, words):
    assert words in summarise(profile_of(a_slice(0, change)))[0]


def test_the_size_of_what_is_meant_is_told_once_some_were_approved():
    changes = [0.0, 0.02, -0.02, 0.01]
    told = [summarise(profile_of(*(a_slice(n, c) for n, c in enumerate(changes[:k])))) for k in (2, 4)]
    assert not any("Expects" in sentence for sentence in told[0])
    assert "Expects objects of about 100 mm², 49 to 204 as a rule." in told[1]


RIM = "larger, +12%: adds the rim"
LESS_RIM = "smaller, -9%: drops the rim"
NO_PART = "without a part, -18 mm2"


def test_the_rim_explains_why_masks_are_larger():
    picked = [a_slice(n, 0.14, (((RIM, LESS_RIM), 0),)) for n in range(7)]
    declined = [a_slice(n + 7, 0.14, beside=(RIM, LESS_RIM)) for n in range(2)]
    not_offered = [a_slice(n + 9, 0.14, beside=("larger, +5%: grows at the left",)) for n in range(14)]
    sentences = summarise(profile_of(*picked, *declined, *not_offered))
    expected = "Includes the rim (7 of 9 times): masks 14% larger than the consensus over 23 images."
    assert sentences[0] == expected
    assert not any("Leaves out the rim" in sentence for sentence in sentences), "it was never picked"


def test_the_rim_explains_neither_smaller_masks_nor_what_was_seldom_picked():
    smaller = profile_of(*(a_slice(n, -0.2, (((RIM,), 0),)) for n in range(5)))
    assert summarise(smaller)[:2] == (
        "Masks 20% smaller than the consensus over 5 images.",
        "Includes the rim: 5 of 5 times.",
    )
    few = profile_of(*(a_slice(n, 0.2, (((RIM,), 0),)) for n in range(4)))
    assert summarise(few)[0] == "Masks 20% larger than the consensus over 4 images."
    picked = [a_slice(n, 0.2, (((RIM,), 0),)) for n in range(2)]
    seldom = profile_of(*picked, *(a_slice(n + 2, 0.2, beside=(RIM,)) for n in range(4)))
    assert summarise(seldom)[:2] == (
        "Masks 20% larger than the consensus over 6 images.",
        "Includes the rim: 2 of 6 times.",
    )


def test_parts_are_counted_by_slice_where_they_were_offered():
    offered = ("larger, +12%", NO_PART, "smaller, -5%")
    left_out = [a_slice(n, 0.0, ((offered, 1),)) for n in range(9)]
    kept = [a_slice(n + 9, 0.0, ((offered, 0), (offered, None))) for n in range(2)]
    never = [a_slice(n + 20, 0.0, ((("larger, +12%", "smaller, -5%"), 0),)) for n in range(4)]
    sentences = summarise(profile_of(*left_out, *kept, *never))
    assert "Leaves out attached parts: 9 of 11 times." in sentences
    assert "Picked larger than recommended at the time 6 times, smaller 0 times." in sentences
    assert not any("Includes" in sentence or "separate" in sentence for sentence in sentences)


def test_an_approval_beside_an_offer_turns_it_down():
    picked = [a_slice(n, 0.0, (((NO_PART,), 0),)) for n in range(3)]
    approved = [a_slice(n + 3, 0.0, beside=(NO_PART, RIM)) for n in range(30)]
    assert "Leaves out attached parts: 3 of 33 times." in summarise(profile_of(*picked, *approved))


def test_slices_of_which_the_last_offers_are_not_known_count_for_nothing():
    picked = [a_slice(n, 0.0, (((NO_PART,), 0),), beside=None) for n in range(9)]
    assert not any("parts" in sentence for sentence in summarise(profile_of(*picked)))
    taken = [item.model_copy(update={"outcome": "taken"}) for item in picked]
    assert "Leaves out attached parts: 9 of 9 times." in summarise(profile_of(*taken))


def test_what_was_done_and_undone_on_a_slice_speaks_for_neither():
    changed = profile_of(*(a_slice(n, 0.1, (((RIM,), 0), ((LESS_RIM,), 0))) for n in range(5)))
    assert not any("rim" in sentence for sentence in summarise(changed))


def test_an_offer_made_once_is_no_habit():
    profile = profile_of(a_slice(0, 0.0, (((NO_PART,), 0),)))
    assert not any("part" in sentence for sentence in summarise(profile))


def a_disc(radius: float, col: float = 32.0) -> np.ndarray:
    rows, cols = np.mgrid[:64, :64]
    return np.hypot(rows - 32, cols - col) <= radius


@pytest.mark.parametrize(
    ("recommendation", "candidate", "habit"),
    [
        (a_disc(15), a_disc(17), "Includes the rim"),
        (a_disc(17), a_disc(15), "Leaves out the rim"),
        (a_disc(10), a_disc(18), "Reaches further all around"),
        (a_disc(18), a_disc(10), "Stays further inside"),
        (a_disc(10), a_disc(10) | a_disc(5, 55), "Includes separate parts"),
        (a_disc(10) | a_disc(5, 55), a_disc(10), "Leaves out separate parts"),
        (a_disc(12) & ~a_disc(5), a_disc(12), "Fills holes"),
        (a_disc(12), a_disc(12) & ~a_disc(5), "Leaves holes open"),
    ],
)
def test_the_words_of_real_candidates_are_understood(recommendation, candidate, habit):
    name = describe(recommendation, candidate, (0.7, 0.7), 0.5).name
    profile = profile_of(*(a_slice(n, 0.0, (((name,), 0),)) for n in range(4)))
    assert f"{habit}: 4 of 4 times." in summarise(profile), name


def test_the_words_of_attached_parts_are_understood():
    arm = np.zeros((64, 64), dtype=bool)
    arm[31:34, 40:60] = True
    for before, after, habit in (
        (a_disc(10), a_disc(10) | arm, "Includes attached parts"),
        (a_disc(10) | arm, a_disc(10), "Leaves out attached parts"),
    ):
        name = describe(before, after, (0.7, 0.7), 0.5).name
        profile = profile_of(*(a_slice(n, 0.0, (((name,), 0),)) for n in range(4)))
        assert f"{habit}: 4 of 4 times." in summarise(profile), name


def test_a_profile_whose_recent_picks_contradict_it_says_so():
    old, new = (-0.1, -3.0, -3.0), (-3.0, -0.1, -3.0)
    steady = profile_of(*(a_slice(n, 0.0, row=old) for n in range(12)))
    turned = profile_of(*(a_slice(n, 0.0, row=old if n < 8 else new) for n in range(13)))
    assert drift(steady) == ""
    assert "contradict this profile" in drift(turned) and drift(turned) in summarise(turned)


def test_one_unusual_slice_is_no_drift():
    rows = [(-0.1, -3.0, -3.0)] * 11 + [(-9.0, -0.1, -9.0)]
    assert drift(profile_of(*(a_slice(n, 0.0, row=row) for n, row in enumerate(rows)))) == ""


def test_a_young_profile_does_not_warn_of_drift():
    rows = [(-0.1, -3.0, -3.0)] * 4 + [(-3.0, -0.1, -3.0)] * 5
    assert drift(profile_of(*(a_slice(n, 0.0, row=row) for n, row in enumerate(rows)))) == ""


def test_the_trend_has_a_step_for_every_slice_and_grows_surer(taught):
    steps = trend(taught)
    assert len(steps) == 12 and steps[-1].sure > 0.8 > steps[0].sure - 0.2
    assert steps[-1].sure == pytest.approx(taught.posterior().max())
    assert [step.picks for step in steps] == [len(item.picks) for item in taught.slices]
    assert steps[0].change == pytest.approx(steps[0].first_change)
    later = [abs(step.first_change) for step in steps[6:] if step.first_change is not None]
    assert np.mean(later) < abs(steps[0].first_change)
