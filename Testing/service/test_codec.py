"""Slices, requests and proposals survive the wire to the last bit, and nothing else gets through."""

from __future__ import annotations

import json
from dataclasses import fields, make_dataclass, replace

import numpy as np
import pytest
import safetensors.numpy
import zstandard
from comparing import differences
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import COMPONENTS, proposals, requests, slices

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.messages import (
    Carried,
    Corrected,
    Proposal,
    ProposalRequest,
    RegionSamples,
    UsualArea,
)
from SPASegmentLib.service import codec, wire
from SPASegmentLib.service.wire import WireError, compress, decompress, pack, unpack

MODEL = "0" * 64
some = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def there_and_back(request: ProposalRequest, *, with_slice: bool = True) -> ProposalRequest:
    sent = codec.encode_image(request.image)
    identity = codec.identity(sent)
    body = compress(codec.encode_request(request, MODEL, identity, sent if with_slice else None))
    asked = codec.decode_request(decompress(body))
    assert (asked.model, asked.image, asked.slice) == (MODEL, identity, sent if with_slice else None)
    return asked.request(codec.decode_image(sent), COMPONENTS)


@some
@given(requests(), st.booleans())
def test_a_request_arrives_as_it_was_sent(request, with_slice):
    assert differences(request, there_and_back(request, with_slice=with_slice)) == []


@some
@given(st.data())
def test_a_proposal_arrives_as_it_was_sent(data):
    shape = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    proposal = data.draw(proposals(shape))
    back = codec.decode_proposal(decompress(compress(codec.encode_proposal(proposal))), shape, COMPONENTS)
    assert differences(proposal, back) == []


@some
@given(slices())
def test_equal_slices_have_one_identity_and_others_another(image):
    again = replace(image, pixels=image.pixels.copy())
    other = replace(image, spacing=(image.spacing[0] * 1.5, image.spacing[1]))
    known = codec.identity(codec.encode_image(image))
    assert codec.identity(codec.encode_image(again)) == known
    assert codec.identity(codec.encode_image(other)) != known


@pytest.mark.parametrize(("ours", "record"), codec.FORMS, ids=lambda kind: kind.__name__)
def test_every_field_of_what_is_sent_is_one_of_its_record(ours, record):
    assert {field.name for field in fields(ours)} == set(record.model_fields)


def test_what_the_messages_hold_all_has_a_record():
    """A dataclass that a message refers to, but no record reads, would be refused on arrival only."""
    from SPASegmentLib.imaging import types
    from SPASegmentLib.inference import messages

    known = {kind.__name__ for kind, _ in codec.FORMS}
    for kind, _ in codec.FORMS:
        for field in fields(kind):
            named = {
                name
                for name in (*vars(types), *vars(messages))
                if name.isidentifier() and name in str(field.type)
            }
            classes = {
                n
                for n in named
                if n[0].isupper()
                and hasattr(vars(types).get(n, vars(messages).get(n)), "__dataclass_fields__")
            }
            assert classes <= known, (kind, field.name)


def test_a_field_that_the_other_side_does_not_know_is_refused_and_not_dropped(a_request):
    newer = make_dataclass("Newer", [("certainty", float, 0.5)], bases=(Proposal,), frozen=True, eq=False)
    proposal = next(iter(a_request.answered)).proposal
    grown = newer(**{field.name: getattr(proposal, field.name) for field in fields(proposal)})
    with pytest.raises(WireError, match="certainty"):
        codec.decode_proposal(codec.encode_proposal(grown), a_request.image.shape, COMPONENTS)


@pytest.fixture(scope="module")
def a_request() -> ProposalRequest:
    from SPASegmentLib.inference.messages import Answered, Candidate, Description, Feedback

    rng = np.random.default_rng(0)
    image = SliceImage(rng.random((8, 9), dtype=np.float32), (0.7, 0.8), "CT", ("Made by hand.",))
    feedback = Feedback(
        Region((4.0, 4.0), 8.0, 4),
        rng.integers(0, 255, (5, 4, 4), dtype=np.uint8),
        rng.integers(0, COMPONENTS, 5),
        rng.integers(0, 255, (2, 4, 4), dtype=np.uint8),
        rng.integers(0, 255, (4, 4), dtype=np.uint8),
        np.log(np.full((2, COMPONENTS), 1 / 3)),
    )
    about = Description("larger", "larger", 4.0, 2.0, 0.0, 100.0, 0.0, 0.5)
    shown = tuple(Candidate(rng.random((8, 9)) > 0.5, about, i) for i in range(2))
    proposal = Proposal(
        rng.random((8, 9)) > 0.5,
        rng.random((8, 9), dtype=np.float32),
        shown,
        feedback,
        3.0,
        warnings=("Look.",),
    )
    return ProposalRequest(image, (PointPrompt(3.0, 4.0),), (Answered(proposal, 1),), np.zeros(COMPONENTS), 7)


