"""Zips and folders as sources: what is listed, what is refused, and that nothing is written."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.pictures import read_mask, read_picture
from SPASegmentLib.research.datasets.splits import find_splits_file, hashed_share, read_splits, split_in_order


def names(files: Files) -> list[str]:
    return [member.name for member in files.members]


def test_members_carry_the_name_of_their_source(as_zip, as_folder):
    contents = {"b/2.txt": b"two", "1.txt": b"one"}
    assert names(Files([as_zip(contents, "shard.zip")])) == ["shard/1.txt", "shard/b/2.txt"]
    assert names(Files([as_folder(contents, "shard")])) == ["shard/1.txt", "shard/b/2.txt"]


def test_what_archivers_leave_behind_is_not_listed(as_zip):
    litter = {"__MACOSX/a/._1.png": b"", "a/.DS_Store": b"", "a/._1.png": b"", "a/1.png": b"x"}
    assert names(Files([as_zip(litter)])) == ["data/a/1.png"]


def test_reading_a_zip_leaves_the_disk_as_it_was(as_zip, tmp_path):
    files = Files([as_zip({"../../escape.txt": b"x", "a/b.txt": b"y"})])
    before = sorted(tmp_path.parent.rglob("*"))
    assert {files.read(member, "case") for member in files.members} == {b"x", b"y"}
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_missing_path_and_a_wrong_file_are_named_without_their_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for path, said in (
        ("absent.zip", "'absent.zip' does not exist"),
        ("notes.txt", "'notes.txt' is not a zip"),
    ):
        with pytest.raises(DatasetError, match=said) as error:
            Files([tmp_path / path])
        assert str(tmp_path) not in str(error.value)
    with pytest.raises(DatasetError, match="No data set path"):
        Files([])


def test_a_damaged_member_names_the_case(as_zip):
    path = as_zip({"a.bin": bytes(range(256)) * 64})
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(bytes(content))
    files = Files([path])
    with pytest.raises(DatasetError, match=r"Case p7: the file 'a\.bin' could not be read"):
        files.read(files.members[0], "p7")


def test_an_encrypted_member_names_the_case(as_zip):
    path = as_zip({"a.bin": b"secret"})
    content = path.read_bytes()
    flagged = content.replace(b"PK\x03\x04\x14\x00\x00\x00", b"PK\x03\x04\x14\x00\x01\x00")
    flagged = flagged.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
    path.write_bytes(flagged)
    files = Files([path])
    with pytest.raises(DatasetError, match=r"Case p7: the file 'a\.bin' could not be read"):
        files.read(files.members[0], "p7")


def test_a_member_that_claims_to_be_huge_is_not_unpacked(as_zip, monkeypatch):
    monkeypatch.setattr("SPASegmentLib.research.datasets.files.MAX_MEMBER_BYTES", 1000)
    files = Files([as_zip({"bomb.bin": bytes(100_000)})])
    with pytest.raises(DatasetError, match=r"Case p7: the file 'bomb\.bin' could not be read"):
        files.read(files.members[0], "p7")


def test_an_opened_zip_travels_to_another_process(as_zip):
    files = Files([as_zip({"a.txt": b"here"})])
    copy = pickle.loads(pickle.dumps(files))
    assert copy.read(copy.members[0], "case") == b"here"


def test_a_zip_cut_short_is_refused(as_zip):
    path = as_zip({"a.bin": bytes(5000)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"'data\.zip' is not a zip file"):
        Files([path])


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[0, 255]], np.uint8), np.array([[0, 255]], np.uint8)),
        (np.array([[0, 65535]], np.uint16), np.array([[0, 1]], np.float32)),
        (np.array([[False, True]]), np.array([[0, 255]], np.uint8)),
        (np.array([[[1, 2, 3]]], np.uint8), np.array([[[1, 2, 3]]], np.uint8)),
        (np.array([[[1, 2, 3, 255]]], np.uint8), np.array([[[1, 2, 3]]], np.uint8)),
    ],
    ids=["grey", "16-bit grey", "black and white", "colour", "colour with alpha"],
)
def test_pictures_become_grey_or_colour_arrays(picture, pixels, expected):
    decoded = read_picture(picture(pixels), "case")
    assert decoded.dtype == expected.dtype
    assert np.array_equal(decoded, expected)


def test_a_palette_of_greys_is_grey():
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 90, 200]], np.uint8)).convert("P").save(buffer, "PNG")
    assert np.array_equal(read_picture(buffer.getvalue(), "case"), [[0, 90, 200]])


@pytest.mark.parametrize("white", [255, 1, 3])
def test_masks_are_foreground_whether_stored_as_255_or_as_labels(picture, square, white):
    mask = read_mask(picture(square(4, value=white)), "case")
    assert mask.sum() == 16


def test_the_soft_edges_of_a_jpeg_mask_are_cut_at_half(picture, square):
    mask = read_mask(picture(square(8), "JPEG"), "case")
    assert abs(int(mask.sum()) - 64) <= 4


def test_an_empty_mask_is_empty(picture, square):
    assert not read_mask(picture(square(0)), "case").any()


def test_the_share_of_a_patient_is_spread_and_fixed():
    shares = [hashed_share(f"patient-{number}") for number in range(2000)]
    assert 0.48 < np.mean(shares) < 0.52
    assert hashed_share("LIDC-IDRI-0001") == pytest.approx(0x3BB5D67AB4619662 / 2**64, abs=1e-9)


def test_splits_in_order_keep_a_patient_whole():
    patients = ["c", "a", "b", "a", "d", "d"]
    assert split_in_order(patients, 2, 1) == {"a": "train", "b": "train", "c": "val", "d": "test"}


@pytest.mark.parametrize(
    "text", ["not json", "[]", '{"train": "all"}', '{"train": [1]}', '{"holdout": []}'], ids=str
)
def test_a_splits_file_of_another_form_is_refused(tmp_path, text):
    path = tmp_path / "splits.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"'splits\.json' is not of the form"):
        read_splits(path)


def test_a_patient_in_two_splits_is_refused(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text('{"train": ["p1"], "test": ["p1"]}')
    with pytest.raises(DatasetError, match="puts one patient into two splits"):
        read_splits(path)
    with pytest.raises(DatasetError, match=r"'absent\.json' could not be read"):
        read_splits(tmp_path / "absent.json")


def test_a_splits_file_is_found_inside_or_beside_a_path(tmp_path):
    inside = tmp_path / "data"
    inside.mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    assert find_splits_file([inside, tmp_path / "a.zip"], "s.json") is None
    (tmp_path / "s.json").write_text("{}")
    assert find_splits_file([tmp_path / "a.zip"], "s.json") == tmp_path / "s.json"
    (inside / "s.json").write_text("{}")
    assert find_splits_file([inside], "s.json") == inside / "s.json"
