"""Where this account keeps what is its own: profiles, models, work to resume."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from SPASegmentLib.errors import InputError


def own_folder(variable: str, usual: Callable[[], Path]) -> Path:
    """The folder that an environment variable names, else the usual one of this system, which need not exist.

    Raises InputError where it depends on a home folder and the account has none, as in a container that runs
    as a number.
    """
    named = os.environ.get(variable)
    try:
        folder = Path(named).expanduser() if named else usual()
        if named or folder.is_absolute():  # platformdirs before 4.4 leaves "~" as it is
            return folder
    except RuntimeError:
        pass
    raise InputError(
        f"This account has no home folder to keep files in; set HOME, or {variable}, to a folder of yours."
    )
