"""The small image encoder, trained from scratch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return F.relu(x + self.norm(self.second(self.first(x))))


class CompactImageEncoder(nn.Module):
    """Convolutional encoder and feature pyramid.

    Gives e_x (B, L, G/4, G/4) and, if asked for, features at half and full resolution for crisp outlines:
    (B, widths[1], G/2, G/2) and (B, widths[0], G, G).
    """

    def __init__(
        self, inputs: int, widths: tuple[int, int, int, int], channels: int, high_resolution: bool = True
    ) -> None:
        super().__init__()
        w1, w2, w4, w8 = widths
        self.down1 = nn.Sequential(ConvBlock(inputs, w1), ConvBlock(w1, w1))
        self.down2 = nn.Sequential(ConvBlock(w1, w2, stride=2), ResidualBlock(w2))
        self.down4 = nn.Sequential(ConvBlock(w2, w4, stride=2), ResidualBlock(w4), ResidualBlock(w4))
        self.down8 = nn.Sequential(ConvBlock(w4, w8, stride=2), ResidualBlock(w8), ResidualBlock(w8))
        self.up4 = nn.Sequential(ConvBlock(w8 + w4, channels), ResidualBlock(channels))
        self.high_resolution = high_resolution
        if not high_resolution:
            return
        self.up2 = nn.Sequential(ConvBlock(channels + w2, w2), ConvBlock(w2, w2))
        self.up1 = ConvBlock(w2 + w1, w1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """x: (B, C, G, G) -> e_x, or e_x, half-resolution features, full-resolution features."""
        x1 = self.down1(x)
        x2 = self.down2(x1)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        e_x = self.up4(_join(x8, x4))
        if not self.high_resolution:
            return (e_x,)
        half = self.up2(_join(e_x, x2))
        full = self.up1(_join(half, x1))
        return e_x, half, full


def _join(coarse: Tensor, fine: Tensor) -> Tensor:
    up = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return torch.cat([up, fine], dim=1)
