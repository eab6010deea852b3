"""TIFF files made field by field, in strips or tiles."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write_tiff(path: Path, pages: list[np.ndarray], tile: int | None = None) -> Path:
    """Uncompressed pages, (H, W[, 3]), in strips or in square tiles."""
    content, links = bytearray(b"II*\0\0\0\0\0"), 4
    for page in pages:
        height, width, samples = *page.shape[:2], page[0, 0].size
        step_y, step_x = (tile, tile) if tile else (height, width)
        blocks = []
        for y in range(0, height, step_y):
            for x in range(0, width, step_x):
                block = np.zeros((step_y, step_x, *page.shape[2:]), page.dtype)
                part = page[y : y + step_y, x : x + step_x]
                block[: part.shape[0], : part.shape[1]] = part
                blocks.append((len(content), block.nbytes))
                content += block.tobytes()
        places, sizes = [list(one) for one in zip(*blocks, strict=True)]
        tags = {256: [width], 257: [height], 258: [page.itemsize * 8] * samples, 259: [1]}
        tags |= {262: [2 if samples == 3 else 1], 277: [samples]}
        tags |= {322: [tile], 323: [tile], 324: places, 325: sizes} if tile else {}
        tags |= {} if tile else {273: places, 278: [height], 279: sizes}
        entries = b""
        for tag, values in sorted(tags.items()):
            kind = "H" if tag in (258, 259, 262, 277) else "I"
            raw = struct.pack(f"<{len(values)}{kind}", *values)
            if len(raw) > 4:
                content += raw
                raw = struct.pack("<I", len(content) - len(raw))
            entries += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(values)) + raw.ljust(4, b"\0")
        content[links : links + 4] = struct.pack("<I", len(content))
        content += struct.pack("<H", len(tags)) + entries
        links = len(content)
        content += bytes(4)
    path.write_bytes(content)
    return path
