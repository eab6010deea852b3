"""`spasegment compare`: from pictures to the table of all systems, in one command."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from rich.console import Console

from SPASegmentLib.cli import main as cli
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.systems.comparison import missing
from SPASegmentLib.research.systems.cost import Cost
from SPASegmentLib.research.systems.specs import TABLE
from SPASegmentLib.research.systems.table import (
    COLUMNS,
    all_drew,
    cells,
    gaps,
    make_row,
    markdown,
    rich_table,
    sentences,
)


@pytest.fixture(autouse=True)
def a_models_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def a_folder(tmp_path) -> Path:
    """Six patients, bright discs, two raters, of whom one drew nothing on the last picture."""
    rows, cols = np.mgrid[:48, :48]
    patients = [f"p{number}" for number in range(6)]
    for number, patient in enumerate(patients):
        folder = tmp_path / "data" / patient
        folder.mkdir(parents=True)
        distance = np.hypot(rows - 24, cols - 23) - 6 - number / 2
        noise = np.random.default_rng(number).normal(0, 5, rows.shape)
        save(folder / "image.png", 40 + 170 / (1 + np.exp(distance)) + noise)
        for rater, shift in (("ann", -1.5), ("bob", 1.5)):
            drew = not (number == 5 and rater == "ann")
            save(folder / f"rater-{rater}.png", 255.0 * ((distance < shift) & drew))
    split = {"train": patients[:3], "val": patients[3:4], "test": patients[4:]}
    (tmp_path / "data" / "splits.json").write_text(json.dumps(split))
    return tmp_path / "data"


def save(path: Path, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.clip(values, 0, 255).astype(np.uint8)), str(path))


def spasegment(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def figures(path: Path) -> dict[str, list[dict[str, object]]]:
    """The rows by subset, without the times of this computer."""
    subsets = json.loads(path.read_text(encoding="utf-8"))["subsets"]
    for rows in subsets.values():
        for row in rows:
            del row["seconds_per_click"]
    return subsets


@pytest.mark.long
def test_one_command_trains_what_is_missing_and_shows_the_table_and_again_the_same(
    tmp_path, a_folder, a_models_folder, system_checkpoint, tiny_options, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "220")
    for name in ("ensemble-unet", "sam"):
        shutil.copy(system_checkpoint(name), a_models_folder / f"{name}.safetensors")
    options = tiny_options("mh-unet", steps=2, batch=2).model_dump(mode="json")
    (tmp_path / "options.json").write_text(json.dumps(options))
    rows = ("ensemble-unet", "mh-unet", "sam", "sam-u-v1")
    assert missing(rows) == ["mh-unet"]
    asked = ["compare", "--dataset", "folder", "--path", a_folder, "--config", tmp_path / "options.json"]
    asked += [part for name in rows for part in ("--model", name)]
    assert spasegment(*asked, "--search", "--pictures", "--out", tmp_path / "first") == 0
    for name in ("noi.png", "failures.png", "cases.png"):
        assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "first" / name))).std() > 10
    tried = json.loads((tmp_path / "first" / "search" / "mh-unet.json").read_text(encoding="utf-8"))
    assert len(tried["scores"]) == 3 and f"{tried['chosen']:g}" in tried["scores"]
    assert missing(rows) == []
    assert "Ensemble UNet" in capsys.readouterr().out
    assert "SAM-U V1 (compact)*" in (tmp_path / "first" / "table.md").read_text(encoding="utf-8")
    found = figures(tmp_path / "first" / "table.json")
    assert [row["name"] for row in found["any"]] == list(rows)
    assert [row["cases"] for row in found["any"]] == [2] * 4
    assert [row["cases"] for row in found["all4"]] == [1] * 4
    by_name = {row["name"]: row for row in found["any"]}
    assert by_name["mh-unet"]["steps"] == 2 and by_name["mh-unet"]["later"] is None
    assert by_name["sam"]["later"] is not None and by_name["sam"]["user"] == "clicks on errors"
    assert all(row["macs"] > 0 and row["parameters"] > 0 for row in found["any"])
    assert spasegment(*asked, "--out", tmp_path / "again") == 0
    assert figures(tmp_path / "again" / "table.json") == found


def test_what_is_missing_is_trained_in_an_order_that_works():
    assert missing(["sam-u-v2", "msa", "compact"]) == ["sam", "medsam", "msa"]
    assert "sam-u-v1" not in missing(TABLE)


def test_a_row_says_what_the_records_say():
    held = [0.5] * 6
    records = [
        CaseRecord("a", "p", drew=[True, True], dice=held, candidates=[[0.7, 0.4]], ged=0.2, seconds=[0.1]),
        CaseRecord("b", "q", drew=[True, False], dice=[0.7] * 6, candidates=[[]], ged=0.4, seconds=[0.3]),
    ]
    row = make_row("probunet", records, Cost(2_000_000, 10**9, 5000, 60.0), "", resamples=50)
    assert row.first[0] == pytest.approx(60) and row.best is not None and row.best[0] == pytest.approx(70)
    assert row.later is None
    shown = dict(zip(COLUMNS, cells(row), strict=True))
    assert (shown["M params"], shown["GMACs"], shown["steps"]) == ("2.00", "1.00", "5000")
    assert (shown["GED"], shown["s/click"]) == ("0.300", "0.200")
    assert [record.case for record in all_drew(records)] == ["a"]
    assert markdown("t", [row]).count("|") == 3 * (len(COLUMNS) + 1)


def test_the_table_says_what_is_above_spa_and_by_how_much():
    rising = [CaseRecord(c, c, drew=[True], dice=[0.6, 0.7, 0.8], seconds=[0.1]) for c in "abc"]
    flat = [CaseRecord(c, c, drew=[True], dice=[0.65] * 3, seconds=[0.1]) for c in "abc"]
    cost = Cost(1, 1, 1, 1.0)
    rows = [
        make_row("runs/cups/best.safetensors", rising, cost, "", resamples=20),
        make_row("unet", flat, cost, "", resamples=20),
        make_row("level-set", flat, cost, "", resamples=20),
    ]
    assert [(row.label, row.category) for row in rows] == [
        ("SPA (cups)", "SPA"),
        ("UNet", "Det"),
        ("level-set", "Rival"),
    ]
    records = {rows[0].name: rising, "unet": flat, "level-set": flat}
    found = gaps(rows, records, resamples=20)
    assert [(gap.iteration, gap.mean) for gap in found] == [(1, -5), (1, -5), (3, 15), (3, 15)]
    first, later = sentences("SPA (cups)", found).split("\n\n")
    assert "SPA (cups) is not best; above it: UNet by 5.00 points (5.00 to 5.00)" in first
    assert later == "At iteration 3 SPA (cups) is best, 15.00 points (15.00 to 15.00) above UNet."
    assert gaps(rows[:1], records) == []


def test_a_narrow_terminal_is_shown_what_matters_most_and_nothing_cut():
    records = [CaseRecord("a", "p", drew=[True], dice=[0.65] * 6, seconds=[0.1])]
    rows = [make_row(name, records, Cost(1, 1, 1, 1.0), "", resamples=20) for name in TABLE]
    for width, columns in ((80, 4), (165, len(COLUMNS))):
        screen = Console(width=width, file=io.StringIO())
        screen.print(rich_table("lidc", rows, width))
        text = screen.file.getvalue()  # type: ignore[attr-defined]
        assert "…" not in text and "TransUNet" in text
        assert len(rich_table("lidc", rows, width).columns) == columns
