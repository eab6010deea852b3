"""Volumes from bytes and the data sets made of them: hippocampus, spleen and QUBIQ."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.imaging.types import IntensityWindow
from SPASegmentLib.research.datasets.volume_bytes import parse_nifti, parse_nrrd
from SPASegmentLib.research.datasets.volume_sets import MsdHippocampus, Qubiq, SpleenCt
from SPASegmentLib.research.datasets.volumes import apply_window, axial, percentile_window

RNG = np.random.default_rng(5)
TILT = np.cos(0.1), np.sin(0.1)
DIRECTIONS = {
    "straight": (1.0, 0, 0, 0, 1, 0, 0, 0, 1),
    "flipped": (-1.0, 0, 0, 0, -1, 0, 0, 0, 1),
    "sagittal": (0.0, 0, 1, 1, 0, 0, 0, -1, 0),
    "tilted": (1.0, 0, 0, 0, TILT[0], -TILT[1], 0, TILT[1], TILT[0]),
}


def ras_of(image: sitk.Image) -> np.ndarray:
    """SimpleITK's geometry as an ijk -> RAS matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ matrix


@pytest.mark.parametrize("direction", list(DIRECTIONS.values()), ids=list(DIRECTIONS))
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_bytes_are_read_as_simpleitk_reads_the_file(tmp_path, ending, dtype, direction):
    image = sitk.GetImageFromArray((RNG.normal(size=(3, 4, 5)) * 100).astype(dtype))
    image.SetSpacing((0.5, 0.75, 2.5))
    image.SetOrigin((-10.0, 20.0, 30.5))
    image.SetDirection(direction)
    path = tmp_path / f"volume{ending}"
    sitk.WriteImage(image, str(path), useCompression=True)
    parse = parse_nrrd if ending == ".nrrd" else parse_nifti
    array, ijk_to_ras = parse(path.read_bytes())
    back = sitk.ReadImage(str(path))
    assert array.dtype == dtype
    assert np.array_equal(array, sitk.GetArrayFromImage(back))
    assert np.allclose(ijk_to_ras, ras_of(back), atol=1e-4)


def test_two_axes_are_read_too(tmp_path):
    image = sitk.GetImageFromArray(np.arange(12, dtype=np.float32).reshape(3, 4))
    for ending, parse in ((".nii.gz", parse_nifti), (".nrrd", parse_nrrd)):
        path = tmp_path / f"plane{ending}"
        sitk.WriteImage(image, str(path))
        array, _ = parse(path.read_bytes())
        assert np.array_equal(np.squeeze(array), np.arange(12).reshape(3, 4))


def nifti_header(volume_file, array: np.ndarray) -> bytearray:
    return bytearray(volume_file(array, ".nii"))


def test_nifti_scaling_is_applied(volume_file):
    content = nifti_header(volume_file, np.array([[[0, 10]]], np.int16))
    struct.pack_into("<2f", content, 112, 2.0, -1024.0)
    assert parse_nifti(bytes(content))[0].tolist() == [[[-1024, -1004]]]


def test_nifti_in_the_other_byte_order_is_read(volume_file):
    array = np.array([[[1, -2, 300]]], np.int16)
    content = nifti_header(volume_file, array)
    swapped = bytearray(content)
    for kind, offset, count in (("i", 0, 1), ("h", 40, 8), ("h", 70, 2), ("f", 76, 8), ("f", 108, 3)):
        struct.pack_into(
            f">{count}{kind}", swapped, offset, *struct.unpack_from(f"<{count}{kind}", content, offset)
        )
    for kind, offset, count in (("h", 252, 2), ("f", 256, 18), ("h", 352, 3)):
        struct.pack_into(
            f">{count}{kind}", swapped, offset, *struct.unpack_from(f"<{count}{kind}", content, offset)
        )
    assert np.array_equal(parse_nifti(bytes(swapped))[0], array)


