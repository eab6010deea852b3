"""`spasegment benchmark`: how long a click and a pick take here, beside the same network run naively."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from SPASegmentLib.cli.memory import peak_memory
from SPASegmentLib.cli.shared import Device, console, plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from SPASegmentLib.imaging.types import SliceImage
    from SPASegmentLib.inference.local import LocalEngine
    from SPASegmentLib.inference.session import Session

PICKS = 3


@dataclass(frozen=True)
class Timing:
    """Medians in seconds, and the peak memory of the process (of the GPU on one) in MiB."""

    click: float
    pick: float
    memory: float | None


def benchmark(
    model: Annotated[str, typer.Option(metavar="NAME_OR_PATH", help="See `spasegment models`.")] = "compact",
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    threads: Annotated[int, typer.Option(min=1, help="CPU cores to use.")] = 2,
    samples: Annotated[int | None, typer.Option(min=1, help="N; default: the model's own.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Clicks on different slices; three picks each.")] = 10,
    whole_object: Annotated[
        int | None,
        typer.Option(
            "--whole-object",
            min=2,
            metavar="SLICES",
            help="Instead: follow an object through so many slices of 512 x 512, with a picture after each.",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers here too.")] = None,
) -> None:
    """Time click to proposal and pick to proposal, beside the same network run naively.

    Naively means: the image encoder runs again at each iteration, and the decoder on one sample at a time.
    The slices are those of the made-up chest CT; nothing is cached between clicks.

    Examples:

    spasegment benchmark --threads 2

    spasegment benchmark --model general --whole-object 100
    """
    import torch

    from SPASegmentLib.inference.local import load_engine

    torch.set_num_threads(threads)
    screen = console()
    with screen.status("Loading the model..."):
        engine = load_engine(model, device.value)
    if whole_object is not None:
        _time_object(engine, whole_object, threads, json)
        return
    n = samples or engine.config.samples
    with screen.status("Timing the engine..."):
        ours = measure(engine, repeat, samples)
    with screen.status("Timing the same network run naively..."):
        naive = measure(as_naive(engine), max(1, repeat // 3), samples)
    screen.print(
        f"Model {engine.model.name}, N = {n}, {engine.device}, {threads} threads; medians of {repeat} clicks"
    )
    console(tables=True).print(_table(ours, naive))
    if json is not None:
        from SPASegmentLib.cli.record import write_record

        record = _record(ours, naive)
        about = {"model": engine.model.name, "hash": engine.model.hash, "samples": n, "threads": threads}
        write_record({**about, "device": str(engine.device), **record}, json)


def _time_object(engine: LocalEngine, slices: int, threads: int, json: Path | None) -> None:
    """Follow an object, say how long it took, and write that where it is wanted."""
    from SPASegmentLib.cli.object_benchmark import SIZE, measure_object, record_of
    from SPASegmentLib.cli.record import write_record

    screen = console()
    with screen.status("Following a made-up organ..."):
        timing = measure_object(engine, slices)
    grown = "" if timing.memory_growth is None else f", memory +{timing.memory_growth:.0f} MiB on the way"
    screen.print(
        f"Model {engine.model.name}, {engine.device}, {threads} threads: {timing.slices} slices of "
        f"{SIZE} x {SIZE} in {timing.total:.1f} s; the first {timing.first:.2f} s, then "
        f"{timing.median:.2f} s each (at most {timing.longest:.2f} s), with a picture; "
        f"{timing.processor / timing.slices:.2f} s of processor each{grown}"
    )
    if json is not None:
        about = {"model": engine.model.name, "hash": engine.model.hash, "threads": threads}
        write_record({**about, "device": str(engine.device), **record_of(timing)}, json)


def measure(engine: LocalEngine, repeat: int, samples: int | None) -> Timing:
    """Median seconds of clicks on different slices and of the picks that follow; the first click warms up."""
    clicks, picks = [], []
    for index, session in enumerate(_sessions(engine, repeat + 1, samples)):
        timed = session.advance(engine)
        if index:
            clicks.append(_seconds(timed))
        for pick in range(PICKS if index else 1):
            if timed.proposal is None or not timed.proposal.candidates:
                break
            timed = timed.pick(pick % len(timed.proposal.candidates)).advance(engine)
            if index:
                picks.append(_seconds(timed))
    return Timing(
        statistics.median(clicks), statistics.median(picks) if picks else float("nan"), peak_memory(engine)
    )


def as_naive(engine: LocalEngine) -> LocalEngine:
    """The same network as the authors' code runs it, for comparison only."""
    import torch

    from SPASegmentLib.inference.local import LocalEngine

    class Naive(LocalEngine):
        """Encodes at each iteration; decodes one sample at a time with nothing shared between samples.

        The looks that find the object's size are not the authors'; they cost what they cost us.
        """

        _is_looking = False

        def _look(self, *about: Any) -> Any:
            self._is_looking = True
            try:
                return super()._look(*about)
            finally:
                self._is_looking = False

        def _embed(self, request: Any, region: Any) -> Any:
            self._embeddings.clear()
            self._last = super()._embed(request, region)
            return self._last

        def _decode(self, prepared: Any, z: Any, history: Any, cancel: Any) -> Any:
            if self._is_looking:
                return super()._decode(prepared, z, history, cancel)
            parts = []
            for row in torch.tensor(z).float().to(self.device)[None].split(1, dim=1):
                alone = self.network.prepare(self._last, history.interaction)
                parts.append((self.network.decode_unscaled(alone, row)[0] + history.point_logits).cpu())
            return torch.cat(parts)

    return Naive(engine.network, engine.model, str(engine.device))


