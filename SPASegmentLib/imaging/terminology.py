"""What a segment is, in codes that archives and programs understand: category, type, anatomic region."""

from __future__ import annotations

from dataclasses import dataclass

from SPASegmentLib.errors import InputError

_PARTS, _CODE = "~", "^"


@dataclass(frozen=True)
class Concept:
    """A coded word. scheme: such as "SCT" (SNOMED CT). meaning: in words, for people."""

    value: str
    scheme: str
    meaning: str

    def __str__(self) -> str:
        return _CODE.join((self.scheme, self.value, self.meaning))


@dataclass(frozen=True)
class Structure:
    """What a segment is: DICOM's segmented property category and type, and its anatomic region or None."""

    category: Concept
    type: Concept
    region: Concept | None = None

    @property
    def entry(self) -> str:
        """As 3D Slicer keeps it in a segment's tag `TerminologyEntry`."""
        parts = (
            "Segmentation category and type - 3D Slicer General Anatomy list",
            *(str(self.category), str(self.type), _EMPTY),
            "Anatomic codes - DICOM master list",
            *(str(self.region or _EMPTY), _EMPTY),
        )
        return _PARTS.join(parts)


_EMPTY = "^^"


def _sct(value: str, meaning: str) -> Concept:
    return Concept(value, "SCT", meaning)


_TISSUE = _sct("85756007", "Tissue")
_ABNORMAL = _sct("49755003", "Morphologically Abnormal Structure")
_ANATOMY = _sct("91723000", "Anatomical Structure")
_NODULE, _LESION, _MASS = (
    _sct("27925004", "Nodule"),
    _sct("52988006", "Lesion"),
    _sct("4147007", "Mass"),
)
_LUNG, _LIVER, _BRAIN = _sct("39607008", "Lung"), _sct("10200004", "Liver"), _sct("12738006", "Brain")
_KIDNEY, _PROSTATE = _sct("64033007", "Kidney"), _sct("41216001", "Prostate")

TISSUE = Structure(_TISSUE, _TISSUE)
"""A segment of no particular kind."""
STRUCTURES = {
    "tissue": TISSUE,
    "lesion": Structure(_ABNORMAL, _LESION),
    "mass": Structure(_ABNORMAL, _MASS),
    "nodule": Structure(_ABNORMAL, _NODULE),
    "cyst": Structure(_ABNORMAL, _sct("367643001", "Cyst")),
    "edema": Structure(_ABNORMAL, _sct("79654002", "Edema")),
    "hemorrhage": Structure(_ABNORMAL, _sct("50960005", "Hemorrhage")),
    "necrosis": Structure(_ABNORMAL, _sct("6574001", "Necrosis")),
    "lung-nodule": Structure(_ABNORMAL, _NODULE, _LUNG),
    "liver-lesion": Structure(_ABNORMAL, _LESION, _LIVER),
    "kidney-lesion": Structure(_ABNORMAL, _LESION, _KIDNEY),
    "brain-lesion": Structure(_ABNORMAL, _LESION, _BRAIN),
    "prostate-lesion": Structure(_ABNORMAL, _LESION, _PROSTATE),
    "bladder": Structure(_ANATOMY, _sct("89837001", "Bladder")),
    "brain": Structure(_ANATOMY, _BRAIN),
    "heart": Structure(_ANATOMY, _sct("80891009", "Heart")),
    "kidney": Structure(_ANATOMY, _KIDNEY),
    "liver": Structure(_ANATOMY, _LIVER),
    "lung": Structure(_ANATOMY, _LUNG),
    "pancreas": Structure(_ANATOMY, _sct("15776009", "Pancreas")),
    "prostate": Structure(_ANATOMY, _PROSTATE),
    "spleen": Structure(_ANATOMY, _sct("78961009", "Spleen")),
}
"""A small list to choose from; any other code can be given by hand."""


def parse_structure(text: str) -> Structure:
    """A name of `STRUCTURES`, or codes "SCHEME^VALUE^MEANING" of category, type and region joined by "~".

    Raises InputError with one sentence that says how for anything else.
    """
    named = STRUCTURES.get(text.strip().lower())
    if named is not None:
        return named
    codes = [tuple(word.strip() for word in part.split(_CODE)) for part in text.split(_PARTS)]
    if len(codes) not in (2, 3) or not all(len(code) == 3 and all(code) for code in codes):
        raise InputError(
            f'"{text}" is no structure; choose {", ".join(STRUCTURES)}, or give codes as '
            "SCHEME^VALUE^MEANING of category, type and, if you like, region, joined by ~."
        )
    for scheme, value, meaning in codes:
        if len(scheme) > 16 or len(value) > 16 or len(meaning) > 64 or "\\" in scheme + value + meaning:
            raise InputError(
                f'The code "{scheme}^{value}^{meaning}" is none that DICOM can hold: its scheme and value '
                "have at most 16 characters, its meaning 64."
            )
    concepts = [Concept(value, scheme, meaning) for scheme, value, meaning in codes]
    return Structure(concepts[0], concepts[1], concepts[2] if len(concepts) == 3 else None)


def name_of(structure: Structure | None) -> str:
    """The name of a structure in `STRUCTURES`; "" for any other."""
    return next((name for name, one in STRUCTURES.items() if one == structure), "")


def parse_entry(entry: str) -> Structure | None:
    """The structure of Slicer's tag `TerminologyEntry`; None where it says none."""
    parts = entry.split(_PARTS)
    if len(parts) < 3:
        return None
    region = parts[5] if len(parts) > 5 and parts[5] != _EMPTY else ""
    try:
        return parse_structure(_PARTS.join([parts[1], parts[2], *([region] if region else [])]))
    except InputError:
        return None
