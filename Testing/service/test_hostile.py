"""Requests that nobody means well: each is refused in a sentence, and the server goes on as before."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import safetensors.numpy
import uvicorn
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from servers import running
from sessions import a_slice

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import Answered, ProposalRequest
from SPASegmentLib.service import codec
from SPASegmentLib.service.client import connect
from SPASegmentLib.service.server.app import build_app
from SPASegmentLib.service.server.connections import GuardedProtocol
from SPASegmentLib.service.server.core import ServerCore
from SPASegmentLib.service.server.keys import add_key
from SPASegmentLib.service.server.listening import listen
from SPASegmentLib.service.server.options import ServeOptions
from SPASegmentLib.service.server.standalone import load_engines
from SPASegmentLib.service.wire import compress

MEMORY = 50 * 2**20


class Attacker:
    """Sends bodies over one connection; knows Ann's key, and that Ben has sent a slice."""

    def __init__(self, server, ann: str, ben: str) -> None:
        self.server, self._key = server, ann
        engine = connect(server.address, ann)
        self.model = engine.model.hash
        self.request = ProposalRequest(a_slice(80, size=64), (PointPrompt(32.0, 32.0),), n_samples=4)
        proposal = engine.propose(self.request)
        self.answered = replace(self.request, answered=(Answered(proposal, None),))
        self.slice = codec.encode_image(self.request.image)
        self.named = codec.identity(self.slice)
        other = replace(self.request, image=a_slice(81, size=64))
        connect(server.address, ben).propose(other)
        self.bens = codec.identity(codec.encode_image(other.image))

    def send(self, method: str, path: str, body: bytes, **headers: str) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request(method, path, body, {"authorization": f"Bearer {self._key}", **headers})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if "json" in str(answer.headers["content-type"]) else {}
        finally:
            connection.close()

    def body(self, request: ProposalRequest | None = None, **changed) -> bytes:
        """A request's raw body. changed: model, image, slice."""
        sent = {"model": self.model, "image": self.named, "slice_bytes": None, **changed}
        return codec.encode_request(request or self.request, **sent)


@pytest.fixture(scope="module")
def an_attacker(a_model, tmp_path_factory) -> Iterator[Attacker]:
    """With more requests a minute than a fast computer makes, so that none is refused for their number."""
    path = tmp_path_factory.mktemp("patient") / "keys.json"
    ann, ben = add_key(path, "Ann"), add_key(path, "Ben")
    held = json.loads(path.read_text(encoding="utf-8"))
    held["keys"][0] |= {"requests_per_minute": 1_000_000, "megabytes_per_minute": 1_000_000}
    path.write_text(json.dumps(held))
    with running("--engine", "local", "--model", a_model, "--device", "cpu", "--keys", path) as server:
        yield Attacker(server, ann, ben)


def rewritten(body: bytes, change) -> bytes:
    """The body with its record changed and its arrays as they are."""
    length = int.from_bytes(body[:8], "little")
    head, _, text = json.loads(body[8 : 8 + length])["__metadata__"]["spasegment"].partition("\n")
    record = json.loads(text)
    change(record)
    return safetensors.numpy.save(
        safetensors.numpy.load(body), metadata={"spasegment": f"{head}\n{json.dumps(record)}"}
    )


