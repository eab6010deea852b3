"""Measures `spasegment adapt` on structures no shipped model has seen: the tables of adapt.md.

python docs/measure_adapt.py --data FOLDER --lidc ZIP
python docs/measure_adapt.py --data FOLDER --only SET --counts 10 --keep approved

FOLDER holds the sets of any structure. Objects are approved here by whoever drew the sets.
The second command measures nothing; it keeps the objects that teach, for `spasegment adapt --from approved`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from SPASegmentLib.network.registry import find_model
from SPASegmentLib.research.evaluation.adapting import lidc_objects
from SPASegmentLib.research.evaluation.adapting_measured import keep, measure, split
from SPASegmentLib.research.training.adapting import Recipe

STRUCTURES = (("symphysis-fetal-head-us", "fetal-head"), ("glioma-mr", "whole-tumour"))
HEAD = (
    "| structure | objects | Dice after the click | gain, 95% interval | LIDC val |\n"
    "| --- | --- | --- | --- | --- |\n"
)


def set_path(data: Path, name: str) -> Path:
    """A set's zip, or its folder where there is none."""
    path = data / f"{name}.zip"
    return path if path.exists() else data / name


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
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what teaches, of --only SET")
    given = parser.parse_args()
    if given.keep is not None:
        structure = dict(STRUCTURES)[given.only]
        keep(
            split(set_path(given.data, given.only), structure, max(given.counts), given.limit)[0], given.keep
        )
        return
    nodules = lidc_objects(given.lidc, given.nodules) if given.lidc else []
    sys.stdout.write(HEAD)
    for name, structure in STRUCTURES:
        if given.only not in (None, name):
            continue
        found = measure(
            find_model(given.model),
            set_path(given.data, name),
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
