"""Writes docs/compatibility.md: every kind of file, made up, given to the reader, and what came of it.

python docs/make_compatibility.py
"""

from __future__ import annotations

import gzip
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
sys.path.insert(0, str(ROOT / "Testing" / "imaging" / "support"))

from made_dicom import (  # noqa: E402
    AXIAL,
    ENHANCED_MR,
    NM,
    PARAMETRIC_MAP,
    SEGMENTATION,
    US,
    US_MULTI_FRAME,
    frame_group,
    header,
    item,
    set_pixels,
    write_frames,
    write_slice,
)
from made_tiff import write_tiff  # noqa: E402

from SPASegmentLib.errors import InputError  # noqa: E402
from SPASegmentLib.imaging.choice import ANY, Wanted  # noqa: E402
from SPASegmentLib.imaging.files import read_volume  # noqa: E402

START = """# What is read

Made by `python docs/make_compatibility.py`: each kind of file was made up, given to the reader, and what it
did stands here. *Read*: voxels, position and size are those the file's own fields give; what had to be
assumed is said on the screen in the words given. *Choice*: refused until something is chosen, by
answering a question at a terminal or on the viewer's page, else with the option named. *Refused*: with the
sentence given.

Options: `--series N_OR_UID` which series of a folder or stack of a file, `--time N` which phase, time point
or component, `--resample` tilted or uneven slices to a rectangular grid (the mask then lies on that grid).
"""
STORED = np.random.default_rng(0).integers(0, 3000, (6, 5, 7), dtype=np.uint16)
VOXELS = STORED.astype(np.int16)
SHARED = {"axes": AXIAL, "spacing": (0.8, 0.7, 2)}
Maker = Callable[[Path], Path]
Row = tuple[str, Maker, Wanted]


def itk(name: str, array: np.ndarray = VOXELS, *, is_vector: bool = False) -> Maker:
    """An image as ITK writes it, in the format of its suffix."""

    def make(folder: Path) -> Path:
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=is_vector), str(folder / name))
        return folder / name

    return make


