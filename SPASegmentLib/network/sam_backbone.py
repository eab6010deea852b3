"""The paper's backbones: SAM's ViT-B image encoder, and the files of SAM and MedSAM loaded key by key."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.network.sam_modules import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer

logger = logging.getLogger(__name__)

SamBackbone = Literal["sam_vit_b", "medsam_vit_b"]
PATCH = 16
CHANNELS = 256
OFFICIAL_SIZE = 1024
PIXEL_MEAN = (123.675, 116.28, 103.53)  # SAM's, of RGB in 0..255
PIXEL_STD = (58.395, 57.12, 57.375)
_OTHER_FILE = "choose an official SAM or MedSAM ViT-B file"
_OTHER_NETWORK = "configure the network as SAM ViT-B is, or name the keys to leave out"


@dataclass(frozen=True)
class SamLayout:
    """Shape of SAM's image encoder; the defaults are ViT-B, as in `build_sam_vit_b`."""

    embed_dim: int = 768
    depth: int = 12
    heads: int = 12
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    window: int = 14


VIT_B = SamLayout()


@dataclass(frozen=True)
class SamLoadReport:
    """What became of every key of a file: loaded as it is, loaded resized, or unused and why."""

    loaded: tuple[str, ...]
    resized: tuple[str, ...]
    unused: dict[str, str] = field(default_factory=dict)


class SamImageEncoder(ImageEncoderViT):
    """SAM's image encoder, taking what the rest of the program calls an image.

    forward: (B, 1 or 3, S, S) in [0, 1] -> (B, 256, S / 16, S / 16), S = image_size.
    """

    def __init__(self, image_size: int, backbone: SamBackbone, layout: SamLayout = VIT_B) -> None:
        super().__init__(
            img_size=image_size,
            patch_size=PATCH,
            embed_dim=layout.embed_dim,
            depth=layout.depth,
            num_heads=layout.heads,
            mlp_ratio=4,
            out_chans=CHANNELS,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=layout.window,
            global_attn_indexes=layout.global_blocks,
        )
        self.backbone = backbone

    def forward(self, image: Tensor) -> Tensor:
        """Normalise as the backbone expects, then encode. Raises InputError for another shape."""
        size = self.img_size
        if image.ndim != 4 or image.shape[1] not in (1, 3) or tuple(image.shape[2:]) != (size, size):
            raise InputError(
                f"This model takes grey or RGB images of {size} x {size} cells, not an array of shape"
                f" {tuple(image.shape)}: resample the slice to that size."
            )
        return super().forward(normalise(image, self.backbone))


def build_sam_image_encoder(
    image_size: int = OFFICIAL_SIZE, backbone: SamBackbone = "sam_vit_b", layout: SamLayout = VIT_B
) -> SamImageEncoder:
    """SAM's encoder for images of image_size x image_size, with fresh weights; see `load_sam_state`.

    Raises InputError where image_size is not a multiple of 16.
    """
    if image_size < PATCH or image_size % PATCH:
        raise InputError(
            f"SAM's encoder cannot work at {image_size} cells: choose a multiple of {PATCH}, such as 1024."
        )
    return SamImageEncoder(image_size, backbone, layout)


def normalise(image: Tensor, backbone: SamBackbone) -> Tensor:
    """(B, 1 or 3, H, W) in [0, 1] -> (B, 3, H, W) as the backbone was trained to see it; grey is repeated.

    SAM: in 0..255, less its pixel mean, over its deviation. MedSAM: each image stretched to fill [0, 1].
    """
    image = image.expand(-1, 3, -1, -1)
    if backbone == "medsam_vit_b":
        low = image.amin(dim=(1, 2, 3), keepdim=True)
        high = image.amax(dim=(1, 2, 3), keepdim=True)
        return (image - low) / (high - low).clamp(min=1e-8)
    mean = image.new_tensor(PIXEL_MEAN).view(1, 3, 1, 1)
    std = image.new_tensor(PIXEL_STD).view(1, 3, 1, 1)
    return (image * 255 - mean) / std


def official_shapes(layout: SamLayout = VIT_B) -> dict[str, torch.Size]:
    """Every key of an official SAM checkpoint file and its shape."""
    with torch.device("meta"):
        side = OFFICIAL_SIZE // PATCH
        transformer = TwoWayTransformer(depth=2, embedding_dim=CHANNELS, mlp_dim=2048, num_heads=8)
        parts: dict[str, nn.Module] = {
            "image_encoder": SamImageEncoder(OFFICIAL_SIZE, "sam_vit_b", layout),
            "prompt_encoder": PromptEncoder(CHANNELS, (side, side), (OFFICIAL_SIZE, OFFICIAL_SIZE), 16),
            "mask_decoder": MaskDecoder(transformer_dim=CHANNELS, transformer=transformer),
        }
    return {
        f"{name}.{key}": tensor.shape
        for name, part in parts.items()
        for key, tensor in part.state_dict().items()
    }


