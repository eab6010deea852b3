"""One thread for all that takes long. Standard library only; what it runs decides what is imported.

Four kinds of jobs, in this order: *chores* (each is done, oldest first), the newest *request* (it supersedes
the one before, which ends as cancelled), *idle* jobs while nothing else waits, and *postponed* ones, which
make room like idle ones and begin anew later.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from SPASegmentLib.errors import Cancelled, SPASegmentError

logger = logging.getLogger(__name__)


class BrokenError(SPASegmentError):
    """Something failed in a way nobody foresaw; the log has the traceback, the user a sentence."""


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended: its value, or the error whose text is the sentence for the user."""

    value: Any = None
    error: SPASegmentError | None = None


Job = Callable[[threading.Event], Any]


"""Called on the worker's thread with a cancel token to look at."""


Done = Callable[[JobOutcome], None]


"""Called exactly once per chore, request or postponed job, on the thread that `post` leads to."""


@dataclass(eq=False)
class Ticket:
    """A job on its way. token: set when it is superseded or cancelled. keep: whether `close` waits for it."""

    kind: Literal["chore", "request", "idle", "postponed"]
    job: Job
    done: Done | None = None
    token: threading.Event = field(default_factory=threading.Event)
    keep: bool = True

    @property
    def makes_room(self) -> bool:
        """Whether it stops for whatever else comes."""
        return self.kind in ("idle", "postponed")