def test_a_carried_mask_that_is_none_is_refused(a_request):
    for mask in (np.zeros((8, 9), np.float32), np.full((8, 9), 2, np.float32), np.ones((9, 8), np.float32)):
        with pytest.raises(WireError):
            there_and_back(replace(a_request, carried=Carried(mask)))


def test_a_corrected_proposal_that_is_none_is_refused(a_request):
    good = Corrected.of(a_request.answered[0].proposal)
    assert there_and_back(replace(a_request, corrected=good)).corrected is not None
    for wrong in (
        {"probability": np.full((8, 9), np.nan, np.float32)},
        {"probability": np.zeros((9, 8), np.float32)},
        {"recommendation": np.zeros((8, 8), bool)},
        {"recommendation": np.zeros((8, 9), np.uint8)},
        {"region": Region((4.0, 4.0), -1.0, 4)},
    ):
        with pytest.raises(WireError):
            there_and_back(replace(a_request, corrected=replace(good, **wrong)))


WRONG = {
    "the regions of fewer clusters": {"cluster_regions": (Region((4.0, 4.0), 8.0, 4),)},
    "a cluster's region of another grid": {"cluster_regions": (Region((4.0, 4.0), 8.0, 5),) * 2},
    "a region's weight that is no number": {"log_weight": float("nan")},
    "weights of other samples than there are": {
        "others": (RegionSamples(Region((4.0, 4.0), 8.0, 4), np.zeros((3, 4, 4), np.uint8), np.zeros(2)),)
    },
    "the recommendation of another shape": {"recommendation": np.zeros((9, 8), bool)},
    "a probability in float64": {"probability": np.zeros((8, 9))},
    "a probability that is no number": {"probability": np.full((8, 9), np.nan, np.float32)},
    "samples of another grid": {"samples": np.zeros((5, 3, 3), np.uint8)},
    "samples of another type": {"samples": np.zeros((5, 4, 4), np.float32)},
    "no samples": {"samples": np.zeros((0, 4, 4), np.uint8), "components": np.zeros(0, int)},
    "a component for too few samples": {"components": np.zeros(4, int)},
    "a component that the model has not": {"components": np.full(5, COMPONENTS)},
    "a component below zero": {"components": np.full(5, -1)},
    "shares of another model": {"log_shares": np.zeros((2, COMPONENTS + 1))},
    "fewer clusters than candidates": {
        "clusters": np.zeros((1, 4, 4), np.uint8), "log_shares": np.zeros((1, COMPONENTS))
    },
}  # fmt: skip


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG)
def test_a_proposal_that_does_not_fit_is_refused(a_request, changed):
    proposal = a_request.answered[0].proposal
    inner = {f.name for f in fields(proposal.feedback)} & changed.keys() - {"recommendation"}
    feedback = replace(proposal.feedback, **{name: changed[name] for name in inner})
    outer = {name: value for name, value in changed.items() if name not in inner}
    wrong = replace(proposal, feedback=feedback, **outer)
    with pytest.raises(WireError):
        codec.decode_proposal(codec.encode_proposal(wrong), a_request.image.shape, COMPONENTS)
    answered = replace(a_request.answered[0], proposal=wrong)
    with pytest.raises(WireError):
        there_and_back(replace(a_request, answered=(answered,)))


@pytest.mark.parametrize(
    "changed",
    [
        {"points": ()},
        {"points": (PointPrompt(float("nan"), 1.0),)},
        {"points": (PointPrompt(float("inf"), 1.0),)},
        {"seed": -1},
        {"n_samples": 0},
        {"n_samples": 10**9},
        {"log_prior": np.zeros(3, np.float32)},
        {"log_prior": np.zeros((3, 1))},
        {"usual_area": UsualArea(float("nan"), 1.0)},
        {"usual_area": UsualArea(5.0, 0.0)},
    ],
)
def test_a_request_that_cannot_be_is_refused(a_request, changed):
    with pytest.raises(WireError):
        there_and_back(replace(a_request, **changed))


