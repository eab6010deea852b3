"""Segment Anything's modules, imported so that they do not end a process that draws in software.

segment_anything imports torchvision, which imports triton. Its LLVM and that of Mesa's software OpenGL cannot
be loaded in this order: the process ends with a segmentation fault. Nothing here compiles, so triton is
kept out where Mesa's LLVM is there already; with triton first, or with a graphics card, nothing is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def draws_in_software() -> bool:
    """Whether this process has loaded the LLVM of software OpenGL (known on Linux only)."""
    try:
        return "/libLLVM" in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


@contextmanager
def without_triton() -> Iterator[None]:
    """Let nothing import triton meanwhile, where that would end the process."""
    if "triton" in sys.modules or not draws_in_software():
        yield
        return
    sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["triton"]


with without_triton():
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer

__all__ = ["ImageEncoderViT", "MaskDecoder", "PromptEncoder", "TwoWayTransformer"]
