"""Whole objects of the data sets: slices in order, one target, millimetres."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from any_sets import stack

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.any_cases import AnyCases
from SPASegmentLib.research.datasets.object_cases import open_objects

TESTS = {f"p{number}__a": "test" for number in range(2)}


def test_a_volume_is_cut_across_its_thickest_voxels(as_zip, tmp_path: Path) -> None:
    cases = open_objects("any", [as_zip(stack("blocks", TESTS, tmp_path))], "test", 0)
    assert cases.case_ids() == ["blocks/p0__a", "blocks/p1__a"]
    case = cases.read("blocks/p0__a")
    assert case is not None
    assert case.pixels.shape == case.target.shape == (12, 30, 36)
    assert case.spacing == (4.0, 1.0, 1.0)
    assert case.target.sum(axis=(1, 2)).argmax() == 5
    assert list(np.flatnonzero(case.target.any(axis=(1, 2)))) == list(range(2, 9))
    assert (case.pixels.min(), case.pixels.max()) == (0, 1)
    assert (case.patient, case.group) == ("blocks/p0", "blocks")


def test_a_nodule_has_one_target_on_all_its_slices_and_its_own_spacing(lidc_contents, as_zip, monkeypatch):
    shard = as_zip(lidc_contents())
    (shard.parent / "lidc-spacing.json").write_text(
        json.dumps(
            {
                "LIDC-IDRI-0001": [
                    {"pixel_mm": 0.7, "slice_thickness_mm": 2.5, "slice_distance_mm": 1.25},
                    {"pixel_mm": 0.9, "slice_thickness_mm": 9, "slice_distance_mm": 9},
                ]
            }
        )
    )
    cases = open_objects("lidc", [shard], "all", 0)
    assert cases.case_ids() == ["LIDC-IDRI-0001/nodule-0"]
    assert cases.read("LIDC-IDRI-0001/nodule-0") is None, "three slices are too few"
    monkeypatch.setattr("SPASegmentLib.research.datasets.object_cases.FEWEST_SLICES", 1)
    case = cases.read("LIDC-IDRI-0001/nodule-0")
    assert case is not None
    assert case.pixels.shape == case.target.shape == (3, 16, 16)
    assert case.spacing == (1.25, 0.7, 0.7)
    again = open_objects("lidc", [shard], "all", 0).read("LIDC-IDRI-0001/nodule-0")
    assert again is not None
    np.testing.assert_array_equal(case.target, again.target)


def test_the_slice_of_a_volume_comes_with_its_neighbours_in_its_own_window(as_zip, tmp_path: Path) -> None:
    case = AnyCases([as_zip(stack("blocks", TESTS, tmp_path))]).case(0, 0)
    assert [one is None for one in case.neighbours] == [False] * 4
    for neighbour, half in zip(case.neighbours, (7, 8, 8, 7), strict=True):
        assert (neighbour == 1).sum() == (2 * half) ** 2
    at_the_end = stack("blocks", TESTS, tmp_path, spacing=(1, 1, 4))
    assert AnyCases([as_zip(at_the_end, "end.zip")]).case(0, 0).neighbours[0] is not None


def test_sets_of_pictures_hold_no_objects(as_zip) -> None:
    from any_sets import nested_discs

    with pytest.raises(DatasetError, match="holds volumes"):
        open_objects("any", [as_zip(nested_discs("discs", TESTS))], "test", 0)
