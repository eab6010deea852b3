"""SAM and MedSAM: an image encoder, and a decoder that is asked with points, boxes and its own last mask.

The modules are segment-anything's. On the compact encoder the decoder's upscaling is given the encoder's
features at half and full resolution, as SAM 2 does, so that outlines are no coarser than SPA's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.compact import CompactImageEncoder
from SPASegmentLib.network.sam_backbone import SamLayout, build_sam_image_encoder
from SPASegmentLib.network.sam_modules import MaskDecoder, PromptEncoder, TwoWayTransformer
from SPASegmentLib.research.systems.base import System, dice_bce, mean_dice
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.training.batches import Sealed
from SPASegmentLib.research.training.step import StepResult

BOX_NOISE = 0.1
"""Deviation of a box's sides in training, in sides of the box (Kirillov et al., Appendix A)."""


@dataclass(frozen=True)
class Prompts:
    """What a user gave, on the region's grid.

    points: (B, n, 2) (x, y) in cells, n may be 0. labels: (B, n) 1 positive, 0 negative. boxes: (B, 4) left,
    top, right, bottom in cells. mask: (B, 1, G, G) logits of the mask before.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Encoded:
    """An image's embedding, and features at half and full resolution where the encoder has them."""

    e_x: Tensor
    half: Tensor | None = None
    full: Tensor | None = None


