"""docs/service.md and the manifest for KubeRay say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from SPASegmentLib.errors import InputError
from SPASegmentLib.service import codec, wire
from SPASegmentLib.service.server.keys import User
from SPASegmentLib.service.server.options import ServeOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "service.md").read_text(encoding="utf-8")


def test_every_path_of_the_server_is_in_the_page(page):
    fastapi = pytest.importorskip("fastapi")
    from SPASegmentLib.service.server.app import build_app
    from SPASegmentLib.service.server.core import ServerCore

    core = ServerCore(ServeOptions(), {})
    app = build_app(core)
    core.close()
    assert isinstance(app, fastapi.FastAPI)
    paths = {
        f"{method.upper()} {re.sub('{(identity|model)}', '{}', path)}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    told = {re.sub("{(sha256|hash)}", "{}", row) for row in re.findall(r"^\| `([A-Z]+ /\S+)` ", page, re.M)}
    assert told == paths | {"GET /v1/openapi.json"}


def test_the_pages_numbers_are_the_codes(page):
    user = User(name="x", sha256="0" * 64)
    for name in ("requests_per_minute", "megabytes_per_minute", "concurrent"):
        assert f"`{name}` ({getattr(user, name)})" in page
    options = ServeOptions()
    megabytes = (options.largest_sent // wire.MEGABYTE, options.largest_body // wire.MEGABYTE)
    assert "larger than {} MB sent or {} MB decompressed".format(*megabytes) in page
    assert f"## Protocol, version {wire.PROTOCOL}" in page and options.idle_seconds == 600
    kinds = {"slice", "request", "proposal", "mixture"}
    assert kinds == set(re.findall(r'pack\("(\w+)"', Path(codec.__file__).read_text(encoding="utf-8")))
    assert all(f"`{kind}`" in page for kind in kinds)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
def test_the_manifest_is_one_that_ray_takes(tmp_path):
    """The part that is Ray's is read by Ray's own schema, and its application is built."""
    pytest.importorskip("ray")
    from ray.serve.schema import ServeDeploySchema

    from SPASegmentLib.service.server import cluster
    from SPASegmentLib.service.server.keys import add_key

    manifest = yaml.safe_load((DOCS / "kuberay.yaml").read_text(encoding="utf-8"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayService")
    config = ServeDeploySchema.model_validate(yaml.safe_load(manifest["spec"]["serveConfigV2"]))
    (application,) = config.applications
    module, name = application.import_path.split(":")
    assert module == cluster.__name__
    add_key(tmp_path / "keys.json", "Ann")
    args = {**application.args, "keys": str(tmp_path / "keys.json")}
    assert getattr(cluster, name)(args) is not None
    with pytest.raises(InputError):
        cluster.from_config({"keys": "k", "colour": "red"})
    with pytest.raises(InputError):
        cluster.from_config({})

    spec = manifest["spec"]["rayClusterConfig"]
    pods = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in pods):
        (container,) = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts.keys() <= volumes
        assert any(application.args["keys"].startswith(f"{path}/") for path in mounts.values())
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        hook = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
        assert {"name": hook, "value": cluster.SETTINGS_OF_RAY[hook]} in container["env"]
        assert set(container["resources"]["limits"]) >= {"cpu", "memory"}
    (workers,) = spec["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (
        application.args["fewest"],
        application.args["most"],
    )
    assert (
        int(workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
        == (application.args["gpus"])
    )
    assert spec["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == (
        config.http_options.port
    )
