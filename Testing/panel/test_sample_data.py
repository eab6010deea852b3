"""The sample in the module Sample Data."""

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


def test_the_sample_is_offered_without_anything_to_download(application, monkeypatch) -> None:
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = Sources()
    monkeypatch.setitem(sys.modules, "SampleData", module)
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "SPASegment"))
    try:
        from SPASegmentWidgets import sample_data

        sample_data.register()
    finally:
        for name in [name for name in sys.modules if name.startswith("SPASegmentWidgets")]:
            del sys.modules[name]
    (source,) = module.SampleDataLogic
    assert source["uris"] == [] and callable(source["customDownloader"])
