"""`spasegment segment --whole-object`: from one approved slice to the object in the volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from SPASegmentLib.cli.dialogue import answered, parse_picks
from SPASegmentLib.errors import InputError
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from SPASegmentLib.imaging.slicing import OpenedSlice
    from SPASegmentLib.inference.fill import WholeObject
    from SPASegmentLib.inference.messages import Engine
    from SPASegmentLib.inference.object_session import ObjectSession
    from SPASegmentLib.inference.session import Session

END = "end"
MONTAGE = "whole-object.png"


@dataclass(frozen=True)
class AnchorOption:
    """A reviewed slice. index: along the volume's axis. answers: picks on it; None: the object ends there."""

    index: int
    answers: list[str] | None


def parse_anchor(text: str) -> AnchorOption:
    """ "90:2,1", "90:" or "90:end" -> what was said of slice 90. Raises InputError."""
    number, colon, rest = text.partition(":")
    if not colon or not number.strip().isdigit():
        raise InputError(
            f'--anchor has "{text}"; give a slice\'s number and picks, such as 90:2,1 or 90: or 90:end.'
        )
    ends = rest.strip().lower() == END
    return AnchorOption(int(number), None if ends else parse_picks(rest))


def fill_object(
    engine: Engine,
    opened: OpenedSlice,
    session: Session,
    anchors: list[AnchorOption],
    follow: Callable[[ObjectSession], object],
) -> ObjectSession:
    """The object around an approved slice, then with every anchor. Raises what the engine raises.

    follow: computes what is missing (`ObjectSession.run`), and may show how far it is.
    """
    from SPASegmentLib.inference.object_session import ObjectSession
    from SPASegmentLib.profiles.evidence import object_prior

    mask = session.result().mask
    found = ObjectSession(
        engine,
        opened,
        mask,
        log_prior=object_prior(session, mask),
        random_seed=session.random_seed,
    )
    follow(found)
    for anchor in anchors:
        if anchor.answers is None:
            found.end(anchor.index)
        elif not anchor.answers and anchor.index in found.object.masks:
            found.accept(anchor.index)
        else:
            there, review = found.review(anchor.index)
            for answer in anchor.answers:
                review = answered(review, answer).advance(engine)
            found.approve(there, review.approve().result().mask)
        follow(found)
    return found


def follow_on(screen: Console, found: ObjectSession) -> None:
    """Compute what is missing of an object, with its progress on the terminal."""
    with screen.status("Following the object...") as status:

        def across(done: int, of: int) -> None:
            status.update(f"Looking at the object across its slices: {min(done, of)} of {of}")

        for number, one in enumerate(found.run(across=across), start=1):
            status.update(f"Following the object: slice {one.index}, {count_of(number, 'slice')} so far")


def object_record(found: ObjectSession) -> dict[str, Any]:
    """The object in numbers, for scripts."""
    whole = found.object
    return {
        "volume_ml": round(whole.volume_ml, 6),
        "axis": "kji"[found.stack.axis],
        "step_mm": round(whole.step_mm, 6),
        "slices": [
            {
                "index": one.index,
                "area_mm2": round(one.area_mm2, 6),
                "expected_dice": round(one.expected_dice, 6),
                "presence": round(one.presence, 6),
                "approved": one.anchor,
                "reason": one.reason,
            }
            for one in whole.slices
        ],
        "doubtful": [one.index for one in whole.doubtful],
    }


def object_lines(whole: WholeObject) -> list[str]:
    """The object in words: its volume, and the slices worth a look."""
    first, last = whole.slices[0].index, whole.slices[-1].index
    lines = [
        f"Whole object: {whole.volume_ml:.2f} ml on {count_of(len(whole.slices), 'slice')}, {first} to {last}"
    ]
    doubtful = whole.doubtful[:SHOWN]
    if doubtful:
        lines.append("Worth a look, the most doubtful first:")
    for one in doubtful:
        lines.append(f"  slice {one.index}: {one.reason}, expected Dice {one.expected_dice:.2f}")
    if len(whole.doubtful) > SHOWN:
        lines.append(f"  and {len(whole.doubtful) - SHOWN} more")
    return lines


SHOWN = 5
"""Doubtful slices that are named."""


def write_montage(found: ObjectSession, path: Path) -> None:
    """One picture of all slices with the object on them, in order; approved ones are framed.

    Raises InputError where it cannot be written.
    """
    import numpy as np
    from matplotlib.image import imsave

    from SPASegmentLib.reporting.overlay import RECOMMENDED, draw, stretched, view_of

    whole = found.object
    shown = whole.slices[:: -(-len(whole.slices) // MOST)]
    first = found.stack.image(shown[0].index)
    assert first is not None  # every slice of an object was seen
    view = view_of([one.mask for one in shown], [], first.spacing)
    tiles = []
    for one in shown:
        image = found.stack.image(one.index)
        assert image is not None
        tile = draw(stretched(image.pixels, view), view, TILE, [(one.mask, RECOMMENDED)])
        if one.anchor:
            for edge in (np.s_[:3], np.s_[-3:], np.s_[:, :3], np.s_[:, -3:]):
                tile[edge] = 255
        tiles.append(np.pad(tile, ((2, 2), (2, 2), (0, 0))))
    across = min(len(tiles), ACROSS)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    rows = [np.concatenate(tiles[at : at + across], axis=1) for at in range(0, len(tiles), across)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, np.concatenate(rows), metadata={"Software": None})  # type: ignore[dict-item]
    except OSError as error:
        raise InputError(f"The picture cannot be written to {path}; choose another folder.") from error


MOST, ACROSS, TILE = 60, 10, 160
"""Slices on a montage, in a row, and dots of each."""
