"""What is asked of a model in one case: target, click and the simulated user who picks; how to evaluate.

The draws are pure functions of (data set, case id, protocol seed), so that every model and every run gets the
same targets, whatever the order or the sharding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.datasets.draws import digest, draw_subset, generator, half_agree
from SPASegmentLib.research.evaluation.cluster import RayCluster

ITERATIONS = 6
ALWAYS_PICK = "always-pick"
APPROVE = "approve"
USERS = (ALWAYS_PICK, APPROVE)
TOLERANCE_MM, TOLERANCE_PIXELS = 1.0, 2.0
"""Of the normalised surface Dice: in mm, and in pixels where their size is not known."""
BOUNDARY = "boundary"
NOISY = "noisy"
NOISE = 0.15
"""Share of the iterations in which the noisy user picks any of the candidates shown."""
KEEP = "keep"
PICKING = {
    KEEP: "keeps the recommendation where no candidate is better, and sees others around it",
    BOUNDARY: "picks the candidate with the smallest mean boundary distance",
    NOISY: f"picks any candidate in {100 * NOISE:.0f}% of the iterations",
}
"""Users who answer otherwise than `always-pick`, who picks by Dice whatever is shown."""
CORRECT = "correct"
MIXED = "mixed"
BOX = "box"
SCRIBBLE = "scribble"
DRAWING = (BOX, SCRIBBLE)
"""Users who begin with a drawing instead of the click."""
SIGHTED = {
    CORRECT: "sees the target: one point in the middle of the largest error per iteration",
    MIXED: "sees the target: per iteration a pick or a point, whichever then brings more",
    BOX: "sees the target: its exact box instead of the click, then a pick per iteration",
    SCRIBBLE: "sees the target: a scribble over its middle instead of the click, then a pick per iteration",
}
"""Users who see the target, and what they do; tables say so."""
STYLES = ("largest", "smallest", "majority")
_RULES = ("subset", "raters", "without", *STYLES)


@dataclass(frozen=True)
class TargetRule:
    """Whose segmentation the user wants.

    kind:
    - subset: the protocol's draw, a non-empty subset of raters, uniformly.
    - raters: always these raters (one name: that person is the user).
    - without: the protocol's draw among all raters but these (leave one rater out).
    - largest: the union. smallest: the intersection of the non-empty masks, and where they share no pixel
      the smallest of them (lowest rater first). majority: at least half of all raters.
    raters: their names, or their numbers from 0 where the data set does not name them.
    """

    kind: str = "subset"
    raters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> TargetRule:
        """Read "subset", "largest", "smallest", "majority", "raters:A+B" or "without:A".

        Raises DatasetError for anything else.
        """
        kind, _, names = text.partition(":")
        raters = tuple(name for name in names.split("+") if name)
        if kind not in _RULES or (kind in ("raters", "without")) != bool(raters):
            raise DatasetError(
                f"'{text}' is no target; use subset, largest, smallest, majority, raters:A+B or without:A."
            )
        return cls(kind, raters)

    def __str__(self) -> str:
        """The text `parse` reads."""
        return f"{self.kind}:{'+'.join(self.raters)}" if self.raters else self.kind


@dataclass(frozen=True, eq=False)
class Draw:
    """What the user of one case wants, and where they click.

    target: (H, W) bool, never empty. included: the raters it was made from. click: inside the target.
    redrawn: whether the first subset drawn had an empty target; None where nothing is drawn.
    others: the image's other structures that hold the click, name -> (H, W) bool.
    """

    target: np.ndarray
    included: tuple[int, ...]
    click: PointPrompt
    redrawn: bool | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)


def sample_order(dataset_name: str, case_ids: list[str], protocol_seed: int, purpose: str) -> list[int]:
    """Indices of the cases in a random order of their own: what else is in the list does not change it."""
    keys = [digest(dataset_name, case_id, protocol_seed, purpose) for case_id in case_ids]
    return sorted(range(len(case_ids)), key=keys.__getitem__)


def draw(case: Case, protocol_seed: int, rule: TargetRule | None = None) -> Draw | None:
    """Target and click of a case, or None where the rule has no non-empty target for it.

    Raises DatasetError where the rule names a rater the case does not have.
    """
    rule = rule or TargetRule()
    chosen = _target(case, protocol_seed, rule)
    if chosen is None:
        return None
    target, included, redrawn = chosen
    click = draw_click(case.dataset, case, target, protocol_seed)
    return Draw(target, included, click, redrawn, _others(case, target, click))


def _others(case: Case, target: np.ndarray, click: PointPrompt) -> dict[str, np.ndarray]:
    """The structures and objects besides the target that hold the click."""
    at = round(click.row), round(click.col)
    found = {name: values == values[at] for name, values in case.others.items() if values[at]}
    return {name: mask for name, mask in found.items() if not np.array_equal(mask, target)}


def draw_click(dataset_name: str, case: Case, target: np.ndarray, protocol_seed: int) -> PointPrompt:
    """One pixel, uniformly from where all raters drew; where that is empty, from the target."""
    agreed = np.logical_and.reduce(case.masks, axis=0)
    rows, cols = np.nonzero(agreed if agreed.any() else target)
    rng = generator(dataset_name, case.case_id, protocol_seed, "click")
    at = int(rng.integers(len(rows)))
    return PointPrompt(float(rows[at]), float(cols[at]))


_Chosen = tuple[np.ndarray, tuple[int, ...], bool | None]


def _target(case: Case, protocol_seed: int, rule: TargetRule) -> _Chosen | None:
    everyone = tuple(range(len(case.masks)))
    if rule.kind in ("subset", "without"):
        left_out = rater_numbers(case, rule.raters)
        rng = generator(case.dataset, case.case_id, protocol_seed, "target")
        return draw_subset(case.masks, tuple(r for r in everyone if r not in left_out), rng)
    if rule.kind == "raters":
        included = rater_numbers(case, rule.raters)
        target = half_agree(case.masks[list(included)])
    else:
        included, target = everyone, style_target(case.masks, rule.kind)
    return (target, included, None) if target.any() else None


def style_target(masks: np.ndarray, style: str) -> np.ndarray:
    """What a user of a style wants (see TargetRule); may be empty. masks: (R, H, W) bool."""
    if style == "largest":
        return np.logical_or.reduce(masks, axis=0)
    if style == "majority":
        return half_agree(masks)
    drawn = masks[masks.any(axis=(1, 2))]
    if len(drawn) == 0:
        return np.zeros(masks.shape[1:], dtype=bool)
    shared = np.logical_and.reduce(drawn, axis=0)
    return shared if shared.any() else drawn[int(np.argmin(drawn.sum(axis=(1, 2))))]


def rater_numbers(case: Case, names: tuple[str, ...]) -> tuple[int, ...]:
    """Where the named raters' masks are. Raises DatasetError for a rater the case does not have."""
    known = case.raters or tuple(str(number) for number in range(len(case.masks)))
    for name in names:
        if name not in known:
            raise DatasetError(f"There is no rater '{name}' here; choose among {', '.join(known)}.")
    return tuple(known.index(name) for name in names)


