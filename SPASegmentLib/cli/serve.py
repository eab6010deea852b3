"""`spasegment serve`: proposals for many users, from one machine or a cluster."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from SPASegmentLib.cli.shared import Device
from SPASegmentLib.inference.config import DEFAULT_MODEL
from SPASegmentLib.service.addresses import USUAL_PORT


class ServeEngine(str, Enum):
    """What runs the replicas."""

    ray = "ray"
    local = "local"


def serve(
    replicas: Annotated[
        str, typer.Option(metavar="N|MIN-MAX", help="Processes that compute, or how few and how many.")
    ] = "1",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_PATH", help="May be repeated; see `spasegment models`. Default: compact."
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = USUAL_PORT,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The users' keys; needed unless only this computer can ask."),
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option("--new-key", metavar="NAME", help="Make a key for a user, show it once, and end."),
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="For https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="For https.")] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Plain http for other computers, too: images can be read on the way."
        ),
    ] = False,
    engine: Annotated[
        ServeEngine, typer.Option(help="ray: replicas, which survive each other; local: one process.")
    ] = ServeEngine.ray,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Join a running Ray cluster, for example auto.")
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, help="Share of a GPU that each replica has; 0: replicas on CPUs.")
    ] = 0.0,
    idle_minutes: Annotated[
        float, typer.Option(min=0.01, help="A slice that nobody uses for so long is forgotten.")
    ] = 10.0,
    image_mb: Annotated[int, typer.Option(min=1, help="Memory for slices, each replica.")] = 2048,
) -> None:
    """Compute proposals for others: Slicer, viewer and command use it with --server.

    Examples:

    spasegment serve --engine local

    spasegment serve --new-key "Dr. A" --keys keys.json

    spasegment serve --replicas 2-8 --host 0.0.0.0 --keys keys.json --tls-certificate c.pem --tls-key k.pem
    """
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.service.wire import MEGABYTE

    if new_key is not None:
        _make_key(keys, new_key)
        return
    fewest, most = parse_replicas(replicas)
    try:
        from SPASegmentLib.service.server.options import ServeOptions

        options = ServeOptions(
            models=tuple(model or [DEFAULT_MODEL]),
            device=device.value,
            host=host,
            port=port,
            keys=keys,
            certificate=tls_certificate,
            private_key=tls_key,
            insecure=insecure,
            image_bytes=image_mb * MEGABYTE,
            idle_seconds=idle_minutes * 60,
        )
        options.check()
        if engine is ServeEngine.local:
            if (fewest, most) != (1, 1) or address is not None:
                raise typer.BadParameter("--engine local is one process on this computer.")
            from SPASegmentLib.service.server.standalone import serve_alone

            serve_alone(options, typer.echo)
        else:
            from SPASegmentLib.service.server.cluster import Cluster, serve_on_ray

            serve_on_ray(options, Cluster(fewest, most, address, gpus), typer.echo)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("SPASegmentLib"):
            raise
        raise InputError(
            f'The server\'s parts are not installed ({error.name}); run: pip install "spasegment[service]"'
        ) from error


def parse_replicas(text: str) -> tuple[int, int]:
    """Fewest and most of "2" or "1-4". Raises BadParameter."""
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text.strip())
    fewest = int(found[1]) if found else 0
    most = int(found[2] or found[1]) if found else 0
    if not 1 <= fewest <= most:
        raise typer.BadParameter(
            f"{text!r} replicas cannot be; give a number, or the fewest and most, as 1-4."
        )
    return fewest, most


def _make_key(keys: Path | None, name: str) -> None:
    if keys is None:
        raise typer.BadParameter("--new-key needs --keys FILE, where the key's hash is kept.")
    from SPASegmentLib.service.server.keys import add_key

    typer.echo(f"The key of {name}, shown this once: {add_key(keys, name)}")