def test_nifti_without_an_orientation_keeps_its_voxel_size(volume_file):
    content = nifti_header(volume_file, np.zeros((2, 2, 2), np.uint8))
    struct.pack_into("<2h", content, 252, 0, 0)
    struct.pack_into("<3f", content, 80, 0.5, 0.6, 3.0)
    assert np.allclose(np.diag(parse_nifti(bytes(content))[1]), [0.5, 0.6, 3.0, 1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: b"hello", "not a NIfTI-1 file"),
        (lambda content: content[:200], "not a NIfTI-1 file"),
        (lambda content: content[:-5], "cut short"),
        (lambda content: gzip.compress(bytes(content))[:-20], "cut short"),
        (lambda content: content[:70] + struct.pack("<h", 128) + content[72:], "not real numbers"),
        (
            lambda content: content[:40] + struct.pack("<8h", 3, -2, 2, 2, 1, 1, 1, 1) + content[56:],
            "no sense",
        ),
        (lambda content: content[:40] + struct.pack("<8h", 3, *[32000] * 7) + content[56:], "4 GiB"),
        (lambda content: content[:280] + bytes(48) + content[328:], "orientation makes no sense"),
    ],
    ids=["text", "header only", "short", "short gzip", "rgb", "negative size", "huge", "flat"],
)
def test_a_spoilt_nifti_is_refused_with_the_reason(volume_file, spoil, said):
    content = nifti_header(volume_file, np.zeros((2, 2, 2), np.int16))
    with pytest.raises(ValueError, match=said):
        parse_nifti(bytes(spoil(content)))


def nrrd(head: str, content: bytes = bytes(8)) -> bytes:
    return b"NRRD0004\n" + head.encode() + b"\n\n" + content


PLAIN = "type: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "not a NRRD file"),
        (nrrd(PLAIN, bytes(7)), "cut short"),
        (nrrd(PLAIN + "\ndata file: other.raw"), "in another file"),
        (nrrd(PLAIN.replace("raw", "bzip2")), "'bzip2' is not read here"),
        (nrrd(PLAIN.replace("uint8", "block")), "not real numbers"),
        (nrrd(PLAIN + "\nkinds: vector domain domain"), "not spatial"),
        (nrrd(PLAIN.replace("sizes: 2 2 2", "sizes: 2 2")), "two or three axes"),
        (nrrd(PLAIN.replace("2 2 2", "4000 4000 4000")), "4 GiB"),
        (nrrd(PLAIN.replace("raw", "gzip")), "damaged"),
        (nrrd("dimension: 3"), "lacks a field"),
    ],
    ids=["text", "short", "detached", "bzip2", "block", "vector", "axes", "huge", "gzip", "fields"],
)
def test_a_spoilt_nrrd_is_refused_with_the_reason(content, said):
    with pytest.raises(ValueError, match=said):
        parse_nrrd(content)


def test_big_endian_nrrd_is_read():
    head = "type: int16\ndimension: 2\nsizes: 2 1\nencoding: raw\nendian: big\nspacings: 0.5 0.25"
    array, ijk_to_ras = parse_nrrd(nrrd(head, struct.pack(">2h", 1, -300)))
    assert array.tolist() == [[1, -300]]
    assert np.allclose(np.diag(ijk_to_ras), [0.5, 0.25, 1, 1])


@pytest.mark.parametrize("direction", [DIRECTIONS["straight"], DIRECTIONS["flipped"], DIRECTIONS["sagittal"]])
def test_axial_slices_look_the_same_however_the_voxels_are_stored(direction):
    marked = sitk.GetImageFromArray(np.zeros((6, 7, 8), np.uint8))
    marked.SetDirection(direction)
    marked.SetSpacing((0.5, 0.7, 3.0))
    lps = np.array(marked.TransformContinuousIndexToPhysicalPoint((3.5, 3.0, 2.5)))
    for axis, step in enumerate(np.eye(3) * 1.6):
        near = marked.TransformPhysicalPointToIndex(tuple(lps + step))
        far = marked.TransformPhysicalPointToIndex(tuple(lps - step))
        marked[near], marked[far] = 10 + axis, 20 + axis
    array, spacing = axial(sitk.GetArrayFromImage(marked), ras_of(marked))
    for view, axis in enumerate((2, 1, 0)):
        toward = int(np.argwhere(array == 10 + axis)[0][view])
        away = int(np.argwhere(array == 20 + axis)[0][view])
        assert toward > away
    left, posterior = (np.abs(np.array(direction).reshape(3, 3)[row]).argmax() for row in (0, 1))
    assert spacing == pytest.approx((marked.GetSpacing()[posterior], marked.GetSpacing()[left]))


