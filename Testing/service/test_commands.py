"""`--server` of the commands and of the viewer: a server computes, with the same outcome."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import warm

from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds


@pytest.fixture(scope="module")
def a_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("volume") / "chest.nrrd"
    write_sample_volume(path, make_sample_volume(0))
    return path


def spasegment(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "SPASegmentLib.cli.main", *map(str, arguments)]
    return warm.run(command, timeout=180, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


def masks(ran: subprocess.CompletedProcess[str], path: Path) -> list[object]:
    assert ran.returncode == 0, ran.stderr
    return [step["proposal"] for step in json.loads(path.read_text(encoding="utf-8"))["session"]["steps"]]


def test_segment_with_a_server_gives_the_same_masks(a_ct, a_model, a_guarded_server, keys, tmp_path):
    seed = [f"{v:.2f}" for v in sample_seeds(0)[0].ras]
    given = ("segment", a_ct, "--seed-ras", *seed, "--picks", "1,n", "--model", a_model)
    here = spasegment(*given, "--json", tmp_path / "here.json", "--device", "cpu")
    before = a_guarded_server.metric("spasegment_proposal_seconds_count", keys[1])
    there = spasegment(
        *given,
        "--json",
        tmp_path / "there.json",
        SPASEGMENT_SERVER=a_guarded_server.address,
        SPASEGMENT_SERVER_KEY=keys[1],
    )
    assert masks(here, tmp_path / "here.json") == masks(there, tmp_path / "there.json")
    assert a_guarded_server.metric("spasegment_proposal_seconds_count", keys[1]) == before + 3


@pytest.mark.long
def test_segment_without_its_server_goes_on_here_and_says_so(a_ct, a_model, tmp_path):
    seed = [f"{v:.2f}" for v in sample_seeds(0)[0].ras]
    ran = spasegment("segment", a_ct, "--seed-ras", *seed, "--model", a_model, "--server", "127.0.0.1:9")
    assert ran.returncode == 0, ran.stderr
    said = "Warning: The server 127.0.0.1:9 does not answer, so this computer computes."
    assert ran.stderr.count(said) == 1


def test_a_wrong_key_is_one_sentence(a_ct, a_model, a_guarded_server):
    ran = spasegment(
        "segment", a_ct, "--seed-ijk", 1, 1, 1, "--model", a_model, "--server", a_guarded_server.address
    )
    assert ran.returncode == 1
    assert ran.stderr.strip().splitlines()[-1].endswith("does not know this key; check it, or ask for one.")


@pytest.mark.long
def test_evaluate_with_a_server_gives_the_same_records(a_model, a_server, tmp_path):
    rng = np.random.default_rng(0)
    for patient in ("p0", "p1"):
        rows, cols = np.mgrid[:48, :50]
        distance = np.hypot(rows - 24, cols - 25) - rng.uniform(5, 9)
        pictures = {"image": 40 + 170 / (1 + np.exp(distance)) + rng.normal(0, 6, rows.shape)}
        pictures |= {f"rater-{name}": 255.0 * (distance < shift) for name, shift in (("ann", -1), ("bob", 1))}
        (tmp_path / "data" / patient).mkdir(parents=True)
        for name, pixels in pictures.items():
            picture = sitk.GetImageFromArray(np.clip(pixels, 0, 255).astype(np.uint8))
            sitk.WriteImage(picture, tmp_path / "data" / patient / f"{name}.png")
    given = ("evaluate", "--dataset", "folder", "--path", tmp_path / "data", "--model", a_model)
    found = []
    for name, more in (("here", ()), ("there", ("--server", a_server.address))):
        ran = spasegment(*given, "--out", tmp_path / name, *more)
        assert ran.returncode == 0, ran.stderr
        found.append(json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8")))
    assert without_time(found[0]) == without_time(found[1])


UNLIKE = "second|memory|device|command|machine|time"


def without_time(value):
    if isinstance(value, dict):
        return {k: without_time(v) for k, v in value.items() if not re.search(UNLIKE, k)}
    return [without_time(v) for v in value] if isinstance(value, list) else value


def test_the_viewer_computes_with_a_server(a_guarded_server, keys, a_model):
    before = a_guarded_server.metric("spasegment_proposal_seconds_count", keys[1])
    ran = spasegment(
        "view",
        "--self-check",
        "--model",
        a_model,
        "--server",
        a_guarded_server.address,
        SPASEGMENT_SERVER_KEY=keys[1],
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search("Self-check passed", ran.stdout)
    assert a_guarded_server.metric("spasegment_proposal_seconds_count", keys[1]) >= before + 2
