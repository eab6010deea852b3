"""`spasegment segment`, from the command line to files on disk."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import warm

from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.profiles.profile import new_profile
from SPASegmentLib.profiles.records import ModelReference, SliceEvidence, new_id, now
from SPASegmentLib.profiles.store import FOLDER_VARIABLE, ProfileStore

SEED = sample_seeds(0, rotated=True)[0].ras
AT = ("--seed-ras", *SEED)


@pytest.fixture
def segment(run, a_ct, a_model):
    """`segment` on the made-up CT with the hand-made model; no terminal."""
    return lambda *options: run("segment", a_ct, *AT, "--model", a_model, *options)


def without_seconds(value):
    """A JSON value without times."""
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def seed_voxel(volume: sitk.Image) -> tuple[int, int, int]:
    r, a, s = SEED
    return volume.TransformPhysicalPointToIndex((-r, -a, s))


def test_the_model_sees_the_window_of_the_command_line_and_else_that_of_the_file(segment, tmp_path):
    seen = {}
    for name, options in (("given", ("--window", -200, 100)), ("default", ())):
        out = tmp_path / f"{name}.json"
        ran = segment("--out", tmp_path / f"{name}.nrrd", "--json", out, *options)
        assert ran.code == 0, ran.err
        record = json.loads(out.read_text(encoding="utf-8"))
        seen[name] = record["volume"]["window"], record["session"]["image"]
    assert seen["given"][0] == [-200, 100]
    assert seen["default"][0] != [-200, 100]
    assert seen["given"][1] != seen["default"][1]


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal"])
@pytest.mark.parametrize("name", ["mask.seg.nrrd", "mask.nrrd", "mask.nii.gz"])
def test_the_mask_lies_on_the_exact_grid_of_the_volume(segment, a_ct, tmp_path, name, orientation):
    out = tmp_path / "new folder" / name
    ran = segment("--out", out, "--orientation", orientation)
    assert (ran.code, ran.err) == (0, "")
    volume, mask = sitk.ReadImage(str(a_ct)), sitk.ReadImage(str(out))
    assert mask.GetSize() == volume.GetSize()
    # NIfTI keeps single precision; NRRD is exact.
    tolerance = 1e-5 if name.endswith(".nii.gz") else 1e-9
    for mine, its in (
        (mask.GetOrigin(), volume.GetOrigin()),
        (mask.GetSpacing(), volume.GetSpacing()),
        (mask.GetDirection(), volume.GetDirection()),
    ):
        np.testing.assert_allclose(mine, its, atol=tolerance)
    array = sitk.GetArrayFromImage(mask)
    axis = {"axial": 2, "sagittal": 0, "coronal": 1}[orientation]
    filled = np.argwhere(array.transpose(2, 1, 0))
    assert set(np.unique(array)) == {0, 1}
    assert set(filled[:, axis]) == {seed_voxel(volume)[axis]}, "only the slice through the seed"
    assert mask[seed_voxel(volume)] == 1
    # Oblique to the tilted grid the seed lies a little off the voxel centre, the disc is round about it.
    np.testing.assert_allclose(filled.mean(axis=0), seed_voxel(volume), atol=1)


def test_the_three_formats_hold_the_same_mask(segment, tmp_path):
    for name in ("mask.seg.nrrd", "mask.nrrd", "mask.nii.gz"):
        segment("--out", tmp_path / name, "--picks", "1")
    masks = [sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in sorted(tmp_path.iterdir())]
    assert len(masks) == 3
    assert masks[0].any()
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_the_seg_nrrd_is_a_slicer_segmentation_with_one_named_segment(segment, tmp_path):
    segment("--out", tmp_path / "mask.seg.nrrd")
    header = (tmp_path / "mask.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "Segment0_Name:=SPASegment" in header
    assert "Segment1_Name" not in header
    assert "SPASegment_Model:=tiny" in header


def test_a_seed_in_voxels_gives_the_same_mask(run, segment, a_ct, a_model, tmp_path):
    centre = sitk.ReadImage(str(a_ct))
    i, j, k = seed_voxel(centre)
    x, y, z = centre.TransformIndexToPhysicalPoint((i, j, k))
    run("segment", a_ct, "--seed-ijk", i, j, k, "--model", a_model, "--out", tmp_path / "a.nrrd")
    run("segment", "--seed-ras", -x, -y, z, a_ct, "--model", a_model, "--out", tmp_path / "b.nrrd")
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


def test_negative_numbers_are_seeds_not_options(run, a_ct, a_model):
    ran = run("segment", "--seed-ras", -30, 10, -120, "--window", -160, 240, a_ct, "--model", a_model)
    assert (ran.code, ran.err) == (0, "")
    assert "window -160 to 240" in ran.out


@pytest.mark.long
def test_the_same_command_twice_gives_the_same_files(segment, tmp_path):
    for name in ("one", "two"):
        out = tmp_path / name
        segment(
            *("--picks", "1,2", "--out", out / "mask.seg.nrrd", "--json", out / "n.json"),
            *("--report", out / "pictures", "--seed-value", 3),
        )
    one, two = tmp_path / "one", tmp_path / "two"
    assert (one / "mask.seg.nrrd").read_bytes() == (two / "mask.seg.nrrd").read_bytes()
    first, second = (json.loads((folder / "n.json").read_text(encoding="utf-8")) for folder in (one, two))
    assert without_seconds(first) == without_seconds(second)
    names = sorted(path.name for path in (one / "pictures").iterdir())
    assert names == ["iteration-1.png", "iteration-2.png", "iteration-3.png"]
    for name in names:
        assert (one / "pictures" / name).read_bytes() == (two / "pictures" / name).read_bytes()


def test_another_seed_value_draws_other_samples(segment, tmp_path):
    for value in (0, 1):
        segment("--json", tmp_path / f"{value}.json", "--seed-value", value)
    zero, one = (
        json.loads((tmp_path / f"{v}.json").read_text(encoding="utf-8"))["iterations"] for v in (0, 1)
    )
    assert without_seconds(zero) != without_seconds(one)


def test_the_numbers_hold_areas_descriptions_and_seconds_of_every_iteration(segment, tmp_path):
    segment("--picks", "1,n", "--json", tmp_path / "n.json", "--out", tmp_path / "mask.nrrd")
    record = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))
    assert [i["iteration"] for i in record["iterations"]] == [1, 2, 3]
    assert [i["answer"] for i in record["iterations"]] == ["picked 1", "none of these", "approved"]
    for iteration in record["iterations"]:
        assert iteration["mask_area_mm2"] == pytest.approx(iteration["mask_pixels"] * 1.25**2)
        assert set(iteration["seconds"]) == {"encode", "propose", "total"}
        for candidate in iteration["candidates"]:
            assert candidate["name"]
            assert candidate["area_mm2"] == pytest.approx(candidate["mask_pixels"] * 1.25**2)
    result = record["result"]
    assert (result["how"], result["picks"], result["iterations"]) == ("approved", 1, 3)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.nrrd")))
    assert mask.sum() == result["mask_pixels"] == record["iterations"][-1]["mask_pixels"]
    assert record["session"]["format"] == "spasegment-session"


def test_without_picks_and_without_a_terminal_the_recommendation_is_approved(segment, tmp_path):
    ran = segment("--json", tmp_path / "n.json")
    record = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))
    assert [i["answer"] for i in record["iterations"]] == ["approved"]
    assert "Approved: " in ran.out
    assert "add --out" in ran.out


def test_what_the_model_was_trained_on_and_its_warnings_are_shown(run, a_model, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    image = sitk.GetImageFromArray(picture, isVector=True)
    sitk.WriteImage(image, str(tmp_path / "photo.png"))
    ran = run("segment", tmp_path / "photo.png", "--seed-ijk", 60, 45, 0, "--model", a_model)
    assert ran.code == 0
    assert "Model tiny, trained on nothing at all" in ran.out
    assert "Warning: A PNG picture states neither what it shows (look twice" in ran.err
    assert "this image is in colour" in ran.err
    assert ran.err.count("nor its size in mm") == 1, "each warning once"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--picks", "1,9"),
            '--picks has "9"; give numbers from 1 to 4, or k to keep the recommendation or n for none',
        ),
        (("--picks", "x"), '--picks has "x"; give numbers'),
        (
            ("--out", "mask.png"),
            "A mask cannot be written as mask.png; choose .seg.nrrd, .nrrd, .dcm or .nii.gz.",
        ),
        (("--model", "nonsense"), "There is no model called 'nonsense'"),
        (("--model", "no/such.safetensors"), "There is no checkpoint at no/such.safetensors"),
        (("--window", 200, -100), "The window 200 to -100 is empty"),
        (("--profile", "nobody"), 'There is no profile "nobody"'),
        (("--seed-ras", 0, 0, 999), "lies outside the volume of 200 x 200 x 160 voxels; place it inside."),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    segment, options, sentence, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    ran = segment(*options)
    assert ran.code == 1
    assert sentence in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_a_pick_that_is_not_shown_is_refused(segment, tmp_path):
    ran = segment("--picks", "4,4,4,4,4,4", "--out", tmp_path / "mask.nrrd")
    assert ran.code == 1
    assert re.fullmatch(r"There is no candidate 4; .*\n", ran.err)
    assert not list(tmp_path.iterdir()), "nothing half-done is left"


@pytest.mark.parametrize(
    "options", [(), ("--seed-ras", 1, 2), ("--seed-ijk", 1, 2, 3, *AT), ("--seed-ras", "a", 1, 2)]
)
def test_a_seed_is_needed_in_one_of_the_two_ways(run, a_ct, a_model, options):
    ran = run("segment", a_ct, "--model", a_model, *options)
    assert ran.code == 2
    assert "--seed-ras" in ran.err
    assert "Traceback" not in ran.err


def bad_inputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be segmented, and what is said of them."""
    noise = np.random.default_rng(0).normal(size=(4, 20, 20)).astype(np.float32)
    arrays = {
        "constant": (np.ones((4, 20, 20), np.float32), "constant"),
        "one-pixel": (noise[:, :1, :1], "one|1 x 1"),
        "nan": (np.full((4, 20, 20), np.nan, np.float32), "finite|NaN|value"),
    }
    found = {}
    for name, (array, says) in arrays.items():
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{name}.nrrd"))
        found[name] = (folder / f"{name}.nrrd", says)
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(noise)] * 2), str(folder / "time.nrrd"))
    (folder / "text.nrrd").write_text("not an image")
    (folder / "empty.nii.gz").write_bytes(b"")
    (folder / "folder").mkdir()
    return {
        **found,
        "four dimensions": (folder / "time.nrrd", "4 dimensions"),
        "text": (folder / "text.nrrd", "text.nrrd"),
        "empty": (folder / "empty.nii.gz", "empty.nii.gz"),
        "folder": (folder / "folder", "holds no DICOM images"),
        "missing": (folder / "missing.nrrd", "There is no file"),
    }


