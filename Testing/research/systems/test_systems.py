"""Every comparison system trains, goes on after a stop, and answers as engines do."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import Engine, Proposal, ProposalRequest
from SPASegmentLib.network.checkpoint import load_checkpoint, read_header
from SPASegmentLib.research.evaluation.interaction import interact, run_case, slice_image
from SPASegmentLib.research.evaluation.protocol import Draw
from SPASegmentLib.research.evaluation.results import stops_at
from SPASegmentLib.research.systems.cost import count_macs
from SPASegmentLib.research.systems.loading import SystemFactory, load_system
from SPASegmentLib.research.systems.prompted import BoxedEngine
from SPASegmentLib.research.systems.run import system_run, train_system
from SPASegmentLib.research.systems.specs import (
    SYSTEMS,
    TABLE,
    build_system,
    get_system,
    system_config,
    system_options,
)
from SPASegmentLib.research.systems.user import BoxRequest, click_on_errors, draw_boxes
from SPASegmentLib.research.training.batches import Sealed
from SPASegmentLib.research.training.options import TrainOptions

QUIET = Console(quiet=True)
CLICK = PointPrompt(23, 23)
TRAINED = [name for name in TABLE if SYSTEMS[name].is_trained]
ONE_ITERATION = [name for name in TABLE if SYSTEMS[name].category in ("Det", "Unc")]
UNCERTAIN = [name for name in TABLE if SYSTEMS[name].category == "Unc"]


WITHOUT_DICE = ("probunet", "mrnet")
"""Trained with cross entropy only, which finds small objects later."""
FROM_SCRATCH = [name for name in TRAINED if not SYSTEMS[name].start]


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_the_loss_falls_and_the_object_is_found(tmp_path, tiny_data, tiny_options, system_checkpoint, name):
    best = system_checkpoint(name)
    fresh = system_run(name, tiny_data, tmp_path, tiny_options(name), QUIET)
    batch = Sealed(fresh.maker.batch(9, 0, 8))
    before, after = (
        float(net.train()(batch, 1, torch.Generator().manual_seed(0)).loss.detach())
        for net in (fresh.network, load_system(best)[0])
    )
    assert after < 0.9 * before
    log = [json.loads(line) for line in (best.parent / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [row["validation"] for row in log if "validation" in row]
    assert scores[-1][0] > (0.2 if name in WITHOUT_DICE else 0.5)
    about = read_header(best).provenance
    assert about["system"] == name and about["steps"] == 30 and about["seconds"] > 0


@pytest.mark.parametrize("name", TRAINED)
def test_a_system_resumes_to_the_weights_of_an_uninterrupted_run(
    tmp_path, tiny_data, tiny_options, system_checkpoint, name
):
    start = get_system(name).start
    begun = {"start": str(system_checkpoint(start))} if start else {}
    options = tiny_options(name, steps=2, batch=2, checkpoint_every=1, rounds=[0.0, 1.0], **begun)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_system(name, tiny_data, whole, options, False, QUIET)
    parts.mkdir()
    system_run(name, tiny_data, parts, options, QUIET).step(0)
    train_system(name, tiny_data, parts, options, True, QUIET)
    ends = [load_checkpoint(folder / "last.safetensors")[0] for folder in (whole, parts)]
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key
        assert torch.isfinite(value.float()).all(), key


def test_a_run_with_other_options_is_not_resumed(tmp_path, tiny_data, tiny_options):
    system_run("unet", tiny_data, tmp_path, tiny_options("unet", steps=2, checkpoint_every=1), QUIET).step(0)
    with pytest.raises(CheckpointError, match="other options"):
        train_system("unet", tiny_data, tmp_path, tiny_options("unet", steps=3), True, QUIET)


@pytest.mark.parametrize("name", ONE_ITERATION)
def test_equal_requests_get_equal_proposals_from_a_fresh_engine(system_engine, case, name):
    request = ProposalRequest(slice_image(case), (CLICK,), seed=3)
    first, again = (system_engine(name).propose(request) for _ in range(2))
    assert first.recommendation[23, 23]
    assert np.array_equal(first.probability, again.probability)
    assert np.array_equal(first.recommendation, again.recommendation)
    assert [c.mask.sum() for c in first.candidates] == [c.mask.sum() for c in again.candidates]


@pytest.mark.parametrize("name", [name for name in UNCERTAIN if name not in WITHOUT_DICE])
def test_the_picked_candidate_is_the_result(system_engine, case, name):
    trace = interact(system_engine(name), case, Draw(case.masks[3], (3,), CLICK))
    assert 1 <= len(trace.candidates[0]) <= 4
    assert len(trace.proposals) == 2
    assert trace.dice[1] == max(trace.candidates[0])
    assert trace.proposals[1].candidates == ()


def test_a_deterministic_system_has_one_mask_and_no_candidates(system_engine, case):
    trace = interact(system_engine("unet"), case, Draw(case.masks[3], (3,), CLICK))
    assert len(trace.proposals) == 1
    assert trace.candidates == [[]]


def test_without_zoom_a_system_learns_and_answers_in_the_first_region_alone(
    tmp_path, tiny_data, tiny_options, case
):
    options = tiny_options("unet", steps=2)
    fixed = options.model_copy(update={"network": {**options.network, "zoom": False}})
    run = system_run("unet", tiny_data, tmp_path / "run", fixed, QUIET)
    assert (run.maker.region_known, run.validation.region_known) == (0, 0)
    request = ProposalRequest(slice_image(case), (CLICK,))
    sides = []
    for name, chosen in (("fixed", fixed), ("zoomed", options)):
        best = train_system("unet", tiny_data, tmp_path / name, chosen, False, QUIET)
        region = SystemFactory("unet", best)().propose(request).feedback.region
        sides.append(region.size_mm / min(case.spacing))
        assert region.centre == (CLICK.row, CLICK.col) or name == "zoomed"
    assert sides[0] == 32 and sides[1] != 32


def test_what_the_options_name_stands_over_the_systems_own():
    options = system_options("unet", TrainOptions(steps=7, learning_rate=0.5))
    assert (options.steps, options.learning_rate) == (7, 0.5)


def test_an_unknown_system_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="no comparison system called 'unett'") as refused:
        get_system("unett")
    assert all(name in str(refused.value) for name in SYSTEMS)


PROMPTED = [name for name in TABLE if SYSTEMS[name].category in ("Int", "Unc-Int")]


class Recorder:
    """What an engine is asked while its own user plays."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.model = engine, engine.model
        self.requests: list[ProposalRequest] = []

    def propose(self, request: ProposalRequest, cancel: object = None) -> Proposal:
        self.requests.append(request)
        return self.engine.propose(request)


