"""Requests to the engine: a seed's first proposal, the next one, a resting session brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from SPASegmentLib.errors import Cancelled, ProfileError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.session import Session
from SPASegmentLib.scene.engine_room import EngineRoom
from SPASegmentLib.scene.profile_desk import ProfileDesk
from SPASegmentLib.scene.screen import Card
from SPASegmentLib.scene.work import Work, whole
from SPASegmentLib.scene.worker import Outcome, Worker

if TYPE_CHECKING:
    from SPASegmentLib.inference.messages import Engine, Proposal
    from SPASegmentLib.scene.screen import Tone

Then = Callable[[Work], None]


@dataclass(frozen=True, eq=False)
class _Answer:
    """What the worker found.

    view: the slice, where it was cut anew. problem: why no profile was used. doubts: about the one used.
    """

    session: Session
    cards: tuple[Card, ...] = ()
    view: ViewSlice | None = None
    problem: ProfileError | None = None
    doubts: tuple[str, ...] = ()


class Asking:
    """What is awaited, and what is done when it comes. Outcomes that nobody awaits any more are ignored."""

    def __init__(
        self,
        worker: Worker,
        room: Callable[[], EngineRoom],
        desk: ProfileDesk,
        settings: Any,
        answered: Then,
        say: Callable[[str, Tone], None],
    ) -> None:
        """room: of the model in use. settings: learn and samples.

        answered: told of every work that is not awaited any more.
        """
        self._worker, self._room, self._desk, self._settings = worker, room, desk, settings
        self._answered, self._say = answered, say
        self.loading: Callable[[], None] | None = None
        self.reviving: Work | None = None
        self._drawing: Proposal | None = None

    @property
    def engine(self) -> Engine | None:
        """The engine in use, once it is loaded."""
        return self._room().engine

    def with_engine(self, call: Callable[[], None]) -> None:
        """Call now, or once the engine is loaded."""
        if self.engine is not None:
            call()
            return
        self.loading = call
        room = self._room()
        self._worker.chore(lambda token: room.get(), self._loaded)

    def open(self, work: Work, point: PointPrompt) -> None:
        """Begin a session with its seed: profile, first proposal."""
        work.opening = point
        name, room, seen = self._desk.wanted, self._room(), work.view
        learn, samples = self._settings.learn, self._settings.samples

        def job(token: Event) -> _Answer:
            engine = room.get()
            view = whole(seen)
            image = view.image
            problem = profile = None
            try:
                profile = self._desk.fresh(name, engine)
            except ProfileError as error:
                problem = error
            session = Session.start(
                image,
                engine.model,
                point,
                log_prior=None if profile is None else profile.log_prior(),
                learn=learn,
                n_samples=samples,
            )
            doubts: list[str] = []
            if profile is not None:
                from SPASegmentLib.profiles.summary import drift

                doubts = [text for text in (profile.doubts_about(image.modality), drift(profile)) if text]
            session = session.advance(engine, token)
            return _Answer(session, _cards(session), view, problem, tuple(doubts))

        def done(outcome: Outcome) -> None:
            if work.opening is not point:
                return
            work.opening = None
            self._take(work, outcome)

        self._worker.request(job, done)

    def ask(self, work: Work, pending: Session) -> None:
        """Compute the pending step of a session."""
        work.hold(pending)
        room = self._room()

        def job(token: Event) -> _Answer:
            session = pending.advance(room.get(), token)
            return _Answer(session, _cards(session))

        def done(outcome: Outcome) -> None:
            if work.session is not pending:
                return
            work.hold(pending.cancel())
            self._take(work, outcome)

        self._worker.request(job, done)

    def revived(self, work: Work, then: Then) -> None:
        """Do something with a work's session, which is computed again from its log where it rests."""
        if work.session is not None:
            then(work)
            return
        log = work.log
        if log is None:
            return
        self.reviving = work
        room, seen = self._room(), work.view

        def job(token: Event) -> _Answer:
            from SPASegmentLib.inference.session_log import replay

            view = whole(seen)
            session = replay(log, view.image, room.get(), token)
            return _Answer(session, _cards(session), view)

        def done(outcome: Outcome) -> None:
            if self.reviving is work:
                self.reviving = None
            if work.log is not log or work.session is not None:
                return
            work.stuck = outcome.error is not None and not isinstance(outcome.error, Cancelled)
            self._take(work, outcome)
            if outcome.error is None:
                pending = work.session
                if pending is not None and pending.pending is not None:
                    self.ask(work, pending)
                then(work)

        self._worker.request(job, done)

    def draw_cards(self, work: Work) -> None:
        """See to the cards of what is on the screen: after a slice rested only its last proposal has any."""
        session, proposal = work.session, work.proposal
        if session is None or proposal is None or work.finished or work.computing:
            return
        if proposal in work.cards or proposal is self._drawing:
            return
        self._drawing = proposal

        def done(outcome: Outcome) -> None:
            self._drawing = None
            if work.proposal is proposal:
                work.cards[proposal] = outcome.value or ()
            if outcome.error is not None:
                raise outcome.error

        self._worker.chore(lambda token: _cards(session), done)

    def stop(self) -> bool:
        """Do not wait for the model or a resting session any more. Returns whether one was awaited."""
        waited = self.loading is not None or self.reviving is not None
        self.loading = None
        if self.reviving is not None:
            self.reviving = None
            self._worker.cancel()
        return waited

    def stop_request(self) -> None:
        """Cancel what runs."""
        self._worker.cancel()

    def _loaded(self, outcome: Outcome) -> None:
        call = self.loading
        if call is None:
            return
        if outcome.error is not None:
            self.loading = None
            raise outcome.error
        if self.engine is None:  # another model was chosen meanwhile
            self.with_engine(call)
            return
        self.loading = None
        call()

    def _take(self, work: Work, outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            answer: _Answer = outcome.value
            work.view = answer.view or work.view
            work.hold(answer.session)
            self._keep(work, answer)
            if answer.problem is not None:
                self._desk.give_up()
                self._say(str(answer.problem), "problem")
        self._answered(work)
        if error is not None and not isinstance(error, Cancelled):
            raise error

    def _keep(self, work: Work, answer: _Answer) -> None:
        if work.proposal is not None and answer.cards:
            work.cards[work.proposal] = answer.cards
        work.doubts = (*work.doubts, *(d for d in answer.doubts if d not in work.doubts))


def _cards(session: Session) -> tuple[Card, ...]:
    from SPASegmentLib.scene.cards import cards_of

    return cards_of(session.image, session.proposal) if session.proposal is not None else ()