def text(name: str, content: bytes) -> Maker:
    """A file of given bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def series(
    count: int = 6, gap: float = 2.5, *, then: Callable[[Path], object] | None = None, **more: object
) -> Maker:
    """A folder of CT slices along z, changed afterwards."""

    def make(folder: Path) -> Path:
        for k in range(count):
            write_slice(folder / f"{k}.dcm", STORED[k], (0, 0, gap * k), **more)
        if then:
            then(folder)
        return folder

    return make


def slices(positions: list[tuple[float, ...]], **more: object) -> Maker:
    """A folder of CT slices at given positions."""

    def make(folder: Path) -> Path:
        for k, position in enumerate(positions):
            write_slice(folder / f"{k}.dcm", STORED[k % 6], position, **more)
        return folder

    return make


def frames(
    groups: list | None, shared: dict | None = None, pixels: np.ndarray = STORED, **more: object
) -> Maker:
    """One DICOM file of many frames."""

    def make(folder: Path) -> Path:
        write_frames(folder / "frames.dcm", pixels, groups, frame_group(**shared) if shared else None, **more)
        return folder / "frames.dcm"

    return make


def nifti(
    matrix: np.ndarray,
    codes: tuple[int, int],
    array: np.ndarray = VOXELS.T,
    name: str = "scan.nii",
    **fields: object,
) -> Maker:
    """A NIfTI file whose qform is the identity of 1 mm and whose sform is a matrix."""

    def make(folder: Path) -> Path:
        head = nibabel.Nifti1Header()
        head.set_data_shape(array.shape)
        head.set_qform(np.eye(4), codes[0])
        head.set_sform(matrix, codes[1])
        for field, value in fields.items():
            head[field] = value
        nibabel.save(nibabel.Nifti1Image(array, None, head), folder / name)
        return folder / name

    return make


def jittering(folder: Path) -> Path:
    for k in range(6):
        angle = 1e-4 * (-1) ** k
        axes = (np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0)
        write_slice(folder / f"{k}.dcm", STORED[k], (0, 0, 2.5 * k), axes=axes)
    return folder


def two_echoes(folder: Path) -> Path:
    for name, echo in (("a", "4"), ("b", "9")):
        (folder / name).mkdir()
        series(3, EchoTime=echo)(folder / name)
    return folder


def capitals(folder: Path) -> Path:
    return nifti(np.eye(4), (1, 1))(folder).rename(folder / "scan.Nii")


def zipped(folder: Path) -> Path:
    path = nifti(np.eye(4), (1, 1))(folder)
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def bare(folder: Path) -> Path:
    write_slice(folder / "a.dcm", STORED[0], (0, 0, 0))
    (folder / "IM0001").write_bytes((folder / "a.dcm").read_bytes()[132:])
    return folder / "IM0001"


def colour(folder: Path) -> Path:
    made = header(sop=US, Modality="US", RescaleSlope=None, RescaleIntercept=None)
    set_pixels(made, RGB[..., 0])
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.PixelData = RGB.tobytes()
    made.save_as(folder / "us.dcm", enforce_file_format=True)
    return folder / "us.dcm"


def scout(folder: Path) -> None:
    write_slice(folder / "scout.dcm", STORED[0], (0, 0, 0), axes=(0, 1, 0, 0, 0, -1))


def beside(name: str, sop: str) -> Callable[[Path], object]:
    return lambda folder: header(sop).save_as(folder / name, enforce_file_format=True)


def without_position(folder: Path) -> None:
    header = pydicom.dcmread(folder / "5.dcm")
    del header.ImagePositionPatient
    header.save_as(folder / "5.dcm")


def other_series(folder: Path) -> None:
    for k in range(3):
        write_slice(folder / f"b{k}.dcm", STORED[k], (0, 0, 5 * k), series="1.2.9", SeriesDescription="thick")


SKEWED = np.eye(4)
SKEWED[0, 1] = 0.9e-3
SHEARED = np.eye(4)
SHEARED[0, 1] = 0.2
SHIFTED = np.eye(4)
SHIFTED[:3, 3] = (63, 0, 0)
TIMES = [frame_group((0, 0, 2 * (n % 3)), TemporalPositionIndex=1 + n // 3) for n in range(6)]
STACKS = [frame_group((0, 0, 2 * (n % 3)), StackID="AB"[n // 3]) for n in range(6)]
IN_ORDER = [frame_group((0, 0, 2.5 * k), scaling=(k + 1, -1000)) for k in (3, 0, 5, 1, 4, 2)]
DETECTOR = item(ImagePositionPatient=["0", "0", "0"], ImageOrientationPatient=list(map(str, AXIAL)))
OF_NM = {"sop": NM, "Modality": "NM", "SpacingBetweenSlices": "4.5", "PixelSpacing": ["4.8", "4.7"]}
RGB = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
TILTED = [(0.0, 0.6 * k, 2.0 * k) for k in range(6)]
GAP = [(0.0, 0.0, z) for z in (0, 2, 4, 8, 10, 12)]

ROWS: dict[str, list[tuple[str, Maker] | Row]] = {
    "DICOM folders": [
        ("Slices of one series, in any order of names", series()),
        ("Direction cosines that jitter by 1e-4", jittering),
        ("Positions rounded to one decimal", slices([(0, 0, round(1.25 * k, 1)) for k in range(6)])),
        ("The same instance twice", series(then=lambda f: shutil.copy(f / "0.dcm", f / "copy.dcm"))),
        (
            "Values of MONOCHROME1 in CT (HU are not inverted)",
            series(PhotometricInterpretation="MONOCHROME1"),
        ),
        ("A last slice without a position", series(then=without_position)),
        ("Two series", series(then=other_series)),
        ("Two series, `--series 2`", series(then=other_series), Wanted(series="2")),
        (
            "A scout of another direction in the same series",
            series(then=scout),
        ),
        (
            "A structured report beside the images",
            series(then=beside("sr.dcm", "1.2.840.10008.5.1.4.1.1.88.33")),
        ),
        ("A PDF in DICOM", series(then=beside("pdf.dcm", "1.2.840.10008.5.1.4.1.1.104.1"))),
        ("A registration", series(then=beside("reg.dcm", "1.2.840.10008.5.1.4.1.1.66.1"))),
        ("Raw data", series(then=beside("raw.dcm", "1.2.840.10008.5.1.4.1.1.66"))),
        ("Contours of radiotherapy", series(then=beside("rt.dcm", "1.2.840.10008.5.1.4.1.1.481.3"))),
        ("Private objects", series(then=beside("csa.dcm", "1.3.12.2.1107.5.9.1"))),
        (
            "A segmentation larger than the images",
            series(
                then=lambda f: write_frames(f / "seg.dcm", np.zeros((99, 5, 7), np.uint16), sop=SEGMENTATION)
            ),
        ),
        (
            "AppleDouble files of macOS",
            series(then=lambda f: (f / "._0.dcm").write_bytes(b"\0\5\x16\7" * 40)),
        ),
        ("No DICOM image at all", text("notes.txt", b"hello")),
        (
            "Two echoes at each position",
            two_echoes,
        ),
        ("A missing slice", slices(GAP)),
        ("A missing slice, `--resample`", slices(GAP), Wanted(resample=True)),
        ("A tilted gantry", slices(TILTED)),
        ("A tilted gantry, `--resample`", slices(TILTED), Wanted(resample=True)),
        (
            "Pixel spacing that changes",
            series(then=lambda f: write_slice(f / "x.dcm", STORED[0], (0, 0, 15), spacing=(0.9, 0.9))),
        ),
        (
            "A truncated slice",
            series(then=lambda f: (f / "2.dcm").write_bytes((f / "2.dcm").read_bytes()[:-20])),
        ),
    ],
    "DICOM files": [
        ("One slice", lambda f: series(1)(f) / "0.dcm"),
        ("Without preamble or suffix", bare),
        ("Colour (ultrasound, photographs)", colour),
        ("Enhanced CT, frames in any order, a slope for each", frames(IN_ORDER, SHARED)),
        ("Enhanced MR, two time points", frames(TIMES, SHARED, sop=ENHANCED_MR, Modality="MR")),
        (
            "Enhanced MR, two time points, `--time 2`",
            frames(TIMES, SHARED, sop=ENHANCED_MR, Modality="MR"),
            Wanted(time=2),
        ),
        ("Enhanced CT, two stacks at one place", frames(STACKS, SHARED)),
        ("Enhanced CT with a gap", frames([frame_group(place) for place in GAP], SHARED)),
        ("Enhanced CT with a tilt", frames([frame_group(place) for place in TILTED], SHARED)),
        (
            "Nuclear medicine, a reconstruction",
            frames(None, DetectorInformationSequence=DETECTOR, SliceVector=[1, 2, 3, 4, 5, 6], **OF_NM),
        ),
        (
            "Nuclear medicine, two time slots",
            frames(
                None,
                DetectorInformationSequence=DETECTOR,
                SliceVector=[1, 2, 3, 1, 2, 3],
                TimeSlotVector=[1, 1, 1, 2, 2, 2],
                **OF_NM,
            ),
        ),
        (
            "A film of ultrasound",
            frames(None, sop=US_MULTI_FRAME, Modality="US", FrameTime="33", FrameIncrementPointer=0x00181063),
        ),
        ("A segmentation", frames(None, sop=SEGMENTATION)),
        ("A parametric map", frames(None, sop=PARAMETRIC_MAP)),
    ],
    "NIfTI": [
        ("`.nii`, `.nii.gz`, either byte order, NIfTI-1 and 2", nifti(np.eye(4), (1, 1))),
        ("gzip inside `.nii`", zipped),
        ("`.Nii`", capitals),
        ("qform and sform that differ (the mask keeps both)", nifti(SHIFTED, (1, 2))),
        ("Neither qform nor sform (the mask keeps code 0)", nifti(np.eye(4), (0, 0))),
        ("Voxel sizes that disagree with the matrix", nifti(np.eye(4) * (0.7, 0.7, 2, 1), (0, 1))),
        ("A skew of 0.0009 in the matrix in use", nifti(SKEWED, (0, 1))),
        ("A skew of 0.2 in the matrix in use", nifti(SHEARED, (0, 1))),
        ("A skew of 0.2, `--resample`", nifti(SHEARED, (0, 1)), Wanted(resample=True)),
        ("A skew of 0.2 in the matrix not in use", nifti(SHEARED, (1, 1))),
        ("4-D", nifti(np.eye(4), (1, 1), np.stack([VOXELS.T] * 3, -1))),
        ("4-D, `--time 2`", nifti(np.eye(4), (1, 1), np.stack([VOXELS.T] * 3, -1)), Wanted(time=2)),
        ("Vectors", nifti(np.eye(4), (1, 1), np.stack([VOXELS.T] * 2, -1)[:, :, :, None])),
        ("Two dimensions with a position", nifti(np.eye(4), (1, 1), VOXELS[0].T)),
    ],
    "NRRD and MetaImage": [
        ("`.nrrd`", itk("a.nrrd")),
        ("`.nhdr` with its data beside it", itk("a.nhdr")),
        ("`.mha`", itk("a.mha")),
        ("`.mhd` with its data beside it", itk("a.mhd")),
        ("A percent sign in the name", itk("50%.nhdr")),
        (
            "Without a voxel size",
            text(
                "a.nrrd",
                b"NRRD0004\ntype: INT16\ndimension: 3\nsizes: 6 5 4\n"
                b"endian: little\nencoding: raw\n\n" + VOXELS.tobytes(),
            ),
        ),
        (
            "NRRD with sizes in um",
            text(
                "a.nrrd",
                b"NRRD0004\ntype: short\ndimension: 3\nsizes: 7 5 6\nendian: little\nencoding: raw\n"
                b"space: left-posterior-superior\nspace directions: (2,0,0) (0,2,0) (0,0,5)\n"
                b'space units: "um" "um" "um"\n\n' + VOXELS.tobytes(),
            ),
        ),
        ("4-D", itk("a.nrrd", np.stack([VOXELS] * 3))),
        ("Vectors", itk("a.mha", np.stack([VOXELS] * 2, -1), is_vector=True)),
        ("Complex voxels", itk("a.nrrd", VOXELS.astype(np.complex64))),
        (
            "Data elsewhere (the command line reads it and says so)",
            text(
                "a.mhd",
                b"NDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\n"
                b"ElementDataFile = ../../elsewhere.raw\n",
            ),
        ),
    ],
    "Pictures": [
        ("PNG of 8 or 16 bits", itk("a.png", STORED[0])),
        ("JPEG", itk("a.jpg", RGB, is_vector=True)),
        ("TIFF of 8, 16 or 32 bits, one page or more", itk("a.tif", STORED)),
        ("TIFF in tiles, 8 bits", lambda f: write_tiff(f / "a.tif", [RGB[..., 0]], 16)),
        ("TIFF in tiles, 16 bits", lambda f: write_tiff(f / "a.tif", [STORED[0]], 16)),
        (
            "TIFF with pages of two sizes",
            lambda f: write_tiff(f / "pages.tif", [RGB[..., 0], RGB[::2, ::2, 0]]),
        ),
        ("With transparency", itk("a.png", np.dstack([RGB, RGB[..., :1]]), is_vector=True)),
    ],
    "Others": [
        ("Text", text("a.txt", b"hello")),
        ("An empty file", text("a.nrrd", b"")),
        ("Voxels that are not a number", itk("a.nrrd", np.where(STORED[0, 0, 0] == STORED, np.nan, STORED))),
        ("A single pixel", itk("a.nrrd", VOXELS[:1, :1, :1])),
    ],
}


def outcome(make: Maker, wanted: Wanted) -> tuple[str, str]:
    """What became of a file: read, choice or refused, and the words."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "scan"
        folder.mkdir()
        path = make(folder)
        path = folder if path.suffix == ".txt" and path.name == "notes.txt" else path
        try:
            volume = read_volume(path, wanted=wanted)
        except InputError as error:
            kind = (
                "choice" if re.search(r"choose( one with)? --|--series:|--time:", str(error)) else "refused"
            )
            return kind, _shown(str(error), path, folder)
        return "read", _shown(" ".join(volume.warnings), path, folder)


def _shown(sentence: str, path: Path, folder: Path) -> str:
    sentence = (
        sentence.replace(str(path), path.name).replace(f"{folder}/", "").replace(str(folder), folder.name)
    )
    return sentence.replace("|", "\\|")


def page() -> str:
    """The whole page."""
    parts = [START]
    for title, rows in ROWS.items():
        parts.append(f"\n## {title}\n\n| kind of file | | said |\n| --- | --- | --- |\n")
        for name, make, *wanted in rows:
            kind, said = outcome(make, *(wanted or [ANY]))
            parts.append(f"| {name} | {kind} | {said} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
