"""The SPA network: image encoder, interaction encoder, preference generator, fusion, mask decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.compact import CompactImageEncoder
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.decoder import (
    DecoderFusion,
    EmbeddingFusion,
    LinearFusion,
    PreferenceMaskDecoder,
)
from SPASegmentLib.network.extent import ExtentHead
from SPASegmentLib.network.generator import PreferenceDistribution, PreferenceGenerator
from SPASegmentLib.network.interaction import (
    InteractionEmbedding,
    InteractionEncoder,
    InteractionPrompts,
    point_spots,
)


@dataclass(frozen=True)
class ImageEmbedding:
    """e_x (B, L, G/P, G/P) and, from the compact encoder, features at half and full resolution."""

    e_x: Tensor
    half: Tensor | None = None
    full: Tensor | None = None


@dataclass(frozen=True)
class Prepared:
    """What one proposal needs before z is drawn; computed once per proposal.

    distribution: p_theta(z). shared, base: the part of fusion and decoder that does not depend on z.
    pooled (B, 3L), token (B, L): what the extent head reads, where there is one.
    """

    distribution: PreferenceDistribution
    interaction: InteractionEmbedding
    shared: Tensor
    base: Tensor | None
    pooled: Tensor
    token: Tensor | None = None


FUSIONS: dict[str, type[DecoderFusion | EmbeddingFusion]] = {
    "decoder": DecoderFusion,
    "linear": LinearFusion,
    "embedding": EmbeddingFusion,
}


class SPANetwork(nn.Module):
    """f(x, r_u) of Section 3.2, in the three steps the engine caches separately."""

    def __init__(self, config: SPAConfig) -> None:
        super().__init__()
        self.config = config
        if config.backbone == "compact":
            self.image_encoder: nn.Module = CompactImageEncoder(
                config.image_planes,
                config.widths,
                config.channels,
                high_resolution=config.fusion != "embedding",
                context=config.context,
                image_channels=config.image_channels,
            )
        else:
            from SPASegmentLib.network.sam_backbone import build_sam_image_encoder

            self.image_encoder = build_sam_image_encoder(config.grid, config.backbone)
        self.interaction_encoder = InteractionEncoder(config)
        self.generator = PreferenceGenerator(config)
        self.decoder = PreferenceMaskDecoder(config)
        self.fusion: DecoderFusion | EmbeddingFusion
        self.fusion = FUSIONS[config.fusion](config)
        self.extent_head = ExtentHead(config.channels, config.extent_bins) if config.extent_bins else None

    def load_pretrained(self, path: str | Path) -> None:
        """Fill encoder, prompt encoder and mask decoder from an official SAM or MedSAM file.

        Every key is accounted for; see `load_sam_state`. Raises CheckpointError where anything does not fit.
        """
        from SPASegmentLib.network.sam_backbone import load_sam_state

        if self.config.backbone == "compact":
            raise CheckpointError("The compact network starts from scratch; remove the pretrained file.")
        load_sam_state(
            path,
            image_encoder=self.image_encoder,
            prompt_encoder=self.interaction_encoder,
            mask_decoder=self.decoder,
        )

    def encode_image(
        self,
        image: Tensor,
        seed: Tensor,
        context: Tensor | None = None,
        neighbours: Tensor | None = None,
    ) -> ImageEmbedding:
        """Once per slice and region. image: (B, C, G, G) in [0, 1]; seed: (B, 2) (x, y) in grid cells.

        context: (B, C, G, G), the same centre seen `config.context` times as coarsely, or None.
        neighbours: (B, 2 n, G, G) grey, the slices before (nearest last) and after (nearest first), 0.5
        everywhere where a slice has no neighbour; None: it has none at all.
        """
        config = self.config
        if config.backbone != "compact":
            return ImageEmbedding(self.image_encoder(image))
        parts = [_centred(image)]
        if config.neighbours:
            size = (len(image), 2 * config.neighbours, *image.shape[-2:])
            parts.append(image.new_zeros(size) if neighbours is None else _centred(neighbours))
        if config.seed_plane:
            ones = torch.ones((len(seed), 1), device=seed.device)
            parts.append(point_spots(seed[:, None], ones, 1, config.grid))
        around = _centred(context) if config.context and context is not None else None
        seen = torch.cat(parts, dim=1).contiguous(memory_format=torch.channels_last)
        return ImageEmbedding(*self.image_encoder(seen, around))

    def prepare(self, image: ImageEmbedding, interaction: InteractionPrompts) -> Prepared:
        """Once per proposal: e_u, the preference distribution, and what the samples share."""
        e_u = self.interaction_encoder.encode(interaction)
        pooled = torch.cat(
            [e_u.sparse.mean(dim=1), e_u.dense.mean(dim=(2, 3)), image.e_x.mean(dim=(2, 3))], 1
        )
        distribution = self.generator(pooled)
        if isinstance(self.fusion, EmbeddingFusion):
            return Prepared(distribution, e_u, self.fusion.image_part(image.e_x), None, pooled)
        position = self.interaction_encoder.get_dense_pe()
        token, features = self.decoder.attend(image.e_x, position, e_u.sparse, e_u.dense)
        assert image.half is not None and image.full is not None
        shared, base = self.fusion.shared(token, features, image.half, image.full, e_u.planes)
        return Prepared(distribution, e_u, shared, base, pooled, token)

    def expected_dice(self, prepared: Prepared, samples: Tensor, weights: Tensor) -> float | None:
        """Dice that the mean of samples (1, n, G, G), weights (1, n), is expected to have; None: no head.

        As the head learnt it: good for comparing masks; `calibrated_dice` makes it true on average.
        """
        if self.extent_head is None or prepared.token is None:
            return None
        device = prepared.pooled.device
        return float(
            self.extent_head.expected_dice(
                prepared.pooled, prepared.token, samples.to(device), weights.to(device)
            )
        )

    def calibrated_dice(self, expected: float | None) -> float | None:
        """The expected Dice, made true on average (`SPAConfig.dice_calibration`)."""
        if expected is None:
            return None
        slope, offset = self.config.dice_calibration
        return float((slope * torch.logit(torch.tensor(expected), eps=1e-4) + offset).sigmoid())

    def decode(self, prepared: Prepared, z: Tensor) -> Tensor:
        """z (B, n, D) -> logits (B, n, G, G). Callers cut n into chunks."""
        masks = self.decode_unscaled(prepared, z)
        if masks.shape[-1] == self.config.grid:
            return masks
        return F.interpolate(masks, size=self.config.grid, mode="bilinear", align_corners=False)

    def decode_unscaled(self, prepared: Prepared, z: Tensor) -> Tensor:
        """z (B, n, D) -> logits (B, n, G', G') on the decoder's own cells, `SPAConfig.mask_grid` of them."""
        if isinstance(self.fusion, DecoderFusion):
            assert prepared.base is not None
            return self.fusion(prepared.shared, prepared.base, z)
        batch, count = z.shape[:2]
        fused = self.fusion(prepared.shared, z)
        e_u = prepared.interaction
        masks = self.decoder.masks(
            fused,
            self.interaction_encoder.get_dense_pe(),
            e_u.sparse.repeat_interleave(count, dim=0),
            e_u.dense.repeat_interleave(count, dim=0),
        )
        return masks.view(batch, count, *masks.shape[-2:])


def _centred(image: Tensor) -> Tensor:
    """[0, 1] -> [-2, 2]."""
    return (image - 0.5) * 4
