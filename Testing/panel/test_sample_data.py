"""The samples in the module Sample Data."""

from __future__ import annotations

import sys
import types
from pathlib import Path


class Sources(list):
    """As Sample Data's logic takes them: every list of a source has an entry per file."""

    def registerCustomSampleDataSource(self, **given) -> None:  # noqa: N802
        """Refuse lists of different lengths, and none at all, as Slicer 5.11 does."""
        assert len(given["uris"]) == len(given["fileNames"])
        self.append(given)


def test_a_chest_an_abdomen_and_a_brain_are_offered_without_a_download(application, monkeypatch) -> None:
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = Sources()
    monkeypatch.setitem(sys.modules, "SampleData", module)
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "SPASegment"))
    try:
        from SPASegmentWidgets import sample_data

        sample_data.register()
        _load(module.SampleDataLogic, monkeypatch, sample_data)
    finally:
        for name in [name for name in sys.modules if name.startswith("SPASegmentWidgets")]:
            del sys.modules[name]
    names = [source["sampleName"] for source in module.SampleDataLogic]
    assert names == ["SPASegmentChest", "SPASegmentAbdomen", "SPASegmentBrain"]
    for source in module.SampleDataLogic:
        assert source["uris"] == []
        assert Path(source["thumbnailFileName"]).is_file()


def _load(sources, monkeypatch, sample_data) -> None:
    """What a click on each of their pictures brings into the scene."""
    monkeypatch.setattr(sample_data.slicer.util, "setSliceViewerLayers", lambda **given: None, raising=False)
    loaded = [source["customDownloader"](source) for source in sources]
    assert [node.GetName() for (node,) in loaded] == [
        "Made-up chest CT",
        "Made-up abdominal CT",
        "Made-up brain MR",
    ]
    modalities = [node.GetAttribute("DICOM.Modality") for (node,) in loaded]
    assert modalities == ["CT", "CT", "MR"]
    automatic = [bool(node.GetDisplayNode().GetAutoWindowLevel()) for (node,) in loaded]
    assert automatic == [False, False, True]
