from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.profiles.codec import encode
from SPASegmentLib.profiles.files import locked, read_limited
from SPASegmentLib.profiles.profile import Profile, new_profile
from SPASegmentLib.profiles.records import ModelReference, SliceEvidence, new_id
from SPASegmentLib.profiles.store import FOLDER_VARIABLE, ProfileStore, default_folder
from SPASegmentLib.profiles.versions import stem_of

MODEL = ModelReference(name="compact", hash="c" * 64, components=3)
DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)


def lesson(n: int = 0) -> SliceEvidence:
    return SliceEvidence(
        id=new_id(),
        image=f"{n:032x}",
        date=DAY + timedelta(hours=n),
        outcome="approved",
        approval=(-0.5, -1.0 - n, -2.0),
    )


def files_of(store: ProfileStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def stored(store: ProfileStore) -> Profile:
    return store.create(new_profile("Dr. A", MODEL))


def test_a_profile_is_one_readable_file(store, stored):
    (name,) = files_of(store)
    assert name.startswith("dr-a-") and name.endswith(".json")
    assert json.loads((store.folder / name).read_text(encoding="utf-8"))["profile"]["name"] == "Dr. A"
    assert store.load("Dr. A") == stored and store.names() == ("Dr. A",)


def test_a_store_nobody_wrote_to_is_empty_and_makes_no_folder(store):
    assert store.entries() == () and store.deleted() == () and not store.folder.exists()
    with pytest.raises(ProfileError, match="create one first"):
        store.load("Dr. A")


def test_a_missing_profile_is_answered_with_those_there_are(store, stored):
    with pytest.raises(ProfileError, match=r'no profile "Dr\. B"; there are "Dr\. A"'):
        store.load("Dr. B")


def test_the_folder_can_be_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "shared"))
    assert default_folder() == tmp_path / "shared" and ProfileStore().folder == tmp_path / "shared"
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert "SPASegment" in str(default_folder())
    assert ProfileStore(tmp_path / "given").folder == tmp_path / "given"


def test_what_two_windows_learn_is_all_kept(store, stored):
    one, other = ProfileStore(store.folder), ProfileStore(store.folder)
    mine, theirs = one.load("Dr. A"), other.load("Dr. A")
    a, b, c = lesson(1), lesson(2), lesson(3)
    one.commit("Dr. A", a, id=mine.id)
    other.commit("Dr. A", b, id=theirs.id)
    one.save(mine.commit(c))
    assert {item.id for item in store.load("Dr. A").slices} == {a.id, b.id, c.id}


def test_what_one_window_took_back_stays_taken_back_when_the_other_saves(store, stored):
    item = lesson()
    held = store.commit("Dr. A", item)
    store.retract("Dr. A", item.id)
    store.save(held.commit(lesson(2)))
    assert [kept.image for kept in store.load("Dr. A").slices] == [f"{2:032x}"]


