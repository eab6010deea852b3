"""Requests that nobody means well: each is refused in a sentence, and the server goes on as before."""

from __future__ import annotations

import http.client
import json
import os
import socket
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sessions import a_slice

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import Answered, ProposalRequest
from SPASegmentLib.service import codec
from SPASegmentLib.service.client import connect
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
def an_attacker(a_guarded_server, keys) -> Attacker:
    return Attacker(a_guarded_server, keys[1], keys[2])


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
