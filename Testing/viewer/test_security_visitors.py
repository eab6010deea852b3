"""Who is answered: this server's own names and pages, with the token or the cookie it is exchanged for."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from SPASegmentLib.viewer.options import ViewerOptions
from SPASegmentLib.viewer.resume import page_key
from SPASegmentLib.viewer.security import Guard

FOREIGN = [
    "127.evil.example",
    "127.0.0.1.evil.example:80",
    "127.0.0.1evil.example",
    "localhost.evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1:80@evil.example",
    "127.1.",
    "2130706433",
    "[::1",
    "[::1]evil.example",
    "[::1].evil.example:80",
    "0x7f.1",
    "10.0.0.7",
    "evil.example",
    "127.0.0.1/evil",
    "127.0.0.1 evil.example",
    "127.0.0.1:x",
]
OWN = ["127.0.0.1", "127.0.0.1:9000", "127.8.9.1", "localhost", "LOCALHOST:80", "[::1]", "[::1]:80"]


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """On a thread of its own: the browser's driver keeps a loop running on this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(main())).result(120)


def base_of(address: str) -> str:
    """http://HOST:PORT of the printed address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def visit(address: str, asks: Callable[[aiohttp.ClientSession], Awaitable[Any]]) -> Any:
    """What `asks` gets with the cookie that the printed address gives."""

    async def main() -> Any:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(base_of(address), cookie_jar=jar) as client:
            async with client.get(address) as answer:
                assert answer.status == 200
            return await asks(client)

    return run(main)


def status(address: str, path: str = "/index.html", *, known: bool = True, **headers: str) -> int:
    """The status a path is answered with. known: whether the cookie is there."""

    async def ask(client: aiohttp.ClientSession) -> int:
        async with client.get(path, headers=headers, allow_redirects=False) as answer:
            return answer.status

    async def stranger() -> int:
        async with aiohttp.ClientSession(base_of(address)) as client:
            return await ask(client)

    return int(visit(address, ask) if known else run(stranger))


def opens_socket(address: str, *, known: bool = True, **headers: str) -> bool:
    """Whether the websocket answers a page's greeting."""

    async def ask(client: aiohttp.ClientSession) -> bool:
        try:
            async with client.ws_connect("/ws", headers=headers):
                return True
        except aiohttp.WSServerHandshakeError as error:
            assert error.status == 403
            return False

    async def stranger() -> bool:
        async with aiohttp.ClientSession(base_of(address)) as client:
            return await ask(client)

    return bool(visit(address, ask) if known else run(stranger))


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_name_is_refused_for_pages_and_sockets(a_server: Any, host: str) -> None:
    assert status(a_server.address, Host=host) == 403
    assert not opens_socket(a_server.address, Host=host)


@pytest.mark.parametrize("host", OWN)
def test_this_computer_s_own_names_are_served(a_server: Any, host: str) -> None:
    assert status(a_server.address, Host=host) == 200
    assert opens_socket(a_server.address, Host=host)


def answers(options: ViewerOptions, host: str) -> bool:
    """Whether a server started with these options takes a request with this Host header."""
    return Guard(options)._is_own(host)


def test_the_name_given_is_served_and_none_that_resembles_it() -> None:
    named = ViewerOptions(host="viewer.clinic.example")
    assert answers(named, "viewer.clinic.example:8765") and answers(named, "Viewer.Clinic.Example")
    assert not answers(named, "viewer.clinic.example.evil.example")
    assert not answers(named, "10.0.0.7") and not answers(named, "")
    everywhere = ViewerOptions(host="0.0.0.0")
    assert answers(everywhere, "10.0.0.7:8765") and answers(everywhere, socket.gethostname())
    assert not answers(everywhere, "evil.example") and not answers(everywhere, "10.0.0.7.evil.example")
    six = ViewerOptions(host="::1")
    assert answers(six, "[::1]:8765") and answers(six, "[::1]")
    assert not any(answers(six, host) for host in ("[::1]evil.example", "[::1].evil.example:80", "[::1]x:80"))
    assert not ViewerOptions(host="127.evil.example").is_local
    assert ViewerOptions(host="127.0.0.2").is_local and ViewerOptions(host="::1").is_local


