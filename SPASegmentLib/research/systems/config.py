"""What a comparison system is made of, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.config import SPAConfig

Kind = Literal[
    "unet", "transunet", "swinunet", "ensemble", "probunet", "ls", "mh", "mrnet", "sam", "medsam", "msa"
]
Absent = Literal["left-out", "empty"]
Encoder = Literal["compact", "sam_vit_b", "medsam_vit_b"]


@dataclass(frozen=True)
class SystemConfig:
    """A system's sizes; each uses those it has.

    kind: which system. grid: G, cells of the square it sees, zoomed as SPA's. image_channels: 1 or 3.
    raters: R of the data it learnt from. samples: N, segmentations an uncertain system draws. candidates: K.
    widths: channels of a UNet at cell sizes 1, 2, 4, 8 and 16 and of its last layer (MONAI's BasicUNet).
    members: networks of an ensemble. latent: dimensions of the Probabilistic U-Net's z. kl_weight: its beta.
    embed, depth, heads: of transformers; with Swin stages, of the first. window: cells of a Swin window.
    encoder: of a prompted system, the compact one of SPA or the official ViT-B of SAM or MedSAM.
    vit_side, vit_embed, vit_depth, vit_heads: of that ViT, and the pixels it is given.
    adapter: width of MSA's adapters. boxes: boxes SAM-U asks for. jitter: how far their sides are moved, in
    sides of the box.
    absent: what a rater who drew nothing is in training: left out, as in the protocol's targets, or an empty
    mask, as in the systems' papers, where nobody has clicked. zoom_factor, default_region: as in `SPAConfig`.
    zoom: whether the region is fitted to the object; without, it is always the default one, as in the papers.
    """

    kind: Kind
    grid: int = 64
    image_channels: int = 1
    raters: int = 4
    samples: int = 48
    candidates: int = 4
    widths: tuple[int, ...] = (32, 32, 64, 128, 256, 32)
    members: int = 4
    latent: int = 6
    kl_weight: float = 1.0
    embed: int = 128
    depth: int = 4
    heads: int = 4
    window: int = 8
    encoder: Encoder = "compact"
    encoder_widths: tuple[int, int, int, int] = (24, 48, 96, 128)
    channels: int = 128
    decoder_heads: int = 8
    decoder_mlp: int = 512
    adapter: int = 32
    boxes: int = 8
    jitter: float = 0.1
    absent: Absent = "left-out"
    vit_side: int = 1024
    vit_embed: int = 768
    vit_depth: int = 12
    vit_heads: int = 12
    zoom_factor: float = 2.75
    default_region: float = 64.0
    zoom: bool = True

    @property
    def view(self) -> SPAConfig:
        """The same zoom, grid, N and K in SPA's words, for what all systems share."""
        return SPAConfig(
            grid=self.grid,
            image_channels=self.image_channels,
            samples=self.samples,
            candidates=self.candidates,
            components=1,
            zoom_factor=self.zoom_factor,
            default_region=self.default_region,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, as stored in checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SystemConfig:
        """Rebuild from a checkpoint's header. Raises CheckpointError on unknown entries."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown or "kind" not in values:
            named = ", ".join(sorted(unknown)) or "no kind"
            raise CheckpointError(f"This is not the configuration of a comparison system ({named}).")
        if values.get("absent", "left-out") not in get_args(Absent):
            raise CheckpointError(
                f"absent is {values['absent']!r}: give one of {', '.join(get_args(Absent))}."
            )
        cleaned: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**cleaned)

    def with_entries(self, entries: dict[str, Any]) -> SystemConfig:
        """The same with other sizes. Raises CheckpointError on unknown entries."""
        return replace(self, **self.from_dict({**self.to_dict(), **entries}).__dict__)
