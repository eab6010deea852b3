"""A server of one process, asked over real sockets by its client."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from comparing import differences
from servers import running, wait_until
from sessions import a_slice, apart, interact

from SPASegmentLib.errors import Cancelled, InputError, ProfileError, SeedError, ServerError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import Carried, ProposalRequest
from SPASegmentLib.service.client import RemoteEngine, connect
from SPASegmentLib.service.codec import encode_image, encode_request, identity
from SPASegmentLib.service.server.keys import add_key
from SPASegmentLib.service.wire import compress


@pytest.fixture(scope="module")
def remote(a_server) -> RemoteEngine:
    return connect(a_server.address)


def ask(server, method: str, path: str, key: str | None = None, **more) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.request(method, server.address + path, headers=headers, timeout=60, trust_env=False, **more)


# Answers


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_interaction_is_the_same_as_in_process(remote, a_local_engine, seed):
    image = a_slice(seed)
    assert apart(interact(remote, image, seed=seed), interact(a_local_engine, image, seed=seed)) == []


def test_colour_neighbours_spacing_warnings_and_profiles_make_no_difference(remote, a_local_engine):
    rng = np.random.default_rng(0)
    grey = a_slice(5, warnings=("The file has no spacing.",), modality="MR")
    others = tuple(a_slice(n).pixels for n in (6, 7))
    prior = rng.normal(size=a_local_engine.model.components)
    for image in (
        grey,
        replace(grey, neighbours=(*others, None, others[0])),
        replace(grey, pixels=np.stack([grey.pixels] * 3, axis=-1), modality="PATIENT^NAME"),
    ):
        request = ProposalRequest(image, (PointPrompt(48.0, 48.0),), log_prior=prior, seed=7, n_samples=8)
        here, there = a_local_engine.propose(request), remote.propose(request)
        unlike = ("seconds", "warnings") if image.modality == "PATIENT^NAME" else ("seconds",)
        assert differences(here, there, ignored=unlike) == []
        assert there.warnings[:1] == image.warnings


def test_a_mask_carried_from_a_neighbouring_slice_makes_no_difference(remote, a_local_engine):
    rows, cols = np.mgrid[:96, :96]
    mask = (np.hypot(rows - 48, cols - 48) < 9).astype(np.float32)
    request = ProposalRequest(a_slice(8), (PointPrompt(48.0, 48.0),), carried=Carried(mask))
    here, there = a_local_engine.propose(request), remote.propose(request)
    assert differences(here, there, ignored=("seconds",)) == []


def test_the_mixture_and_the_model_are_the_same_as_in_process(remote, a_local_engine):
    assert remote.model == a_local_engine.model
    here, there = a_local_engine.base_mixture(), remote.base_mixture()
    assert np.allclose(here.log_weights, there.log_weights, atol=1e-12)
    assert np.array_equal(here.means, there.means) and np.array_equal(here.variances, there.variances)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"points": (PointPrompt(500.0, 1.0),)}, SeedError),
        ({"points": (PointPrompt(5.0, 1.0, False),)}, SeedError),
        ({"log_prior": np.zeros(2)}, ProfileError),
        ({"image": SliceImage(np.zeros((40, 40), np.float32))}, InputError),
    ],
)
def test_what_the_engine_refuses_is_refused_with_its_own_error_and_sentence(
    remote, a_local_engine, changed, error
):
    request = replace(ProposalRequest(a_slice(), (PointPrompt(48.0, 48.0),)), **changed)
    with pytest.raises(error) as here:
        a_local_engine.propose(request)
    with pytest.raises(error) as there:
        remote.propose(request)
    assert str(here.value) == str(there.value)


@pytest.mark.long
def test_many_users_at_once_get_the_answers_that_each_gets_alone(remote, a_local_engine):
    images = [a_slice(20 + n) for n in range(6)]
    done = {}

    def user(n: int) -> None:
        done[n] = interact(remote, images[n], steps=2, seed=n)

    threads = [threading.Thread(target=user, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for n, image in enumerate(images):
        assert apart(done[n], interact(a_local_engine, image, steps=2, seed=n)) == []


# What it says of itself


def test_a_server_says_how_it_is_and_what_it_has(a_server, a_local_engine):
    assert ask(a_server, "GET", "/healthz").text == "alive\n"
    assert ask(a_server, "GET", "/readyz").text == "ready\n"
    said = ask(a_server, "GET", "/v1/models").json()
    assert said["protocol"] == 1
    assert [model["hash"] for model in said["models"]] == [a_local_engine.model.hash]
    paths = ask(a_server, "GET", "/v1/openapi.json").json()["paths"]
    assert {"/v1/images/{identity}", "/v1/propose", "/v1/models", "/healthz", "/readyz", "/metrics"} <= set(
        paths
    )


def test_metrics_count_requests_and_slices(a_server, remote):
    before = a_server.metric("spasegment_requests_total")
    remote.propose(ProposalRequest(a_slice(77), (PointPrompt(48.0, 48.0),)))
    assert a_server.metric("spasegment_requests_total") >= before + 1
    assert a_server.metric("spasegment_images") >= 1
    assert a_server.metric("spasegment_waiting") == 0


@pytest.mark.parametrize("path", ["/v2/propose", "/v1/unknown", "/", "/docs"])
def test_another_version_is_refused_in_a_sentence(a_server, path):
    answer = ask(a_server, "POST", path)
    assert answer.status_code == 404
    assert "speaks version 1" in answer.json()["problem"]


# Slices


@pytest.fixture(scope="module")
def a_forgetful_server(a_model):
    """It keeps 1 MB of slices, for 1.2 s unused."""
    limits = ("--image-mb", "1", "--idle-minutes", "0.02")
    with running("--engine", "local", "--model", a_model, *limits) as server:
        yield server


def test_a_slice_is_sent_once_and_again_where_it_was_forgotten(a_forgetful_server):
    server = a_forgetful_server
    engine = connect(server.address)
    image = a_slice()
    sizes = []
    for _ in range(2):
        before = server.metric("spasegment_received_bytes_total")
        engine.propose(ProposalRequest(image, (PointPrompt(48.0, 48.0),)))
        sizes.append(server.metric("spasegment_received_bytes_total") - before)
    assert sizes[0] > 20_000 > 2_000 > sizes[1]
    assert wait_until(lambda: server.metric("spasegment_images") == 0, 5)
    engine.propose(ProposalRequest(image, (PointPrompt(40.0, 48.0),)))
    assert server.metric('spasegment_requests_total{path="/v1/propose",status="409"}') == 1


def test_a_slice_can_be_sent_ahead(a_server):
    engine = connect(a_server.address)
    image = a_slice(31)
    request = ProposalRequest(image, (PointPrompt(48.0, 48.0),))
    engine.warm(image, request)
    before = a_server.metric("spasegment_received_bytes_total")
    engine.propose(request)
    assert a_server.metric("spasegment_received_bytes_total") - before < 2_000


@pytest.mark.long
def test_a_full_cache_costs_an_upload_and_no_answer(a_forgetful_server, a_local_engine):
    server = a_forgetful_server
    engine = connect(server.address)
    requests = [ProposalRequest(a_slice(n, size=300), (PointPrompt(150.0, 150.0),)) for n in range(4)]
    requests.append(ProposalRequest(a_slice(9, size=600), (PointPrompt(300.0, 300.0),)))
    for request in (*requests, *requests):
        assert (
            differences(a_local_engine.propose(request), engine.propose(request), ignored=("seconds",)) == []
        )
        assert server.metric("spasegment_image_bytes") <= 2**20
    assert server.metric('spasegment_requests_total{path="/v1/propose",status="409"}') >= 4


# Keys


def test_a_key_is_asked_for_and_a_wrong_one_is_refused(a_guarded_server, keys):
    for path in ("/v1/models", "/metrics", f"/v1/models/{'0' * 64}/mixture"):
        assert ask(a_guarded_server, "GET", path).status_code == 401
        assert ask(a_guarded_server, "GET", path, "wrong").status_code == 401
    assert ask(a_guarded_server, "POST", "/v1/propose", content=b"x").status_code == 401
    assert ask(a_guarded_server, "PUT", f"/v1/images/{'0' * 64}", content=b"x").status_code == 401
    assert ask(a_guarded_server, "GET", "/v1/models", keys[1]).status_code == 200
    assert ask(a_guarded_server, "GET", "/healthz").status_code == 200


def test_the_keys_file_holds_no_key(keys):
    path, ann, ben = keys
    held = path.read_text(encoding="utf-8")
    assert ann not in held and ben not in held
    assert [user["name"] for user in json.loads(held)["keys"]] == ["Ann", "Ben"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_hash_is_no_permission(a_guarded_server, keys):
    """A slice that Ann has sent is not there for Ben, though he knows its hash."""
    _, ann, ben = keys
    image = a_slice(40)
    sent = encode_image(image)
    engine = connect(a_guarded_server.address, ann)
    body = compress(
        encode_request(
            ProposalRequest(image, (PointPrompt(48.0, 48.0),)), engine.model.hash, identity(sent), None
        )
    )
    assert (
        ask(a_guarded_server, "PUT", f"/v1/images/{identity(sent)}", ann, content=compress(sent)).status_code
        == 204
    )
    assert ask(a_guarded_server, "POST", "/v1/propose", ben, content=body).status_code == 409
    assert ask(a_guarded_server, "POST", "/v1/propose", ann, content=body).status_code == 200


@pytest.fixture(scope="module")
def a_strict_server(a_model, tmp_path_factory):
    """It gives Ann 60 requests a minute; the server, its keys file, the keys of Ann and Ben."""
    path = tmp_path_factory.mktemp("strict") / "keys.json"
    ann, ben = add_key(path, "Ann"), add_key(path, "Ben")
    held = json.loads(path.read_text(encoding="utf-8"))
    held["keys"][0] |= {"requests_per_minute": 60}
    path.write_text(json.dumps(held))
    with running("--engine", "local", "--model", a_model, "--keys", path) as server:
        yield server, path, ann, ben


def test_a_quota_holds_and_the_client_waits_for_it(a_strict_server):
    server, _, ann, ben = a_strict_server
    identities = [f"{n:064x}" for n in range(70)]
    with httpx.Client(base_url=server.address, trust_env=False) as client:
        headers = {"authorization": f"Bearer {ann}"}
        answers = [client.put(f"/v1/images/{i}", content=b"x", headers=headers) for i in identities]
    refused = [a for a in answers if a.status_code == 429]
    assert 1 <= len(refused) <= 10
    assert refused[0].json()["problem"] == "60 requests a minute are all that this key has."
    assert 0 < float(refused[0].headers["retry-after"]) <= 1.1
    request = ProposalRequest(a_slice(), (PointPrompt(48.0, 48.0),))
    assert ask(server, "PUT", f"/v1/images/{'0' * 64}", ben, content=b"x").status_code == 400
    assert connect(server.address, ann).propose(request).recommendation.any()


def test_a_key_that_is_taken_out_of_the_file_ends_at_once(a_strict_server):
    server, path, ann, ben = a_strict_server
    assert ask(server, "GET", "/v1/models", ann).status_code == 200
    held = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**held, "keys": held["keys"][1:]}))
    assert ask(server, "GET", "/v1/models", ann).status_code == 401
    assert ask(server, "GET", "/v1/models", ben).status_code == 200
    path.write_text("{}broken")
    assert ask(server, "GET", "/v1/models", ben).status_code == 200


# Cancelling


def test_a_cancelled_request_stops_on_the_server(a_server, remote):
    """A request of many samples, cancelled, makes room: the next answer does not wait for its end."""
    image = a_slice(50)
    long = ProposalRequest(image, (PointPrompt(48.0, 48.0),), seed=1, n_samples=1024)
    started = time.monotonic()
    remote.propose(long)
    whole = time.monotonic() - started
    token = threading.Event()
    threading.Timer(0.15 * whole, token.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        remote.propose(replace(long, seed=2), token)
    remote.propose(replace(long, n_samples=4))
    assert time.monotonic() - started < 0.75 * whole
    assert wait_until(lambda: "/v1/propose 499" in a_server.log)


# Logs


def test_nothing_of_a_person_or_an_image_leaves_or_is_logged(a_guarded_server, keys):
    loud = "DOE^JANE PID-4711 1970-01-01"
    image = a_slice(60, warnings=(loud,), modality=loud)
    engine = connect(a_guarded_server.address, keys[1])
    session = interact(engine, image, steps=2)
    assert session.done[0].proposal.warnings[0] == loud
    named = identity(encode_image(replace(image, warnings=(), modality=None)))
    for secret in ("DOE", "4711", named, named[:12], keys[1], "Ann"):
        assert secret not in a_guarded_server.log
    assert re.search(r"POST /v1/propose 200 \d", a_guarded_server.log)


def test_the_client_needs_no_torch(a_server):
    import subprocess
    import sys

    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from SPASegmentLib.imaging.types import PointPrompt, SliceImage\n"
        "from SPASegmentLib.inference.session import Session\n"
        "from SPASegmentLib.service.client import connect\n"
        f"engine = connect({a_server.address!r})\n"
        "pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)\n"
        "session = Session.start(SliceImage(pixels), engine.model, PointPrompt(32.0, 32.0)).advance(engine)\n"
        "print('answered', session.proposal.recommendation.shape)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ran.stdout.strip() == "answered (64, 64)", ran.stderr


def test_a_model_that_the_server_has_not_is_named_with_those_it_has(a_server):
    with pytest.raises(ServerError, match=r"no model other; it has tiny\."):
        connect(a_server.address, model="other")
