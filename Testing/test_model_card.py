"""The model card's front matter, which Hugging Face reads, says what the card's tables say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "Resources" / "Models" / "README.md"


@pytest.fixture(scope="module")
def card() -> str:
    return CARD.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def front(card: str) -> dict[str, Any]:
    start, matter, _text = card.split("---\n", 2)
    assert start == "", "nothing stands before it"
    return yaml.safe_load(matter)


def test_the_front_matter_is_what_the_tables_give(card: str) -> None:
    spec = importlib.util.spec_from_file_location("make_model_card", ROOT / "docs" / "make_model_card.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.page() == card, "run python docs/make_model_card.py"


def test_it_has_the_fields_that_hugging_face_reads(front: dict[str, Any]) -> None:
    assert front["license"] == "apache-2.0"
    assert front["pipeline_tag"] == "image-segmentation"
    assert front["metrics"] == ["dice"]
    for model in front["model-index"]:
        assert model["results"]
        for result in model["results"]:
            assert result["task"]["type"] == "image-segmentation"
            assert {"type", "name"} <= set(result["dataset"])
            for metric in result["metrics"]:
                assert metric["type"] == "dice" and 0 < metric["value"] < 1


def test_it_names_every_shipped_model_and_every_set(card: str, front: dict[str, Any]) -> None:
    shipped = {path.stem for path in CARD.parent.glob("*.safetensors")}
    assert {model["name"] for model in front["model-index"]} == shipped
    learnt = card.split("| set it learnt from |", 1)[1]
    assert front["datasets"] == re.findall(r"^\| ([a-z][\w-]+) \|", learnt, re.MULTILINE)
    assert len(front["datasets"]) > 1


def test_the_figures_stand_in_the_card(card: str, front: dict[str, Any]) -> None:
    text = card.split("---\n", 2)[2]
    compact, general = front["model-index"]
    figures = [metric["value"] for metric in compact["results"][0]["metrics"]]
    assert f"| Dice | {' | '.join(f'{value:.3f}' for value in figures)} |" in text
    assert len(general["results"]) == 3
    for result in general["results"]:
        (line,) = [
            line
            for line in text.splitlines()
            if "`general`" in line and line.split(" | ")[0].strip("| ") in result["dataset"]["name"]
        ]
        values = re.findall(r"(\d\.\d\d) \(", line)
        assert [f"{metric['value']:.2f}" for metric in result["metrics"]] == values
