"""A DICOMweb server that answers with anything: nobody else learns who asks, each fault is a sentence."""

from __future__ import annotations

import gzip
import io
import json
import logging
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SPASegmentLib.errors import InputError, ServerError
from SPASegmentLib.service.dicomweb import DicomWebServer

sys.path.insert(0, str(Path(__file__).parents[1] / "imaging" / "support"))  # made-up DICOM files
STUDY, SERIES, SECRET = "1.2", "1.2.3", "Bearer quite-secret"
Answer = tuple[int, dict[str, str], bytes]
JSON, PARTS = (
    {"content-type": "application/dicom+json"},
    "multipart/related; type=application/dicom; boundary=x",
)


def element(tag: str, *values: object) -> dict[str, Any]:
    return {tag: {"Value": list(values)}}


FOUND: dict[str, Answer] = {
    "/studies": (200, JSON, json.dumps([element("0020000D", STUDY)]).encode()),
    "/studies/1.2/series": (
        200,
        JSON,
        json.dumps(
            [element("0020000E", "1.9"), element("0020000E", SERIES) | element("00201209", 2)]
        ).encode(),
    ),
}


def images(*series: str) -> list[bytes]:
    """A DICOM file of each series."""
    from made_dicom import header, set_pixels

    made = []
    for uid in series:
        data, file = header(series=uid), io.BytesIO()
        set_pixels(data, np.zeros((4, 4), np.uint16))
        data.save_as(file, enforce_file_format=True)
        made.append(file.getvalue())
    return made


def parts(*files: bytes, kind: str = "application/dicom", end: str = "--x--\r\n") -> Answer:
    """A multipart answer."""
    heads = f"--x\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename=../../a.dcm\r\n\r\n"
    body = b"".join(heads.encode() + file + b"\r\n" for file in files) + end.encode()
    return (200, {"content-type": PARTS}, body)


