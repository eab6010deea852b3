from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from SPASegmentLib.preference.profile import Profile, new_profile
from SPASegmentLib.preference.records import ModelReference, PickRecord, Shown, SliceEvidence, new_id
from SPASegmentLib.preference.summary import drift, summarise, tendency, trend

DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)


def shown(kind: str) -> Shown:
    return Shown(words=kind, kind=kind, area_mm2=9.0, added_percent=0.0, removed_percent=0.0, support=0.25)


def a_slice(
    n: int,
    change: float | None = None,
    picks: tuple[tuple[tuple[str, ...], int | None], ...] = (),
    row: tuple[float, ...] = (),
) -> SliceEvidence:
    return SliceEvidence(
        id=new_id(),
        image=f"{n:032x}",
        date=DAY + timedelta(hours=n),
        outcome="approved",
        picks=tuple(
            PickRecord(recommended_mm2=10.0, shown=tuple(map(shown, kinds)), picked=picked)
            for kinds, picked in picks
        ),
        approval=row,
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


def test_parts_are_counted_by_slice_where_they_were_offered():
    offered = ("larger", "without part", "smaller")
    left_out = [a_slice(n, 0.0, ((offered, 1),)) for n in range(9)]
    kept = [a_slice(n + 9, 0.0, ((offered, 0), (offered, None))) for n in range(2)]
    never = [a_slice(n + 20, 0.0, ((("larger", "smaller"), 0),)) for n in range(4)]
    sentences = summarise(profile_of(*left_out, *kept, *never))
    assert "Leaves out parts: 9 of 11 times." in sentences
    assert "Picked larger than recommended at the time 6 times, smaller 0 times." in sentences
    assert not any("Includes further parts" in sentence for sentence in sentences)


def test_an_offer_made_once_is_no_habit():
    profile = profile_of(a_slice(0, 0.0, ((("without part",), 0),)))
    assert not any("part" in sentence for sentence in summarise(profile))


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
