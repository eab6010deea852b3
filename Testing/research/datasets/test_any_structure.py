"""Sets of any structure: what their files say, what may teach a model, and what is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from any_sets import cells, disc, nested_discs, persons, png, stack

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.any_structure import manifest, open_any

SPLITS = {"p1__a": "train", "p1__b": "train", "p2__a": "val", "p3__a": "test"}


@pytest.fixture
def several(as_zip: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of zips: one may teach, one may not, one's licence is recalled, one holds no train entry."""
    folder = tmp_path / "sets"
    folder.mkdir()
    for contents in (
        nested_discs("free", SPLITS),
        nested_discs("closed", SPLITS, train=False),
        nested_discs("recalled", SPLITS, licence_evidence="recalled"),
        cells("late", {"p1__a": "test"}),
    ):
        name = next(iter(contents)).split("/")[0]
        as_zip(contents, f"sets/{name}.zip")
    return folder


@pytest.mark.parametrize("kind", ["zip", "folder", "inside"])
def test_a_set_is_read_from_its_zip_and_its_folder_alike(
    kind: str, as_zip: Callable[..., Path], as_folder: Callable[..., Path]
) -> None:
    contents = nested_discs("free", SPLITS)
    path = as_zip(contents) if kind == "zip" else as_folder(contents)
    [one] = open_any([path / "free" if kind == "inside" else path])
    assert one.name == "free"
    assert [(entry.name, entry.patient, entry.split) for entry in one.entries] == [
        (name, name[:2], split) for name, split in sorted(SPLITS.items())
    ]
    read = one.read(one.entries[0])
    assert read.image.shape == (48, 48) and read.image.dtype == np.uint8 and read.image.max() == 210
    assert sorted(read.masks) == ["inner", "outer"]
    assert read.masks["outer"].dtype == bool and (read.masks["inner"] <= read.masks["outer"]).all()
    assert (read.spacing, read.spacing_known, read.raters) == ((1.0, 1.0), False, False)
    assert one.info.nested == (("outer", "inner"),)


def test_instances_keep_their_ids_and_colour_stays(as_zip: Callable[..., Path]) -> None:
    [one] = open_any(as_zip(cells("cells", SPLITS)))
    read = one.read(one.entries[0])
    assert read.image.shape == (48, 64, 3) and read.instances
    assert sorted(np.unique(read.masks["cell"])) == [0, 1, 2, 3, 4]


def test_raters_are_told_from_structures(as_zip: Callable[..., Path]) -> None:
    [one] = open_any(as_zip(persons("people", SPLITS)))
    read = one.read(one.entries[0])
    assert read.raters and list(read.masks) == ["a", "b", "c"]


def test_volumes_keep_intensities_and_their_spacing_in_axis_order(
    as_zip: Callable[..., Path], tmp_path: Path
) -> None:
    [one] = open_any(as_zip(stack("deep", SPLITS, tmp_path, spacing=(2, 4, 0.5))))
    read = one.read(one.entries[0])
    assert read.image.shape == read.masks["block"].shape == (30, 12, 36)
    assert read.image.min() == -300 and read.image.max() == 400
    assert read.spacing == pytest.approx((2, 4, 0.5)) and read.spacing_known


@pytest.mark.parametrize(("said", "known"), [("headers (1 mm)", True), ("lost; headers say 1", False)])
def test_a_spacing_lost_in_the_source_is_not_known(
    said: str, known: bool, as_zip: Callable[..., Path], tmp_path: Path
) -> None:
    [one] = open_any(as_zip(stack("deep", SPLITS, tmp_path, spacing=(1, 1, 1), said=said)))
    assert one.read(one.entries[0]).spacing_known == known


def test_a_chain_of_nested_structures_gives_every_pair(as_zip: Callable[..., Path]) -> None:
    [one] = open_any(as_zip(nested_discs("free", SPLITS, nested=[["a", "b", "c"]])))
    assert one.info.nested == (("a", "b"), ("a", "c"), ("b", "c"))


def test_a_folder_of_zips_is_all_its_sets_and_a_split_keeps_those_that_have_it(several: Path) -> None:
    assert [one.name for one in open_any(several)] == ["closed", "free", "late", "recalled"]
    assert [one.name for one in open_any(several, split="val")] == ["closed", "free", "recalled"]
    assert {entry.split for one in open_any(several, split="val") for entry in one.entries} == {"val"}


def test_no_closed_set_and_no_val_or_test_entry_ever_teaches(several: Path) -> None:
    learnt = manifest(open_any(several, teach_only=True))
    assert learnt == [
        {
            "set": "free",
            "licence": "CC BY 4.0",
            "source": "made up for free",
            "entries": ["p1__a", "p1__b"],
        }
    ]
    assert [row["set"] for row in manifest(open_any(several, "train", True))] == ["free"]


def test_recalled_licences_teach_only_where_asked_for_and_are_marked(several: Path) -> None:
    learnt = manifest(open_any(several, teach_only=True, include_recalled=True))
    assert [(row["set"], row["licence"]) for row in learnt] == [
        ("free", "CC BY 4.0"),
        ("recalled", "CC BY 4.0 (recalled)"),
    ]


