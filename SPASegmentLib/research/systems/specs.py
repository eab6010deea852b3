"""The systems by name: the rows of Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.research.systems.config import SystemConfig

if TYPE_CHECKING:
    from SPASegmentLib.research.systems.base import System
    from SPASegmentLib.research.training.options import TrainOptions

Category = Literal["Det", "Unc", "Int", "Unc-Int"]


@dataclass(frozen=True)
class SystemSpec:
    """One system.

    name: on the command line. label, category: in the table. meaning: one line. config: its sizes.
    training: entries over the training options, where the options do not name them. network: the system whose
    checkpoint it answers with, where it is not trained itself. start: the one whose weights it starts from.
    official: the known file of SAM or MedSAM it answers with as it is, or, with `start`, starts from.
    """

    name: str
    label: str
    category: Category
    meaning: str
    config: SystemConfig
    training: Mapping[str, Any] = field(default_factory=dict)
    network: str = ""
    start: str = ""
    official: str = ""

    @property
    def is_trained(self) -> bool:
        """Whether it has a checkpoint of its own that is trained here."""
        return not self.network and (not self.official or bool(self.start))


_VIT: dict[str, Any] = {
    "grid": 256,
    "image_channels": 3,
    "channels": 256,
    "decoder_heads": 8,
    "decoder_mlp": 2048,
}
_CLICKS = (0.4, 0.3, 0.3)
"""How often prompted systems play one, two or three rounds in training."""
_THIN = (16, 16, 32, 64, 128, 16)

_ALL = (
    SystemSpec("unet", "UNet", "Det", "U-Net on the majority vote", SystemConfig("unet")),
    SystemSpec(
        "transunet",
        "TransUNet",
        "Det",
        "U-Net around a transformer, on the majority vote",
        SystemConfig("transunet", encoder_widths=(16, 32, 64, 128), embed=128, depth=4, heads=4),
        {"learning_rate": 1e-3},
    ),
    SystemSpec(
        "swinunet",
        "SwinUNet",
        "Det",
        "U of shifted-window transformers, on the majority vote",
        SystemConfig("swinunet", embed=32, heads=2, window=8),
        {"learning_rate": 1e-3},
    ),
    SystemSpec(
        "ensemble-unet",
        "Ensemble UNet",
        "Unc",
        "four U-Nets of other starts and rater draws",
        SystemConfig("ensemble", widths=_THIN),
    ),
    SystemSpec(
        "probunet",
        "ProbUNet",
        "Unc",
        "U-Net with a latent drawn from a prior that sees the image",
        SystemConfig("probunet"),
    ),
    SystemSpec("ls-unet", "LS-UNet", "Unc", "U-Net on a random rater's label each step", SystemConfig("ls")),
    SystemSpec("mh-unet", "MH-UNet", "Unc", "U-Net with a head for each rater", SystemConfig("mh")),
    SystemSpec(
        "mrnet",
        "MRNet",
        "Unc",
        "U-Net asked with an expertness of each rater",
        SystemConfig("mrnet", widths=(16, 32, 64, 96, 128, 16)),
    ),
    SystemSpec(
        "sam",
        "SAM (compact)",
        "Int",
        "SAM on the compact encoder; clicks on errors",
        SystemConfig("sam"),
        {"learning_rate": 1e-3, "rounds": _CLICKS},
    ),
    SystemSpec(
        "medsam",
        "MedSAM (compact)",
        "Int",
        "SAM tuned as MedSAM is; clicks on errors",
        SystemConfig("medsam"),
        {"learning_rate": 5e-4, "rounds": _CLICKS},
        start="sam",
    ),
    SystemSpec(
        "msa",
        "MSA (compact)",
        "Int",
        "SAM frozen, with adapters; clicks on errors",
        SystemConfig("msa"),
        {"rounds": _CLICKS},
        start="sam",
    ),
    SystemSpec(
        "sam-u-v1",
        "SAM-U V1 (compact)",
        "Unc-Int",
        "SAM asked with several jittered boxes",
        SystemConfig("sam"),
        network="sam",
    ),
    SystemSpec(
        "sam-u-v2",
        "SAM-U V2 (compact)",
        "Unc-Int",
        "MedSAM asked with several jittered boxes",
        SystemConfig("medsam"),
        network="medsam",
    ),
    SystemSpec(
        "sam-vit-b",
        "SAM (ViT-B)",
        "Int",
        "SAM's official weights; clicks on errors",
        SystemConfig("sam", encoder="sam_vit_b", **_VIT),
        official="sam_vit_b",
    ),
    SystemSpec(
        "medsam-vit-b",
        "MedSAM (ViT-B)",
        "Int",
        "MedSAM's official weights; clicks on errors",
        SystemConfig("medsam", encoder="medsam_vit_b", **_VIT),
        official="medsam_vit_b",
    ),
    SystemSpec(
        "msa-vit-b",
        "MSA (ViT-B)",
        "Int",
        "SAM's official weights frozen, with adapters; clicks on errors",
        SystemConfig("msa", encoder="sam_vit_b", adapter=64, **_VIT),
        {"rounds": _CLICKS, "learning_rate": 1e-4, "batch": 4},
        start="sam-vit-b",
        official="sam_vit_b",
    ),
    SystemSpec(
        "sam-u-v1-vit-b",
        "SAM-U V1 (ViT-B)",
        "Unc-Int",
        "SAM's official weights asked with several jittered boxes",
        SystemConfig("sam", encoder="sam_vit_b", **_VIT),
        network="sam-vit-b",
        official="sam_vit_b",
    ),
    SystemSpec(
        "sam-u-v2-vit-b",
        "SAM-U V2 (ViT-B)",
        "Unc-Int",
        "MedSAM's official weights asked with several jittered boxes",
        SystemConfig("medsam", encoder="medsam_vit_b", **_VIT),
        network="medsam-vit-b",
        official="medsam_vit_b",
    ),
)
SYSTEMS: dict[str, SystemSpec] = {spec.name: spec for spec in _ALL}
TABLE = tuple(spec.name for spec in _ALL if not spec.official)
"""The rows of the table: the systems that are all trained with the same effort."""


def get_system(name: str) -> SystemSpec:
    """The system of that name. Raises InputError with what each means."""
    if name in SYSTEMS:
        return SYSTEMS[name]
    known = "; ".join(f"{spec.name} ({spec.meaning})" for spec in _ALL)
    raise InputError(f"There is no comparison system called {name!r}: choose one of {known}.")


def system_options(name: str, options: TrainOptions) -> TrainOptions:
    """The options that train a system as `options` train SPA; what `options` name themselves stands.

    `network` entries are those of `SystemConfig`. Raises InputError for systems that are not trained.
    """
    from SPASegmentLib.research.training.options import TrainOptions

    spec = get_system(name)
    if not spec.is_trained:
        used = f"the checkpoint of {spec.network}" if spec.network else "its official weights"
        raise InputError(f"{name} needs no training of its own: it answers with {used}.")
    named = {key: value for key, value in options.model_dump().items() if key in options.model_fields_set}
    return TrainOptions.model_validate({**spec.training, **named})


def system_config(name: str, entries: Mapping[str, Any], raters: int) -> SystemConfig:
    """A system's sizes with `entries` over its own, for data of so many raters."""
    return get_system(name).config.with_entries({"raters": raters, **entries})


def build_system(config: SystemConfig) -> System:
    """The network of a configuration, with fresh weights. Raises CheckpointError for an unknown kind."""
    from SPASegmentLib.research.systems import mrnet, msa, probunet, sam, swinunet, unets

    makers: dict[str, type[System]] = {
        "unet": unets.UNet,
        "ls": unets.LabelSamplingUNet,
        "mh": unets.MultiHeadUNet,
        "transunet": unets.TransUNet,
        "swinunet": swinunet.SwinUNet,
        "probunet": probunet.ProbUNet,
        "mrnet": mrnet.MRNet,
        "sam": sam.Sam,
        "medsam": sam.MedSam,
        "msa": msa.Msa,
        "ensemble": unets.EnsembleUNet,
    }
    if config.kind not in makers:
        raise CheckpointError(
            f"There is no comparison system {config.kind!r}; choose one of {', '.join(makers)}."
        )
    return makers[config.kind](config)
