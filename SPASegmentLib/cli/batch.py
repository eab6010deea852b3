"""`spasegment segment --seeds`: many objects of one volume, each its own segment, to be taken up again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from SPASegmentLib.cli.beginning import doubts_about, started
from SPASegmentLib.cli.dialogue import answered
from SPASegmentLib.cli.object_store import DoneObject, ObjectStore, volume_digest
from SPASegmentLib.cli.record import slice_record, write_record
from SPASegmentLib.cli.report_folder import ReportFolder
from SPASegmentLib.cli.result_file import ResultFile
from SPASegmentLib.cli.seeds_file import SeedRow
from SPASegmentLib.cli.shared import warn
from SPASegmentLib.cli.whole_object import MONTAGE, fill_object, object_record, write_montage
from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.imaging.segments import COLOURS, Segment
from SPASegmentLib.imaging.slicing import OpenedSlice, cut_slice
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.inference.carrying import CARRY
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.inference.object_session import ObjectSession
from SPASegmentLib.inference.session import Session
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from rich.console import Console

    from SPASegmentLib.profiles.profile import Profile


@dataclass(frozen=True)
class BatchResult:
    """Where a batch goes. makes_room: whether later rows take voxels of earlier ones. report: pictures."""

    file: ResultFile
    json: Path | None
    report: Path | None
    makes_room: bool


@dataclass(frozen=True, eq=False)
class SeedsBatch:
    """Objects of one volume, segmented one after the other; none depends on another.

    window: as in `cut_slice`. profile: to start from; a batch does not teach it.
    """

    engine: Engine
    volume: Volume
    rows: Sequence[SeedRow]
    window: tuple[float, float] | None = None
    profile: Profile | None = None
    random_seed: int = 0

    def open(self, row: SeedRow) -> OpenedSlice:
        """The slice through a row's seed. Raises InputError where there is none."""
        return cut_slice(
            self.volume,
            seed_ras=row.at if row.in_ras else None,
            seed_ijk=None if row.in_ras else row.at,
            orientation=row.orientation,
            window=self.window,
            model_window=self.engine.model.window,
        )

    def check(self, seeds: Path) -> list[str]:
        """Look at every seed before anything is computed; warnings. Raises InputError with the line."""
        found: list[str] = []
        for row in self.rows:
            try:
                opened = self.open(row)
            except InputError as error:
                raise InputError(f"{seeds.name}, line {row.line}: {error}") from error
            found += [*opened.image.warnings, *doubts_about(self.profile, opened)]
        return found

    def basis(self) -> dict[str, Any]:
        """What all objects depend on beside their rows, as JSON values."""
        prior = None if self.profile is None else self.profile.log_prior()
        area = None if self.profile is None else self.profile.usual_area()
        return {
            "model": self.engine.model.hash,
            "inference": DEFAULT.digest(),
            "carrying": repr(CARRY),
            "volume": volume_digest(self.volume),
            "windows": repr((self.volume.modality, self.volume.window, self.window)),
            "prior": None if prior is None else prior.tolist(),
            "usual_area": None if area is None else asdict(area),
            "random_seed": self.random_seed,
        }

    def segment(
        self, row: SeedRow, report: Path | None, follow: Callable[[ObjectSession], object]
    ) -> DoneObject:
        """One object. report: folder of its pictures. Raises what the engine raises, and InputError."""
        opened = self.open(row)
        session = started(opened, self.engine.model, self.profile, self.random_seed, False, None)
        session = session.advance(self.engine)
        for answer in row.picks:
            session = answered(session, answer).advance(self.engine)
        session = session.approve()
        record = slice_record(session, opened)
        mask = opened.on_grid(session.result().mask)
        found = None
        if row.whole_object:
            found = fill_object(self.engine, opened, session, [], follow)
            record["object"] = object_record(found)
            mask = found.mask()
        if report is not None:
            pictures: ReportFolder[Session] = ReportFolder(report, f"model {self.engine.model.name}")
            pictures.complete(session)
            if found is not None:
                write_montage(found, report / MONTAGE)
        return DoneObject.of(mask, record)


def segment_batch(batch: SeedsBatch, seeds: Path, result: BatchResult, screen: Console) -> None:
    """Segment what is not there yet, then write all of it. seeds: the file of the rows.

    What is done is kept until all is written, so that another run goes on. Raises InputError with the line
    for a seed that cannot be, before anything is computed, and, after the others were written, where a row
    could not be segmented; further what the engine raises.
    """
    assert result.file.path is not None
    warn(batch.check(seeds))
    store = ObjectStore(result.file.path, batch.basis())
    done = _done_before(batch, store, result.report)
    if done:
        screen.print(f"{len(done)} of {count_of(len(batch.rows), 'object')} segmented before; going on.")
    failed = _segment_rest(batch, store, result.report, done, screen)
    if done:
        _write(batch, result, done, failed)
        screen.print(f"{count_of(len(done), 'segment')}: {result.file.path}")
    if failed:
        row, sentence = next(iter(failed.items()))
        raise InputError(
            f"{count_of(len(failed), 'object')} of {len(batch.rows)} could not be segmented, the first in "
            f"{seeds.name}, line {row.line}: {sentence} The others are kept; change the table and run again "
            "with --force."
        )
    store.remove()


