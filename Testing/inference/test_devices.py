"""Where the network runs, and what happens where that fails.

No machine of the test run has Apple's graphics processor. What can be shown without one: PyTorch's own
refusal of it leads to the CPU, and nothing of a proposal is computed in double precision, which it lacks.
"""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.local import LocalEngine, choose_device, load_engine
from SPASegmentLib.inference.messages import Answered, ProposalRequest

APPLE = torch.backends.mps.is_available()
ON_THE_CPU = (".cpu().double()", "torch.from_numpy(", "torch.tensor(", "log[0].double()")
"""Statements whose doubles come from numpy or lie on the CPU, and go to no device."""


def a_request() -> ProposalRequest:
    rows, cols = np.mgrid[:96, :96]
    pixels = 0.1 + 0.5 * (np.hypot(rows - 48, cols - 48) < 9)
    image = SliceImage(pixels.astype(np.float32), (0.7, 0.7), "CT")
    return ProposalRequest(image, (PointPrompt(48, 48),))


@pytest.mark.skipif(APPLE, reason="this machine has it")
def test_a_missing_apple_device_is_said_in_a_sentence() -> None:
    with pytest.raises(CheckpointError, match="Apple's graphics processor is not available"):
        choose_device("mps")


@pytest.mark.skipif(not APPLE, reason="this machine has no Apple graphics processor")
def test_apples_device_proposes_what_the_cpu_does(a_model: Path) -> None:
    found = [load_engine(a_model, device).propose(a_request()) for device in ("mps", "cpu")]
    first, second = (proposal.recommendation for proposal in found)
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.99


@pytest.mark.skipif(APPLE, reason="here it works")
def test_a_device_that_fails_leads_to_the_cpu_and_says_so(a_model: Path) -> None:
    expected = load_engine(a_model, "cpu").propose(a_request())
    engine = load_engine(a_model, "cpu")
    engine.device = torch.device("mps")  # PyTorch itself refuses whatever goes there
    proposal = engine.propose(a_request())
    assert engine.device.type == "cpu"
    assert "Apple's graphics processor could not compute this" in " ".join(proposal.warnings)
    assert np.array_equal(proposal.recommendation, expected.recommendation)


def test_a_fault_on_the_cpu_is_not_taken_for_the_devices(
    a_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(a_model, "cpu")

    def fail(*args: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(engine.network, "decode_unscaled", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        engine.propose(a_request())


class Doubles(TorchDispatchMode):
    """Notes the functions of this library in which a tensor in double precision was made."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.dtype == torch.float64:
            ours = [f for f in traceback.extract_stack() if "SPASegmentLib" in f.filename]
            self.places.add(f"{Path(ours[-1].filename).name}:{ours[-1].name}:{ours[-1].line}")
        return made


def answered(engine: LocalEngine) -> None:
    """A click, a pick, "none of these" and a further point."""
    request = a_request()
    for picked in (0, None, 0):
        proposal = engine.propose(request)
        request = replace(request, answered=(*request.answered, Answered(proposal, picked)))
    engine.propose(replace(request, points=(*request.points, PointPrompt(60, 60, positive=False))))


@pytest.mark.parametrize("model", ["compact", "general"])
def test_nothing_is_computed_in_double_precision_on_the_device(model: str) -> None:
    engine = load_engine(model, "cpu")
    with Doubles() as noted:
        answered(engine)
    assert noted.places, "the notes are taken"
    assert [place for place in noted.places if not any(here in place for here in ON_THE_CPU)] == []
