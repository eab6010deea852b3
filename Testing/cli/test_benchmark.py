"""`spasegment benchmark`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SPASegmentLib.cli.benchmark import as_naive, papers_engine
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.session import Session


def test_the_numbers_are_shown_and_written(run, a_model, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    options = ("--repeat", 1, "--threads", 1, "--samples", 12, "--device", "cpu")
    ran = run("benchmark", "--model", a_model, *options, "--json", tmp_path / "b.json")
    assert ran.code == 0, ran.err
    for word in (
        "click to proposal",
        "pick to proposal",
        "point to proposal",
        "peak memory",
        "run naively",
        "ratio",
        "N = 12",
    ):
        assert word in ran.out
    record = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert record["peak_memory_mib"] > 50
    for step in ("click", "pick", "point"):
        assert record["seconds"][step] > 0
        assert record["ratio"][step] == pytest.approx(record["naive_seconds"][step] / record["seconds"][step])
    assert record["ratio"]["pick"] > 1, "nothing shared is slower"  # a click is mostly looks, shared by both


@pytest.mark.long
@pytest.mark.slow
def test_the_papers_network_is_timed_in_the_same_run(run, a_model, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("SPASegmentLib.cli.benchmark.PAPER_SIZES", (64,))
    options = ("--repeat", 1, "--threads", 1, "--samples", 12, "--device", "cpu", "--paper")
    ran = run("benchmark", "--model", a_model, *options, "--json", tmp_path / "b.json")
    assert ran.code == 0, ran.err
    assert "the paper's network, 64 pixels" in ran.out
    record = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    for step in ("click", "pick", "point"):
        theirs, ours = record["paper_seconds"]["64"][step], record["seconds"][step]
        assert record["paper_ratio"]["64"][step] == pytest.approx(theirs / ours)


def test_the_papers_network_is_the_papers(monkeypatch: pytest.MonkeyPatch):
    """ViT-B's 86 million weights and 16 Gaussians; it encodes the whole slice anew at each iteration."""
    engine = papers_engine(64, "cpu")
    encoder = sum(part.numel() for part in engine.network.image_encoder.parameters())
    assert 80e6 < encoder < 95e6
    assert (engine.config.components, engine.config.samples, engine.config.channels) == (16, 48, 256)
    image = SliceImage(np.random.default_rng(0).random((80, 90)).astype(np.float32))
    encoded = []
    encode = engine.network.encode_image
    monkeypatch.setattr(engine.network, "encode_image", lambda *given: encoded.append(1) or encode(*given))
    session = Session.start(image, engine.model, (40, 40), n_samples=12).advance(engine)
    assert len(encoded) == 1
    session = session.pick(0).advance(engine)
    assert len(encoded) == 2
    assert session.proposal.feedback.region.size_mm == 90


def test_the_naive_run_is_the_same_network_and_gives_the_same_masks(a_model):
    rows, cols = np.mgrid[:96, :96]
    blob = np.exp(-((rows - 50) ** 2 + (cols - 40) ** 2) / 200).astype(np.float32)
    engine = load_engine(a_model, "cpu")
    sessions = []
    for each in (engine, as_naive(engine)):
        session = Session.start(SliceImage(blob, (1.0, 1.0), "CT"), each.model, (50, 40)).advance(each)
        sessions.append(session.pick(0).advance(each))
    for ours, naive in zip(sessions[0].done, sessions[1].done, strict=True):
        np.testing.assert_allclose(ours.proposal.probability, naive.proposal.probability, atol=1e-4)
        np.testing.assert_array_equal(ours.proposal.recommendation, naive.proposal.recommendation)


def test_an_object_is_followed_and_timed(run, tmp_path):
    options = ("--model", "compact", "--threads", 1, "--device", "cpu", "--json", tmp_path / "b.json")
    ran = run("benchmark", "--whole-object", 5, *options)
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert f"{record['slices']} slices of 512 x 512 in" in ran.out and "with a picture" in ran.out
    seconds = record["seconds"]
    assert record["slices"] >= 3 and 0 < seconds["median"] <= seconds["longest"] < seconds["total"]
