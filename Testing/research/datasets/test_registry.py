"""Names on the command line, and the `folder` data set for researchers' own data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.registry import DATASETS, open_dataset

NAMES = [
    "lidc",
    "lidc-probunet",
    "lidc-phiseg",
    "bu-bil",
    "drishti-cup",
    "drishti-disc",
    "chase-db1",
    "msd-hippocampus",
    "spleen",
    "refuge2-cup",
    "refuge2-disc",
    "qubiq-brain-growth",
    "qubiq-brain-tumor",
    "qubiq-kidney",
    "qubiq-prostate-1",
    "qubiq-prostate-2",
    "any",
    "folder",
]


def test_all_data_sets_have_a_name_and_a_line_of_help():
    assert list(DATASETS) == NAMES
    assert all(registered.about for registered in DATASETS.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_name_refuses_an_unrelated_zip_in_one_sentence(name, as_zip, tmp_path):
    with pytest.raises(DatasetError) as error:
        open_dataset(name, [as_zip({"readme.txt": b"hello"})])
    assert "hold no case of the data set" in str(error.value) and "expected" in str(error.value)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_refuses_an_empty_folder_and_a_missing_one(name, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (empty, tmp_path / "absent"):
        with pytest.raises(DatasetError):
            open_dataset(name, [path])


def test_an_unknown_name_lists_the_known():
    with pytest.raises(DatasetError, match="no data set 'ldic'; choose one of lidc, lidc-probunet"):
        open_dataset("ldic", ["x.zip"])


def test_an_unknown_option_lists_the_known(as_zip, lidc_contents):
    with pytest.raises(DatasetError, match="lidc has no option 'colour'; its options: splits_file"):
        open_dataset("lidc", [as_zip(lidc_contents())], colour="red")
    with pytest.raises(DatasetError, match="drishti-cup has no option 'structure'; its options: none"):
        open_dataset("drishti-cup", [as_zip({})], structure="disc")


def test_lidc_opens_by_name_with_split_subset_and_options(as_zip, lidc_contents, tmp_path):
    packed = as_zip(lidc_contents())
    splits = tmp_path / "mine.json"
    splits.write_text(json.dumps({"val": ["LIDC-IDRI-0001"]}))
    dataset = open_dataset("lidc", [packed], split="val", subset="all4", splits_file=splits)
    assert dataset.name == "lidc"
    assert [case.case_id for case in dataset] == dataset.case_ids() == ["LIDC-IDRI-0001/nodule-0/slice-0"]


# folder


@pytest.fixture
def own_contents(picture, square):
    def make(cases=("p1__a", "p1__b", "p2"), root="mine"):
        contents = {}
        for number, case in enumerate(cases):
            contents[f"{root}/{case}/image.png"] = picture(square(4 + number))
            contents[f"{root}/{case}/rater-Ann.png"] = picture(square(6))
            contents[f"{root}/{case}/rater-Bo Li.tif"] = picture(square(2 * number), "TIFF")
            contents[f"{root}/{case}/notes.txt"] = b"not read"
        return contents

    return make


def test_a_researchers_folder_has_named_raters_and_patients(own_contents, as_folder):
    dataset = open_dataset("folder", [as_folder(own_contents())], modality="US")
    assert dataset.case_ids() == ["p1__a", "p1__b", "p2"]
    case = dataset[1]
    assert case.raters == ("Ann", "Bo Li") and case.patient == "p1" and case.modality == "US"
    assert case.masks.sum(axis=(1, 2)).tolist() == [36, 4]
    assert len(open_dataset("folder", [as_folder(own_contents())], subset="all4")) == 2


def test_a_rater_may_be_called_image(own_contents, as_zip, picture, square):
    contents = own_contents(("p1",))
    contents["mine/p1/rater-image.png"] = picture(square(8))
    assert open_dataset("folder", [as_zip(contents)])[0].raters == ("Ann", "Bo Li", "image")


def test_a_missing_mask_of_ones_own_names_case_and_rater(own_contents, as_zip):
    contents = own_contents()
    del contents["mine/p2/rater-Ann.png"]
    with pytest.raises(DatasetError, match="Case p2 has no mask of rater Ann"):
        open_dataset("folder", [as_zip(contents)])


def test_own_splits_are_read_from_splits_json(own_contents, as_folder):
    folder = as_folder(own_contents())
    (folder / "splits.json").write_text(json.dumps({"train": ["p1"], "test": ["p2"]}))
    assert open_dataset("folder", [folder], "train").case_ids() == ["p1__a", "p1__b"]
    assert open_dataset(
        "folder", [folder / "mine"], "test", splits_file=folder / "splits.json"
    ).case_ids() == ["p2"]


def test_images_without_masks_say_so(as_zip, picture, square):
    with pytest.raises(DatasetError, match="holds images but no masks; expected <case>"):
        open_dataset("folder", [as_zip({"a/image.png": picture(square(3))})])


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_own_volumes_give_a_case_for_each_slice_somebody_drew_on(volume_file, as_zip, as_folder, ending):
    image = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    ann, bo = np.zeros((3, 4, 5), np.uint8), np.zeros((3, 4, 5), np.uint8)
    ann[1, 1:3, 1:3], bo[2, 0, 0] = 1, 2
    contents = {
        f"case7/{name}{ending}": volume_file(array, ending, spacing=(0.5, 0.6, 3.0))
        for name, array in (("image", image), ("rater-Ann", ann), ("rater-Bo", bo))
    }
    for source in (as_zip(contents), as_folder(contents)):
        dataset = open_dataset("folder", [source], modality="CT", window=(0, 100))
        assert dataset.case_ids() == ["case7/slice-0001", "case7/slice-0002"]
        case = dataset[0]
        assert case.masks.sum(axis=(1, 2)).tolist() == [4, 0] and case.raters == ("Ann", "Bo")
        assert case.spacing == pytest.approx((0.6, 0.5)) and case.modality == "CT"
        assert np.allclose(case.image, image[1] / 100)


def test_pictures_and_volumes_are_not_mixed(own_contents, as_zip, volume_file):
    contents = own_contents() | {"mine/v/image.nii.gz": volume_file(np.zeros((2, 2, 2), np.uint8))}
    with pytest.raises(DatasetError, match="holds pictures and volumes"):
        open_dataset("folder", [as_zip(contents)])


def test_a_window_the_wrong_way_round_is_refused(volume_file, as_zip):
    plane = volume_file(np.ones((2, 2, 2), np.uint8))
    contents = {"a/image.nii.gz": plane, "a/rater-x.nii.gz": plane}
    with pytest.raises(DatasetError, match="two numbers LOW HIGH"):
        open_dataset("folder", [as_zip(contents)], window=(5, 5))
    assert open_dataset("folder", [as_zip(contents)])[0].image.tolist() == [[0, 0], [0, 0]]