def test_a_pick_of_a_candidate_that_is_not_there_is_refused(a_request):
    kept = replace(a_request, answered=(replace(a_request.answered[0], picked=None, kept=True),))
    assert there_and_back(kept).answered[0].kept
    with pytest.raises(WireError, match="picked"):
        there_and_back(replace(a_request, answered=(replace(a_request.answered[0], picked=2),)))


def test_what_has_no_form_on_the_wire_is_said_by_the_sender(a_request):
    odd = replace(a_request, log_prior=np.array([object()]))
    with pytest.raises(InputError, match="cannot be sent"):
        codec.encode_request(odd, MODEL, MODEL, None)


def test_sentences_and_free_text_stay_at_home(a_request):
    loud = "DOE^JANE 1970-01-01 PID-4711"
    image = replace(a_request.image, warnings=(loud,), modality=loud)
    proposal = replace(a_request.answered[0].proposal, warnings=(loud,))
    request = replace(a_request, image=image, answered=(replace(a_request.answered[0], proposal=proposal),))
    quiet = codec.without_words(request)
    sent = codec.encode_image(quiet.image)
    assert b"DOE" not in sent + codec.encode_request(quiet, MODEL, codec.identity(sent), sent)
    assert codec.without_words(a_request).image.modality == "CT"
    assert differences(request, quiet, ignored=("warnings", "modality")) == []


@pytest.mark.parametrize("at", [(0, 0), (60, 70), (30, 0)])
def test_zeros_around_a_map_are_left_out_and_come_back(a_request, at):
    shape = (70, 80)
    probability = np.zeros(shape, np.float32)
    probability[at[0] : at[0] + 9, at[1] : at[1] + 7] = np.random.default_rng(0).random(
        np.shape(probability[at[0] : at[0] + 9, at[1] : at[1] + 7])
    )
    for whole in (probability, np.zeros(shape, np.float32), -np.zeros(shape, np.float32)):
        proposal = replace(
            a_request.answered[0].proposal,
            recommendation=np.zeros(shape, bool),
            probability=whole,
            candidates=(),
        )
        body = codec.encode_proposal(proposal)
        assert differences(codec.decode_proposal(body, shape, COMPONENTS), proposal) == []
    assert len(codec.encode_proposal(replace(proposal, probability=probability))) < 6000


def test_of_a_mask_the_part_that_is_not_empty_is_sent(a_request):
    """Six masks of a slice of 512 x 512 pixels would be 200 kB of bits, almost all of them zero."""
    shape = (70, 80)
    small, edge, full = np.zeros((3, *shape), bool)
    small[30:41, 20:27] = True
    edge[[0, -1], [-1, 3]] = True
    full[:] = True
    given = a_request.answered[0].proposal
    for mask in (small, small.copy(order="F"), edge, full, np.zeros(shape, bool)):
        proposal = replace(
            given,
            recommendation=mask,
            probability=np.zeros(shape, np.float32),
            candidates=tuple(replace(each, mask=mask) for each in given.candidates),
        )
        body = codec.encode_proposal(proposal)
        assert differences(codec.decode_proposal(body, shape, COMPONENTS), proposal) == []
    record, arrays = json_and_arrays(codec.encode_proposal(replace(proposal, recommendation=small)))
    assert record["recommendation"]["box"] == [30, 20, *shape]
    assert arrays[str(record["recommendation"]["at"])].nbytes == 10  # 11 x 7 bits


@pytest.mark.parametrize("box", [[0, 0, 2**20, 2**20], [69, 0, 70, 80], [0, 0, 80, 70], [-1, 0, 70, 80]])
def test_a_part_that_does_not_fit_its_whole_is_refused(a_request, box):
    shape = (70, 80)
    probability = np.zeros(shape, np.float32)
    probability[3:6, 3:6] = 1
    proposal = replace(
        a_request.answered[0].proposal,
        recommendation=np.zeros(shape, bool),
        probability=probability,
        candidates=(),
    )
    body = codec.encode_proposal(proposal)
    record, arrays = json_and_arrays(body)
    record["probability"]["box"] = box
    with pytest.raises(WireError):
        codec.decode_proposal(repacked(record, arrays, "proposal"), shape, COMPONENTS)