@pytest.mark.parametrize(
    "kind", ["constant", "one-pixel", "nan", "four dimensions", "text", "empty", "folder", "missing"]
)
def test_bad_input_gets_one_sentence(run, a_model, tmp_path, kind):
    path, says = bad_inputs(tmp_path)[kind]
    ran = run("segment", path, "--seed-ijk", 0, 0, 0, "--model", a_model, "--out", tmp_path / "mask.nrrd")
    assert ran.code == 1
    assert re.search(says, ran.err)
    assert ran.err.strip().count("\n") == 0
    assert not (tmp_path / "mask.nrrd").exists()


def test_outputs_never_overwrite_a_slice_of_the_volume_or_each_other(run, a_model, tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    slice_file = folder / "1.dcm"
    sitk.WriteImage(sitk.GetImageFromArray(make_sample_volume(0).array[75]), str(slice_file))
    before = slice_file.read_bytes()
    common = ("segment", folder, "--seed-ijk", 50, 100, 0, "--model", a_model)
    ran = run(*common, "--json", slice_file)
    assert (ran.code, "is a part of the volume" in ran.err) == (1, True)
    assert slice_file.read_bytes() == before
    both = tmp_path / "a.nrrd"
    ran = run(*common, "--out", both, "--json", tmp_path / "series" / ".." / "a.nrrd")
    assert (ran.code, "file of its own" in ran.err) == (1, True)
    assert not both.exists()
    picture = tmp_path / "iteration-1.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.eye(40, dtype=np.uint8)), str(picture))
    before = picture.read_bytes()
    ran = run("segment", picture, "--seed-ijk", 5, 5, 0, "--model", a_model, "--report", tmp_path)
    assert (ran.code, "take the place of the volume" in ran.err) == (1, True)
    assert picture.read_bytes() == before


def test_one_pick_is_said_as_one(segment):
    assert " after 1 pick, " in segment("--picks", "1").out
    assert " after 2 picks, " in segment("--picks", "1,2").out


def test_the_volume_is_never_overwritten(run, a_model, tmp_path):
    path = tmp_path / "chest.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(make_sample_volume(0).array[70:80]), str(path))
    before = path.read_bytes()
    for option in ("--out", "--json"):
        ran = run("segment", path, "--seed-ijk", 50, 100, 5, "--model", a_model, option, path)
        assert (ran.code, "one of the given files" in ran.err) == (1, True)
    assert path.read_bytes() == before


def test_a_report_cannot_go_into_a_file(segment, tmp_path):
    (tmp_path / "file").write_text("")
    assert "give a folder for the pictures" in segment("--report", tmp_path / "file").err
    assert "give the name of a file in it" in segment("--json", tmp_path).err


@pytest.fixture
def a_profile(tmp_path, monkeypatch: pytest.MonkeyPatch, a_model) -> ProfileStore:
    """A store with an empty profile "Dr. A" for the hand-made model."""
    from SPASegmentLib.inference.local import load_engine

    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "profiles"))
    store = ProfileStore()
    store.create(new_profile("Dr. A", ModelReference.of(load_engine(a_model, "cpu").model)))
    return store


