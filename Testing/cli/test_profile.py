"""`spasegment profile`, from words to files."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
from matplotlib.image import imread

from SPASegmentLib.cli.batch import SeedsBatch
from SPASegmentLib.cli.beginning import started
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.sample import sample_seeds
from SPASegmentLib.imaging.slicing import cut_slice
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.profiles.store import ProfileStore


@pytest.fixture(autouse=True)
def a_profile_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPASEGMENT_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "profiles"


@pytest.fixture
def a_seed() -> tuple[object, ...]:
    return ("--seed-ras", *sample_seeds(0, rotated=True)[0].ras)


@pytest.fixture
def done(run):
    """Run a command that must succeed; its output."""

    def done_(*arguments: object) -> str:
        ran = run(*arguments)
        assert ran.code == 0, ran.err
        return ran.out

    return done_


@pytest.fixture
def created(done, a_model) -> str:
    done("profile", "create", "Dr. A", "--model", a_model, "--structure", "lung nodule", "--modality", "CT")
    return "Dr. A"


@pytest.fixture
def taught(done, created, a_model, a_ct, a_seed) -> str:
    """A profile that learnt one slice through `spasegment segment`."""
    done("segment", a_ct, *a_seed, "--model", a_model, "--picks", "1", "--profile", created)
    return created


def images_of(folder: Path) -> list[dict]:
    (file,) = folder.glob("dr-a-*.json")
    return json.loads(file.read_text(encoding="utf-8"))["profile"]["slices"]


def test_without_profiles_the_list_says_how_to_make_one(done, a_profile_folder):
    out = done("profile", "list")
    assert "no profiles yet" in out and str(a_profile_folder) in out


def test_a_new_profile_is_listed_with_what_it_is_for(done, created):
    out = done("profile", "list")
    for word in ("Dr. A", "tiny", "lung nodule, CT", "Nothing learnt yet."):
        assert word in out


def test_segmenting_with_a_profile_teaches_it(done, taught, a_profile_folder):
    (item,) = images_of(a_profile_folder)
    assert [pick["picked"] for pick in item["picks"]] == [0] and item["result"]
    assert "1 image, 1 pick" in done("profile", "show", taught)


def test_an_interaction_begins_with_what_the_profile_knows(taught, a_model, a_profile_folder, a_ct):
    profile = ProfileStore(a_profile_folder).load(taught)
    engine, volume = load_engine(a_model, "cpu"), read_volume(a_ct)
    seed = sample_seeds(0, rotated=True)[0].ras
    opened = cut_slice(
        volume, seed_ras=seed, seed_ijk=None, orientation="axial", window=None, model_window=None
    )
    session = started(opened, engine.model, profile, 0, True, None)
    assert session.usual_area == profile.usual_area() is not None
    assert started(opened, engine.model, None, 0, True, None).usual_area is None

    def basis(profile):
        return SeedsBatch(engine, volume, (), profile=profile).basis()

    larger = [item.model_copy(update={"approved_mm2": 2 * item.approved_mm2}) for item in profile.slices]
    other = profile.model_copy(update={"slices": tuple(larger)})
    assert basis(other) != basis(profile), "objects of another profile are segmented again"


def test_show_draws_the_profile(done, taught, tmp_path):
    out = done("profile", "show", taught, "--picture", tmp_path / "mine.png")
    assert f"Picture: {tmp_path / 'mine.png'}" in out and "approved mm2" in out
    assert imread(tmp_path / "mine.png")[..., :3].std() > 0.05
    done("profile", "show", taught)
    assert len(list(tmp_path.glob("dr-a-*.png"))) == 1


def test_rename_copy_and_blend(done, run, taught):
    done("profile", "copy", taught, "Dr. B")
    done("profile", "rename", "Dr. B", "Dr. C")
    assert "evidence of 1 image" in done("profile", "blend", taught, "Dr. C", "Both", "--share", "0.3")
    out = done("profile", "list")
    assert all(name in out for name in ("Dr. A", "Dr. C", "Both")) and "Dr. B" not in out
    assert run("profile", "copy", taught, "dr. c").err.startswith('There is a profile "dr. c" already')


def test_edit_turns_forgetting_on_and_off(done, run, created):
    assert "weighs half after 20 images" in done("profile", "edit", created, "--half-life", "20")
    assert "forgets nothing" in done("profile", "edit", created, "--forget-nothing", "--modality", "MR")
    assert "MR" in done("profile", "list")
    assert run("profile", "edit", created, "--half-life", "-1").err.startswith("The half-life must be")
    assert run("profile", "edit", created, "--half-life", "1", "--forget-nothing").code == 2


def test_compare_in_numbers_and_on_a_slice(done, taught, a_model, a_ct, a_seed, tmp_path):
    done("profile", "copy", taught, "Dr. B")
    out = done("profile", "compare", taught, "Dr. B")
    assert "as good as the same" in out and "Images both learnt from: 1" in out
    picture = tmp_path / "differ.png"
    out = done(
        *("profile", "compare", taught, "Dr. B", "--volume", a_ct, *a_seed, "--model", a_model),
        *("--picture", picture),
    )
    assert "Dice 1.000" in out and imread(picture)[..., :3].std() > 0.05


def test_export_and_import_bring_a_profile_to_another_folder(done, run, taught, tmp_path):
    file = tmp_path / "dr-a.json"
    assert "holds no image" in done("profile", "export", taught, file)
    assert run("profile", "export", taught, file).err.startswith("dr-a.json exists already")
    done("profile", "export", taught, file, "--yes")

    elsewhere = tmp_path / "elsewhere"
    ran = run("profile", "--folder", elsewhere, "import", file)
    assert ran.code == 1 and "1 image, 1 pick" in ran.out and "Nothing was imported" in ran.err
    assert not elsewhere.exists()
    done("profile", "--folder", elsewhere, "import", file, "--yes")
    assert "Dr. A" in done("profile", "--folder", elsewhere, "list")
    assert run("profile", "import", file, "--yes").err.startswith('There is a profile "Dr. A" already')
    done("profile", "import", file, "--name", "Dr. A from elsewhere", "--yes")


def test_import_is_agreed_to_on_the_terminal(done, taught, tmp_path, monkeypatch):
    done("profile", "export", taught, tmp_path / "dr-a.json")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    done("profile", "import", tmp_path / "dr-a.json", "--name", "copy")
    assert "copy" in done("profile", "list")


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"{}", b"[" * 100_000, b'{"format": "spasegment-profile"}']
)
def test_what_is_no_profile_is_refused_in_one_sentence(run, tmp_path, a_profile_folder, content):
    (tmp_path / "x.json").write_bytes(content)
    ran = run("profile", "import", tmp_path / "x.json", "--yes")
    assert ran.code == 1 and ran.err.startswith("This is not a preference profile") and not ran.out
    assert ran.err.count("\n") == 1 and not a_profile_folder.exists()


def test_reset_history_and_restore(done, run, taught):
    done("profile", "reset", taught)
    assert "0 images, 0 picks" in done("profile", "show", taught)
    history = done("profile", "history", taught)
    assert len([line for line in history.splitlines() if ":" in line]) == 3
    assert "restored with 1 image" in done("profile", "restore", taught)
    assert "restored with 0 images" in done("profile", "restore", taught, "1")
    assert run("profile", "restore", taught, "99").err.startswith('"Dr. A" has no version 99')


def test_an_image_is_removed_by_the_code_that_show_prints(done, run, taught, a_profile_folder):
    (item,) = images_of(a_profile_folder)
    code = item["image"][:8]
    assert code in done("profile", "show", taught)
    assert "from 0 images now" in done("profile", "remove-image", taught, code)
    assert images_of(a_profile_folder) == []
    assert "names no image" in run("profile", "remove-image", taught, code).err


def test_delete_can_be_taken_back_unless_it_is_for_ever(done, run, taught, a_profile_folder):
    done("profile", "delete", taught)
    assert 'Can be restored: "Dr. A", 1 image' in done("profile", "list")
    done("profile", "restore", taught)
    refused = run("profile", "delete", taught, "--forever")
    assert refused.code == 1 and "Nothing was deleted" in refused.err
    done("profile", "delete", taught, "--forever", "--yes")
    assert run("profile", "restore", taught).code == 1
    assert not list(a_profile_folder.rglob("*.json"))


def test_a_damaged_profile_is_listed_set_aside_and_restored(done, run, taught, a_profile_folder):
    (file,) = a_profile_folder.glob("*.json")
    file.write_bytes(file.read_bytes()[:100])
    listed = run("profile", "list")
    assert listed.code == 0 and "not a preference profile" in listed.err
    ran = run("profile", "show", taught)
    assert ran.code == 1 and "set aside" in ran.err and "last good version" in ran.err
    assert "restored with 1 image" in done("profile", "restore", taught)


def test_a_profile_is_re_learnt_on_another_model_from_its_volume(done, run, taught, a_model, a_ct, tmp_path):
    ran = run("profile", "relearn", taught, "new", tmp_path / "none.nrrd", "--model", a_model)
    assert ran.code == 1
    out = done("profile", "relearn", taught, "Dr. A, new model", a_ct, "--model", a_model)
    assert "Re-learnt from 1 of 1 slices" in out
    other = run("profile", "relearn", taught, "x", a_ct, "--model", a_model, "--orientation", "sagittal")
    assert other.code == 1 and "a profile keeps no images" in other.err


def test_the_refusal_of_another_models_profile_is_a_command_that_can_be_typed(
    done, run, taught, a_ct, a_seed, a_profile_folder
):
    refused = run("segment", a_ct, *a_seed, "--model", "compact", "--profile", taught, "--picks", "1")
    assert refused.code == 1 and refused.err.count("\n") == 1 and len(images_of(a_profile_folder)) == 1
    line = refused.err.strip().partition("taught on: ")[2]
    assert line == 'spasegment profile relearn "Dr. A" "Dr. A on compact" VOLUME... --model compact'
    typed = shlex.split(line.replace("VOLUME...", shlex.quote(str(a_ct))))
    assert '"Dr. A on compact"' in done(*typed[1:])
    assert '"Dr. A on compact"' in done("profile", "show", "Dr. A on compact")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nobody"),
        ("rename", "nobody", "b"),
        ("copy", "nobody", "b"),
        ("blend", "nobody", "b", "c"),
        ("compare", "nobody", "b"),
        ("export", "nobody", "x.json"),
        ("import", "none.json"),
        ("reset", "nobody"),
        ("remove-image", "nobody", "abc"),
        ("history", "nobody"),
        ("restore", "nobody"),
        ("delete", "nobody"),
        ("delete", "nobody", "--forever", "--yes"),
        ("create", "a\nb"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(run, arguments):
    ran = run("profile", *arguments)
    assert ran.code == 1 and ran.err.count("\n") == 1 and len(ran.err) > 20 and "Traceback" not in ran.err


def test_every_command_explains_itself(done):
    names = "list show create edit rename copy blend compare export import reset remove-image history restore"
    out = done("profile", "--help")
    for name in [*names.split(), "delete", "relearn"]:
        assert name in out
        assert "Usage: spasegment profile" in done("profile", name, "--help")
