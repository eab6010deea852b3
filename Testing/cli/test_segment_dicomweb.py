"""`spasegment segment --dicomweb`: a series from a real archive, segmented, and the result stored there."""

from __future__ import annotations

import io
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from SPASegmentLib.cli.dicomweb import ArchiveSeries, private_folder
from SPASegmentLib.errors import ServerError
from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.terminology import STRUCTURES
from SPASegmentLib.service.dicomweb import DicomWebServer

for folder in (Path(__file__).parents[1] / "imaging", Path(__file__).parent):
    sys.path.insert(0, str(folder / "support"))  # made-up DICOM files, Orthanc

pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
AT = ("--seed-ijk", 30, 28, 3)
STUDY, SERIES = "1.2.826.0.1.99.1", "1.2.826.0.1.99.1.2"
NAME, NUMBER = "Mustermann^Erika", "4711-0815"


def write_series(folder: Path, series: str, **more) -> Path:
    """CT slices with a bright ball in the middle, last slice first."""
    from made_dicom import write_slice

    k, j, i = np.mgrid[:7, :56, :60]
    ball = np.hypot(np.hypot((k - 3) * 2.5, (j - 28) * 0.8), (i - 30) * 0.7) < 7
    noise = np.random.default_rng(0).normal(0, 20, ball.shape)
    stored = (np.where(ball, 1000, 300) + noise).astype(np.uint16)
    about = {
        "StudyInstanceUID": STUDY,
        "PatientName": NAME,
        "PatientID": NUMBER,
        "FrameOfReferenceUID": "1.2",
    }
    about |= more
    for index in range(7):
        position = (1.5, -20, 30 - 2.5 * index)
        write_slice(folder / f"{index}.dcm", stored[index], position, series=series, **about)
    return folder


@pytest.fixture(scope="module")
def an_archive(tmp_path_factory: pytest.TempPathFactory):
    """Orthanc with two series of one study."""
    from orthanc import running_orthanc

    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        server.add(write_series(tmp_path_factory.mktemp("dicom") / "series", SERIES))
        server.add(write_series(tmp_path_factory.mktemp("dicom") / "other", f"{SERIES}.7"))
        yield server


@pytest.fixture
def segment(run, an_archive, a_model, monkeypatch, tmp_path):
    """`segment` on the series of the archive with the hand-made model; no terminal, temporary files apart."""
    from orthanc import AUTH

    monkeypatch.setenv("SPASEGMENT_DICOMWEB_AUTH", AUTH)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def segment_(*options, url=an_archive.dicomweb, study=STUDY, series=SERIES):
        where = ("--dicomweb", url, "--study", study, "--series", series)
        return run("segment", *where, "--model", a_model, *AT, *options)

    return segment_


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "temporary").rglob("*"))


