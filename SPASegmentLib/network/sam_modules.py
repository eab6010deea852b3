"""Segment Anything's network modules, without what else its package imports.

Importing `segment_anything` also imports its predictor, and with it torchvision and triton, which no network
needs; triton's LLVM even ends a process that has loaded the one of Mesa's software OpenGL.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PACKAGE = "segment_anything"


@contextmanager
def _not_executed(package: str) -> Iterator[None]:
    """Let modules of a package be imported meanwhile without running the package's own file.

    Nothing of it stays behind: whoever imports the package later gets the whole of it.
    """
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None:
        yield
        return
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]


with _not_executed(_PACKAGE):
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer

__all__ = ["ImageEncoderViT", "MaskDecoder", "PromptEncoder", "TwoWayTransformer"]
