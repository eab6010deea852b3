"""The protocol on the real data sets, and with the real engine; made-up twins are in the other files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_toys import ToyDataset, toy
from untrained_engines import untrained

from SPASegmentLib.research.datasets.registry import open_dataset
from SPASegmentLib.research.evaluation import Options, TransferOptions, evaluate, run, run_transfer
from SPASegmentLib.research.evaluation.protocol import draw
from SPASegmentLib.research.evaluation.sequences import default_users


def without_seconds(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.long
@pytest.mark.slow
def test_the_real_engine_gives_the_same_records_whatever_the_number_of_workers(tmp_path: Path) -> None:
    dataset = ToyDataset(2)
    for workers in (1, 2):
        options = Options(resamples=50, iterations=2, workers=workers)
        evaluate({"untrained": untrained}, dataset, options, out=tmp_path / str(workers))
    records = [without_seconds(tmp_path / str(workers) / "cases" / "untrained.jsonl") for workers in (1, 2)]
    assert records[0] == records[1]
    assert all(len(row["dice"]) == 2 and row["ged"] > 0 for row in records[0][1:])


def test_the_real_engine_works_with_a_carried_profile() -> None:
    options = Options(resamples=50, iterations=2)
    found = run_transfer(
        {"untrained": untrained}, ToyDataset(8), options, TransferOptions(("largest",), 2, 4)
    )
    assert found.summary["models"]["untrained"]["users"]["largest"]["cases"] == 4


@pytest.mark.data
def test_lidc_slices_are_evaluated_from_their_zip(data_dir: Path, tmp_path: Path) -> None:
    dataset = open_dataset("lidc", [data_dir / "lidc-test-1.zip"], split="test", subset=None)
    run({"toy": toy()}, dataset, out=tmp_path, limit=6)
    model = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["models"]["toy"]
    assert model["cases"] + model["skipped"] == 6
    assert model["alignment"] is None
    targets = json.loads((tmp_path / "targets.json").read_text(encoding="utf-8"))["cases"]
    assert all(set(row["raters"]) <= {0, 1, 2, 3} and row["pixels"] > 0 for row in targets)


@pytest.mark.long
@pytest.mark.data
@pytest.mark.slow
def test_the_headline_subset_has_its_953_cases_and_every_one_a_target(data_dir: Path) -> None:
    zips = [data_dir / "lidc-test-0.zip", data_dir / "lidc-test-1.zip"]
    dataset = open_dataset("lidc", zips, split="test", subset="all4")
    assert len(dataset) == 953
    for index in range(0, len(dataset), 50):
        drawn = draw(dataset[index], 0)
        assert drawn is not None
        assert drawn.target[int(drawn.click.row), int(drawn.click.col)]


@pytest.mark.data
def test_the_named_raters_of_bu_bil_are_users(data_dir: Path) -> None:
    dataset = open_dataset("bu-bil", [data_dir / "bu-bil.zip"])
    raters = dataset[0].raters
    assert len(raters) == 10
    assert default_users(dataset) == tuple(f"raters:{name}" for name in raters)
    options = Options(resamples=50, limit=1, iterations=2, target=f"raters:{raters[0]}")
    model = evaluate({"toy": toy()}, dataset, options).summary["models"]["toy"]
    assert set(model["alignment"]["raters"]) == set(raters)
    assert list(model["alignment"]["raters"][raters[0]]) == ["included"]
    assert list(model["alignment"]["raters"][raters[1]]) == ["excluded"]
