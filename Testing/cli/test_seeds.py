"""`spasegment segment --seeds`: a table of objects, one segment each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.segment_files import read_segments

CENTRE = (22, 20, 5)
"""IJK voxel of the middle of the ball."""
AT = ",".join(map(str, CENTRE))


@pytest.fixture(scope="module")
def a_small_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright ball in a few tilted slices."""
    k, j, i = np.mgrid[:9, :44, :48]
    ball = np.hypot(np.hypot((k - 5) * 2.0, (j - 20) * 0.8), (i - 22) * 0.7) < 5
    noise = np.random.default_rng(0).normal(0, 20, ball.shape)
    image = sitk.GetImageFromArray((np.where(ball, 40, -800) + noise).astype(np.int16))
    image.SetSpacing((0.7, 0.8, 2.0))
    image.SetOrigin((5.0, -30.0, 12.0))
    image.SetDirection((0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
    path = tmp_path_factory.mktemp("volume") / "small.nrrd"
    sitk.WriteImage(image, str(path))
    return path


def ras(ct: Path, i: float, j: float, k: float) -> str:
    x, y, z = sitk.ReadImage(str(ct)).TransformContinuousIndexToPhysicalPoint((i, j, k))
    return f"{-x:.9g},{-y:.9g},{z:.9g}"


@pytest.fixture
def batch(run, a_small_ct, a_model, tmp_path):
    """`segment --seeds` on the small CT with the hand-made model."""

    def batch_(table: str, *options: object, out: str = "all.seg.nrrd", model: object = None):
        (tmp_path / "seeds.csv").write_text(table, encoding="utf-8")
        seeds = ("--seeds", tmp_path / "seeds.csv", "--out", tmp_path / out)
        return run("segment", a_small_ct, "--model", model or a_model, *seeds, *options)

    return batch_


def labels(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_every_row_is_what_a_command_of_its_own_makes(batch, run, a_small_ct, a_model, tmp_path):
    i, j, k = CENTRE
    volume = read_volume(a_small_ct)
    ran = batch(
        "Name;i;j;k;orientation;picks;whole_object\n"
        f"left upper;{i};{j};{k};;2,1;\n\nBläschen;{i};{j};{k};coronal;;no\n",
        *("--json", tmp_path / "n.json", "--report", tmp_path / "pictures", "--whole-object"),
    )
    assert (ran.code, ran.err) == (0, "")
    assert "2 segments: " in ran.out and "left upper: " in ran.out
    commands = (("--picks", "2,1", "--whole-object"), ("--orientation", "coronal", "--picks", ""))
    found = read_segments(tmp_path / "all.seg.nrrd", volume)
    assert [one.name for one in found] == ["left upper", "Bläschen"]
    assert found[0].colour != found[1].colour
    record = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))
    for segment, about, options in zip(found, record["objects"], commands, strict=True):
        alone = tmp_path / "alone.nrrd"
        files = ("--out", alone, "--json", tmp_path / "one.json", "--force")
        assert (
            run("segment", a_small_ct, "--model", a_model, "--seed-ijk", i, j, k, *options, *files).code == 0
        )
        np.testing.assert_array_equal(segment.mask, labels(alone) > 0)
        own = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
        assert about["result"]["picks"] == own["result"]["picks"]
        assert about.get("object") == own.get("object")
        assert about["voxels"] == segment.mask.sum()
    assert [(one["line"], one["segment"]) for one in record["objects"]] == [(2, 1), (4, 2)]
    assert (tmp_path / "pictures" / "001 left_upper" / "whole-object.png").exists()
    assert (tmp_path / "pictures" / "002 Bläschen" / "iteration-1.png").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if "all" in path.name) == ["all.seg.nrrd"]


@pytest.mark.parametrize("out", ["all.seg.nrrd", "all.nii.gz"])
@pytest.mark.parametrize("overwrite", ["none", "visible", "all"])
def test_later_rows_take_voxels_only_where_allowed_or_where_a_file_holds_one_each(
    batch, a_small_ct, tmp_path, overwrite, out
):
    i, j, k = CENTRE
    table = f"name,r,a,s\none,{ras(a_small_ct, *CENTRE)}\ntwo,{ras(a_small_ct, i + 2, j, k)}\n"
    assert batch(table, out="apart.seg.nrrd").code == 0
    volume = read_volume(a_small_ct)
    one, two = (segment.mask for segment in read_segments(tmp_path / "apart.seg.nrrd", volume))
    assert (one & two).any()
    ran = batch(table, "--overwrite", overwrite, out=out)
    assert ran.code == 0
    found = [segment.mask for segment in read_segments(tmp_path / out, volume)]
    one_each = out == "all.nii.gz"
    np.testing.assert_array_equal(found[1], two)
    np.testing.assert_array_equal(found[0], one & ~two if one_each or overwrite != "none" else one)
    said = f"{(one & two).sum()} voxels are of several objects" in ran.err
    assert said == (one_each and overwrite == "none")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("name,i,j\na,1,2\n", "seeds.csv, line 1: the header needs name and either i, j, k (voxels) or r"),
        ("i,j,k\n1,2,3\n", "seeds.csv, line 1: the header needs name"),
        ("name,i,j,k,r,a,s\na,1,2,3,4,5,6\n", "seeds.csv, line 1: the header needs name and either"),
        ("name,i,j,k,pick\na,1,2,3,1\n", 'seeds.csv, line 1: there is no column "pick"; use name, i'),
        ("name,i,j,k,i\na,1,2,3,1\n", 'line 1: the column "i" is there twice'),
        ("name,i,j,k\n", "has no rows; write one object in each line"),
        ("name,i,j,k\na,20,20,5\nb,20,x,5\n", 'seeds.csv, line 3: "x" in the column j is no number.'),
        ("name,i,j,k\na,20,20,5\n,20,20,5\n", "seeds.csv, line 3: the name is missing."),
        ("name,i,j,k\na,20,20\n", "seeds.csv, line 2: this row has not as many cells as the header, 4."),
        ("name,i,j,k\na,20,20,5,1\n", "seeds.csv, line 2: this row has not as many cells"),
        ("name,i,j,k\na,20,20,5\na,21,20,5\n", 'line 3: "a" stands in line 2 already'),
        ("name,i,j,k,orientation\na,20,20,5,oblique\n", 'line 2: "oblique" is no orientation'),
        ("name,i,j,k,picks\na,20,20,5,2 5\n", 'line 2: the column picks has "5"; give numbers from 1'),
        ("name,i,j,k,whole_object\na,20,20,5,maybe\n", 'line 2: "maybe" in the column whole_object is'),
        ("name,i,j,k\na,20,20,5\nb,20,20,500\n", "seeds.csv, line 3: The seed"),
        ("name,r,a,s\na,nan,0,0\n", "seeds.csv, line 2: "),
    ],
)
def test_a_bad_row_is_one_sentence_with_its_line_before_anything_is_computed(
    batch, tmp_path, table, sentence
):
    ran = batch(table)
    assert (ran.code, ran.out) == (1, "")
    assert sentence in ran.err and ran.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.csv"]


