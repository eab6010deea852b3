"""LIDC as distributed for PHiSeg: the pickle, which must never run anything, and the HDF5 file."""

from __future__ import annotations

import importlib.util
import io
import os
import pickle
import pickletools
import struct
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.lidc import Hdf5Store, LidcPhiseg, PickleStore
from SPASegmentLib.research.datasets.safe_pickle import PickledArray, load_plain_pickle

HAS_H5PY = importlib.util.find_spec("h5py") is not None


def masks_of(sizes, square, dtype=np.uint8):
    return [(square(size) > 0).astype(dtype) for size in sizes]


@pytest.fixture
def cases(square):
    return {
        f"LIDC-{number:02d}": {
            "image": np.full((16, 16), number / 20, np.float64),
            "masks": masks_of((0, 2, 4, 6), square, np.float64),
            "series_uid": f"1.3.6.1.{number // 2}",
        }
        for number in range(20)
    }


def loads(content: bytes):
    return load_plain_pickle(io.BytesIO(content), "data_lidc.pickle")


@pytest.mark.parametrize("protocol", range(6))
def test_the_pickles_cases_are_read_at_every_protocol(cases, tmp_path, protocol):
    path = tmp_path / "data_lidc.pickle"
    path.write_bytes(pickle.dumps(cases, protocol=protocol))
    dataset = LidcPhiseg([path])
    case = dataset[3]
    assert (len(dataset), case.case_id, case.patient) == (19 + 1, "LIDC-03", "1.3.6.1.1")
    assert case.image == pytest.approx(0.15) and case.image.dtype == np.float32
    assert case.masks.sum(axis=(1, 2)).tolist() == [0, 4, 16, 36]
    assert case.spacing == (0.5, 0.5) and case.modality == "CT"


def test_masks_may_be_one_array_and_the_file_may_lie_in_a_zip_or_folder(cases, as_zip, as_folder):
    for case in cases.values():
        case["masks"] = np.stack(case["masks"])
    contents = {"lidc/data_lidc.pickle": pickle.dumps(cases)}
    for source in (as_zip(contents), as_folder(contents)):
        assert LidcPhiseg([source])[0].masks.sum() == 56


def test_a_series_stays_in_one_split(cases, tmp_path):
    path = tmp_path / "data_lidc.pickle"
    path.write_bytes(pickle.dumps(cases))
    parts = [set(LidcPhiseg([path], split).patients()) for split in ("train", "test")]
    assert all(parts) and not parts[0] & parts[1]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.array([[True, False]]),
        np.arange(3, dtype=">i2"),
        np.zeros((0, 4), np.uint8),
        np.arange(24, dtype=np.uint16).reshape(2, 3, 4)[:, ::2],
    ],
    ids=["int64", "fortran", "bool", "big endian", "empty", "strided"],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numeric_arrays_come_back_as_they_were(array, protocol):
    back = loads(pickle.dumps(array, protocol=protocol))
    assert isinstance(back, PickledArray)
    assert back.array().dtype == array.dtype and np.array_equal(back.array(), array)


def test_plain_data_and_numpy_numbers_come_back_as_they_were():
    plain = {"a": [1, 2.5, "text", None, True, (b"bytes",)], "n": np.float32(0.5), "i": np.int64(7)}
    assert loads(pickle.dumps(plain)) == plain
    old_name = pickle.dumps(np.arange(3), protocol=2).replace(b"numpy._core", b"numpy.core")
    assert loads(old_name).array().tolist() == [0, 1, 2]


class Hostile:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def test_a_hostile_pickle_is_refused_and_nothing_it_names_is_run(cases, tmp_path):
    witness = tmp_path / "ran"
    commands = [
        Hostile(os.system, f"touch {witness}"),
        Hostile(exec, f"open({str(witness)!r}, 'w')"),
        Hostile(eval, f"open({str(witness)!r}, 'w')"),
        Hostile(Path.touch, witness),
        Hostile(getattr, Path, "touch"),
        Hostile(np.memmap, str(witness), "u1", "w+", 0, (1,)),
        Hostile(np.load, str(witness)),
    ]
    for command in commands:
        cases["LIDC-07"]["series_uid"] = command
        path = tmp_path / "data_lidc.pickle"
        path.write_bytes(pickle.dumps(cases))
        with pytest.raises(
            DatasetError, match=r"'data_lidc\.pickle' was refused because it holds more than"
        ) as error:
            LidcPhiseg([path])
        assert str(tmp_path) not in str(error.value).replace(str(witness), "")
        assert not witness.exists()


def test_the_hostile_pickle_is_really_hostile(tmp_path):
    witness = tmp_path / "ran"
    pickle.loads(pickle.dumps(Hostile(os.system, f"touch {witness}")))
    assert witness.exists()


STANDARD = b"\x80\x04cnumpy\ndtype\n"


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(np.array([object], dtype=object)),
        pickle.dumps(np.array(["text"])),
        pickle.dumps(np.zeros(2, [("a", "i4")])),
        pickle.dumps(np.array(["2020-01-01"], "M8[D]")),
        pickle.dumps(np.ma.zeros(3)),
        pickle.dumps({1, 2}.__class__),
        STANDARD + b"N}X\x08\x00\x00\x00__call__NN\x86b.",
        STANDARD + b"N}X\x05\x00\x00\x00_makeNs\x86b.",
        b"\x80\x04cSPASegmentLib.datasets.safe_pickle\n_MAKERS\n.",
        b"\x80\x04cbuiltins\ngetattr\n.",
        b"\x80\x04Psomewhere\n.",
        b"\x80\x04\x82\x01.",
    ],
    ids=[
        "objects",
        "text array",
        "records",
        "dates",
        "masked",
        "set",
        "change call",
        "change maker",
        "own module",
        "getattr",
        "persistent",
        "extension",
    ],
)
def test_what_is_not_plain_data_is_refused(content):
    with pytest.raises(DatasetError, match=r"was refused|is damaged"):
        loads(content)


