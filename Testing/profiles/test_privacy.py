from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.geometry import SlicePlane
from SPASegmentLib.imaging.types import IntensityWindow
from SPASegmentLib.imaging.window import make_slice
from SPASegmentLib.inference.session import Session
from SPASegmentLib.profiles.approvals import ApprovalFolder, new_group, object_of
from SPASegmentLib.profiles.learning import commit_approval, evidence_of
from SPASegmentLib.profiles.profile import new_profile

LOUD = {
    "0010|0010": "LOUDMOUTH^PATIENT^ZAPHOD",
    "0010|0020": "PID-8675309",
    "0010|0030": "19440229",
    "0010|1040": "ADDRESS-42-MAIN-STREET",
    "0008|0050": "ACCESSION-777",
    "0008|0080": "HOSPITAL-OF-LOUDNESS",
    "0008|0081": "INSTITUTION-ADDRESS-LOUD",
    "0008|0090": "REFERRING^DOCTOR^LOUD",
    "0008|1030": "STUDY-DESCRIPTION-LOUD",
    "0008|103e": "SERIES-DESCRIPTION-LOUD",
    "0008|1070": "OPERATOR^LOUD",
    "0020|0010": "STUDYID-LOUD",
    "0020|000d": "1.2.826.0.1.3680043.2.1125.11111",
    "0020|000e": "1.2.826.0.1.3680043.2.1125.22222",
    "0008|0020": "20230417",
    "0008|0060": "CT",
}


@pytest.fixture
def a_loud_series(tmp_path: Path) -> Path:
    """A DICOM series of a bright ball whose headers, and whose folder, shout who it is of."""
    folder = tmp_path / "LOUDMOUTH_ZAPHOD_PID-8675309"
    folder.mkdir()
    k, j, i = np.indices((6, 48, 48))
    ball = np.where((k - 3) ** 2 * 4 + (j - 24) ** 2 + (i - 24) ** 2 < 100, 40, -800).astype(np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for n in range(len(ball)):
        image = sitk.GetImageFromArray(ball[n : n + 1])
        image.SetSpacing((0.8, 0.8, 2.5))
        for tag, value in LOUD.items():
            image.SetMetaData(tag, value)
        image.SetMetaData("0020|0032", f"0\\0\\{2.5 * n}")
        image.SetMetaData("0020|0037", "1\\0\\0\\0\\1\\0")
        image.SetMetaData("0020|0013", str(n))
        image.SetMetaData("0008|0018", f"1.2.826.0.1.3680043.2.1125.333.{n}")
        writer.SetFileName(str(folder / f"LOUDMOUTH-{n}.dcm"))
        writer.Execute(image)
    return folder


def test_a_profile_made_from_a_loud_dicom_series_tells_nothing_of_the_patient(
    a_loud_series, store, fresh, engine
):
    volume = read_volume(a_loud_series)
    plane = SlicePlane.through(volume, "axial", seed_ijk=(24, 24, 3))
    image = make_slice(volume, plane, IntensityWindow(-1000, 200))
    session = Session.start(image, engine.model, (24.0, 24.0)).advance(engine).pick(0).advance(engine)
    commit_approval(store, store.create(fresh), session.approve())

    written = [path for path in store.folder.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(written) >= 3
    said = "\n".join([path.read_text(encoding="utf-8") + path.name for path in written]).lower()
    words = {word for value in LOUD.values() if value != "CT" for word in re.split(r"[\^]", value)}
    for word in {*words, "loud", "zaphod", "8675309", str(a_loud_series), a_loud_series.name, ".dcm"}:
        assert word.lower() not in said, word
    assert image.key not in said and image.key[:12] not in said


def test_a_kept_object_of_a_loud_dicom_series_tells_nothing_of_the_patient(a_loud_series, tmp_path, engine):
    volume = read_volume(a_loud_series)
    plane = SlicePlane.through(volume, "axial", seed_ijk=(24, 24, 3))
    image = make_slice(volume, plane, IntensityWindow(-1000, 200))
    session = Session.start(image, engine.model, (24.0, 24.0)).advance(engine).approve()
    kept = object_of(session, new_group())
    assert kept is not None
    path = ApprovalFolder(tmp_path / "kept").keep(kept)
    said = path.read_bytes().lower() + path.name.encode()
    words = {word for value in LOUD.values() if value != "CT" for word in re.split(r"[\^]", value)}
    for word in {*words, "loud", "zaphod", "8675309", str(a_loud_series), a_loud_series.name, ".dcm"}:
        assert word.lower().encode() not in said, word
    assert image.key.encode() not in said


def test_no_number_in_a_profile_is_a_pixel(store, fresh, engine, disc, a_user):
    """All lists of numbers are over components, of the model's mixture, or single clicks."""
    commit_approval(store, store.create(fresh), a_user(engine, disc(9), 1.2))
    (file,) = store.folder.glob("*.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    longest = 0

    def walk(value: object) -> None:
        nonlocal longest
        if isinstance(value, list):
            if value and all(isinstance(item, int | float) for item in value):
                longest = max(longest, len(value))
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, str):
            assert len(value) <= 200

    walk(content)
    assert longest == engine.model.components


def test_the_same_image_has_another_hash_in_another_profile(fresh, engine, disc, a_user):
    session = a_user(engine, disc(9), 1.2)
    other = new_profile("other", fresh.model)
    assert evidence_of(fresh, session).image != evidence_of(other, session).image
