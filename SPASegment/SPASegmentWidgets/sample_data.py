"""The samples: a made-up chest, abdomen and brain, computed on this computer; nothing is downloaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from . import install

CATEGORY = "SPASegment"
SAMPLES = {"chest": "SPASegmentChest", "abdomen": "SPASegmentAbdomen", "brain": "SPASegmentBrain"}
"""Kind -> name in the module Sample Data, and of its picture."""
WINDOWS = {"chest": (1500, -600), "abdomen": (400, 40)}
"""Kind -> width and level in HU."""


def register() -> None:
    """Offer the samples in the module Sample Data."""
    try:
        import SampleData
    except ImportError:
        return
    icons = Path(__file__).resolve().parents[1] / "Resources" / "Icons"
    for kind, name in SAMPLES.items():
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            uris=[],  # nothing to download; without a list Slicer 5.11 cannot count the files
            fileNames=[],
            thumbnailFileName=str(icons / f"{name}.png"),
            customDownloader=partial(load_sample, kind),
        )


def load_sample(kind: str, source=None) -> list:
    """Add a sample to the scene and show it."""
    if not install.put_library_on_path() or install.missing():
        slicer.util.messageBox(_("Open the module SPASegment first and install what it needs."))
        return []
    node = add_sample(kind=kind)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return [node]


def add_sample(rotated: bool = False, kind: str = "chest"):
    """A sample as a volume node in the scene. rotated: no axis of its grid is an axis of the patient."""
    from SPASegmentLib.imaging.samples import KINDS, make_sample

    volume = make_sample(kind, rotated=rotated)
    node = slicer.util.addVolumeFromArray(
        volume.array, volume.ijk_to_ras, _("Made-up {what}").format(what=KINDS[kind])
    )
    node.SetAttribute("DICOM.Modality", volume.modality)
    display = node.GetDisplayNode()
    if display is not None and kind in WINDOWS:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(*WINDOWS[kind])
    return node


def sample_seeds(rotated: bool = False) -> dict[str, tuple[float, float, float]]:
    """What lies in the sample -> a place worth clicking, RAS in mm."""
    from SPASegmentLib.imaging.sample import sample_seeds as seeds

    return {seed.name: seed.ras for seed in seeds(rotated=rotated)}
