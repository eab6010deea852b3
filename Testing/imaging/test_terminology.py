"""Codes of segments: those offered are the standard's, others are taken as given."""

from __future__ import annotations

import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.terminology import STRUCTURES, TISSUE, parse_entry, parse_structure


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_code_of_the_list_is_one_of_the_standard(name):
    concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts["SCT"]
    known = {}
    for meanings in concepts.values():
        for value, (meaning, _) in meanings.items():
            known.setdefault(value, []).append(meaning.lower())
    structure = STRUCTURES[name]
    for concept in (structure.category, structure.type, structure.region):
        if concept is not None:
            word = concept.meaning.lower()
            stem = {"spleen": "splenic", "pancreas": "pancreatic", "prostate": "prostatic"}.get(word, word)
            assert any(stem in meaning for meaning in known[concept.value]), concept


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_slicers_entry_says_the_same(structure):
    assert parse_entry(structure.entry) == structure


def test_the_entry_of_tissue_is_slicers_own():
    assert TISSUE.entry == (
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^85756007^Tissue"
        "~SCT^85756007^Tissue~^^~Anatomic codes - DICOM master list~^^~^^"
    )


def test_a_name_or_any_codes_may_be_given():
    assert parse_structure(" Lung-Nodule ") == STRUCTURES["lung-nodule"]
    given = parse_structure("SCT^123037004^Anatomical Structure~99ME^4711^Thing")
    assert (given.category.value, given.type.scheme, given.type.meaning) == ("123037004", "99ME", "Thing")
    assert given.region is None
    with_region = "SCT^49755003^Morphologically Abnormal Structure~SCT^27925004^Nodule~SCT^39607008^Lung"
    assert parse_structure(with_region) == STRUCTURES["lung-nodule"]


@pytest.mark.parametrize(
    "text", ["", "nodul", "SCT^1^A", "SCT^1^A~SCT^2", "SCT^1^A~SCT^^B", "SCT^1^A~SCT^12345678901234567^B"]
)
def test_anything_else_is_refused_in_a_sentence(text):
    with pytest.raises(InputError, match=r"choose tissue, lesion|at most 16"):
        parse_structure(text)


def test_an_entry_that_says_nothing_is_none():
    assert parse_entry("") is None and parse_entry("a~b~c") is None
