"""Downloads over real HTTP: whole, checked, resumed, or refused in one sentence."""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from SPASegmentLib.errors import Cancelled, CheckpointError, ConsentError, InputError
from SPASegmentLib.network.download import download_model, download_notice
from SPASegmentLib.network.registry import KnownModel, model_path, model_status, part_path

CONTENT = bytes(range(256)) * 8000  # 2 MB


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; its attributes make it behave as bad servers do."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.knows_ranges = True
        self.break_after: int | None = None
        self.stall_after: int | None = None
        self.status = 0
        self.kind = "application/octet-stream"
        self.says_length = True
        self.requests: list[str | None] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    """One request, as the server's attributes say."""

    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.server.status:
            self.send_error(self.server.status)
            return
        start = int(wanted[6:-1]) if wanted and self.server.knows_ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", self.server.kind)
        if self.server.says_length:
            self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.server.content) - 1}/{len(CONTENT)}")
        self.end_headers()
        if self.server.stall_after is not None:
            self.wfile.write(body[: self.server.stall_after])
            self.wfile.flush()
            self.server.released.wait(20)
            return
        self.wfile.write(body if self.server.break_after is None else body[: self.server.break_after])

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def a_server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def a_model(a_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path / "models"))
    return KnownModel(
        name="small",
        kind="backbone",
        file="model.pth",
        description="made-up weights",
        licence="Apache-2.0",
        url=a_server.url,
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def expect_refusal(model: KnownModel, words: str, **options: float) -> None:
    with pytest.raises(CheckpointError, match=words) as error:
        download_model(model, consent=True, **options)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    assert not model_path(model).exists()


def test_a_model_arrives_whole_and_is_checked(a_model: KnownModel) -> None:
    path = download_model(a_model, consent=True)
    assert path == model_path(a_model) and path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert model_status(a_model).state == "ready"


def test_progress_tells_bytes_up_to_the_end(a_model: KnownModel) -> None:
    seen: list[tuple[int, int]] = []
    download_model(a_model, consent=True, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 3 and seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(set(seen)) and {total for _, total in seen} == {len(CONTENT)}


def test_without_consent_nothing_is_asked_of_the_server(a_model: KnownModel, a_server: Server) -> None:
    with pytest.raises(ConsentError, match="only after you agree"):
        download_model(a_model, consent=False)
    assert a_server.requests == [] and not part_path(a_model).exists()


def test_a_model_that_is_there_is_not_fetched_again(a_model: KnownModel, a_server: Server) -> None:
    download_model(a_model, consent=True)
    assert download_model(a_model, consent=False).read_bytes() == CONTENT
    assert len(a_server.requests) == 1


def test_a_damaged_file_is_fetched_again(a_model: KnownModel) -> None:
    model_path(a_model).parent.mkdir()
    model_path(a_model).write_bytes(b"x" * len(CONTENT))
    assert download_model(a_model, consent=True).read_bytes() == CONTENT


def test_a_broken_connection_is_named_and_continued_where_it_broke(
    a_model: KnownModel, a_server: Server
) -> None:
    a_server.break_after = 700_000
    expect_refusal(a_model, r"broke after 1 of 2 MB .* continues from there")
    assert part_path(a_model).read_bytes() == CONTENT[:700_000]
    a_server.break_after = None
    seen: list[int] = []
    path = download_model(a_model, consent=True, progress=lambda done, total: seen.append(done))
    assert path.read_bytes() == CONTENT and not part_path(a_model).exists()
    assert a_server.requests == [None, "bytes=700000-"] and seen[0] > 700_000


def test_a_server_without_ranges_starts_over(a_model: KnownModel, a_server: Server) -> None:
    a_server.break_after = 700_000
    expect_refusal(a_model, "broke")
    a_server.break_after, a_server.knows_ranges = None, False
    assert download_model(a_model, consent=True).read_bytes() == CONTENT


def test_a_killed_download_continues(a_model: KnownModel, a_server: Server, tmp_path: Path) -> None:
    a_server.stall_after = 1_000_000
    program = (
        "import sys\n"
        "from SPASegmentLib.network.download import download_model\n"
        "from SPASegmentLib.network.registry import KnownModel\n"
        f"model = {a_model!r}\n"
        "download_model(model, consent=True, progress=lambda done, total: print(done, flush=True))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, encoding="utf-8")
    assert child.stdout is not None
    while int(child.stdout.readline()) < 700_000:
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    assert model_status(a_model).state == "partial"
    a_server.stall_after = None
    assert download_model(a_model, consent=True).read_bytes() == CONTENT
    assert a_server.requests[1] is not None


def test_a_silent_server_is_left_after_the_timeout(a_model: KnownModel, a_server: Server) -> None:
    a_server.stall_after = 1000
    expect_refusal(a_model, "broke after 0 of 2 MB", timeout=0.2)


def test_a_wrong_hash_is_refused_and_deleted(a_model: KnownModel, a_server: Server) -> None:
    a_server.content = b"x" * len(CONTENT)
    expect_refusal(a_model, "SHA-256 differs")
    assert not part_path(a_model).exists()


def test_a_mixed_up_unfinished_file_is_caught_by_its_hash(a_model: KnownModel) -> None:
    part_path(a_model).parent.mkdir()
    part_path(a_model).write_bytes(b"x" * 1000)
    expect_refusal(a_model, "SHA-256 differs")
    assert download_model(a_model, consent=True).read_bytes() == CONTENT


def test_an_unfinished_file_that_is_too_long_is_started_over(a_model: KnownModel) -> None:
    part_path(a_model).parent.mkdir()
    part_path(a_model).write_bytes(CONTENT + b"more")
    assert download_model(a_model, consent=True).read_bytes() == CONTENT


def test_a_file_of_another_size_is_refused_before_it_comes(a_model: KnownModel, a_server: Server) -> None:
    a_server.content = CONTENT[:-1]
    expect_refusal(a_model, "something else than small")
    assert part_path(a_model).stat().st_size == 0


def test_the_login_page_of_a_network_is_refused(a_model: KnownModel, a_server: Server) -> None:
    a_server.content, a_server.kind, a_server.says_length = b"<html>log in", "text/html", False
    expect_refusal(a_model, "something else than small")
    assert part_path(a_model).stat().st_size == 0


def test_an_endless_answer_is_cut_at_the_models_size(a_model: KnownModel, a_server: Server) -> None:
    a_server.content, a_server.says_length = CONTENT + CONTENT, False
    assert download_model(a_model, consent=True).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refusing_server_is_named_with_its_code(a_model: KnownModel, a_server: Server, status: int) -> None:
    a_server.status = status
    expect_refusal(a_model, f"127.0.0.1 refused .*HTTP {status}")


def test_a_range_the_server_cannot_give_starts_over_next_time(a_model: KnownModel, a_server: Server) -> None:
    part_path(a_model).parent.mkdir()
    part_path(a_model).write_bytes(b"x" * 1000)
    a_server.status = 416
    expect_refusal(a_model, "HTTP 416")
    a_server.status = 0
    assert download_model(a_model, consent=True).read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_named(a_model: KnownModel) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/model.pth"
        expect_refusal(replace(a_model, url=url), "127.0.0.1 could not be reached")


def test_an_address_that_is_not_of_the_web_is_refused(a_model: KnownModel, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(CONTENT)
    expect_refusal(replace(a_model, url=(tmp_path / "model.pth").as_uri()), "not a web address")


def test_cancelling_keeps_what_came_and_continues_later(a_model: KnownModel, a_server: Server) -> None:
    cancel = threading.Event()

    def stop_half_way(done: int, total: int) -> None:
        if done > total / 2:
            cancel.set()

    with pytest.raises(Cancelled, match="continues from there"):
        download_model(a_model, consent=True, progress=stop_half_way, cancel=cancel)
    assert model_status(a_model).state == "partial"
    assert download_model(a_model, consent=True).read_bytes() == CONTENT
    assert a_server.requests[1] is not None


def test_no_room_on_the_disk_is_told_before_anything_is_fetched(
    a_model: KnownModel, a_server: Server
) -> None:
    expect_refusal(replace(a_model, size=10**17), "is full, so small was not downloaded: free")
    assert a_server.requests == []


def test_a_disk_that_refuses_in_the_middle_is_told(a_model: KnownModel) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        expect_refusal(a_model, "could not be stored")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert download_model(a_model, consent=True).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_told(a_model: KnownModel, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match="choose a folder you may write to"):
        download_model(a_model, consent=True)


def test_two_downloads_of_one_model_do_not_mix(a_model: KnownModel) -> None:
    part_path(a_model).parent.mkdir()
    with part_path(a_model).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        expect_refusal(a_model, "being downloaded by another program")


def test_the_shipped_model_is_not_downloaded() -> None:
    with pytest.raises(InputError, match="comes with SPASegment"):
        download_model("compact", consent=True)


def test_the_notice_says_what_how_much_from_whom_and_where_to(a_model: KnownModel) -> None:
    notice = download_notice("medsam_vit_b")
    for words in (
        "MedSAM",
        "375 MB",
        "zenodo.org",
        "CC BY 4.0",
        "34b34b78c1d1",
        str(model_path(a_model).parent),
    ):
        assert words in notice
