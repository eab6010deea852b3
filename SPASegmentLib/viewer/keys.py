"""Key sequences in Qt's words, as a browser reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

_NAMED = {
    "Return": "Enter",
    "Enter": "Enter",
    "Backspace": "Backspace",
    "Esc": "Escape",
    "Escape": "Escape",
    "Up": "ArrowUp",
    "Down": "ArrowDown",
    "Left": "ArrowLeft",
    "Right": "ArrowRight",
    "Space": "Space",
    "Del": "Delete",
    "Delete": "Delete",
    "Home": "Home",
    "PgUp": "PageUp",
    "PgDown": "PageDown",
}
LETTERS = {"undo": ("U",), "redo": ("Shift+U",)}
"""Further keys, where a browser might take the usual one for itself."""


@dataclass(frozen=True)
class Stroke:
    """One key as `KeyboardEvent.code` names it, with its modifiers, and the action it stands for."""

    code: str
    shift: bool
    ctrl: bool
    action: str


def stroke(sequence: str, action: str) -> Stroke:
    """A sequence such as "Shift+1" or "Return" for an action."""
    *modifiers, key = sequence.split("+")
    words = {word.lower() for word in modifiers}
    if len(key) == 1 and key.isdigit():
        code = f"Digit{key}"
    elif len(key) == 1 and key.isalpha():
        code = f"Key{key.upper()}"
    else:
        code = _NAMED[key]
    return Stroke(code, "shift" in words, bool({"ctrl", "meta"} & words), action)


def strokes(keys: Mapping[str, str], also: Mapping[str, tuple[str, ...]]) -> list[dict[str, object]]:
    """For the page: every key of {action: sequence}, and the further ones of the same actions."""
    found: dict[Stroke, None] = {}
    for action, sequence in keys.items():
        for each in dict.fromkeys((sequence, *also.get(action, ()), *LETTERS.get(action, ()))):
            found[stroke(each, action)] = None
    return [asdict(key) for key in found]
