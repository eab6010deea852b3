"""Many clinicians at work on few replicas: nobody sees an error, and all wait about as long.

SPASEGMENT_LONG=1 python -m pytest Testing/service/test_load.py -m service -rP
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from clinicians import Load, Waits, at_work, measure

from SPASegmentLib.service.server.computing import FairQueue

UNFAIR = 3.0
"""How many times the median clinician's p95 the slowest one's may be."""


def assert_well_served(load: Load) -> None:
    print(load.report())
    assert load.errors == []
    assert all(waits.seconds for waits in load.everyone), "somebody was never answered"
    assert load.unfairness <= UNFAIR


def test_clinicians_on_one_process_for_some_seconds(a_server):
    """The short form, of which the figures say nothing."""
    load = at_work(a_server.address, ["any"] * 6, minutes=0.08, think=0.3, replicas="1")
    assert load.errors == [] and all(waits.seconds for waits in load.everyone)


@pytest.mark.alone
@pytest.mark.service
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("think", [10.0, 30.0])
def test_sixty_four_clinicians_on_two_replicas_for_five_minutes(think):
    pytest.importorskip("ray")
    assert_well_served(measure(clinicians=64, replicas="2", minutes=5.0, think=think))


def test_users_are_served_in_turn_however_much_one_of_them_asks():
    """Of jobs that wait, each user's oldest is done before anybody's second."""
    served: list[str] = []

    async def ask() -> None:
        queue, begun, go_on = FairQueue(), threading.Event(), threading.Event()

        def first(token: threading.Event) -> None:
            begun.set()
            go_on.wait(10)

        try:
            waiting = [asyncio.create_task(queue.run("greedy", first))]
            await asyncio.to_thread(begun.wait, 10)
            for user, jobs in (("greedy", 50), ("modest", 2), ("late", 1)):
                for _ in range(jobs):
                    waiting.append(
                        asyncio.create_task(queue.run(user, lambda token, u=user: served.append(u)))
                    )
            while queue.waiting < 53:
                await asyncio.sleep(0.01)
            go_on.set()
            await asyncio.gather(*waiting)
        finally:
            queue.close()

    with ThreadPoolExecutor(1) as pool:  # in this thread a browser of other tests may have a loop
        pool.submit(lambda: asyncio.run(ask())).result(60)
    assert served[:5] == ["greedy", "modest", "late", "greedy", "modest"]
    assert served[5:] == ["greedy"] * 48


def test_the_figure_of_fairness_is_the_slowest_ones_p95_over_the_medians():
    load = Load([Waits(list(np.full(20, s))) for s in (1.0, 1.0, 1.0, 2.0, 3.5)], 1.0, "2")
    assert load.unfairness == pytest.approx(3.5)
