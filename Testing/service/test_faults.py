"""Sessions go on through whatever happens to the server: no pick is lost, no answer differs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from servers import Line, ServerProcess
from sessions import a_slice, apart, interact

from SPASegmentLib.errors import Cancelled, ServerError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.inference.session import Session
from SPASegmentLib.service import opening
from SPASegmentLib.service.choice import ServerChoice
from SPASegmentLib.service.client import ServerLostError, connect
from SPASegmentLib.service.opening import StandInEngine, open_engine

pytestmark = pytest.mark.alone


@pytest.fixture
def a_line(a_server) -> Line:
    line = Line(a_server.port)
    yield line
    line.close()


def test_a_session_outlives_a_server_that_is_killed_and_started_again(a_model, a_local_engine):
    server = ServerProcess("--engine", "local", "--model", a_model, "--device", "cpu")
    try:
        engine, image = connect(server.address, patience=120), a_slice(1)
        session = Session.start(image, engine.model, PointPrompt(48.0, 48.0)).advance(engine)
        server.process.kill()
        server.process.wait()
        restarting = threading.Timer(0.5, server.start)
        restarting.start()
        session = session.pick(0).advance(engine)
        restarting.join()
        session = session.none_of_these().advance(engine).approve()
    finally:
        server.stop()
    alone = Session.start(image, a_local_engine.model, PointPrompt(48.0, 48.0)).advance(a_local_engine)
    alone = alone.pick(0).advance(a_local_engine).none_of_these().advance(a_local_engine).approve()
    assert apart(session, alone) == []


def test_a_server_that_is_stopped_answers_what_it_has_begun(a_model, a_local_engine):
    server = ServerProcess("--engine", "local", "--model", a_model, "--device", "cpu")
    try:
        engine = connect(server.address, patience=1)
        request = ProposalRequest(a_slice(2), (PointPrompt(48.0, 48.0),), n_samples=256)
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(engine.propose(request)))
        asking.start()
        time.sleep(0.3)
        server.stop()
        asking.join(30)
        assert len(answers) == 1
        assert server.process.returncode in (0, -15)
    finally:
        server.stop()


def test_connections_that_break_are_made_again(a_line, a_local_engine):
    engine, image = connect(f"127.0.0.1:{a_line.port}", patience=60), a_slice(3)
    over = threading.Event()

    def breaking() -> None:
        for _ in range(100):
            if over.wait(0.3):
                return
            a_line.break_all()

    thread = threading.Thread(target=breaking)
    thread.start()
    try:
        session = interact(engine, image, steps=3, seed=3)
    finally:
        over.set()
        thread.join()
    assert apart(session, interact(a_local_engine, image, steps=3, seed=3)) == []


def test_a_cut_line_is_noticed_and_the_request_sent_again(a_line, a_local_engine):
    """What was sent while the line was cut is gone without a word; the client finds out by itself."""
    engine, image = connect(f"127.0.0.1:{a_line.port}", patience=60), a_slice(4)
    session = Session.start(image, engine.model, PointPrompt(48.0, 48.0)).advance(engine)
    a_line.cut = True

    def mend() -> None:
        a_line.cut = False

    threading.Timer(1.0, mend).start()
    started = time.monotonic()
    session = session.pick(0).advance(engine)
    assert 1.0 <= time.monotonic() - started < 30
    alone = Session.start(image, a_local_engine.model, PointPrompt(48.0, 48.0)).advance(a_local_engine)
    assert apart(session, alone.pick(0).advance(a_local_engine)) == []


@pytest.fixture
def a_proxy_without_application() -> Iterator[int]:
    """The port of what Ray's proxy is while the server behind it is being stopped or started."""

    class NotFound(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = f"Path '{self.path}' not found. Ping http://.../-/routes for available routes.".encode()
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(404)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST  # noqa: N815

        def log_message(self, *said: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), NotFound)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield proxy.server_port
    proxy.shutdown()
    proxy.server_close()


