"""The person at the terminal: whether one is there, what is asked of them, pictures in the text."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from SPASegmentLib.imaging.choice import Wanted

_CHUNK = 4096
"""Most characters of a picture that kitty's protocol takes at a time."""
_INLINE = ("iTerm.app", "WezTerm", "vscode", "mintty")


def is_terminal() -> bool:
    """Whether there is a person to ask and to show things to."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask_to_overwrite(paths: Sequence[Path | None], *, force: bool) -> None:
    """Make sure that existing files may be overwritten, by --force or by asking.

    Raises InputError where nobody can be asked, Cancelled where the answer is no.
    """
    from SPASegmentLib.errors import Cancelled, InputError

    for path in paths:
        if force or path is None or not path.exists():
            continue
        if not is_terminal():
            raise InputError(f"{path} exists already; give another name, or --force to overwrite it.")
        if input(f"{path} exists already. Overwrite it? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Cancelled(f"{path} was left as it is; nothing was computed.")


def wanted_of(console: Console, series: str | None, time: int | None, resample: bool) -> Wanted:
    """What the options choose; a person at a terminal is asked for the rest."""
    from SPASegmentLib.imaging.choice import Wanted

    def choose(what: str, labels: Sequence[str]) -> int:
        from SPASegmentLib.errors import Cancelled

        console.print(f"{what}:")
        for number, label in enumerate(labels, start=1):
            console.print(f"  {number}  {label}")
        while True:
            try:
                text = console.input(f"1-{len(labels)}, Enter for 1, q quit: ").strip().lower()
            except EOFError:
                text = "q"
            if text == "q":
                raise Cancelled("Stopped before anything was read.")
            if not text or (text.isdigit() and 1 <= int(text) <= len(labels)):
                return int(text or 1) - 1
            console.print(f'"{text}" is no answer.')

    return Wanted(series, time, resample, choose if is_terminal() else None)


def show_picture(console: Console, path: Path) -> bool:
    """Draw a PNG between the lines of a terminal that can; whether it could."""
    # kitty's protocol, or iTerm2's
    data = base64.b64encode(path.read_bytes()).decode()
    if os.environ.get("KITTY_WINDOW_ID") or os.environ.get("TERM") in ("xterm-kitty", "xterm-ghostty"):
        parts = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
        for number, part in enumerate(parts):
            head = "a=T,f=100," if number == 0 else ""
            console.file.write(f"\033_G{head}m={int(number < len(parts) - 1)};{part}\033\\")
        console.file.write("\n")
    elif os.environ.get("TERM_PROGRAM") in _INLINE or os.environ.get("LC_TERMINAL") == "iTerm2":
        console.file.write(f"\033]1337;File=inline=1;width=100%:{data}\a\n")
    else:
        return False
    console.file.flush()
    return True
