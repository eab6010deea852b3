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
        self,
        inputs: int,
        widths: tuple[int, int, int, int],
        channels: int,
        high_resolution: bool = True,
        context: float = 0.0,
        image_channels: int = 1,
    ) -> None:
        super().__init__()
        w1, w2, w4, w8 = widths
        self.down1 = nn.Sequential(ConvBlock(inputs, w1), ConvBlock(w1, w1))
        self.down2 = nn.Sequential(ConvBlock(w1, w2, stride=2), ResidualBlock(w2))
        self.down4 = nn.Sequential(ConvBlock(w2, w4, stride=2), ResidualBlock(w4), ResidualBlock(w4))
        self.down8 = nn.Sequential(ConvBlock(w4, w8, stride=2), ResidualBlock(w8), ResidualBlock(w8))
        self.up4 = nn.Sequential(ConvBlock(w8 + w4, channels), ResidualBlock(channels))
        self.high_resolution = high_resolution
        self.surroundings = Surroundings(image_channels, channels, context) if context else None
        if not high_resolution:
            return
        self.up2 = nn.Sequential(ConvBlock(channels + w2, w2), ConvBlock(w2, w2))
        self.up1 = ConvBlock(w2 + w1, w1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        """x: (B, C, G, G) -> e_x, or e_x, half-resolution features, full-resolution features.

        context: (B, image channels, G, G), the surroundings at the coarser scale, where the encoder has them.
        """
        x1 = self.down1(x)
        x2 = self.down2(x1)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        e_x = self.up4(_join(x8, x4))
        if self.surroundings is not None and context is not None:
            e_x = e_x + self.surroundings(context)
        if not self.high_resolution:
            return (e_x,)
        half = self.up2(_join(e_x, x2))
        full = self.up1(_join(half, x1))
        return e_x, half, full


class Surroundings(nn.Module):
    """What lies around the region, seen `context` times as coarsely: what it adds to e_x.

    Features of the coarse view are read off where each embedding position lies in it, and their mean over
    the whole view is added. The last layers start at zero, so that a network that never saw surroundings
    starts as it was.
    """

    WIDTHS = (24, 48, 96)

    def __init__(self, image_channels: int, channels: int, context: float) -> None:
        super().__init__()
        self.context = context
        a, b, c = self.WIDTHS
        self.features = nn.Sequential(
            ConvBlock(image_channels, a, stride=2),
            ConvBlock(a, b, stride=2),
            ResidualBlock(b),
            ConvBlock(b, c, stride=2),
            ResidualBlock(c),
            ResidualBlock(c),
        )
        self.local = nn.Conv2d(c, channels, 1)
        self.whole = nn.Linear(c, channels)
        for value in (*self.local.parameters(), *self.whole.parameters()):
            nn.init.zeros_(value)

    def forward(self, context: Tensor) -> Tensor:
        """context: (B, image channels, G, G) -> (B, L, G/4, G/4)."""
        found = self.features(context)
        size = context.shape[-1] // 4
        axis = (torch.arange(size, device=found.device, dtype=found.dtype) + 0.5) * (2 / size) - 1
        axis = axis / self.context
        at = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).expand(len(found), -1, -1, -1)
        local = F.grid_sample(
            self.local(found), at.to(found.dtype), padding_mode="border", align_corners=False
        )
        return local + self.whole(found.mean(dim=(2, 3)))[..., None, None]


def _join(coarse: Tensor, fine: Tensor) -> Tensor:
    up = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return torch.cat([up, fine], dim=1)
