from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SPASegmentLib.cli.trend import trend
from SPASegmentLib.errors import ProfileError
from SPASegmentLib.profiles.codec import encode
from SPASegmentLib.profiles.exchange import IMPORT_BYTES, accept, export_profile, read_foreign
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import AnswerRecord, ModelReference, Shown, SliceEvidence
from SPASegmentLib.profiles.store import ProfileStore
from SPASegmentLib.profiles.summary import summarise

MODEL = ModelReference(name="compact", hash="c" * 64, components=3)
SHOWN = Shown(
    words="larger, +12%", kind="larger", area_mm2=9.0, added_percent=12.0, removed_percent=0.0, support=0.5
)


def a_profile() -> Profile:
    profile = new_profile("Dr. A", MODEL, structure="lung nodule", modality="CT")
    for n in range(2):
        pick = AnswerRecord(recommended_mm2=8.0, shown=(SHOWN,), picked=0, log_likelihood=(-1.0, -2.0, -0.5))
        profile = profile.commit(
            SliceEvidence(
                id=f"{n:032x}",
                image=f"{n + 9:032x}",
                date=datetime(2026, 1, 1 + n, tzinfo=timezone.utc),
                outcome="approved",
                picks=(pick,),
                first_mm2=8.0,
                consensus_mm2=8.0,
                approved_mm2=9.0,
            )
        )
    return profile


WHOLE = encode(a_profile())
CONTENT = json.loads(WHOLE)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "from elsewhere.json"
    path.write_bytes(WHOLE)
    return path


def test_an_exported_profile_comes_in_unchanged(store, tmp_path):
    profile = store.create(a_profile())
    export_profile(profile, tmp_path / "out.json")
    other = ProfileStore(tmp_path / "elsewhere")
    assert accept(other, read_foreign(tmp_path / "out.json")) == profile == other.load("Dr. A")


def test_an_export_replaces_a_file_only_when_told_to(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("mine")
    with pytest.raises(ProfileError, match="exists already"):
        export_profile(a_profile(), path)
    assert path.read_text(encoding="utf-8") == "mine"
    export_profile(a_profile(), path, replace=True)
    assert read_foreign(path).name == "Dr. A"
    with pytest.raises(ProfileError, match="is a folder"):
        export_profile(a_profile(), tmp_path)
    with pytest.raises(ProfileError, match="no folder"):
        export_profile(a_profile(), tmp_path / "none" / "out.json")


def test_reading_a_foreign_file_writes_nothing(store, exported):
    assert read_foreign(exported).name == "Dr. A"
    assert not store.folder.exists()


def test_a_name_that_is_taken_is_not_overwritten(store, exported):
    mine = store.create(new_profile("Dr. A", MODEL))
    with pytest.raises(ProfileError, match="already"):
        accept(store, read_foreign(exported))
    assert store.load("Dr. A") == mine
    assert accept(store, read_foreign(exported), "Dr. A of the other ward").n_images == 2


def test_the_same_file_accepted_twice_makes_two_profiles(store, exported):
    first = accept(store, read_foreign(exported))
    second = accept(store, read_foreign(exported), "again")
    assert first.id != second.id


@pytest.mark.parametrize("name", ["../../evil", "/etc/cron.d/evil", "..\\evil", "C:\\evil", "con"])
def test_a_name_cannot_lead_out_of_the_store(store, tmp_path, name):
    content = json.loads(WHOLE)
    content["profile"]["name"] = name
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(content))
    accept(store, read_foreign(path))
    outside = [p for p in tmp_path.rglob("*") if store.folder not in (p, *p.parents) and p != path]
    assert outside == [] and store.names() == (name,)


