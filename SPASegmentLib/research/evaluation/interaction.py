"""One case with one engine: the click, then picks, and what comes of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.imaging.types import Region, SliceImage
from SPASegmentLib.imaging.zoom import unsample
from SPASegmentLib.inference.messages import Answered, Engine, Proposal, UsualArea
from SPASegmentLib.inference.session import Session
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.datasets.draws import generator
from SPASegmentLib.research.evaluation.corrections import correct
from SPASegmentLib.research.evaluation.drawing import draw_and_pick
from SPASegmentLib.research.evaluation.metrics import (
    calibration_counts,
    dice_of_each,
    generalised_energy_distance,
    matched_iou,
    maximum_dice_match,
    pairwise_dice,
)
from SPASegmentLib.research.evaluation.outlines import bending_energy
from SPASegmentLib.research.evaluation.protocol import (
    DRAWING,
    ITERATIONS,
    PICKING,
    TOLERANCE_MM,
    TOLERANCE_PIXELS,
    Draw,
    approves,
)
from SPASegmentLib.research.evaluation.records import CaseRecord, pack_mask
from SPASegmentLib.research.evaluation.results import dice_with_the_others
from SPASegmentLib.research.evaluation.surfaces import surface_dice
from SPASegmentLib.research.evaluation.users import Choose, choice_of, closest

FEW_SAMPLES = 16
"""Samples with which the literature measures their spread."""
HALF = 127.5
"""A probability of 0.5 in the uint8 of `Feedback.samples`."""


def sample_masks(
    samples: np.ndarray, region: Region, spacing: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """The network's samples as masks of the slice, so that they meet the raters on the raters' own pixels.

    Each probability map goes back to the slice as the recommendation does and is cut at 0.5; outside the
    region there is nothing. samples: (N, G, G) uint8. spacing: mm. Returns (N, H, W) bool.
    """
    return np.stack([unsample(sample, region, shape, spacing) >= HALF for sample in samples])


def inside_region(region: Region, spacing: tuple[float, float], shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the slice pixels whose centres lie in the region."""
    return unsample(np.ones((region.grid, region.grid)), region, shape, spacing) > 0


def spread_against_raters(
    proposal: Proposal, masks: np.ndarray, spacing: tuple[float, float]
) -> tuple[float, float, float | None]:
    """Squared GED and D_max of the proposal's samples against the raters' masks (R, H, W).

    The third figure is the GED to the raters who drew something, None where nobody did. Who clicks sees an
    object, so no sample is empty, and a rater who drew nothing is beyond the reach of all of them.
    """
    shape = (int(masks.shape[1]), int(masks.shape[2]))
    feedback = proposal.feedback
    samples = sample_masks(feedback.samples, feedback.region, spacing, shape)
    drawn = masks[masks.any(axis=(1, 2))]
    ged = generalised_energy_distance(samples, masks)
    among_drawn = generalised_energy_distance(samples, drawn) if len(drawn) else None
    return ged, maximum_dice_match(samples, masks), among_drawn


def spread_of_few(
    proposal: Proposal, masks: np.ndarray, spacing: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float]:
    """GED, HM-IoU and D_max of `FEW_SAMPLES` of the proposal's samples, drawn without replacement.

    As `spread_against_raters`; of all samples where there are fewer. Literature prints them for so many.
    """
    feedback = proposal.feedback
    count = min(FEW_SAMPLES, len(feedback.samples))
    drawn = feedback.samples[np.sort(rng.choice(len(feedback.samples), count, replace=False))]
    samples = sample_masks(drawn, feedback.region, spacing, (int(masks.shape[1]), int(masks.shape[2])))
    ged, d_max = generalised_energy_distance(samples, masks), maximum_dice_match(samples, masks)
    return ged, matched_iou(samples, masks), d_max


