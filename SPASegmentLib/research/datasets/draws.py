"""Random numbers that depend on nothing but data set, case, seed and purpose."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def digest(dataset_name: str, case_id: str, seed: int, purpose: str) -> int:
    """A number of 256 bits, the same on every machine."""
    text = json.dumps([dataset_name, case_id, seed, purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def generator(dataset_name: str, case_id: str, seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose in one case."""
    return np.random.default_rng(digest(dataset_name, case_id, seed, purpose))
