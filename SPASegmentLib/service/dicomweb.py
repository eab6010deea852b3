"""One series from a DICOMweb server (QIDO-RS and WADO-RS), and a data set back to it (STOW-RS).

httpx asks and python-multipart takes the answer apart as it comes. dicomweb-client has no limit on what a
server may send, and follows its redirects with the user's own headers.
"""

from __future__ import annotations

import json
import re
import ssl
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from SPASegmentLib.errors import InputError, ServerError
from SPASegmentLib.service.addresses import is_loopback, server_address
from SPASegmentLib.service.dicom_parts import MOST_BYTES, DicomParts, boundary_of
from SPASegmentLib.service.transport import CONNECT_SECONDS, reason

AUTH_VARIABLE = "SPASEGMENT_DICOMWEB_AUTH"
"""Value of the header Authorization; kept out of what is shown."""
_ANSWER_SECONDS = 120.0
"""How long a server may be silent while it looks for a series."""
_MOST_JSON = 4 * 2**20
_DICOM, _JSON = "application/dicom", "application/dicom+json"
_STUDY, _SERIES, _SOP, _IN_SERIES = "0020000D", "0020000E", "00080018", "00201209"
_STORED, _FAILED, _REASON, _INSTANCE = "00081199", "00081198", "00081197", "00081155"
_REASONS = (
    (0x0110, 0x0110, "it could not process it"),
    (0x0122, 0x0122, "it keeps no DICOM segmentations"),
    (0x0124, 0x0124, "you may not store there"),
    (0xA700, 0xA7FF, "it has no room left"),
    (0xA900, 0xA9FF, "the data set is not what its class says"),
    (0xC122, 0xC122, "it does not know the way it is encoded"),
    (0xC000, 0xCFFF, "it cannot understand the data set"),
)
"""First and last code, and what it means (PS3.18, I.2.2)."""


