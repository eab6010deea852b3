"""The constants of inference and the digest that tells two sets of them apart."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from SPASegmentLib.inference.config import DEFAULT, InferenceConfig

LIBRARY = Path(__file__).resolve().parents[2] / "SPASegmentLib"


def test_every_constant_tells_in_the_digest():
    digests = {DEFAULT.digest()}
    for field in fields(InferenceConfig):
        value = getattr(DEFAULT, field.name)
        changed = value[:-1] if isinstance(value, tuple) else value + 1
        digests.add(replace(DEFAULT, **{field.name: changed}).digest())
    assert len(digests) == 1 + len(fields(InferenceConfig))
    assert InferenceConfig().digest() == DEFAULT.digest(), "the same in every process"


def test_no_constant_is_changed_behind_the_digest():
    with pytest.raises(FrozenInstanceError):
        DEFAULT.looks = 1  # type: ignore[misc]


def test_every_constant_is_used_and_explained():
    code = "".join(path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py"))
    about = InferenceConfig.__doc__ or ""
    names = [field.name for field in fields(InferenceConfig)]
    assert [name for name in names if f"DEFAULT.{name}" not in code or name not in about] == []