def test_windows_map_to_zero_and_one():
    hu = np.array([-2000, -160, 40, 240, 3000, np.nan], np.float32)
    assert apply_window(hu, IntensityWindow(-160, 240)).tolist() == [0, 0, 0.5, 1, 1, 0]
    assert apply_window(hu, percentile_window(np.full((3, 3), 7))).tolist() == [0] * 6
    spread = np.append(np.arange(1000, dtype=np.float32), [np.inf, -np.inf, np.nan])
    window = percentile_window(spread)
    assert (window.low, window.high) == pytest.approx((5, 994), abs=1)


# Hippocampus


@pytest.fixture
def hippocampus_contents(volume_file):
    contents = {}
    for number in range(1, 21):
        image = RNG.normal(1000, 200, (5, 6, 7)).astype(np.float32)
        label = np.zeros((5, 6, 7), np.uint8)
        label[1:3, 2:4, 2:5] = 1
        label[2:4, 4:5, 2:5] = 2
        name = f"hippocampus_{number:03d}.nii.gz"
        contents[f"data/TrainingSet/images/{name}"] = volume_file(image)
        contents[f"data/TrainingSet/labels/{name}"] = volume_file(label)
    return contents


def test_every_labelled_slice_of_a_hippocampus_is_a_case(hippocampus_contents, as_zip):
    dataset = MsdHippocampus([as_zip(hippocampus_contents)])
    assert dataset.case_ids()[:4] == [
        "hippocampus_001/slice-0001",
        "hippocampus_001/slice-0002",
        "hippocampus_001/slice-0003",
        "hippocampus_002/slice-0001",
    ]
    case = dataset[1]
    assert case.image.shape == (6, 7) and case.image.dtype == np.float32 and case.modality == "MR"
    assert case.image.min() >= 0 and case.image.max() <= 1
    assert case.masks.shape == (1, 6, 7) and case.masks.sum() == 9
    assert case.patient == "hippocampus_001"


def test_one_label_of_the_hippocampus_can_be_chosen(hippocampus_contents, as_zip):
    packed = as_zip(hippocampus_contents)
    assert len(MsdHippocampus([packed], label=1)) == 40
    assert MsdHippocampus([packed], label="2")[0].masks.sum() == 3
    with pytest.raises(DatasetError, match="no label '3'; choose any, 1 or 2"):
        MsdHippocampus([packed], label=3)


def test_hippocampus_splits_keep_a_volume_whole(hippocampus_contents, as_zip):
    packed = as_zip(hippocampus_contents)
    parts = [set(MsdHippocampus([packed], split).patients()) for split in ("train", "test")]
    assert all(parts) and not parts[0] & parts[1]


def test_a_volume_without_its_label_is_refused_by_name(hippocampus_contents, as_zip):
    del hippocampus_contents["data/TrainingSet/labels/hippocampus_004.nii.gz"]
    with pytest.raises(DatasetError, match="Case hippocampus_004 has no mask of rater label"):
        MsdHippocampus([as_zip(hippocampus_contents)])


def test_an_unreadable_volume_is_refused_by_name(hippocampus_contents, as_zip):
    hippocampus_contents["data/TrainingSet/labels/hippocampus_004.nii.gz"] = b"hello"
    with pytest.raises(DatasetError, match=r"Case hippocampus_004: the volume .* it is not a NIfTI-1 file"):
        MsdHippocampus([as_zip(hippocampus_contents)])