class Scripted(ThreadingHTTPServer):
    """A server on loopback with an answer for every path. asked: (method, path, headers) so far."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers, self.asked = answers, list[tuple[str, str, dict[str, str]]]()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def _answer(self) -> None:
        self.server.asked.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        )
        self.rfile.read(int(self.headers.get("content-length", 0)))
        missing: Answer = (404, {"content-type": "text/html"}, b"<html>")
        status, headers, body = self.server.answers.get(self.path.partition("?")[0], missing)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in headers:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def new_server() -> Iterator[Callable[[dict[str, Answer]], Scripted]]:
    """Start servers that answer so."""
    started: list[Scripted] = []

    def start(answers: dict[str, Answer]) -> Scripted:
        started.append(Scripted(answers))
        return started[-1]

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


def fetched(server: Scripted, folder: Path, **options: Any) -> int:
    (folder / "series").mkdir()
    client = DicomWebServer(server.address, {"Authorization": SECRET}, **options)
    try:
        return client.fetch(STUDY, SERIES, folder / "series")
    finally:
        client.close()


def test_the_files_are_written_under_names_of_our_own(new_server, tmp_path):
    files = images(SERIES, SERIES)
    server = new_server({**FOUND, "/studies/1.2/series/1.2.3": parts(*files)})
    assert fetched(server, tmp_path) == 2
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in written) == ["00000.dcm", "00001.dcm"]
    assert sorted(path.read_bytes() for path in written) == sorted(files)
    assert all(headers["authorization"] == SECRET for _, _, headers in server.asked)


ONE, OTHER = images(SERIES)[0], images("1.2.4")[0]
BOMB = (200, {"content-type": PARTS, "content-encoding": "gzip"}, gzip.compress(parts(bytes(4 * 2**20))[2]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (parts(ONE, OTHER), "sent images of another series than the one asked for"),
        (parts(ONE, ONE), "sent one image twice"),
        (parts(b"MZ" + bytes(500)), "sent a file that is no DICOM"),
        (parts(b""), "sent a file that is no DICOM"),
        (parts(ONE, kind="application/x-msdownload"), "sent application/x-msdownload instead of DICOM files"),
        (parts(ONE), "sent 1 of the 2 images"),
        (parts(), "sent 0 of the 2 images"),
        (parts(ONE, end=""), "broke off after"),
        (
            (200, {"content-type": PARTS, "content-length": "100000"}, parts(ONE, ONE)[2][: -len(ONE) // 2]),
            r"The answer of the server .* broke off; try again\.",
        ),
        ((200, {"content-type": PARTS}, parts(ONE)[2].replace(b"--x", b"--y")), "cannot be read"),
        ((200, {"content-type": PARTS}, b"--x\r\nX: " + b"a" * 2**19), "cannot be read"),
        ((200, {"content-type": PARTS}, b"what is this"), "cannot be read"),
        (
            (200, {"content-type": "multipart/related; boundary=" + 300 * "x"}, b""),
            "not as a DICOMweb server",
        ),
        ((200, {"content-type": "text/html"}, b"<html>"), "not as a DICOMweb server does; check the address"),
        ((200, {"content-type": "application/zip"}, b"PK"), "not as a DICOMweb server does"),
        (BOMB, r"is larger than 0\.000977 GB"),
        (parts(bytes(4 * 2**20)), r"is larger than 0\.000977 GB"),
        ((500, {}, b'{"Message": "Out of\\nmemory"}'), r"refused \(status 500: Out of memory\)"),
        ((503, {}, b"<html>busy</html>"), r"refused \(status 503\)"),
        ((403, {}, b""), "does not allow you this"),
    ],
)
def test_a_series_that_is_none_is_refused_in_a_sentence(new_server, tmp_path, answer, said):
    server = new_server({**FOUND, "/studies/1.2/series/1.2.3": answer})
    with pytest.raises(ServerError, match=said) as refused:
        fetched(server, tmp_path, most_bytes=2**20)
    assert str(refused.value).count(". ") == 0 and str(refused.value).endswith(".")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.dcm")) <= 2**20


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((200, {"content-type": "text/html"}, b"<html>"), ServerError, "not as a DICOMweb server does"),
        ((200, JSON, b'{"a": 1}'), ServerError, "not as a DICOMweb server does"),
        ((200, JSON, b'["1.2"]'), ServerError, "not as a DICOMweb server does"),
        ((200, JSON, b"[" * 10_000), ServerError, "not as a DICOMweb server does"),
        ((200, JSON, b" " * (5 * 2**20) + b"[]"), ServerError, "not as a DICOMweb server does"),
        ((404, {}, b""), ServerError, "status 404 and not as a DICOMweb server does"),
        ((200, {**JSON, "content-encoding": "gzip"}, b"no gzip"), ServerError, "cannot be read"),
        ((204, {}, b""), InputError, "has no study 1.2"),
        ((200, JSON, b"[]"), InputError, "has no study 1.2"),
        ((200, JSON, json.dumps([element("0020000D", "1.9")]).encode()), InputError, "has no study 1.2"),
        ((200, JSON, b'[{"0020000D": {"Value": {}}}, {"0020000D": 3}]'), InputError, "has no study 1.2"),
    ],
)
def test_a_search_that_finds_nothing_is_refused_in_a_sentence(new_server, tmp_path, answer, kind, said):
    with pytest.raises(kind, match=said):
        fetched(new_server({**FOUND, "/studies": answer}), tmp_path)


@pytest.mark.parametrize("path", ["/studies", "/studies/1.2/series/1.2.3"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nothing_is_asked_where_a_server_sends_us_on_to(new_server, tmp_path, caplog, path, status):
    caplog.set_level(logging.DEBUG)
    elsewhere = new_server({})
    away = (status, {"location": f"{elsewhere.address}/studies"}, b"")
    with pytest.raises(
        ServerError, match=r"sends requests on to 127\.0\.0\.1, where nothing of yours is sent"
    ):
        fetched(new_server({**FOUND, path: away}), tmp_path)
    assert elsewhere.asked == [] and "quite-secret" not in caplog.text


def test_a_strange_redirect_is_a_sentence_too(new_server, tmp_path):
    with pytest.raises(ServerError, match="sends requests on to"):
        fetched(new_server({"/studies": (302, {"location": "http://[a"}, b"")}), tmp_path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_a_strange_certificate_is_refused_and_a_named_one_taken(new_server, tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        capture_output=True, check=True,
    )  # fmt: skip
    server = new_server({**FOUND, "/studies/1.2/series/1.2.3": parts(*images(SERIES, SERIES))})
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    address = server.address.replace("http", "https")
    (tmp_path / "series").mkdir()
    with pytest.raises(ServerError, match="cannot be reached: its certificate is not trusted"):
        DicomWebServer(address, {"authorization": SECRET}).fetch(STUDY, SERIES, tmp_path / "series")
    assert server.asked == []
    known = DicomWebServer(address, {}, authority=str(certificate))
    assert known.fetch(STUDY, SERIES, tmp_path / "series") == 2
    with pytest.raises(InputError, match="cannot be read; check the path"):
        DicomWebServer(address, {}, authority=str(tmp_path / "none.pem"))


def failed(code: object, instance: str = "1.5") -> bytes:
    item = element("00081155", instance) | element("00081197", code)
    return json.dumps(element("00081198", item)).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((409, JSON, failed(0xA701)), r"segmentation: it has no room left \(code A701\)\."),
        ((409, JSON, failed(0x0122)), r"it keeps no DICOM segmentations \(code 0122\)"),
        ((409, JSON, failed(0xC122)), r"it does not know the way it is encoded"),
        ((409, JSON, failed(0xC001)), r"it cannot understand the data set"),
        ((409, JSON, failed(0x4711)), r"its reason is unknown \(code 4711\)"),
        ((409, JSON, failed("much")), r"it gives no reason"),
        ((202, JSON, failed(0x0110)), r"it could not process it"),
        ((400, {}, b"Not for\x1byou"), r"did not take the segmentation \(status 400: Not for you\)"),
        ((401, {}, b""), "does not know this user"),
        ((403, {}, b""), "does not allow you this"),
        ((405, {}, b""), r"takes no files \(STOW, status 405\)"),
        ((200, {"content-type": "text/html"}, b"<html>"), "not as a DICOMweb server does"),
        (
            (200, JSON, json.dumps(element("00081199", element("00081155", "1.6"))).encode()),
            "not as a DICOMweb",
        ),
    ],
)
def test_what_a_server_does_not_take_is_said_with_its_reason(new_server, tmp_path, answer, said):
    (tmp_path / "a.dcm").write_bytes(ONE)
    client = DicomWebServer(new_server({"/studies/1.2": answer}).address, {"authorization": SECRET})
    with pytest.raises(ServerError, match=said):
        client.store(tmp_path / "a.dcm", STUDY, "1.5")


@pytest.mark.parametrize("body", [b"", json.dumps(element("00081199", element("00081155", "1.5"))).encode()])
def test_what_a_server_takes_is_looked_for_there(new_server, tmp_path, body):
    (tmp_path / "a.dcm").write_bytes(ONE)
    listed = (200, JSON, json.dumps([element("00080018", "1.5")]).encode())
    server = new_server({"/studies/1.2": (200, JSON, body), "/studies/1.2/instances": listed})
    client = DicomWebServer(server.address, {})
    assert client.store(tmp_path / "a.dcm", STUDY, "1.5")
    server.answers["/studies/1.2/instances"] = (204, {}, b"")
    assert not client.store(tmp_path / "a.dcm", STUDY, "1.5")
