"""The server as replicas of Ray Serve: one that ends is replaced, and nobody notices.

A replica is the whole server. No state that matters lives in it: a slice that another replica was sent is
sent again. Requests on one slice go to one replica, which has its embedding, as long as it is there.

Requests are not batched: computed together, the network's numbers differ in the last bits from those of each
alone, and a session would depend on who else is there. A replica computes one request at a time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SPASegmentLib.errors import InputError
from SPASegmentLib.service.server.listening import address_of, listen
from SPASegmentLib.service.server.options import ServeOptions
from SPASegmentLib.service.wire import MEGABYTE

NAME = "spasegment"
DRAINING_SECONDS = 30.0
CHECK_SECONDS = 10.0
START_TRIES = 3
_LOOPBACK = "127.0.0.1"
_MEMORY = Path("/dev/shm")
"""Linux's file system in memory. Bodies pass through Ray's object store, which is there, too."""
SETTINGS_OF_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would report to its makers
    "RAY_worker_niceness": "0",  # people wait for replicas; 15 lets every other program go first
    # It would end replicas when other programs fill the memory, again and again, the new ones too.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "SPASegmentLib.service.server.connections.guard_proxy",
}
"""For a cluster of our own, unless the environment says otherwise."""


@dataclass(frozen=True)
class Cluster:
    """Where replicas run.

    fewest, most: replicas. address: of a running Ray cluster, or None for one of our own.
    gpus: of each replica, may be a fraction.
    """

    fewest: int = 1
    most: int = 1
    address: str | None = None
    gpus: float = 0.0


class Replica:
    """One process of the server; Ray Serve makes it, asks after it and ends it."""

    def __init__(self, options: ServeOptions) -> None:
        from SPASegmentLib.service.server.core import ServerCore
        from SPASegmentLib.service.server.standalone import load_engines

        self._core = ServerCore(options, load_engines(options.models, options.device))

    def __serve_build_asgi_app__(self) -> Any:
        from SPASegmentLib.service.server.app import build_app

        return build_app(self._core)

    async def check_health(self) -> None:
        """A real small proposal, unless an answer of the last seconds proves as much."""
        await self._core.check(within=CHECK_SECONDS)


def application(options: ServeOptions, cluster: Cluster) -> Any:
    """What Ray Serve runs."""
    from ray import serve

    replicas: dict[str, Any] = {"num_replicas": cluster.fewest}
    if cluster.most > cluster.fewest:
        replicas = {
            "autoscaling_config": {
                "min_replicas": cluster.fewest,
                "max_replicas": cluster.most,
                "target_ongoing_requests": 2,
                "upscale_delay_s": 5,
                "downscale_delay_s": 120,
            }
        }
    deployment: Any = serve.deployment(
        serve.ingress()(Replica),
        name="replica",
        # The queue of a replica is ours, fair to users; Ray's own limit would hold requests back before it.
        max_ongoing_requests=options.waiting,
        # Replicas on CPUs need no GPU, so that they also start where there is none.
        ray_actor_options={"num_cpus": 1, "num_gpus": 0.0 if options.device == "cpu" else cluster.gpus},
        health_check_period_s=CHECK_SECONDS,
        health_check_timeout_s=60,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=DRAINING_SECONDS,
        logging_config={"enable_access_log": False},
        **_affinity(),
        **replicas,
    )
    return deployment.bind(options)


def from_config(args: dict[str, Any]) -> Any:
    """What Ray Serve runs, of the arguments in a configuration file such as docs/kuberay.yaml.

    args: of `ServeOptions` and `Cluster`, by name. Whoever writes the file sees to TLS in front of it.
    Raises InputError for others, and without keys.
    """
    given = dict(args)
    cluster = Cluster(**{name: given.pop(name) for name in ("fewest", "most", "gpus") if name in given})
    try:
        keys = Path(given.pop("keys"))
        options = ServeOptions(**{**given, "models": tuple(given.get("models", ("compact",)))}, keys=keys)
    except (KeyError, TypeError) as error:
        raise InputError(f"The arguments in the configuration of the server are wrong: {error}.") from error
    return application(options, cluster)


def serve_on_ray(options: ServeOptions, cluster: Cluster, say: Callable[[str], None]) -> None:
    """Serve until interrupted; Ray is started and ended with it, unless it ran before.

    say: prints a line. Raises InputError where it cannot listen, or the cluster cannot be joined.
    """
    options.check()
    for name, value in SETTINGS_OF_RAY.items():
        os.environ.setdefault(name, value)
    with listen(options.host, options.port) as probe:
        port, address = int(probe.getsockname()[1]), address_of(probe, options.scheme)
    import ray
    from ray import serve
    from ray.serve.exceptions import RayServeException

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    _hear_signals()
    try:
        _start_ray(ray, cluster)
        _hear_signals()  # again: Ray has set handlers of its own, which end this process after 3 s
        serve.start(
            proxy_location="HeadOnly" if cluster.address is None else "EveryNode",
            http_options={
                "host": options.host,
                "port": port,
                "ssl_certfile": None if options.certificate is None else str(options.certificate),
                "ssl_keyfile": None if options.private_key is None else str(options.private_key),
            },
            logging_config={"enable_access_log": False},
        )
        serve.run(application(options, cluster), name=NAME, route_prefix="/")
        say(f"SPASegment server: {address}")
        threading.Event().wait()
    except KeyboardInterrupt:
        say("Stopping: what has begun is answered.")
    finally:
        if ray.is_initialized():
            # Not `serve.shutdown`, which ends the proxies at once: what has begun would not be answered.
            with contextlib.suppress(RayServeException, TimeoutError):  # there is none yet; a replica hangs
                serve.delete(NAME)
                if cluster.address is not None and not serve.status().applications:
                    serve.shutdown()  # its proxies would keep the port
        ray.shutdown()  # and with it a cluster of our own


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    """Stop at once, while starting as while serving; whoever cannot wait for the end sends another."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def _start_ray(ray: Any, cluster: Cluster) -> None:
    """A cluster of our own on this computer, reachable from it alone; or the one that runs.

    Raises InputError.
    """
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": NAME}
    joined = {"address": cluster.address}
    own: dict[str, Any] = {
        "address": "local",
        "num_cpus": max(os.cpu_count() or 1, cluster.most),
        "include_dashboard": False,
        "object_store_memory": 256 * MEGABYTE,
        # Whoever reaches Ray's own ports can run code; other computers shall not.
        "_node_ip_address": _LOOPBACK,
    }
    if _MEMORY.is_dir():  # Ray's own choice for what its store has no room for is a disk
        own["object_spilling_directory"] = str(_MEMORY)
    for left in reversed(range(START_TRIES)):
        try:
            ray.init(**(joined if cluster.address else own), **quiet)
            return
        except Exception as error:  # a busy computer's processes are too late for Ray, which says so so
            ray.shutdown()
            if not left:
                where = f"at {cluster.address}" if cluster.address else "on this computer"
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise InputError(f"Ray {where} cannot be used: {first}") from error


def _affinity() -> dict[str, Any]:
    """Requests with one x-session-id go to one replica, where this Ray can do that."""
    try:
        from ray.serve.config import RequestRouterConfig
        from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter
    except ImportError:
        return {}
    router: Any = ConsistentHashRouter
    return {"request_router_config": RequestRouterConfig(request_router_class=router)}
