"""LIDC slices: layout, subsets, splits by patient, several shards, and the real shards."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.lidc import LidcSlices

PATIENTS = [f"LIDC-IDRI-{number:04d}" for number in range(1, 41)]


def test_a_case_holds_the_image_and_four_masks_of_its_slice(lidc_contents, as_zip):
    case = LidcSlices([as_zip(lidc_contents())])[0]
    assert case.case_id == "LIDC-IDRI-0001/nodule-0/slice-0"
    assert (case.dataset, case.patient, case.modality, case.raters) == ("lidc", "LIDC-IDRI-0001", "CT", ())
    assert case.image.shape == (16, 16) and case.image.dtype == np.float32
    assert case.image.max() == pytest.approx(240 / 255)
    assert case.masks.dtype == bool
    assert case.masks.sum(axis=(1, 2)).tolist() == [16, 36, 64, 100]


def test_subsets_count_who_drew_something(lidc_contents, as_zip):
    shard = as_zip(lidc_contents())
    assert LidcSlices([shard], subset="any").case_ids() == [
        "LIDC-IDRI-0001/nodule-0/slice-0",
        "LIDC-IDRI-0001/nodule-0/slice-1",
    ]
    assert LidcSlices([shard], subset="all4").case_ids() == ["LIDC-IDRI-0001/nodule-0/slice-0"]
    assert len(LidcSlices([shard], subset=None)) == 3


@pytest.mark.parametrize("root", ["LIDC-IDRI-slices", "export/of/LIDC-IDRI-slices", "."])
def test_zip_and_folder_give_the_same_cases_whatever_lies_above_the_patient(
    lidc_contents, as_zip, as_folder, root
):
    contents = lidc_contents(root=root)
    zipped, unpacked = LidcSlices([as_zip(contents)]), LidcSlices([as_folder(contents)])
    assert zipped.case_ids() == unpacked.case_ids()
    assert zipped.case_ids() == [f"LIDC-IDRI-0001/nodule-0/slice-{number}" for number in (0, 1)]
    for left, right in zip(zipped, unpacked, strict=True):
        assert np.array_equal(left.image, right.image) and np.array_equal(left.masks, right.masks)


def test_shards_and_folders_are_read_together_in_the_order_of_ids(lidc_contents, as_zip, as_folder):
    second = as_zip(lidc_contents("LIDC-IDRI-0002"))
    first = as_folder(lidc_contents("LIDC-IDRI-0001"))
    together = LidcSlices([second, first])
    assert together.case_ids() == sorted(together.case_ids())
    assert set(together.patients()) == {"LIDC-IDRI-0001", "LIDC-IDRI-0002"}
    assert together[0].patient == "LIDC-IDRI-0001"


def test_a_shard_given_twice_is_refused(lidc_contents, as_zip):
    contents = lidc_contents()
    with pytest.raises(DatasetError, match="nodule-0/slice-0 is found twice"):
        LidcSlices([as_zip(contents, "a.zip"), as_zip(contents, "b.zip")])


@pytest.fixture
def many_patients(lidc_contents, as_zip):
    contents: dict[str, bytes] = {}
    for patient in PATIENTS:
        contents |= lidc_contents(patient)
    return as_zip(contents)


def test_without_a_splits_file_a_hash_parts_the_patients_and_says_so(many_patients, caplog):
    with caplog.at_level(logging.WARNING):
        parts = {
            split: set(LidcSlices([many_patients], split).patients()) for split in ("train", "val", "test")
        }
    assert "hash of the patient" in caplog.text
    assert set.union(*parts.values()) == set(PATIENTS)
    assert sum(map(len, parts.values())) == len(PATIENTS)
    assert len(parts["train"]) > len(parts["test"]) > 0


def test_the_hash_is_the_same_on_every_machine(many_patients):
    chosen = set(LidcSlices([many_patients], "val").patients())
    assert chosen == {"LIDC-IDRI-0005", "LIDC-IDRI-0015", "LIDC-IDRI-0037"}


def test_the_splits_file_beside_any_of_the_paths_decides(many_patients, lidc_contents, as_folder):
    elsewhere = as_folder(lidc_contents("LIDC-IDRI-0100"), "far/away")
    splits = {"train": PATIENTS[:20], "val": PATIENTS[20:30], "test": PATIENTS[30:]}
    (many_patients.parent / "lidc-splits.json").write_text(json.dumps(splits))
    for split, patients in splits.items():
        chosen = set(LidcSlices([elsewhere, many_patients], split).patients())
        assert chosen - {"LIDC-IDRI-0100"} == set(patients)


def test_a_patient_the_splits_file_does_not_name_is_test(many_patients):
    (many_patients.parent / "lidc-splits.json").write_text(json.dumps({"train": PATIENTS[1:]}))
    assert set(LidcSlices([many_patients], "test").patients()) == {PATIENTS[0]}


def test_a_splits_file_can_be_named(many_patients, tmp_path):
    named = tmp_path / "elsewhere.json"
    named.write_text(json.dumps({"train": PATIENTS[2:], "val": PATIENTS[:2]}))
    assert set(LidcSlices([many_patients], "val", splits_file=named).patients()) == set(PATIENTS[:2])


def test_an_empty_selection_says_which(many_patients):
    (many_patients.parent / "lidc-splits.json").write_text(json.dumps({"train": PATIENTS}))
    with pytest.raises(DatasetError, match="no case in the split 'val'"):
        LidcSlices([many_patients], "val")
    with pytest.raises(DatasetError, match="no split 'tset'"):
        LidcSlices([many_patients], "tset")
    with pytest.raises(DatasetError, match="no subset 'all5'"):
        LidcSlices([many_patients], subset="all5")


def test_another_layout_names_the_one_that_was_expected(as_zip, picture, square):
    with pytest.raises(DatasetError, match="no case of the data set lidc; expected <patient>/nodule-<n>"):
        LidcSlices([as_zip({"cats/1.png": picture(square(4))})])


def test_a_missing_mask_names_the_case_and_no_path(lidc_contents, as_zip, tmp_path):
    contents = lidc_contents()
    del contents["LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0/mask-2/slice-1.png"]
    with pytest.raises(DatasetError, match="LIDC-IDRI-0001/nodule-0/slice-1 has no mask of rater 2") as error:
        LidcSlices([as_zip(contents)])
    assert str(tmp_path) not in str(error.value)


def test_an_unreadable_image_names_the_case_and_no_path(lidc_contents, as_zip, tmp_path):
    contents = lidc_contents()
    contents["LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0/images/slice-0.png"] = b"not a picture"
    dataset = LidcSlices([as_zip(contents)])
    with pytest.raises(DatasetError, match="slice-0: its image is not a readable picture") as error:
        dataset[0]
    assert str(tmp_path) not in str(error.value)


def test_a_truncated_mask_names_the_case(lidc_contents, as_zip):
    contents = lidc_contents()
    name = "LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0/mask-0/slice-0.png"
    contents[name] = contents[name][:50]
    with pytest.raises(DatasetError, match="slice-0: its mask is not a readable picture"):
        LidcSlices([as_zip(contents)])


def test_masks_of_another_size_are_refused(lidc_contents, as_zip, picture, square):
    contents = lidc_contents()
    base = "LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0"
    contents[f"{base}/mask-1/slice-0.png"] = picture(square(4, side=20))
    with pytest.raises(DatasetError, match="slice-0: its masks differ in size"):
        LidcSlices([as_zip(contents)])[0]
    contents |= {f"{base}/mask-{rater}/slice-0.png": picture(square(4, side=20)) for rater in range(4)}
    with pytest.raises(DatasetError, match="slice-0: the masks are 20x20 pixels but the image is 16x16"):
        LidcSlices([as_zip(contents)])[0]


def test_a_colour_image_is_refused(lidc_contents, as_zip, picture):
    contents = lidc_contents()
    image = "LIDC-IDRI-slices/LIDC-IDRI-0001/nodule-0/images/slice-0.png"
    contents[image] = picture(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DatasetError, match="slice-0: its image is in colour"):
        LidcSlices([as_zip(contents)])[0]


def _sum_of_case(dataset: LidcSlices, index: int) -> float:
    return float(dataset[index].image.sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_forked_workers_read_the_zip_of_their_parent(many_patients):
    dataset = LidcSlices([many_patients])
    expected = [_sum_of_case(dataset, index) for index in range(len(dataset))]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        tasks = [(dataset, index) for index in range(len(dataset))]
        assert pool.starmap(_sum_of_case, tasks, chunksize=5) == expected


REAL = {
    "train": (490, 8328, 8300, 2683),
    "val": (107, 2072, 2068, 682),
    "test": (189, 3577, 3566, 953),
}


@pytest.fixture(scope="module")
def shards(data_dir: Path) -> list[Path]:
    found = sorted(data_dir.glob("lidc-*.zip"))
    if len(found) < 7:
        pytest.skip("not all seven LIDC shards are in the data folder")
    return found


@pytest.mark.long
@pytest.mark.data
@pytest.mark.parametrize("split", list(REAL))
def test_the_real_shards_hold_what_the_protocol_counts(shards, split):
    patients, slices, any_drew, all_drew = REAL[split]
    own = [shard for shard in shards if split in shard.name]
    every = LidcSlices(shards, split, subset=None)
    assert (len(set(every.patients())), len(every)) == (patients, slices)
    assert every.case_ids() == LidcSlices(own, "all", subset=None).case_ids()
    drawn = [list(every.drawn(entry)) for entry in every.entries]
    assert (sum(map(any, drawn)), sum(map(all, drawn))) == (any_drew, all_drew)


@pytest.mark.data
def test_the_headline_subset_of_the_real_test_split_is_953_slices(shards):
    assert len(LidcSlices(shards[:2], "test", subset="all4")) == 953


@pytest.mark.data
@pytest.mark.alone
def test_a_real_shard_loads_whole_and_fast(shards):
    dataset = LidcSlices([shards[-1]])
    start = time.process_time()
    cases = [dataset[index] for index in range(400)]
    seconds = time.process_time() - start
    assert seconds / len(cases) * 8000 < 60
    assert {(case.image.shape, case.masks.shape) for case in cases} == {((128, 128), (4, 128, 128))}
    assert all(case.image.min() == 0 and case.image.max() == 1 for case in cases)


@pytest.mark.data
def test_real_masks_lie_in_the_middle_and_are_brighter_than_the_lung_around(shards):
    cases = [case for case in LidcSlices([shards[0]], subset="all4") if case.masks.all(axis=0).any()]
    shared = [case.masks.all(axis=0) for case in cases]
    centres = [np.argwhere(mask).mean(axis=0) for mask in shared]
    assert np.abs(np.median(centres, axis=0) - 64).max() < 2
    inside = [case.image[mask].mean() for case, mask in zip(cases, shared, strict=True)]
    outside = [np.median(case.image[~mask]) for case, mask in zip(cases, shared, strict=True)]
    assert np.mean(np.greater(inside, outside)) > 0.8
