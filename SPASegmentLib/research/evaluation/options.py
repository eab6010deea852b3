"""How to evaluate, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from SPASegmentLib.research.evaluation.protocol import ITERATIONS, SIGHTED, USERS


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    protocol_seed: of targets, clicks and the sub-sample. target: a TargetRule's text. limit: so many cases,
    of each set where there are several, drawn once for all models. workers: processes; threads: of each.
    n_samples: the paper's N, or None for each model's own. engine_seed: the seed every request carries.
    users: to report, the first in the headline unless `always-pick` is there. thresholds: of NoI, None for
    the data set's. resamples: of the bootstrap.
    """

    protocol_seed: int = 0
    target: str = "subset"
    limit: int | None = None
    workers: int = 1
    threads: int = 1
    iterations: int = ITERATIONS
    n_samples: int | None = None
    engine_seed: int = 0
    users: tuple[str, ...] = USERS
    thresholds: tuple[float, ...] | None = None
    resamples: int = 10_000

    @property
    def sighted(self) -> tuple[str, ...]:
        """The users who see the target, whose interactions are run besides the picking one's."""
        return tuple(user for user in SIGHTED if user in self.users)

    @property
    def headline_user(self) -> str:
        """The user model whose figures stand first."""
        return USERS[0] if USERS[0] in self.users else self.users[0]
