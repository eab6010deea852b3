"""Whether an adapted model is better on an institution's own objects and no worse on lung nodules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from torch import Tensor

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint
from SPASegmentLib.profiles.approvals import ApprovedObject
from SPASegmentLib.research.datasets.registry import open_dataset
from SPASegmentLib.research.evaluation.interaction import slice_image
from SPASegmentLib.research.evaluation.metrics import dice_of_each
from SPASegmentLib.research.evaluation.protocol import draw, sample_order
from SPASegmentLib.research.training.adapting import Recipe, adapted_state, blended

ALLOWED_LOSS = 0.005
"""Mean Dice that an adapted model may lose on LIDC-IDRI's val split."""
SHARES = (1.0, 0.5, 0.25)
"""How much of the change is kept: the most with which lung nodules lose no more than that."""
LEAST_OBJECTS = 4
LIDC_CASES = 100


@dataclass(frozen=True, eq=False)
class Judged:
    """Dice of the recommendation after the click, object by object. before, after: (n,)."""

    before: np.ndarray
    after: np.ndarray

    @property
    def gain(self) -> float:
        """Mean difference; negative where the adapted model is worse."""
        return float((self.after - self.before).mean())

    def figures(self) -> dict[str, float]:
        """For a checkpoint's header."""
        means = {"before": float(self.before.mean()), "after": float(self.after.mean())}
        return {"objects": len(self.before), **{name: round(value, 4) for name, value in means.items()}}


@dataclass(frozen=True, eq=False)
class Adaptation:
    """An adapted model's weights and what was found of it.

    share: of the change that is kept. own: each object judged by a model that learnt from the other half.
    lidc: on LIDC-IDRI's val split, or None where it was not at hand.
    """

    state: dict[str, Tensor]
    share: float
    own: Judged
    lidc: Judged | None

    def refusals(self) -> list[str]:
        """Why it should not be used, a sentence each."""
        found = []
        if self.own.gain <= 0:
            found.append(f"it is not better on the own objects ({self.own.gain:+.3f} Dice)")
        if self.lidc is not None and self.lidc.gain < -ALLOWED_LOSS:
            found.append(f"it is worse on lung nodules ({self.lidc.gain:+.3f} Dice)")
        return found


def adapt(
    start: Path,
    objects: Sequence[ApprovedObject],
    recipe: Recipe,
    console: Console,
    lidc: Sequence[ApprovedObject] = (),
) -> Adaptation:
    """Adapt a checkpoint to all objects, and judge it by two that learnt from one half each.

    The change is halved until lung nodules lose no more than `ALLOWED_LOSS`. lidc: see `lidc_objects`.
    Raises InputError where there are too few objects, or all are of one sitting.
    """
    halves = split_by_group(objects)
    state, header = load_checkpoint(start)
    before = dice_after_click(state, header, objects)
    lidc_before = dice_after_click(state, header, lidc)
    console.print("Learning from all objects, then from each half to judge the other by ...")
    whole, *parts = (adapted_state(start, some, recipe, console) for some in (objects, *halves))
    for share in SHARES:
        mixed = blended(state, whole, share)
        on_lidc = Judged(lidc_before, dice_after_click(mixed, header, lidc)) if lidc else None
        if on_lidc is None or on_lidc.gain >= -ALLOWED_LOSS:
            break
    judged = {
        id(one): dice
        for part, others in zip(parts, reversed(halves), strict=True)
        for one, dice in zip(
            others, dice_after_click(blended(state, part, share), header, others), strict=True
        )
    }
    own = Judged(before, np.array([judged[id(one)] for one in objects]))
    return Adaptation(mixed, share, own, on_lidc)


def split_by_group(objects: Sequence[ApprovedObject]) -> tuple[list[ApprovedObject], list[ApprovedObject]]:
    """Two halves of about equal size; no group is in both. Raises InputError where that cannot be."""
    if len(objects) < LEAST_OBJECTS:
        count = "is one approved object" if len(objects) == 1 else f"are {len(objects)} approved objects"
        raise InputError(
            f"There {count}; keep at least {LEAST_OBJECTS} of two volumes or more, better 10 or 20."
        )
    groups: dict[str, list[ApprovedObject]] = {}
    for one in objects:
        groups.setdefault(one.group, []).append(one)
    if len(groups) < 2:
        raise InputError(
            "All kept objects are of one volume, so nothing tells how the model would do on another; keep"
            " objects of several volumes."
        )
    halves: tuple[list[ApprovedObject], list[ApprovedObject]] = ([], [])
    for _name, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        min(halves, key=len).extend(members)
    return halves


def dice_after_click(
    state: Mapping[str, Tensor], header: CheckpointHeader, objects: Sequence[ApprovedObject]
) -> np.ndarray:
    """(n,) Dice of what a network recommends after each object's click."""
    if not objects:
        return np.zeros(0)
    with TemporaryDirectory(prefix="spasegment-adapt-") as folder:
        path = Path(folder) / "judged.safetensors"
        save_checkpoint(path, dict(state), header)
        engine = load_engine(path, "cpu")
    found = []
    for one in objects:
        click = PointPrompt(float(one.click[0]), float(one.click[1]))
        proposal = engine.propose(ProposalRequest(one.image, (click,)))
        found.append(float(dice_of_each(proposal.recommendation[None], one.mask)[0]))
    return np.array(found)


def lidc_objects(paths: Sequence[Path], limit: int = LIDC_CASES) -> list[ApprovedObject]:
    """Slices of LIDC-IDRI's val split on which all radiologists drew, with the protocol's target and click.

    Raises DatasetError as the loader does.
    """
    dataset = open_dataset("lidc", paths, split="val", subset="all4")
    order = sample_order(dataset.name, dataset.case_ids(), 0, "limit")[:limit]
    found = []
    for case in (dataset[index] for index in order):
        drawn = draw(case, 0)
        if drawn is not None:
            click = (int(drawn.click.row), int(drawn.click.col))
            found.append(ApprovedObject(slice_image(case), drawn.target, click, case.patient))
    return found
