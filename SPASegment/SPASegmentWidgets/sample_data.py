"""The sample: a made-up chest CT with nodules, computed on this computer, so that nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from . import install

CATEGORY = "SPASegment"
SAMPLE_NAME = "SPASegmentChest"


def register() -> None:
    """Offer the sample in the module Sample Data."""
    try:
        import SampleData
    except ImportError:
        return
    thumbnail = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "SPASegmentChest.png"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        uris=[],  # nothing to download; without a list Slicer 5.11 cannot count the files
        fileNames=[],
        thumbnailFileName=str(thumbnail),
        customDownloader=load_sample,
    )


def load_sample(source=None) -> list:
    """Add the sample to the scene and show it."""
    if not install.put_library_on_path() or install.missing():
        slicer.util.messageBox(_("Open the module SPASegment first and install what it needs."))
        return []
    node = add_sample()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return [node]


def add_sample(rotated: bool = False):
    """The sample as a volume node in the scene. rotated: no axis of its grid is an axis of the patient."""
    from SPASegmentLib.imaging.sample import make_sample_volume

    volume = make_sample_volume(rotated=rotated)
    node = slicer.util.addVolumeFromArray(volume.array, volume.ijk_to_ras, _("Made-up chest CT"))
    node.SetAttribute("DICOM.Modality", volume.modality)
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(1500, -600)
    return node


def sample_seeds(rotated: bool = False) -> dict[str, tuple[float, float, float]]:
    """What lies in the sample -> a place worth clicking, RAS in mm."""
    from SPASegmentLib.imaging.sample import sample_seeds as seeds

    return {seed.name: seed.ras for seed in seeds(rotated=rotated)}