def test_many_threads_lose_nothing(store, stored):
    lessons = [lesson(n) for n in range(24)]

    def teach(part: list[SliceEvidence]) -> None:
        for item in part:
            ProfileStore(store.folder).commit("Dr. A", item)

    threads = [threading.Thread(target=teach, args=(lessons[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item.id for item in store.load("Dr. A").slices} == {item.id for item in lessons}


def test_a_window_whose_profile_was_renamed_meanwhile_still_reaches_it(store, stored):
    store.rename("Dr. A", "Dr. Anna")
    store.commit("Dr. A", lesson(), id=stored.id)
    assert store.load("Dr. Anna").n_images == 1


def test_a_window_does_not_write_into_another_profile_of_the_same_name(store, stored):
    store.delete("Dr. A", forever=True)
    store.create(new_profile("Dr. A", MODEL))
    with pytest.raises(ProfileError, match="another profile now"):
        store.commit("Dr. A", lesson(), id=stored.id)


def test_who_waits_too_long_for_the_other_window_is_told(store, stored):
    with locked(store.folder / ".lock"), pytest.raises(ProfileError, match="another window"):
        ProfileStore(store.folder, lock_timeout=0.05).commit("Dr. A", lesson())


def test_a_lock_goes_with_the_process_that_held_it(store, stored):
    code = (
        "import sys,time; from pathlib import Path; from SPASegmentLib.profiles.files import locked\n"
        "with locked(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(store.folder / ".lock")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(ProfileError, match="another window"):
        ProfileStore(store.folder, lock_timeout=0.05).commit("Dr. A", lesson())
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert ProfileStore(store.folder, lock_timeout=5).commit("Dr. A", lesson()).n_images == 1


def test_the_last_ten_versions_are_kept_beside_the_present_one(store, stored):
    for n in range(14):
        store.commit("Dr. A", lesson(n))
    versions = store.history("Dr. A")
    assert [version.profile.n_images for version in versions] == list(range(4, 15))
    assert versions[-1].profile == store.load("Dr. A")


def test_a_version_can_be_restored_and_the_restoring_undone(store, stored):
    for n in range(4):
        store.commit("Dr. A", lesson(n))
    before = store.load("Dr. A")
    second = store.history("Dr. A")[2]
    back = store.restore("Dr. A", second.number)
    assert back.n_images == 2 and np.allclose(back.log_prior(), second.profile.log_prior())
    again = store.restore("Dr. A")
    assert again.n_images == 4 and np.allclose(again.log_prior(), before.log_prior())
    with pytest.raises(ProfileError, match="no version 99"):
        store.restore("Dr. A", 99)


def test_with_nothing_to_go_back_to_restoring_says_so(store, stored):
    with pytest.raises(ProfileError, match="no other version"):
        store.restore("Dr. A")


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\x00" * 500, b'{"format": "spasegment-profile"}', b"\xff\xfe"]
)
def test_a_damaged_file_is_set_aside_and_its_last_good_version_restored(store, stored, damage):
    store.commit("Dr. A", lesson())
    (name,) = files_of(store)
    (store.folder / name).write_bytes(damage)
    with pytest.raises(ProfileError, match=r"set aside as .*\.damaged-1; its last good version, of 20"):
        store.load("Dr. A")
    assert (store.folder / f"{name}.damaged-1").read_bytes() == damage
    with pytest.raises(ProfileError, match="can be restored"):
        store.load("Dr. A")
    assert [profile.name for profile in store.deleted()] == ["Dr. A"]
    assert store.restore("Dr. A").n_images == 1 and store.load("Dr. A").n_images == 1


def test_every_damaged_file_is_kept(store, stored):
    (name,) = files_of(store)
    for n in (1, 2, 3):
        (store.folder / name).write_bytes(b"damage %d" % n)
        with pytest.raises(ProfileError, match=f"damaged-{n}"):
            store.commit("Dr. A", lesson())
        store.restore("Dr. A")
    assert [(store.folder / f"{name}.damaged-{n}").read_bytes()[-1:] for n in (1, 2, 3)] == [b"1", b"2", b"3"]


def test_damaged_versions_are_passed_over(store, stored):
    store.commit("Dr. A", lesson(1))
    store.commit("Dr. A", lesson(2))
    store.history("Dr. A")[-1].path.write_bytes(b"damage")
    (name,) = files_of(store)
    (store.folder / name).write_bytes(b"damage")
    with pytest.raises(ProfileError, match="last good version"):
        store.load("Dr. A")
    assert store.restore("Dr. A").n_images == 1
    assert any(version.problem for version in store.history("Dr. A"))


def test_listing_shows_damaged_files_and_touches_nothing(store, stored):
    (name,) = files_of(store)
    (store.folder / name).write_bytes(b"damage")
    (entry,) = store.entries()
    assert entry.profile is None and "not a preference profile" in entry.problem
    assert files_of(store) == [name]


def test_a_file_of_a_newer_version_is_left_where_it_is(store, stored):
    (name,) = files_of(store)
    newer = encode(stored).replace(b'"schema_version": 4', b'"schema_version": 9')
    (store.folder / name).write_bytes(newer)
    for attempt in (store.load, lambda n: store.commit(n, lesson()), store.reset):
        with pytest.raises(ProfileError, match="newer SPASegment"):
            attempt("Dr. A")
    assert (store.folder / name).read_bytes() == newer and files_of(store) == [name]


def test_a_file_put_there_by_hand_is_not_taken_for_the_profile_of_its_name(store, stored):
    (store.folder / "mine.json").write_bytes(encode(stored))
    assert [entry.problem != "" for entry in store.entries()] == [False, True]
    other = new_profile("Dr. B", MODEL)
    (store.folder / f"{stem_of('Dr. A')}.json").write_bytes(encode(other))
    with pytest.raises(ProfileError, match=r'file of "Dr\. A" holds the profile "Dr\. B"'):
        store.load("Dr. A")


def test_rename_takes_the_history_along_and_copy_does_not(store, stored):
    store.commit("Dr. A", lesson())
    store.rename("Dr. A", "Dr. Anna")
    assert store.names() == ("Dr. Anna",) and len(store.history("Dr. Anna")) == 3
    store.copy("Dr. Anna", "Dr. B")
    assert store.names() == ("Dr. Anna", "Dr. B") and len(store.history("Dr. B")) == 1
    with pytest.raises(ProfileError, match="already"):
        store.rename("Dr. B", "dr. anna")
    assert store.rename("Dr. B", "DR. B").name == "DR. B" and len(store.entries()) == 2


def test_a_rename_that_was_killed_half_way_is_finished_by_the_next(store, stored):
    (name,) = files_of(store)
    half = stored.commit(lesson(1)).renamed("Dr. Anna")
    (store.folder / f"{stem_of('Dr. Anna')}.json").write_bytes(encode(half))
    store.commit("Dr. A", lesson(2))
    assert store.rename("Dr. A", "Dr. Anna").n_images == 2
    assert store.names() == ("Dr. Anna",) and not (store.folder / name).exists()


def test_blend_reset_and_remove_image_work_on_what_is_stored(store, stored):
    store.create(new_profile("Dr. B", MODEL))
    for n in range(3):
        store.commit("Dr. A", lesson(n))
        store.commit("Dr. B", lesson(n + 3))
    assert store.blend("Dr. A", "Dr. B", "Both").n_images == 6
    assert store.remove_image("Dr. A", f"{1:032x}").n_images == 2
    for image, message in (("f", "names no image"), ("0", "more than one"), ("", "no image")):
        with pytest.raises(ProfileError, match=message):
            store.remove_image("Dr. A", image)
    assert store.reset("Dr. A").n_images == 0 and store.restore("Dr. A").n_images == 2


def test_a_deleted_profile_can_be_restored_unless_it_was_deleted_for_ever(store, stored):
    store.commit("Dr. A", lesson())
    store.delete("Dr. A")
    assert store.names() == () and [p.name for p in store.deleted()] == ["Dr. A"]
    assert store.restore("Dr. A").n_images == 1 and store.names() == ("Dr. A",)
    store.delete("Dr. A", forever=True)
    assert not [p for p in store.folder.rglob("*") if p.is_file() and p.name != ".lock"]
    for again in (store.delete, store.restore, store.history):
        with pytest.raises(ProfileError):
            again("Dr. A")


def test_two_profiles_never_share_a_name(store, stored):
    for name in ("Dr. A", "dr. a", "  DR.  A ", "Dr\u002e A"):
        with pytest.raises(ProfileError, match="already"):
            store.create(new_profile(name, MODEL))


NAMES = [
    "../../evil", "/etc/passwd", "..", ".", "CON", "nul", "LPT1.txt", "a/b\\c:d*e?f", "~root", "x" * 100,
    "名前", "пример", "🩺", "a.json", ".lock", ".history", "-rf", "Ö" * 100, "a'b\"c`d$(e)",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_profile_is_called_its_file_lies_in_the_folder(store, name):
    store.create(new_profile(name, MODEL))
    assert store.load(name).name == name and store.names() == (name,)
    (file,) = files_of(store)
    stem = file.removesuffix(".json")
    assert stem.isascii() and set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(stem) <= 53
    assert not [path for path in store.folder.parent.iterdir() if path != store.folder]


def test_names_that_look_alike_but_differ_have_files_of_their_own(store):
    for name in ("a b", "a-b", "a_b", "ä b"):
        store.create(new_profile(name, MODEL))
    assert len(files_of(store)) == 4


def test_a_full_disk_is_reported_and_loses_nothing(store, stored):
    store.commit("Dr. A", lesson())
    code = (
        "import resource, sys\n"
        "from SPASegmentLib.profiles.store import ProfileStore\n"
        "from SPASegmentLib.errors import ProfileError\n"
        "store = ProfileStore(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    store.reset('Dr. A')\n"
        "except ProfileError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.folder)],
        capture_output=True,
        encoding="utf-8",
        cwd=Path(__file__).parents[2],
    )
    assert "could not be saved" in done.stdout and "untouched" in done.stdout, done.stderr
    assert store.load("Dr. A").n_images == 1
    assert not list(store.folder.rglob("*.part"))


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ProfileError, match="choose another folder"):
        ProfileStore(tmp_path / "file" / "profiles").create(new_profile("Dr. A", MODEL))
    assert ProfileStore(tmp_path / "file").entries() == ()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_in_a_shared_folder_everybody_may_write(store):
    store.folder.mkdir()
    store.folder.chmod(0o775)
    store.create(new_profile("Dr. A", MODEL))
    before = os.umask(0o077)
    try:
        store.commit("Dr. A", lesson())
    finally:
        os.umask(before)
    files = [path for path in store.folder.iterdir() if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o664}
    folders = [path for path in store.folder.rglob("*") if path.is_dir()]
    assert len(folders) == 2 and {path.stat().st_mode & 0o777 for path in folders} == {0o775}


@pytest.mark.alone
def test_loading_a_profile_of_a_hundred_images_and_its_prior_takes_less_than_20_ms(store, taught, engine):
    profile = taught
    extra = [item for item in taught.slices if item.picks]
    n = 0
    while profile.n_images < 100:
        item = extra[n % len(extra)]
        update = {"id": new_id(), "image": f"{n:032x}", "date": DAY + timedelta(minutes=n)}
        profile = profile.commit(item.model_copy(update=update))
        n += 1
    store.create(profile)
    seconds = []
    for _ in range(15):
        start = time.process_time()  # a busy machine's waiting is not the profile's
        prior = store.load(profile.name).log_prior()
        seconds.append(time.process_time() - start)
    assert prior.shape == (engine.model.components,) and np.abs(prior).max() > 1
    assert np.median(seconds) < 0.020


def test_an_action_reads_the_profile_it_is_about_and_no_other(store, fresh, monkeypatch):
    """As the panel does after each action: the profile, then the names of all."""
    for number in range(5):
        store.create(fresh.copy_as(f"Dr. {number}"))
    names, read = store.names(), []

    def counted(path, limit):
        read.append(path)
        return read_limited(path, limit)

    monkeypatch.setattr("SPASegmentLib.profiles.store.read_limited", counted)
    store.load("Dr. 2")
    assert store.names() == names
    assert len(read) == 1
    read.clear()
    store.update("Dr. 3", lambda profile: profile.meant_for("nodule"))
    assert store.names() == names
    assert set(read) == {store.entries()[3].file}
    read.clear()
    store.create(fresh.copy_as("Dr. 9"))
    assert len(store.names()) == 6
    assert len(set(read)) == 1


def test_what_another_window_changes_is_listed_at_once(store, fresh):
    other = ProfileStore(store.folder)
    store.create(fresh.copy_as("Dr. 1"))
    assert other.names() == ("Dr. 1",)
    store.rename("Dr. 1", "Dr. 2")
    assert other.names() == ("Dr. 2",)
    (entry,) = other.entries()
    content = entry.file.read_bytes()
    entry.file.write_bytes(content.replace(b'"format"', b'"forman"'))
    assert other.names() == ()
    entry.file.write_bytes(content)
    assert other.names() == ("Dr. 2",)
    store.delete("Dr. 2")
    assert other.names() == ()
