"""What a user does at the workbench, and what the screen says, on real MRML with the shipped model."""

from __future__ import annotations

import numpy as np


def test_before_a_volume_is_chosen_the_screen_says_so(a_bench):
    a_bench.workbench.set_volume(None)
    assert a_bench.workbench.screen.status == "Choose a volume to begin."
    a_bench.workbench.seed((0, 0, 0))
    assert a_bench.workbench.screen.status == "Choose a volume to begin."


def test_a_click_gives_a_recommendation_and_four_cards(a_bench):
    screen = a_bench.click()
    assert screen.status == "Press Enter to approve, press 1-4 to pick, 0 for none of these."
    assert screen.tone == "hint" and not screen.busy and screen.iteration == 1
    assert [card.number for card in screen.cards] == [1, 2, 3, 4]
    assert screen.recommendation.area_mm2 > 20
    assert len({card.name for card in screen.cards}) == 4
    assert {"approve", "pick:0", "take:3", "none_of_these", "undo", "next_slice"} <= screen.enabled
    assert any(earlier.busy and earlier.tone == "busy" for earlier in a_bench.screens)


def test_approving_writes_the_mask_where_it_belongs(a_bench):
    a_bench.click()
    a_bench.workbench.pick(1)
    a_bench.settle()
    a_bench.workbench.approve()
    screen = a_bench.settle()
    assert screen.tone == "done" and screen.status.startswith("Approved")
    work = a_bench.work
    expected = a_bench.on_grid(work.session.result().mask, work.view)
    assert expected.any()
    np.testing.assert_array_equal(a_bench.voxels(), expected)
