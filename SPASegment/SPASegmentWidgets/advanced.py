"""The advanced section: model, device, samples, window, colours and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import qt
from slicer.i18n import tr as _

from .settings import PanelSettings

DEFAULT_WINDOW = (-1000.0, 400.0)
SHIPPED_MODELS = ["general", "compact"]
DEVICES = {"auto": "Automatic", "cpu": "CPU", "cuda": "NVIDIA (cuda)", "mps": "Apple (mps)"}
COLORS = {"recommended": "recommendedColor", "added": "addedColor", "removed": "removedColor"}


class Advanced:
    """Shows the settings, and tells when one was changed."""

    def __init__(self, ui, dialogs, settings: PanelSettings, changed: Callable[[str], None]) -> None:
        """changed: is called with the name of the setting that the user changed, after it was saved."""
        self._ui, self._dialogs, self._settings, self._changed = ui, dialogs, settings, changed
        self._showing = False
        self._actions: tuple[str, ...] = ()
        self._defaults: Mapping[str, str] = {}
        self._shipped: Mapping[str, str] = {}
        ui.learnCheck.connect("toggled(bool)", self.on_learn)
        ui.modelSelector.connect("activated(int)", self.on_model)
        ui.deviceSelector.connect("activated(int)", self.on_device)
        ui.samplesSpin.connect("editingFinished()", self.on_samples)
        ui.windowCheck.connect("toggled(bool)", self.on_window)
        ui.windowLowSpin.connect("editingFinished()", self.on_window)
        ui.windowHighSpin.connect("editingFinished()", self.on_window)
        for role, name in COLORS.items():
            getattr(ui, name).connect("colorChanged(QColor)", self._color_changer(role))
        ui.resetColorsButton.connect("clicked()", self.on_reset_colors)
        ui.keysTable.connect("cellChanged(int,int)", self.on_key)
        ui.resetKeysButton.connect("clicked()", self.on_reset_keys)
        ui.keepCheck.connect("toggled(bool)", self.on_keep)

    def fill(self, keys: Mapping[str, str], colors: Mapping[str, str]) -> None:
        """Show the settings.

        keys: action -> shipped key. colors: role -> shipped "#rrggbb".
        """
        self._defaults, self._shipped, self._actions = keys, colors, tuple(keys)
        self._showing = True
        try:
            self._fill_models()
            device = DEVICES.get(self._settings.device, self._settings.device)
            self._fill_box(self._ui.deviceSelector, DEVICES.values(), device)
            self._ui.learnCheck.checked = self._settings.learn
            self._ui.keepCheck.checked = bool(self._settings.keep_approved)
            self._ui.samplesSpin.value = self._settings.samples
            window = self._settings.window
            self._ui.windowCheck.checked = window is None
            for spin, value in zip(
                (self._ui.windowLowSpin, self._ui.windowHighSpin), window or DEFAULT_WINDOW, strict=True
            ):
                spin.value = value
                spin.enabled = window is not None
            for role, name in COLORS.items():
                getattr(self._ui, name).color = qt.QColor(self.colors()[role])
            self._fill_keys()
        finally:
            self._showing = False

    def colors(self) -> dict[str, str]:
        """Role -> colour as it is now."""
        return {role: self._settings.colors.get(role, shipped) for role, shipped in self._shipped.items()}

    def keys(self) -> dict[str, str]:
        """Action -> key as it is now; "" for none."""
        return {action: self._settings.keys.get(action, key) for action, key in self._defaults.items()}

    def show_learn(self, learn: bool) -> None:
        """A scene that was read may say otherwise."""
        if bool(self._ui.learnCheck.checked) != learn:
            self._showing, before = True, self._showing
            self._ui.learnCheck.checked = self._settings.learn = learn
            self._showing = before

    def on_learn(self, checked: bool) -> None:
        """Learn from picks, or not."""
        self._set("learn", bool(checked))

    def on_keep(self, checked: bool) -> None:
        """Keep what is approved, in a folder that is asked for each time, or no longer."""
        if self._showing:
            return
        folder = self._dialogs.ask_folder(_("Where are approved crops and masks kept?")) if checked else None
        if checked and folder is None:
            self._showing = True
            self._ui.keepCheck.checked = False
            self._showing = False
        self._set("keep_approved", str(folder or ""))

    def on_model(self, index: int) -> None:
        """Another model: a shipped one, the one used last, or a file."""
        models = self._models()
        if index < len(models):
            self._set("model", models[index])
            return
        path = self._dialogs.ask_file(_("Choose a model"), _("Models") + " (*.safetensors)")
        if path:
            self._set("model", str(path))
        self._showing, before = True, self._showing
        self._fill_models()
        self._showing = before

    def _models(self) -> list[str]:
        chosen = self._settings.model
        return SHIPPED_MODELS if chosen in SHIPPED_MODELS else [*SHIPPED_MODELS, chosen]

    def _fill_models(self) -> None:
        names = [Path(model).stem for model in self._models()]
        self._fill_box(
            self._ui.modelSelector, [*names, _("Model from a file...")], Path(self._settings.model).stem
        )

    def on_device(self, index: int) -> None:
        """Another device."""
        self._set("device", [*DEVICES, self._settings.device][index])

    def on_samples(self) -> None:
        """Another N; few samples give no candidates."""
        value = int(self._ui.samplesSpin.value)
        self._set("samples", 0 if value < 8 else value)

    def on_window(self) -> None:
        """Another window, or the automatic one."""
        automatic = bool(self._ui.windowCheck.checked)
        low, high = float(self._ui.windowLowSpin.value), float(self._ui.windowHighSpin.value)
        for spin in (self._ui.windowLowSpin, self._ui.windowHighSpin):
            spin.enabled = not automatic
        self._set("window", None if automatic else (low, high))

    def on_reset_colors(self) -> None:
        """The shipped colours."""
        self._settings.colors = {}
        self._showing = True
        for role, name in COLORS.items():
            getattr(self._ui, name).color = qt.QColor(self._shipped[role])
        self._showing = False
        self._save("colors")

    def on_key(self, row: int, column: int) -> None:
        """A key was typed into the table: keep it where it is one and belongs to no other action."""
        if self._showing or column != 1 or not 0 <= row < len(self._actions):
            return
        action, item = self._actions[row], self._ui.keysTable.item(row, 1)
        typed = str(item.text()).strip()
        sequence = str(qt.QKeySequence(typed).toString()) if typed else ""
        others = {key for other, key in self.keys().items() if other != action and key}
        if (typed and not sequence) or sequence in others:
            sequence = self.keys()[action]
        else:
            self._settings.keys[action] = sequence
        self._show_key(row, sequence)
        self._save("keys")

    def on_reset_keys(self) -> None:
        """The shipped keys."""
        self._settings.keys = {}
        for row, action in enumerate(self._actions):
            self._show_key(row, self._defaults[action])
        self._save("keys")

    def _color_changer(self, role: str) -> Callable:
        def changed(color) -> None:
            if not self._showing:
                self._settings.colors[role] = str(color.name())
                self._save("colors")

        return changed

    def _set(self, name: str, value) -> None:
        if not self._showing and getattr(self._settings, name) != value:
            setattr(self._settings, name, value)
            self._save(name)

    def _save(self, name: str) -> None:
        self._settings.save()
        self._changed(name)

    def _fill_box(self, box, choices, chosen: str) -> None:
        choices = list(choices)
        if chosen not in choices:
            choices.append(chosen)
        box.clear()
        for choice in choices:
            box.addItem(choice)
        box.currentIndex = choices.index(chosen)

    def _fill_keys(self) -> None:
        table = self._ui.keysTable
        table.rowCount = len(self._actions)
        for row, action in enumerate(self._actions):
            label = qt.QTableWidgetItem(_action_name(action))
            label.setFlags(qt.Qt.ItemIsEnabled)
            table.setItem(row, 0, label)
            table.setItem(row, 1, qt.QTableWidgetItem(self.keys()[action]))
        table.setColumnWidth(0, 170)
        table.verticalHeader().setDefaultSectionSize(24)

    def _show_key(self, row: int, sequence: str) -> None:
        self._showing, before = True, self._showing
        self._ui.keysTable.item(row, 1).setText(sequence)
        self._showing = before


def _action_name(action: str) -> str:
    """What an action is called in the table of keys."""
    verb, _colon, number = action.partition(":")
    names = {
        "pick": _("Pick {number}"),
        "take": _("Take {number}"),
        "none_of_these": _("None of these"),
        "keep": _("Other options"),
        "approve": _("Approve"),
        "approve_next": _("Approve and go on"),
        "undo": _("Undo"),
        "redo": _("Redo"),
        "next_slice": _("Slice up"),
        "previous_slice": _("Slice down"),
        "whole_object": _("Whole object"),
        "continue_segment": _("Continue segment"),
        "next_doubtful": _("Next doubtful slice"),
        "first_anchor": _("First slice of the object"),
        "cancel": _("Cancel"),
        "place_seed": _("Place seed"),
        "exclude_point": _("Exclude point"),
        "draw_box": _("Draw a box"),
        "draw_scribble": _("Draw a line"),
    }
    return names.get(verb, verb).format(number=int(number) + 1 if number else "")