def places(record: object, path: tuple = ()) -> list[tuple]:
    """Every place in a record."""
    found = [path] if path else []
    items = (
        record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    )
    for key, value in items:
        found += places(value, (*path, key))
    return found


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def attack(attacker: Attacker, data: st.DataObject) -> tuple[int, dict]:
    """One hostile request, of a kind that is drawn."""
    kind = data.draw(st.sampled_from(["noise", "bytes", "record", "arrays", "bomb", "slice", "hash", "path"]))
    body = attacker.body(attacker.answered)
    if kind == "noise":
        return attacker.send("POST", "/v1/propose", data.draw(st.binary(max_size=300)))
    if kind == "bytes":
        changed = bytearray(body if data.draw(st.booleans()) else compress(body))
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(changed[: data.draw(st.integers(0, len(changed)))])
        return attacker.send("POST", "/v1/propose", cut if data.draw(st.booleans()) else compress(cut))
    if kind == "record":

        def change(record: dict) -> None:
            *way, last = data.draw(st.sampled_from(places(record)))
            held = record
            for step in way:
                held = held[step]
            held[last] = data.draw(odd)

        return attacker.send("POST", "/v1/propose", compress(rewritten(body, change)))
    if kind == "arrays":
        proposal = attacker.answered.answered[0].proposal
        name = data.draw(st.sampled_from([f.name for f in fields(proposal.feedback) if f.name != "region"]))
        shape = tuple(data.draw(st.lists(st.integers(0, 6), max_size=4)))
        array = np.zeros(shape, data.draw(st.sampled_from(["uint8", "bool", "float32", "float64", "int64"])))
        feedback = replace(proposal.feedback, **{name: array})
        answered = (
            Answered(replace(proposal, feedback=feedback), data.draw(st.none() | st.integers(-2, 70))),
        )
        wrong = replace(attacker.request, answered=answered)
        return attacker.send("POST", "/v1/propose", compress(attacker.body(wrong)))
    if kind == "bomb":
        size = data.draw(st.integers(2**28 + 1, 2**29))
        bomb = zstandard.ZstdCompressor(level=1).compress(bytes(size))
        return attacker.send("POST", "/v1/propose", bomb)
    if kind == "slice":
        named = data.draw(st.sampled_from([attacker.named, attacker.bens, "0" * 64, "x", "../../keys"]))
        changed = bytearray(attacker.slice)
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 255
        return attacker.send("PUT", f"/v1/images/{named}", compress(bytes(changed)))
    if kind == "hash":
        named = data.draw(st.sampled_from([attacker.bens, "f" * 64]))
        model = data.draw(st.sampled_from([attacker.model, "e" * 64]))
        return attacker.send("POST", "/v1/propose", compress(attacker.body(image=named, model=model)))
    path = data.draw(
        st.sampled_from(["/v0/propose", "/v1/propose/", "/v2/models", "/v1/images", "//", "/%00"])
    )
    return attacker.send(data.draw(st.sampled_from(["POST", "PUT", "DELETE"])), path, b"x")


def check_answer(status: int, problem: dict) -> None:
    """It may turn out harmless (200, 204); else it is refused in a sentence, never with 5xx."""
    assert status in (200, 204) or 400 <= status < 500, (status, problem)
    if status >= 400:
        assert problem["problem"].endswith(".") and len(problem["problem"]) < 700
        assert "Traceback" not in problem["problem"] and "File " not in problem["problem"]


def resident(server) -> int:
    """Bytes of memory of a server's process."""
    text = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return 1024 * int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])


def storm(attacker: Attacker, count: int) -> None:
    before = resident(attacker.server) if os.path.isdir("/proc") else 0  # noqa: PTH112

    @settings(
        max_examples=count,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check_answer(*attack(attacker, data))

    run()
    status, _ = attacker.send("POST", "/v1/propose", compress(attacker.body(slice_bytes=attacker.slice)))
    assert status == 200
    if before:
        assert resident(attacker.server) - before < MEMORY


def test_hostile_requests_are_refused_and_leave_nothing(an_attacker):
    storm(an_attacker, 60)  # to reach the memory that the server keeps
    storm(an_attacker, 200)


@pytest.mark.service
def test_two_thousand_hostile_requests(an_attacker):
    storm(an_attacker, 60)
    storm(an_attacker, 2000)


def test_a_body_that_never_ends_is_cut_off(an_attacker):
    """A client that says it sends more than is taken is refused before it has sent it."""
    with socket.create_connection(("127.0.0.1", an_attacker.server.port), 10) as line:
        line.sendall(
            b"POST /v1/propose HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            + an_attacker._key.encode()
            + b"\r\nContent-Length: 999999999999\r\n\r\nabc"
        )
        assert b" 413 " in line.recv(200)


def test_the_picked_candidate_of_another_slice_is_refused(an_attacker):
    larger = replace(an_attacker.answered, image=a_slice(82, size=70))
    sent = codec.encode_image(larger.image)
    body = an_attacker.body(larger, image=codec.identity(sent), slice_bytes=sent)
    status, problem = an_attacker.send("POST", "/v1/propose", compress(body))
    assert status == 400 and "shape" in problem["problem"]


def raw(attacker: Attacker, data: bytes, seconds: float = 30.0) -> bytes:
    """What comes back for bytes that are sent as they are; empty where the connection is closed."""
    with socket.create_connection(("127.0.0.1", attacker.server.port), seconds) as line:
        try:
            for at in range(0, len(data), 2**16):
                line.sendall(data[at : at + 2**16])
            return line.recv(400)
        except (ConnectionResetError, BrokenPipeError):
            return b""


HEAD = b"POST /v1/propose HTTP/1.1\r\nHost: x\r\n"
NO_KEY = b"Authorization: Bearer \xff\xfe\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"X: " + b"a" * 2**20 + b"\r\n\r\n", b" 400 "),
        (HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(20_000)) + b"\r\n", b" 400 "),
        (HEAD + b"X: " + b"a" * 2**24, b" 400 "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50), b" 404 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b" 400 "),
        (HEAD + b"Content-Length: 4\r\nContent-Length: 9\r\n\r\nabcd", b" 400 "),
        (HEAD + b"Content-Length: -4\r\n\r\nabcd", b" 400 "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", b" 400 "),
        (HEAD + NO_KEY + b"Content-Length: 4\r\n\r\nabcd", b" 401 "),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", b" 401 "),
        (b"CONNECT evil:443 HTTP/1.1\r\nHost: x\r\n\r\n", b" 404 "),
    ],
    ids=[
        "header",
        "headers",
        "endless",
        "http2",
        "tls",
        "lengths",
        "negative",
        "chunk",
        "key",
        "expect",
        "connect",
    ],
)
def test_what_is_no_request_is_refused_at_once(an_attacker, sent, status):
    """Without a key, from anybody. A head without an end kept the server from all others for minutes."""
    started = time.monotonic()
    answer = raw(an_attacker, sent)
    assert status in answer[:20] or (not answer and len(sent) > 2**16), answer
    assert time.monotonic() - started < 20
    assert an_attacker.send("GET", "/healthz", b"")[0] == 200


