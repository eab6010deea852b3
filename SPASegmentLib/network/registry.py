"""The models this program knows by name: where they come from, where they lie, and whether they are whole."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.imaging import own_folders

MODELS_VARIABLE = "SPASEGMENT_MODELS"
_CHUNK = 1 << 20
_SUFFIX = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def shipped_folder(package: Path) -> Path:
    """Where shipped models lie: beside the library (source tree, Slicer), or where pip puts data files.

    package: the folder SPASegmentLib. pip's data files are in `share` of the folder it installs into, which
    is not always Python's own (`pip install --user`, `--target`, `--prefix`): the nearest above the library.
    """
    beside = package.parent / "Resources" / "Models"
    shared = (folder / "share" / "spasegment" / "Models" for folder in package.parents)
    here = Path(sys.prefix) / "share" / "spasegment" / "Models"
    return next((folder for folder in (beside, *shared) if folder.is_dir()), here)


SHIPPED_FOLDER = shipped_folder(Path(__file__).resolve().parents[1])


@dataclass(frozen=True)
class KnownModel:
    """A model by name.

    kind: "model" answers clicks as it is; "backbone" is SAM's weights, from which training starts.
    file: its name on disk. url: where it is downloaded from; empty for a shipped model. size (bytes) and
    sha256 (hex) are of the file; a shipped model has neither, its checkpoint carries its own hash. own: made
    on this computer by `spasegment adapt`.
    """

    name: str
    kind: Literal["model", "backbone"]
    file: str
    description: str
    licence: str
    url: str = ""
    size: int = 0
    sha256: str = ""
    own: bool = False

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with the program."""
        return not self.url and not self.own


KNOWN_MODELS = (
    KnownModel(
        name="compact",
        kind="model",
        file="compact.safetensors",
        description="small network trained by this project on LIDC-IDRI lung nodules; needs no GPU",
        licence="Apache-2.0; trained on LIDC-IDRI (CC BY 3.0)",
    ),
    KnownModel(
        name="general",
        kind="model",
        file="general.safetensors",
        description="small network trained by this project on many structures in CT, MR, ultrasound, OCT and "
        "microscopy; needs no GPU",
        licence="Apache-2.0; its data sets and their licences are in the model card",
    ),
    KnownModel(
        name="sam_vit_b",
        kind="backbone",
        file="sam_vit_b_01ec64.pth",
        description="Segment Anything, ViT-B (Meta): the paper's backbone",
        licence="Apache-2.0",
        url="https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth",
        size=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    KnownModel(
        name="medsam_vit_b",
        kind="backbone",
        file="medsam_vit_b.pth",
        description="MedSAM, ViT-B (Wang lab): SAM trained on medical images",
        licence="CC BY 4.0",
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        size=375_049_145,
        sha256="34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74",
    ),
)


@dataclass(frozen=True)
class ModelStatus:
    """What is known of a model's file without reading all of it.

    state: "ready", "missing", "partial" (a download was interrupted) or "damaged" (of another size).
    bytes_on_disk: of the file, or of the part downloaded so far.
    """

    model: KnownModel
    path: Path
    state: Literal["ready", "missing", "partial", "damaged"]
    bytes_on_disk: int


def models_dir() -> Path:
    """The folder of downloaded models: SPASEGMENT_MODELS, or the user's data folder of this system.

    Raises InputError where the account has no home folder.
    """
    return own_folders.own_folder(
        MODELS_VARIABLE, lambda: platformdirs.user_data_path("spasegment") / "models"
    )


def own_folder() -> Path:
    """The folder of the models that were made on this computer by `spasegment adapt`."""
    return models_dir() / "own"


def own_model(name: str) -> KnownModel:
    """The model that `spasegment adapt --out NAME` makes. Raises InputError for what is no new name."""
    if not _NAME.fullmatch(name) or name.endswith(_SUFFIX):
        raise InputError(f"A model cannot be called {name!r}: use letters, digits, '-', '_' and '.'.")
    if name in {model.name for model in KNOWN_MODELS}:
        raise InputError(f"The name {name} is taken by a model of SPASegment, which stays: choose another.")
    text = "adapted on this computer to approved objects"
    return KnownModel(name, "model", f"{name}{_SUFFIX}", text, "as the model it was adapted from", own=True)


def own_models() -> tuple[KnownModel, ...]:
    """Every model that was made on this computer, by name."""
    known = {model.name for model in KNOWN_MODELS}
    try:
        names = sorted(path.stem for path in own_folder().glob(f"*{_SUFFIX}"))
    except InputError:  # an account without a home folder has none
        return ()
    return tuple(own_model(name) for name in names if _NAME.fullmatch(name) and name not in known)


def get_model(name: str) -> KnownModel:
    """The known or own model of that name. Raises InputError naming those there are."""
    every = (*KNOWN_MODELS, *own_models())
    for model in every:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in every)
    raise InputError(
        f"There is no model called {name!r}: choose one of {names}, or the path of a checkpoint."
    )