def pick(candidate_dice: list[float]) -> int:
    """The candidate closest to the target; the lowest index among equals."""
    return int(np.argmax(candidate_dice))


def approves(recommendation_dice: float, candidate_dice: list[float]) -> bool:
    """Whether the `approve` user stops here: the recommendation is better than every candidate shown."""
    return all(recommendation_dice > value for value in candidate_dice)


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    protocol_seed: of targets, clicks and the sub-sample. target: a TargetRule's text. limit: so many cases,
    of each set where there are several, drawn once for all models. workers: processes; threads: of each.
    n_samples: the paper's N, or None for each model's own. engine_seed: the seed every request carries.
    cluster: where the processes are, in the place of `workers` here.
    users: to report, the first in the headline unless `always-pick` is there. thresholds: of NoI, None for
    the data set's. resamples: of the bootstrap. against: the model all others are compared with; None
    compares the first with each of the others.
    """

    protocol_seed: int = 0
    target: str = "subset"
    limit: int | None = None
    workers: int = 1
    threads: int = 1
    cluster: RayCluster | None = None
    iterations: int = ITERATIONS
    n_samples: int | None = None
    engine_seed: int = 0
    users: tuple[str, ...] = USERS
    thresholds: tuple[float, ...] | None = None
    resamples: int = 10_000
    against: str | None = None

    @property
    def further_users(self) -> tuple[str, ...]:
        """The users whose interactions are run besides that of `always-pick`."""
        return tuple(user for user in (*PICKING, *SIGHTED) if user in self.users)

    @property
    def headline_user(self) -> str:
        """The user model whose figures stand first."""
        return USERS[0] if USERS[0] in self.users else self.users[0]
