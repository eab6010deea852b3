"""Swin-Unet: a U of shifted-window transformers, without any convolution but the patches' (torchvision)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMerging, SwinTransformerBlock

from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.unets import UNet

PATCH = 2
"""Cells of a patch's side; the paper has 4 pixels of an image 3.5 times as large."""


class SwinUNet(UNet):
    """Trained with the majority vote (Cao et al., 2021)."""

    def build(self, config: SystemConfig) -> nn.Module:
        """The network: planes -> (B, 1, G, G) logits."""
        return SwinUNetwork(config)


class SwinUNetwork(nn.Module):
    """Three levels down by patch merging, back up by patch expanding, skips joined by a linear layer."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        c, heads, window = config.embed, config.heads, config.window
        self.patches = nn.Conv2d(config.image_channels + 1, c, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(c)
        self.down1, self.merge1 = _blocks(c, heads, window), PatchMerging(c)
        self.down2, self.merge2 = _blocks(2 * c, 2 * heads, window), PatchMerging(2 * c)
        self.bottom = _blocks(4 * c, 4 * heads, window)
        self.expand2, self.join2 = _Expand(4 * c, 2 * c), nn.Linear(4 * c, 2 * c)
        self.up2 = _blocks(2 * c, 2 * heads, window)
        self.expand1, self.join1 = _Expand(2 * c, c), nn.Linear(2 * c, c)
        self.up1 = _blocks(c, heads, window)
        self.expand = _Expand(c, c)
        self.head = nn.Linear(c, 1)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, C, G, G) -> logits (B, 1, G, G)."""
        x1 = self.down1(self.norm(self.patches(planes).permute(0, 2, 3, 1)))
        x2 = self.down2(self.merge1(x1))
        x4 = self.bottom(self.merge2(x2))
        y2 = self.up2(self.join2(torch.cat([self.expand2(x4), x2], dim=-1)))
        y1 = self.up1(self.join1(torch.cat([self.expand1(y2), x1], dim=-1)))
        logits: Tensor = self.head(self.expand(y1)).permute(0, 3, 1, 2)
        return logits


class _Expand(nn.Module):
    """Patch expanding: (B, h, w, inputs) -> (B, 2h, 2w, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 4 * outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        apart = self.linear(x).view(b, h, w, 2, 2, -1).permute(0, 1, 3, 2, 4, 5)
        expanded: Tensor = self.norm(apart.reshape(b, 2 * h, 2 * w, -1))
        return expanded


def _blocks(dim: int, heads: int, window: int) -> nn.Sequential:
    """Two successive Swin blocks, the second with shifted windows (the paper's equations 1 to 4)."""
    return nn.Sequential(
        *(SwinTransformerBlock(dim, heads, [window, window], [s, s]) for s in (0, window // 2))
    )
