"""The user's profiles: choosing, making, sharing and comparing them, and teaching the chosen one.

Files are locked and flushed, so every touch of them is a chore of the worker; answers come back on the
scene's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from SPASegmentLib.errors import ProfileError, SPASegmentError
from SPASegmentLib.mrml.approval_keeping import ApprovalKeeping
from SPASegmentLib.mrml.engine_holder import EngineHolder
from SPASegmentLib.mrml.work import Work
from SPASegmentLib.mrml.worker import JobOutcome, Worker
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from SPASegmentLib.inference.messages import Engine
    from SPASegmentLib.inference.session import Session
    from SPASegmentLib.mrml.screen import Tone
    from SPASegmentLib.profiles.learning import Receipt
    from SPASegmentLib.profiles.profile import Profile
    from SPASegmentLib.profiles.store import ProfileStore
    from SPASegmentLib.profiles.teaching import Teaching


Say = Callable[[str, bool], None]


"""Shows a sentence; True where it is a problem."""


@dataclass(frozen=True)
class _ProfileAnswer:
    """What a chore found. profile: chosen now (None: leave the choice)."""

    said: str
    profile: Profile | None = None
    notes: tuple[str, ...] = ()


class ProfileController:
    """The chosen profile and the names of all. The store is opened when first needed."""

    def __init__(
        self, worker: Worker, holder: Callable[[], EngineHolder], store: ProfileStore | None, say: Say
    ):
        self._worker, self._holder, self._store, self._say = worker, holder, store, say
        self.profile: Profile | None = None
        self.wanted: str | None = None
        self.names: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()

    # On the scene's thread

    def choose(self, name: str | None, *, quietly: bool = False) -> None:
        """Use a profile from the next seed on, or none. quietly: only what goes wrong is said."""
        self.wanted = name or None
        self.notes = ()
        if not name:
            self.profile = None
            self._say("" if quietly else "No profile is used; picks teach nothing.", False)
            return

        def job() -> _ProfileAnswer:
            answer = self._chosen(self.store().load(name))
            return replace(answer, said="") if quietly else answer

        self._do(job)

    def create(self, name: str, structure: str = "", modality: str = "") -> None:
        """A new profile of the model in use, which is then chosen."""
        self._do(lambda: self._created(name, structure, modality))

    def save_as(self, name: str) -> None:
        """A copy of the chosen profile, which is then chosen."""
        source = self._needed().name
        self._do(lambda: self._chosen(self.store().copy(source, name)))

    def bring_in(self, path: Path, name: str | None = None) -> None:
        """A profile from a file, checked before it is kept; then chosen."""

        def job() -> _ProfileAnswer:
            from SPASegmentLib.profiles.exchange import accept, read_foreign

            profile = read_foreign(path)
            checked(profile, self._holder().get())
            return self._chosen(accept(self.store(), profile, name))

        self._do(job)

    def give_out(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the chosen profile to a file."""
        name = self._needed().name

        def job() -> _ProfileAnswer:
            from SPASegmentLib.profiles.exchange import export_profile

            export_profile(self.store().load(name), path, replace=overwrite)
            return _ProfileAnswer(f'The profile "{name}" is exported to {path.name}.')

        self._do(job)

    def summarise(self, name: str | None = None) -> None:
        """What a profile (the chosen one) has learnt, as notes."""
        name = name or self._needed().name

        def job() -> _ProfileAnswer:
            from SPASegmentLib.profiles.summary import summarise

            profile = self.store().load(name)
            return _ProfileAnswer(f'What the profile "{name}" has learnt is shown.', notes=summarise(profile))

        self._do(job)

    def compare(self, other: str, name: str | None = None) -> None:
        """How the chosen profile differs from another one, as notes."""
        name = name or self._needed().name

        def job() -> _ProfileAnswer:
            from SPASegmentLib.profiles.comparison import compare

            found = compare(self.store().load(name), self.store().load(other))
            images = " and ".join(
                f'"{n}" has learnt from {i} images' for n, i in zip(found.names, found.images, strict=True)
            )
            notes = (found.sentence, f"{images}, {found.shared_images} of them the same.")
            return _ProfileAnswer(f'The profiles "{name}" and "{other}" are compared.', notes=notes)

        self._do(job)

    def refresh(self) -> None:
        """Read the names of the profiles anew."""
        self._do(lambda: _ProfileAnswer(""))

    def model_changed(self) -> None:
        """Check the chosen profile against the model now in use."""
        if self.wanted:
            self.choose(self.wanted, quietly=True)

    def learnt(self, profile: Profile) -> None:
        """The chosen profile as it is on disk now."""
        if self.profile is not None and profile.id == self.profile.id:
            self.profile, self.wanted = profile, profile.name

    def give_up(self) -> None:
        """Go on without a profile."""
        self.profile, self.wanted = None, None

    # On the worker's thread

    def store(self) -> ProfileStore:
        """The folder of profiles."""
        if self._store is None:
            from SPASegmentLib.profiles.store import ProfileStore

            self._store = ProfileStore()
        return self._store

    def fresh(self, name: str | None, engine: Engine) -> Profile | None:
        """The profile as it is on disk now. Raises ProfileError."""
        return checked(self.store().load(name), engine) if name else None

    def _created(self, name: str, structure: str, modality: str) -> _ProfileAnswer:
        from SPASegmentLib.profiles.learning import HasMixture
        from SPASegmentLib.profiles.profile import new_profile
        from SPASegmentLib.profiles.records import ModelReference

        engine = self._holder().get()
        base = engine.base_mixture() if isinstance(engine, HasMixture) else None
        model = ModelReference.of(engine.model)
        profile = new_profile(name, model, structure=structure, modality=modality, base=base)
        return self._chosen(self.store().create(profile))

    def _chosen(self, profile: Profile) -> _ProfileAnswer:
        checked(profile, self._holder().get())
        images = count_of(profile.n_images, "image")
        return _ProfileAnswer(
            f'The profile "{profile.name}" ({images}) is used from the next seed on.', profile
        )

    def _do(self, job: Callable[[], _ProfileAnswer]) -> None:
        def run(token: object) -> tuple[_ProfileAnswer | SPASegmentError, tuple[str, ...]]:
            answer: _ProfileAnswer | SPASegmentError
            try:
                answer = job()
            except SPASegmentError as error:
                answer = error
            return answer, self.store().names()

        self._worker.chore(run, self._done)

    def _done(self, outcome: JobOutcome) -> None:
        if outcome.error is not None:
            self._failed(outcome.error)
            return
        answer, self.names = outcome.value
        if isinstance(answer, SPASegmentError):
            self._failed(answer)
            return
        if answer.profile is not None:
            self.profile, self.wanted = answer.profile, answer.profile.name
        self.notes = answer.notes or self.notes
        self._say(answer.said, False)

    def _failed(self, error: SPASegmentError) -> None:
        self.wanted = self.profile.name if self.profile is not None else None
        self._say(str(error), True)

    def _needed(self) -> Profile:
        if self.profile is None:
            raise ProfileError("No profile is chosen; choose or create one first.")
        return self.profile


