"""The screen that belongs to a state of the interaction."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.inference.checks import MODEL_DOUBTS, is_doubtful
from SPASegmentLib.mrml.engine_holder import EngineHolder
from SPASegmentLib.mrml.interaction import SceneInteraction
from SPASegmentLib.mrml.keys import PICKS, TAKES
from SPASegmentLib.mrml.layout import OBJECT_SHARE
from SPASegmentLib.mrml.profile_controller import ProfileController
from SPASegmentLib.mrml.screen import Card, Screen, Tone
from SPASegmentLib.mrml.settings import InteractionSettings
from SPASegmentLib.mrml.target import Target
from SPASegmentLib.mrml.work import Work

WIDE = 1.2
"""Views show this many times the extent of all masks where one reaches far beyond the recommendation."""
FEWEST = 8
"""Pixels an object counts for at least where views are zoomed to it; one alone says nothing."""
LOADING = "Loading the model; this takes a few seconds, Esc cancels."
COMPUTING = "Computing; Esc cancels."
QUEUED = "{name} comes after this one; Esc drops it."
DOUBTFUL = "Doubtful mask: pick another, or correct it with a point; Enter approves it as it is."
APPROVED = "{how}; Up carries the object to the next slice, Backspace takes it back."


def make_screen(
    work: SceneInteraction,
    target: Target,
    settings: InteractionSettings,
    profiles: ProfileController,
    holder: EngineHolder,
    said: tuple[str, Tone],
) -> Screen:
    """said: a sentence that goes before what to do next, or ""."""
    current = work.current
    status, tone = _status(work, current)
    if said[0]:
        status, tone = said
    cards = _cards(current)
    session = current.session if current is not None else None
    proposal = current.proposal if current is not None else None
    seconds = (proposal.seconds or {}).get("total") if proposal is not None else None
    profile = profiles.profile
    return Screen(
        status=status,
        tone=tone,
        detail=_detail(session.iteration if session else 0, seconds, profiles, settings),
        busy=work.computing,
        recommendation=cards[0] if cards else None,
        cards=cards[1:],
        iteration=session.iteration if session else 0,
        seconds=seconds,
        enabled=_enabled(work, current),
        warnings=_warnings(current, target),
        profile=profile.name if profile is not None else None,
        profile_images=profile.n_images if profile is not None else 0,
        learn=settings.learn,
        model=holder.model,
        device=holder.device,
        segment=target.segment_name,
        profiles=profiles.names,
        notes=profiles.notes,
        seeds=_seeds(current),
        object_at=_object_at(current) if cards else None,
        object=followed.shown if (followed := work.followed) is not None else None,
        doubtful=bool(cards) and proposal is not None and is_doubtful(proposal),
        approved=tuple(
            one.slice_place
            for one in work.trail
            if one.finished and one.view.volume_id == work.trail.volume_id
        ),
    )


def _status(work: SceneInteraction, current: Work | None) -> tuple[str, Tone]:
    if work.queued is not None:
        return QUEUED.format(name=work.queued.name), "busy"
    if work.waiting:
        return LOADING, "busy"
    if not work.has_volume:
        return "Choose a volume to begin.", "hint"
    if work.requests.reviving is not None or (current is not None and current.computing):
        return COMPUTING, "busy"
    if current is None or current.session is None or current.empty:
        return "Click a seed on the object.", "hint"
    if current.session.finished:
        return APPROVED.format(how=current.session.state.capitalize()), "done"
    if current.proposal is not None and is_doubtful(current.proposal):
        return DOUBTFUL, "hint"
    return current.session.what_next, "hint"


def _detail(
    iteration: int, seconds: float | None, profiles: ProfileController, settings: InteractionSettings
) -> str:
    parts = [f"proposal {iteration}"] if iteration else []
    if seconds is not None:
        parts.append(f"{seconds:.1f} s")
    if profiles.profile is not None:
        n = profiles.profile.n_images
        parts.append(f'profile "{profiles.profile.name}" ({n} image{"" if n == 1 else "s"})')
        if not settings.learn:
            parts.append("not learning")
    if settings.keep_approved is not None:
        parts.append("approvals are kept")
    return " · ".join(parts)


def _cards(current: Work | None) -> tuple[Card, ...]:
    if current is None or current.finished or current.proposal is None:
        return ()
    return current.cards.get(current.proposal, ())


def _seeds(current: Work | None) -> tuple[tuple[float, float, float, bool], ...]:
    if current is None:
        return ()
    points = current.session.points if current.session is not None else ()
    if current.opening is not None:
        points = (current.opening,)
    places = [(current.view.to_world(p.row, p.col), p.positive) for p in points]
    return tuple((float(r), float(a), float(s), positive) for (r, a, s), positive in places)


def _object_at(current: Work | None) -> tuple[float, float, float, float] | None:
    """Middle and extent of the recommendation, or of more where a candidate reaches far beyond it."""
    proposal = current.proposal if current is not None else None
    if current is None or proposal is None:
        return None
    spacing = np.array(current.view.image.spacing)
    every = _box(np.logical_or.reduce([proposal.recommendation, *(c.mask for c in proposal.candidates)]))
    if every is None:
        return None
    box = _box(proposal.recommendation)
    if box is not None:
        middle, room = (box[0] + box[1]) / 2, OBJECT_SHARE / 2 * float(((box[1] - box[0]) * spacing).max())
        if (np.abs(np.array(every) - middle) * spacing > room).any():
            box = None
    low, high = every if box is None else box
    extent = float(((high - low) * spacing).max()) * (1 if box is not None else WIDE / OBJECT_SHARE)
    ras = current.view.to_world(*(float(at) for at in (low + high - 1) / 2))
    return float(ras[0]), float(ras[1]), float(ras[2]), max(extent, FEWEST * float(spacing.max()))


def _box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(row, col) of the first pixel that is set, and after the last; None where none is."""
    if not mask.any():
        return None
    lines = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    return np.array([at[0] for at in lines]), np.array([at[-1] + 1 for at in lines])


def _warnings(current: Work | None, target: Target) -> tuple[str, ...]:
    """What is off; that the model doubts its mask stands in the status line already."""
    said = [target.doubt] if target.doubt else []
    if current is not None:
        proposal = current.proposal
        said += [*current.doubts, *current.view.image.warnings, *(proposal.warnings if proposal else ())]
    return tuple(one for one in dict.fromkeys(said) if one != MODEL_DOUBTS)


def _enabled(work: SceneInteraction, current: Work | None) -> frozenset[str]:
    names: set[str] = set()
    if work.has_volume and work.has_view:
        names |= {"seed", "next_slice", "previous_slice"}
    if work.can_continue:
        names.add("continue_segment")
    session = current.session if current is not None else None
    if session is not None and session.state == "open" and current is not None and not current.computing:
        shown = len(session.proposal.candidates) if session.proposal is not None else 0
        names |= {"approve", "approve_next", "whole_object", *PICKS[:shown], *TAKES[:shown]}
        names |= {"none_of_these", "keep"} if shown else set()
    if current is not None and current.finished and not work.computing:
        names |= {"whole_object", "approve_next"}
    followed = work.followed
    if followed is not None:
        names |= {"first_anchor", *({"next_doubtful"} if followed.found.doubtful else set())}
    if work.computing:
        names.add("cancel")
    if work.computing or (current is not None and not current.empty) or work.trail.before() is not None:
        names.add("undo")
    if not work.computing and ((current is not None and current.can_redo) or work.trail.after() is not None):
        names.add("redo")
    return frozenset(names)
