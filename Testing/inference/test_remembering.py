"""What tests of controller and panel are answered from memory is what the engine answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import answers
import numpy as np
import pytest

from SPASegmentLib.errors import Cancelled
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.messages import Answered, Carried, ProposalRequest

PIXELS = np.random.default_rng(0).random((40, 44), dtype=np.float32)


@pytest.fixture
def an_engine(a_model: Path, monkeypatch: pytest.MonkeyPatch) -> LocalEngine:
    monkeypatch.setattr(answers, "_known", type(answers._known)())
    return load_engine(a_model, "cpu")


def a_request() -> ProposalRequest:
    """Equal to any other of this function, of other objects."""
    return ProposalRequest(SliceImage(PIXELS.copy(), (1.0, 1.0), "CT"), (PointPrompt(20, 21),), seed=3)


def test_equal_requests_are_computed_once_and_every_other_one_by_itself(an_engine: LocalEngine) -> None:
    asked: list[ProposalRequest] = []

    def ask(request: ProposalRequest, engine: LocalEngine = an_engine):
        def compute(*about):
            asked.append(request)
            return engine.propose(*about)

        return answers.remembered(compute, engine, request)

    first, again = ask(a_request()), ask(a_request())
    assert len(asked) == 1 and again is not first
    np.testing.assert_array_equal(first.probability, an_engine.propose(a_request()).probability)
    brighter = PIXELS.copy()
    brighter[3, 4] += 0.1
    mask = np.zeros(PIXELS.shape, np.float32)
    mask[15:25, 15:25] = 1
    others = [
        replace(a_request(), seed=4),
        replace(a_request(), n_samples=3),
        replace(a_request(), points=(PointPrompt(20, 22),)),
        replace(a_request(), points=(PointPrompt(20, 21), PointPrompt(5, 5, positive=False))),
        replace(a_request(), image=SliceImage(brighter, (1.0, 1.0), "CT")),
        replace(a_request(), image=SliceImage(PIXELS, (1.0, 2.0), "CT")),
        replace(a_request(), image=SliceImage(PIXELS, (1.0, 1.0), "CT", neighbours=(PIXELS, PIXELS))),
        replace(a_request(), log_prior=np.zeros(an_engine.model.components)),
        replace(a_request(), carried=Carried(mask)),
        replace(a_request(), answered=(Answered(first, 0),)),
        replace(a_request(), answered=(Answered(first, None),)),
        replace(a_request(), alternatives=False),
    ]
    for request in others:
        ask(request)
    assert len(asked) == 1 + len(others)
    ask(a_request(), load_engine("compact", "cpu"))
    assert len(asked) == 2 + len(others), "another model has other answers"


def test_what_is_cancelled_is_not_answered_from_memory_either(an_engine: LocalEngine) -> None:
    answers.remembered(an_engine.propose, an_engine, a_request())
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled):
        answers.remembered(an_engine.propose, an_engine, a_request(), cancel)