def _sessions(engine: LocalEngine, count: int, samples: int | None) -> Iterator[Session]:
    """Sessions with a seed on different slices through the nodules of the made-up chest CT."""
    from SPASegmentLib.inference.session import Session

    slices = list(_slices())
    for index in range(count):
        image, row, col = slices[index % len(slices)]
        shift = index // len(slices)
        yield Session.start(image, engine.model, (row, col + shift), random_seed=index, n_samples=samples)


def _slices() -> Iterator[tuple[SliceImage, int, int]]:
    """Axial slices of the sample and (row, col) of the nodule on each."""
    import numpy as np

    from SPASegmentLib.imaging.geometry import SlicePlane, seed_voxel
    from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
    from SPASegmentLib.imaging.types import IntensityWindow
    from SPASegmentLib.imaging.window import make_slice

    volume = make_sample_volume(0)
    for place in sample_seeds(0):
        k, j, i = seed_voxel(volume, seed_ras=place.ras)
        for offset in (-1, 0, 1):
            plane = SlicePlane.of_voxels(volume, 0, int(np.clip(k + offset, 0, volume.shape[0] - 1)))
            yield make_slice(volume, plane, IntensityWindow(-1350.0, 150.0)), j, i


def _seconds(session: Session) -> float:
    assert session.proposal is not None and session.proposal.seconds is not None
    return session.proposal.seconds["total"]


def _record(ours: Timing, naive: Timing) -> dict[str, Any]:
    return {
        "seconds": {"click": ours.click, "pick": ours.pick},
        "naive_seconds": {"click": naive.click, "pick": naive.pick},
        "ratio": {"click": naive.click / ours.click, "pick": naive.pick / ours.pick},
        "peak_memory_mib": ours.memory,
    }


def _table(ours: Timing, naive: Timing) -> Table:
    figures = ("click to proposal", "pick to proposal", "peak memory")
    table = plain_table(("", *figures), right=figures)
    memory = "-" if ours.memory is None else f"{ours.memory:.0f} MiB"
    table.add_row("spasegment", f"{ours.click:.3f} s", f"{ours.pick:.3f} s", memory)
    table.add_row("run naively", f"{naive.click:.3f} s", f"{naive.pick:.3f} s", "")
    table.add_row("ratio", f"{naive.click / ours.click:.1f}", f"{naive.pick / ours.pick:.1f}", "")
    return table