def test_picks_teach_the_profile_and_no_learn_does_not(segment, a_profile):
    assert 'Profile "Dr. A" (0 images)' in segment("--profile", "Dr. A", "--picks", "1", "--no-learn").out
    assert a_profile.load("Dr. A").n_images == 0
    segment("--profile", "Dr. A", "--picks", "1")
    assert (a_profile.load("Dr. A").n_images, a_profile.load("Dr. A").n_picks) == (1, 1)
    assert 'Profile "Dr. A" (1 image)' in segment("--profile", "Dr. A").out


def test_an_approval_nobody_gave_teaches_nothing(segment, a_profile):
    assert segment("--profile", "Dr. A").code == 0
    assert a_profile.load("Dr. A").n_images == 0


def test_a_profile_for_another_modality_is_doubted_in_one_line(segment, a_profile):
    a_profile.update("Dr. A", lambda profile: profile.meant_for(modality="MR"))
    ran = segment("--profile", "Dr. A")
    assert ran.code == 0
    [line] = ran.err.splitlines()
    assert line.startswith('Warning: The profile "Dr. A" was taught on MR and this image is CT;')
    a_profile.update("Dr. A", lambda profile: profile.meant_for(modality="CT"))
    assert segment("--profile", "Dr. A").err == ""


def test_a_profile_that_recent_picks_contradict_is_doubted_in_one_line(segment, a_profile):
    for number in range(14):
        wanted = np.full(16, -6.0)
        wanted[3 if number < 9 else 12] = -0.1
        item = SliceEvidence(
            id=new_id(), image=new_id(), date=now(), outcome="approved", approval=tuple(wanted.tolist())
        )
        a_profile.commit("Dr. A", item)
    ran = segment("--profile", "Dr. A")
    assert ran.code == 0
    [line] = ran.err.splitlines()
    assert line.startswith("Warning: Recent picks contradict this profile")