class Sam(System):
    """Trained as SAM is (Kirillov et al., 2023, Appendix A), with fewer rounds.

    A click or a noisy box first, with equal chance, then clicks drawn from where the last mask is wrong, and
    that mask as a prompt. A lone click gets three masks, of which the one with the least loss learns; the one
    with the highest predicted IoU is the answer.
    """

    sees_mask: ClassVar[bool] = True
    ambiguous: ClassVar[bool] = True

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        self.compact = config.encoder == "compact"
        self.side = config.grid if self.compact else config.vit_side
        self.image_encoder = self._encoder(config)
        embedded = self.side // (4 if self.compact else 16)
        self.prompt_encoder = PromptEncoder(
            config.channels, (embedded, embedded), (self.side, self.side), mask_in_chans=16
        )
        self.mask_decoder = BatchMaskDecoder(config)

    @staticmethod
    def _encoder(config: SystemConfig) -> nn.Module:
        if config.encoder == "compact":
            return CompactImageEncoder(config.image_channels, config.encoder_widths, config.channels)
        return build_sam_image_encoder(config.vit_side, config.encoder, vit_layout(config))

    def encode(self, image: Tensor) -> Encoded:
        """Once per region. image: (B, C, G, G) in [0, 1]."""
        if self.compact:
            planes = ((image - 0.5) * 4).contiguous(memory_format=torch.channels_last)
            return Encoded(*self.image_encoder(planes))
        size = (self.side, self.side)
        return Encoded(self.image_encoder(F.interpolate(image, size, mode="bilinear", align_corners=False)))

    def decode(self, image: Encoded, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Logits of four masks (B, 4, G, G), the first for several prompts; their predicted IoU (B, 4)."""
        with torch.autocast(image.e_x.device.type, enabled=False):  # coordinates need their digits
            sparse, dense = self._embed(prompts)
            position = self.prompt_encoder.get_dense_pe()
        masks, quality = self.mask_decoder.ask(image, position, sparse, dense)
        size = (self.config.grid, self.config.grid)
        if masks.shape[-2:] != size:
            masks = F.interpolate(masks, size, mode="bilinear", align_corners=False)
        return masks.float(), quality.float()

    def _embed(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        scale = self.side / self.config.grid
        points = None
        if prompts.points.shape[1]:
            points = ((prompts.points + 0.5) * scale - 0.5, prompts.labels)
        boxes = None if prompts.boxes is None else (prompts.boxes + 0.5) * scale - 0.5
        mask, size = prompts.mask, self.prompt_encoder.mask_input_size
        if mask is not None and mask.shape[-2:] != size:
            mask = F.interpolate(mask, size, mode="bilinear", align_corners=False)
        embedded: tuple[Tensor, Tensor] = self.prompt_encoder(points, boxes, mask)
        return embedded

    def choose(self, masks: Tensor, quality: Tensor, alone: bool) -> Tensor:
        """The answer (B, 1, G, G): after a lone click the mask that promises most, else the single mask."""
        if not (alone and self.ambiguous):
            return masks[:, :1]
        best = quality[:, 1:].argmax(dim=1) + 1
        return masks[torch.arange(len(masks), device=masks.device), best][:, None]

    def forward(self, sealed: Sealed, rounds: int, generator: torch.Generator) -> StepResult:
        """Play `rounds` rounds with a user who clicks on errors; in evaluation a click comes first."""
        batch = sealed.batch
        target, image = batch.target, self.encode(batch.image)
        points, labels, boxes, mask = batch.points[:, :1], batch.labels[:, :1], None, None
        draw = torch.rand(1, generator=generator, device=target.device)
        if self.training and float(draw) < 0.5:
            points, labels, boxes = points[:, :0], labels[:, :0], noisy_boxes(target, generator)
        loss, dice = target.new_zeros(()), []
        for played in range(rounds):
            alone = played == 0 and boxes is None
            masks, quality = self.decode(image, Prompts(points, labels, boxes, mask))
            loss = loss + self.loss(masks, quality, target, alone)
            answer = self.choose(masks, quality, alone).detach()
            dice.append(mean_dice(answer.sigmoid(), target))
            mask = answer if self.sees_mask else None
            spot, label = error_click(answer[:, 0] > 0, target, generator)
            points, labels = torch.cat([points, spot], dim=1), torch.cat([labels, label], dim=1)
        return StepResult(loss / rounds, dice, [])

    def loss(self, masks: Tensor, quality: Tensor, target: Tensor, alone: bool) -> Tensor:
        """20 focal + 1 Dice of the best of the masks asked for, and the squared error of its IoU."""
        with torch.autocast(target.device.type, enabled=False):
            asked = slice(1, None) if alone else slice(0, 1)
            masks, quality = masks[:, asked], quality[:, asked]
            each = 20 * focal_loss(masks, target) + dice_loss(masks, target)
            least, best = each.min(dim=1)
            wrong = (quality - iou(masks, target)).square().gather(1, best[:, None])[:, 0]
            return (least + wrong).mean()


def vit_layout(config: SystemConfig) -> SamLayout:
    """The ViT's shape; every quarter of its depth ends with global attention, as in ViT-B."""
    quarter = max(1, config.vit_depth // 4)
    blocks = tuple(range(quarter - 1, config.vit_depth, quarter))
    return SamLayout(config.vit_embed, config.vit_depth, config.vit_heads, blocks)


class MedSam(Sam):
    """Trained as MedSAM is (Ma et al., 2024): from SAM's weights, one mask, Dice + BCE, prompts as they are.

    The prompt encoder is frozen, no mask is fed back. It sees clicks as often as boxes, since the table asks
    it with clicks.
    """

    sees_mask = False
    ambiguous = False

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        self.prompt_encoder.requires_grad_(False)

    def loss(self, masks: Tensor, quality: Tensor, target: Tensor, alone: bool) -> Tensor:
        """Dice + BCE of the single mask, unweighted."""
        return dice_bce(masks[:, :1], target[:, None])


class BatchMaskDecoder(MaskDecoder):
    """SAM's mask decoder for batches of images with one set of prompts each."""

    def __init__(self, config: SystemConfig) -> None:
        width = config.channels
        transformer = TwoWayTransformer(
            depth=2, embedding_dim=width, mlp_dim=config.decoder_mlp, num_heads=config.decoder_heads
        )
        super().__init__(transformer_dim=width, transformer=transformer)
        self.from_half = self.from_full = None
        if config.encoder == "compact":
            w1, w2 = config.encoder_widths[:2]
            self.from_half, self.from_full = nn.Conv2d(w2, width // 4, 1), nn.Conv2d(w1, width // 8, 1)

    def ask(self, image: Encoded, position: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Masks (B, 4, 4h, 4w) and predicted IoU (B, 4) from prompts (B, n, L) and (B, L, h, w)."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight], dim=0)
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        source = image.e_x.expand(len(sparse), -1, -1, -1) + dense
        hidden, features = self.transformer(source, position.expand(len(source), -1, -1, -1), tokens)
        features = self._upscale(features.transpose(1, 2).reshape(source.shape), image)
        spoken = [mlp(hidden[:, 1 + k]) for k, mlp in enumerate(self.output_hypernetworks_mlps)]
        masks = torch.einsum("bkc,bchw->bkhw", torch.stack(spoken, dim=1), features)
        return masks, self.iou_prediction_head(hidden[:, 0])

    def _upscale(self, features: Tensor, image: Encoded) -> Tensor:
        first, norm, act, second, last = self.output_upscaling
        up = first(features)
        if self.from_half is not None:
            up = up + self.from_half(image.half)
        up = second(act(norm(up)))
        if self.from_full is not None:
            up = up + self.from_full(image.full)
        upscaled: Tensor = last(up)
        return upscaled


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """-alpha_t (1 - p_t)^2 log p_t with alpha 0.25 (Lin et al., 2017, equation 5): (B, n, ...) -> (B, n)."""
    wanted = target[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    probability = logits.sigmoid()
    missed = probability * (1 - wanted) + (1 - probability) * wanted
    alpha = 0.25 * wanted + 0.75 * (1 - wanted)
    return (alpha * missed.square() * entropy).mean(dim=(2, 3))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice: (B, n, G, G), (B, G, G) -> (B, n)."""
    probability, wanted = logits.sigmoid().flatten(2), target[:, None].flatten(2)
    total = probability.sum(dim=2) + wanted.sum(dim=2)
    return 1 - (2 * (probability * wanted).sum(dim=2) + 1) / (total + 1)


@torch.no_grad()
def iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of masks cut at 0: (B, n, G, G), (B, G, G) -> (B, n)."""
    masks, wanted = (logits > 0).flatten(2), target[:, None].bool().flatten(2)
    return (masks & wanted).sum(dim=2) / (masks | wanted).sum(dim=2).clamp(min=1)


@torch.no_grad()
def noisy_boxes(target: Tensor, generator: torch.Generator) -> Tensor:
    """The targets' boxes, sides moved by noise: (B, G, G) -> (B, 4) left, top, right, bottom in cells."""
    grid = target.shape[-1]
    cells = torch.arange(grid, device=target.device, dtype=target.dtype)
    edges = []
    for dim in (1, 2):
        hit = target.amax(dim=dim) > 0
        edges.append(torch.where(hit, cells, cells.new_tensor(float(grid))).amin(dim=1))
        edges.append(torch.where(hit, cells, cells.new_tensor(-1.0)).amax(dim=1))
    left, right, top, bottom = edges
    noise = torch.randn((len(target), 4), generator=generator, device=target.device).clamp(-2, 2)
    sides = torch.stack([right - left, bottom - top], dim=1).repeat(1, 2) + 1
    boxes = torch.stack([left, top, right, bottom], dim=1) + BOX_NOISE * sides * noise
    return boxes.clamp(0, grid - 1)


@torch.no_grad()
def error_click(shown: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random cell where the mask is wrong: (B, 1, 2) (x, y), (B, 1) label; -1 where nothing is wrong."""
    wrong = shown != target.bool()
    noise = torch.rand(target.shape, generator=generator, device=target.device)
    value, index = (noise * wrong).flatten(1).max(dim=1)
    grid = target.shape[-1]
    spot = torch.stack([index % grid, index // grid], dim=-1)[:, None].to(target.dtype)
    wanted = target.flatten(1).gather(1, index[:, None])
    return spot, torch.where(value[:, None] > 0, wanted, torch.full_like(wanted, -1))