@pytest.mark.parametrize("name", PROMPTED)
def test_a_prompted_system_gets_image_and_prompts_and_never_the_target(system_engine, case, name):
    engine = system_engine(name)
    play = draw_boxes if isinstance(engine, BoxedEngine) else click_on_errors
    recorder = Recorder(engine)
    trace = play(recorder, case, Draw(case.masks[3], (3,), CLICK), iterations=3, seed=0)
    assert trace.prompted and trace.picks == []
    assert 1 <= len(trace.proposals) == len(recorder.requests) <= 3
    for number, request in enumerate(recorder.requests, 1):
        assert request.points[0] == CLICK and request.answered == ()
        given = request.boxes if isinstance(request, BoxRequest) else request.points
        assert len(given) == number
        known = {f.name for f in fields(ProposalRequest)} | {"boxes"}
        assert {f.name for f in fields(request)} <= known
        again = system_engine(name).propose(request)
        assert np.array_equal(again.probability, trace.proposals[number - 1].probability)


@pytest.mark.parametrize("name", PROMPTED)
def test_the_protocol_runs_a_prompted_system_its_own_way(system_engine, case, name):
    record = run_case(system_engine(name), case, Draw(case.masks[3], (3,), CLICK))
    assert record.error == "" and record.prompted
    assert len(record.dice) == 6 and record.picks == []
    assert stops_at(record) == 5
    assert all(0 <= value <= 1 for value in record.dice)


def test_a_click_far_outside_makes_the_region_larger(system_engine, case):
    engine = system_engine("sam")
    image = slice_image(case)
    near = engine.propose(ProposalRequest(image, (CLICK,)))
    far = engine.propose(ProposalRequest(image, (CLICK, PointPrompt(2, 44, positive=False))))
    assert far.feedback.region.size_mm > near.feedback.region.size_mm


def test_sam_u_without_a_box_is_refused_in_a_sentence(system_engine, case):
    with pytest.raises(InputError, match="asked with boxes"):
        system_engine("sam-u-v1").propose(ProposalRequest(slice_image(case), (CLICK,)))


def test_a_system_that_starts_from_another_says_which_to_train_first(
    tmp_path, tiny_data, tiny_options, monkeypatch
):
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path / "models"))
    with pytest.raises(CheckpointError, match="msa starts from the weights of sam"):
        system_run("msa", tiny_data, tmp_path, tiny_options("msa"), QUIET)


def test_anothers_checkpoint_is_refused(system_checkpoint):
    with pytest.raises(CheckpointError, match="is no checkpoint of mh-unet"):
        SystemFactory("mh-unet", system_checkpoint("ls-unet"), "cpu")()


def test_the_cost_counts_what_an_answer_multiplies():
    sizes = {"grid": 32, "widths": [8, 8, 16, 16, 16, 8], "channels": 32, "decoder_mlp": 64}
    unet, ensemble, sam = (
        build_system(system_config(name, sizes, 4)) for name in ("unet", "ensemble-unet", "sam")
    )
    assert count_macs(unet) > 1_000_000
    assert count_macs(ensemble) == 4 * count_macs(unet)
    assert count_macs(sam, boxed=True) > count_macs(sam)