def test_the_model_is_asked_what_it_would_have_shown_without_the_profile(segment, a_profile, tmp_path):
    sure = np.full(16, -6.0)
    sure[5] = 0.0
    item = SliceEvidence(
        id=new_id(), image=new_id(), date=now(), outcome="approved", approval=tuple(sure.tolist())
    )
    a_profile.commit("Dr. A", item)
    segment("--json", tmp_path / "n.json")
    without = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))["result"]["mask_area_mm2"]
    segment("--profile", "Dr. A", "--picks", "1")
    learnt = a_profile.load("Dr. A").slices[-1]
    assert learnt.consensus_mm2 == pytest.approx(without) != learnt.first_mm2


def points_of(path: Path) -> list[list[float]]:
    return json.loads(path.read_text(encoding="utf-8"))["points"]


def test_further_points_are_placed_where_they_were_given(segment, a_ct, tmp_path):
    volume = sitk.ReadImage(str(a_ct))
    i, j, k = seed_voxel(volume)
    x, y, z = volume.TransformIndexToPhysicalPoint((i + 2, j - 1, k))
    lps = ("--add-ras", -x, -y, z)
    for name, options in (("a", ("--add-ijk", i + 2, j - 1, k)), ("b", lps)):
        out = (tmp_path / f"{name}.nrrd", tmp_path / f"{name}.json")
        ran = segment(
            *options,
            "--remove-ijk",
            i - 9,
            j,
            k,
            "--remove-ijk",
            i,
            j + 9,
            k,
            "--out",
            out[0],
            "--json",
            out[1],
        )
        assert ran.code == 0, ran.err
        mask = sitk.ReadImage(str(out[0]))
        assert mask[i + 2, j - 1, k] == 1
        assert mask[i - 9, j, k] == mask[i, j + 9, k] == 0
        assert [positive for *_, positive in points_of(out[1])] == [True, True, False, False]
    np.testing.assert_allclose(points_of(tmp_path / "a.json"), points_of(tmp_path / "b.json"), atol=0.51)
    record = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [one["answer"] for one in record["iterations"]] == ["placed a point"] * 3 + ["approved"]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--add-ras", 0, 0, 999), 1, "lies outside the volume"),
        (("--add-ijk", 50, 100, 3), 1, "lies on slice 3, but slice"),
        (("--remove-ijk", 50, 100), 2, "is no point"),
        (("--remove-ras", "a", "b", "c"), 2, "is no point"),
    ],
)
def test_points_that_cannot_be_placed_are_refused(segment, options, code, sentence):
    ran = segment(*options)
    assert ran.code == code
    assert sentence in " ".join(ran.err.replace("│", "").split())