def checked(profile: Profile, engine: Engine) -> Profile:
    """The profile, if it was taught on the engine's model. Raises ProfileError with the way out."""
    try:
        profile.check_model(engine.model)
    except ProfileError:
        raise ProfileError(
            f'The profile "{profile.name}" was taught on the model "{profile.model.name}", not on '
            f'"{engine.model.name}"; choose another profile, or teach it anew with '
            "`spasegment profile relearn`."
        ) from None
    return profile


class ProfileLearning:
    """Keeps every work's evidence in step with its session."""

    def __init__(
        self,
        worker: Worker,
        holder: Callable[[], EngineHolder],
        profiles: ProfileController,
        say: Callable[[str, Tone], None],
        keeping: ApprovalKeeping,
    ) -> None:
        """holder: of the model in use. keeping: hears of every step, too."""
        self._worker, self._holder, self._profiles, self._say = worker, holder, profiles, say
        self._keeping = keeping

    def follow(self, work: Work) -> None:
        """Bring the profile to where the work's session is: what is approved now is taught the chosen one."""
        self._keeping.follow(work)
        session = work.session
        if session is None:
            return
        ended = session.finished and session.learn
        if ended and self._profiles.profile is not None and work.taught() is None:
            from SPASegmentLib.profiles.teaching import Teaching

            work.teaching = Teaching(self._profiles.store(), self._profiles.profile)
        if work.receipt is not None and not ended:
            receipt, work.receipt = work.receipt, None
            self._worker.chore(lambda token: self._retract(receipt), self._done)
        teaching = work.teaching
        if teaching is not None:
            # The consensus area needs the engine that answered; another model's would not be comparable.
            engine = self._holder().engine
            if engine is not None and engine.model.hash != session.model.hash:
                engine = None
            self._worker.chore(lambda token: self._follow(teaching, session, engine), self._done)

    def _follow(self, teaching: Teaching, session: Session, engine: Engine | None) -> Profile | None:
        if not teaching.follow(session):
            return None
        if teaching.receipt is not None and engine is not None:
            self._ask_consensus(teaching.receipt, session, engine)
        return self._present()

    def _ask_consensus(self, receipt: Receipt, session: Session, engine: Engine) -> None:
        """Ask for the consensus area once the user's requests leave time for it."""
        from SPASegmentLib.profiles.learning import add_consensus, consensus_request

        request = consensus_request(session)

        def job(token: Event) -> Profile | None:
            try:
                added = add_consensus(self._profiles.store(), receipt, engine, request, token)
            except ProfileError:  # deleted or damaged since: said where it is used next
                return None
            return None if added is None else self._present()

        self._worker.postpone(job, self._done)

    def _retract(self, receipt: Receipt) -> Profile | None:
        from SPASegmentLib.profiles.learning import retract_approval

        return retract_approval(self._profiles.store(), receipt)

    def _present(self) -> Profile | None:
        name = self._profiles.wanted
        return self._profiles.store().load(name) if name else None

    def _done(self, outcome: JobOutcome) -> None:
        if outcome.error is not None:
            self._say(f"The mask is as you see it, but the profile is not: {outcome.error}", "problem")
        elif outcome.value is not None:
            self._profiles.learnt(outcome.value)
