"""MSA, the Medical SAM Adapter (Wu et al., 2023): SAM with frozen weights, and small adapters that learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from SPASegmentLib.research.systems.base import dice_bce
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.sam import Sam

PARALLEL = 0.5
"""Scale of the adapter beside an MLP (the paper's s)."""
OWN_TOKENS = 5
"""Tokens before the prompts' in SAM's decoder: one of the IoU, four of masks."""


class Msa(Sam):
    """SAM whose adapters alone are trained, with Dice + BCE of the single mask.

    Adapters stand after each attention and beside each MLP of ViT blocks, or after each stage of the compact
    encoder, and in the decoder; the one after the prompts' attention is moved by the prompts (HyP-Adpt).
    """

    sees_mask = False
    ambiguous = False

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        self.requires_grad_(False)
        self._adapt_encoder(config)
        self._adapt_decoder(config)

    def train(self, mode: bool = True) -> Msa:
        """Frozen parts stay as they are in use: their batch statistics are frozen, too."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def _adapt_encoder(self, config: SystemConfig) -> None:
        encoder, width = self.image_encoder, config.adapter
        if self.compact:
            w1, w2, w4, w8 = config.encoder_widths
            sizes = {"down2": w2, "down4": w4, "down8": w8, "up4": config.channels, "up2": w2, "up1": w1}
            for name, channels in sizes.items():
                setattr(encoder, name, Adapted(getattr(encoder, name), ConvAdapter(channels, width)))
            return
        blocks: nn.ModuleList = encoder.get_submodule("blocks")  # type: ignore[assignment]
        for block in blocks:
            dim = block.norm1.normalized_shape[0]  # type: ignore[union-attr,index]
            block.attn = Adapted(block.attn, Adapter(dim, width))  # type: ignore[arg-type]
            block.mlp = Beside(block.mlp, Adapter(dim, width))  # type: ignore[arg-type]

    def _adapt_decoder(self, config: SystemConfig) -> None:
        for layer in self.mask_decoder.transformer.layers:
            asked = layer.cross_attn_token_to_image
            layer.cross_attn_token_to_image = PromptAdapted(asked, config.channels, config.adapter)
            layer.mlp = Beside(layer.mlp, Adapter(config.channels, config.adapter))
            answered = layer.cross_attn_image_to_token
            layer.cross_attn_image_to_token = Adapted(answered, Adapter(config.channels, config.adapter))

    def loss(self, masks: Tensor, quality: Tensor, target: Tensor, alone: bool) -> Tensor:
        """Dice + BCE of the single mask."""
        return dice_bce(masks[:, :1], target[:, None])


class Adapter(nn.Module):
    """Down, ReLU, up, for tokens; nothing at the start."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, width), nn.Linear(width, dim)
        _nothing_yet(self.up)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        change: Tensor = self.up(self.down(x).relu())
        return change


class ConvAdapter(nn.Module):
    """The same for maps (B, C, h, w)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(dim, width, 1), nn.Conv2d(width, dim, 1)
        _nothing_yet(self.up)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, h, w) -> (B, dim, h, w)."""
        change: Tensor = self.up(self.down(x).relu())
        return change


class Adapted(nn.Module):
    """A frozen part, its output changed by an adapter."""

    def __init__(self, inner: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.inner, self.adapter = inner, adapter

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """As the part's."""
        x = self.inner(*inputs, **named)
        return x + self.adapter(x)


class Beside(nn.Module):
    """A frozen part with an adapter in parallel."""

    def __init__(self, inner: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.inner, self.adapter = inner, adapter

    def forward(self, x: Tensor) -> Tensor:
        """As the part's."""
        return self.inner(x) + PARALLEL * self.adapter(x)


class PromptAdapted(nn.Module):
    """HyP-Adpt: the adapter's inner features are multiplied by weights made from the prompts.

    W = Re(M(e_prompt)), e_up = ReLU(Norm(e_down W)); e_prompt is the mean of the prompts' tokens.
    """

    def __init__(self, inner: nn.Module, dim: int, width: int) -> None:
        super().__init__()
        self.inner, self.width = inner, width
        self.down, self.up, self.norm = nn.Linear(dim, width), nn.Linear(width, dim), nn.LayerNorm(width)
        self.weights = nn.Linear(dim, width * width)
        _nothing_yet(self.up)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of tokens q (B, n, dim) to the image, adapted."""
        x = self.inner(q=q, k=k, v=v)
        weights = self.weights(q[:, OWN_TOKENS:].mean(dim=1)).view(-1, self.width, self.width)
        change: Tensor = self.up(self.norm(torch.bmm(self.down(x), weights)).relu())
        return x + change


def _nothing_yet(layer: nn.Linear | nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
