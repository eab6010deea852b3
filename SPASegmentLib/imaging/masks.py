"""Masks to files: labelmaps in NRRD and NIfTI, and segmentations as 3D Slicer keeps them (.seg.nrrd).

Headers are written here rather than by a library so that equal masks give equal bytes on any day, and every
number keeps all its digits.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy.spatial.transform import Rotation

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.imaging.segments import ALGORITHM_TAG, COLOUR, Colour, Segment, entry_of
from SPASegmentLib.imaging.terminology import TISSUE, Structure
from SPASegmentLib.imaging.types import NiftiForms, Volume

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_mask(
    path: str | Path,
    mask: np.ndarray,
    volume: Volume,
    *,
    segment_name: str = "Segment_1",
    colour: tuple[float, float, float] = COLOUR,
    structure: Structure = TISSUE,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a (K, J, I) bool mask on the volume's voxel grid; what was at `path` stays until all is written.

    .seg.nrrd: a Slicer segmentation with one segment of this name, colour (RGB in [0, 1]) and structure.
    .nrrd, .nii, .nii.gz: a labelmap of 0 and 1. metadata: further keys of an NRRD header.
    NRRD keeps the geometry in double precision, NIfTI in single (6e-8 of each number). The same input gives
    the same bytes. Raises InputError for a mask of another shape, an unknown suffix, or a full disk.
    """
    path = Path(path)
    mask = np.asarray(mask)
    if mask.shape != volume.shape:
        raise InputError(f"A mask of {mask.shape} voxels does not fit a volume of {volume.shape}.")
    mask = mask if mask.dtype == bool else mask != 0
    slicer = path.name.lower().endswith(".seg.nrrd")
    keys = _slicer_keys(mask, volume, segment_name, colour, structure) if slicer else {}
    _write(path, mask, volume, {**keys, **(metadata or {})})


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    volume: Volume,
    segments: Mapping[int, tuple[str, Colour]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write (K, J, I) uint8 labels on the volume's voxel grid, as `write_mask` writes a mask.

    segments: of each value but 0, its name and colour (RGB in [0, 1]); .seg.nrrd becomes a segmentation with
    these segments. metadata: further keys of an NRRD header. Raises InputError for labels of another shape,
    an unknown suffix, or a full disk.
    """
    path, labels = Path(path), np.asarray(labels, dtype=np.uint8)
    if labels.shape != volume.shape:
        raise InputError(f"Labels of {labels.shape} voxels do not fit a volume of {volume.shape}.")
    keys: dict[str, str] = {}
    if path.name.lower().endswith(".seg.nrrd"):
        for number, (value, (name, colour)) in enumerate(sorted(segments.items())):
            own = _slicer_keys(labels == value, volume, name, colour, TISSUE)
            own |= {"Segment0_ID": f"Segment_{number + 1}", "Segment0_LabelValue": str(value)}
            keys |= {key.replace("Segment0_", f"Segment{number}_"): text for key, text in own.items()}
    _write(path, labels, volume, {**keys, **(metadata or {})})


def write_segments(
    path: str | Path, segments: Sequence[Segment], volume: Volume, metadata: Mapping[str, str] | None = None
) -> None:
    """Write segments on the volume's voxel grid as a Slicer segmentation, .seg.nrrd, as `write_mask` does.

    Segments that overlap come into layers of their own, as Slicer keeps them. Raises InputError for segments
    of another shape, another suffix, or a full disk.
    """
    path = Path(path)
    if not path.name.lower().endswith(".seg.nrrd"):
        raise InputError(f"Several segments cannot be written as {path.name}; choose .seg.nrrd.")
    layers: list[np.ndarray] = []
    values: list[int] = []
    keys: dict[str, str] = {}
    for number, one in enumerate(segments):
        if one.mask.shape != volume.shape:
            raise InputError(f"A mask of {one.mask.shape} voxels does not fit a volume of {volume.shape}.")
        free = (at for at, layer in enumerate(layers) if values[at] < 255 and not layer[one.mask].any())
        at = next(free, len(layers))
        if at == len(layers):
            layers.append(np.zeros(volume.shape, dtype=np.uint8))
            values.append(0)
        values[at] += 1
        layers[at][one.mask] = values[at]
        own = _slicer_keys(one.mask, volume, one.name, one.colour, one.structure)
        own |= {"Segment0_ID": f"Segment_{number + 1}", "Segment0_LabelValue": str(values[at])}
        own["Segment0_Layer"] = str(at)
        if entry_of(one.algorithm):
            own["Segment0_Tags"] += f"{ALGORITHM_TAG}:{entry_of(one.algorithm)}|"
        keys |= {key.replace("Segment0_", f"Segment{number}_"): text for key, text in own.items()}
    labels = layers[0] if len(layers) == 1 else np.stack(layers, axis=-1)
    _write(path, labels, volume, {**keys, **(metadata or {})})


def _write(path: Path, labels: np.ndarray, volume: Volume, keys: Mapping[str, str]) -> None:
    """Write (K, J, I) labels in the format of the suffix, or (K, J, I, layers) as NRRD.

    keys: of its header.
    """
    name = path.name.lower()
    if name.endswith(".nrrd"):
        header = _nrrd_header(volume, keys, layers=labels.shape[3] if labels.ndim == 4 else 0)
        with atomic_file(path) as file:
            file.write(header)
            _write_zipped(file, b"", labels)
    elif name.endswith((".nii", ".nii.gz")):
        header = _nifti_header(volume)
        with atomic_file(path) as file:
            if name.endswith(".gz"):
                _write_zipped(file, header, labels)
            else:
                file.write(header)
                for plane in labels:
                    file.write(plane.astype(np.uint8).tobytes())
    else:
        raise InputError(
            f"A mask cannot be written as {path.name}; choose .seg.nrrd, .nrrd, .nii or .nii.gz."
        )


def _write_zipped(file: BinaryIO, header: bytes, mask: np.ndarray) -> None:
    """One gzip stream without name or time, slice by slice to save memory."""
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as stream:
        stream.write(header)
        for plane in mask:
            stream.write(plane.astype(np.uint8).tobytes())


def _nrrd_header(volume: Volume, keys: Mapping[str, str], *, layers: int = 0) -> bytes:
    """layers: values per voxel, as a first axis of their own; 0 for a single one without such an axis."""
    matrix = _RAS_TO_LPS @ volume.ijk_to_ras + 0.0  # no negative zeros
    k, j, i = volume.shape
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        "type: unsigned char",
        f"dimension: {4 if layers else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{layers} ' if layers else ''}{i} {j} {k}",
        f"space directions: {'none ' if layers else ''}"
        + " ".join(_vector(matrix[:3, axis]) for axis in range(3)),
        f"kinds: {'list ' if layers else ''}domain domain domain",
        "encoding: gzip",
        f"space origin: {_vector(matrix[:3, 3])}",
        *(f"{_escaped(key)}:={_escaped(value)}" for key, value in sorted(keys.items())),
    ]
    return ("\n".join(lines) + "\n\n").encode()


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(f"{float(value):.17g}" for value in values) + ")"


def _escaped(text: str) -> str:
    """NRRD keeps a key or value on one line; `:=` may stand in values only."""
    return text.replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n").replace("\0", "")


def _slicer_keys(
    mask: np.ndarray, volume: Volume, name: str, colour: Colour, structure: Structure
) -> dict[str, str]:
    """The header keys of vtkMRMLSegmentationStorageNode for one binary labelmap segment.

    The reference geometry makes Slicer go on editing on the whole grid of the volume.
    """
    k, j, i = volume.shape
    grid = [f"{value:.17g}" for value in volume.ijk_to_ras.ravel() + 0.0]
    grid += map(str, (0, i - 1, 0, j - 1, 0, k - 1))
    return {
        "Segment0_Color": " ".join(f"{float(value):.6g}" for value in colour),
        "Segment0_ColorAutoGenerated": "0",
        "Segment0_Extent": _extent(mask),
        "Segment0_ID": "Segment_1",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Name": name,
        "Segment0_NameAutoGenerated": "0",
        "Segment0_Tags": f"TerminologyEntry:{structure.entry}|",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": f"Reference image geometry|{';'.join(grid)};|&",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }


def _extent(mask: np.ndarray) -> str:
    """ "i0 i1 j0 j1 k0 k1" of the set voxels, both ends included; "0 -1 ..." where none is set."""
    ends = []
    for axis in (2, 1, 0):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        ends += [int(hit[0]), int(hit[-1])] if len(hit) else [0, -1]
    return " ".join(map(str, ends))


def _nifti_header(volume: Volume) -> bytes:
    """NIfTI-1: 348 bytes of header and 4 that say no extension follows.

    A mask of a volume from NIfTI states its qform and sform with their codes, so that it lies on the volume
    whichever of them a program reads.
    """
    if max(volume.shape) > 32767:
        raise InputError("NIfTI holds at most 32,767 voxels along an axis; write .nrrd or .seg.nrrd instead.")
    forms = volume.nifti
    k, j, i = volume.shape
    if forms is None or not _same_grid(forms.in_use, volume.ijk_to_ras):
        forms = _forms_of(volume.ijk_to_ras)
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, i, j, k, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)  # unsigned char, 8 bits
    struct.pack_into("<8f", header, 76, *forms.pixdim, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)  # offset of the voxels, slope, intercept
    header[123] = forms.units
    struct.pack_into("<2h", header, 252, forms.qform_code, forms.sform_code)
    struct.pack_into("<6f", header, 256, *forms.quaternion)
    struct.pack_into("<12f", header, 280, *(number for row in forms.sform for number in row))
    header[344:348] = b"n+1\0"
    return bytes(header)


def _same_grid(stated: np.ndarray | None, matrix: np.ndarray) -> bool:
    """Whether the volume still lies where its file said; one without a position has none to lose."""
    return stated is None or np.allclose(stated, matrix, rtol=1e-6, atol=1e-6)


def _forms_of(matrix: np.ndarray) -> NiftiForms:
    """qform and sform of a voxel -> RAS matrix, both in scanner coordinates."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    axes = matrix[:3, :3] / spacing
    handed = 1.0 if np.linalg.det(axes) > 0 else -1.0
    x, y, z, w = Rotation.from_matrix(axes * (1.0, 1.0, handed)).as_quat()
    x, y, z = (x, y, z) if w >= 0 else (-x, -y, -z)
    return NiftiForms(
        qform_code=1,
        sform_code=1,
        pixdim=(handed, *map(float, spacing)),
        quaternion=(float(x), float(y), float(z), *map(float, matrix[:3, 3])),
        sform=tuple(map(tuple, matrix[:3].tolist())),
        units=2,
    )