def test_pipelined_garbage_ends_its_connection_only(an_attacker):
    answer = raw(an_attacker, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + b"\0\xff garbage\r\n\r\n" * 50)
    assert answer.startswith(b"HTTP/1.1 200") or b" 400 " in answer[:20]
    assert an_attacker.send("GET", "/healthz", b"")[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        '{"__metadata__": {"spasegment": ' + "[" * 200_000,
        '{"__metadata__": {"spasegment": ' + "9" * 10_000 + "}}",
        json.dumps({"__metadata__": {"spasegment": "1 request\n" + "[" * 100_000}}),
        json.dumps({"__metadata__": {"spasegment": "1 request\n" + "9" * 10_000}}),
        '{"__metadata__": {"spasegment": "1 request\\n\\ud800"}}',
        json.dumps(
            {"__metadata__": {"spasegment": "1 request\n{}"}}
            | {str(n): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(20_000)}
        ),
    ],
    ids=["deep", "number", "deep record", "number in record", "half a letter", "many arrays"],
)
def test_records_that_are_deep_long_or_many_are_refused(an_attacker, header):
    text = header.encode()
    status, problem = an_attacker.send(
        "POST", "/v1/propose", compress(len(text).to_bytes(8, "little") + text)
    )
    assert status == 400
    check_answer(status, problem)


def test_a_frame_whose_window_is_huge_is_refused(an_attacker):
    """It would have the server take the window's memory before it sees how little is in the frame."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0b11000000, 0xFF]) + (100).to_bytes(8, "little") + bytes([1, 0, 0])
    status, problem = an_attacker.send("POST", "/v1/propose", frame)
    assert status == 400
    check_answer(status, problem)


def test_a_key_in_the_address_is_none_and_is_not_logged(an_attacker):
    key = an_attacker._key.encode()
    for path in (b"/v1/models?key=" + key, b"/v1/models/" + key + b"/mixture", b"/" + key):
        answer = raw(an_attacker, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 401 " in answer[:20] or b" 404 " in answer[:20]
    assert an_attacker._key not in an_attacker.server.log


@pytest.fixture
def an_impatient_server(a_model) -> Iterator[int]:
    """The port of a server in a thread, which waits one second for a head."""
    core = ServerCore(ServeOptions(), load_engines([str(a_model)], "cpu"))

    class Impatient(GuardedProtocol):
        head_seconds = 1.0

    server = uvicorn.Server(uvicorn.Config(build_app(core), http=Impatient, log_level="error"))
    listening = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(30)
    core.close()


def test_connections_that_are_no_request_in_time_are_closed(an_impatient_server):
    """One sends nothing, one its head slowly, one goes on with a body after it was refused."""
    lines = [socket.create_connection(("127.0.0.1", an_impatient_server), 10) for _ in range(203)]
    silent, slow, refused = lines[:3]
    refused.sendall(HEAD + b"Content-Length: 999999999999\r\n\r\n")
    assert b" 413 " in refused.recv(400)
    assert httpx.get(f"http://127.0.0.1:{an_impatient_server}/healthz", trust_env=False).status_code == 200
    ended = dict.fromkeys((silent, slow, refused), False)
    until = time.monotonic() + 20
    while not all(ended.values()) and time.monotonic() < until:
        for line, data in ((slow, b"P"), (refused, b"x" * 100)):
            with contextlib.suppress(OSError):
                line.sendall(data)
        for line in ended:
            line.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                try:
                    ended[line] = ended[line] or line.recv(400) == b""
                except ConnectionError:
                    ended[line] = True
    assert all(ended.values())
    for line in lines:
        line.close()
