"""One user's run through a plan: which image is next, what is allowed, what is counted and for how long."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.masks import write_labels
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.study.conditions import CONDITIONS, StudyCondition
from SPASegmentLib.study.plan import Assignment, StudyCase, located, read_plan
from SPASegmentLib.study.records import StudyRecord, UserRecords, records_folder

Phase = Literal["ready", "running", "paused", "finished"]
COUNTED = ("keys", "clicks", "picks", "points", "rejections", "keeps", "iterations")


class StudyRun:
    """Start, pause, next. It goes on at the first image that has no record."""

    def __init__(self, plan_path: Path, user: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds. Raises InputError for a plan or user that cannot be run."""
        self.plan_path, self.user, self._clock = plan_path, user, clock
        self.plan = read_plan(plan_path)
        self._order = self.plan.order_of(user)
        unknown = sorted({one.condition for one in self._order} - set(CONDITIONS))
        if unknown:
            raise InputError(f"People cannot be asked for {unknown[0]}; it is there for simulated users.")
        missing = next((c.file for c in self.plan.cases if not located(plan_path, c.file).exists()), None)
        if missing is not None:
            raise InputError(f"The plan names {missing}, which is not there; move plan and images together.")
        self._records = UserRecords(records_folder(plan_path), self.plan, user)
        done = [record.position for record in self._records.records]
        self.position = next((n for n in range(1, self.total + 1) if n not in done), self.total + 1)
        self.phase: Phase = "ready" if self.position <= self.total else "finished"
        self._reset()

    def _reset(self) -> None:
        self.counts: Counter[str] = Counter()
        self._active = self._paused = 0.0
        self._since = 0.0

    @property
    def total(self) -> int:
        """Images of this user."""
        return len(self._order)

    @property
    def assignment(self) -> Assignment:
        """The image at hand. Not to be asked for once all are finished."""
        return self._order[self.position - 1]

    @property
    def case(self) -> StudyCase:
        """The image at hand."""
        return self.plan.case(self.assignment.case)

    @property
    def file(self) -> Path:
        """Of the image at hand."""
        return located(self.plan_path, self.case.file)

    @property
    def condition(self) -> StudyCondition:
        """How it is to be segmented."""
        return CONDITIONS[self.assignment.condition]

    @property
    def words(self) -> str:
        """Where the user stands, for the card."""
        if self.phase == "finished":
            return f"All {self.total} images are done. Thank you."
        practice = "practice, " if self.assignment.practice else ""
        return f"Case {self.position} of {self.total} · {practice}{self.condition.title}"

    def refusal(self, action: str) -> str:
        """Why the user does not have an action now (see `StudyCondition.allows`); "" where they have it."""
        if self.phase != "running":
            return {
                "ready": "Press Start when you are ready.",
                "paused": "The study is paused; press Start to go on.",
                "finished": "All images of the study are done.",
            }[self.phase]
        if self.condition.allows(action):
            return ""
        return f"This image is for {self.condition.title}: {self.condition.how}"

    def count(self, what: str, number: int = 1) -> None:
        """Add to one of `COUNTED`; nothing counts while the user pauses."""
        if self.phase == "running":
            self.counts[what] += number

    def start(self) -> None:
        """Begin the image, or go on after a pause. Raises InputError where that cannot be recorded."""
        if self.phase == "ready":
            self._records.begin(self.position)
            self._reset()
        elif self.phase == "paused":
            self._paused += self._clock() - self._since
        else:
            return
        self._since = self._clock()
        self.phase = "running"

    def pause(self) -> None:
        """Stop the clock."""
        if self.phase == "running":
            self._active += self._clock() - self._since
            self._since, self.phase = self._clock(), "paused"

    def next(self, labels: np.ndarray | None, volume: Volume | None, *, model: str = "") -> None:
        """Record the image and go on to the next, which waits for Start.

        labels: (K, J, I) uint8 on the volume's grid, what was approved, or None where nothing was. model:
        that answered. Raises InputError where that cannot be recorded; the image is then at hand still.
        """
        if self.phase == "running":
            self.pause()
        elif self.phase != "paused":
            return
        self._paused += self._clock() - self._since
        self._since = self._clock()
        name = digest = None
        if labels is not None and volume is not None:
            name, digest = f"{self.user}-{self.position:03d}.nii.gz", mask_digest(labels)
            write_labels(self._records.masks() / name, labels, volume, {})
        self._records.append(
            StudyRecord(
                position=self.position,
                user=self.user,
                case=self.assignment.case,
                condition=self.condition.name,
                practice=self.assignment.practice,
                seconds=round(self._active, 3),
                paused=round(self._paused, 3),
                attempts=max(1, self._records.begun.count(self.position)),
                **{key: self.counts[key] for key in COUNTED},
                gave_up=labels is None and not self.condition.own_tool,
                mask=name,
                mask_hash=digest,
                model=model,
            )
        )
        self.position += 1
        self.phase = "ready" if self.position <= self.total else "finished"
        self._reset()


def mask_digest(labels: np.ndarray) -> str:
    """SHA-256 of what is segmented, its shape included. labels: any shape; what is not 0 is foreground."""
    shape = "x".join(map(str, labels.shape))
    return hashlib.sha256(shape.encode() + np.packbits(labels != 0).tobytes()).hexdigest()
