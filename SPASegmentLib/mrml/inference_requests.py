"""Requests to the engine: a seed's first proposal, the next one, a resting session brought back.

While the user looks at a proposal, the neighbouring slices are cut and encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import Cancelled, ProfileError, StepError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.messages import Carried, Engine, ProposalRequest
from SPASegmentLib.inference.session import Session
from SPASegmentLib.mrml.carry import carried_seed
from SPASegmentLib.mrml.engine_holder import EngineHolder
from SPASegmentLib.mrml.profile_controller import ProfileController
from SPASegmentLib.mrml.screen import Card
from SPASegmentLib.mrml.work import Work, whole
from SPASegmentLib.mrml.worker import Job, JobOutcome, Worker

if TYPE_CHECKING:
    from SPASegmentLib.inference.messages import Proposal
    from SPASegmentLib.mrml.screen import Tone
    from SPASegmentLib.profiles.profile import Profile


Then = Callable[[Work], None]


@dataclass(frozen=True, eq=False)
class _Answered:
    """What the worker found.

    view: the slice, where it was cut anew. problem: why no profile was used. doubts: about the one used.
    """

    session: Session
    cards: tuple[Card, ...] = ()
    view: ViewSlice | None = None
    problem: ProfileError | None = None
    doubts: tuple[str, ...] = ()


class InferenceRequests:
    """What is awaited, and what is done when it comes. Outcomes that nobody awaits any more are ignored."""

    def __init__(
        self,
        worker: Worker,
        holder: Callable[[], EngineHolder],
        profiles: ProfileController,
        settings: Any,
        answered: Then,
        say: Callable[[str, Tone], None],
    ) -> None:
        """holder: of the model in use. settings: learn and samples.

        answered: told of every work that is not awaited any more.
        """
        self._worker, self._holder, self._profiles, self._settings = worker, holder, profiles, settings
        self._answered, self._say = answered, say
        self.loading: Callable[[], None] | None = None
        self.reviving: Work | None = None
        self._drawing: Proposal | None = None

    @property
    def engine(self) -> Engine | None:
        """The engine in use, once it is loaded."""
        return self._holder().engine

    def with_engine(self, call: Callable[[], None]) -> None:
        """Call now, or once the engine is loaded."""
        if self.engine is not None:
            call()
            return
        self.loading = call
        holder = self._holder()
        self._worker.chore(holder.get, self._loaded, keep=False)

    def open(
        self,
        work: Work,
        point: PointPrompt,
        *,
        given: np.ndarray | None = None,
        carried: Carried | None = None,
        more: Sequence[PointPrompt] = (),
    ) -> None:
        """Begin a session with its seed: profile, first proposal.

        given: (H, W) bool it goes on from. carried: the outline it begins from.
        more: points that come with the seed.
        """
        work.opening, work.given = point, given
        if given is not None:
            carried = Carried(given.astype(np.float32))
        name, holder, seen = self._profiles.wanted, self._holder(), work.view
        learn, samples = self._settings.learn, self._settings.samples

        def job(token: Event) -> _Answered:
            engine = holder.get(token)
            view = whole(seen)
            image = view.image
            problem = profile = None
            try:
                profile = self._profiles.fresh(name, engine)
            except ProfileError as error:
                problem = error
            session = Session.start(
                image,
                engine.model,
                point if carried is None else None,
                carried=carried,
                goes_on=given is not None,
                log_prior=_log_prior(profile, work, engine),
                usual_area=None if profile is None else profile.usual_area(),
                learn=learn,
                n_samples=samples,
            )
            doubts: list[str] = []
            if profile is not None:
                from SPASegmentLib.profiles.summary import drift

                doubts = [text for text in (profile.doubts_about(image.modality), drift(profile)) if text]
            session = _with_points(session.advance(engine, token), more, engine, token)
            return _Answered(session, _cards(session), view, problem, tuple(doubts))

        def done(outcome: JobOutcome) -> None:
            if work.opening is not point:
                return
            work.opening = None
            self._take(work, outcome, len(more))

        self._worker.request(job, done)

    def ask(self, work: Work, pending: Session, more: Sequence[PointPrompt] = ()) -> None:
        """Compute the pending step of a session, and points that come with it."""
        work.hold(pending)
        holder = self._holder()

        def job(token: Event) -> _Answered:
            engine = holder.get(token)
            session = _with_points(pending.advance(engine, token), more, engine, token)
            return _Answered(session, _cards(session))

        def done(outcome: JobOutcome) -> None:
            if work.session is not pending:
                return
            work.hold(pending.cancel())
            self._take(work, outcome, len(more))

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
        holder, seen = self._holder(), work.view

        def job(token: Event) -> _Answered:
            from SPASegmentLib.inference.session_log import replay

            view = whole(seen)
            session = replay(log, view.image, holder.get(token), token)
            return _Answered(session, _cards(session), view)

        def done(outcome: JobOutcome) -> None:
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

        def done(outcome: JobOutcome) -> None:
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

    def _loaded(self, outcome: JobOutcome) -> None:
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

    def _take(self, work: Work, outcome: JobOutcome, more: int = 0) -> None:
        """more: points that came with the step."""
        error = outcome.error
        if error is None:
            answer: _Answered = outcome.value
            work.view = answer.view or work.view
            work.hold(answer.session)
            if more:
                work.strokes.append(answer.session.done[-1 - more :])
            self._keep(work, answer)
            if answer.problem is not None:
                self._profiles.give_up()
                self._say(str(answer.problem), "problem")
        self._answered(work)
        if error is not None and not isinstance(error, Cancelled):
            raise error

    def _keep(self, work: Work, answer: _Answered) -> None:
        if work.proposal is not None and answer.cards:
            work.cards[work.proposal] = answer.cards
        work.doubts = (*work.doubts, *(d for d in answer.doubts if d not in work.doubts))


def _log_prior(profile: Profile | None, work: Work, engine: Engine) -> np.ndarray | None:
    """What is known of the style before the first pick: the profile's, else what the object's slices say."""
    if profile is not None:
        return profile.log_prior()
    return None if work.style is None else work.style.log_prior(engine.model)


def _cards(session: Session) -> tuple[Card, ...]:
    from SPASegmentLib.mrml.cards import cards_of

    return cards_of(session.image, session.proposal) if session.proposal is not None else ()


def _with_points(session: Session, points: Sequence[PointPrompt], engine: Engine, token: Event) -> Session:
    """A session with further points, each answered."""
    for point in points:
        session = session.add_point(point.row, point.col, positive=point.positive).advance(engine, token)
    return session


class NeighbourEncoding:
    """The slices next to the one that is worked on, as the worker has cut them."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._of: ViewSlice | None = None
        self._views: dict[int, ViewSlice] = {}
        self._last = 1

    def encode(self, work: Work, mask: np.ndarray, engine: Engine) -> None:
        """Cut the neighbours and encode them around the seed that `mask` carries over."""
        if self._of is not work.view:
            self._of, self._views = work.view, {}
        session = work.session
        near = (session.points[0].row, session.points[0].col) if session and session.points else None
        warm = getattr(engine, "warm", None)
        views, view = self._views, work.view

        def job_of(steps: int) -> Job:
            def job(token: Event) -> None:
                try:
                    following = views.get(steps) or view.moved(steps)
                except StepError:
                    return
                views[steps] = following
                seed = carried_seed(mask, view, following, near)
                if seed is not None and warm is not None and not token.is_set():
                    warm(following.image, ProposalRequest(following.image, (seed,)), token)

            return job

        self._worker.idle([job_of(self._last), job_of(-self._last)])

    def view(self, work: Work, steps: int) -> ViewSlice | None:
        """The slice `steps` further, if it is cut already."""
        self._last = 1 if steps > 0 else -1
        return self._views.get(steps) if self._of is work.view else None

    def forget(self) -> None:
        """The volume has changed."""
        self._of, self._views = None, {}
        self._worker.idle([])
