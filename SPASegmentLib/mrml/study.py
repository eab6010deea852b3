"""A study on a controller: what it counts of the interaction, and what it leaves on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.inference.session import Done
from SPASegmentLib.mrml.labels import has_voxels, labels_of
from SPASegmentLib.mrml.screen import Screen
from SPASegmentLib.mrml.volumes import ijk_to_ras_of
from SPASegmentLib.mrml.work import Work
from SPASegmentLib.study.run import StudyRun

_COUNTED_AS = {"point": "points", "pick": "picks", "none": "rejections", "keep": "keeps"}


APPROVE_FIRST = "Approve the mask (Enter) before Next, or press Skip if it cannot be segmented."


def approved_mask(segmentation: Any, volume: Any) -> tuple[np.ndarray, Volume] | None:
    """(K, J, I) uint8 labels of what was approved on a volume node, and its grid; None where nothing was."""
    if volume is None or not has_voxels(segmentation):
        return None
    labels = labels_of(segmentation, volume)
    return labels, Volume(labels, ijk_to_ras_of(volume))


def limited(screen: Screen, run: StudyRun) -> Screen:
    """What a face draws of a screen in a study: only what belongs to the condition at hand."""
    enabled = frozenset(action for action in screen.enabled if not run.refusal(action))
    if run.phase != "running":
        return replace(screen, enabled=enabled, cards=(), status=run.refusal(""), tone="hint")
    condition, status = run.condition, screen.status
    if condition.own_tool:
        status = condition.how
    elif screen.recommendation is not None and screen.tone == "hint":
        status = condition.next_step
    cards = screen.cards if condition.shows_alternatives else ()
    return replace(screen, enabled=enabled, cards=cards, status=status)


class StepCounter:
    """Counts every step of some works once, undone ones too. To be told of them after every new screen."""

    def __init__(self, count: Callable[[str], None]) -> None:
        """count: called with "points", "picks", "rejections", "keeps" and "iterations" (proposals)."""
        self._count = count
        self.forget()

    def forget(self) -> None:
        """Another image: nothing is known any more."""
        self._seen: set[Done] = set()
        self._resting: set[Work] = set()
        self.model = ""

    def update(self, works: Iterable[Work]) -> None:
        """Count what is new since the last call."""
        for work in works:
            session = work.session
            if session is None:
                if work.log is not None:
                    self._resting.add(work)
                continue
            if work in self._resting:  # computed again from its log: these steps were counted
                self._resting.remove(work)
                self._seen |= {*session.done, *session.undone}
                continue
            for number, done in enumerate(session.done):
                if done in self._seen:
                    continue
                self._seen.add(done)
                if any(done in steps[1:] for steps in work.strokes):
                    continue  # one line is one step, however many points stand for it
                self.model = f"{session.model.name} {session.model.hash}"
                if done.proposal is not None:
                    self._count("iterations")
                given = work.carried or session.carried is not None  # its first point is no user's
                if (number or not given) and done.step.kind in _COUNTED_AS:
                    self._count(_COUNTED_AS[done.step.kind])
