"""The command with the model that comes with the program."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds


@pytest.fixture(scope="module")
def a_chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chest") / "chest.nrrd"
    write_sample_volume(path, make_sample_volume(0))
    return path


def dense_part(volume: sitk.Image, ras: tuple[float, float, float]) -> np.ndarray:
    """(J, I) bool: what is denser than half-way between lung and tissue around the seed, on its slice."""
    i, j, k = volume.TransformPhysicalPointToIndex((-ras[0], -ras[1], ras[2]))
    labels, _ = ndimage.label(sitk.GetArrayFromImage(volume)[k] > -400)
    return labels == labels[j, i]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_nodules_of_the_sample_are_outlined_and_alternatives_offered(run, a_chest, tmp_path, index):
    place = sample_seeds(0)[index]
    ran = run(
        *("segment", a_chest, "--seed-ras", *place.ras, "--picks", "2,1"),
        *("--out", tmp_path / "mask.nrrd", "--json", tmp_path / "n.json", "--report", tmp_path / "pictures"),
    )
    assert ran.code == 0, ran.err
    volume = sitk.ReadImage(str(a_chest))
    ran = run("segment", a_chest, "--seed-ras", *place.ras, "--out", tmp_path / "first.nrrd")
    assert ran.code == 0, ran.err
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "first.nrrd"))).any(axis=0)
    dense = dense_part(volume, place.ras)
    assert 2 * (mask & dense).sum() / (mask.sum() + dense.sum()) > 0.6
    first = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))["iterations"][0]
    assert len(first["candidates"]) >= 2
    assert len({c["name"] for c in first["candidates"]}) == len(first["candidates"])
    areas = [c["area_mm2"] for c in first["candidates"]]
    assert areas == sorted(areas, reverse=True)
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == [
        f"iteration-{number}.png" for number in (1, 2, 3)
    ]


@pytest.fixture
def a_spleen(data_dir: Path, tmp_path: Path) -> tuple[Path, tuple[int, int, int]]:
    """The real CT crop (NIfTI, HU) and a voxel inside its spleen."""
    with zipfile.ZipFile(data_dir / "spleen-ct-crop.zip") as archive:
        archive.extractall(tmp_path)
    files = sorted(p for p in tmp_path.rglob("*.nii*") if not p.name.startswith("."))
    label = next(p for p in files if "label" in str(p).lower() or "seg" in p.name.lower())
    image = next(p for p in files if p != label)
    inside = ndimage.distance_transform_edt(sitk.GetArrayFromImage(sitk.ReadImage(str(label))) > 0)
    k, j, i = np.unravel_index(int(inside.argmax()), inside.shape)
    return image, (int(i), int(j), int(k))


@pytest.mark.data
@pytest.mark.parametrize("name", ["mask.seg.nrrd", "mask.nii.gz"])
def test_a_real_ct_is_segmented_on_its_exact_geometry(run, a_spleen, tmp_path, name):
    image, (i, j, k) = a_spleen
    ran = run(
        "segment", image, "--seed-ijk", i, j, k, "--out", tmp_path / name, "--json", tmp_path / "n.json"
    )
    assert ran.code == 0, ran.err
    volume, mask = sitk.ReadImage(str(image)), sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_allclose(mask.GetOrigin(), volume.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(mask.GetSpacing(), volume.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(mask.GetDirection(), volume.GetDirection(), atol=1e-6)
    array = sitk.GetArrayFromImage(mask)
    assert (
        array.sum() == json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))["result"]["mask_pixels"]
    )
    assert set(np.argwhere(array)[:, 0]) == {k}
