"""Every parameter of the paper's network in one place."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from SPASegmentLib.errors import CheckpointError

Backbone = Literal["compact", "sam_vit_b", "medsam_vit_b"]
Fusion = Literal["decoder", "embedding", "linear"]
Preference = Literal["mixture", "gaussians", "weights", "random", "point"]

HEAD_GROUPS = 8
"""Groups of channels that are normalised together where z meets the decoder's features."""


@dataclass(frozen=True)
class SPAConfig:
    """The network and its interaction, in the paper's symbols (Sections 3.1 to 3.4 and 4.2).

    components: M, Gaussians in the preference distribution (16).
    samples: N, latent variables drawn for one proposal (48).
    candidates: K, alternatives shown (4).
    iterations: MAX_USER_ITERATIONS (6).
    channels: L, width of image and interaction embeddings (256 with SAM's backbone).
    grid: G, side of the square the network sees, in cells (H = W = G in the paper's equations).
    patch: P, cells per embedding position and side; embeddings are (L, G / P, G / P).
    latent_dim: length of z. The paper draws z in R^(L x H/P x W/P) from M pairs (mu, sigma) of numbers; here
        z is a vector that the first fusion convolution spreads over the embedding.
    fusion: where z meets the image. "embedding" is the paper's: three convolutions on e_x (+) z before the
        mask decoder, which then runs once per sample. "decoder" runs the mask decoder once and lets z meet
        its features in three convolutions, so that N samples cost about as much as one. "linear" lets z enter
        last and linearly: logits(z) = base + s z_0 + sum over d >= 1 of z_d B_d, where the maps B_d are the
        network's own directions of disagreement for this image (low-rank logits, Monteiro et al. 2020) and
        z_0 raises or lowers the level; a sample is then a product of matrices.
    preference: what the generator learns of the distribution (paper Table 3). "mixture": means, deviations
        and weights; "gaussians": means and deviations, with equal weights; "weights": only the weights, of
        fixed random Gaussians; "random": nothing. "point": z is its mean, for networks without distribution.
    planes: masks the interaction encoder's mask branch receives, in this order: "picked" (the candidate the
        user picked last), "recommendation" (the one it was picked over), "belief" (mean of all samples so far
        under the posterior of all picks), "positive" and "negative" (the user's points as Gaussian spots).
    image_channels: 1 (grey) or 3 (RGB).
    seed_plane: whether the image encoder also sees the seed as a Gaussian spot.
    dice_calibration: slope and offset, in logits, that make the expected Dice of a proposal true on average;
        fitted on validation data after training.
    widths: channels of the compact encoder at cell sizes 1, 2, 4 and 8.
    head_channels: width of the three fusion convolutions with fusion "decoder".
    pick_temperature: softness, in Dice, of a user who picks the candidate closest to what they want.
    harmonics, shape_amplitude: the shape part of z, in logits (see network/shape.py); 0 harmonics: none.
    prior_deviations: standard deviations, in logits, of what a user's mask adds to the network's map of a
        click: its level, then harmonics 1, 2, ... (inference/hypotheses.py); learnt at the end of a training.
        Empty: those of the inference's configuration.
    zoom_factor: side of the region over the object's bounding box once its size is known.
    default_region: side of the first region, in pixels of the slice, before the size is known.
    """

    backbone: Backbone = "compact"
    fusion: Fusion = "decoder"
    components: int = 16
    samples: int = 48
    candidates: int = 4
    iterations: int = 6
    channels: int = 128
    grid: int = 64
    patch: int = 4
    latent_dim: int = 8
    preference: Preference = "mixture"
    planes: tuple[str, ...] = ("picked", "recommendation", "belief", "positive", "negative")
    image_channels: int = 1
    seed_plane: bool = True
    context: float = 0.0
    neighbours: int = 0
    extent_bins: int = 0
    dice_calibration: tuple[float, float] = (1.0, 0.0)
    widths: tuple[int, int, int, int] = (24, 48, 96, 128)
    head_channels: int = 32
    decoder_heads: int = 8
    decoder_mlp: int = 512
    pick_temperature: float = 0.05
    harmonics: int = 4
    shape_amplitude: float = 1.0
    prior_deviations: tuple[float, ...] = ()
    zoom_factor: float = 2.75
    default_region: float = 64.0

    def __post_init__(self) -> None:
        if self.grid % self.patch or self.components < 1 or self.samples < 1:
            raise CheckpointError(
                "The network's configuration is not consistent: check grid, patch, M and N."
            )
        if self.head_channels < 1 or self.head_channels % HEAD_GROUPS:
            raise CheckpointError(f"head_channels is {self.head_channels}: give a multiple of {HEAD_GROUPS}.")
        if self.fusion not in get_args(Fusion):
            raise CheckpointError(
                f"There is no fusion {self.fusion!r}; choose one of {', '.join(get_args(Fusion))}."
            )
        if self.backbone != "compact" and (self.context or self.neighbours or self.extent_bins):
            raise CheckpointError("Only the compact network sees surroundings and neighbouring slices.")
        if (self.context and self.context < 1) or min(self.neighbours, self.extent_bins) < 0:
            raise CheckpointError("context must be 0 or at least 1; neighbours and extent_bins at least 0.")
        if self.preference not in get_args(Preference):
            known = ", ".join(get_args(Preference))
            raise CheckpointError(f"There is no preference {self.preference!r}; choose one of {known}.")
        if self.prior_deviations and not _are_deviations(self.prior_deviations, 1 + self.harmonics):
            raise CheckpointError(
                f"prior_deviations must be {1 + self.harmonics} numbers above 0, of the level and"
                f" {self.harmonics} harmonics: train again, or leave them out."
            )

    @property
    def image_planes(self) -> int:
        """Channels of the image encoder's input: the slice, its neighbours, the seed."""
        return self.image_channels + 2 * self.neighbours + int(self.seed_plane)

    @property
    def embedding_size(self) -> int:
        """G / P."""
        return self.grid // self.patch

    @property
    def mask_grid(self) -> int:
        """Side of the masks in cells as they are decoded: 4 G / P with the paper's fusion, else G."""
        return 4 * self.embedding_size if self.fusion == "embedding" else self.grid

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, as stored in checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SPAConfig:
        """Rebuild from a checkpoint's header. Raises CheckpointError on keys this version does not know."""
        known = {f.name for f in fields(cls)}
        unknown = set(values) - known
        if unknown:
            raise CheckpointError(
                f"The checkpoint's configuration has unknown entries ({', '.join(sorted(unknown))}); "
                "it was made by a newer version."
            )
        cleaned: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**cleaned)


