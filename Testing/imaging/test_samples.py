"""The made-up volumes of every kind, and what the model makes of them."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging import sample_abdomen, sample_brain
from SPASegmentLib.imaging.sample_shapes import Canvas
from SPASegmentLib.imaging.samples import KINDS, make_sample, sample_places
from SPASegmentLib.imaging.slicing import cut_slice

DRAWN = {"abdomen": sample_abdomen, "brain": sample_brain}


@cache
def drawn(kind: str, seed: int) -> tuple[np.ndarray, Canvas]:
    return DRAWN[kind].draw(seed)


def voxel(kind: str, ras: tuple[float, float, float], rotated: bool) -> tuple[int, int, int]:
    """(k, j, i) of a point in RAS."""
    from SPASegmentLib.imaging.sample import sample_matrix

    matrix = sample_matrix(DRAWN[kind].SHAPE, DRAWN[kind].SPACING, rotated)
    i, j, k = np.rint((np.linalg.inv(matrix) @ [*ras, 1])[:3]).astype(int)
    return int(k), int(j), int(i)


@pytest.mark.parametrize("kind", list(DRAWN))
def test_it_is_made_in_seconds(kind: str) -> None:
    start = time.process_time()  # a busy computer must not count
    make_sample(kind, 1)
    assert time.process_time() - start < 6


@pytest.mark.long
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_file_states_its_modality_and_equal_seeds_make_equal_voxels(kind: str) -> None:
    volume = make_sample(kind)
    assert (volume.modality, volume.array.dtype) == (KINDS[kind].split()[-1], np.int16)
    assert volume.name == f"made-up {KINDS[kind]}"
    if kind in DRAWN:
        assert np.array_equal(volume.array, drawn(kind, 0)[0])
        assert not np.array_equal(drawn(kind, 1)[0], volume.array)


def test_an_abdomen_is_in_hounsfield_units_and_a_brain_is_not() -> None:
    hu = drawn("abdomen", 0)[0]
    assert -1030 < np.percentile(hu, 1) < -960, "air around the patient"
    assert np.mean((hu > -140) & (hu < -60)) > 0.05, "fat"
    assert np.mean((hu > 0) & (hu < 220)) > 0.2, "organs"
    assert np.mean(hu > 400) > 0.0005, "bone"
    assert drawn("brain", 0)[0].min() >= 0


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("kind", list(DRAWN))
def test_every_suggested_place_lies_in_what_it_is_named_after(kind: str, seed: int) -> None:
    canvas = drawn(kind, seed)[1]
    for rotated in (False, True):
        places = sample_places(kind, seed, rotated=rotated)
        assert [place.name for place in places] == list(DRAWN[kind].PLACES)
        for place in places:
            k, j, i = voxel(kind, place.ras, rotated)
            around = canvas.labels[k, j - 1 : j + 2, i - 1 : i + 2]
            assert (around == canvas.names.index(place.name) + 1).all(), place.name


def test_another_kind_is_refused() -> None:
    for ask in (make_sample, sample_places):
        with pytest.raises(InputError, match="no made-up volume knee; choose chest, abdomen, brain"):
            ask("knee")


@pytest.mark.long
@pytest.mark.parametrize("kind", list(DRAWN))
def test_the_shipped_model_finds_what_is_worth_clicking(kind: str) -> None:
    from SPASegmentLib.inference.checks import is_doubtful
    from SPASegmentLib.inference.local import load_engine
    from SPASegmentLib.inference.session import Session

    engine, volume, canvas = load_engine("general", "cpu"), make_sample(kind), drawn(kind, 0)[1]
    for place in sample_places(kind):
        cut = cut_slice(
            volume, seed_ras=place.ras, seed_ijk=None, orientation="axial", window=None, model_window=None
        )
        there = canvas.labels == canvas.names.index(place.name) + 1
        i, j, k = cut.ijk
        parts, _ = ndimage.label(there[k])
        wanted = parts == parts[j, i]
        session = Session.start(cut.image, engine.model, (cut.seed.row, cut.seed.col), random_seed=0)
        proposal = session.advance(engine).proposal
        assert proposal is not None
        dices = [
            2 * np.count_nonzero(mask & wanted) / (np.count_nonzero(mask) + np.count_nonzero(wanted))
            for mask in map(
                cut.in_plane_order, (proposal.recommendation, *(one.mask for one in proposal.candidates))
            )
        ]
        assert max(dices) > 0.8, (place.name, dices)
        assert dices[0] > (0.6 if is_doubtful(proposal) else 0.65), (place.name, dices)
