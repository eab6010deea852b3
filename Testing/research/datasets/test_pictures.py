"""Data sets of pictures: BU-BIL, Drishti-GS, CHASE_DB1, REFUGE2 and LIDC for the Probabilistic U-Net."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.lidc import LidcProbUnet
from SPASegmentLib.research.datasets.picture_sets import BuBil, ChaseDb1, Drishti, Refuge2


def dice(left: np.ndarray, right: np.ndarray) -> float:
    return 2 * float((left & right).sum()) / max(1, int(left.sum() + right.sum()))


def typical_pairwise_dice(masks: np.ndarray) -> float:
    return float(np.median([dice(left, right) for left, right in itertools.combinations(masks, 2)]))


@pytest.fixture
def fundus() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)


# BU-BIL


@pytest.fixture
def bu_bil_contents(picture, square):
    base = "DataSet/Rabbit/BU-BIL_Dataset1"
    contents = {}
    for number in range(1, 36):
        grey = np.full((16, 16), 100 + number, np.uint8)
        contents[f"{base}/RawImages/B{number:02d}.png"] = picture(grey)
        for person, tool in itertools.product((1, 2), ("Amira", "ImageJ")):
            ink = 255 - square(2 * person + (4 if tool == "Amira" else 0))
            saved_as = np.repeat(ink[..., None], 3, axis=2) if tool == "ImageJ" else ink
            prefix = "Seg" if number % 5 == 0 else "seg"
            name = f"{base}/ExpertsAnnotations/Person{person}_{tool}/{prefix}_B{number:02d}.png"
            contents[name] = picture(saved_as)
    return contents


def test_bu_bil_cells_are_the_black_in_each_persons_and_tools_file(bu_bil_contents, as_zip):
    dataset = BuBil([as_zip(bu_bil_contents)])
    assert dataset.case_ids() == [f"B{number:02d}" for number in range(1, 36)]
    case = dataset[4]
    assert case.raters == ("Person1_Amira", "Person1_ImageJ", "Person2_Amira", "Person2_ImageJ")
    assert case.masks.sum(axis=(1, 2)).tolist() == [36, 4, 64, 16]
    assert case.image.shape == (16, 16) and case.modality == "GM"


def test_bu_bil_parts_images_into_20_5_and_10(bu_bil_contents, as_folder):
    folder = as_folder(bu_bil_contents)
    parts = [BuBil([folder], split).case_ids() for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [20, 5, 10]
    assert len(set().union(*parts)) == 35
    assert parts[2][0] == "B26"


def test_bu_bil_misses_a_raters_file_by_case_and_rater(bu_bil_contents, as_zip):
    base = "DataSet/Rabbit/BU-BIL_Dataset1"
    del bu_bil_contents[f"{base}/ExpertsAnnotations/Person2_Amira/seg_B07.png"]
    with pytest.raises(DatasetError, match="Case B07 has no mask of rater Person2_Amira"):
        BuBil([as_zip(bu_bil_contents)])
    del bu_bil_contents[f"{base}/RawImages/B03.png"]
    with pytest.raises(DatasetError, match="Case B03 has no image"):
        BuBil([as_zip(bu_bil_contents)])


def data_zip(data_dir: Path, name: str) -> Path:
    path = data_dir / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the data folder")
    return path


@pytest.mark.data
def test_the_real_bu_bil_raters_agree_on_the_cells(data_dir):
    dataset = BuBil([data_zip(data_dir, "bu-bil.zip")])
    assert len(dataset) == 35
    assert dataset.raters == tuple(f"Person{n}_{tool}" for n in range(1, 6) for tool in ("Amira", "ImageJ"))
    for index in range(0, 35, 6):
        case = dataset[index]
        assert case.masks.shape[0] == 10 and 0 < case.masks.mean() < 0.2
        assert typical_pairwise_dice(case.masks[:, ::3, ::3]) > 0.8


# Drishti-GS


@pytest.fixture
def drishti_contents(picture, square, fundus):
    contents = {}
    for number in range(1, 51):
        votes = np.maximum.reduce(
            [square(size, value=value) for size, value in ((12, 64), (10, 128), (6, 191), (4, 255))]
        )
        contents[f"drishti-gs/{number:03d}/image.jpg"] = picture(fundus, "JPEG")
        contents[f"drishti-gs/{number:03d}/cup_votes.png"] = picture(votes)
        contents[f"drishti-gs/{number:03d}/disc_votes.png"] = picture(square(14))
    return contents


def test_drishti_votes_become_four_nested_masks(drishti_contents, as_zip):
    case = Drishti([as_zip(drishti_contents)], structure="cup")[0]
    assert case.dataset == "drishti-cup" and case.raters == ()
    assert case.image.shape == (16, 16, 3)
    assert case.masks.sum(axis=(1, 2)).tolist() == [144, 100, 36, 16]


def test_drishti_disc_is_the_other_vote_map(drishti_contents, as_zip):
    case = Drishti([as_zip(drishti_contents)], structure="disc")[0]
    assert case.masks.sum(axis=(1, 2)).tolist() == [196] * 4
    with pytest.raises(DatasetError, match="no structure 'rim'"):
        Drishti([as_zip(drishti_contents)], structure="rim")


def test_drishti_tests_on_the_last_15_of_the_sorted_ids(drishti_contents, as_zip):
    packed = as_zip(drishti_contents)
    parts = {split: Drishti([packed], split).case_ids() for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [28, 7, 15]
    assert parts["test"] == [f"{number:03d}" for number in range(36, 51)]


def test_drishti_refuses_values_that_are_no_votes(drishti_contents, as_zip, picture, square):
    drishti_contents["drishti-gs/001/cup_votes.png"] = picture(square(4, value=100))
    with pytest.raises(DatasetError, match="Case 001: its vote map holds values other than"):
        Drishti([as_zip(drishti_contents)])


@pytest.mark.data
@pytest.mark.parametrize("structure", ["cup", "disc"])
def test_the_real_drishti_masks_are_nested(data_dir, structure):
    dataset = Drishti([data_zip(data_dir, "drishti-gs-cropped.zip")], structure=structure, subset="all4")
    assert len(dataset) == 50
    for index in range(0, 50, 7):
        case = dataset[index]
        assert case.image.shape == (512, 512, 3) and case.masks.shape == (4, 512, 512)
        assert all(not (inner & ~outer).any() for outer, inner in itertools.pairwise(case.masks))
        inside = case.image[case.masks[-1]].mean()
        assert inside > case.image[~case.masks[0]].mean()


@pytest.mark.data
def test_the_real_cup_lies_in_the_disc(data_dir):
    packed = data_zip(data_dir, "drishti-gs-cropped.zip")
    cup, disc = Drishti([packed], structure="cup"), Drishti([packed], structure="disc")
    for index in range(0, 50, 10):
        inner, outer = cup[index].masks[1], disc[index].masks[1]
        assert (inner & ~outer).sum() < 0.05 * inner.sum()


# CHASE_DB1


@pytest.fixture
def chase_contents(picture, square, fundus):
    contents = {}
    for number, eye in itertools.product(range(1, 15), "LR"):
        name = f"Image_{number:02d}{eye}"
        contents[f"CHASEDB1/images/{name}.jpg"] = picture(fundus, "JPEG")
        contents[f"CHASEDB1/labels1/{name}_1stHO.png"] = picture(square(6) > 0)
        contents[f"CHASEDB1/labels2/{name}_2ndHO.png"] = picture(square(4) > 0)
        contents[f"CHASEDB1/masks/mask_{number:02d}{eye}.png"] = picture(square(16))
    return contents


def test_chase_has_two_observers_and_two_eyes_per_child(chase_contents, as_zip):
    dataset = ChaseDb1([as_zip(chase_contents)])
    case = dataset[1]
    assert (len(dataset), case.case_id, case.patient) == (28, "01R", "01")
    assert case.raters == ("1stHO", "2ndHO")
    assert case.masks.sum(axis=(1, 2)).tolist() == [36, 16]


def test_chase_keeps_both_eyes_of_a_child_in_one_split(chase_contents, as_zip):
    packed = as_zip(chase_contents)
    parts = [ChaseDb1([packed], split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [16, 4, 8]
    assert not set.intersection(*(set(part.patients()) for part in parts))
    assert parts[2].case_ids()[0] == "11L"


@pytest.mark.data
def test_the_real_chase_observers_agree_on_dark_vessels(data_dir):
    dataset = ChaseDb1([data_zip(data_dir, "chase-db1.zip")])
    assert len(dataset) == 28
    for index in (0, 13, 27):
        case = dataset[index]
        assert case.image.shape == (960, 999, 3) and case.masks.shape == (2, 960, 999)
        assert 0.03 < case.masks.mean() < 0.15
        assert dice(*case.masks) > 0.7
        green = case.image[..., 1]
        around = green > 0.15
        assert green[case.masks.all(axis=0)].mean() < green[around & ~case.masks.any(axis=0)].mean()


# REFUGE2


@pytest.fixture
def refuge_contents(picture, square, fundus):
    contents = {}
    cases = [("Training-400", f"g{number:04d}") for number in range(1, 31)]
    cases += [("Test-400", f"T{number:04d}") for number in range(1, 5)]
    for part, name in cases:
        base = f"REFUGE-MultiRater/{part}/{name}/{name}"
        contents[f"{base}.jpg"] = picture(fundus, "JPEG")
        contents[f"{base}_cropped.jpg"] = picture(fundus[4:12, 4:12], "JPEG")
        for rater in range(1, 8):
            contents[f"{base}_seg_cup_{rater}.png"] = picture(square(rater + 1))
            contents[f"{base}_seg_disc_{rater}.png"] = picture(square(rater + 7))
            contents[f"{base}_seg_cup_{rater}_cropped.jpg"] = picture(square(4, side=8), "JPEG")
    return contents


def test_refuge2_has_seven_ophthalmologists(refuge_contents, as_zip):
    case = Refuge2([as_zip(refuge_contents)], split="test")[0]
    assert (case.dataset, case.case_id, case.modality) == ("refuge2-cup", "T0001", "OP")
    assert case.raters == ("1", "2", "3", "4", "5", "6", "7")
    assert case.masks.sum(axis=(1, 2)).tolist() == [4, 9, 16, 25, 36, 49, 64]
    disc = Refuge2([as_zip(refuge_contents)], structure="disc")[0]
    assert disc.masks[0].sum() == 64


def test_refuge2_splits_as_distributed_and_holds_a_part_of_training_out(refuge_contents, as_folder):
    folder = as_folder(refuge_contents)
    parts = {split: Refuge2([folder], split).case_ids() for split in ("train", "val", "test")}
    assert parts["test"] == ["T0001", "T0002", "T0003", "T0004"]
    assert len(parts["train"]) + len(parts["val"]) == 30 and 1 <= len(parts["val"]) <= 8


def test_refuge2_is_read_from_one_of_its_folders(refuge_contents, as_folder):
    folder = as_folder(refuge_contents) / "REFUGE-MultiRater" / "Test-400"
    assert len(Refuge2([folder])) == 4


def test_refuge2_reads_the_cropped_pictures_when_asked(refuge_contents, as_zip):
    case = Refuge2([as_zip(refuge_contents)], cropped=True)[0]
    assert case.image.shape == (8, 8, 3) and case.masks.shape == (7, 8, 8)


def test_refuge2_misses_a_rater_by_case(refuge_contents, as_zip):
    del refuge_contents["REFUGE-MultiRater/Test-400/T0002/T0002_seg_cup_5.png"]
    with pytest.raises(DatasetError, match="Case T0002 has no mask of rater 5"):
        Refuge2([as_zip(refuge_contents)])


# LIDC for the Probabilistic U-Net


@pytest.fixture
def probunet_contents(picture, square):
    contents = {}
    for split, patient in (
        ("train", "LIDC-IDRI-0001"),
        ("val", "LIDC-IDRI-0002"),
        ("test", "LIDC-IDRI-0003"),
    ):
        for name in ("z-105.0_c0", "z-107.5_c0"):
            contents[f"lidc_crops/{split}/images/{patient}/{name}.png"] = picture(square(6))
            for rater in range(4):
                mask = square(2 * rater, value=1)
                contents[f"lidc_crops/{split}/gt/{patient}/{name}_l{rater}.png"] = picture(mask)
    return contents


def test_probunet_crops_have_four_graders_at_half_a_millimetre(probunet_contents, as_zip):
    dataset = LidcProbUnet([as_zip(probunet_contents)])
    case = dataset[0]
    assert (len(dataset), case.case_id, case.patient) == (6, "LIDC-IDRI-0001/z-105.0_c0", "LIDC-IDRI-0001")
    assert case.masks.sum(axis=(1, 2)).tolist() == [0, 4, 16, 36]
    assert case.spacing == (0.5, 0.5) and case.modality == "CT"


def test_probunet_splits_are_its_folders(probunet_contents, as_folder):
    folder = as_folder(probunet_contents)
    assert set(LidcProbUnet([folder], "val").patients()) == {"LIDC-IDRI-0002"}
    renamed = {name.replace("/test/", "/lidc_crops_test/"): data for name, data in probunet_contents.items()}
    assert set(LidcProbUnet([as_folder(renamed, "renamed")], "test").patients()) == {"LIDC-IDRI-0003"}
    assert len(LidcProbUnet([folder / "lidc_crops" / "train"])) == 2


def test_probunet_misses_a_grader_by_case(probunet_contents, as_zip):
    del probunet_contents["lidc_crops/val/gt/LIDC-IDRI-0002/z-107.5_c0_l3.png"]
    with pytest.raises(DatasetError, match=r"Case LIDC-IDRI-0002/z-107\.5_c0 has no mask of rater 3"):
        LidcProbUnet([as_zip(probunet_contents)])
