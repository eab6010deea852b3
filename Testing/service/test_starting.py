"""What a server refuses to be started with, its keys, and what "Test connection" says."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from servers import running
from sessions import a_slice

from SPASegmentLib.errors import InputError, ServerError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.service.addresses import server_address
from SPASegmentLib.service.client import connect, try_connection
from SPASegmentLib.service.server.keys import Keys, add_key, read_keys
from SPASegmentLib.service.server.options import ServeOptions


def serve(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "SPASegmentLib.cli.main",
        "serve",
        "--engine",
        "local",
        *map(str, arguments),
    ]
    return warm.run(command, timeout=90)


# Starting


def test_a_server_for_others_needs_keys_and_tls(tmp_path):
    path, secret = tmp_path / "keys.json", tmp_path / "key.pem"
    add_key(path, "Ann")
    secret.write_text("")
    with pytest.raises(InputError, match="needs --keys FILE"):
        ServeOptions(host="0.0.0.0", insecure=True).check()
    with pytest.raises(InputError, match="overheard without TLS"):
        ServeOptions(host="0.0.0.0", keys=path).check()
    with pytest.raises(InputError, match="both"):
        ServeOptions(certificate=secret).check()
    with pytest.raises(InputError, match="no file"):
        ServeOptions(certificate=secret, private_key=tmp_path / "none.pem").check()
    ServeOptions(host="0.0.0.0", keys=path, insecure=True).check()
    ServeOptions(host="0.0.0.0", keys=path, certificate=secret, private_key=secret).check()
    for host in ("127.0.0.1", "localhost", "::1"):
        ServeOptions(host=host).check()


def test_the_command_refuses_what_would_be_overheard():
    ran = serve("--host", "0.0.0.0")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.strip().endswith("make keys with --new-key NAME.")


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = serve("--port", port)
    assert ran.returncode == 1
    assert f"cannot listen at 127.0.0.1:{port}" in ran.stderr


@pytest.mark.parametrize("replicas", ["0", "3-2", "many", "-1"])
def test_replicas_that_cannot_be_are_refused(replicas):
    from SPASegmentLib.cli.serve import parse_replicas

    with pytest.raises(Exception, match="replicas cannot be"):
        parse_replicas(replicas)
    assert parse_replicas("2-8") == (2, 8)
    assert parse_replicas("3") == (3, 3)


# Keys


def test_a_key_is_made_by_the_command_and_shown_once(tmp_path):
    path = tmp_path / "keys.json"
    ran = serve("--new-key", "Dr. Ä", "--keys", path)
    secret = ran.stdout.split()[-1]
    assert len(secret) >= 43 and secret not in path.read_text(encoding="utf-8")
    user = Keys(path).user(secret)
    assert user is not None and user.name == "Dr. Ä"
    assert (
        Keys(path).user(secret + "x") is None
        and Keys(path).user(None) is None
        and Keys(path).user("") is None
    )
    with pytest.raises(InputError, match="has a key"):
        add_key(path, "Dr. Ä")
    with pytest.raises(InputError, match="one line"):
        add_key(path, "two\nlines")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "wrong at the file"),
        ("{}[]", "wrong at the file"),
        ('{"keys": [{"name": "Ann"}]}', "wrong at keys.0.sha256"),
        ('{"keys": [], "more": 1}', "wrong at more"),
        ('{"version": 2}', "wrong at version"),
    ],
)
def test_a_damaged_keys_file_is_refused_in_a_sentence(tmp_path, content, words):
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        read_keys(path)


def test_a_key_or_name_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "keys.json"
    add_key(path, "Ann")
    held = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**held, "keys": held["keys"] * 2}))
    with pytest.raises(InputError, match="one name twice"):
        read_keys(path)
    held["keys"].append({**held["keys"][0], "name": "Ben"})
    path.write_text(json.dumps(held))
    with pytest.raises(InputError, match="one key twice"):
        read_keys(path)


# Addresses


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("127.0.0.1:8770", "http://127.0.0.1:8770"),
        (" localhost:1/ ", "http://localhost:1"),
        ("segment.example.org", "https://segment.example.org"),
        ("https://segment.example.org/spa/", "https://segment.example.org/spa"),
    ],
)
def test_an_address_is_taken_as_people_write_it(typed, meant):
    assert server_address(typed) == meant


@pytest.mark.parametrize(
    "typed", ["", "ftp://a.example", "https://", "https://a b:x", "http://u:p@127.0.0.1"]
)
def test_what_is_no_address_is_refused(typed):
    with pytest.raises(ServerError, match="no server's address"):
        server_address(typed)


def test_images_do_not_go_to_another_computer_without_tls():
    with pytest.raises(ServerError, match="has no https"):
        server_address("http://segment.example.org")
    assert server_address("http://segment.example.org", insecure=True) == "http://segment.example.org"


# Test connection


def test_a_connection_that_works_names_the_model(a_guarded_server, keys):
    said = try_connection(a_guarded_server.address, keys[1], "tiny")
    assert said == f"Connected to {a_guarded_server.address}, which computes with the model tiny."


def test_what_is_wrong_with_a_connection_is_said_in_one_sentence(a_guarded_server, keys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    wrong = {
        "nothing listens there": (nobody, None, None),
        "there is no computer of that name": ("https://no-such-host.invalid", None, None),
        "does not know this key": (a_guarded_server.address, "wrong", None),
        "has no model huge; it has tiny": (a_guarded_server.address, keys[1], "huge"),
        "is no server's address": ("ftp://x", None, None),
    }
    for words, arguments in wrong.items():
        with pytest.raises(ServerError, match=words) as raised:
            try_connection(*arguments)
        assert str(raised.value).count(". ") == 0 and str(raised.value).endswith(".")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"protocol": 2, "version": "9", "models": []}', "speaks protocol 2 and this program 1"),
        ('{"hello": "world"}', "is no SPASegment server"),
        ("<html>welcome</html>", "is no SPASegment server"),
        ('{"protocol": 1, "version": "9", "models": [{"name": 3}]}', "cannot be read"),
    ],
)
def test_a_server_of_another_kind_or_version_is_named(answer, words):
    """A web server that is none of ours answers."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def once() -> None:
            near, _ = listening.accept()
            near.recv(65536)
            near.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode())
            near.close()

        threading.Thread(target=once, daemon=True).start()
        with pytest.raises(ServerError, match=words):
            try_connection(f"127.0.0.1:{listening.getsockname()[1]}")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls_is_spoken_and_a_strange_certificate_is_refused(a_model, tmp_path: Path, a_local_engine):
    certificate, secret = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", secret, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with running(
        "--engine", "local", "--model", a_model, "--tls-certificate", certificate, "--tls-key", secret
    ) as server:
        assert server.address.startswith("https://")
        with pytest.raises(ServerError, match="certificate is not trusted"):
            try_connection(server.address)
        engine = connect(server.address, authority=str(certificate))
        request = ProposalRequest(a_slice(), (PointPrompt(48.0, 48.0),))
        here = a_local_engine.propose(request)
        assert (engine.propose(request).recommendation == here.recommendation).all()
        engine.close()
