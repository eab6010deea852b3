"""One thread: the newest request supersedes, chores are all done, outcomes come back to the asker."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator

import pytest

from SPASegmentLib.errors import Cancelled, InputError
from SPASegmentLib.mrml.worker import BrokenError, JobOutcome, Worker


class Desk:
    """The thread that owns the scene: runs what is posted, and keeps what came."""

    def __init__(self) -> None:
        self.posted: queue.SimpleQueue = queue.SimpleQueue()
        self.worker = Worker(self.posted.put, "test worker")
        self.outcomes: dict[str, list[JobOutcome]] = {}

    def to(self, name: str):
        def done(outcome: JobOutcome) -> None:
            assert threading.current_thread() is threading.main_thread()
            self.outcomes.setdefault(name, []).append(outcome)

        return done

    def settle(self, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while self.worker.busy:
            self.posted.get(timeout=until - time.monotonic())()

    def value(self, name: str):
        (outcome,) = self.outcomes[name]
        assert outcome.error is None, outcome.error
        return outcome.value

    def error(self, name: str):
        (outcome,) = self.outcomes[name]
        return outcome.error


@pytest.fixture
def a_desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    assert desk.worker.close(timeout=60)


class Gate:
    """A job that waits until it is opened or cancelled."""

    def __init__(self, value: str = "through") -> None:
        self.began, self.open, self.value = threading.Event(), threading.Event(), value

    def __call__(self, token: threading.Event) -> str:
        self.began.set()
        while not self.open.wait(0.002):
            if token.is_set():
                raise Cancelled("stopped")
        return self.value


def test_a_request_runs_elsewhere_and_its_value_comes_back_here(a_desk):
    a_desk.worker.request(lambda token: threading.current_thread().name, a_desk.to("one"))
    assert a_desk.worker.busy
    a_desk.settle()
    assert a_desk.value("one") == "test worker"
    assert not a_desk.worker.busy


def test_nothing_arrives_before_the_owner_of_the_scene_takes_it(a_desk):
    a_desk.worker.request(lambda token: 1, a_desk.to("one"))
    deliver = a_desk.posted.get(timeout=60)
    assert a_desk.outcomes == {} and a_desk.worker.busy
    deliver()
    assert a_desk.value("one") == 1


def test_the_newest_request_supersedes_the_running_and_the_waiting_one(a_desk):
    first, second = Gate(), Gate()
    a_desk.worker.request(first, a_desk.to("first"))
    assert first.began.wait(60)
    a_desk.worker.request(second, a_desk.to("second"))
    a_desk.worker.request(lambda token: "newest", a_desk.to("newest"))
    a_desk.settle()
    assert isinstance(a_desk.error("first"), Cancelled)
    assert isinstance(a_desk.error("second"), Cancelled) and not second.began.is_set()
    assert a_desk.value("newest") == "newest"


def test_cancelling_stops_what_runs_and_says_whether_there_was_anything(a_desk):
    assert not a_desk.worker.cancel()
    gate = Gate()
    a_desk.worker.request(gate, a_desk.to("one"))
    assert gate.began.wait(60)
    assert a_desk.worker.cancel()
    a_desk.settle()
    assert isinstance(a_desk.error("one"), Cancelled)


def test_chores_are_neither_superseded_nor_cancelled_and_keep_their_order(a_desk):
    done: list[int] = []
    gate = Gate()
    a_desk.worker.chore(gate, a_desk.to("gate"))
    for n in range(5):
        a_desk.worker.chore(lambda token, n=n: done.append(n), a_desk.to("chore"))
    a_desk.worker.request(lambda token: done.append(99), a_desk.to("request"))
    assert gate.began.wait(60)
    a_desk.worker.cancel()
    a_desk.worker.request(lambda token: done.append(100), a_desk.to("again"))
    gate.open.set()
    a_desk.settle()
    assert a_desk.value("gate") == "through"
    assert done == [0, 1, 2, 3, 4, 100]


def test_idle_jobs_run_only_when_nothing_waits_and_make_room_at_once(a_desk):
    encoded = Gate()
    a_desk.worker.idle([encoded, lambda token: pytest.fail("this idle job was replaced")])
    assert encoded.began.wait(60)
    assert a_desk.worker.idling and not a_desk.worker.busy
    a_desk.worker.request(lambda token: "answer", a_desk.to("request"))
    a_desk.worker.idle([])
    a_desk.settle()
    assert a_desk.value("request") == "answer"
    assert not a_desk.worker.idling


def test_a_postponed_job_makes_room_survives_new_idle_jobs_and_is_done_in_the_end(a_desk):
    asked = Gate()
    tries: list[str] = []

    def job(token):
        tries.append("again" if tries else "first")
        return asked(token) if len(tries) < 3 else "known"

    a_desk.worker.postpone(job, a_desk.to("postponed"))
    assert asked.began.wait(60)
    assert a_desk.worker.idling and not a_desk.worker.busy
    a_desk.worker.postpone(lambda token: "too", a_desk.to("another"))
    asked.began.clear()
    a_desk.worker.request(lambda token: "answer", a_desk.to("request"))
    a_desk.settle()
    assert a_desk.value("request") == "answer"
    assert asked.began.wait(60)  # it has begun anew
    a_desk.worker.idle([lambda token: None])
    a_desk.worker.idle([])
    a_desk.worker.chore(lambda token: "kept", a_desk.to("chore"))
    a_desk.settle()
    until = time.monotonic() + 60
    while a_desk.worker.idling and time.monotonic() < until:
        time.sleep(0.01)
    a_desk.settle()
    assert a_desk.value("chore") == "kept"
    assert a_desk.value("postponed") == "known"
    assert a_desk.value("another") == "too"
    assert tries == ["first", "again", "again"]


def test_closing_gives_up_a_postponed_job(a_desk):
    asked = Gate()
    a_desk.worker.postpone(asked, a_desk.to("postponed"))
    a_desk.worker.postpone(lambda token: pytest.fail("begun after the end"), a_desk.to("another"))
    assert asked.began.wait(60)
    assert a_desk.worker.close(60)


def test_an_idle_job_that_fails_disturbs_nobody(a_desk, caplog):
    ran = threading.Event()

    def broken(token):
        raise ValueError("no")

    with caplog.at_level(logging.WARNING):
        a_desk.worker.idle([broken, lambda token: ran.set()])
        assert ran.wait(60)
    assert not caplog.records


def test_a_known_error_comes_back_as_it_is(a_desk):
    def refuse(token):
        raise InputError("The slice is empty; choose another.")

    a_desk.worker.request(refuse, a_desk.to("one"))
    a_desk.settle()
    assert str(a_desk.error("one")) == "The slice is empty; choose another."


@pytest.mark.parametrize(
    ("error", "word"),
    [(RuntimeError("boom"), "RuntimeError"), (MemoryError(), "memory"), (ImportError(name="torch"), "torch")],
)
def test_what_nobody_foresaw_becomes_one_sentence_and_a_traceback_in_the_log(a_desk, caplog, error, word):
    def fail(token):
        raise error

    a_desk.worker.request(fail, a_desk.to("one"))
    a_desk.settle()
    told = a_desk.error("one")
    assert isinstance(told, BrokenError) and word in str(told) and str(told).endswith(".")
    assert "\n" not in str(told)
    assert any(record.exc_info for record in caplog.records)
    a_desk.worker.request(lambda token: "still here", a_desk.to("two"))
    a_desk.settle()
    assert a_desk.value("two") == "still here"


def test_closing_joins_the_thread_finishes_the_chores_and_delivers_nothing_more():
    desk = Desk()
    gate, taught = Gate(), []
    desk.worker.request(gate, desk.to("request"))
    assert gate.began.wait(60)
    desk.worker.chore(lambda token: taught.append("a slice"), desk.to("chore"))
    before = threading.active_count()
    assert desk.worker.close(timeout=60)
    assert threading.active_count() == before - 1
    assert taught == ["a slice"]
    while not desk.posted.empty():
        desk.posted.get()()
    assert desk.outcomes == {}
    desk.worker.request(lambda token: pytest.fail("closed"), desk.to("late"))
    desk.worker.chore(lambda token: pytest.fail("closed"), desk.to("late"))
    assert desk.worker.close(timeout=60)


def test_closing_stops_what_nobody_needs_any_more_and_still_finishes_the_other_chores():
    desk = Desk()
    stopped, taught = [], []
    began = threading.Event()

    def wait_for_a_server(token: threading.Event) -> None:
        began.set()
        stopped.append(token.wait(60))

    desk.worker.chore(wait_for_a_server, desk.to("one"), keep=False)
    desk.worker.chore(lambda token: taught.append(token.is_set()), desk.to("two"))
    desk.worker.chore(lambda token: pytest.fail("nobody needs it"), desk.to("three"), keep=False)
    assert began.wait(60)
    assert desk.worker.close(timeout=30)
    assert stopped == [True] and taught == [False]


def test_closing_a_worker_that_never_ran_is_fine_twice():
    worker = Worker(lambda f: f())
    assert worker.close() and worker.close()
