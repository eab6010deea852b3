from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from SPASegmentLib.cli.profile_pictures import draw_comparison, draw_profile
from SPASegmentLib.cli.slice_comparison import compare_on_slice
from SPASegmentLib.errors import ProfileError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.profiles.comparison import compare, jensen_shannon
from SPASegmentLib.profiles.learning import evidence_of
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import ModelReference
from SPASegmentLib.reporting.overlay import ADDED, REMOVED


@pytest.fixture(scope="module")
def small_minded(engine, fresh, disc, a_user) -> Profile:
    """A user who wants discs a quarter smaller than they are bright."""
    profile = fresh.copy_as("Dr. B")
    for n in range(4):
        session = a_user(engine, disc(9 + n, n), 0.75, profile.log_prior(), n)
        profile = profile.commit(evidence_of(profile, session))
    return profile


@pytest.fixture
def request_for_a_disc(disc) -> ProposalRequest:
    return ProposalRequest(disc(11, 50), (PointPrompt(24, 24),))


def test_a_profile_compared_with_itself_does_not_differ(taught):
    comparison = compare(taught, taught)
    assert comparison.divergence == 0.0 and comparison.shared_images == taught.n_images
    assert "as good as the same" in comparison.sentence


def test_opposed_profiles_are_told_apart_in_numbers(taught, small_minded):
    comparison = compare(taught, small_minded)
    assert comparison.divergence > 0.7 and "opposed" in comparison.sentence
    assert comparison.changes[0] > 0 > comparison.changes[1]
    assert comparison.images == (12, 4) and comparison.shared_images == 0


def test_profiles_of_different_models_are_compared_as_far_as_that_goes(taught):
    other = new_profile("other", ModelReference(name="m", hash="h", components=3))
    assert compare(taught, other).divergence is None
    assert "different models" in compare(taught, other).sentence


def test_the_masks_of_two_profiles_on_one_slice(engine, taught, small_minded, request_for_a_disc):
    result = compare_on_slice(engine, request_for_a_disc, taught, small_minded)
    first, second, without = result.areas
    assert first > without > second and result.dice < 0.8
    assert first - second == pytest.approx(result.only_first - result.only_second)
    same = compare_on_slice(engine, request_for_a_disc, taught, taught)
    assert same.dice == 1.0 and same.only_first == same.only_second == 0.0


def test_each_profile_is_asked_about_with_its_usual_area(engine, taught, small_minded, request_for_a_disc):
    asked = []

    class Asked:
        model = engine.model

        def propose(self, request, cancel=None):
            asked.append(request.usual_area)
            return engine.propose(request, cancel)

    compare_on_slice(Asked(), request_for_a_disc, taught, small_minded)
    assert asked == [taught.usual_area(), small_minded.usual_area(), None] and None not in asked[:2]


def test_masks_are_compared_only_on_the_profiles_own_model(another_engine, taught, request_for_a_disc):
    with pytest.raises(ProfileError, match="says nothing about"):
        compare_on_slice(another_engine, request_for_a_disc, taught, taught)


def test_divergence_is_that_of_jensen_and_shannon():
    p, q = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.5, 0.5])
    assert jensen_shannon(p, q) == pytest.approx(1.0)
    assert jensen_shannon(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == pytest.approx(0.3112781, abs=1e-6)


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture[..., :3] * 255 - np.array(colour)).max(axis=-1) < 3).any())


def test_the_picture_shows_what_the_second_profile_removes(
    engine, taught, small_minded, request_for_a_disc, tmp_path: Path
):
    result = compare_on_slice(engine, request_for_a_disc, taught, small_minded)
    image, points = request_for_a_disc.image, request_for_a_disc.points
    draw_comparison(result, image, points, tmp_path / "differ.png")
    picture = imread(tmp_path / "differ.png")
    assert has_colour(picture, REMOVED.line) and not has_colour(picture, ADDED.line)


@pytest.mark.parametrize("which", ["fresh", "taught", "nameless"])
def test_every_profile_can_be_drawn(which, fresh, taught, tmp_path: Path):
    nameless = new_profile("$x$ & <b>", ModelReference(name="m", hash="h", components=1))
    draw_profile({"fresh": fresh, "taught": taught, "nameless": nameless}[which], tmp_path / "p.png")
    picture = imread(tmp_path / "p.png")
    assert picture.shape[:2] == (900, 1380) and picture[..., :3].std() > 0.05


def test_a_taught_profile_looks_different_from_a_fresh_one(fresh, taught, tmp_path: Path):
    for profile, name in ((fresh, "a.png"), (taught, "b.png"), (taught, "c.png")):
        draw_profile(profile, tmp_path / name)
    first, second, third = (imread(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    assert np.abs(first - second).mean() > 0.01 and np.array_equal(second, third)


def test_a_picture_that_cannot_be_written_is_reported(fresh, tmp_path: Path):
    with pytest.raises(ProfileError, match="choose another file"):
        draw_profile(fresh, tmp_path / "none" / "p.png")
