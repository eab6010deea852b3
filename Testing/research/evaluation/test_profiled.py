"""A saved profile, evaluated beside its model without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_toys import RecordingEngine, ToyDataset, ToyEngine, toy

from SPASegmentLib.errors import ProfileError, SPASegmentError
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import ModelReference
from SPASegmentLib.profiles.store import ProfileStore
from SPASegmentLib.research.evaluation import TransferOptions, run, run_transfer
from SPASegmentLib.research.evaluation.protocol import Options
from SPASegmentLib.research.evaluation.variants import with_profile


@pytest.fixture(scope="module")
def for_large_masks(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """What a transfer taught a profile of a user who always wants everything anybody drew."""
    out = tmp_path_factory.mktemp("taught")
    run_transfer(
        {"toy": toy()}, ToyDataset(24), Options(resamples=10), TransferOptions(("largest",), 4, 12), out=out
    )
    store = ProfileStore(out / "profiles")
    return store.load(store.names()[0]).renamed("Dr. A")


def test_the_first_model_is_reported_with_the_profile_and_without(for_large_masks: Profile, tmp_path: Path):
    engines = {"toy": toy(), "narrow": toy("narrow", step=0.3)}
    run(engines, ToyDataset(12, reverse=True), out=tmp_path, target="largest", profile=for_large_masks)
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(found["models"]) == ["toy", "narrow", "toy + Dr. A"]
    without, with_it = found["models"]["toy"], found["models"]["toy + Dr. A"]
    assert with_it["dice"]["1"] > without["dice"]["1"] + 0.02
    assert with_it["model"]["hash"] == without["model"]["hash"]
    assert with_it["model"]["profile"].startswith("Dr. A, ") and "profile" not in without["model"]
    assert "; profile Dr. A, " in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_it_is_the_prior_of_the_profile_that_reaches_the_engine(for_large_masks: Profile) -> None:
    recording = RecordingEngine()
    profile = for_large_masks.model_copy(update={"model": ModelReference.of(recording.model)})
    [factory] = with_profile({"recording": lambda: recording}, profile).values()
    run({"a": factory}, ToyDataset(2), report=False)
    assert len(recording.requests) > 2
    for request in recording.requests:
        assert request.log_prior is not None
        np.testing.assert_array_equal(request.log_prior, profile.log_prior())
        assert request.usual_area == profile.usual_area() is not None


def test_a_profile_that_learnt_more_since_is_another_evaluation(for_large_masks: Profile, tmp_path: Path):
    run({"toy": toy()}, ToyDataset(2), out=tmp_path, profile=for_large_masks, report=False)
    run({"toy": toy()}, ToyDataset(2), out=tmp_path, profile=for_large_masks, report=False)
    less = for_large_masks.retract(for_large_masks.slices[-1].id)
    with pytest.raises(SPASegmentError, match="another evaluation"):
        run({"toy": toy()}, ToyDataset(2), out=tmp_path, profile=less, report=False)


def test_the_profile_of_another_model_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    other = new_profile("Dr. B", ModelReference.of(ToyEngine("other").model))
    with pytest.raises(ProfileError, match="says nothing about"):
        run({"toy": toy()}, ToyDataset(2), out=tmp_path, profile=other)
    assert not list(tmp_path.iterdir())
