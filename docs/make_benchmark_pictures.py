"""Draws the masks of benchmark.md anew, of all systems whose weights are there.

    python docs/make_benchmark_pictures.py

The slices are of the made-up chest CT, the four readers made up as well: each draws where the nodule is
denser than a value of their own.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from SPASegmentLib.cli import main as cli
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.imaging.slicing import cut_slice
from SPASegmentLib.network.registry import models_dir
from SPASegmentLib.research.systems.specs import SYSTEMS, TABLE

IMAGES = Path(__file__).parent / "images"
WINDOW = (-1000.0, 1200.0)
"""HU; the model's own."""
READERS = {"a": -750, "b": -600, "c": -400, "d": -200}
"""HU from which on a made-up reader takes a voxel for the nodule."""
REACH = 13
"""Cells around the click that a reader looks at."""
VOLUMES = 2


def write_readings(folder: Path) -> None:
    """A data set of the layout `folder`: one slice of each nodule, and what four readers drew there."""
    places = [(volume, place) for volume in range(VOLUMES) for place in sample_seeds(volume)]
    volumes = [make_sample_volume(number) for number in range(VOLUMES)]
    for number, (which, place) in enumerate(places):
        opened = cut_slice(
            volumes[which],
            seed_ras=place.ras,
            seed_ijk=None,
            orientation="axial",
            window=None,
            model_window=WINDOW,
        )
        pixels, row, col = opened.image.pixels, round(opened.seed.row), round(opened.seed.col)
        case = folder / f"nodule-{number}"
        case.mkdir(parents=True)
        Image.fromarray(np.uint8(np.round(pixels * 255))).save(case / "image.png")
        near = np.hypot(*(np.indices(pixels.shape) - np.array([row, col])[:, None, None])) <= REACH
        hounsfield = pixels * (WINDOW[1] - WINDOW[0]) + WINDOW[0]
        for reader, value in READERS.items():
            labels, _ = ndimage.label((hounsfield >= value) & near)
            drawn = (labels == labels[row, col]) & (labels > 0)
            Image.fromarray(np.uint8(drawn * 255)).save(case / f"rater-{reader}.png")
    names = [case.name for case in sorted(folder.iterdir())]
    (folder / "splits.json").write_text(json.dumps({"train": [], "val": [], "test": names}))


def main() -> None:
    """Draw docs/images/benchmark-masks.png."""
    there = [n for n in TABLE if (models_dir() / f"{SYSTEMS[n].network or n}.safetensors").is_file()]
    rows = [word for name in ("compact", *there) for word in ("--model", name)]
    with tempfile.TemporaryDirectory() as scratch:
        readings, out = Path(scratch) / "readings", Path(scratch) / "out"
        write_readings(readings)
        data = ["--dataset", "folder", "--path", str(readings)]
        try:
            cli.main(["compare", *data, "--no-train", "--pictures", *rows, "--out", str(out)])
        except SystemExit as end:
            if end.code:
                raise
        shutil.copy(out / "cases.png", IMAGES / "benchmark-masks.png")


if __name__ == "__main__":
    main()
