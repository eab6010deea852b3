"""The next batch is made while the present one is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from SPASegmentLib.research.training.batches import Batch


class BatchesAhead:
    """Batches by step, each a pure function of its number, made one step ahead on a thread of their own."""

    def __init__(self, make: Callable[[int], Batch], steps: int) -> None:
        """steps: of the whole run; none is made beyond it."""
        self._make, self._steps = make, steps
        self._pool = ThreadPoolExecutor(1)
        self._ahead: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        """The batch of a step. Raises what making it raised."""
        batch = self._ahead.pop(step).result() if step in self._ahead else self._make(step)
        if step + 1 < self._steps:
            self._ahead[step + 1] = self._pool.submit(self._make, step + 1)
        return batch
