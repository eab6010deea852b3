"""Answers, and the pictures that go with them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from SPASegmentLib.cli.dialogue import Dialogue, answered, is_answer, parse_picks
from SPASegmentLib.cli.report_folder import ReportFolder
from SPASegmentLib.errors import Cancelled, InputError, StepError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.session import Session


@pytest.fixture(scope="module")
def an_engine(a_model) -> LocalEngine:
    return load_engine(a_model, "cpu")


@pytest.fixture
def a_session(an_engine) -> Session:
    rows, cols = np.mgrid[:96, :96]
    blob = np.exp(-((rows - 50) ** 2 + (cols - 40) ** 2) / 200).astype(np.float32)
    return Session.start(SliceImage(blob, (1.0, 1.0), "CT"), an_engine.model, (50, 40))


def test_picks_are_numbers_and_n():
    assert parse_picks("2, 1,N ,4") == ["2", "1", "n", "4"]
    assert parse_picks("") == []
    for text in ("5", "1,,2", "u", "1;2", "t1"):
        with pytest.raises(InputError, match="give numbers from 1 to 4"):
            parse_picks(text)


def test_a_line_from_the_terminal_is_an_answer_or_not():
    assert all(map(is_answer, ["", "1", "4", "n", "0", "u", "r", "q", "t1", "t4"]))
    assert not any(map(is_answer, ["5", "t", "t9", "yes", "11", "tn"]))


def test_every_answer_does_what_it_says(a_session, an_engine):
    first = a_session.advance(an_engine)
    assert answered(first, "2").pending.candidate == 1
    assert answered(first, "n").pending.kind == answered(first, "0").pending.kind == "none"
    assert answered(first, "").state == "approved"
    assert answered(first, "t1").result().candidate == 0
    second = answered(first, "1").advance(an_engine)
    assert answered(second, "u").done == first.done
    assert answered(answered(second, "u"), "r").done == second.done
    with pytest.raises(StepError, match="Only the seed is left"):
        answered(first, "u")
    with pytest.raises(Cancelled, match="no mask was written"):
        answered(first, "q")


def test_given_answers_are_followed_and_then_the_recommendation_is_approved(a_session, an_engine):
    text = io.StringIO()
    dialogue = Dialogue(an_engine, Console(file=text, width=200), ReportFolder(None, ""), ask=False)
    session = dialogue.run(a_session, ["1", "2"])
    assert [d.step.kind for d in session.done] == ["point", "pick", "pick", "approve"]
    assert text.getvalue().count("Iteration") == 3
    assert session.proposal.candidates[0].description.name in text.getvalue()


def test_undone_iterations_leave_no_picture(a_session, an_engine, tmp_path):
    pictures = ReportFolder(tmp_path, "model tiny")
    (tmp_path / "mine.png").write_bytes(b"something of the user's")
    session = a_session.advance(an_engine)
    first = pictures.show(session)
    before = first.read_bytes()
    session = session.pick(0).advance(an_engine)
    assert pictures.show(session) == tmp_path / "iteration-2.png"
    pictures.complete(session.undo().approve())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iteration-1.png", "mine.png"]
    assert first.read_bytes() != before, "now it says what was answered"
