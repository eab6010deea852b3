"""Answers of a model that are computed once, for tests of what is done with them.

Equal requests give equal proposals (`ProposalRequest`; Testing/inference tests it), and many tests begin with
the same click: what one of them was answered is the answer of the next, in this process of pytest only.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import Cancelled
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import CancelToken, Proposal, ProposalRequest

if TYPE_CHECKING:
    from SPASegmentLib.inference.local import LocalEngine

KEPT = 300
"""Answers kept, the one used last at the end: some hundred MB."""
_known: OrderedDict[str, Proposal] = OrderedDict()


def remembered(
    propose: Callable[[ProposalRequest, CancelToken | None], Proposal],
    engine: LocalEngine,
    request: ProposalRequest,
    cancel: CancelToken | None = None,
) -> Proposal:
    """What an engine's `propose` gives, or gave to an equal request; an object of its own each time.

    Raises what `propose` raises.
    """
    if cancel is not None and cancel.is_set():
        raise Cancelled("Cancelled; nothing was changed.")
    key = _digest((engine.model, str(engine.device), request))
    if key not in _known:
        _known[key] = propose(request, cancel)
        if len(_known) > KEPT:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return replace(_known[key])


def _digest(value: Any) -> str:
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    """Everything a value holds, with what tells types, shapes and lengths apart."""
    if isinstance(value, np.ndarray):
        digest.update(repr(("array", value.dtype.str, value.shape)).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, tuple | list):
        digest.update(repr(("row", len(value))).encode())
        for one in value:
            _add(digest, one)
    elif isinstance(value, SliceImage):
        about = ("image", value.key_with_neighbours, value.spacing, value.modality, value.warnings)
        digest.update(repr(about).encode())
    elif is_dataclass(value):
        digest.update(type(value).__name__.encode())
        for field in fields(value):
            if field.name != "seconds":
                _add(digest, getattr(value, field.name))
    else:
        assert value is None or isinstance(value, str | int | float | np.number), type(value)
        digest.update(repr(value).encode())
