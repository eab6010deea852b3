"""`spasegment segment --box` and `--scribble`: other ways to say where the object is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.masks import write_segments
from SPASegmentLib.imaging.sample import sample_seeds
from SPASegmentLib.imaging.segment_files import read_segments
from SPASegmentLib.imaging.segments import Segment


@pytest.fixture(scope="module")
def at(a_ct) -> tuple[int, int, int]:
    """The nodule's voxel as (i, j, k)."""
    volume = read_volume(a_ct)
    i, j, k = np.linalg.solve(volume.ijk_to_ras, (*sample_seeds(0, rotated=True)[0].ras, 1))[:3]
    return round(i), round(j), round(k)


@pytest.fixture
def segment(run, a_ct, a_model):
    """`segment` on the made-up CT with the hand-made model; no terminal."""
    return lambda *options: run("segment", a_ct, "--model", a_model, *options)


@pytest.fixture
def scribble(a_ct, tmp_path, at):
    """Write a scribble: a line in the object, and one outside it where `outside`."""

    def write(*, outside: bool):
        volume = read_volume(a_ct)
        inside, around = np.zeros((2, *volume.shape), bool)
        i, j, k = at
        inside[k, j, i - 8 : i + 9] = True
        around[k, j + 14, i - 8 : i + 9] = True
        segments = [Segment("in", inside), Segment("out", around)]
        write_segments(tmp_path / "drawn.seg.nrrd", segments if outside else segments[:1], volume)
        return tmp_path / "drawn.seg.nrrd"

    return write


def points_of(path) -> list[dict]:
    steps = json.loads(path.read_text(encoding="utf-8"))["session"]["steps"]
    return [step for step in steps if step["kind"] == "point"]


def test_a_box_is_a_seed_in_its_middle_with_its_size(segment, at, tmp_path):
    i, j, k = at
    ran = segment("--box", f"{i - 10},{j - 6},{k},{i + 10},{j + 6},{k}", "--json", tmp_path / "n.json")
    assert (ran.code, ran.err) == (0, "")
    assert f"Seed: voxel {i} {j} {k}" in ran.out
    [point] = points_of(tmp_path / "n.json")
    assert point["size_mm"] == pytest.approx(21 * 1.25, rel=0.01)
    alone = segment("--seed-ijk", i, j, k, "--json", tmp_path / "m.json")
    assert alone.code == 0 and points_of(tmp_path / "m.json")[0]["size_mm"] is None


def test_a_scribble_is_many_points_inside_and_outside(segment, scribble, a_ct, at, tmp_path):
    drawn = scribble(outside=True)
    ran = segment("--scribble", drawn, "--out", tmp_path / "a.seg.nrrd", "--json", tmp_path / "n.json")
    assert (ran.code, ran.err) == (0, "")
    points = points_of(tmp_path / "n.json")
    assert [p["positive"] for p in points] == sorted((p["positive"] for p in points), reverse=True)
    assert 3 <= sum(p["positive"] for p in points) <= 6 and 3 <= sum(not p["positive"] for p in points) <= 6
    volume = read_volume(a_ct)
    [mask] = read_segments(tmp_path / "a.seg.nrrd", volume)
    inside, around = read_segments(drawn, volume)
    assert mask.mask[inside.mask].mean() > 0.8 and mask.mask[around.mask].mean() < 0.2


def test_a_scribble_follows_a_seed_a_box_or_a_mask(segment, scribble, at, tmp_path):
    i, j, k = at
    drawn = scribble(outside=False)
    for number, start in enumerate(
        (
            ("--seed-ijk", i, j, k),
            ("--box", f"{i - 10},{j - 6},{k},{i + 10},{j + 6},{k}"),
            ("--continue", drawn),
        )
    ):
        out = tmp_path / f"{number}.json"
        ran = segment(*start, "--scribble", drawn, "--json", out)
        assert ran.code == 0, ran.err
        expected = {0: None, 1: pytest.approx(26.25, rel=0.01), 2: None}[number]
        assert points_of(out)[0]["size_mm"] == expected
        assert len(points_of(out)) >= 4


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--box", "1,2,3"), 2, "two opposite corners"),
        (("--box", "a,b,c,d,e,f"), 2, "two opposite corners"),
        (("--box", "90,90,40,110,110,42"), 1, "lies on slice"),
        (("--box", "90,90,40,9999,110,40"), 1, "outside"),
        (("--box", "1,1,1,2,2,1", "--seed-ijk", 1, 1, 1), 2, "leave the seed"),
        (("--box", "1,1,1,2,2,1", "--continue", "x.nrrd"), 2, "leave the seed"),
        (("--scribble", "none.nrrd"), 1, "There is no file"),
    ],
)
def test_what_is_no_box_or_scribble_is_refused_in_a_sentence(segment, options, code, said):
    ran = segment(*options)
    assert ran.code == code and said in " ".join(ran.err.replace("│", " ").split())


def test_a_scribble_of_nothing_or_of_many_segments_is_refused(segment, a_ct, tmp_path):
    volume = read_volume(a_ct)
    nothing = np.zeros(volume.shape, bool)
    write_segments(tmp_path / "a.seg.nrrd", [Segment("x", nothing)], volume)
    assert "Nothing is scribbled" in segment("--scribble", tmp_path / "a.seg.nrrd").err
    write_segments(tmp_path / "b.seg.nrrd", [Segment(name, nothing) for name in "xyz"], volume)
    assert "holds 3 segments" in segment("--scribble", tmp_path / "b.seg.nrrd").err
