"""TransUNet: convolutions, then a transformer on the coarsest features, then a cascaded upsampler."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.compact import ConvBlock, ResidualBlock
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.unets import UNet


class TransUNet(UNet):
    """Trained with the majority vote (Chen et al., 2021)."""

    def build(self, config: SystemConfig) -> nn.Module:
        """The network: planes -> (B, 1, G, G) logits."""
        return TransUNetwork(config)


class TransUNetwork(nn.Module):
    """The hybrid encoder of the paper's Section 3.2 with patches of 1 x 1 features, and its CUP decoder.

    The convolutional part ends at cells of 8 instead of 16, since the region has 64 cells and not 224 pixels.
    """

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        w1, w2, w4, w8 = config.encoder_widths
        side = config.grid // 8
        self.down1 = nn.Sequential(ConvBlock(config.image_channels + 1, w1), ConvBlock(w1, w1))
        self.down2 = nn.Sequential(ConvBlock(w1, w2, stride=2), ResidualBlock(w2))
        self.down4 = nn.Sequential(ConvBlock(w2, w4, stride=2), ResidualBlock(w4))
        self.down8 = nn.Sequential(ConvBlock(w4, w8, stride=2), ResidualBlock(w8))
        self.embed = nn.Conv2d(w8, config.embed, 1)
        self.position = nn.Parameter(torch.zeros(1, side * side, config.embed))
        # Equations 2 and 3: z' = MSA(LN(z)) + z, z = MLP(LN(z')) + z'.
        layer = nn.TransformerEncoderLayer(
            config.embed, config.heads, 4 * config.embed, 0.0, "gelu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(config.embed)
        self.transformer = nn.TransformerEncoder(layer, config.depth, norm, enable_nested_tensor=False)
        self.back = ConvBlock(config.embed, w8)
        self.up4, self.up2, self.up1 = _Up(w8, w4, w4), _Up(w4, w2, w2), _Up(w2, w1, w1)
        self.head = nn.Conv2d(w1, 1, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, C, G, G) -> logits (B, 1, G, G)."""
        x1 = self.down1(planes)
        x2 = self.down2(x1)
        x4 = self.down4(x2)
        x8 = self.embed(self.down8(x4))
        tokens = self.transformer(x8.flatten(2).transpose(1, 2) + self.position)
        x8 = self.back(tokens.transpose(1, 2).reshape(x8.shape))
        logits: Tensor = self.head(self.up1(self.up2(self.up4(x8, x4), x2), x1))
        return logits


class _Up(nn.Module):
    """A step of the cascaded upsampler: twice as large, joined with the encoder's features."""

    def __init__(self, coarse: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(ConvBlock(coarse + skip, outputs), ConvBlock(outputs, outputs))

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        up = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        joined: Tensor = self.convolve(torch.cat([up, skip], dim=1))
        return joined
