"""Data sets some of whose raters are left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.case import MultiRaterDataset, WithoutRaters
from SPASegmentLib.research.datasets.registry import open_dataset


@pytest.fixture
def a_folder_of_three(tmp_path: Path) -> MultiRaterDataset:
    """One picture; Ann drew its first row, Bob its second, Cy its third."""
    folder = tmp_path / "p0"
    folder.mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "image.png")
    for row, name in enumerate(("ann", "bob", "cy")):
        mask = np.zeros((8, 8), np.uint8)
        mask[row] = 255
        Image.fromarray(mask).save(folder / f"rater-{name}.png")
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["p0"], "val": [], "test": []}))
    return open_dataset("folder", [tmp_path])


def test_the_masks_and_names_of_the_others_stay(a_folder_of_three: MultiRaterDataset) -> None:
    fewer = WithoutRaters(a_folder_of_three, ["bob"])
    case = fewer[0]
    assert (len(fewer), fewer.case_ids()) == (1, ["p0"])
    assert case.raters == ("ann", "cy")
    assert case.masks.any(axis=2).tolist()[0][:3] == [True, False, False]
    assert case.masks.any(axis=2).tolist()[1][:3] == [False, False, True]
    assert [c.case_id for c in fewer] == ["p0"]


def test_who_is_not_there_cannot_be_left_out_and_not_everybody_can(
    a_folder_of_three: MultiRaterDataset,
) -> None:
    with pytest.raises(DatasetError, match="no rater 'eve' here; choose among ann, bob, cy"):
        WithoutRaters(a_folder_of_three, ["eve"])
    with pytest.raises(DatasetError, match="All raters are left out"):
        WithoutRaters(a_folder_of_three, ["ann", "bob", "cy"])