@pytest.mark.parametrize("split", ["val", "test"])
def test_nothing_is_taught_from_val_or_test(several: Path, split: str) -> None:
    with pytest.raises(DatasetError, match="learns from train entries only"):
        open_any(several, split=split, teach_only=True)


@pytest.mark.data
def test_on_the_real_sets_nothing_but_train_entries_of_free_sets_teaches(data_dir: Path) -> None:
    sets = data_dir / "any"
    if not sets.is_dir():
        pytest.skip(f"the sets of any structure are not at {sets}")
    told = {one.name: one for one in open_any(sets)}
    learnt = manifest(open_any(sets, teach_only=True, include_recalled=True))
    assert len(told) == 38 and len(learnt) >= 20
    for row in learnt:
        one = told[row["set"]]
        splits = {entry.name: entry.split for entry in one.entries}
        assert one.info.train and {splits[name] for name in row["entries"]} == {"train"}
    strict = {row["set"] for row in manifest(open_any(sets, teach_only=True))}
    assert strict < {row["set"] for row in learnt} and "glioma-mr" not in strict


@pytest.mark.data
def test_one_entry_of_every_real_set_can_be_read(data_dir: Path) -> None:
    sets = data_dir / "any"
    if not sets.is_dir():
        pytest.skip(f"the sets of any structure are not at {sets}")
    for one in open_any(sets):
        read = one.read(one.entries[0])
        assert any(mask.any() for mask in read.masks.values()), one.name
        assert len(read.spacing) == one.info.dims, one.name


def test_a_set_can_be_sent_to_another_process(as_zip: Callable[..., Path]) -> None:
    [one] = open_any(as_zip(nested_discs("free", SPLITS)))
    one.read(one.entries[0])
    copy = pickle.loads(pickle.dumps(one))
    assert (copy.read(copy.entries[1]).image == one.read(one.entries[1]).image).all()


def _without(contents: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: value for key, value in contents.items() if key != name}


def _described(**changes: object) -> dict[str, bytes]:
    contents = nested_discs("free", SPLITS)
    return contents | {"free/set.json": json.dumps(json.loads(contents["free/set.json"]) | changes).encode()}


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (_without(nested_discs("free", SPLITS), "free/set.json"), "expected a set.json in 'data.zip'"),
        (nested_discs("free", SPLITS) | {"free/set.json": b"{"}, "not valid JSON"),
        (nested_discs("free", SPLITS) | {"free/set.json": b"[]"}, "not a JSON object"),
        (_described(entries={}), "lists no 'entries'"),
        (_described(entries=_without(SPLITS, "p2__a")), "free/p2__a has no split"),
        (_described(entries=SPLITS | {"p2__a": "later"}), "free/p2__a has no split"),
        (_described(entries=SPLITS | {"p1__b": "test"}), "patient p1 into two splits"),
        (_described(entries=SPLITS | {"p9__a": "test"}), "free/p9__a needs one image"),
        (_described(kind="things"), "no proper 'kind'.*'structures' or 'raters'"),
        (_described(dims=4), "no proper 'dims'.*2 or 3"),
        (_described(train="yes"), "no proper 'train'"),
        (_described(licence=None), "no proper 'licence'"),
        (_described(nested=["outer"]), "'nested'"),
        (_described(spacing=[1.0]), "2 numbers above 0"),
        (_described(set="../free"), "unusual characters"),
        (nested_discs("free", SPLITS) | {"free/../../p1__a/image.png": b""}, "unsafe path"),
        (nested_discs("free", SPLITS) | {"/etc/p1__a/image.png": b""}, "unsafe path"),
        (nested_discs("free", SPLITS) | {"free/p1__a/image.jpg": b""}, "needs one image"),
        (nested_discs("free", SPLITS) | nested_discs("more", SPLITS, set="free"), "found twice"),
    ],
)
def test_what_is_no_proper_set_is_refused_in_a_sentence(
    contents: dict[str, bytes], sentence: str, as_zip: Callable[..., Path]
) -> None:
    with pytest.raises(DatasetError, match=sentence):
        open_any(as_zip(contents))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"rater-outer.png": png(disc(20, 9, 9, 5).astype(np.uint8))}, "'outer' is of another size"),
        ({"rater-outer.png": b"no picture"}, "mask is not a readable picture"),
        ({"image.png": b"no picture"}, "image is not a readable picture"),
        ({"rater-outer.png": png(np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3))}, "in colour"),
    ],
)
def test_an_entry_whose_files_misfit_is_refused_when_read(
    changed: dict[str, bytes], sentence: str, as_zip: Callable[..., Path]
) -> None:
    contents = nested_discs("free", SPLITS) | {f"free/p1__a/{leaf}": data for leaf, data in changed.items()}
    [one] = open_any(as_zip(contents))
    with pytest.raises(DatasetError, match=f"free/p1__a.*{sentence}"):
        one.read(one.entries[0])


def test_a_folder_without_any_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no set\.json and no zip"):
        open_any(tmp_path)


def test_a_picture_in_a_set_of_volumes_is_refused(as_zip: Callable[..., Path]) -> None:
    [one] = open_any(as_zip(nested_discs("free", SPLITS, dims=3)))
    with pytest.raises(DatasetError, match="is no volume"):
        one.read(one.entries[0])
