"""Keys and tooltips: complete, distinct, and free of anything that must be installed."""

from __future__ import annotations

import subprocess
import sys

from SPASegmentLib.mrml.keys import ALSO, KEYS, TOOLTIPS, tooltip
from SPASegmentLib.mrml.screen import Screen


def test_every_action_has_a_key_and_a_sentence_and_no_key_means_two_things():
    assert KEYS.keys() == TOOLTIPS.keys()
    sequences = [*KEYS.values(), *(key for keys in ALSO.values() for key in keys)]
    assert len(set(sequences)) == len(sequences)
    assert set(ALSO) <= set(KEYS)
    assert all(text.endswith(".") for text in TOOLTIPS.values())


def test_the_keys_are_those_of_the_design():
    assert [KEYS[f"pick:{k}"] for k in range(4)] == ["1", "2", "3", "4"]
    assert [KEYS[f"take:{k}"] for k in range(4)] == ["Shift+1", "Shift+2", "Shift+3", "Shift+4"]
    assert (KEYS["none_of_these"], KEYS["approve"], KEYS["undo"]) == ("0", "Return", "Backspace")
    assert KEYS["whole_object"] == "F"
    assert (KEYS["next_slice"], KEYS["previous_slice"], KEYS["cancel"]) == ("Up", "Down", "Esc")


def test_a_tooltip_names_the_key_as_it_is_bound():
    assert tooltip("approve").endswith("segment. (Enter)")
    assert tooltip("approve", {"approve": "F5"}).endswith("(F5)")
    assert tooltip("approve", {}) == TOOLTIPS["approve"]


def test_two_equal_screens_are_equal_and_a_screen_cannot_change():
    assert Screen() == Screen() != Screen(status="Click a seed on the object.")


def test_screen_keys_and_worker_need_nothing_but_the_standard_library():
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import SPASegmentLib.mrml.screen, SPASegmentLib.mrml.keys, SPASegmentLib.mrml.worker\n"
        "heavy = {'numpy', 'torch', 'slicer', 'vtk', 'scipy', 'sklearn', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
