"""The stand-in refuses what PythonQt refuses, and keeps what PythonQt would only print."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def qt(application: Any) -> Any:
    import qt

    return qt


def complaints() -> list[str]:
    import pythonqt

    found = list(pythonqt.problems)
    pythonqt.problems.clear()
    return found


def test_properties_are_read_and_written_without_a_call(qt: Any) -> None:
    label = qt.QLabel("one")
    assert label.text == "one"
    label.text = "two"
    assert label.text == "two"
    with pytest.raises(TypeError):
        label.text()


def test_unknown_names_and_new_attributes_are_refused(qt: Any) -> None:
    button = qt.QPushButton()
    with pytest.raises(AttributeError):
        _ = button.no_such_thing
    with pytest.raises(AttributeError):
        button.mine = 1
    with pytest.raises(AttributeError):
        qt.QVBoxLayout().margin = 3
    for name in ("Signal", "QRegExp", "QDesktopWidget"):
        with pytest.raises(AttributeError):
            getattr(qt, name)


def test_a_misspelt_signal_returns_false_and_fails_the_test(qt: Any) -> None:
    button = qt.QPushButton()
    assert button.connect("clicked(bool)", print)
    assert not button.connect("clickd()", print)
    assert not qt.QComboBox().connect("currentIndexChanged(QString)", print)
    assert len(complaints()) == 2


def test_an_exception_in_a_slot_fails_the_test(qt: Any) -> None:
    def broken() -> None:
        raise RuntimeError("in a slot")

    button = qt.QPushButton()
    button.connect("clicked()", broken)
    button.click()
    assert "in a slot" in complaints()[0]


def test_a_slot_gets_no_more_arguments_than_it_takes(qt: Any) -> None:
    got: list[tuple] = []

    def none() -> None:
        got.append(())

    def one(checked: bool) -> None:
        got.append((checked,))

    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", none)
    button.connect("clicked(bool)", one)
    button.click()
    assert got == [(), (True,)]


def test_enums_are_unqualified_and_wrong_overloads_are_value_errors(qt: Any) -> None:
    assert qt.Qt.AlignLeft
    with pytest.raises(AttributeError):
        _ = qt.Qt.AlignmentFlag
    with pytest.raises(ValueError):
        qt.QLabel().setText(1, 2, 3)