@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0)], ids=["size", "place"])
def test_a_label_on_another_grid_is_refused_by_name(hippocampus_contents, as_zip, volume_file, spacing):
    shape = (5, 6, 8) if spacing is None else (5, 6, 7)
    label = volume_file(np.ones(shape, np.uint8), spacing=spacing)
    hippocampus_contents["data/TrainingSet/labels/hippocampus_001.nii.gz"] = label
    dataset = MsdHippocampus([as_zip(hippocampus_contents)])
    with pytest.raises(
        DatasetError, match="Case hippocampus_001: its image and masks are not on the same voxel"
    ):
        dataset[0]


@pytest.mark.data
def test_the_real_hippocampi_are_69_volumes_with_small_labels(data_dir):
    path = data_dir / "msd-hippocampus.zip"
    if not path.is_file():
        pytest.skip("msd-hippocampus.zip is not in the data folder")
    dataset = MsdHippocampus([path])
    assert (len(set(dataset.patients())), len(dataset)) == (69, 1732)
    for index in range(0, len(dataset), 199):
        case = dataset[index]
        assert case.spacing == pytest.approx((1, 1))
        assert 0 < case.masks.mean() < 0.25 and case.image.std() > 0.05


# Spleen


@pytest.fixture
def spleen_contents(volume_file):
    image = np.full((4, 5, 6), -1000, np.int16)
    image[:, 1:4, 1:4] = 40
    label = np.zeros((4, 5, 6), np.uint8)
    label[1:3, 1:4, 1:4] = 1
    base = "ct_scan"
    return {
        f"{base}/dataset_description.json": b"{}",
        f"{base}/sub-spleen2/ct/sub-spleen2_ct.nii.gz": volume_file(image, spacing=(0.8, 0.9, 5.0)),
        f"{base}/derivatives/labels/sub-spleen2/ct/sub-spleen2_ct_seg-manual.nii.gz": volume_file(
            label, spacing=(0.8, 0.9, 5.0)
        ),
    }


def test_the_spleen_is_seen_in_a_soft_tissue_window(spleen_contents, as_zip):
    dataset = SpleenCt([as_zip(spleen_contents)])
    case = dataset[0]
    assert dataset.case_ids() == ["sub-spleen2/slice-0001", "sub-spleen2/slice-0002"]
    assert case.image[case.masks[0]].tolist() == [0.5] * 9
    assert case.image[0, 0] == 0
    assert case.spacing == pytest.approx((0.9, 0.8)) and case.modality == "CT"


def test_the_spleens_window_can_be_chosen(spleen_contents, as_zip):
    packed = as_zip(spleen_contents)
    case = SpleenCt([packed], window=(-1000, 1200))[0]
    assert case.image[case.masks[0]] == pytest.approx(1040 / 2200)
    with pytest.raises(DatasetError, match="two numbers LOW HIGH"):
        SpleenCt([packed], window=(240, -160))


def test_the_spleen_is_test_data(spleen_contents, as_zip):
    packed = as_zip(spleen_contents)
    assert len(SpleenCt([packed], "test")) == 2
    with pytest.raises(DatasetError, match="no case in the split 'train'"):
        SpleenCt([packed], "train")


@pytest.mark.data
def test_the_real_spleen_is_soft_tissue_on_twenty_slices(data_dir):
    path = data_dir / "spleen-ct-crop.zip"
    if not path.is_file():
        pytest.skip("spleen-ct-crop.zip is not in the data folder")
    dataset = SpleenCt([path])
    assert len(dataset) == 20
    case = dataset[10]
    hu = case.image[case.masks[0]] * 400 - 160
    assert 40 < np.median(hu) < 180
    assert case.spacing == pytest.approx((0.795, 0.795), abs=1e-3)


# QUBIQ

EXPERTS = {"brain-growth": 7, "brain-tumor": 3, "kidney": 3, "prostate": 6}