def test_a_segmentation_goes_back_to_the_study_voxel_for_voxel(segment, an_archive, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    write_series(tmp_path / "same", SERIES)
    ran = segment(
        "--picks", "1", "--whole-object", "--stow", "--structure", "lung-nodule", "--out", tmp_path / "a.dcm"
    )
    assert (ran.code, ran.err) == (0, "")
    assert f"Stored: DICOM SEG in the study on {an_archive.dicomweb}" in ran.out
    [[stored]] = an_archive.series("SEG")
    (tmp_path / "back.dcm").write_bytes(stored)
    volume = read_volume(tmp_path / "same")
    [ours], [theirs] = (read_dicom_seg(tmp_path / name, volume) for name in ("a.dcm", "back.dcm"))
    np.testing.assert_array_equal(theirs.mask, ours.mask)
    assert theirs.mask[3, 28, 30] and theirs.structure == STRUCTURES["lung-nodule"]
    seg = pydicom.dcmread(io.BytesIO(stored))
    assert (seg.StudyInstanceUID, seg.PatientName, seg.PatientID) == (STUDY, NAME, NUMBER)
    images = {
        pydicom.dcmread(io.BytesIO(one)).SOPInstanceUID
        for series in an_archive.series("CT")
        for one in series
        if pydicom.dcmread(io.BytesIO(one)).SeriesInstanceUID == SERIES
    }
    [referenced] = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == SERIES
    assert {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence} <= images
    assert left(tmp_path) == []
    told = ran.out + ran.err + caplog.text
    assert not any(
        secret in told for secret in (NAME, "Mustermann", NUMBER, os.environ["SPASEGMENT_DICOMWEB_AUTH"])
    )


def kept_file(sentence: str, tmp_path: Path) -> Path:
    """The one file that is left, which only this user can read and which a sentence names."""
    [path] = (tmp_path / "temporary").rglob("*.dcm")
    assert str(path) in sentence
    assert len(left(tmp_path)) == 2, "the file and its folder"
    assert path.parent.stat().st_mode & 0o077 == 0 or os.name == "nt"
    return path


def test_what_the_archive_takes_and_does_not_keep_is_not_lost(segment, an_archive, tmp_path):
    from orthanc import DROPPED

    folder = write_series(tmp_path / "dropped", "1.2.44.1", StudyInstanceUID="1.2.44", PatientID=DROPPED)
    an_archive.add(folder)
    ran = segment("--stow", study="1.2.44", series="1.2.44.1")
    assert ran.code == 0 and "took the segmentation but does not list it yet" in ran.err
    [read] = read_dicom_seg(kept_file(ran.err, tmp_path), read_volume(folder))
    assert read.mask[3, 28, 30]


def test_what_the_archive_refuses_is_not_lost(segment, an_archive, tmp_path):
    from orthanc import AUTH

    segment("--out", tmp_path / "a.dcm")
    server = DicomWebServer(an_archive.dicomweb, {"Authorization": AUTH})
    elsewhere = ArchiveSeries(server, "1.2.3", SERIES, stows=True)
    with pytest.raises(
        ServerError, match=r"did not take the segmentation: it could not.*\(code 0110\); "
    ) as refused:
        elsewhere.stow(lambda path: shutil.copy(tmp_path / "a.dcm", path), None)
    assert kept_file(str(refused.value), tmp_path).read_bytes() == (tmp_path / "a.dcm").read_bytes()
    with pytest.raises(ServerError, match=r"the segmentation is in .*a\.dcm"):
        elsewhere.stow(lambda path: None, tmp_path / "a.dcm")


def test_without_a_file_the_segmentation_is_only_in_the_archive(segment, an_archive, tmp_path):
    before = len(an_archive.series("SEG"))
    ran = segment("--stow")
    assert (ran.code, ran.err) == (0, "") and "was not written" not in ran.out
    assert len(an_archive.series("SEG")) == before + 1
    assert left(tmp_path) == []


def test_a_series_of_an_archive_is_segmented_as_the_same_files_are(
    segment, run, a_model, an_archive, tmp_path
):
    before = len(an_archive.series("SEG"))
    write_series(tmp_path / "same", SERIES)
    assert segment("--out", tmp_path / "a.nii.gz").code == 0
    assert (
        run("segment", tmp_path / "same", "--model", a_model, *AT, "--out", tmp_path / "b.nii.gz").code == 0
    )
    one, two = (read_volume(tmp_path / name) for name in ("a.nii.gz", "b.nii.gz"))
    np.testing.assert_array_equal(one.array, two.array)
    np.testing.assert_allclose(one.ijk_to_ras, two.ijk_to_ras)
    assert len(an_archive.series("SEG")) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"study": "1.2.3"}, "has no study 1.2.3 that you may see"),
        ({"series": "1.2.3"}, "has no series 1.2.3 in that study"),
        ({"series": "../instances"}, "is no UID of a series"),
        ({"url": "http://127.0.0.1:9/dicom-web"}, "cannot be reached: nothing listens there"),
        ({"url": "http://192.0.2.1/dicom-web"}, "no https, so images and key could be read on the way"),
        ({"url": "https://alice:secret@pacs.example.org"}, "holds no name and password"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(segment, tmp_path, change, said):
    ran = segment("--out", tmp_path / "a.nrrd", **change)
    assert ran.code == 1 and said in ran.err and ran.err.count("\n") == 1
    assert "secret" not in ran.err and left(tmp_path) == []


def test_who_may_not_is_told_so(segment, an_archive, tmp_path, monkeypatch):
    monkeypatch.setenv("SPASEGMENT_DICOMWEB_AUTH", "Basic d3Jvbmc6d3Jvbmc=")
    ran = segment()
    assert ran.code == 1 and "does not know this user" in ran.err and "d3Jv" not in ran.err
    monkeypatch.delenv("SPASEGMENT_DICOMWEB_AUTH")
    ran = segment()
    assert ran.code == 1 and "asks who you are; set SPASEGMENT_DICOMWEB_AUTH" in ran.err
    from orthanc import AUTH

    ran = segment("--dicomweb-header", f"Authorization: {AUTH}")
    assert ran.code == 0 and "The mask was not written" in ran.out
    assert "is written NAME: VALUE" in segment("--dicomweb-header", "X Y: 1").err
    assert "value that headers cannot have" in segment("--dicomweb-header", "X-Key: käse").err
    assert (
        "not as a DICOMweb server does"
        in segment("--dicomweb-header", f"Authorization: {AUTH}", url=f"{an_archive.address}/app").err
    )


def test_a_header_takes_the_place_of_the_variables(segment, monkeypatch):
    from orthanc import AUTH

    monkeypatch.setenv("SPASEGMENT_DICOMWEB_AUTH", "Basic d3Jvbmc6d3Jvbmc=")
    assert segment("--dicomweb-header", f"authorization: {AUTH}").code == 0


def test_options_that_do_not_go_together_are_wrong_usage(run, segment, a_ct):
    for option in (("--stow",), ("--study", "1.2"), ("--dicomweb-header", "A: b"), ("--insecure",)):
        ran = run("segment", a_ct, *AT, *option)
        assert ran.code == 2 and "add --dicomweb" in " ".join(ran.err.replace("│", "").split())
    assert run("segment", *AT).code == 2
    assert run("segment", a_ct, "--dicomweb", "https://a.b", "--study", "1", "--series", "2", *AT).code == 2


@pytest.mark.skipif(os.name == "nt", reason="a process cannot send itself SIGTERM there")
def test_the_private_folder_is_gone_after_sigterm():
    with pytest.raises(SystemExit), private_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0 or os.name == "nt"
        (folder / "image.dcm").write_bytes(b"")
        os.kill(os.getpid(), signal.SIGTERM)
    assert not folder.exists()
