"""What computing several users' requests together would bring, and what it would change.

python Testing/service/support/batching.py --model compact --device cpu

For each part of the network: its share of a proposal's time, how many times as quick a row of a batch is as
one alone, how far its numbers are from those alone, and whether a row of a batch of this size is the same,
bit for bit, whatever the other rows hold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sessions import a_slice, interact
from torch import Tensor

from SPASegmentLib.inference.local import CHUNK, LocalEngine, load_engine
from SPASegmentLib.network.interaction import InteractionPrompts
from SPASegmentLib.network.spa import ImageEmbedding, Prepared

PARTS = {
    "encode_image": "image encoder",
    "prepare": "interaction, distribution",
    "decode_unscaled": "decoding",
}
Work = tuple[Callable[[], object], Callable[[], list[Tensor]]]
"""What is timed, and the tensors (B, ...) that it gives."""


@dataclass(frozen=True)
class Rows:
    """Inputs of a batch (B, ...): slices, the points on them, latents (B, n, D)."""

    images: Tensor
    seeds: Tensor
    latents: Tensor

    def of(self, rows: slice) -> Rows:
        return Rows(self.images[rows], self.seeds[rows], self.latents[rows])


def some_rows(engine: LocalEngine, count: int, first: int, device: torch.device) -> Rows:
    """Made-up slices that differ, each with a point in its middle."""
    config, rng = engine.config, np.random.default_rng(first)
    pixels = np.stack([a_slice(first + n, size=config.grid).pixels for n in range(count)])
    images = torch.from_numpy(pixels)[:, None].repeat(1, config.image_channels, 1, 1)
    z = rng.normal(size=(count, CHUNK, config.latent_dim)).astype(np.float32)
    seeds = torch.full((count, 2), config.grid / 2)
    return Rows(images.to(device), seeds.to(device), torch.from_numpy(z).to(device))


def beside(rows: Rows, others: Rows) -> Rows:
    """The first row with the other rows of another batch."""
    return Rows(
        torch.cat([rows.images[:1], others.images[1:]]),
        torch.cat([rows.seeds[:1], others.seeds[1:]]),
        torch.cat([rows.latents[:1], others.latents[1:]]),
    )


def encoded(engine: LocalEngine, rows: Rows) -> ImageEmbedding:
    context = rows.images if engine.config.context else None
    return engine.network.encode_image(rows.images, rows.seeds, context)


def prepared(engine: LocalEngine, rows: Rows, embedding: ImageEmbedding) -> Prepared:
    labels = torch.ones((len(rows.seeds), 1), device=rows.seeds.device)
    return engine.network.prepare(embedding, InteractionPrompts(rows.seeds[:, None], labels))


def outputs(part: str, engine: LocalEngine, rows: Rows) -> Work:
    """The work of one part on these rows."""
    if part == "encode_image":
        return lambda: encoded(engine, rows), lambda: [
            t for t in vars(encoded(engine, rows)).values() if t is not None
        ]
    embedding = encoded(engine, rows)
    if part == "prepare":

        def given() -> list[Tensor]:
            found = prepared(engine, rows, embedding)
            base = [] if found.base is None else [found.base]
            return [found.distribution.means, found.shared, *base]

        return lambda: prepared(engine, rows, embedding), given
    ready = prepared(engine, rows, embedding)
    decode = engine.network.decode_unscaled
    return lambda: decode(ready, rows.latents), lambda: [decode(ready, rows.latents)]


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The quickest of some runs: other programs only make it slower."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return min(found)


def apart(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def shares(engine: LocalEngine) -> dict[str, float]:
    """The share of each part in the time of whole interactions on slices of 512 x 512 pixels."""
    spent, network = dict.fromkeys(PARTS, 0.0), engine.network

    def timed(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **more: object) -> object:
            started = time.perf_counter()
            try:
                return call(*args, **more)
            finally:
                spent[name] += time.perf_counter() - started

        return run

    original = {name: getattr(network, name) for name in PARTS}
    for name, call in original.items():
        setattr(network, name, timed(name, call))
    started = time.perf_counter()
    for seed in range(3):
        interact(engine, a_slice(seed, size=512), steps=4, seed=seed)
    whole = time.perf_counter() - started
    for name in PARTS:
        delattr(network, name)
    return {name: used / whole for name, used in spent.items()}


@torch.inference_mode()
def main() -> None:
    """Measure, and print a table and the bound."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--model", default="compact")
    options.add_argument("--device", default="cpu")
    options.add_argument("--sizes", type=int, nargs="+", default=[2, 4, 8])
    options.add_argument("--repeats", type=int, default=9)
    given = options.parse_args()
    engine = load_engine(given.model, given.device)
    device, share = engine.device, shares(engine)
    print(f"{given.model} on {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for size in given.sizes:
        left = 1.0
        rows, others = some_rows(engine, size, 0, device), some_rows(engine, size, 100, device)
        mixed = Rows(
            *(
                torch.cat([a[:1], b[1:]])
                for a, b in zip(vars(rows).values(), vars(others).values(), strict=True)
            )
        )
        for part, words in PARTS.items():
            alone, first = outputs(part, engine, rows.of(slice(1)))
            together, batch = outputs(part, engine, rows)
            _, beside_others = outputs(part, engine, mixed)
            once, row = [seconds(work, device, given.repeats) for work in (alone, together)]
            gain = once / (row / size)
            left -= share[part] * max(0.0, 1 - 1 / gain)
            mine = [t[:1] for t in batch()]
            same = apart(mine, [t[:1] for t in beside_others()]) == 0
            print(
                f"{words}, batch of {size}: share {share[part]:.0%}, {1000 * once:.1f} ms alone, a row "
                f"{gain:.2f} times as quick, off by {apart(mine, first()):.1e}, "
                f"{'equal' if same else 'NOT equal'} whatever the other rows hold"
            )
        print(f"batches of {size}: {1 / left:.2f} times the proposals at most\n")


if __name__ == "__main__":
    main()
