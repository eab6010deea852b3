"""MRNet (Ji et al., 2021): segmentation for a given expertness of each rater.

Its three modules under the paper's names, small: expertise-aware inferring (EIM), multi-rater reconstruction
(MRM) and multi-rater perception (MPM). Left out is the released code's term that compares features of MRM.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.compact import ConvBlock
from SPASegmentLib.research.systems.base import MapSystem, raters, weighted_mean
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.unets import basic_unet
from SPASegmentLib.research.training.batches import Batch

SHARES = (3, 2, 1)
"""How often all raters count the same, at random, and one alone: the weights of its three losses."""


class MRNet(MapSystem):
    """Asked with an expertness vector; its maps are those of each rater alone and of all equally."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        inputs, width = config.image_channels + 1, config.widths[-1]
        self.infer = ExpertiseInferring(inputs, config.raters, config.widths)
        thin = tuple(max(8, w // 2) for w in config.widths)
        self.reconstruct = basic_unet(inputs + 1, config.raters, thin)
        self.perceive = MultiRaterPerception(width)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """BCE of the coarse and the final map with sum_r v_r y_r, and of the reconstruction with each y_r.

        As in the released code, no gradient goes from one module to the one before.
        """
        planes, masks = self.planes(batch.image, batch.points[:, 0]), raters(batch)
        counted = self.counted(batch)
        v = among(draw_expertness(len(masks), masks.shape[1], generator, masks.device), counted)
        wanted = torch.einsum("br,brhw->bhw", v, masks)[:, None]
        coarse, features = self.infer(planes, self.infer.encode(planes), v)
        shown = coarse.detach().float().sigmoid()
        rebuilt = self.reconstruct(torch.cat([planes, shown], dim=1))
        final = self.perceive(features.detach(), rebuilt.detach().float().sigmoid(), shown)
        bce = F.binary_cross_entropy_with_logits
        each = bce(rebuilt.float(), masks, reduction="none").mean(dim=(2, 3))
        alone = weighted_mean(each.flatten(), counted.flatten())
        return bce(coarse.float(), wanted) + alone + bce(final.float(), wanted)

    def maps(self, image: Tensor, seed: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """(B, R + 1, G, G): with all raters equally expert, then with each of them alone."""
        planes, number = self.planes(image, seed), self.config.raters
        encoded = self.infer.encode(planes)
        equal = torch.full((1, number), 1 / number, device=image.device)
        found = []
        for v in torch.cat([equal, torch.eye(number, device=image.device)]):
            coarse, features = self.infer(planes, encoded, v.expand(len(image), -1))
            shown = coarse.float().sigmoid()
            rebuilt = self.reconstruct(torch.cat([planes, shown], dim=1)).float().sigmoid()
            found.append(self.perceive(features, rebuilt, shown).float().sigmoid())
        return torch.cat(found, dim=1)


def draw_expertness(count: int, number: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """(count, R) vectors that sum to 1: equal, random or of one rater, in the shares of `SHARES`."""
    kind = torch.rand((count, 1), generator=generator, device=device) * sum(SHARES)
    whole = torch.randint(1, 11, (count, number), generator=generator, device=device).float()
    one = F.one_hot(torch.randint(number, (count,), generator=generator, device=device), number).float()
    equal = torch.full_like(one, 1 / number)
    mixed = whole / whole.sum(dim=1, keepdim=True)
    return torch.where(kind < SHARES[0], equal, torch.where(kind < SHARES[0] + SHARES[1], mixed, one))


def among(v: Tensor, counted: Tensor) -> Tensor:
    """Expertness of the raters that count alone, again with sum 1; all alike where it had none: (B, R)."""
    kept = v * counted
    kept = torch.where(kept.sum(dim=1, keepdim=True) > 0, kept, counted)
    return kept / kept.sum(dim=1, keepdim=True)


class ExpertiseInferring(nn.Module):
    """EIM: a U-Net whose deepest features pass a ConvLSTM that starts in the state of the expertness."""

    def __init__(self, inputs: int, number: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.unet: Any = basic_unet(inputs, 1, widths)
        self.state = nn.Conv2d(number, widths[4], 3, padding=1)
        self.gates = nn.Conv2d(2 * widths[4], 4 * widths[4], 3, padding=1)

    def encode(self, planes: Tensor) -> list[Tensor]:
        """Features at cell sizes 1, 2, 4, 8 and 16."""
        net = self.unet
        features = [net.conv_0(planes)]
        for down in (net.down_1, net.down_2, net.down_3, net.down_4):
            features.append(down(features[-1]))
        return features

    def forward(self, planes: Tensor, encoded: list[Tensor], v: Tensor) -> tuple[Tensor, Tensor]:
        """Expertness v (B, R) -> coarse logits (B, 1, G, G) and the features they come from."""
        net, (x0, x1, x2, x3, x4) = self.unet, encoded
        state = self.state(v[..., None, None].expand(-1, -1, *x4.shape[-2:]))
        let, keep, out, new = self.gates(torch.cat([x4, state], dim=1)).chunk(4, dim=1)
        cell = keep.sigmoid() * state + let.sigmoid() * new.tanh()  # hidden and cell both start as v
        x4 = out.sigmoid() * cell.tanh()
        features = net.upcat_1(net.upcat_2(net.upcat_3(net.upcat_4(x4, x3), x2), x1), x0)
        return net.final_conv(features), features


class MultiRaterPerception(nn.Module):
    """MPM: features weighed by where reconstructed raters disagree and by the coarse map, joined."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(ConvBlock(width, width), ConvBlock(width, width))
        self.head = nn.Conv2d(2 * width, 1, 3, padding=1)
        offsets = torch.arange(-7, 8, dtype=torch.float32)
        spot = torch.exp(-(offsets**2) / (2 * 3.0**2))
        self.register_buffer("kernel", (spot[:, None] * spot / spot.sum() ** 2)[None, None])

    def forward(self, features: Tensor, rebuilt: Tensor, coarse: Tensor) -> Tensor:
        """features (B, C, G, G), rebuilt (B, R, G, G), coarse map (B, 1, G, G) -> logits (B, 1, G, G)."""
        uncertainty = rebuilt.std(dim=1, keepdim=True, correction=0)
        f = self.block(features)
        enhanced = [f + f * self.softened(a) for a in (uncertainty, coarse)]
        logits: Tensor = self.head(torch.cat(enhanced, dim=1))
        return logits

    def softened(self, attention: Tensor) -> Tensor:
        """Soft attention: the larger of the map and its smoothed copy, stretched to [0, 1]."""
        kernel = self.get_buffer("kernel")
        smooth = F.conv2d(attention, kernel.to(attention), padding=kernel.shape[-1] // 2)
        low, high = smooth.amin(dim=(2, 3), keepdim=True), smooth.amax(dim=(2, 3), keepdim=True)
        return torch.maximum((smooth - low) / (high - low + 1e-8), attention)
