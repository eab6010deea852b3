"""The page: its text, its looks and what the server tells it."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trame_client.ui.html import DivLayout
from trame_rca import module as rca_module

from SPASegmentLib.imaging.terminology import STRUCTURES
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from SPASegmentLib.mrml.screen import ObjectShown

ASSETS = Path(__file__).with_name("assets")
SERVED_AS = "viewer"

KEPT = "What was approved up to the last second is kept."

STATE: dict[str, Any] = {
    # what is worked on
    "volumes": [],
    "volume": "",
    "places": [],
    "image_warnings": [],
    "profiles": [],
    "profile": "",
    "new_profile": "",
    "naming_profile": False,
    "learn": True,
    "segment": "Segment",
    "segments": [],
    "structure": "",
    "structures": [{"value": name, "title": name.replace("-", " ").capitalize()} for name in STRUCTURES],
    "dicom": False,
    # how it is looked at
    "is_ct": False,
    "has_own_window": False,
    "window": "model",
    "window_text": "",
    "window_low": 0.0,
    "window_high": 1.0,
    "model_sees": "",
    "flat": False,
    "unit": "mm²",
    "orientation": "Axial",
    "slice_min": 0.0,
    "slice_max": 1.0,
    "slice_step": 1.0,
    "slice_at": 0.0,
    "slice_count": 1,
    "slice_text": "",
    "letters": ["", "", "", ""],
    "cursor": None,
    "excluding": False,
    "drawing": "",
    "marks": [],
    "doubtful": [],
    "show_3d": False,
    "has_surface": False,
    # what is happening
    "screen": {
        "status": "",
        "tone": "hint",
        "detail": "",
        "busy": False,
        "progress": None,
        "iteration": 0,
        "seconds": None,
        "cards": [],
        "recommendation": None,
        "enabled": [],
        "warnings": [],
        "doubtful": False,
        "object": None,
    },
    "job": "",
    "job_share": None,
    "problem": "",
    "question": None,
    "resume_offer": "",
    "company": "",
    "unkept": "",
    "keys": [],
    "help": False,
    "study": None,
}


def install(server: Any) -> None:
    """Give the server the page, its script and its looks; nothing is fetched from elsewhere."""
    server.state.update(STATE)
    server.state.trame__title = "SPASegment"
    server.state.trame__favicon = None
    server.state.trame__template_error = stopped("")
    server.enable_module(rca_module)
    server.enable_module(
        {
            "serve": {SERVED_AS: str(ASSETS)},
            "scripts": [f"{SERVED_AS}/viewer.js"],
            "styles": [f"{SERVED_AS}/viewer.css"],
        }
    )
    with DivLayout(server, classes="spa-root") as layout:
        layout.root.clear()
        layout.root.add_child((ASSETS / "page.html").read_text(encoding="utf-8"))


def stopped(unkept: str) -> str:
    """What the page becomes when the server is gone. unkept: the reason why not all work is kept, if so."""
    words = f"Not everything approved is kept: {unkept}." if unkept else KEPT
    return (ASSETS / "stopped.html").read_text(encoding="utf-8").replace("{words}", words)


def shown(screen: Any, *, sized: bool = True) -> dict[str, Any]:
    """A controller's screen as the page draws it; pictures stay here, the page has live views.

    sized: whether pixels have a size; areas are numbers of pixels else.
    """
    return {
        "status": screen.status,
        "tone": screen.tone,
        "detail": screen.detail,
        "busy": screen.busy,
        "progress": screen.progress,
        "iteration": screen.iteration,
        "seconds": screen.seconds,
        "cards": [_card(card, sized) for card in screen.cards],
        "recommendation": None if screen.recommendation is None else _card(screen.recommendation, sized),
        "enabled": sorted(screen.enabled),
        "warnings": list(screen.warnings),
        "doubtful": screen.doubtful,
        "object": None if screen.object is None else {"words": _object(screen.object)},
    }


def _object(shown: ObjectShown) -> str:
    """What is said of the whole object: its volume and slices."""
    doubtful = f", {len(shown.doubtful)} doubtful" if shown.doubtful else ""
    return f"Whole object: {shown.volume_ml:.2f} ml on {count_of(len(shown.slices), 'slice')}{doubtful}"


def _card(card: Any, sized: bool) -> dict[str, Any]:
    assert is_dataclass(card) and not isinstance(card, type)
    told = {key: value for key, value in asdict(card).items() if key != "thumbnail"}
    if not sized:
        for key in ("name", "meaning"):
            told[key] = told[key].replace("mm²", "px")
    return told