class Worker:
    """Runs jobs on one thread and brings their outcomes back through `post`."""

    def __init__(self, post: Callable[[Callable[[], None]], None], name: str = "SPASegment") -> None:
        """post: runs a function soon on the thread that wants the outcomes."""
        self._post = post
        self._name = name
        self._changed = threading.Condition()
        self._chores: deque[Ticket] = deque()
        self._request: Ticket | None = None
        self._idle: deque[Ticket] = deque()
        self._postponed: deque[Ticket] = deque()
        self._running: Ticket | None = None
        self._undelivered = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a chore or request is under way, or an outcome not delivered yet; others do not count."""
        with self._changed:
            running = self._running is not None and not self._running.makes_room
            return bool(running or self._chores or self._request or self._undelivered)

    @property
    def idling(self) -> bool:
        """Whether idle or postponed jobs are left or running."""
        with self._changed:
            running = self._running is not None and self._running.makes_room
            return bool(running or self._idle or self._postponed)

    def request(self, job: Job, done: Done) -> Ticket:
        """Compute this next; the request before it, if unfinished, ends as cancelled."""
        ticket = Ticket("request", job, done)
        with self._changed:
            dropped = self._supersede()
            if not self._closing:
                self._request = ticket
                self._start()
        self._end(dropped)
        return ticket

    def chore(self, job: Job, done: Done, *, keep: bool = True) -> Ticket:
        """Do this for certain, after the chores before it and before any request that waits.

        keep: False for what nobody needs once the worker is closed; its token is set then.
        """
        ticket = Ticket("chore", job, done, keep=keep)
        with self._changed:
            if not self._closing:
                self._chores.append(ticket)
                self._make_room()
                self._start()
        return ticket

    def idle(self, jobs: Sequence[Job]) -> None:
        """Do these one by one while nothing else waits, in place of the idle jobs before."""
        with self._changed:
            self._drop_idle()
            if not self._closing:
                self._idle.extend(Ticket("idle", job) for job in jobs)
                self._start()

    def postpone(self, job: Job, done: Done) -> None:
        """Do this once nothing else waits, idle jobs included; it begins anew as often as it must make room.

        A job whose token is set ends by raising Cancelled. What is left at `close` is not done.
        """
        with self._changed:
            if not self._closing:
                self._postponed.append(Ticket("postponed", job, done))
                self._start()

    def report(self, call: Callable[[], None]) -> None:
        """From within a job: make a call soon on the thread that wants the outcomes."""
        if not self._closing:
            self._post(call)

    def cancel(self) -> bool:
        """Stop the request that is under way or waits. Returns whether there was one."""
        with self._changed:
            dropped = self._supersede()
            running = self._running
            found = dropped is not None or (running is not None and running.kind == "request")
        self._end(dropped)
        return found

    def close(self, timeout: float | None = None) -> bool:
        """Cancel the request, finish the chores that are to be kept, end the thread. Returns whether it has.

        Nothing is delivered any more; jobs given later are not run.
        """
        with self._changed:
            self._closing = True
            self._supersede()
            self._drop_idle()
            self._postponed.clear()
            for ticket in (*self._chores, *([self._running] if self._running else [])):
                if not ticket.keep:
                    ticket.token.set()
            self._changed.notify_all()
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        thread.join(timeout)
        return not thread.is_alive()

    # With the lock held

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _supersede(self) -> Ticket | None:
        """Tell the running request (or idle job) to stop; the request that waited, for `_end`."""
        if self._running is not None and self._running.kind != "chore":
            self._running.token.set()
        waiting, self._request = self._request, None
        return waiting

    def _make_room(self) -> None:
        if self._running is not None and self._running.makes_room:
            self._running.token.set()

    def _drop_idle(self) -> None:
        self._idle.clear()
        if self._running is not None and self._running.kind == "idle":
            self._running.token.set()

    def _next(self) -> Ticket | None:
        if self._chores:
            return self._chores.popleft()
        if self._request is not None:
            ticket, self._request = self._request, None
            return ticket
        waiting = self._idle or self._postponed
        return waiting.popleft() if waiting else None

    # Without it

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._running = self._next()
                while self._running is None and not self._closing:
                    self._changed.wait()
                    self._running = self._next()
                ticket = self._running
            if ticket is None:
                return
            outcome = self._run(ticket)
            with self._changed:
                self._running = None
                again = (
                    ticket.kind == "postponed" and isinstance(outcome.error, Cancelled) and not self._closing
                )
                if again:
                    self._postponed.appendleft(Ticket("postponed", ticket.job, ticket.done))
                else:
                    self._undelivered += ticket.done is not None
            if not again:
                self._send(ticket, outcome)
            del ticket, outcome  # what a job held must not live on while the thread waits

    def _run(self, ticket: Ticket) -> JobOutcome:
        try:
            if ticket.token.is_set():
                raise Cancelled("Cancelled; nothing was changed.")
            return JobOutcome(ticket.job(ticket.token))
        except SPASegmentError as error:
            return JobOutcome(error=error)
        except Exception as error:
            if ticket.kind == "idle":
                logger.info("An idle job was given up (%s).", type(error).__name__)
                return JobOutcome()
            return JobOutcome(error=in_words(error))

    def _end(self, dropped: Ticket | None) -> None:
        """End a request that never began."""
        if dropped is not None:
            with self._changed:
                self._undelivered += 1
            self._send(dropped, JobOutcome(error=Cancelled("Cancelled; nothing was changed.")))

    def _send(self, ticket: Ticket, outcome: JobOutcome) -> None:
        done = ticket.done
        if done is not None and not self._closing:
            self._post(lambda: self._deliver(done, outcome))

    def _deliver(self, done: Done, outcome: JobOutcome) -> None:
        with self._changed:
            self._undelivered -= 1
        if not self._closing:
            done(outcome)


def in_words(error: Exception) -> SPASegmentError:
    """What nobody foresaw, as a sentence; the traceback goes to the log."""
    logger.error("A computation failed.", exc_info=error)
    if isinstance(error, MemoryError):
        return BrokenError("There is not enough memory for this; close other volumes and try again.")
    if isinstance(error, ImportError):
        return BrokenError(
            f"A part of SPASegment is not installed ({error.name or error}); install it and try again."
        )
    return BrokenError(
        f"The computation failed ({type(error).__name__}); nothing was changed, so try again, "
        "and if it fails again restart and report it with the log."
    )


class SceneCalls:
    """Calls that wait for the scene's thread; `put` may be called from any thread."""

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        run: Callable[[Callable[[], None]], None],
        after: Callable[[], None],
    ) -> None:
        """post(f): runs f soon on the scene's thread. run: makes one call. after: once all are made."""
        self._post, self._run, self._after = post, run, after
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closed = False

    def put(self, call: Callable[[], None]) -> None:
        """Do this soon on the scene's thread."""
        self._calls.put(call)
        self._post(self.take_in)

    def take_in(self) -> None:
        """Make all calls that wait. On the scene's thread, like all below."""
        while not self._closed:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            self._run(call)
        self._after()

    def take_in_until(self, true: Callable[[], bool], timeout: float) -> bool:
        """Make calls as they come until something is the case. Returns whether that came in time (s)."""
        until = time.monotonic() + timeout
        while True:
            self.take_in()
            if true():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            try:
                call = self._calls.get(timeout=left)
            except queue.Empty:
                return False
            self._run(call)

    def close(self) -> None:
        """Make no calls any more."""
        self._closed = True
