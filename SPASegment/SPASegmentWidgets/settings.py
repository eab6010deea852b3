"""What the user set and expects to find again tomorrow, kept in Slicer's own settings."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field, fields

import qt

KEY = "SPASegment/settings"


@dataclass
class PanelSettings:
    """model: name or path. device: auto | cpu | cuda | mps. samples: N, 0 for the model's own.

    window: (low, high) intensities, or None for automatic. colors: role -> "#rrggbb", those changed.
    keys: action -> key sequence, those changed. profile: the one used last, "" for none.
    own_layout: whether the five views are shown. installing: an installation waits for a restart.
    server: address of what computes, "" for this computer. server_key: the user's key there.
    keep_approved: folder that approved crops and masks are kept in, "" where none are.
    """

    model: str = "general"
    device: str = "auto"
    samples: int = 0
    learn: bool = True
    window: tuple[float, float] | None = None
    colors: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    profile: str = ""
    own_layout: bool = True
    installing: bool = False
    server: str = ""
    server_key: str = field(default="", repr=False)
    keep_approved: str = ""

    @classmethod
    def load(cls) -> PanelSettings:
        """As saved; what cannot be read is as shipped."""
        settings = cls()
        text = qt.QSettings().value(KEY, "")
        if not text:
            return settings
        try:
            saved = json.loads(str(text))
        except ValueError:
            logging.warning("SPASegment: the settings could not be read and are as shipped again")
            return settings
        for one in fields(cls):
            value = saved.get(one.name, None) if isinstance(saved, dict) else None
            if one.name == "window" and isinstance(value, list) and len(value) == 2:
                settings.window = (float(value[0]), float(value[1]))
            elif one.name != "window" and type(value) is type(getattr(settings, one.name)):
                setattr(settings, one.name, value)
        return settings

    def save(self) -> None:
        """Write at once, so that a crash loses nothing."""
        store = qt.QSettings()
        store.setValue(KEY, json.dumps(asdict(self)))
        store.sync()
