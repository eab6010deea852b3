"""Whole objects as cases, their users, and what is written down of them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.errors import DatasetError, InputError, SPASegmentError
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.candidates import assemble, clean_mask
from SPASegmentLib.inference.messages import CancelToken, Feedback, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.research.datasets.object_cases import ObjectCase, ObjectCases, open_objects
from SPASegmentLib.research.evaluation.editor_tools import INNER, OUTER, grown, interpolated, painted
from SPASegmentLib.research.evaluation.metrics import dice
from SPASegmentLib.research.evaluation.object_users import ObjectUser
from SPASegmentLib.research.evaluation.surfaces import surface_dice
from SPASegmentLib.research.evaluation.whole_object import end_error, evaluate_objects

SIZE = 64
ROWS, COLS = np.mgrid[:SIZE, :SIZE]
SPACING = (2.0, 1.0, 1.0)


class WideEngine:
    """Takes what is bright for the object and a rim around it; candidates without the rim and wider."""

    def __init__(self, broken: bool = False) -> None:
        self.model = ModelInfo("wide", "hash of wide", 2, "nothing")
        self.broken = broken
        self.asked = 0

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """The bright part, as far as the last pick says."""
        self.asked += 1
        if self.broken:
            raise InputError("It is broken.")
        bright = ndimage.gaussian_filter(request.image.pixels, 1) > 0.5
        picked = [one.picked for one in request.answered if one.picked is not None]
        masks = [ndimage.binary_dilation(bright, iterations=n) if n else bright for n in (4, 2, 0)]
        mask = clean_mask(masks[1] if not picked else masks[2])
        shown, reason = assemble(mask, [masks[0], masks[2]], [0.5, 0.5], spacing=request.image.spacing)
        samples = np.repeat((mask * 255).astype(np.uint8)[None], 4, axis=0)
        region = Region((SIZE / 2, SIZE / 2), float(SIZE), SIZE)
        clusters = np.stack([(one.mask * 255).astype(np.uint8) for one in shown]) if shown else samples[:0]
        feedback = Feedback(
            region, samples, np.zeros(4, int), clusters, samples[0], np.zeros((len(shown), 2))
        )
        probability = np.where(mask, 0.95, 0.05).astype(np.float32)
        return Proposal(mask, probability, shown, feedback, float(mask.sum()), reason, expected_dice=0.9)


def a_case(name: str = "a", depth: int = 14, low: int = 3, high: int = 9) -> ObjectCase:
    middle, half = (low + high) / 2, (high - low) / 2 + 0.7
    radii = [14 * np.sqrt(max(0.0, 1 - ((k - middle) / half) ** 2)) for k in range(depth)]
    target = np.stack([np.hypot(ROWS - 32, COLS - 32) < r for r in radii])
    noise = np.random.default_rng(0).normal(0, 0.02, target.shape)
    pixels = np.clip(0.2 + 0.6 * target + noise, 0, 1).astype(np.float32)
    return ObjectCase(name, f"patient {name}", pixels, target, SPACING, f"group {name}")


def the_cases() -> ObjectCases:
    cases = {name: partial(a_case, name, low=low) for name, low in (("a", 3), ("b", 2), ("c", 4))}
    return ObjectCases("made up", {**cases, "short": partial(a_case, "short", low=5, high=6)})


def test_picks_and_reviews_cost_what_they_cost_and_help():
    found = ObjectUser(WideEngine(), a_case()).run()
    none, picks, review, over = (found[user] for user in ("none", "picks", "review", "carry-over"))
    assert (none.keys, none.clicks) == (2, 1)
    assert (picks.keys, picks.clicks) == (4, 1)
    assert picks.actions <= review.actions <= picks.actions + 3 * 4
    assert over.actions == 1 + 2 + 1 + 2 * over.slices
    target = a_case().target
    overlap = {user: dice(one.mask, target) for user, one in found.items()}
    assert overlap["none"] < overlap["picks"] <= overlap["review"] + 1e-9
    assert overlap["picks"] > 0.85
    assert none.seconds > 2 * 1.63 + 2.65


@pytest.mark.long
def test_results_hold_every_user_with_intervals_by_group_and_go_on_after_a_kill(tmp_path: Path):
    engine = WideEngine()
    results = evaluate_objects({"wide": lambda: engine}, the_cases(), out=tmp_path)
    written = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert written == results
    model = results["models"]["wide"]
    assert model["cases"] == 3, "an object on two slices is no case"
    assert {"none", "picks", "review", "carry-over"} <= set(model["whole_object"])
    mean, low, high = model["whole_object"]["picks"]["dice"]
    assert 0 <= low <= mean <= high <= 1
    assert set(model["by_group"]) == {"group a", "group b", "group c"}
    (records,) = (tmp_path / "cases").iterdir()
    lines = records.read_text(encoding="utf-8").splitlines(keepends=True)
    records.write_text("".join([lines[0], *lines[2:]]) + lines[1][:20])
    asked = engine.asked
    again = evaluate_objects({"wide": lambda: engine}, the_cases(), out=tmp_path)
    one = engine.asked - asked
    assert 0 < one < asked / 2, "only the case that was cut short is computed"
    for user in ("none", "picks", "review"):
        assert again["models"]["wide"]["whole_object"][user]["dice"] == model["whole_object"][user]["dice"]


@pytest.mark.long
def test_a_limit_takes_so_many_objects_and_an_engine_that_fails_has_nothing():
    limited = evaluate_objects({"wide": WideEngine}, the_cases(), limit=2)
    assert limited["models"]["wide"]["cases"] == 2
    broken = evaluate_objects({"wide": partial(WideEngine, broken=True)}, the_cases(), limit=1)
    assert broken["models"]["wide"]["errors"] == 1
    assert broken["models"]["wide"]["whole_object"]["none"]["dice"] == [0, 0, 0]
    with pytest.raises(SPASegmentError, match="no object on enough slices"):
        evaluate_objects({"wide": WideEngine}, ObjectCases("none", {"short": partial(a_case, low=5, high=6)}))


def test_ends_are_missed_by_slices():
    target = a_case().target
    shifted = np.roll(target, 2, axis=0)
    assert end_error(target, target) == 0
    assert end_error(shifted, target) == 2
    assert end_error(np.zeros_like(target), target) == 3.5


def test_surfaces_agree_within_a_tolerance_in_millimetres():
    target = np.zeros((20, 20, 20), bool)
    target[5:15, 5:15, 5:15] = True
    along = np.roll(target, 1, axis=0)
    assert surface_dice(target, target, SPACING, (1.0,)) == [1.0]
    near, far = surface_dice(along, target, SPACING, (1.0, 2.0))
    assert near < 0.9
    assert far == pytest.approx(1.0)
    assert surface_dice(along, target, (1.0, 1.0, 1.0), (1.0,)) == [pytest.approx(1.0)]
    assert surface_dice(np.zeros_like(target), target, SPACING, (1.0, 2.0)) == [0.0, 0.0]


def test_slices_between_drawn_ones_are_interpolated():
    pytest.importorskip("itk")
    target = a_case().target
    found = interpolated(target, 3)
    assert found is not None
    assert dice(found.mask, target) > 0.9
    assert (found.keys, found.clicks) == (6, 3 + 2), "seven slices, three of them drawn"


def test_strokes_lie_in_the_object_and_around_it():
    target = a_case().target
    seeds, strokes = painted(target)
    assert strokes == 4
    assert target[seeds == INNER].all() and not target[seeds == OUTER].any()
    assert list(np.flatnonzero((seeds == OUTER).any(axis=(1, 2)))) == [2, 6, 10]
    assert painted(target[3:])[1] == 3, "the volume ends where the object does"


@pytest.mark.long
def test_an_object_grows_from_seeds():
    pytest.importorskip("slicer")
    case = a_case()
    found = grown(case)
    assert found is not None
    assert dice(found.mask, case.target) > 0.9
    assert (found.keys, found.clicks) == (8, 4 + 3)


def test_a_data_set_without_volumes_has_no_objects(tmp_path: Path):
    with pytest.raises(DatasetError, match="holds no whole objects"):
        open_objects("bu-bil", [tmp_path], "all", 0)
