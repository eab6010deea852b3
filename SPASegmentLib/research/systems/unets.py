"""U-Nets with one label, a random label, a head per rater, and several of them (MONAI's BasicUNet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from SPASegmentLib.research.systems.base import MapSystem, dice_bce, majority, random_rater, raters
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.training.batches import Batch
from SPASegmentLib.research.training.rounds import even_levels, level_sets


def basic_unet(inputs: int, outputs: int, widths: tuple[int, ...]) -> nn.Module:
    """MONAI's U-Net (Ronneberger et al., 2015): (B, inputs, G, G) -> (B, outputs, G, G)."""
    from monai.networks.nets import BasicUNet

    net: nn.Module = BasicUNet(
        spatial_dims=2,
        in_channels=inputs,
        out_channels=outputs,
        features=widths,
        norm="batch",
        act=("relu", {"inplace": True}),
    )
    return net


class UNet(MapSystem):
    """U-Net trained with the majority vote (Ronneberger et al., 2015)."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        self.net = self.build(config)

    def build(self, config: SystemConfig) -> nn.Module:
        """The network: planes -> (B, 1, G, G) logits."""
        return basic_unet(config.image_channels + 1, 1, config.widths)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Dice + BCE with the majority vote."""
        return dice_bce(
            self.net(self.planes(batch.image, batch.points[:, 0])), majority(batch, self.counted(batch))
        )

    def maps(self, image: Tensor, seed: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Its one map, (B, 1, G, G)."""
        return self.net(self.planes(image, seed)).float().sigmoid()


class LabelSamplingUNet(UNet):
    """LS-UNet: one network that sees the label of another rater at each step (Jensen et al., 2019).

    Its map then is the share of raters; its segmentations are that map's level sets at even levels, for a
    calibrated map of nested outlines a draw of a rater each.
    """

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Dice + BCE with the label of a random rater (label sampling)."""
        logits = self.net(self.planes(batch.image, batch.points[:, 0]))
        return dice_bce(logits, random_rater(batch, self.counted(batch), generator))

    def maps(self, image: Tensor, seed: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` level sets of its map."""
        return level_sets(super().maps(image, seed, count, generator), even_levels(count))


class MultiHeadUNet(UNet):
    """MH-UNet: one network, one head for each rater (Guan et al., 2018)."""

    def build(self, config: SystemConfig) -> nn.Module:
        """The network: planes -> (B, R, G, G) logits."""
        return basic_unet(config.image_channels + 1, config.raters, config.widths)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Dice + BCE of each head with its own rater."""
        logits = self.net(self.planes(batch.image, batch.points[:, 0]))
        return dice_bce(logits, raters(batch), self.counted(batch))


class EnsembleUNet(MapSystem):
    """U-Nets of different starts that saw different raters (Lakshminarayanan et al., 2017).

    As in the comparison of Kohl et al. (2018), each member learns from a random rater's label.
    """

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        inputs = config.image_channels + 1
        self.members = nn.ModuleList(basic_unet(inputs, 1, config.widths) for _ in range(config.members))

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Dice + BCE of every member with its own draw of a rater."""
        planes = self.planes(batch.image, batch.points[:, 0])
        counted = self.counted(batch)
        losses = [dice_bce(net(planes), random_rater(batch, counted, generator)) for net in self.members]
        return torch.stack(losses).mean()

    def maps(self, image: Tensor, seed: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """One map per member."""
        planes = self.planes(image, seed)
        return torch.cat([member(planes) for member in self.members], dim=1).float().sigmoid()
