"""Checkpoints: safetensors files that carry their configuration, provenance and hash. No code is ever run."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.imaging.atomic import atomic_file

logger = logging.getLogger(__name__)

FORMAT = "spasegment"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class CheckpointHeader:
    """What a checkpoint says about itself.

    config: the network's configuration. provenance: what it was trained on, licence, steps, date.
    Both hold JSON values only. format_version: of the file. hash: SHA-256 (hex) of the tensors, see
    `hash_state`; `save_checkpoint` fills it in.
    """

    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    hash: str = ""

    @property
    def effort(self) -> tuple[int, float]:
        """Steps and seconds of its training and of all it started from; 0 where it does not say."""
        about = self.provenance
        earlier = about.get("started_from", {})
        steps = about.get("steps_of_run", about.get("steps", 0))
        return int(steps + earlier.get("steps", 0)), float(
            about.get("seconds", 0) + earlier.get("seconds", 0)
        )

    def as_start(self) -> dict[str, Any]:
        """What the provenance of a network that starts from it says under `started_from`."""
        steps, seconds = self.effort
        return {"hash": self.hash, "steps": steps, "seconds": seconds}


def hash_state(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 (hex) over every tensor's name, type, shape and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_checkpoint(
    path: str | Path, state: dict[str, torch.Tensor], header: CheckpointHeader
) -> CheckpointHeader:
    """Write tensors and header in one step: after a crash there is the old file or the new one, whole.

    Returns the header as written, its hash filled in.
    Raises CheckpointError where the header is not JSON, or the file cannot be written (full disk, no right).
    """
    path = Path(path)
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
    header = replace(header, format_version=FORMAT_VERSION, hash=hash_state(tensors))
    payload = _in_one_order(safetensors.torch.save(tensors, metadata=_to_metadata(path, header)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error, len(payload)) from error
    with atomic_file(path, refusal=lambda path, error: _unwritable(path, error, len(payload))) as file:
        file.write(payload)
    logger.info("checkpoint written: %d tensors, %.1f MB", len(tensors), len(payload) / 1e6)
    return header


def read_header(path: str | Path) -> CheckpointHeader:
    """Read what a checkpoint says about itself, without its tensors.

    Raises CheckpointError for a file that is missing, cut short, no checkpoint or of a newer version.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_table = file.read(9)[8:] == b"{"
        if not is_table:
            raise CheckpointError(
                f"{path.name} is not a checkpoint of SPASegment (safetensors): choose a .safetensors file"
                " that `spasegment train` or `spasegment models download` wrote."
            )
        with safetensors.safe_open(path, framework="np") as opened:
            metadata = opened.metadata()
    except OSError as error:
        raise _unreadable(path, error) from error
    except SafetensorError as error:
        raise _damaged(path, "its header is broken, or it is cut short") from error
    return _from_metadata(path, metadata)


def load_checkpoint(path: str | Path) -> tuple[dict[str, torch.Tensor], CheckpointHeader]:
    """Read a checkpoint's tensors (on the CPU) and header, verified against the hash.

    Raises CheckpointError for a file that is missing, damaged in any way, or of a newer version.
    """
    path = Path(path)
    header = read_header(path)
    try:
        state = safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _damaged(path, "its table of tensors is broken") from error
    if hash_state(state) != header.hash:
        raise _damaged(path, "its weights do not match the hash it carries")
    return state, header


def _to_metadata(path: Path, header: CheckpointHeader) -> dict[str, str]:
    """The header as safetensors metadata (text to text)."""
    try:
        config = json.dumps(header.config, allow_nan=False, sort_keys=True)
        provenance = json.dumps(header.provenance, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"The checkpoint {path.name} was not written because its header holds a value that JSON cannot"
            f" express ({error}): use numbers, texts, lists and tables."
        ) from error
    return {
        "format": FORMAT,
        "format_version": str(header.format_version),
        "config": config,
        "provenance": provenance,
        "hash": header.hash,
        "header_hash": _hash_header(config, provenance, header.hash),
    }


def _in_one_order(payload: bytes) -> bytes:
    """The same safetensors file with its header's keys sorted: equal checkpoints are equal byte for byte."""
    length = struct.unpack("<Q", payload[:8])[0]
    text = json.dumps(json.loads(payload[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format asks for tensors at multiples of 8 bytes
    return struct.pack("<Q", len(text)) + text + payload[8 + length :]


def _hash_header(config: str, provenance: str, weights: str) -> str:
    """SHA-256 (hex) of the header's own texts, so that a flipped letter in them is noticed as well."""
    return hashlib.sha256("\0".join((config, provenance, weights)).encode()).hexdigest()


def _from_metadata(path: Path, metadata: object) -> CheckpointHeader:
    """Our header out of safetensors metadata, checked against its own hash."""
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path.name} holds tensors but not a SPASegment model: choose a file that `spasegment train` or"
            " `spasegment models download` wrote."
        )
    version = str(metadata.get("format_version", ""))
    if not (version.isascii() and version.isdigit() and int(version) >= 1):
        raise _damaged(path, "its format version is unreadable")
    if int(version) > FORMAT_VERSION:
        raise CheckpointError(
            f"The checkpoint {path.name} is of format version {version} and this program reads up to version"
            f" {FORMAT_VERSION}: update SPASegment, or choose another model."
        )
    texts = [metadata.get(key) for key in ("config", "provenance", "hash")]
    if not all(isinstance(text, str) for text in texts):
        raise _damaged(path, "its header is incomplete")
    config_text, provenance_text, weights = (str(text) for text in texts)
    if metadata.get("header_hash") != _hash_header(config_text, provenance_text, weights):
        raise _damaged(path, "its header does not match the hash it carries")
    try:
        config, provenance = json.loads(config_text), json.loads(provenance_text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its header is broken") from error
    if not isinstance(config, dict) or not isinstance(provenance, dict):
        raise _damaged(path, "its header is broken")
    return CheckpointHeader(config, provenance, int(version), weights)


def _unwritable(path: Path, error: OSError, size: int) -> CheckpointError:
    """The sentence for a file that cannot be written. size: bytes it needs."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CheckpointError(
            f"The disk is full, so the checkpoint {path.name} was not written: free {size / 1e6:.0f} MB"
            " and try again."
        )
    return CheckpointError(
        f"The checkpoint {path.name} could not be written ({error.strerror or error}): choose a folder you"
        " may write to."
    )


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    """The sentence for a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"There is no checkpoint {path.name} at that place: check the path.")
    return CheckpointError(
        f"The checkpoint {path.name} could not be read ({error.strerror or error}): check the path and your"
        " right to read it."
    )


def _damaged(path: Path, how: str) -> CheckpointError:
    """The sentence for a file that is a checkpoint but not whole."""
    return CheckpointError(
        f"The checkpoint {path.name} is damaged ({how}): copy, train or download it again, or choose another"
        " model."
    )
