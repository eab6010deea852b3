"""An object followed through the slices from those a user approved."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.errors import Cancelled, InputError, StepError
from SPASegmentLib.imaging.types import Region, SliceImage
from SPASegmentLib.inference import carrying
from SPASegmentLib.inference.candidates import clean_mask
from SPASegmentLib.inference.carrying import CARRY, Appearance, carry, following
from SPASegmentLib.inference.fill import DIFFERS, MAY_END, ObjectFill
from SPASegmentLib.inference.messages import CancelToken, Feedback, ModelInfo, Proposal, ProposalRequest

SIZE = 96
ROWS, COLS = np.mgrid[:SIZE, :SIZE]


class BrightEngine:
    """Takes what is bright for the object, wherever the carried outline lies."""

    model = ModelInfo("bright", "hash of bright", 2, "nothing")

    def __init__(self, expected: float = 0.9) -> None:
        self.expected, self.asked = expected, 0

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """The pixels above 0.5."""
        if cancel is not None and cancel.is_set():
            raise Cancelled("Cancelled; nothing was changed.")
        self.asked += 1
        found = ndimage.gaussian_filter(request.image.pixels, 1)
        probability = (1 / (1 + np.exp(-20 * (found - 0.5)))).astype(np.float32)
        mask = clean_mask(probability >= 0.5)
        samples = np.repeat(np.round(probability * 255).astype(np.uint8)[None], 4, axis=0)
        region = Region((SIZE / 2, SIZE / 2), float(SIZE), SIZE)
        feedback = Feedback(region, samples, np.zeros(4, int), samples[:0], samples[0], np.zeros((0, 2)))
        return Proposal(mask, probability, (), feedback, float(mask.sum()), expected_dice=self.expected)


class Drawn:
    """A stack of drawn slices; what is asked for is counted."""

    step_mm = 2.0

    def __init__(self, truth: np.ndarray, pixels: np.ndarray | None = None) -> None:
        noise = np.random.default_rng(0).normal(0, 0.03, truth.shape)
        self.truth = truth
        self.pixels = np.clip((0.15 + 0.7 * truth if pixels is None else pixels) + noise, 0, 1)
        self.cut: list[int] = []

    def image(self, index: int) -> SliceImage | None:
        """One slice."""
        self.cut.append(index)
        return SliceImage(self.pixels[index]) if 0 <= index < len(self.pixels) else None

    def moved(self, mask: np.ndarray, index: int, to_index: int) -> np.ndarray:
        """All slices lie on the same pixels."""
        return mask


def disc(radius: float, row: float = 48, col: float = 48) -> np.ndarray:
    return np.hypot(ROWS - row, COLS - col) < radius


def ball(depth: int = 30, low: int = 8, high: int = 20) -> np.ndarray:
    """(depth, SIZE, SIZE) a ball that ends at two slices."""
    middle, half = (low + high) / 2, (high - low) / 2 + 0.5
    radii = [22 * np.sqrt(max(0.0, 1 - ((k - middle) / half) ** 2)) for k in range(depth)]
    return np.stack([disc(r) if r else np.zeros((SIZE, SIZE), bool) for r in radii])


def filled(stack: Drawn, *anchors: int, engine: BrightEngine | None = None) -> ObjectFill:
    fill = ObjectFill(engine or BrightEngine(), stack)
    for index in anchors:
        fill.approve(index, stack.truth[index])
    fill.complete()
    return fill


def overlap(fill: ObjectFill, truth: np.ndarray) -> float:
    volume = np.zeros_like(truth)
    for index, mask in fill.object.masks.items():
        volume[index] = mask
    return float(2 * (volume & truth).sum() / (volume.sum() + truth.sum()))


def test_an_object_is_followed_both_ways_and_ends_where_it_ends():
    truth = ball()
    fill = filled(Drawn(truth), 14)
    assert [one.index for one in fill.object.slices] == list(range(8, 21))
    assert overlap(fill, truth) > 0.95
    assert fill.object.volume_ml == pytest.approx(truth.sum() * 2.0 / 1000, rel=0.05)
    assert [one.anchor for one in fill.object.slices].count(True) == 1


def test_work_grows_with_the_object_and_not_with_the_volume():
    stack = Drawn(ball(depth=200))
    engine = BrightEngine()
    filled(stack, 14, engine=engine)
    assert engine.asked <= 12 * (1 + sum(CARRY.crossings)) + 2 * CARRY.absent_slices + 2
    assert max(stack.cut) <= 20 + (13 + 1) // 2


def test_one_slice_that_shows_nothing_does_not_end_an_object_but_two_do():
    truth = ball()
    pixels = 0.15 + 0.7 * truth
    pixels[17] = 0.15
    assert filled(Drawn(truth, pixels), 14).object.masks.keys() >= {16, 18, 19}
    pixels[18] = 0.15
    assert max(filled(Drawn(truth, pixels), 14).object.masks) == 16


def test_a_further_anchor_has_only_what_lies_next_to_it_computed_anew():
    stack, engine = Drawn(ball()), BrightEngine()
    fill = filled(stack, 14, engine=engine)
    below = {index: mask for index, mask in fill.object.masks.items() if index < 14}
    engine.asked = 0
    fill.approve(18, disc(9))
    anew = [one.index for one in fill.run()]
    assert min(anew) == 15
    assert engine.asked <= 8 * (1 + sum(CARRY.crossings)) + 2 + CARRY.absent_slices + 4
    after = fill.object.masks
    assert all(after[index] is mask for index, mask in below.items())
    assert np.array_equal(after[18], disc(9))
    engine.asked = 0
    fill.complete()
    assert engine.asked == 0


def test_between_two_anchors_the_nearer_one_counts_for_more():
    truth = np.repeat(disc(15)[None], 12, axis=0)
    stack = Drawn(truth, np.full(truth.shape, 0.5))  # nothing to see: only the outlines speak
    fill = ObjectFill(BrightEngine(expected=0.0), stack)
    fill.approve(1, disc(10))
    fill.approve(9, disc(24))
    areas = [int(one.mask.sum()) for one in fill.complete().slices if 1 <= one.index <= 9]
    assert areas == sorted(areas)
    assert areas[1] < (areas[0] + areas[-1]) / 2 < areas[-2]


def test_an_end_that_the_user_names_holds_in_both_directions():
    truth = ball()
    fill = filled(Drawn(truth), 14)
    fill.end(17)
    fill.end(11)
    fill.complete()
    assert [one.index for one in fill.object.slices] == list(range(11, 18))
    longer = filled(Drawn(truth, np.where(np.arange(30)[:, None, None] < 16, 0.15 + 0.7 * truth, 0.15)), 14)
    assert max(longer.object.masks) == 15
    longer.end(10)
    longer.approve(18, truth[18])
    assert max(longer.complete().masks) >= 18


def test_parts_and_holes_follow_the_approved_slice():
    outline = disc(20) & ~disc(6)
    satellite = disc(5, 12, 12)
    assert np.array_equal(following(disc(19) & ~disc(5) | satellite, outline), disc(19) & ~disc(5))
    assert np.array_equal(following(disc(19) & ~disc(5), disc(20)), disc(19)), "a hole the user had filled"
    both = disc(10, 30, 48) | disc(10, 70, 48)
    assert np.array_equal(following(both, both), both)
    truth = np.repeat((disc(15) | satellite)[None], 5, axis=0)
    stack = Drawn(truth)
    fill = ObjectFill(BrightEngine(), stack)
    fill.approve(2, disc(15))
    for mask in fill.complete().masks.values():
        assert not (mask & satellite).any()


def test_doubtful_slices_come_first_with_a_reason_and_approved_ones_not_at_all():
    truth = ball()
    truth[17:20], truth[20] = disc(5, 48, 40), False
    fill = filled(Drawn(truth), 14)
    found = {one.index: one.reason for one in fill.object.doubtful}
    assert found[17] == DIFFERS or found[17] == MAY_END
    assert 14 not in found
    expected = [one.expected_dice for one in fill.object.doubtful]
    assert expected == sorted(expected)
    fill.approve(17, truth[17])
    assert 17 not in {one.index for one in fill.complete().doubtful}


def test_cancelling_keeps_what_was_computed_and_what_was_approved():
    fill = ObjectFill(BrightEngine(), Drawn(ball()))
    fill.approve(14, ball()[14])
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        for one in fill.run(cancel):
            if one.index == 16:
                cancel.set()
    assert fill.anchors.keys() == {14}
    assert set(fill.object.masks) == set(range(8, 15))
    assert set(fill.complete().masks) == set(range(8, 21))


def test_what_cannot_be_filled_is_refused_in_a_sentence():
    fill = ObjectFill(BrightEngine(), Drawn(ball()))
    for act in (fill.complete, lambda: fill.end(3), lambda: fill.carried(3)):
        with pytest.raises(StepError, match="approve"):
            act()
    for index, mask in ((14, disc(0)), (99, disc(3)), (14, np.ones((4, 4)))):
        with pytest.raises(InputError, match="approve"):
            fill.approve(index, mask)


def test_where_the_network_is_unsure_the_outline_counts_and_where_it_is_sure_it_does_not():
    image = SliceImage(np.full((SIZE, SIZE), 0.5) + np.random.default_rng(0).normal(0, 0.01, (SIZE, SIZE)))
    look = Appearance(image, disc(15))
    unsure, sure = (carry(BrightEngine(e), image, disc(15), [look]) for e in (0.0, 0.95))
    assert 2 * (unsure.mask & disc(15)).sum() / (unsure.mask.sum() + disc(15).sum()) > 0.95
    assert not np.array_equal(sure.mask, unsure.mask)


def test_what_looks_like_the_surroundings_is_probably_absent():
    image = SliceImage(np.where(disc(15), 0.8, 0.2) + np.random.default_rng(0).normal(0, 0.02, (SIZE, SIZE)))
    look = Appearance(image, disc(15))
    there = carry(BrightEngine(0.5), image, disc(15), [look])
    dark = SliceImage(np.where(disc(15), 0.52, 0.2) - 0.0)
    gone = SliceImage(np.full((SIZE, SIZE), 0.2) + np.random.default_rng(0).normal(0, 0.02, (SIZE, SIZE)))
    assert there.presence > 0.9
    assert carry(BrightEngine(0.5), dark, disc(15), [look]).presence < there.presence
    assert carry(BrightEngine(0.5), gone, disc(15), [look]).presence < 0.5


def test_from_its_state_it_goes_on_without_computing_anything_again():
    stack = Drawn(ball())
    one = filled(stack, 14, 17)
    one.end(19)
    one.complete()
    again = ObjectFill.resumed(engine := BrightEngine(), stack, one.state)
    assert list(again.run()) == [] and engine.asked == 0
    for before, after in zip(one.object.slices, again.object.slices, strict=True):
        assert (before.index, before.reason, before.anchor) == (after.index, after.reason, after.anchor)
        assert before.expected_dice == after.expected_dice
        np.testing.assert_array_equal(before.mask, after.mask)
    for fill in (one, again):
        fill.approve(11, disc(9))
    assert [slice_.index for slice_ in again.run()] == [slice_.index for slice_ in one.run()] != []
    for index, mask in one.object.masks.items():
        np.testing.assert_array_equal(mask, again.object.masks[index])
    assert max(again.object.masks) == 19


def test_there_is_no_state_before_all_is_computed():
    fill = ObjectFill(BrightEngine(), Drawn(ball()))
    fill.approve(14, disc(20))
    with pytest.raises(StepError, match="still being followed"):
        _ = fill.state


class CarryingEngine(BrightEngine):
    """Sees on the slices only what was carried to them, and across them what is bright."""

    def __init__(self) -> None:
        super().__init__(expected=0.9)
        self.across: list[ProposalRequest] = []
        self.cancel_across: threading.Event | None = None

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """The carried outline on a whole slice, the pixels above 0.5 across."""
        shown = request.image
        assert request.carried is not None
        if shown.shape == (SIZE, SIZE):
            return super().propose(
                replace(request, image=replace(shown, pixels=request.carried.mask)), cancel
            )
        self.across.append(request)
        if self.cancel_across is not None:
            self.cancel_across.set()
        return super().propose(request, cancel)


class Drifting(Drawn):
    """Slices whose pixels lie a column further on each, as those of a slanted volume do."""

    def __init__(self, truth: np.ndarray) -> None:
        super().__init__(truth)
        self.pixels = np.stack([np.roll(one, 14 - k, axis=1) for k, one in enumerate(self.pixels)])

    def moved(self, mask: np.ndarray, index: int, to_index: int) -> np.ndarray:
        return np.roll(mask, index - to_index, axis=1)


def followed(stack: Drawn, engine: BrightEngine, mask: np.ndarray) -> ObjectFill:
    fill = ObjectFill(engine, stack)
    fill.approve(14, mask)
    return fill


def test_ends_that_following_does_not_see_are_seen_across(monkeypatch):
    truth = ball()
    monkeypatch.setattr(carrying, "presence_of", lambda *_: 1.0)  # it goes on to the end of the volume
    fill = followed(Drawn(truth), engine := CarryingEngine(), truth[14])
    whole = fill.complete()
    assert engine.across
    assert abs(whole.slices[0].index - 8) <= 1 and abs(whole.slices[-1].index - 20) <= 1
    assert overlap(fill, truth) > 0.9
    assert np.array_equal(whole.masks[14], truth[14])
    for one in whole.slices:
        assert one.area_mm2 == pytest.approx(one.mask.sum())


def test_of_each_look_across_is_told_how_many_are_done(monkeypatch):
    monkeypatch.setattr(carrying, "presence_of", lambda *_: 1.0)
    fill = followed(Drawn(ball()), engine := CarryingEngine(), ball()[14])
    told: list[tuple[int, int]] = []
    for _ in fill.run(across=lambda done, of: told.append((done, of))):
        assert not told, "first it is followed"
    assert [done for done, _ in told] == list(range(1, len(engine.across) + 1))
    assert {of for _, of in told} == {told[0][1]}
    assert 0.5 * told[0][1] < len(told) <= told[0][1]


def test_slices_that_do_not_lie_on_each_others_pixels_are_aligned(monkeypatch):
    monkeypatch.setattr(carrying, "presence_of", lambda *_: 1.0)
    truth = ball()
    straight = followed(Drawn(truth), CarryingEngine(), truth[14]).complete().masks
    slanted = followed(Drifting(truth), CarryingEngine(), truth[14]).complete().masks
    assert straight.keys() == slanted.keys()
    for index, mask in slanted.items():
        assert np.array_equal(np.roll(mask, index - 14, axis=1), straight[index])


def test_cancelled_across_what_was_followed_is_kept_and_it_goes_on(monkeypatch):
    monkeypatch.setattr(carrying, "presence_of", lambda *_: 1.0)
    truth, engine = ball(), CarryingEngine()
    fill = followed(Drawn(truth), engine, truth[14])
    engine.cancel_across = threading.Event()
    with pytest.raises(Cancelled):
        fill.complete(engine.cancel_across)
    assert set(fill.object.masks) == set(range(30))
    with pytest.raises(StepError, match="still being followed"):
        _ = fill.state
    engine.cancel_across = None
    assert list(fill.run()) == []
    again = followed(Drawn(truth), CarryingEngine(), truth[14]).complete().masks
    assert fill.object.masks.keys() == again.keys()
    assert all(np.array_equal(mask, again[index]) for index, mask in fill.object.masks.items())


def test_up_to_an_end_that_the_user_named_it_is_on_every_slice(monkeypatch):
    monkeypatch.setattr(carrying, "presence_of", lambda *_: 1.0)
    truth = ball()
    fill = followed(Drawn(truth), CarryingEngine(), truth[14])
    fill.end(24)
    assert set(range(14, 25)) <= set(fill.complete().masks)
    assert max(fill.object.masks) == 24


def test_an_object_on_two_slices_is_not_looked_at_across():
    truth = np.zeros((30, SIZE, SIZE), bool)
    truth[14:16] = disc(12)
    fill = followed(Drawn(truth), engine := CarryingEngine(), truth[14])
    fill.end(14)
    fill.end(15)
    assert set(fill.complete().masks) == {14, 15}
    assert not engine.across


@pytest.mark.parametrize(("step_mm", "looked"), [(2.0, True), (2.5, False)])
def test_slices_far_apart_are_not_looked_at_across(monkeypatch, step_mm, looked):
    monkeypatch.setattr(Drawn, "step_mm", step_mm)
    fill = followed(Drawn(ball()), engine := CarryingEngine(), ball()[14])
    assert len(fill.complete().masks) > CARRY.fewest_crossed
    assert bool(engine.across) == looked
