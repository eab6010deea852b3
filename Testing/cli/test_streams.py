"""`spasegment` with streams, folders and names that are not as usual."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from SPASegmentLib.imaging.sample import sample_seeds

AT = ("--seed-ras", *sample_seeds(0, rotated=True)[0].ras)


def command(*arguments: object, **streams) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **streams.pop("env", {})}
    line = [sys.executable, "-m", "SPASegmentLib.cli.main", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, timeout=200, check=False, env=environment, **streams)


def test_a_reader_that_stops_reading_is_no_error_and_the_mask_is_written(a_ct, a_model, tmp_path):
    line = [sys.executable, "-m", "SPASegmentLib.cli.main", "segment", str(a_ct), *map(str, AT)]
    line += ["--model", str(a_model), "--out", str(tmp_path / "m.nrrd")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert (tmp_path / "m.nrrd").exists()


def test_a_closed_standard_input_is_no_terminal(a_ct, a_model):
    ran = command("segment", a_ct, *AT, "--model", a_model, preexec_fn=lambda: os.close(0))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Approved: " in ran.stdout


@pytest.mark.parametrize("home", ["/proc/1", "/nonexistent"])
def test_a_home_folder_that_cannot_be_written_is_no_matter(a_ct, a_model, tmp_path, home):
    env = {"HOME": home, "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""}
    report = ("--report", tmp_path / "r")
    ran = command("segment", a_ct, *AT, "--model", a_model, *report, env=env, stdin=subprocess.DEVNULL)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(os.name != "posix", reason="names of this system are always text")
def test_names_that_are_not_utf_8_are_read_and_written(a_ct, a_model, tmp_path):
    path, out = (tmp_path / os.fsdecode(name) for name in (b"caf\xe9.nrrd", b"m\xe9.nii.gz"))
    path.write_bytes(a_ct.read_bytes())
    ran = command("segment", path, *AT, "--model", a_model, "--out", out, stdin=subprocess.DEVNULL)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert out.exists()
