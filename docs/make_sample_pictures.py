"""Draws what the model makes of one click on each made-up volume: for the README, the viewer and Sample Data.

python docs/make_sample_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from SPASegmentLib.imaging.samples import KINDS, make_sample, sample_places
from SPASegmentLib.imaging.slicing import cut_slice
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.session import Session
from SPASegmentLib.reporting.overlay import RECOMMENDED, View, draw

ROOT = Path(__file__).parents[1]
STRIP = ROOT / "SPASegmentLib" / "viewer" / "assets" / "samples.png"
ICONS = {"abdomen": "SPASegmentAbdomen", "brain": "SPASegmentBrain"}
ACROSS, ICON, GAP = 220, 128, 6
"""Pixels."""
WINDOWS = {"chest": (-1350.0, 150.0)}
SHOWN = {"chest": 130.0, "abdomen": 260.0, "brain": 190.0}
"""mm across."""


def main() -> None:
    """Draw one picture with all places of each kind clicked on; the strip of them, and the icons."""
    engine = load_engine("general", "cpu")
    pictures = []
    for kind in KINDS:
        volume, places = make_sample(kind), sample_places(kind)
        first = cut_slice(
            volume,
            seed_ras=places[0].ras,
            seed_ijk=None,
            orientation="axial",
            window=WINDOWS.get(kind),
            model_window=None,
        )
        session = Session.start(first.image, engine.model, (first.seed.row, first.seed.col), random_seed=0)
        proposal = session.advance(engine).proposal
        assert proposal is not None
        size, (height, width) = SHOWN[kind], first.image.shape
        centre = (height - 1) / 2, (width - 1) / 2
        if kind == "chest":
            centre = first.seed.row, first.seed.col
        view = View(centre, size, first.image.spacing)
        layers = [(proposal.recommendation, RECOMMENDED)]
        pictures.append(draw(first.image.pixels, view, ACROSS, layers))
        if kind in ICONS:
            icon = Image.fromarray(draw(first.image.pixels, view, ICON, layers))
            icon.quantize(96).save(ROOT / "SPASegment" / "Resources" / "Icons" / f"{ICONS[kind]}.png")
    gap = np.full((ACROSS, GAP, 3), 255, np.uint8)
    strip = np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1)
    Image.fromarray(strip).quantize(128).save(STRIP, optimize=True)


if __name__ == "__main__":
    main()
