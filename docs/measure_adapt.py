"""Measures `spasegment adapt` on structures no shipped model has seen: the tables of adapt.md.

python docs/measure_adapt.py --data FOLDER --lidc ZIP

FOLDER holds the sets of any structure. Objects are approved here by whoever drew the sets.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from SPASegmentLib.network.registry import find_model
from SPASegmentLib.research.evaluation.adapting import lidc_objects
from SPASegmentLib.research.evaluation.adapting_measured import measure
from SPASegmentLib.research.training.adapting import Recipe

STRUCTURES = (("symphysis-fetal-head-us", "fetal-head"), ("glioma-mr", "whole-tumour"))
HEAD = (
    "| structure | objects | Dice after the click | gain, 95% interval | LIDC val |\n"
    "| --- | --- | --- | --- | --- |\n"
)


def main() -> None:
    """Print a table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lidc", type=Path, action="append", default=[])
    parser.add_argument("--only", metavar="SET", help="one of the sets alone")
    parser.add_argument("--model", default="general")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 5, 10, 20])
    parser.add_argument("--limit", type=int, default=12, help="patients to judge")
    parser.add_argument("--nodules", type=int, default=16, help="slices of LIDC-IDRI to judge")
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    given = parser.parse_args()
    nodules = lidc_objects(given.lidc, given.nodules) if given.lidc else []
    sys.stdout.write(HEAD)
    for name, structure in STRUCTURES:
        if given.only not in (None, name):
            continue
        path = given.data / f"{name}.zip"
        found = measure(
            find_model(given.model),
            path if path.exists() else given.data / name,
            structure,
            given.counts,
            given.limit,
            Recipe(steps=given.steps),
            Console(stderr=True, quiet=True),
            nodules,
        )
        for one in found:
            gain = f"{one.low:+.2f} to {one.high:+.2f}" if one.objects else ""
            lidc = "" if one.lidc is None else f"{one.lidc:.3f}"
            sys.stdout.write(f"| {name}, {structure} | {one.objects} | {one.dice:.2f} | {gain} | {lidc} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
