"""What replicas ask Ray for, when one is unhealthy, and how long slices stay in one."""

from __future__ import annotations

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from sessions import a_slice

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.service.server.cluster import DRAINING_SECONDS, Cluster, Replica, application
from SPASegmentLib.service.server.images import ImageStore
from SPASegmentLib.service.server.options import ServeOptions


@pytest.fixture
def built():
    """What Ray is given for options and a cluster."""
    pytest.importorskip("ray")

    def build(cluster: Cluster, device: str = "auto"):
        return application(ServeOptions(device=device), cluster)._bound_deployment

    return build


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
def test_replicas_follow_the_load_between_their_bounds_only_where_there_are_two(built):
    follows = built(Cluster(2, 8))._deployment_config.autoscaling_config
    assert (follows.min_replicas, follows.max_replicas) == (2, 8)
    fixed = built(Cluster(3, 3))
    assert fixed._deployment_config.autoscaling_config is None and fixed.num_replicas == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("device", "gpus", "asked"), [("auto", 0.25, 0.25), ("cuda", 1, 1), ("auto", 0, 0), ("cpu", 0.5, 0)]
)
def test_a_replica_asks_for_its_share_of_a_gpu_and_for_none_on_a_cpu(built, device, gpus, asked):
    options = built(Cluster(gpus=gpus), device).ray_actor_options
    assert (options["num_cpus"], options["num_gpus"]) == (1, asked)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_replica_has_time_to_answer_what_it_has_begun(built):
    config = built(Cluster())._deployment_config
    assert config.graceful_shutdown_timeout_s == DRAINING_SECONDS == 30
    assert config.max_ongoing_requests == ServeOptions().waiting


def test_a_replica_whose_model_is_broken_says_that_it_is_unhealthy(a_model):
    """Its check computes a real small proposal with each model."""
    replica = Replica(ServeOptions(models=(str(a_model),), device="cpu"))
    with ThreadPoolExecutor(1) as pool:  # in this thread a browser of other tests may have a loop

        def check() -> None:
            replica._core._answered_at = float("-inf")  # no answer of the last seconds
            pool.submit(lambda: asyncio.run(replica.check_health())).result(60)

        check()
        (engine,) = replica._core.engines.values()
        with torch.no_grad():
            for weights in engine.network.parameters():
                weights.fill_(float("nan"))
        engine._embeddings.clear()
        engine._regions.clear()
        with pytest.raises(SPASegmentError):
            check()
        replica._core.queue.close()
        with pytest.raises(SPASegmentError, match="has ended"):
            check()
    replica._core.close()


def test_a_slice_is_forgotten_after_minutes_without_use():
    now = 0.0
    store = ImageStore(2**30, ServeOptions().idle_seconds, clock=lambda: now)
    image = a_slice()
    store.put("Ann", "used", image)
    store.put("Ann", "unused", a_slice(1))
    now = 599.0
    store.sweep()
    assert len(store) == 2 and store.get("Ann", "used") is image
    now = 601.0
    store.sweep()
    assert len(store) == 1 and store.get("Ann", "unused") is None
    gone = weakref.ref(image)
    del image
    now = 1200.0
    store.sweep()
    gc.collect()
    assert len(store) == store.bytes_held == 0 and gone() is None
