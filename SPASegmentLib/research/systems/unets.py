"""U-Nets with one label, a random label, a head per rater, and several of them; TransUNet and Swin-Unet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.compact import ConvBlock, ResidualBlock
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
