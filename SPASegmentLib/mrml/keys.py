"""The actions a face offers by name, their default keys and tooltips. Standard library only."""

from __future__ import annotations

from SPASegmentLib.mrml.screen import CANDIDATES

PICKS = tuple(f"pick:{k}" for k in range(CANDIDATES))
TAKES = tuple(f"take:{k}" for k in range(CANDIDATES))

KEYS: dict[str, str] = {
    **{name: str(k + 1) for k, name in enumerate(PICKS)},
    **{name: f"Shift+{k + 1}" for k, name in enumerate(TAKES)},
    "none_of_these": "0",
    "keep": "K",
    "approve": "Return",
    "approve_next": "Shift+Return",
    "undo": "Backspace",
    "redo": "Shift+Backspace",
    "next_slice": "Up",
    "previous_slice": "Down",
    "whole_object": "F",
    "continue_segment": "C",
    "next_doubtful": "Space",
    "first_anchor": "Home",
    "cancel": "Esc",
}
"""Action name (`Controller.act`) -> key sequence as Qt writes it (QKeySequence.fromString)."""

ALSO: dict[str, tuple[str, ...]] = {
    "approve": ("Enter",),
    "approve_next": ("Shift+Enter",),
    "undo": ("Ctrl+Z",),
    "redo": ("Ctrl+Y", "Ctrl+Shift+Z"),
}
"""Further keys of the same actions: the keypad's Enter, and what every application has for undo."""

TOOLTIPS: dict[str, str] = {
    **{name: f"Pick alternative {k + 1}: a new proposal follows." for k, name in enumerate(PICKS)},
    **{name: f"Take alternative {k + 1} as final, as it is." for k, name in enumerate(TAKES)},
    "none_of_these": "None of these: show four others.",
    "keep": "Keep the recommendation and show other alternatives around it.",
    "approve": "Approve the recommendation: its mask is written into the segment.",
    "approve_next": "Approve and go on: to the next slice, in a whole object to the next doubtful one.",
    "undo": "Take the last step back; after an approval the mask and what was learnt go with it.",
    "redo": "Bring back the step that was undone last.",
    "next_slice": "Go to the next slice and carry the object over.",
    "previous_slice": "Go to the previous slice and carry the object over.",
    "whole_object": "Approve the recommendation and follow the object through all its slices.",
    "continue_segment": "Go on from what the segment has on this slice: it is the recommendation.",
    "next_doubtful": "Go to the next doubtful slice of the object; approving it there mends its neighbours.",
    "first_anchor": "Go back to the slice the object was followed from.",
    "cancel": "Drop the step that waits, or stop computing; nothing is changed.",
}
"""One sentence per action, without its key."""


def key_text(sequence: str) -> str:
    """A key sequence as people read it: "Return" is Enter."""
    return sequence.replace("Return", "Enter")


def tooltip(action: str, keys: dict[str, str] | None = None) -> str:
    """The sentence of an action with its key in brackets. keys: the user's own bindings, or None."""
    sequence = (KEYS if keys is None else keys).get(action, "")
    return f"{TOOLTIPS[action]} ({key_text(sequence)})" if sequence else TOOLTIPS[action]
