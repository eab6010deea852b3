"""Any slice, proposal and request, within what the protocol takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.messages import (
    Answered,
    Candidate,
    Carried,
    Corrected,
    Description,
    Feedback,
    Proposal,
    ProposalRequest,
    RegionSamples,
)

COMPONENTS = 3
numbers = st.floats(allow_nan=False, allow_infinity=False)
lengths = st.floats(1e-6, 1e6)
words = st.text(max_size=30)
sides = st.integers(1, 9)


def arrays(dtype: str, shape: tuple[int, ...], **more) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.dtype(dtype), shape, **more)


def floats(dtype: str, shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    width = 32 if dtype == "float32" else 64
    return arrays(dtype, shape, elements=st.floats(allow_nan=False, width=width))


@st.composite
def slices(draw) -> SliceImage:
    shape = (draw(sides), draw(sides), *draw(st.sampled_from([(), (3,)])))
    before = draw(st.integers(0, 2))
    neighbours = tuple(draw(st.none() | floats("float32", shape)) for _ in range(2 * before))
    return SliceImage(
        draw(floats("float32", shape)),
        (draw(lengths), draw(lengths)),
        draw(st.none() | st.sampled_from(["CT", "MR", "US"])),
        tuple(draw(st.lists(words, max_size=2))),
        neighbours,
    )


@st.composite
def feedbacks(draw) -> Feedback:
    grid, n, clusters = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(0, 3))
    region = Region((draw(st.floats(-1e6, 1e6)), draw(st.floats(-1e6, 1e6))), draw(lengths), grid)
    kind = draw(st.sampled_from(["int32", "int64"]))
    others = []
    for _ in range(draw(st.integers(0, 2))):
        count, cells = draw(st.integers(1, 3)), draw(st.integers(1, 4))
        other = replace(region, grid=cells, size_mm=draw(lengths))
        weights = floats("float64", (count,))
        others.append(RegionSamples(other, draw(arrays("uint8", (count, cells, cells))), draw(weights)))
    return Feedback(
        region,
        draw(arrays("uint8", (n, grid, grid))),
        draw(arrays(kind, (n,), elements=st.integers(0, COMPONENTS - 1))),
        draw(arrays("uint8", (clusters, grid, grid))),
        draw(arrays("uint8", (grid, grid))),
        draw(floats("float64", (clusters, COMPONENTS))),
        tuple([replace(region, size_mm=draw(lengths))] * clusters) if draw(st.booleans()) else (),
        draw(st.floats(allow_nan=False)),
        tuple(others),
    )


@st.composite
def proposals(draw, shape: tuple[int, int]) -> Proposal:
    feedback = draw(feedbacks())
    described = st.builds(Description, words, words, *[numbers] * 6)
    candidates = tuple(
        Candidate(draw(arrays("bool", shape)), draw(described), index)
        for index in range(len(feedback.clusters))
    )
    return Proposal(
        draw(arrays("bool", shape)),
        draw(floats("float32", shape)),
        candidates,
        feedback,
        draw(st.floats()),
        draw(words),
        tuple(draw(st.lists(words, max_size=2))),
        draw(st.none() | st.dictionaries(words, numbers, max_size=3)),
        draw(st.none() | st.floats()),
    )


@st.composite
def carried(draw, shape: tuple[int, int]) -> Carried:
    mask = draw(arrays("float32", shape, elements=st.floats(0, 1, width=32)))
    mask[draw(st.integers(0, shape[0] - 1)), 0] = draw(st.sampled_from([0.5, 1.0]))
    return Carried(mask)


@st.composite
def requests(draw) -> ProposalRequest:
    image = draw(slices())
    points = st.lists(st.builds(PointPrompt, numbers, numbers, st.booleans()), min_size=1, max_size=3)
    answered = []
    for _ in range(draw(st.integers(0, 2))):
        proposal = draw(proposals(image.shape))
        clusters = len(proposal.candidates)
        picked = draw(st.none() | st.integers(0, clusters - 1)) if clusters else None
        answered.append(Answered(proposal, picked))
    return ProposalRequest(
        image,
        tuple(draw(points)),
        tuple(answered),
        draw(st.none() | floats("float64", (COMPONENTS,))),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.none() | st.integers(1, 1024)),
        draw(st.none() | carried(image.shape)),
        draw(st.none() | proposals(image.shape).map(Corrected.of)),
        draw(st.booleans()),
    )
