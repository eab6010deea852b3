"""Writes the front matter of the model card, as Hugging Face reads it, from the card's own tables.

python docs/make_model_card.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).resolve().parents[1] / "Resources" / "Models" / "README.md"
FENCE = "---\n"
TASK = {"type": "image-segmentation", "name": "Interactive segmentation"}
LIDC = {"type": "lidc-idri", "name": "LIDC-IDRI lung nodules, test split, slices all four raters drew"}


def rows(text: str) -> list[list[str]]:
    """The cells of every line of every table."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)
    ]


def metrics(names: list[str], values: list[str]) -> list[dict[str, Any]]:
    """One entry a column; of "0.64 (0.58-0.70)" the figure before the interval."""
    return [
        {"type": "dice", "name": f"Dice after {name}", "value": float(value.split()[0])}
        for name, value in zip(names, values, strict=True)
    ]


def compact(text: str) -> dict[str, Any]:
    """The results of `compact`: its first table of Dice by iteration."""
    cells = rows(text)
    at = next(n for n, row in enumerate(cells) if row[0] == "Dice")
    picks = ["the click" if i == "1" else f"{int(i) - 1} pick{'s' * (i > '2')}" for i in cells[at - 2][1:]]
    return {
        "name": "compact",
        "results": [
            {"task": TASK, "dataset": LIDC | {"split": "test"}, "metrics": metrics(picks, cells[at][1:])}
        ],
    }


def general(text: str) -> dict[str, Any]:
    """The results of `general`: its lines of the table of groups of sets."""
    cells = rows(text)
    heads = next(row for row in cells if row[0] == "sets")[3:]
    names = [f"the {head}" if head == "click" else head for head in heads]
    return {
        "name": "general",
        "results": [
            {
                "task": TASK,
                "dataset": {"type": "any-structure", "name": f"Sets of any structure: {row[0]} ({row[1]})"},
                "metrics": metrics(names, row[3:]),
            }
            for row in cells
            if len(row) > 2 and row[2] == "`general`"
        ],
    }


def front_matter(text: str) -> dict[str, Any]:
    """What the front matter of the card `text` (without it) has to say."""
    cells = rows(text)
    start = next(n for n, row in enumerate(cells) if row[0] == "set it learnt from")
    return {
        "license": "apache-2.0",
        "library_name": "spasegment",
        "pipeline_tag": "image-segmentation",
        "tags": ["medical-imaging", "interactive-segmentation", "preference", "3d-slicer"],
        "datasets": [row[0] for row in cells[start + 2 :] if len(row) == 2],
        "metrics": ["dice"],
        "model-index": [compact(text), general(text)],
    }


class Plain(yaml.SafeDumper):
    """Writes a value that occurs twice twice: an alias would be hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        """Every value is written out."""
        return True


def page() -> str:
    """The card with the front matter its tables give."""
    text = PAGE.read_text(encoding="utf-8")
    if text.startswith(FENCE):
        text = text.split(FENCE, 2)[2]
    written = yaml.dump(front_matter(text), Dumper=Plain, sort_keys=False, allow_unicode=True, width=1000)
    return f"{FENCE}{written}{FENCE}{text}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
