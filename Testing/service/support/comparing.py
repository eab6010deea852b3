"""Whether two values are the same to the last bit, whatever fields they have."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def differences(a: Any, b: Any, place: str = "", ignored: tuple[str, ...] = ()) -> list[str]:
    """Where they differ. ignored: names of fields that are not looked at."""
    if is_dataclass(a) and type(a) is type(b):
        return [
            found
            for field in fields(a)
            if field.name not in ignored
            for found in differences(
                getattr(a, field.name), getattr(b, field.name), f"{place}.{field.name}", ignored
            )
        ]
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return [] if same else [f"{place}: {a.dtype}{a.shape} and {b.dtype}{b.shape}"]
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return [
            f
            for i, (x, y) in enumerate(zip(a, b, strict=True))
            for f in differences(x, y, f"{place}[{i}]", ignored)
        ]
    return [] if type(a) is type(b) and repr(a) == repr(b) else [f"{place}: {a!r} and {b!r}"]
