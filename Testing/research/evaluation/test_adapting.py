"""The check of an adapted model: halves by volume, better on the own objects, no worse on nodules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.profiles.approvals import ApprovedObject
from SPASegmentLib.research.evaluation import adapting
from SPASegmentLib.research.evaluation.adapting import (
    ALLOWED_LOSS,
    Adaptation,
    Judged,
    adapt,
    lidc_objects,
    split_by_group,
)
from SPASegmentLib.research.training.adapting import Recipe


def an_object(radius: float, group: str, seed: int = 0) -> ApprovedObject:
    rows, cols = np.mgrid[:96, :96]
    mask = np.hypot(rows - 48, cols - 48) < radius
    noise = np.random.default_rng(seed).normal(0, 0.02, mask.shape)
    pixels = np.clip(0.2 + 0.5 * mask + noise, 0, 1).astype(np.float32)
    return ApprovedObject(SliceImage(pixels, (1.0, 1.0), "CT"), mask, (48, 48), group)


def test_no_volume_is_in_both_halves() -> None:
    objects = [an_object(9, group) for group in "aaabbcdd"]
    halves = split_by_group(objects)
    groups = [{one.group for one in half} for half in halves]
    assert groups[0] & groups[1] == set() and groups[0] | groups[1] == set("abcd")
    assert sorted(map(len, halves)) == [4, 4]


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ("a", "There is one approved object; keep at least 4"),
        ("abc", "at least 4"),
        ("aaaaaa", "objects of several volumes"),
    ],
)
def test_too_few_objects_or_volumes_are_refused(groups: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_by_group([an_object(9, group) for group in groups])


def judged(before: float, after: float) -> Judged:
    return Judged(np.array([before, before]), np.array([after, after]))


@pytest.mark.parametrize(
    ("own", "lidc", "reasons"),
    [
        (judged(0.5, 0.6), judged(0.87, 0.87 - ALLOWED_LOSS + 1e-6), 0),
        (judged(0.5, 0.6), judged(0.87, 0.87 - ALLOWED_LOSS - 1e-6), 1),
        (judged(0.5, 0.5), None, 1),
        (judged(0.5, 0.4), judged(0.87, 0.5), 2),
    ],
)
def test_what_is_not_better_or_forgets_nodules_is_refused(
    own: Judged, lidc: Judged | None, reasons: int
) -> None:
    assert len(Adaptation({}, 1.0, own, lidc).refusals()) == reasons


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[list[ApprovedObject]]:
    """What each training learnt from; in place of it the first weight becomes 1."""
    learnt: list[list[ApprovedObject]] = []

    def adapted(start, objects, recipe, console):
        learnt.append(list(objects))
        return {"w": torch.tensor([1.0])}

    monkeypatch.setattr(adapting, "adapted_state", adapted)
    monkeypatch.setattr(adapting, "load_checkpoint", lambda path: ({"w": torch.tensor([0.0])}, None))
    return learnt


def test_each_object_is_judged_by_a_model_that_did_not_learn_from_it(
    states: list[list[ApprovedObject]], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [an_object(9, group) for group in "abcd"]
    asked: list[tuple[float, list[ApprovedObject]]] = []

    def dice(state, header, some):
        asked.append((float(state["w"]), list(some)))
        return np.array([objects.index(one) + float(state["w"]) for one in some])

    monkeypatch.setattr(adapting, "dice_after_click", dice)
    found = adapt(Path("x"), objects, Recipe(), Console(quiet=True))
    assert [len(some) for some in states] == [4, 2, 2]
    judges = [some for weight, some in asked if weight == 1.0]
    for learnt, judged_ in zip(states[1:], judges, strict=True):
        assert {id(one) for one in learnt} & {id(one) for one in judged_} == set()
    assert found.own.before.tolist() == [0, 1, 2, 3] and found.own.after.tolist() == [1, 2, 3, 4]
    assert found.share == 1.0 and found.lidc is None


def test_the_change_is_halved_until_nodules_allow_it(
    states: list[list[ApprovedObject]], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, nodules = [an_object(9, group) for group in "abcd"], [an_object(5, "n")]

    def dice(state, header, some):
        loss = 0.009 if some == nodules else -0.1
        return np.full(len(some), 0.8 - loss * float(state["w"]))

    monkeypatch.setattr(adapting, "dice_after_click", dice)
    found = adapt(Path("x"), objects, Recipe(), Console(quiet=True), nodules)
    assert found.share == 0.5 and float(found.state["w"]) == 0.5
    assert found.own.gain == pytest.approx(0.05) and found.refusals() == []


@pytest.mark.long
def test_a_real_network_is_adapted_and_judged(a_model: Path) -> None:
    objects = [an_object(8 + n, group, n) for n, group in enumerate("abcd")]
    found = adapt(a_model, objects, Recipe(steps=2, batch=2), Console(quiet=True), objects[:1])
    assert found.own.before.shape == found.own.after.shape == (4,)
    assert found.lidc is not None and 0 < found.lidc.before[0] <= 1


@pytest.mark.data
def test_nodules_come_from_the_val_split(data_dir: Path) -> None:
    found = lidc_objects([data_dir / "lidc-val-0.zip"], 3)
    assert len(found) == 3
    assert all(one.mask[one.click] and one.image.modality == "CT" for one in found)
