"""SAM's mask decoder and the two places where z can meet it (Section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.config import HEAD_GROUPS, SPAConfig
from SPASegmentLib.network.sam_modules import MaskDecoder, TwoWayTransformer


class PreferenceMaskDecoder(MaskDecoder):
    """SAM's mask decoder; batches of images, one prompt set each."""

    def __init__(self, config: SPAConfig) -> None:
        transformer = TwoWayTransformer(
            depth=2,
            embedding_dim=config.channels,
            mlp_dim=config.decoder_mlp,
            num_heads=config.decoder_heads,
        )
        if config.fusion == "embedding":
            super().__init__(transformer_dim=config.channels, transformer=transformer)
            return
        super().__init__(transformer_dim=config.channels, transformer=transformer, num_multimask_outputs=0)
        # With z joined after the decoder, `DecoderFusion` takes the place of upscaling and mask heads.
        self.output_upscaling = nn.Sequential()
        self.output_hypernetworks_mlps = nn.ModuleList()
        self.iou_prediction_head = nn.Sequential()

    def attend(
        self, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Two-way attention of tokens and image: -> mask token (B, L), image features (B, L, h, w)."""
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight], dim=0)
        batch = embedding.shape[0]
        tokens = torch.cat([output_tokens.expand(batch, -1, -1), sparse], dim=1)
        source = embedding + dense
        hidden, source_out = self.transformer(source, position.expand(batch, -1, -1, -1), tokens)
        return hidden[:, 1], source_out.transpose(1, 2).reshape(source.shape)

    def masks(self, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor) -> Tensor:
        """SAM's single mask: (B, 4h, 4w) logits."""
        token, features = self.attend(embedding, position, sparse, dense)
        upscaled = self.output_upscaling(features)
        hyper = self.output_hypernetworks_mlps[0](token)
        return torch.einsum("bc,bchw->bhw", hyper, upscaled)


class EmbeddingFusion(nn.Module):
    """The paper's fusion: e_xn = ReLU(Conv(e_x (+) z_n)), three convolutions, before the decoder.

    The first convolution is split: its image half is computed once, its z half is one vector per sample.
    """

    def __init__(self, config: SPAConfig) -> None:
        super().__init__()
        width = config.channels
        self.image = nn.Conv2d(width, width, 3, padding=1)
        self.latent = nn.Linear(config.latent_dim, width, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.third = nn.Conv2d(width, width, 3, padding=1)

    def image_part(self, e_x: Tensor) -> Tensor:
        """What does not depend on z: (B, L, h, w)."""
        return self.image(e_x)

    def forward(self, image_part: Tensor, z: Tensor) -> Tensor:
        """image_part (B, L, h, w), z (B, n, D) -> e_xn (B * n, L, h, w)."""
        joined = F.relu(image_part[:, None] + self.latent(z)[..., None, None]).flatten(0, 1)
        return F.relu(self.third(F.relu(self.second(joined))))


class DecoderFusion(nn.Module):
    """z meets the decoder's features in three 1x1 convolutions at half resolution.

    All that does not depend on z (decoder, high-resolution features, the planes of the interaction) is
    computed once per proposal; a sample adds `head_channels`-wide pixelwise layers to it. The outline itself
    comes from full-resolution logits that all samples share; a sample moves it.
    """

    def __init__(self, config: SPAConfig) -> None:
        super().__init__()
        w1, w2 = config.widths[:2]
        planes, width, length = len(config.planes), config.head_channels, config.channels
        self.token = nn.Linear(length, width)
        self.up = nn.ConvTranspose2d(length, width, 2, stride=2)
        self.mix = nn.Sequential(
            nn.Conv2d(width + w2 + 4 * planes, width, 3, padding=1),
            nn.GroupNorm(HEAD_GROUPS, width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.outline = nn.Sequential(
            nn.Conv2d(width + w1 + planes, w1, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(w1, 1, 1)
        )
        if config.fusion == "linear":
            return
        self.first = nn.Conv2d(width, width, 1)
        self.latents = nn.ModuleList(nn.Linear(config.latent_dim, width, bias=False) for _ in range(3))
        self.second = nn.Conv2d(width, width, 1)
        self.third = nn.Conv2d(width, width, 1)
        self.last = nn.Conv2d(width, 1, 1)

    def shared(
        self, token: Tensor, features: Tensor, half: Tensor, full: Tensor, planes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What does not depend on z: features (B, C, G/2, G/2) and base logits (B, G, G)."""
        mixed, fine = self._features(token, features, half, full, planes)
        return self.first(F.relu(mixed)), self.outline[2](fine)[:, 0]

    def _features(
        self, token: Tensor, features: Tensor, half: Tensor, full: Tensor, planes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Features at half (B, C, G/2, G/2) and full resolution (B, w1, G, G)."""
        up = self.up(features) + self.token(token)[..., None, None]
        joined = torch.cat([up, half, F.pixel_unshuffle(planes, 2).to(up.dtype)], dim=1)
        mixed = self.mix(joined.contiguous(memory_format=torch.channels_last)) + up
        raised = F.interpolate(mixed, scale_factor=2.0, mode="bilinear", align_corners=False)
        joined = torch.cat([raised, full, planes.to(full.dtype)], dim=1)
        return mixed, self.outline[:2](joined.contiguous(memory_format=torch.channels_last))

    def forward(self, shared: Tensor, base: Tensor, z: Tensor) -> Tensor:
        """shared (B, C, h, w), base (B, 2h, 2w), z (B, n, D) -> logits (B, n, 2h, 2w)."""
        batch, count = z.shape[:2]
        y = F.relu(shared[:, None] + self.latents[0](z)[..., None, None]).flatten(0, 1)
        y = F.relu(self.second(y) + self.latents[1](z).flatten(0, 1)[..., None, None])
        y = F.relu(self.third(y) + self.latents[2](z).flatten(0, 1)[..., None, None])
        change = F.interpolate(self.last(y), scale_factor=2.0, mode="bilinear", align_corners=False)
        return base[:, None] + change.view(batch, count, *base.shape[-2:])


class LinearFusion(DecoderFusion):
    """z enters last and linearly: logits(z) = base + s z_0 + sum over d >= 1 of z_d B_d.

    B_d are maps the network predicts for this image, what people disagree on in it (low-rank logits as in
    Monteiro et al. 2020, under SPA's mixture over z); z_0 raises or lowers the level of the whole.
    """

    def __init__(self, config: SPAConfig) -> None:
        super().__init__(config)
        own = config.latent_dim - 1
        self.coarse_directions = nn.Conv2d(config.head_channels, own, 1)
        self.fine_directions = nn.Conv2d(config.widths[0], own, 1)
        self.level = nn.Parameter(torch.tensor(1.5))

    def shared(
        self, token: Tensor, features: Tensor, half: Tensor, full: Tensor, planes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Directions (B, D, G, G), the constant first, and base logits (B, G, G)."""
        mixed, fine = self._features(token, features, half, full, planes)
        coarse = self.coarse_directions(F.relu(mixed))
        own = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        own = own + self.fine_directions(fine)
        level = self.level.to(own.dtype).expand(len(own), 1, *own.shape[-2:])
        return torch.cat([level, own], dim=1), self.outline[2](fine)[:, 0]

    def forward(self, shared: Tensor, base: Tensor, z: Tensor) -> Tensor:
        """shared (B, D, G, G), base (B, G, G), z (B, n, D) -> logits (B, n, G, G)."""
        change = torch.bmm(z.to(shared.dtype), shared.flatten(2))
        return base[:, None] + change.view(*z.shape[:2], *base.shape[-2:])