def test_a_table_goes_with_no_other_start_and_needs_a_file_that_holds_it(batch, run, a_small_ct, tmp_path):
    table = f"name,i,j,k\na,{AT}\n"
    ran = batch(table, "--seed-ijk", 1, 2, 3)
    assert ran.code == 2
    assert "leave other starts and points out" in " ".join(ran.err.replace("│", " ").split())
    ran = run("segment", a_small_ct, "--seeds", tmp_path / "seeds.csv")
    assert ran.code == 2 and "needs --out" in ran.err
    many = "name,i,j,k\n" + "".join(f"a{n},{AT}\n" for n in range(256))
    assert "holds at most 255 segments" in batch(many, out="all.nrrd").err
    assert (
        "cannot be read as a table"
        in run("segment", a_small_ct, "--seeds", a_small_ct, "--out", "x.nrrd").err
    )


@pytest.mark.parametrize("option", [("--stow",), ("--keep-approved", "kept")])
def test_storing_and_keeping_are_for_one_object(batch, tmp_path, option):
    ran = batch(f"name,i,j,k\na,{AT}\n", *option)
    assert ran.code == 2 and "Traceback" not in ran.err
    said = " ".join(ran.err.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())
    assert "--seeds writes a file only; leave --stow and --keep-approved out." in said
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.csv"]


@pytest.mark.long
def test_a_row_that_cannot_be_segmented_costs_the_others_nothing(batch, tmp_path, a_small_ct):
    table = f"name,i,j,k,picks\na,{AT},\nb,{AT},{{}}\n"
    ran = batch(table.format("k k k k k k k k k k k k 1"), "--json", tmp_path / "n.json")
    assert ran.code == 1
    assert "1 object of 2 could not be segmented, the first in seeds.csv, line 3: " in ran.err
    assert [one.name for one in read_segments(tmp_path / "all.seg.nrrd", read_volume(a_small_ct))] == ["a"]
    record = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))
    assert "error" in record["objects"][1] and "segment" in record["objects"][0]
    again = batch(table.format("1"), "--json", tmp_path / "n.json", "--force")
    assert (again.code, again.err) == (0, "")
    assert "1 of 2 objects segmented before; going on." in again.out
    assert len(read_segments(tmp_path / "all.seg.nrrd", read_volume(a_small_ct))) == 2
    assert not (tmp_path / "all.seg.nrrd.unfinished").exists()


@pytest.mark.long
def test_killed_in_the_middle_it_goes_on_and_ends_as_if_nothing_had_been(
    batch, a_small_ct, a_model, tmp_path
):
    i, j, k = CENTRE
    table = "name,i,j,k\n" + "".join(f"n{n},{i + n},{j},{k}\n" for n in range(6))
    options = ("--whole-object", "--json", tmp_path / "n.json")
    (tmp_path / "seeds.csv").write_text(table, encoding="utf-8")
    out, kept = tmp_path / "all.seg.nrrd", tmp_path / "all.seg.nrrd.unfinished"
    command = (
        "segment",
        a_small_ct,
        "--model",
        a_model,
        "--seeds",
        tmp_path / "seeds.csv",
        "--out",
        out,
        *options,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "SPASegmentLib.cli.main", *map(str, command)], stdout=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 120
        while not list(kept.glob("[!.]*.npz")) and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    done = list(kept.glob("[!.]*.npz"))
    assert 0 < len(done) < 6 and not out.exists()
    done[-1].write_bytes(done[-1].read_bytes()[:100])  # a damaged one is computed again
    ran = batch(table, *options)
    assert (ran.code, ran.err) == (0, "")
    whole = len(done) - 1
    assert (f"{whole} of 6 objects segmented before" in ran.out) == (whole > 0)
    assert ran.out.count(" ml on ") == 6 - whole
    assert not kept.exists()
    first = out.read_bytes()
    straight = batch(table, *options, "--force")
    assert straight.out.count(" ml on ") == 6
    assert out.read_bytes() == first


@pytest.mark.long
def test_another_model_or_pick_is_computed_anew(batch, tmp_path):
    table = f"name,i,j,k,picks\na,{AT},{{}}\nb,{AT},k k k k k k k k k k k k 1\n"
    assert batch(table.format("")).code == 1
    assert "segmented before" not in batch(table.format("1"), "--force").out
    assert "segmented before" not in batch(table.format(""), "--force", "--seed-value", 3).out