def test_a_size_that_does_not_fit_the_content_is_refused():
    honest = pickle.dumps(np.zeros((4, 4), np.uint8), protocol=2)
    longer = honest.replace(b"K\x04K\x04\x86", b"K\x7fK\x7f\x86")
    assert longer != honest
    with pytest.raises(DatasetError, match="size does not fit its content"):
        loads(longer)


def test_any_cut_of_a_pickle_is_refused_in_one_sentence(cases):
    content = pickle.dumps({"a": cases["LIDC-01"]})
    assert sum(1 for _ in pickletools.genops(content)) > 30
    for length in range(0, len(content) - 1, max(1, len(content) // 200)):
        with pytest.raises(DatasetError, match=r"^The pickle 'data_lidc\.pickle' .*\.$"):
            loads(content[:length])


def test_flipped_bytes_never_raise_anything_but_a_dataset_error(cases):
    content = pickle.dumps({"a": cases["LIDC-01"]}, protocol=4)
    rng = np.random.default_rng(0)
    for _ in range(500):
        spoilt = bytearray(content)
        spoilt[rng.integers(0, 400)] = rng.integers(0, 256)
        try:
            loads(bytes(spoilt))
        except DatasetError:
            continue


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "not a dictionary of cases"),
        ({"a": {"image": 1}}, "Case a lacks its image, masks or series_uid"),
    ],
)
def test_a_pickle_of_another_form_says_so(content, said):
    with pytest.raises(DatasetError, match=said):
        PickleStore(content)


def test_bad_cases_are_named(cases, tmp_path):
    path = tmp_path / "data_lidc.pickle"
    cases["LIDC-00"]["masks"] = cases["LIDC-00"]["masks"][:3]
    cases["LIDC-01"]["image"] = cases["LIDC-01"]["image"] + 5
    cases["LIDC-02"]["image"] = np.zeros((8, 8))
    path.write_bytes(pickle.dumps(cases))
    dataset = LidcPhiseg([path], subset=None)
    for index, said in enumerate(
        ("has not four masks", "values in \\[0, 1\\]", "the masks are 16x16 pixels")
    ):
        with pytest.raises(DatasetError, match=f"Case LIDC-0{index}.*{said}"):
            dataset[index]


# HDF5


def groups_of(square, channel_last: bool):
    groups = {}
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        labels = np.stack([np.stack(masks_of((2, 4, 6, 8), square))] * count)
        groups[split] = {
            "images": np.linspace(-0.5, 0.5, count * 256).reshape(count, 16, 16),
            "labels": np.moveaxis(labels, 1, -1) if channel_last else labels,
            "uids": np.arange(count) // 2 - 5,
        }
    return groups


@pytest.mark.parametrize("channel_last", [False, True])
def test_the_hdf5_groups_are_the_splits_and_images_get_their_half_back(square, channel_last):
    store = Hdf5Store(groups_of(square, channel_last))
    entries = list(store.entries(0))
    assert [entry.case_id for entry in entries][:2] == ["train/00000", "train/00001"]
    assert [entry.source.split for entry in entries].count("test") == 3
    assert {entry.patient for entry in entries if entry.source.split == "val"} == {"series--5"}
    assert store.image(entries[0].source).min() == 0
    assert store.masks(entries[0].source).shape == (4, 16, 16)


def test_hdf5_groups_without_labels_are_refused(square):
    groups = groups_of(square, False)
    del groups["val"]["labels"]
    with pytest.raises(DatasetError, match="group 'val' of the LIDC HDF5 file lacks images or labels"):
        Hdf5Store(groups)


@pytest.mark.skipif(HAS_H5PY, reason="h5py is installed")
def test_without_h5py_the_hdf5_file_says_what_to_install(tmp_path):
    path = tmp_path / "data_lidc.hdf5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DatasetError, match="needs the package h5py; install it"):
        LidcPhiseg([path])


@pytest.mark.skipif(not HAS_H5PY, reason="h5py is not installed")
def test_the_hdf5_file_is_read(square, tmp_path, as_zip):
    import h5py

    path = tmp_path / "data_lidc.hdf5"
    with h5py.File(path, "w") as file:
        for name, arrays in groups_of(square, True).items():
            for key, value in arrays.items():
                file.create_dataset(f"{name}/{key}", data=value)
    for source in (path, as_zip({"x/data_lidc.hdf5": path.read_bytes()})):
        dataset = LidcPhiseg([source], "test")
        assert len(dataset) == 3
        assert dataset[0].masks.sum(axis=(1, 2)).tolist() == [4, 16, 36, 64]
    path.write_bytes(struct.pack("<q", 5))
    with pytest.raises(DatasetError, match="is damaged"):
        LidcPhiseg([path])


def test_a_folder_without_such_files_names_the_layout(as_folder):
    with pytest.raises(DatasetError, match=r"expected data_lidc\.hdf5"):
        LidcPhiseg([as_folder({"a.txt": b""})])