def test_a_proxy_whose_application_is_away_for_a_while_is_waited_for(
    a_server, a_line, a_proxy_without_application, a_local_engine
):
    engine, image = connect(f"127.0.0.1:{a_line.port}", patience=60), a_slice(8)
    session = Session.start(image, engine.model, PointPrompt(48.0, 48.0)).advance(engine)

    def lead_to(port: int) -> None:
        a_line.target = port
        a_line.break_all()

    lead_to(a_proxy_without_application)
    assert not engine.is_back()
    back = threading.Timer(1.0, lead_to, [a_server.port])
    back.start()
    session = session.pick(0).advance(engine)
    back.join()
    assert engine.is_back()
    alone = Session.start(image, a_local_engine.model, PointPrompt(48.0, 48.0)).advance(a_local_engine)
    assert apart(session, alone.pick(0).advance(a_local_engine)) == []


def test_an_application_that_stays_away_is_a_lost_server(a_line, a_proxy_without_application):
    """So that the local model goes on."""
    engine = connect(f"127.0.0.1:{a_line.port}", patience=0.5)
    a_line.target = a_proxy_without_application
    a_line.break_all()
    with pytest.raises(ServerLostError, match=r"has not answered for 0 s \(it answers with status 404\)"):
        engine.propose(ProposalRequest(a_slice(8), (PointPrompt(48.0, 48.0),)))


def test_what_was_never_a_server_of_ours_is_named_at_once(a_proxy_without_application):
    started = time.monotonic()
    with pytest.raises(ServerError, match="status 404 and is no SPASegment server"):
        connect(f"127.0.0.1:{a_proxy_without_application}", patience=60)
    assert time.monotonic() - started < 10


def test_a_lost_server_is_said_in_a_sentence_and_loses_no_pick(a_line):
    engine, image = connect(f"127.0.0.1:{a_line.port}", patience=1), a_slice(5)
    session = Session.start(image, engine.model, PointPrompt(48.0, 48.0)).advance(engine)
    a_line.close()
    pending = session.pick(0)
    with pytest.raises(ServerLostError, match=r"has not answered for 1 s \(.*\); try again"):
        pending.advance(engine)
    assert pending.pending is not None and session.state == "open"


