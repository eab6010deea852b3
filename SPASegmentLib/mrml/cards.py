"""The recommendation and the candidates as cards: words, areas, picture."""

from __future__ import annotations

from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.mrml.screen import CANDIDATES, Card
from SPASegmentLib.mrml.thumbnails import thumbnails


def cards_of(image: SliceImage, proposal: Proposal) -> tuple[Card, ...]:
    """The recommendation's card, then one per candidate."""
    pictures = thumbnails(image, proposal)
    recommended = Card(0, "recommendation", "", proposal.area_mm2, 0.0, 0.0, 1.0, pictures[0])
    cards = [recommended]
    for k, candidate in enumerate(proposal.candidates[:CANDIDATES]):
        about = candidate.description
        name, _, meaning = about.name.replace("mm2", "mm²").partition(": ")
        cards.append(
            Card(
                k + 1,
                name,
                meaning,
                about.area_mm2,
                about.added_mm2,
                about.removed_mm2,
                about.support,
                pictures[k + 1],
            )
        )
    return tuple(cards)