def test_a_file_that_exists_is_overwritten_with_force_only(segment, tmp_path):
    for name, option in (("m.nrrd", "--out"), ("n.json", "--json")):
        path = tmp_path / name
        path.write_text("mine")
        ran = segment(option, path)
        assert (ran.code, "exists already; give another name, or --force" in ran.err) == (1, True)
        assert path.read_text(encoding="utf-8") == "mine"
        assert segment(option, path, "--force").code == 0
        assert path.read_bytes() != b"mine"


def test_the_seed_in_voxels_is_said_to_count_as_stored(run, segment):
    assert "as stored in the file" in " ".join(run("segment", "--help").out.replace("│", "").split())
    assert re.search(r"Seed: voxel \d+ \d+ \d+ as stored in the file, RAS ", segment().out)


class Terminal:
    """The command on a pseudo terminal."""

    def __init__(self, *arguments: object) -> None:
        self._master, slave = pty.openpty()
        command = [sys.executable, "-m", "SPASegmentLib.cli.main", *map(str, arguments)]
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        self._process = warm.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.text = ""

    def until(self, words: str, seconds: float = 180) -> str:
        """Read until the words come; what came since the last call."""
        end, seen = time.monotonic() + seconds, ""
        while words not in seen:
            assert time.monotonic() < end, f"waited for {words!r} after {seen!r}"
            if select.select([self._master], [], [], 1)[0]:
                try:
                    seen += os.read(self._master, 65536).decode()
                except OSError:
                    break
        self.text += seen
        assert words in seen, seen
        return seen

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def code(self) -> int:
        return self._process.wait(60)