def _are_deviations(values: object, count: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(type(value) in (int, float) and math.isfinite(value) and value > 0 for value in values)
    )


def compact_config(**changes: Any) -> SPAConfig:
    """The shipped small network."""
    return replace(SPAConfig(), **changes)


def sam_config(backbone: Backbone = "sam_vit_b", image_size: int = 1024, **changes: Any) -> SPAConfig:
    """The paper's network on SAM's ViT-B: L = 256, P = 16, z joined to the image embedding."""
    base = SPAConfig(
        backbone=backbone,
        fusion="embedding",
        channels=256,
        grid=image_size,
        patch=16,
        planes=("picked",),
        image_channels=3,
        seed_plane=False,
        decoder_mlp=2048,
    )
    return replace(base, **changes)


def build_config(entries: dict[str, Any]) -> SPAConfig:
    """A configuration from a training file: entries over the preset it names ("compact" where it names none).

    Raises CheckpointError for unknown presets and entries.
    """
    changes = dict(entries)
    preset = changes.pop("preset", "compact")
    if preset == "compact":
        base = SPAConfig()
    elif preset in ("sam_vit_b", "medsam_vit_b"):
        base = sam_config(preset)
    else:
        raise CheckpointError(f"There is no network {preset!r}; choose compact, sam_vit_b or medsam_vit_b.")
    return SPAConfig.from_dict({**base.to_dict(), **changes})
