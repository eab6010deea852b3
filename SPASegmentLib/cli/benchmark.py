"""`spasegment benchmark`: how long a click, a pick and a point take here, and beside what."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from SPASegmentLib.cli.memory import peak_memory
from SPASegmentLib.cli.shared import Device, console, plain_table
from SPASegmentLib.inference.config import DEFAULT_MODEL

if TYPE_CHECKING:
    from rich.table import Table

    from SPASegmentLib.imaging.types import SliceImage
    from SPASegmentLib.inference.local import LocalEngine
    from SPASegmentLib.inference.session import Session

PICKS = 3
PAPER_SIZES = (256, 1024)
"""Sides in pixels of what the paper's encoder sees: the paper names none; SAM was trained with the second."""


@dataclass(frozen=True)
class Timing:
    """Medians in seconds, and the peak memory of the process (of the GPU on one) in MiB."""

    click: float
    pick: float
    point: float
    memory: float | None


def benchmark(
    model: Annotated[
        str, typer.Option(metavar="NAME_OR_PATH", help="See `spasegment models`.")
    ] = DEFAULT_MODEL,
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
    paper: Annotated[
        bool, typer.Option("--paper", help="Also the paper's network: takes minutes and 4 GB of memory.")
    ] = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers here too.")] = None,
) -> None:
    """Time click, pick and point to proposal, beside the same network run naively.

    Naively means: the image encoder runs again at each iteration, and the decoder on one sample at a time.
    The slices are those of the made-up chest CT; nothing is cached between clicks. --paper times a SPA of the
    paper's size as well: SAM's ViT-B on the whole slice at each iteration, and 48 runs of its mask decoder in
    groups of 8; its weights are random, which does not change the time.

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
    theirs = {}
    for size in PAPER_SIZES if paper else ():
        with screen.status(f"Timing the paper's network on {size} x {size} pixels..."):
            theirs[size] = measure(papers_engine(size, device.value), 1, samples, warm=0)
    screen.print(
        f"Model {engine.model.name}, N = {n}, {engine.device}, {threads} threads; medians of {repeat} clicks"
    )
    console(tables=True).print(_table(ours, naive, theirs))
    if json is not None:
        from SPASegmentLib.cli.record import write_record

        record = _record(ours, naive, theirs)
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
        f"{timing.median:.2f} s each (at most {timing.longest:.2f} s), with a picture, "
        f"and {timing.across:.1f} s to look across them; "
        f"{timing.processor / timing.slices:.2f} s of processor each{grown}"
    )
    if json is not None:
        about = {"model": engine.model.name, "hash": engine.model.hash, "threads": threads}
        write_record({**about, "device": str(engine.device), **record_of(timing)}, json)


def measure(engine: LocalEngine, repeat: int, samples: int | None, warm: int = 1) -> Timing:
    """Median seconds of clicks on different slices, of the picks and of the point that follow.

    warm: so many clicks before do not count.
    """
    clicks, picks, points = [], [], []
    for index, session in enumerate(_sessions(engine, repeat + warm, samples)):
        timed = session.advance(engine)
        counts = index >= warm
        if counts:
            clicks.append(_seconds(timed))
        for pick in range(PICKS if counts else 1):
            if timed.proposal is None or not timed.proposal.candidates:
                break
            timed = timed.pick(pick % len(timed.proposal.candidates)).advance(engine)
            if counts:
                picks.append(_seconds(timed))
        seed = session.points[0]
        timed = timed.add_point(seed.row - 4, seed.col + 4, positive=False).advance(engine)
        if counts:
            points.append(_seconds(timed))
    return Timing(
        statistics.median(clicks),
        statistics.median(picks) if picks else float("nan"),
        statistics.median(points),
        peak_memory(engine),
    )


def papers_engine(size: int, device: str) -> LocalEngine:
    """A SPA as the paper describes it, with random weights, and its way: the whole slice, no looks.

    The image is encoded at each iteration, as in its Algorithm 1. size: side of the encoder's input.
    """
    import torch

    from SPASegmentLib.imaging.types import Region
    from SPASegmentLib.inference.local import LocalEngine
    from SPASegmentLib.inference.messages import ModelInfo
    from SPASegmentLib.network.config import sam_config
    from SPASegmentLib.network.spa import SPANetwork

    class Paper(LocalEngine):
        """Encodes the whole slice at each iteration."""

        def _region(self, request: Any, cancel: Any) -> Region:
            height, width = request.image.shape
            row, col = request.image.spacing
            centre = (height - 1) / 2, (width - 1) / 2
            return Region(centre, max(height * row, width * col), self.config.grid)

        def _embed(self, request: Any, region: Any) -> Any:
            self._embeddings.clear()
            return super()._embed(request, region)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SPANetwork(sam_config(image_size=size, harmonics=0))
    latent: Any = network.fusion.latent
    with torch.no_grad():
        latent.weight.mul_(30)  # untrained, z would hardly move a mask
    return Paper(network, ModelInfo("the paper's network", "", network.config.components, "nothing"), device)


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


def _record(ours: Timing, naive: Timing, theirs: dict[int, Timing]) -> dict[str, Any]:
    def seconds(timing: Timing) -> dict[str, float]:
        return {"click": timing.click, "pick": timing.pick, "point": timing.point}

    def ratio(timing: Timing) -> dict[str, float]:
        return {step: value / seconds(ours)[step] for step, value in seconds(timing).items()}

    record: dict[str, Any] = {
        "seconds": seconds(ours),
        "naive_seconds": seconds(naive),
        "ratio": ratio(naive),
        "peak_memory_mib": ours.memory,
    }
    if theirs:
        record["paper_seconds"] = {str(size): seconds(timing) for size, timing in theirs.items()}
        record["paper_ratio"] = {str(size): ratio(timing) for size, timing in theirs.items()}
    return record


def _table(ours: Timing, naive: Timing, theirs: dict[int, Timing]) -> Table:
    figures = ("click to proposal", "pick to proposal", "point to proposal", "peak memory")
    table = plain_table(("", *figures), right=figures)
    memory = "-" if ours.memory is None else f"{ours.memory:.0f} MiB"

    def row(name: str, timing: Timing, memory: str = "") -> None:
        values = (timing.click, timing.pick, timing.point)
        table.add_row(name, *(f"{value:.3f} s" for value in values), memory)

    def ratio(timing: Timing) -> None:
        pairs = ((timing.click, ours.click), (timing.pick, ours.pick), (timing.point, ours.point))
        table.add_row("ratio", *(f"{their / our:.1f}" for their, our in pairs), "")

    row("spasegment", ours, memory)
    for name, timing in (
        ("run naively", naive),
        *((f"the paper's network, {size} pixels", timing) for size, timing in theirs.items()),
    ):
        row(name, timing)
        ratio(timing)
    return table