def calibration_in_region(proposal: Proposal, target: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Calibration counts of the mean prediction against the target over the slice pixels in the region."""
    shape = (int(target.shape[0]), int(target.shape[1]))
    inside = inside_region(proposal.feedback.region, spacing, shape)
    return calibration_counts(proposal.probability[inside], target[inside])


DIGITS = 9
"""Decimals kept of what is written down."""


@runtime_checkable
class OracleEngine(Protocol):
    """An engine that is shown the target: no rival, only there to read figures of systems that peek.

    Results, tables and report mark it. Every other engine gets nothing but the click and the picks.
    """

    def see_target(self, target: np.ndarray) -> None:
        """(H, W) bool; called before the first request of every case."""


@runtime_checkable
class PromptedEngine(Protocol):
    """An engine that is asked by clicks or boxes and not by picks: its user sees the target and shows it.

    It brings its interaction along; `propose` gets the image and the prompts, not the target.
    """

    user: str
    """What the user does, in a few words; results and tables say so."""

    def interact(self, case: Case, draw: Draw, *, iterations: int, seed: int) -> Trace:
        """One case: a proposal after the first prompt and after each further one."""


@dataclass
class Trace:
    """An interaction as it went: a proposal per iteration and the user's picks between them.

    dice: of each recommendation with the target; candidates: of each candidate shown. picks: None where the
    recommendation was kept. seconds: of each call.
    approved: whether a user who may approve did. prompted: whether the user gave further prompts, not picks.
    first: the session after the click, from which other users can go on; None of an engine with its own.
    """

    proposals: list[Proposal] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    candidates: list[list[float]] = field(default_factory=list)
    picks: list[int | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    approved: bool = False
    prompted: bool = False
    first: Session | None = None

    @property
    def answered(self) -> tuple[Answered, ...]:
        """The proposals the user answered, with the answers."""
        pairs = zip(self.proposals, self.picks, strict=False)
        return tuple(Answered(proposal, picked, kept=picked is None) for proposal, picked in pairs)


def slice_image(case: Case) -> SliceImage:
    """The image of a case as an engine gets it."""
    pixels = np.ascontiguousarray(case.image, dtype=np.float32)
    return SliceImage(pixels, case.spacing, case.modality, neighbours=case.neighbours)


def interact(
    engine: Engine,
    case: Case,
    draw: Draw,
    *,
    iterations: int = ITERATIONS,
    may_approve: bool = False,
    seed: int = 0,
    n_samples: int | None = None,
    log_prior: np.ndarray | None = None,
    usual_area: UsualArea | None = None,
) -> Trace:
    """Click once and pick the best candidate, up to `iterations`; `may_approve` may stop earlier.

    It goes through the same `Session` as every user's interaction, so that what is measured is what users
    get. The engine gets the image, the click and the indices of the picks and nothing else (but see
    `OracleEngine`, `PromptedEngine`); the target only chooses the pick. The interaction also ends where no
    candidate is shown.
    """
    if isinstance(engine, PromptedEngine):
        return engine.interact(case, draw, iterations=iterations, seed=seed)
    trace = Trace()
    if isinstance(engine, OracleEngine):
        engine.see_target(draw.target)
    session = Session.start(
        slice_image(case),
        engine.model,
        draw.click,
        log_prior=log_prior,
        usual_area=usual_area,
        random_seed=seed,
        n_samples=n_samples,
    )
    return _pick_on(trace, session, engine, draw.target, iterations, may_approve=may_approve)


def _pick_on(
    trace: Trace,
    session: Session,
    engine: Engine,
    target: np.ndarray,
    iterations: int,
    *,
    may_approve: bool = False,
    choose: Choose = closest,
) -> Trace:
    """Compute what is pending, then pick as the user chooses until the interaction ends."""
    while True:
        begun = time.perf_counter()
        session = session.advance(engine)
        trace.seconds.append(time.perf_counter() - begun)
        if session.proposal is None:
            raise StepError("The engine gave no proposal; it cannot be evaluated.")
        trace.first = trace.first or session
        score(trace, session.proposal, target)
        shown = trace.candidates[-1]
        trace.approved = may_approve and approves(trace.dice[-1], shown)
        if trace.approved or not shown or len(trace.proposals) == iterations:
            return trace
        picked = choose(session.proposal, trace.dice[-1], shown)
        trace.picks.append(picked)
        session = session.keep() if picked is None else session.pick(picked)


def score(trace: Trace, proposal: Proposal, target: np.ndarray) -> None:
    """Add a proposal and the Dice of all it shows to a trace."""
    masks = np.stack([proposal.recommendation, *(candidate.mask for candidate in proposal.candidates)])
    values = [float(value) for value in dice_of_each(masks, target)]
    trace.proposals.append(proposal)
    trace.dice.append(values[0])
    trace.candidates.append(values[1:])


def closeness(case: Case, target: np.ndarray) -> Callable[[np.ndarray], float]:
    """Of masks (H, W) bool: the surface Dice with the target, within `TOLERANCE_MM` or `TOLERANCE_PIXELS`."""
    tolerance = TOLERANCE_MM if case.spacing_known else TOLERANCE_PIXELS * min(case.spacing)
    return lambda mask: surface_dice(mask, target, case.spacing, [tolerance])[0]


def run_case(
    engine: Engine,
    case: Case,
    draw: Draw,
    *,
    iterations: int = ITERATIONS,
    seed: int = 0,
    n_samples: int | None = None,
    users: Sequence[str] = (),
    protocol_seed: int = 0,
) -> CaseRecord:
    """Run the `always-pick` user on one case and write down what PROTOCOL.md reports.

    users: further users who go on from the same click; a `PromptedEngine` brings its own. protocol_seed: of
    what they do at random.

    An engine that raises InputError is answered as if it had segmented nothing, and its sentence is kept.
    """
    record = CaseRecord(
        case=case.case_id,
        patient=case.patient,
        raters=list(case.raters),
        drew=[bool(mask.any()) for mask in case.masks],
        included=list(draw.included),
        click=[draw.click.row, draw.click.col],
        target_pixels=int(draw.target.sum()),
        target_hash=hashlib.sha256(np.packbits(draw.target).tobytes()).hexdigest(),
        redrawn=draw.redrawn,
        structure=case.structure,
    )
    try:
        trace = interact(engine, case, draw, iterations=iterations, seed=seed, n_samples=n_samples)
    except InputError as error:
        record.error = str(error)
        record.dice, record.surface = [0.0] * iterations, [0.0] * iterations
        record.rater_dice = [[float(not mask.any()) for mask in case.masks]] * iterations
        return record
    missing = iterations - len(trace.proposals)
    record.dice = _held(_rounded(trace.dice), missing)
    record.surface = _held(_surface(trace, case, draw.target), missing)
    record.candidates = [_rounded(values) for values in trace.candidates]
    record.picks, record.prompted = [picked for picked in trace.picks if picked is not None], trace.prompted
    record.seconds = [round(value, 6) for value in trace.seconds]
    _add_masks(record, trace, case, missing)
    _add_uncertainty(record, trace.proposals[0], case, draw, protocol_seed)
    bending = [bending_energy(mask) for mask in (trace.proposals[0].recommendation, draw.target)]
    record.bending = _rounded([energy for energy in bending if energy is not None]) if all(bending) else []
    if trace.first is not None:
        for user in users:
            record.users[user] = _further_user(
                user, trace.first, engine, case, draw, iterations=iterations, protocol_seed=protocol_seed
            )
        _add_nested(record, trace, trace.first, engine, draw, iterations)
    return record


def _further_user(
    user: str,
    first: Session,
    engine: Engine,
    case: Case,
    draw: Draw,
    *,
    iterations: int,
    protocol_seed: int,
) -> dict[str, Any]:
    """What a user makes of the click: one who chooses among the candidates, or who sees the target."""
    if user not in PICKING:
        close = closeness(case, draw.target)
        go_on = draw_and_pick if user in DRAWING else correct
        found = go_on(engine, first, draw.target, user=user, iterations=iterations, closeness=close)
        return {**asdict(found), "dice": _rounded(found.dice), "surface": _rounded(found.surface)}
    choose = choice_of(user, case, draw.target, protocol_seed)
    trace = _pick_on(Trace(), first, engine, draw.target, iterations, choose=choose)
    missing = iterations - len(trace.proposals)
    return {
        "dice": _held(_rounded(trace.dice), missing),
        "surface": _held(_surface(trace, case, draw.target), missing),
        "picks": len(trace.picks) - trace.picks.count(None),
        "keeps": trace.picks.count(None),
    }


def _surface(trace: Trace, case: Case, target: np.ndarray) -> list[float]:
    close = closeness(case, target)
    return _rounded([close(proposal.recommendation) for proposal in trace.proposals])


def _add_nested(
    record: CaseRecord, trace: Trace, first: Session, engine: Engine, draw: Draw, iterations: int
) -> None:
    """What users make of the click who want another structure that holds it."""
    if not draw.others or isinstance(engine, OracleEngine):
        return
    record.nested.append(_best_shown(trace))
    for mask in draw.others.values():
        record.nested.append(_best_shown(_pick_on(Trace(), first, engine, mask, iterations)))


def _best_shown(trace: Trace) -> list[float]:
    """The best Dice among the masks shown at the first and at the last iteration."""
    return _rounded([max(trace.dice[at], *trace.candidates[at], 0.0) for at in (0, -1)])


def _add_masks(record: CaseRecord, trace: Trace, case: Case, missing: int) -> None:
    for proposal in trace.proposals:
        shown = [candidate.mask for candidate in proposal.candidates]
        record.similarity.append(_rounded(pairwise_dice(np.stack(shown))) if shown else [])
    values = [_rounded(dice_of_each(case.masks, p.recommendation)) for p in trace.proposals]
    record.rater_dice = _held(values, missing)
    record.consensus_dice = _rounded(dice_with_the_others(case.masks))
    if case.raters:
        first, last = trace.proposals[0], trace.proposals[-1]
        record.pictures = {
            "first": pack_mask(first.recommendation),
            "last": pack_mask(last.recommendation),
        }


def _add_uncertainty(record: CaseRecord, first: Proposal, case: Case, draw: Draw, protocol_seed: int) -> None:
    ged, d_max, drawn = spread_against_raters(first, case.masks, case.spacing)
    record.ged, record.d_max = round(ged, DIGITS), round(d_max, DIGITS)
    record.ged_drawn = None if drawn is None else round(drawn, DIGITS)
    rng = generator(case.dataset, case.case_id, protocol_seed, "samples")
    few = spread_of_few(first, case.masks, case.spacing, rng)
    record.ged_16, record.hm_iou_16, record.d_max_16 = _rounded(list(few))
    counts = calibration_in_region(first, draw.target, case.spacing)
    record.calibration = [_rounded(row) for row in counts]


def _rounded(values: np.ndarray | list[float]) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def _held(values: list, missing: int) -> list:
    """The last value stands for the iterations that did not take place."""
    return values + [values[-1]] * missing