def test_a_file_too_large_for_a_profile_is_not_read(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(IMPORT_BYTES + 1)
    with pytest.raises(ProfileError, match="larger than 16 MB"):
        read_foreign(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes among its files")
def test_pipes_devices_and_folders_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ProfileError, match="is not a file"):
            read_foreign(path)
    for path in (tmp_path / "none", Path("nul\0byte")):
        with pytest.raises(ProfileError):
            read_foreign(path)


def _deep(n: int) -> bytes:
    return b'{"format": "spasegment-profile", "schema_version": 4, "profile": ' + b"[" * n


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xef\xbb\xbf{}",
    b"\x80\x04\x95cos\nsystem\n",
    b"PK\x03\x04" + b"\0" * 100,
    b'{"format": "spasegment-profile", "schema_version": 1e400}',
    b'{"format": "spasegment-profile", "schema_version": ' + b"9" * 10_000 + b"}",
    b'{"format": "spasegment-profile", "schema_version": 99999999999999999999}',
    b'{"format": "spasegment-profile", "schema_version": true}',
    b'{"format": "spasegment-profile", "schema_version": 1}',
    b'{"format": "spasegment-profile", "schema_version": 1, "name": "a", "salt": 5, "images": {"a": 1}}',
    _deep(50),
    _deep(100_000),
    _deep(100_000) + b"]" * 100_000 + b"}",
    WHOLE.replace(b'"components": 3', b'"components": ' + b"3" * 5000),
    WHOLE.replace(b"-0.5", b"-1e308"),
    WHOLE.replace(b"-0.5", b"Infinity"),
    WHOLE.replace(b'"Dr. A"', b'"\\ud800"'),
    WHOLE.replace(b'"Dr. A"', b'"\\u0000"'),
    WHOLE.replace(b'"Dr. A"', b'"\\u001b]0;owned\\u0007"'),
    WHOLE.replace(b"2026-01-01", b"0001-01-01"),
    WHOLE.replace(b"2026-01-01", b"9999-12-31"),
    WHOLE.replace(b'"larger, +12%"', b'"' + b"x" * 10_000 + b'"'),
    WHOLE.replace(b'"picked": 0', b'"picked": 7'),
    WHOLE.replace(b'"picked": 0', b'"picked": -1'),
    WHOLE + WHOLE,
    WHOLE.decode().encode("utf-16"),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_files_get_a_sentence_and_nothing_else(store, tmp_path, number):
    path = tmp_path / "hostile.json"
    path.write_bytes(HOSTILE[number])
    _try_import(store, path, tmp_path)


def _try_import(store: ProfileStore, path: Path, root: Path) -> bool:
    """Import a file and use what came in; whether it did. Nothing but ProfileError may be raised."""
    try:
        profile = accept(store, read_foreign(path))
    except ProfileError as error:
        assert 10 < len(str(error)) < 600 and "\n" not in str(error) and "\x1b" not in str(error)
        return False
    assert len(profile.log_prior()) == profile.model.components
    assert summarise(profile) and len(trend(profile)) == len(profile.slices)
    assert store.load(profile.name) == profile
    outside = [p for p in root.rglob("*") if store.folder not in (p, *p.parents) and p != path]
    assert outside == []
    store.delete(profile.name, forever=True)
    return True


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in the content, the root left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(*at, key), *_places(item, (*at, key))]]


PLACES = _places(CONTENT)
numbers = st.sampled_from(
    [0, -1, 1, 2**31, 2**64, -(2**70), 10**400, 0.5, -1e308, 1e308, float("nan"), float("inf")]
)
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["../../../../etc/passwd", "CON", "\x00", "\u202egnp.exe", "a" * 5000, "[red]x[/]", "\ud800"]
    ),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
changes = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add"]), values),
    min_size=1,
    max_size=3,
)


def _changed(content: Any, place: tuple[Any, ...], how: str, value: Any) -> None:
    """Set, drop or add one value; a place an earlier change removed is left alone."""
    for key in place[:-1]:
        if not isinstance(content, dict | list):
            return
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return
    key = place[-1]
    if isinstance(content, dict) and isinstance(key, str):
        if how == "drop":
            content.pop(key, None)
        else:
            content[key if how == "set" else key + "_"] = value
    elif isinstance(content, list) and isinstance(key, int) and key < len(content):
        if how == "drop":
            content.pop(key)
        elif how == "set":
            content[key] = value
        else:
            content.insert(key, value)


FUZZ = settings(
    max_examples=1200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.long
@pytest.mark.slow
@FUZZ
@given(changes=changes)
def test_files_with_changed_values_raise_nothing_but_a_profile_error(tmp_path, changes):
    content = json.loads(WHOLE)
    for place, how, value in changes:
        _changed(content, place, how, value)
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(content), encoding="utf-8", errors="surrogatepass")
    _try_import(ProfileStore(tmp_path / "profiles"), path, tmp_path)


@pytest.mark.slow
@FUZZ
@given(
    start=st.integers(0, len(WHOLE)),
    length=st.integers(0, 40),
    junk=st.one_of(st.binary(max_size=40), st.sampled_from([b"[" * 5000, b'"', b"}", b"\xff\xff", b"1e999"])),
)
def test_files_with_damaged_bytes_raise_nothing_but_a_profile_error(tmp_path, start, length, junk):
    path = tmp_path / "hostile.json"
    path.write_bytes(WHOLE[:start] + junk + WHOLE[start + length :])
    _try_import(ProfileStore(tmp_path / "profiles"), path, tmp_path)