class DicomWebServer:
    """A DICOMweb server, asked as one user."""

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        *,
        insecure: bool = False,
        authority: str | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """address: as people write it, with the path, such as https://pacs.example.org/dicom-web.

        headers: sent with every request, to this server only. insecure: also take http to other computers.
        authority: file of the certificate authority, or None for the system's. most_bytes: of a series.
        Raises ServerError for what is no address, InputError for what is no header.
        """
        if "@" in address:
            raise ServerError(
                f"The address of a server holds no name and password; give them in {AUTH_VARIABLE}."
            )
        self.address = server_address(address, insecure=insecure)
        _check_headers(headers)
        self._has_auth = any(name.lower() == "authorization" for name in headers)
        self._most = most_bytes
        try:
            self._client = httpx.Client(
                headers=dict(headers),
                timeout=httpx.Timeout(_ANSWER_SECONDS, connect=CONNECT_SECONDS),
                follow_redirects=False,  # they would take the user's headers elsewhere
                trust_env=not is_loopback(httpx.URL(self.address).host),
                verify=ssl.create_default_context(cafile=authority) if authority else True,
            )
        except httpx.InvalidURL as error:
            raise ServerError(f"{self.address!r} is no server's address; check it.") from error
        except OSError as error:
            raise InputError(f"The certificates in {authority} cannot be read; check the path.") from error

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def fetch(self, study: str, series: str, folder: Path) -> int:
        """Write the files of a series to an empty folder, named by number. Returns how many there are.

        Raises InputError where the server has no such study or series, ServerError for everything else.
        """
        stated = self._stated(study, series)
        accepted = f'multipart/related; type="{_DICOM}"; transfer-syntax=*'
        with self._asked("GET", f"/studies/{study}/series/{series}", {"accept": accepted}) as answer:
            self._check(answer)
            boundary = boundary_of(answer.headers.get("content-type", ""))
            if boundary is None:
                raise self._foreign(answer)
            parts = DicomParts(
                boundary, folder, study, series, who=f"the server {self.address}", most_bytes=self._most
            )
            parts.receive(answer.iter_bytes())
        if parts.count < max(stated, 1):
            raise ServerError(
                f"The server {self.address} sent {parts.count} of the {max(stated, 1)} images of the series; "
                "try again, or ask who runs it."
            )
        return parts.count

    def store(self, path: Path, study: str, instance: str) -> bool:
        """Store a DICOM file in its study. instance: its SOPInstanceUID.

        Returns whether the server lists it then; one that is still at work, or that drops what it does not
        want, does not. Raises ServerError with the server's reason where it does not take it.
        """
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: {_DICOM}\r\n\r\n".encode()
        body = head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="{_DICOM}"; boundary={boundary}'
        with self._asked(
            "POST", f"/studies/{study}", {"accept": _JSON, "content-type": kind}, body
        ) as answer:
            if answer.status_code in (404, 405, 501):
                raise ServerError(
                    f"The server {self.address} takes no files (STOW, status {answer.status_code})."
                )
            body = self._body(answer)
            told = _parsed(body)
            failed = [one for one in _items(told, _FAILED) if _first(one, _INSTANCE) in (instance, None)]
            if failed:
                why = _meaning(_first(failed[0], _REASON))
                raise ServerError(f"The server {self.address} did not take the segmentation: {why}.")
            self._check(answer, "did not take the segmentation", body)
            stored = [_first(one, _INSTANCE) for one in _items(told, _STORED)]
            if (stored and instance not in stored) or "html" in answer.headers.get("content-type", ""):
                raise self._foreign(answer)
        return bool(self._find(f"/studies/{study}/instances", _SOP, instance, {"SOPInstanceUID": instance}))

    def _stated(self, study: str, series: str) -> int:
        """How many images the server says the series has; 0 where it does not say."""
        for name, uid in (("study", study), ("series", series)):
            if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid) or len(uid) > 64:
                raise InputError(
                    f"{uid[:80]!r} is no UID of a {name}; it has digits and dots, such as 1.2.840.1."
                )
        if not self._find("/studies", _STUDY, study, {"StudyInstanceUID": study}):
            raise InputError(
                f"The server {self.address} has no study {study} that you may see; check the UID and the "
                "address."
            )
        wanted = {"SeriesInstanceUID": series, "includefield": _IN_SERIES}
        found = self._find(f"/studies/{study}/series", _SERIES, series, wanted)
        if not found:
            raise InputError(f"The server {self.address} has no series {series} in that study.")
        stated = str(_first(found[0], _IN_SERIES))
        return int(stated) if re.fullmatch("[0-9]{1,6}", stated) else 0

    def _find(self, path: str, tag: str, uid: str, wanted: Mapping[str, str]) -> list[Any]:
        """The entries of a search that are what was searched for; a server may list more."""
        with self._asked("GET", path, {"accept": _JSON}, query=wanted) as answer:
            if answer.status_code == 204:
                return []
            self._check(answer)
            found = _parsed(self._body(answer))
            if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                raise self._foreign(answer)
        return [one for one in found if _first(one, tag) == uid]

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Iterator[httpx.Response]:
        """One request, its answer still to be read."""
        url, begun = self.address + path, False
        try:
            with self._client.stream(method, url, headers=headers, content=content, params=query) as answer:
                begun = True
                yield answer
        except httpx.TransportError as error:
            if begun:
                raise ServerError(f"The answer of the server {self.address} broke off; try again.") from error
            raise ServerError(
                f"The server {self.address} cannot be reached: {reason(error)}; check the address."
            ) from error
        except httpx.HTTPError as error:
            raise ServerError(f"The answer of the server {self.address} cannot be read.") from error

    def _body(self, answer: httpx.Response) -> bytes:
        """What was answered. Raises ServerError where it is more than answers are."""
        held = bytearray()
        for chunk in answer.iter_bytes():
            held += chunk
            if len(held) > _MOST_JSON:
                raise self._foreign(answer)
        return bytes(held)

    def _check(self, answer: httpx.Response, refused: str = "refused", body: bytes | None = None) -> None:
        """Raise what a refusal says; nothing for an answer. body: where it has been read already."""
        status = answer.status_code
        if 200 <= status < 300:
            return
        if status == 401:
            raise ServerError(
                f"The server {self.address} does not know this user; renew what {AUTH_VARIABLE} holds."
                if self._has_auth
                else f"The server {self.address} asks who you are; set {AUTH_VARIABLE}, such as to "
                '"Bearer TOKEN".'
            )
        if status == 403:
            raise ServerError(f"The server {self.address} does not allow you this; ask who runs it.")
        if 300 <= status < 400:
            host = re.sub(r"[^\w.:-]", "", httpx.URL(self.address).join(_location(answer)).host)[:80]
            raise ServerError(
                f"The server {self.address} sends requests on to {host or 'nowhere'}, where nothing of yours "
                "is sent; give the address of the DICOMweb server itself."
            )
        if status == 404:
            raise self._foreign(answer)
        words = _words(self._body(answer) if body is None else body)
        raise ServerError(f"The server {self.address} {refused} (status {status}{words}).")

    def _foreign(self, answer: httpx.Response) -> ServerError:
        return ServerError(
            f"{self.address} answers with status {answer.status_code} and not as a DICOMweb server does; "
            "check the address and its path, which often is /dicom-web."
        )


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
            raise InputError("A header is written NAME: VALUE, such as X-Api-Key: 1234.")
        if not value.strip() or not value.isascii() or not value.isprintable():
            raise InputError(
                f"The header {name} has a value that headers cannot have; copy it again, on one line."
            )


def _location(answer: httpx.Response) -> str:
    try:
        return str(httpx.URL(answer.headers.get("location", "")))
    except httpx.InvalidURL:
        return ""


def _parsed(body: bytes) -> Any:
    """JSON, or None for what is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _items(holder: Any, tag: str) -> list[Any]:
    """The values of an element in DICOM's JSON, empty where there is none."""
    element = holder.get(tag) if isinstance(holder, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _first(holder: Any, tag: str) -> Any:
    return next(iter(_items(holder, tag)), None)


def _meaning(code: Any) -> str:
    """What a failure reason says."""
    if not isinstance(code, int):
        return "it gives no reason"
    words = next((words for first, last, words in _REASONS if first <= code <= last), "its reason is unknown")
    return f"{words} (code {code:04X})"


def _words(body: bytes) -> str:
    """What a server says of its refusal, for the end of a sentence: on one line and short."""
    found = _parsed(body)
    said: Iterable[Any] = [body.decode("utf-8", "replace")] if found is None else [found]
    if isinstance(found, dict):
        said = [found.get(name) for name in ("Message", "Details", "message", "error", "errorMessage")]
    texts = [
        " ".join("".join(c if c.isprintable() else " " for c in one).split())
        for one in said
        if isinstance(one, str)
    ]
    shown = next((text for text in texts if text and "<" not in text), "")
    return f": {shown[:200]}" if shown else ""