def load_sam_state(
    path: str | Path,
    *,
    image_encoder: nn.Module | None = None,
    prompt_encoder: nn.Module | None = None,
    mask_decoder: nn.Module | None = None,
    unused: Mapping[str, str] | None = None,
    layout: SamLayout = VIT_B,
) -> SamLoadReport:
    """Load an official SAM or MedSAM file (.pth or .safetensors) into the parts given, key by key.

    Every key of the file is accounted for in the report. Parts are SAM's own modules, or subclasses with the
    same parameters; a part left out leaves its keys unused.
    unused: start of a key -> the reason why keys that start so are not loaded although their part is given.
    An image encoder for another size than 1024 gets its position tables resized, see `resize_absolute` and
    `resize_relative`. Nothing is changed unless everything fits.

    Raises CheckpointError, naming the keys, where the file lacks a key, has one SAM does not know or one of
    another shape, where a part has a parameter the file does not fill, and where the file cannot be read.
    """
    path = Path(path)
    state = _read_tensors(path)
    _check_layout(path, state, official_shapes(layout))
    parts = {"image_encoder": image_encoder, "prompt_encoder": prompt_encoder, "mask_decoder": mask_decoder}
    reasons = dict(unused or {})
    report = SamLoadReport(loaded=(), resized=(), unused=_unused_keys(path, state, parts, reasons))
    targets = {
        f"{name}.{key}": tensor
        for name, part in parts.items()
        if part is not None
        for key, tensor in part.state_dict().items()
        if not f"{name}.{key}".startswith(tuple(reasons))
    }
    used = [key for key in state if key not in report.unused]
    _complain(
        path, "has keys that this network has no place for", (key for key in used if key not in targets)
    )
    _complain(path, "does not fill parameters of this network", (key for key in targets if key not in state))
    values = {key: _fit(key, state[key], targets[key].shape) for key in used}
    odd = (key for key in used if values[key].shape != targets[key].shape)
    _complain(path, "has values of another shape than this network", odd, _OTHER_NETWORK)
    with torch.no_grad():
        for key, value in values.items():
            targets[key].copy_(value)
    resized = tuple(key for key in used if values[key].shape != state[key].shape)
    loaded = tuple(key for key in used if key not in resized)
    logger.info("SAM file: %d loaded, %d resized, %d unused", len(loaded), len(resized), len(report.unused))
    return SamLoadReport(loaded, resized, report.unused)


def resize_absolute(table: Tensor, side: int) -> Tensor:
    """Absolute position embedding (1, h, w, C) -> (1, side, side, C), bicubic between position centres."""
    if table.shape[1:3] == (side, side):
        return table
    moved = table.permute(0, 3, 1, 2)
    return F.interpolate(moved, (side, side), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)


def resize_relative(table: Tensor, length: int) -> Tensor:
    """Relative position table (L, C) -> (length, C), linear: what SAM itself does at another size."""
    if table.shape[0] == length:
        return table
    return F.interpolate(table.T[None], size=length, mode="linear", align_corners=False)[0].T


def _fit(key: str, value: Tensor, shape: torch.Size) -> Tensor:
    """The value, resized where it is a position table of the image encoder at another size."""
    if key == "image_encoder.pos_embed" and shape[1] == shape[2]:
        return resize_absolute(value.float(), shape[1])
    if key.startswith("image_encoder.blocks.") and key.endswith((".rel_pos_h", ".rel_pos_w")):
        return resize_relative(value.float(), shape[0])
    return value


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors or .pth file, without running any code the file may hold."""
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load(path.read_bytes())
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no file {path.name} at that place: run `spasegment models download` or check the path."
        ) from error
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise CheckpointError(
            f"{path.name} cannot be read as a file of weights (it is damaged, or holds more than tensors):"
            " run `spasegment models verify`, or download it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path.name} is not an official SAM or MedSAM file: it should hold one table from key to tensor."
        )
    return state


def _check_layout(path: Path, state: dict[str, Tensor], official: dict[str, torch.Size]) -> None:
    """Compare a file with the official layout. Raises CheckpointError naming the keys."""
    _complain(path, "lacks keys of SAM ViT-B", (key for key in official if key not in state))
    _complain(path, "has keys that SAM ViT-B does not know", (key for key in state if key not in official))
    _complain(
        path,
        "has values of another shape than SAM ViT-B",
        (key for key, value in state.items() if value.shape != official[key]),
    )
    _complain(
        path,
        "has values that are not numbers",
        (key for key, value in state.items() if not (value.is_floating_point() and value.isfinite().all())),
    )


def _unused_keys(
    path: Path, state: dict[str, Tensor], parts: Mapping[str, nn.Module | None], reasons: Mapping[str, str]
) -> dict[str, str]:
    """Keys that are deliberately not loaded, with the reason."""
    found = {}
    for key in state:
        part = key.split(".", 1)[0]
        if parts[part] is None:
            found[key] = f"this network takes no {part} from the file"
        for start, reason in reasons.items():
            if key.startswith(start):
                found[key] = reason
    idle = (start for start in reasons if not any(key.startswith(start) for key in state))
    _complain(path, "has no keys that start as those to leave out", idle, _OTHER_NETWORK)
    return found


def _complain(path: Path, what: str, keys: Iterable[str], advice: str = _OTHER_FILE) -> None:
    """Raise CheckpointError naming the first keys, if there are any."""
    named = list(keys)
    if named:
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        raise CheckpointError(
            f"{path.name} {what} ({', '.join(named[:5])}{more}), so nothing was loaded: {advice}."
        )
