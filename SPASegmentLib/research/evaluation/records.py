"""What is kept of one case with one model, and the folder that keeps it while an evaluation runs."""

from __future__ import annotations

import base64
import json
import logging
import os
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from SPASegmentLib.errors import SPASegmentError

FORMAT = 2
log = logging.getLogger(__name__)


class KeyedRecord(Protocol):
    """A dataclass of what JSON can hold, known in its file by its key."""

    @property
    def key(self) -> str:
        """Unique in its file, and its place in the order."""


AnyRecord = TypeVar("AnyRecord", bound=KeyedRecord)


def to_line(record: Any) -> str:
    """A record as one line of JSON, without the line's end."""
    return json.dumps(asdict(record), separators=(",", ":"), allow_nan=False)


def from_line(kind: type[AnyRecord], line: str) -> AnyRecord:
    """The inverse. Raises ValueError or TypeError where the line is not a whole record."""
    return kind(**json.loads(line))


@dataclass
class CaseRecord:
    """One interaction of the `always-pick` user; the `approve` user's is its beginning.

    Lists run over iterations 1..6. raters: their names, if any. drew: whether each drew anything.
    included: raters in the target. click: [row, col]. target_pixels,
    target_hash: what the target was. redrawn: whether the first draw was empty, None where that is not known
    or nothing is drawn. dice, surface: Dice and normalised surface Dice of the recommendation, held where
    nothing was left to pick.
    candidates, similarity: Dice of each candidate with the target, of every two candidates with each other.
    picks: index of the candidate picked after each iteration. rater_dice: Dice with each single rater.
    consensus_dice: Dice of each rater with the majority of the others, empty where fewer than three drew.
    calibration: (bins, 3) counts, ged, d_max, and ged_drawn, to the raters who drew something, and with 16
    samples ged_16, hm_iou_16, d_max_16: of the first proposal. bending: energy of the first
    recommendation's outline and of the target's, [] where either has none to speak of. seconds: of each
    call, click first.
    pictures: the recommendation at the "first" and "last" iteration, packed, where raters are persons.
    prompted: whether the user corrected with further prompts, and so picked and approved nothing.
    users: dice, surface, picks and keeps of each further user, and of those who see the target all of
    `corrections.Corrections`. structure: what the target was, where images hold several. nested: of each
    structure that holds the click, the target first, the best Dice among the masks shown at the first and at
    the last iteration to who wants it; [] where there is but one.
    error: the engine's sentence where it could not answer (every Dice is then 0).
    """

    case: str
    patient: str
    raters: list[str] = field(default_factory=list)
    drew: list[bool] = field(default_factory=list)
    included: list[int] = field(default_factory=list)
    click: list[float] = field(default_factory=list)
    target_pixels: int = 0
    target_hash: str = ""
    redrawn: bool | None = None
    dice: list[float] = field(default_factory=list)
    surface: list[float] = field(default_factory=list)
    candidates: list[list[float]] = field(default_factory=list)
    similarity: list[list[float]] = field(default_factory=list)
    picks: list[int] = field(default_factory=list)
    rater_dice: list[list[float]] = field(default_factory=list)
    consensus_dice: list[float] = field(default_factory=list)
    ged: float | None = None
    d_max: float | None = None
    ged_drawn: float | None = None
    ged_16: float | None = None
    hm_iou_16: float | None = None
    d_max_16: float | None = None
    bending: list[float] = field(default_factory=list)
    calibration: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    prompted: bool = False
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    structure: str = ""
    nested: list[list[float]] = field(default_factory=list)
    error: str = ""
    skipped: str = ""

    @property
    def key(self) -> str:
        """The case."""
        return self.case


def pack_mask(mask: np.ndarray) -> str:
    """A mask (H, W) bool as short text."""
    packed = zlib.compress(np.packbits(mask).tobytes(), 9)
    return f"{mask.shape[0]}x{mask.shape[1]}:{base64.b64encode(packed).decode()}"


def unpack_mask(text: str) -> np.ndarray:
    """The inverse of `pack_mask`."""
    size, _, body = text.partition(":")
    height, width = map(int, size.split("x"))
    bits = np.frombuffer(zlib.decompress(base64.b64decode(body)), dtype=np.uint8)
    return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)


class RecordFile(Generic[AnyRecord]):
    """Records of one model, one JSON line each, so that a killed evaluation goes on where it was.

    The first line says what was evaluated; a line cut short by a kill is dropped.
    """

    def __init__(self, path: Path, header: dict[str, Any], kind: type[AnyRecord]) -> None:
        """Open or begin. Raises SPASegmentError where it holds another evaluation or cannot be written."""
        self._path = path
        self._kind = kind
        self._header = json.loads(json.dumps({"format": FORMAT, **header}))
        self.records: dict[str, AnyRecord] = {}
        if path.exists():
            self._read()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write_all([])

    def _read(self) -> None:
        head, _, body = self._path.read_text(encoding="utf-8").partition("\n")
        try:
            header = json.loads(head)
        except ValueError:
            header = None
        if header != self._header:
            raise SPASegmentError(
                f"The folder {self._path.parent.parent} holds another evaluation of this model "
                f"(other weights, data, targets or settings); name another folder with --out or delete it."
            )
        lines = body.split("\n")
        for line in lines[:-1]:
            try:
                record = from_line(self._kind, line)
            except (ValueError, TypeError):
                log.warning("A damaged line in %s is computed anew.", self._path.name)
                continue
            self.records[record.key] = record
        if lines[-1] or len(self.records) != len(lines) - 1:
            self._write_all(list(self.records.values()))

    def append(self, record: AnyRecord) -> None:
        """Keep one more record; it outlives this process, though not a power cut."""
        self.records[record.key] = record
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(to_line(record) + "\n")
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def sort(self) -> None:
        """Put the records in the order of their keys."""
        self._write_all(sorted(self.records.values(), key=lambda record: record.key))

    def _write_all(self, records: list[AnyRecord]) -> None:
        lines = [json.dumps(self._header), *map(to_line, records)]
        write_whole(self._path, "".join(line + "\n" for line in lines))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is either the old or the new one. Raises SPASegmentError where that fails."""
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> SPASegmentError:
    return SPASegmentError(
        f"{path} cannot be written ({error.strerror}); free some space or name another folder with --out."
    )


class RecordList(Generic[AnyRecord]):
    """A record file that is no file, for evaluations that write nothing."""

    def __init__(self) -> None:
        self.records: dict[str, AnyRecord] = {}

    def append(self, record: AnyRecord) -> None:
        """Keep one more record."""
        self.records[record.key] = record

    def sort(self) -> None:
        """Put the records in the order of their keys."""
        self.records = dict(sorted(self.records.items()))
