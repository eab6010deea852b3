"""The viewer's small parts, without a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from SPASegmentLib.mrml.keys import ALSO, KEYS
from SPASegmentLib.viewer.keys import stroke, strokes
from SPASegmentLib.viewer.options import ViewerOptions
from SPASegmentLib.viewer.resume import Kept, Memory
from SPASegmentLib.viewer.security import Guard
from SPASegmentLib.viewer.uploads import Uploads


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """On a thread of its own: the browser's driver keeps a loop running on this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(main())).result(60)


def test_every_action_has_a_key_and_no_key_has_two() -> None:
    found = strokes(KEYS, ALSO)
    assert {key["action"] for key in found} == set(KEYS)
    pressed = [(key["code"], key["shift"], key["ctrl"]) for key in found]
    assert len(pressed) == len(set(pressed))


@pytest.mark.parametrize(
    ("sequence", "code", "shift"),
    [
        ("1", "Digit1", False),
        ("Shift+4", "Digit4", True),
        ("Return", "Enter", False),
        ("Shift+Backspace", "Backspace", True),
    ],
)
def test_qt_s_words_become_the_browser_s(sequence: str, code: str, shift: bool) -> None:
    key = stroke(sequence, "act")
    assert (key.code, key.shift, key.ctrl) == (code, shift, False)


def test_another_command_s_state_is_never_offered(tmp_path: Path) -> None:
    one = Memory(ViewerOptions((Path("a.nrrd"),)), tmp_path)
    other = Memory(ViewerOptions((Path("b.nrrd"),)), tmp_path)
    kept = Kept("sample", "{}", ("sample-second",), "Coronal", 3.5)
    one.write(kept)
    assert one.read() == kept and other.read() is None
    assert one.folder.stat().st_mode & 0o077 == 0
    one.forget()
    assert one.read() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', '{"version": 1, "volume": "x"}'])
def test_a_damaged_state_is_no_offer(tmp_path: Path, text: str) -> None:
    memory = Memory(ViewerOptions(), tmp_path)
    memory.folder.mkdir()
    (memory.folder / "state.json").write_text(text)
    assert memory.read() is None


def test_only_the_token_opens_an_address_others_can_reach() -> None:
    async def visit() -> list[int]:
        guard = Guard(ViewerOptions(host="0.0.0.0"), "right")
        app = web.Application(middlewares=[guard.middleware()])

        async def page(_request: web.Request) -> web.Response:
            return web.Response(text="page")

        app.router.add_get("/", page)
        async with TestClient(TestServer(app)) as client:
            seen = [(await client.get("/", params={"token": token})).status for token in ("wrong", "ri", "")]
            await client.get("/", params={"token": "right"})
            return [*seen, (await client.get("/")).status]

    assert run(visit) == [403, 403, 403, 200]


@pytest.mark.parametrize("name", ["..%2F..%2Fevil.nrrd", "C:\\evil.nrrd", "a/b.nrrd"])
def test_an_upload_stays_in_its_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened: list[Path] = []

    async def send() -> None:
        async def take(path: Path, title: str) -> None:
            assert title == path.name
            opened.append(path)

        uploads = Uploads(1000, take)
        app = web.Application()
        app.router.add_put("/{id}/{name:.+}", uploads.receive)
        app.router.add_post("/{id}", uploads.finish)
        async with TestClient(TestServer(app)) as client:
            await client.put(f"/0123abcd/{name}", data=b"voxels")
            assert (await client.post("/0123abcd")).status == 200
            assert (await client.put("/0123abcd/more", data=b"x" * 2000)).status == 413
            assert (await client.post("/nonsense")).status == 422
        assert uploads.folder.resolve() in opened[0].resolve().parents
        uploads.close()
        assert not uploads.folder.exists()

    run(send)
    assert not (tmp_path / "evil.nrrd").exists()


def test_a_volume_named_on_the_command_line_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    from SPASegmentLib.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["view", "nowhere.nrrd", "--no-browser"])
    assert ended.value.code == 1
    assert "There is no file or folder nowhere.nrrd" in capsys.readouterr().err
