"""`spasegment` with streams, folders and names that are not as usual."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from SPASegmentLib.imaging.sample import sample_seeds

AT = ("--seed-ras", *sample_seeds(0, rotated=True)[0].ras)


def command(*arguments: object, **streams) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SPASEGMENT_PROFILES": "", **streams.pop("env", {})}
    environment = {name: value for name, value in environment.items() if value is not None}
    line = [*streams.pop("within", ()), sys.executable, "-m", "SPASegmentLib.cli.main", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, timeout=200, check=False, env=environment, **streams)


UNSET = ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")


def test_a_reader_that_stops_reading_and_no_home_variable_are_no_error_and_the_mask_is_written(
    a_ct, a_model, tmp_path
):
    line = [sys.executable, "-m", "SPASegmentLib.cli.main", "segment", str(a_ct), *map(str, AT)]
    line += ["--model", str(a_model), "--out", str(tmp_path / "m.nrrd")]
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    env |= {"OMP_NUM_THREADS": "1", "SPASEGMENT_PROFILES": ""}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert (tmp_path / "m.nrrd").exists()


@pytest.mark.skipif(os.name != "posix", reason="names of this system are always text")
def test_a_closed_standard_input_is_no_terminal_and_names_need_not_be_utf_8(a_ct, a_model, tmp_path):
    path, out = (tmp_path / os.fsdecode(name) for name in (b"caf\xe9.nrrd", b"m\xe9.nii.gz"))
    path.write_bytes(a_ct.read_bytes())
    line = ("segment", path, *AT, "--model", a_model, "--out", out)
    ran = command(*line, preexec_fn=lambda: os.close(0))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Approved: " in ran.stdout
    assert out.exists()


@pytest.mark.parametrize("home", ["/proc/1", pytest.param("/nonexistent", marks=pytest.mark.long)])
def test_a_home_folder_that_cannot_be_written_is_no_matter(a_ct, a_model, tmp_path, home):
    env = {"HOME": home, "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""}
    report = ("--report", tmp_path / "r")
    ran = command("segment", a_ct, *AT, "--model", a_model, *report, env=env, stdin=subprocess.DEVNULL)
    assert (ran.returncode, ran.stderr) == (0, b"")


NOBODY = ("unshare", "--user", "--map-user=54321")
"""Runs a command as an account that has no name and no home folder, as containers do."""


@pytest.fixture
def nobody() -> tuple[str, ...]:
    if shutil.which("unshare") is None or subprocess.run([*NOBODY, "true"], check=False).returncode:
        pytest.skip("this system lets nobody run as an account without a name")
    return NOBODY


@pytest.mark.long
def test_an_account_without_a_home_folder_segments_and_is_told_where_one_is_needed(
    a_ct, a_model, tmp_path, nobody
):
    env = dict.fromkeys(UNSET)
    ran = command("segment", a_ct, *AT, "--model", a_model, env=env, within=nobody, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Approved: " in ran.stdout
    ran = command("profile", "create", "Dr A", env=env, within=nobody, cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"This account has no home folder") and ran.stderr.count(b"\n") == 1
    kept = tmp_path / "kept"
    named = env | {"SPASEGMENT_PROFILES": str(kept)}
    ran = command("profile", "create", "Dr A", env=named, within=nobody, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b"") and list(kept.glob("dr-a-*.json"))
    assert not list(tmp_path.glob("~*"))


@pytest.mark.long
def test_folders_of_the_environment_that_cannot_be_written_are_no_matter(a_ct, a_model, tmp_path):
    env = dict.fromkeys(UNSET, "/etc/passwd") | {"MPLCONFIGDIR": ""}
    report = ("--report", tmp_path / "r")
    ran = command("segment", a_ct, *AT, "--model", a_model, *report, env=env, stdin=subprocess.DEVNULL)
    assert (ran.returncode, ran.stderr) == (0, b"")
    ran = command("profile", "create", "Dr A", env=env)
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"The profile could not be saved") and ran.stderr.count(b"\n") == 1