def model_path(model: str | KnownModel) -> Path:
    """Where the model's file lies, or would lie."""
    model = get_model(model) if isinstance(model, str) else model
    folder = SHIPPED_FOLDER if model.is_shipped else own_folder() if model.own else models_dir()
    return folder / model.file


def part_path(model: str | KnownModel) -> Path:
    """Where an unfinished download of the model is kept."""
    path = model_path(model)
    return path.with_name(path.name + ".part")


def find_model(name_or_path: str | Path) -> Path:
    """The file to load for a name or a path. It is not verified here; loading does, or `verify_model`.

    Raises InputError for an unknown name, CheckpointError where the file is not there yet.
    """
    text = str(name_or_path)
    if text not in {model.name for model in (*KNOWN_MODELS, *own_models())}:
        path = Path(name_or_path).expanduser()
        if path.is_file():
            return path
        if path.suffix or len(path.parts) > 1:
            raise CheckpointError(f"There is no checkpoint at {text}: check the path.")
    model = get_model(text)
    path = model_path(model)
    if path.is_file():
        return path
    if model.is_shipped:
        raise CheckpointError(
            f"The model {model.name} is missing from this installation: install SPASegment again, or name a"
            " checkpoint by its path."
        )
    raise CheckpointError(
        f"The model {model.name} is not on this computer yet: run `spasegment models download {model.name}`."
    )


def list_models() -> tuple[ModelStatus, ...]:
    """Every known and own model and the state of its file."""
    return tuple(model_status(model) for model in (*KNOWN_MODELS, *own_models()))


def model_status(model: str | KnownModel) -> ModelStatus:
    """The state of one model's file, judged by its size."""
    model = get_model(model) if isinstance(model, str) else model
    path, part = model_path(model), part_path(model)
    if path.is_file():
        size = path.stat().st_size
        return ModelStatus(model, path, "ready" if size == (model.size or size) else "damaged", size)
    if part.is_file():
        return ModelStatus(model, path, "partial", part.stat().st_size)
    return ModelStatus(model, path, "missing", 0)


def verify_model(model: str | KnownModel) -> str:
    """Check the model's file byte by byte against its SHA-256; returns the hash (hex).

    For a shipped or own model it is the hash of its weights, which its checkpoint carries.
    Raises CheckpointError where the file is missing or is not what it should be.
    """
    model = get_model(model) if isinstance(model, str) else model
    path = find_model(model.name) if model in KNOWN_MODELS else model_path(model)
    if not model.url:
        from SPASegmentLib.network.checkpoint import load_checkpoint  # torch takes seconds, a list needs none

        return load_checkpoint(path)[1].hash
    found = file_sha256(path)
    if found != model.sha256:
        raise CheckpointError(
            f"The file of the model {model.name} is not the official one (its SHA-256 differs): run"
            f" `spasegment models delete {model.name}`, then download it again."
        )
    return found


def delete_model(model: str | KnownModel) -> int:
    """Delete a downloaded model and any unfinished download of it, or an own one; returns the bytes freed.

    Raises InputError for a shipped model, CheckpointError where there is nothing, or the system refuses.
    """
    model = get_model(model) if isinstance(model, str) else model
    if model.is_shipped:
        raise InputError(
            f"The model {model.name} comes with SPASegment and stays: there is nothing to delete."
        )
    files = [path for path in (model_path(model), part_path(model)) if path.is_file()]
    if not files:
        raise CheckpointError(f"The model {model.name} is not on this computer: there is nothing to delete.")
    freed = sum(path.stat().st_size for path in files)
    try:
        for path in files:
            path.unlink()
    except OSError as error:
        raise CheckpointError(
            f"The model {model.name} could not be deleted ({error.strerror or error}): close programs that"
            " use it, and check your right to write to its folder."
        ) from error
    return freed


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a whole file. Raises CheckpointError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CheckpointError(
            f"The file {path.name} could not be read ({error.strerror or error}): check that it is there and"
            " your right to read it."
        ) from error
    return digest.hexdigest()
