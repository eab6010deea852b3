"""The sub-commands of `spasegment`. Modules here import fast; heavy imports wait until a command runs."""

from __future__ import annotations

import sys


def command() -> None:
    """Run `spasegment`, or say in a sentence what it lacks where the library was installed without it."""
    try:
        from SPASegmentLib.cli.main import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("SPASegmentLib"):
            raise
        sys.exit(f'The command needs the package {error.name}; run: pip install "spasegment[cli]"')
    main()