def _done_before(batch: SeedsBatch, store: ObjectStore, report: Path | None) -> dict[SeedRow, DoneObject]:
    """What an earlier run has segmented, with pictures where they are wanted."""
    found: dict[SeedRow, DoneObject] = {}
    for number, row in enumerate(batch.rows, start=1):
        held = store.read(_about(row))
        if held is not None and (report is None or _pictures(report, number, row).is_dir()):
            found[row] = held
    return found


def _segment_rest(
    batch: SeedsBatch,
    store: ObjectStore,
    report: Path | None,
    done: dict[SeedRow, DoneObject],
    screen: Console,
) -> dict[SeedRow, str]:
    """Add to `done` what is missing; rows that cannot be segmented, and why."""
    failed: dict[SeedRow, str] = {}
    with _progress(screen) as progress:
        bar = progress.add_task("", total=len(batch.rows), completed=len(done))
        for number, row in enumerate(batch.rows, start=1):
            if row in done:
                continue
            progress.update(bar, description=row.name)
            pictures = report and _pictures(report, number, row)
            try:
                one = batch.segment(row, pictures, partial(_follow, progress, bar, row))
            except (InputError, StepError) as error:
                failed[row] = str(error)
            else:
                store.write(_about(row), one)
                done[row] = one
                progress.console.print(_line(row, one, batch.volume))
            progress.advance(bar)
    return failed


def _about(row: SeedRow) -> dict[str, Any]:
    """What an object depends on in its row."""
    return {key: value for key, value in asdict(row).items() if key not in ("line", "name")}


def _pictures(report: Path, number: int, row: SeedRow) -> Path:
    name = re.sub(r"[^\w.-]+", "_", row.name)[:60]
    return report / f"{number:03d} {name}"


def _progress(screen: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
    )


def _follow(progress: Progress, bar: Any, row: SeedRow, found: ObjectSession) -> None:
    for number, _ in enumerate(found.run(), start=1):
        progress.update(bar, description=f"{row.name}, {count_of(number, 'slice')} so far")


def _line(row: SeedRow, done: DoneObject, volume: Volume) -> str:
    slices = len(done.record["object"]["slices"]) if row.whole_object else 1
    return f"{row.name}: {_volume_ml(done, volume):.2f} ml on {count_of(slices, 'slice')}"


def _volume_ml(done: DoneObject, volume: Volume) -> float:
    return float(done.mask.sum() * abs(np.linalg.det(volume.ijk_to_ras[:3, :3])) / 1000)


def _write(
    batch: SeedsBatch, result: BatchResult, done: dict[SeedRow, DoneObject], failed: dict[SeedRow, str]
) -> None:
    """The result, then the numbers. Raises InputError where they cannot be written."""
    rows = [row for row in batch.rows if row in done]
    segments = BatchSegments(batch, rows, [done[row] for row in rows], result)
    result.file.write_all(segments, batch.volume, batch.engine.model)
    shared = segments.shared_voxels()
    if shared and result.file.one_per_voxel and not result.makes_room:
        warn([f"{shared} voxels are of several objects; {result.file.path} has them in the later one only."])
    if result.json is not None:
        numbers = {row: number for number, row in enumerate(rows, start=1)}
        objects = []
        for row in batch.rows:
            about: dict[str, Any] = {"name": row.name, "line": row.line}
            if row in done:
                voxels = int(segments[numbers[row] - 1].mask.sum())
                about |= {"segment": numbers[row], "voxels": voxels, **done[row].record}
            else:
                about["error"] = failed[row]
            objects.append(about)
        model = batch.engine.model
        write_record({"model": {"name": model.name, "hash": model.hash}, "objects": objects}, result.json)


class BatchSegments(Sequence[Segment]):
    """The objects as segments, each made when it is asked for: together they may not fit into memory."""

    def __init__(
        self, batch: SeedsBatch, rows: Sequence[SeedRow], done: Sequence[DoneObject], result: BatchResult
    ) -> None:
        self._shape, self._rows, self._done = batch.volume.shape, rows, done
        self._file, self._model = result.file, batch.engine.model
        self._makes_room = result.makes_room or result.file.one_per_voxel

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Segment]: ...
    def __getitem__(self, index: int | slice) -> Segment | Sequence[Segment]:
        """A segment on the whole volume."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        mask = np.zeros(self._shape, dtype=bool)
        mask[self._done[index].box] = self._done[index].mask
        for later in self._done[index + 1 :] if self._makes_room else ():
            mask[later.box] &= ~later.mask
        return self._file.segment(self._rows[index].name, mask, COLOURS[index % len(COLOURS)], self._model)

    def __iter__(self) -> Iterator[Segment]:
        return (self[index] for index in range(len(self)))

    def shared_voxels(self) -> int:
        """How many voxels are of several objects."""
        count = np.zeros(self._shape, dtype=np.uint8)
        for one in self._done:
            count[one.box] += one.mask & (count[one.box] < 2)
        return int((count > 1).sum())