@pytest.fixture
def qubiq_contents(volume_file, square):
    masks = [volume_file((square(size) > 0).astype(np.uint8)[None]) for size in range(12)]
    channels = np.stack([square(10) * np.float32(channel) for channel in range(1, 5)])
    grey, four = volume_file(channels[:1]), volume_file(channels)
    contents = {}
    for folder, experts in EXPERTS.items():
        for number in range(1, 16):
            part = "Training" if number < 13 else "Validation"
            base = f"QUBIQ/{folder}/{part}/case{number:02d}"
            contents[f"{base}/image.nii.gz"] = four if folder == "brain-tumor" else grey
            for task in (1, 2) if folder == "prostate" else (1,):
                for expert in range(1, experts + 1):
                    contents[f"{base}/task{task:02d}_seg{expert:02d}.nii.gz"] = masks[2 * task + expert]
    return contents


@pytest.mark.parametrize(
    ("task", "experts", "first", "modality"),
    [
        ("brain-growth", 7, 9, "MR"),
        ("brain-tumor", 3, 9, "MR"),
        ("kidney", 3, 9, "CT"),
        ("prostate-1", 6, 9, "MR"),
        ("prostate-2", 6, 25, "MR"),
    ],
)
def test_each_qubiq_task_has_its_experts(qubiq_contents, as_zip, task, experts, first, modality):
    dataset = Qubiq([as_zip(qubiq_contents)], task=task)
    case = dataset[0]
    assert (len(dataset), case.dataset, case.case_id) == (15, f"qubiq-{task}", "Training/case01")
    assert case.masks.shape == (experts, 16, 16) and case.masks[0].sum() == first
    assert case.image.shape == (16, 16) and case.image.max() == 1 and case.modality == modality


def test_qubiq_validation_is_the_papers_test(qubiq_contents, as_folder):
    folder = as_folder(qubiq_contents)
    parts = {split: Qubiq([folder], split, task="kidney").case_ids() for split in ("train", "val", "test")}
    assert parts["test"] == [f"Validation/case{number}" for number in (13, 14, 15)]
    assert len(parts["train"]) + len(parts["val"]) == 12
    assert len(Qubiq([folder / "QUBIQ" / "kidney"], task="kidney")) == 15


def test_a_channel_of_the_brain_tumours_is_chosen(qubiq_contents, as_zip):
    packed = as_zip(qubiq_contents)
    assert Qubiq([packed], task="brain-tumor", channel=3)[0].image.max() == 1
    with pytest.raises(DatasetError, match="Training/case01: its image is not a single slice with channel 4"):
        Qubiq([packed], task="brain-tumor", channel=4)[0]
    with pytest.raises(DatasetError, match=r"no file task02_seg<r>\.nii\.gz"):
        Qubiq([packed], task="brain-tumor", subtask=2)


def test_an_unknown_qubiq_task_lists_the_known(qubiq_contents, as_zip):
    with pytest.raises(
        DatasetError, match="no task 'liver'; choose one of brain-growth, brain-tumor, kidney"
    ):
        Qubiq([as_zip(qubiq_contents)], task="liver")


def test_a_missing_expert_is_named_with_the_case(qubiq_contents, as_zip):
    del qubiq_contents["QUBIQ/kidney/Training/case05/task01_seg02.nii.gz"]
    with pytest.raises(DatasetError, match="Case Training/case05 has no mask of rater 02"):
        Qubiq([as_zip(qubiq_contents)], task="kidney")


def test_made_up_files_carry_no_path_in_errors(qubiq_contents, as_zip, tmp_path: Path):
    qubiq_contents["QUBIQ/kidney/Training/case05/image.nii.gz"] = b"broken"
    dataset = Qubiq([as_zip(qubiq_contents)], task="kidney")
    with pytest.raises(DatasetError, match=r"Case Training/case05: the volume 'image\.nii\.gz'") as error:
        dataset[4]
    assert str(tmp_path) not in str(error.value)