def test_many_small_masks_that_unpack_to_much_are_refused():
    whole = {"at": 0, "box": [0, 0, 8000, 8000]}
    arrays = wire.Arrays({str(n): np.zeros((0, 0), np.float32) for n in range(9)}, most=600_000_000)
    taken = [wire.ArrayRecord(**{**whole, "at": n, "box": (0, 0, 8000, 8000)}) for n in range(9)]
    arrays.take(taken[0], "a", ("float32",), (8000, 8000))
    arrays.take(taken[1], "b", ("float32",), (8000, 8000))
    with pytest.raises(WireError, match="more than what is taken"):
        arrays.take(taken[2], "c", ("float32",), (8000, 8000))


# Frames


def test_a_bomb_is_refused_by_its_header():
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(300 * 2**20))
    assert len(bomb) < 40_000
    with pytest.raises(WireError, match="are the most"):
        decompress(bomb)


def test_a_frame_that_hides_its_length_is_refused():
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc")
    with pytest.raises(WireError, match="states its length"):
        decompress(hidden)


def test_a_frame_that_lies_about_its_length_is_refused():
    data = bytearray(compress(bytes(range(200)) * 2))
    at = data.index((400 - 256).to_bytes(2, "little"))
    data[at : at + 2] = (40_000).to_bytes(2, "little")
    with pytest.raises(WireError, match="damaged"):
        decompress(bytes(data))


def test_a_second_frame_is_refused():
    with pytest.raises(WireError):
        decompress(compress(b"one") + compress(b"two"))


@some
@given(st.binary(max_size=200))
def test_noise_is_refused_in_a_sentence(noise):
    for read in (decompress, codec.decode_image, codec.decode_request):
        with pytest.raises(WireError):
            read(noise)


@some
@given(st.data())
def test_a_body_with_a_changed_byte_is_read_as_another_or_refused(a_request, data):
    body = bytearray(codec.encode_request(a_request, MODEL, MODEL, None))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    try:
        codec.decode_request(bytes(body)).request(a_request.image, COMPONENTS)
    except WireError as error:
        assert str(error).endswith(".")


def test_another_version_is_named(a_request, monkeypatch):
    monkeypatch.setattr(wire, "PROTOCOL", 2)
    body = codec.encode_request(a_request, MODEL, MODEL, None)
    monkeypatch.undo()
    with pytest.raises(WireError, match="protocol 2 and this side speaks 1"):
        codec.decode_request(body)


def test_a_body_of_another_kind_is_refused(a_request):
    with pytest.raises(WireError, match="no request"):
        codec.decode_request(codec.encode_image(a_request.image))


def test_an_array_that_nothing_names_is_refused(a_request):
    record, arrays = json_and_arrays(codec.encode_image(a_request.image))
    arrays["99"] = np.zeros(3, np.uint8)
    with pytest.raises(WireError, match="nothing in it names"):
        codec.decode_image(repacked(record, arrays))


def test_an_array_that_is_named_twice_is_refused(a_request):
    image = replace(a_request.image, neighbours=(a_request.image.pixels, a_request.image.pixels))
    record, arrays = json_and_arrays(codec.encode_image(image))
    record["neighbours"][0] = record["pixels"]
    with pytest.raises(WireError, match="lacks the array"):
        codec.decode_image(repacked(record, arrays))


def json_and_arrays(body: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    length = int.from_bytes(body[:8], "little")
    text = json.loads(body[8 : 8 + length])["__metadata__"]["spasegment"]
    return json.loads(text.partition("\n")[2]), safetensors.numpy.load(body)


def repacked(record: dict, arrays: dict[str, np.ndarray], kind: str = "slice") -> bytes:
    return safetensors.numpy.save(arrays, metadata={"spasegment": f"1 {kind}\n{json.dumps(record)}"})


def test_records_and_plain_values_are_packed_alike():
    body = pack("slice", {"at": np.int64(3), "bits": None})
    assert unpack("slice", body, wire.ArrayRecord)[0].at == 3