def test_loopback_asks_for_the_token_too(a_server: Any) -> None:
    token = urlsplit(a_server.address).query
    assert token.startswith("token=") and len(token) > 30
    paths = ("/", "/index.html", "/api/alive", "/api/segmentation.nii.gz", "/viewer/viewer.js")
    assert {status(a_server.address, path, known=False) for path in paths} == {403}
    assert status(a_server.address, "/index.html?token=guess", known=False) == 403
    assert status(a_server.address, "/index.html?token=%ff%00", known=False) == 403
    assert status(a_server.address, "/index.html?token=", known=False) == 403
    assert status(a_server.address, "/index.html?token=guess") == 403
    assert status(a_server.address, Cookie="spasegment-viewer=x; spasegment-viewer-0=", known=False) == 403
    assert not opens_socket(a_server.address, known=False)
    assert status(a_server.address, f"/index.html?{token}", known=False) == 302
    assert status(a_server.address, f"/api/alive?{token}", known=False) == 200
    assert status(a_server.address) == 200 and opens_socket(a_server.address)


def test_the_token_leaves_the_address_and_the_cookie_stays_on_the_server(a_server: Any) -> None:
    async def ask(client: Any) -> tuple[str, str]:
        async with client.get(a_server.address, allow_redirects=False) as answer:
            return answer.headers["Location"], answer.headers["Set-Cookie"]

    location, cookie = visit(a_server.address, ask)
    assert location == "/index.html"
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert urlsplit(a_server.address).query.removeprefix("token=") not in cookie


def raw(address: str, target: str) -> bytes:
    """The head of the answer to a request line no client library would send."""

    async def ask() -> bytes:
        parts = urlsplit(address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.read(65536)
        writer.close()
        return head.split(b"\r\n\r\n")[0]

    return bytes(run(ask))


@pytest.mark.parametrize(
    "target",
    [
        "//elsewhere.example/",
        "//elsewhere.example",
        "/\\elsewhere.example/",
        "//elsewhere.example/index.html",
        "/%2f/elsewhere.example/",
    ],
)
def test_the_token_never_leads_elsewhere(a_server: Any, target: str) -> None:
    token = urlsplit(a_server.address).query
    assert b"ocation: //" not in raw(a_server.address, f"{target}?{token}")
    assert b"elsewhere" not in raw(a_server.address, f"{target}?{token}")
    assert b"ocation: /index.html\r\n" in raw(a_server.address, f"/?{token}")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://[::1", "file://"]
)
def test_another_page_is_refused(a_server: Any, origin: str) -> None:
    assert status(a_server.address, Origin=origin) == 403
    assert not opens_socket(a_server.address, Origin=origin)
    own = base_of(a_server.address)
    assert status(a_server.address, Origin=own) == 200 and opens_socket(a_server.address, Origin=own)


def test_every_answer_forbids_what_would_leave_for_another_place(a_server: Any) -> None:
    async def heads(client: Any) -> list[Any]:
        found = []
        for path in ("/index.html", "/viewer/viewer.js", "/api/alive", "/nothing", "/api/segmentation.exe"):
            async with client.get(path) as answer:
                found.append((answer.status, answer.headers))
        return found

    found = visit(a_server.address, heads)
    assert [code for code, _ in found] == [200, 200, 200, 404, 404]
    for _, headers in found:
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"


def test_the_key_of_the_cookie_is_this_account_s_alone(tmp_path: Path) -> None:
    key = page_key(tmp_path / "state")
    file = tmp_path / "state" / "key"
    assert page_key(tmp_path / "state") == key and len(key) >= 32
    if os.name == "posix":
        assert file.stat().st_mode & 0o077 == 0
        file.chmod(0o644)  # others may have read it
        assert page_key(tmp_path / "state") != key
        assert file.stat().st_mode & 0o077 == 0
    file.write_text("short")
    assert len(page_key(tmp_path / "state")) >= 32


@pytest.mark.long
def test_two_viewers_keep_their_cookies_apart(a_server: Any, new_server: Callable[..., Any]) -> None:
    other = new_server()

    async def ask(client: Any) -> list[int]:
        seen = []
        for address in (other.address, base_of(a_server.address), base_of(other.address)):
            async with client.get(address) as answer:
                seen.append(answer.status)
        return seen

    assert visit(a_server.address, ask) == [200, 200, 200]
    assert other.stop() == 0
