"""Draws which part of the code imports which, read from the code: docs/images/imports.svg.

python docs/make_import_graph.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "imports.svg"
sys.path.insert(0, str(ROOT / "Testing"))

from test_imports import ORDER, files_of, imported_modules  # noqa: E402

PANEL = "the panel (SPASegment)"
PARTS = (PANEL, *reversed(ORDER))
"""Every part, from the top of the picture down: each may import those below it."""
TOP, STEP, HEIGHT, LEFT, WIDTH = 20, 40, 26, 20, 190

Arrow = tuple[str, str]


def imports() -> set[Arrow]:
    """(who, what) of all parts of the code that import another part."""
    found = set()
    for part in PARTS:
        files = sorted((ROOT / "SPASegment").rglob("*.py")) if part == PANEL else files_of(part)
        for name in {name for path in files for name, _ in imported_modules(path)}:
            owner = max(
                (p for p in ORDER if f"{name}.".startswith(f"SPASegmentLib.{p}.")), key=len, default=""
            )
            if owner and owner != part:
                found.add((part, owner))
    return found


def implied(arrows: set[Arrow]) -> set[Arrow]:
    """The arrows between parts that are joined by others already; they are drawn faintly."""

    def reaches(start: str, end: str) -> bool:
        return any(what == end or reaches(what, end) for who, what in arrows if who == start)

    return {
        (who, what) for who, what in arrows if any(reaches(via, what) for w, via in arrows if w == who != via)
    }


def draw(arrows: set[Arrow]) -> str:
    """The picture: parts in one column, what runs down on the right; what ran up would stand on the left."""
    faint = implied(arrows)
    middle = {part: TOP + STEP * index + HEIGHT / 2 for index, part in enumerate(PARTS)}
    edge = LEFT + WIDTH
    lines = []
    for who, what in sorted(arrows, key=lambda a: (a not in faint, PARTS.index(a[0]), PARTS.index(a[1]))):
        start, end = middle[who] + 4, middle[what] - 4
        side, out = (edge, 1) if end > start else (LEFT, -1)
        bow = side + out * (14 + 0.62 * abs(end - start))
        style, title = "faint" if (who, what) in faint else "plain", f"{who} imports {what}"
        lines.append(
            f'  <path class="{style}" d="M {side} {start:g} C {bow:g} {start:g} {bow:g} {end:g}'
            f' {side + 7 * out} {end:g}" marker-end="url(#{style})"><title>{title}</title></path>'
        )
    for part, y in middle.items():
        lines.append(
            f'  <rect x="{LEFT}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
            f'<text x="{LEFT + WIDTH / 2:g}" y="{y + 4.5:g}">{part}</text>'
        )
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" fill="{colour}"/></marker>'
        for name, colour in (("plain", "#1f4e79"), ("faint", "#c9d3dd"))
    )
    size = (500, TOP + STEP * len(PARTS))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}">',
            "  <style>text { font: 13px sans-serif; text-anchor: middle; fill: #111 } rect { fill: #eef3f8; "
            "stroke: #1f4e79 } .plain { fill: none; stroke: #1f4e79; stroke-width: 1.4 } "
            ".faint { fill: none; stroke: #c9d3dd }</style>",
            '  <rect width="100%" height="100%" style="fill: white; stroke: none"/>',
            f"  <defs>{heads}</defs>",
            *lines,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(imports()), encoding="utf-8")