@pytest.mark.long
def test_on_a_terminal_the_user_is_asked_and_shown_a_picture(a_ct, a_model, tmp_path):
    terminal = Terminal(
        "segment", a_ct, *AT, "--model", a_model, "--json", tmp_path / "n.json", "--out", tmp_path / "m.nrrd"
    )
    picture = Path(re.search(r"Picture: (\S+)", terminal.until("Enter approve: ")).group(1))
    assert picture.read_bytes().startswith(b"\x89PNG")
    for line, words in (("7", '"7" is no answer'), ("u", "Only the seed is left"), ("1", "Iteration 2")):
        terminal.type(line)
        assert words in terminal.until("Enter approve: ")
    for line, words in (("u", "Iteration 1"), ("r", "Iteration 2"), ("n", "Iteration 3")):
        terminal.type(line)
        assert words in terminal.until("Enter approve: ")
    terminal.type("")
    terminal.until("Approved: ")
    assert terminal.code() == 0
    record = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))
    assert [i["answer"] for i in record["iterations"]] == ["picked 1", "none of these", "approved"]
    assert not picture.parent.exists(), "pictures nobody asked for do not stay"


def test_on_a_terminal_points_are_placed_and_existing_files_asked_about(a_ct, a_model, tmp_path):
    volume = sitk.ReadImage(str(a_ct))
    i, j, k = seed_voxel(volume)
    x, y, z = volume.TransformIndexToPhysicalPoint((i - 9, j, k))
    out = tmp_path / "m.nrrd"
    out.write_text("mine")
    arguments = ("segment", a_ct, *AT, "--model", a_model, "--out", out)
    terminal = Terminal(*arguments)
    terminal.until("Overwrite it? [y/N] ")
    terminal.type("")
    terminal.until("was left as it is")
    assert (terminal.code(), out.read_text(encoding="utf-8")) == (1, "mine")
    terminal = Terminal(*arguments)
    terminal.until("Overwrite it? [y/N] ")
    terminal.type("y")
    terminal.until("Enter approve: ")
    for line, words in (
        ("?", "a point outside the object"),
        ("+ 1 2", "is no point"),
        ("+ ijk 50 100 3", "lies on slice 3"),
        (f"+ ijk {i + 2} {j - 1} {k}", "Iteration 2"),
        (f"- {-x} {-y} {z}", "Iteration 3"),
    ):
        terminal.type(line)
        assert words in terminal.until("Enter approve: ")
    terminal.type("")
    terminal.until("Approved: ")
    assert terminal.code() == 0
    mask = sitk.ReadImage(str(out))
    assert (mask[i + 2, j - 1, k], mask[i - 9, j, k]) == (1, 0)


def test_on_a_terminal_the_series_is_asked_for(a_model, tmp_path):
    chest = make_sample_volume(0).array
    for uid, count in (("1.2.1", 3), ("1.2.2", 2)):
        for n in range(count):
            image = sitk.GetImageFromArray(chest[75 + n])
            for key, value in (
                *(
                    ("0020|000e", uid),
                    ("0020|0013", str(n)),
                    ("0008|0060", "CT"),
                    ("0008|0018", f"{uid}.{n}"),
                ),
                *(("0020|0032", f"0\\0\\{2 * n}"), ("0020|0037", "1\\0\\0\\0\\1\\0")),
            ):
                image.SetMetaData(key, value)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetFileName(str(tmp_path / f"{uid}.{n}.dcm"))
            writer.Execute(image)
    terminal = Terminal("segment", tmp_path, "--seed-ijk", 50, 100, 0, "--model", a_model)
    assert "2  CT, 2 images of 200 x 200" in terminal.until("Enter for 1, q quit: ")
    terminal.type("2")
    terminal.until("Enter approve: ")
    terminal.type("q")
    terminal.until("no mask was written")
    assert terminal.code() == 1


def test_quitting_the_dialogue_writes_nothing(a_ct, a_model, tmp_path):
    terminal = Terminal(
        "segment", a_ct, *AT, "--model", a_model, "--out", tmp_path / "m.nrrd", "--report", tmp_path / "r"
    )
    terminal.until("Enter approve: ")
    terminal.type("q")
    terminal.until("no mask was written")
    assert terminal.code() == 1
    assert not (tmp_path / "m.nrrd").exists()