def test_waiting_for_a_lost_server_can_be_cancelled(a_line):
    engine = connect(f"127.0.0.1:{a_line.port}", patience=600)
    a_line.close()
    token = threading.Event()
    threading.Timer(0.3, token.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        engine.propose(ProposalRequest(a_slice(), (PointPrompt(48.0, 48.0),)), token)
    assert time.monotonic() - started < 5


# The local model in reserve


def test_the_local_model_goes_on_with_the_session_and_the_server_takes_over_again(
    a_server, a_model, a_local_engine, monkeypatch
):
    line = Line(a_server.port)
    choice = ServerChoice(f"127.0.0.1:{line.port}", patience=0.5)
    engine = open_engine(choice, a_model, partial(load_engine, a_model, "cpu"))
    assert isinstance(engine, StandInEngine)
    image = a_slice(6)
    session = Session.start(image, engine.model, PointPrompt(48.0, 48.0)).advance(engine)
    line.close()
    session = session.pick(0).advance(engine)
    session = session.none_of_these().advance(engine)
    words = f"The server http://127.0.0.1:{line.port} does not answer, so this was computed on this computer."
    assert [words in done.proposal.warnings for done in session.done] == [False, True, True]
    assert engine.device == "cpu"

    monkeypatch.setattr(opening, "AGAIN_SECONDS", 0.0)
    back = connect(a_server.address)
    monkeypatch.setattr(engine, "_remote", back)
    session = session.pick(0).advance(engine).approve()
    assert words not in session.done[-2].proposal.warnings
    alone = Session.start(image, a_local_engine.model, PointPrompt(48.0, 48.0)).advance(a_local_engine)
    alone = alone.pick(0).advance(a_local_engine).none_of_these().advance(a_local_engine)
    alone = alone.pick(0).advance(a_local_engine).approve()
    assert apart(session, alone, ignored=("warnings",)) == []


def test_without_a_server_from_the_start_this_computer_computes_and_says_so(a_model):
    choice = ServerChoice("127.0.0.1:9", patience=0.2)
    engine = open_engine(choice, a_model, partial(load_engine, a_model, "cpu"))
    proposal = engine.propose(ProposalRequest(a_slice(), (PointPrompt(48.0, 48.0),)))
    assert proposal.recommendation.any() and proposal.warnings[-1] == (
        "The server 127.0.0.1:9 does not answer, so this computer computes."
    )


def test_a_server_that_comes_later_takes_over(a_server, a_model, a_local_engine, monkeypatch):
    line = Line(a_server.port)
    line.cut = True
    choice = ServerChoice(f"127.0.0.1:{line.port}", patience=0.2)
    engine = open_engine(choice, a_model, partial(load_engine, a_model, "cpu"))
    image = a_slice(7)
    session = Session.start(image, engine.model, PointPrompt(48.0, 48.0)).advance(engine)
    monkeypatch.setattr(opening, "AGAIN_SECONDS", 0.0)
    started = time.monotonic()
    session = session.pick(0).advance(engine)
    assert time.monotonic() - started < 4, "one asks for a second whether the server is there"
    assert engine.device == "cpu"
    line.cut = False
    line.break_all()
    session = session.pick(0).advance(engine).approve()
    assert engine.device == "server 127.0.0.1"
    line.close()
    said = [done.proposal.warnings for done in session.done[:3]]
    assert ["does not answer" in "".join(one) for one in said] == [True, True, False]
    alone = interact_like(session, image, a_local_engine)
    assert apart(session, alone, ignored=("warnings",)) == []


def test_a_server_that_is_away_for_long_is_not_waited_for_again_and_again(a_server, a_model, monkeypatch):
    line = Line(a_server.port)
    choice = ServerChoice(f"127.0.0.1:{line.port}", patience=3.0)
    engine = open_engine(choice, a_model, partial(load_engine, a_model, "cpu"))
    session = Session.start(a_slice(9), engine.model, PointPrompt(48.0, 48.0)).advance(engine)
    line.cut = True
    session = session.pick(0).advance(engine)
    monkeypatch.setattr(opening, "AGAIN_SECONDS", 0.0)
    started = time.monotonic()
    session.pick(0).advance(engine)
    assert time.monotonic() - started < 2.5
    line.close()


def interact_like(session, image, engine):
    """The same steps with another engine: two picks of the first candidate, then an approval."""
    alone = Session.start(image, engine.model, PointPrompt(48.0, 48.0)).advance(engine)
    return alone.pick(0).advance(engine).pick(0).advance(engine).approve()


def test_another_local_model_does_not_go_on(a_server):
    line = Line(a_server.port)
    choice = ServerChoice(f"127.0.0.1:{line.port}", patience=0.3)
    engine = open_engine(choice, "tiny", partial(load_engine, "compact", "cpu"))
    session = Session.start(a_slice(), engine.model, PointPrompt(48.0, 48.0)).advance(engine)
    line.close()
    with pytest.raises(ServerError, match="compact of this computer is another than the server's"):
        session.pick(0).advance(engine)


def test_a_computer_without_torch_says_that_it_cannot_go_on(a_server):
    line = Line(a_server.port)

    def load():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    engine = open_engine(ServerChoice(f"127.0.0.1:{line.port}", patience=0.3), "tiny", load)
    line.close()
    with pytest.raises(ServerError, match="this computer has no model to go on with"):
        engine.propose(ProposalRequest(a_slice(), (PointPrompt(48.0, 48.0),)))
