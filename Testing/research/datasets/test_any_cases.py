"""The protocol's cases on sets of any structure: what is wanted, where the click is, what else it means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from any_sets import cells, disc, nested_discs, persons, png, stack

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.any_cases import AnyCases, thickest_slice
from SPASegmentLib.research.datasets.registry import open_dataset
from SPASegmentLib.research.evaluation.protocol import Draw, TargetRule, draw

TESTS = {f"p{number}__a": "test" for number in range(6)}
SEEDS = range(30)


def drawn(cases: AnyCases, index: int, seed: int) -> Draw:
    found = draw(cases.case(index, seed), seed)
    assert found is not None
    return found


@pytest.fixture
def nested(as_zip: Callable[..., Path]) -> AnyCases:
    return AnyCases([as_zip(nested_discs("discs", TESTS))])


def test_a_case_is_one_structure_and_depends_on_set_entry_and_seed_alone(
    nested: AnyCases, as_zip: Callable[..., Path]
) -> None:
    more = as_zip(nested_discs("also", TESTS), "also.zip")
    fewer = {name: split for name, split in TESTS.items() if name > "p2"}
    again = AnyCases([more, as_zip(nested_discs("discs", fewer), "fewer.zip")])
    index = again.case_ids().index("discs/p4__a")
    for seed in range(5):
        one, other = nested.case(4, seed), again.case(index, seed)
        assert one.case_id == other.case_id == "discs/p4__a" and one.structure == other.structure
    wanted = {(nested.case(index, seed).structure) for index in range(6) for seed in range(5)}
    assert wanted == {"inner", "outer"}


def test_the_click_lies_anywhere_in_the_target(nested: AnyCases) -> None:
    clicks = set()
    for seed in SEEDS:
        found = drawn(nested, 0, seed)
        assert found.target[int(found.click.row), int(found.click.col)]
        clicks.add((found.click.row, found.click.col))
    assert len(clicks) > 20


def test_other_structures_that_hold_the_click_are_kept_with_the_case(nested: AnyCases) -> None:
    seen = set()
    for seed in SEEDS:
        case, found = nested.case(0, seed), drawn(nested, 0, seed)
        assert set(found.others) <= {"inner", "outer"} - {case.structure}
        for mask in found.others.values():
            assert mask[int(found.click.row), int(found.click.col)]
        if case.structure == "inner":
            assert list(found.others) == ["outer"] and (found.others["outer"] >= found.target).all()
        seen.add((case.structure, tuple(found.others)))
    assert seen == {("inner", ("outer",)), ("outer", ()), ("outer", ("inner",))}


def test_an_object_comes_from_the_larger_half(as_zip: Callable[..., Path]) -> None:
    cases = AnyCases([as_zip(cells("cells", TESTS))])
    names = {cases.case(index, seed).structure for index in range(6) for seed in range(5)}
    assert names == {"cell#1", "cell#2"}
    case = cases.case(0, 0)
    assert case.masks.shape == (1, 48, 64) and case.image.shape == (48, 64, 3)
    assert case.image.max() == pytest.approx(150 / 255)


def test_other_objects_of_other_structures_are_told_apart(as_zip: Callable[..., Path]) -> None:
    contents = cells("cells", TESTS, structures=["cell", "body"])
    halves = np.where(np.arange(64) < 28, 1, 2).astype(np.uint16) * np.ones((48, 1), np.uint16)
    contents |= {f"cells/{entry}/rater-body.png": png(halves) for entry in TESTS}
    cases = AnyCases([as_zip(contents)])
    found = [drawn(cases, 0, seed) for seed in SEEDS if cases.case(0, seed).structure.startswith("cell")]
    assert found
    for one in found:
        assert list(one.others) == ["body"] and one.others["body"].sum() == 48 * 28


def test_an_object_in_pieces_is_its_largest_piece(as_zip: Callable[..., Path]) -> None:
    ids = (disc(40, 10, 10, 6) | disc(40, 30, 30, 3)).astype(np.uint8)
    contents = cells("cells", TESTS) | {f"cells/{entry}/rater-cell.png": png(ids) for entry in TESTS}
    contents |= {f"cells/{entry}/image.png": png(ids * 90) for entry in TESTS}
    assert (drawn(AnyCases([as_zip(contents)]), 0, 0).target == disc(40, 10, 10, 6)).all()


def test_of_raters_a_subset_is_wanted_and_the_click_is_where_all_agree(as_zip: Callable[..., Path]) -> None:
    cases = AnyCases([as_zip(persons("people", TESTS))])
    areas, agreed = set(), disc(40, 20, 20, 6)
    for seed in SEEDS:
        found = drawn(cases, 0, seed)
        areas.add(int(found.target.sum()))
        assert agreed[int(found.click.row), int(found.click.col)] and not found.others
    assert len(areas) == 3


def test_raters_are_named_where_all_sets_are_of_the_same_ones(as_zip: Callable[..., Path]) -> None:
    people, more = as_zip(persons("people", TESTS), "a.zip"), as_zip(persons("more", TESTS), "b.zip")
    cases = AnyCases([people, more])
    assert cases.raters == cases[0].raters == ("a", "b", "c")
    wanted = draw(cases[0], 0, TargetRule.parse("raters:b"))
    assert wanted is not None and (wanted.target == disc(40, 20, 20, 8)).all()
    discs = as_zip(nested_discs("discs", TESTS), "c.zip")
    assert AnyCases([discs])[0].raters == AnyCases([discs]).raters == AnyCases([people, discs]).raters == ()


def test_whether_pixels_have_a_size_is_what_the_set_says(as_zip: Callable[..., Path], tmp_path: Path) -> None:
    assert not AnyCases([as_zip(nested_discs("discs", TESTS), "a.zip")])[0].spacing_known
    assert AnyCases([as_zip(stack("deep", TESTS, tmp_path), "b.zip")])[0].spacing_known
    lost = stack("lost", TESTS, tmp_path, said="lost in conversion")
    assert not AnyCases([as_zip(lost, "c.zip")])[0].spacing_known


@pytest.mark.parametrize(
    ("spacing", "shape", "sizes"),
    [((1, 4, 1), (30, 36), (1, 1)), ((4, 1, 2), (12, 36), (1, 2)), ((1, 1, 1.1), (12, 36), (1, 1.1))],
)
def test_a_volume_gives_its_largest_slice_across_the_thickest_axis(
    spacing: tuple[float, float, float],
    shape: tuple[int, int],
    sizes: tuple[float, float],
    as_zip: Callable[..., Path],
    tmp_path: Path,
) -> None:
    case = AnyCases([as_zip(stack("deep", TESTS, tmp_path, spacing))])[0]
    assert case.image.shape == case.masks.shape[1:] == shape
    assert case.spacing == pytest.approx(sizes)
    if shape == (30, 36):
        assert case.masks[0].sum() == 18 * 18
    assert (case.image == case.masks[0]).all()


def test_the_largest_slice_is_found_on_the_axis_it_is_cut_across() -> None:
    mask = np.zeros((4, 5, 6), bool)
    mask[2, :3, 4] = mask[1, 0, 4] = True
    assert thickest_slice(mask, (1, 1, 1)) == (0, 2)
    assert thickest_slice(mask, (1, 1, 5)) == (2, 4)
    assert thickest_slice(mask[0], (1, 1)) == (None, 0)


def test_what_is_too_small_to_be_meant_is_no_target(as_zip: Callable[..., Path]) -> None:
    contents = nested_discs("discs", TESTS)
    speck = png((disc(48, 24, 24, 1)).astype(np.uint8))
    contents |= {f"discs/{entry}/rater-inner.png": speck for entry in TESTS}
    contents["discs/p1__a/rater-outer.png"] = speck
    cases = AnyCases([as_zip(contents)])
    assert {cases.case(0, seed).structure for seed in SEEDS} == {"outer"}
    assert draw(cases.case(1, 0), 0) is None


@pytest.mark.parametrize(
    ("modality", "entry", "word"),
    [("MR T2", "p1__a", "MR"), ("fundus", "p1__a", None), ("CT, MR T1 and FDG-PET", "p1__PET", "PT")],
)
def test_the_modality_is_a_dicom_word_or_unsaid(
    modality: str, entry: str, word: str | None, as_zip: Callable[..., Path]
) -> None:
    cases = AnyCases([as_zip(nested_discs("discs", {entry: "test"}, modality=modality))])
    assert cases[0].modality == word


def test_held_out_patients_are_what_is_measured_unless_asked_otherwise(as_zip: Callable[..., Path]) -> None:
    splits = {"p1__a": "train", "p2__a": "val", "p3__a": "test"}
    path = as_zip(nested_discs("discs", splits))
    assert AnyCases([path]).case_ids() == ["discs/p2__a", "discs/p3__a"]
    assert open_dataset("any", [path], split="train").case_ids() == ["discs/p1__a"]
    assert len(open_dataset("any", [path])) == 3
    with pytest.raises(DatasetError, match="no subset 'all4'"):
        AnyCases([path], subset="all4")
    with pytest.raises(DatasetError, match="no split 'later'"):
        AnyCases([path], split="later")


def test_sets_are_told_apart_by_whether_they_may_teach(as_zip: Callable[..., Path]) -> None:
    given = [nested_discs("free", TESTS), nested_discs("closed", TESTS, train=False)]
    cases = AnyCases([as_zip(contents, f"{at}.zip") for at, contents in enumerate(given)])
    assert dict(cases.sets) == {"free": "may teach", "closed": "unseen"}
    assert cases[0].patient == "closed/p0"


@pytest.mark.data
def test_the_real_sets_give_cases(data_dir: Path) -> None:
    sets = data_dir / "any"
    if not sets.is_dir():
        pytest.skip(f"the sets of any structure are not at {sets}")
    cases = AnyCases([sets])
    assert list(cases.sets.values()).count("may teach") == 25
    assert list(cases.sets.values()).count("unseen") == 11
    ids = cases.case_ids()
    for name in cases.sets:
        case = cases[next(at for at, one in enumerate(ids) if one.startswith(f"{name}/"))]
        found = draw(case, 0)
        assert found is not None and found.target[int(found.click.row), int(found.click.col)], name
        assert 0 <= case.image.min() < case.image.max() <= 1, name
