"""Draws the controller's screen: status line, cards, buttons and their tooltips."""

from __future__ import annotations

from collections.abc import Mapping

from slicer.i18n import tr as _

from .cards import CANDIDATES, Cards

TONES = {"hint": "#3d7eff", "busy": "#8a8f98", "done": "#2f9e5b", "problem": "#d9480f"}
"""Bar beside the status sentence; readable on light and on dark."""
STATUS_STYLE = (
    "QFrame#statusFrame {{ background-color: {tint}; border: none; border-left: 4px solid {color}; }}"
    " QLabel#statusLabel {{ font-weight: bold; }}"
)
APPROVE_STYLE = (
    "QPushButton:enabled { background-color: #2b7a4b; color: white; border: 1px solid #226a3f;"
    " border-radius: 4px; font-weight: bold; } QPushButton:enabled:hover { background-color: #338f59; }"
    " QPushButton:enabled:pressed { background-color: #226a3f; }"
)
NAMED = 3
"""Doubtful slices of an object that are named."""
BUTTONS = {
    "undoButton": "undo",
    "redoButton": "redo",
    "cancelButton": "cancel",
    "nextSliceButton": "next_slice",
    "previousSliceButton": "previous_slice",
    "wholeObjectButton": "whole_object",
    "continueButton": "continue_segment",
    "nextDoubtfulButton": "next_doubtful",
    "firstAnchorButton": "first_anchor",
}
"""Buttons beside those on the cards -> action."""
PLACING = {
    "seedButton": "place_seed",
    "excludeButton": "exclude_point",
    "boxButton": "draw_box",
    "scribbleButton": "draw_scribble",
}
"""Buttons that say what the next click or drag in a slice view does -> action."""
DEVICES = {"cpu": "CPU", "cuda": "CUDA", "mps": "MPS", "auto": _("CPU or graphics card")}


class ScreenView:
    """Writes a Screen into the widgets; touches only what changed."""

    def __init__(self, ui, cards: Cards) -> None:
        self._ui, self._cards = ui, cards
        self._keys: Mapping[str, str] | None = None
        for section in (ui.inputsSection, ui.advancedSection):
            section.connect("contentsCollapsed(bool)", lambda _collapsed: self.fit_width())

    def fit_width(self) -> None:
        """Keep what scrolls as wide as it and its scroll bar need to be: it scrolls up and down only."""
        scroll = self._ui.workScroll
        bar = scroll.verticalScrollBar().sizeHint.width()
        needed = self._ui.workScrolled.minimumSizeHint.width() + bar
        if scroll.minimumWidth != needed:
            scroll.minimumWidth = needed

    def render(self, screen, sentence: str, keys: Mapping[str, str]) -> None:
        """sentence: for the status line. keys: action -> key, for tooltips."""
        ui = self._ui
        self.set_text("statusLabel", sentence)
        color = TONES.get(screen.tone, TONES["hint"])
        style = STATUS_STYLE.format(color=color, tint=_tint(color))
        if ui.statusFrame.styleSheet != style:
            ui.statusFrame.styleSheet = style
        self.set_text("detailLabel", screen.detail)
        notes = (_("Note: {text}").format(text=text) for text in screen.warnings)
        self.set_text("warningsLabel", "\n".join(notes))
        ui.warningsLabel.visible = bool(screen.warnings)
        ui.progressBar.visible = ui.cancelButton.visible = screen.busy
        ui.progressBar.maximum = 0 if screen.progress is None else 100
        if screen.progress is not None:
            ui.progressBar.value = round(100 * screen.progress)
        approve = "" if screen.doubtful else APPROVE_STYLE
        if ui.approveButton.styleSheet != approve:
            ui.approveButton.styleSheet = approve
        self._cards.render(screen)
        self.set_text("objectLabel", _object_text(screen.object) if screen.object else "")
        for name in ("objectLabel", "nextDoubtfulButton", "firstAnchorButton"):
            getattr(ui, name).visible = screen.object is not None
        for name, action in BUTTONS.items():
            getattr(ui, name).enabled = action in screen.enabled
        text = _("Model {model} on {device}. For research only, not a medical device.")
        device = DEVICES.get(screen.device, screen.device)
        self.set_text("modelStatusLabel", text.format(model=screen.model, device=device))
        if keys != self._keys:
            self._keys = keys
            self._render_keys(keys)
        self.fit_width()

    def render_placing(
        self, placing: bool | None, drawing: str | None, has_volume: bool, has_proposal: bool
    ) -> None:
        """Show on the buttons what the next click or drag does."""
        ui = self._ui
        ui.seedButton.enabled = ui.newSegmentButton.enabled = has_volume
        for button, shape in ((ui.boxButton, "box"), (ui.scribbleButton, "scribble")):
            button.enabled, button.checked = has_volume, drawing == shape
        ui.excludeButton.enabled = has_volume and has_proposal
        ui.seedButton.checked = placing is True
        ui.excludeButton.checked = placing is False
        self.set_text("seedButton", _("Click on the object...") if placing is True else _("Place seed"))
        exclude = _("Click what to exclude...") if placing is False else _("Exclude point")
        self.set_text("excludeButton", exclude)

    def set_text(self, name: str, text: str) -> None:
        """The text of a widget."""
        widget = getattr(self._ui, name)
        if widget.text != text:
            widget.text = text

    def _render_keys(self, keys: Mapping[str, str]) -> None:
        from SPASegmentLib.mrml.keys import key_text, tooltip

        buttons = {
            **BUTTONS,
            "approveButton": "approve",
            "noneButton": "none_of_these",
            "keepButton": "keep",
            "cardPicture0": "approve",
        }
        for k in range(CANDIDATES):
            buttons[f"cardPicture{k + 1}"] = f"pick:{k}"
            buttons[f"takeButton{k + 1}"] = f"take:{k}"
        for name, action in buttons.items():
            getattr(self._ui, name).toolTip = tooltip(action, keys)
        for name, action in PLACING.items():
            if action in keys:
                widget, key = getattr(self._ui, name), key_text(keys[action])
                text = str(widget.toolTip).split(" (")[0]
                widget.toolTip = f"{text} ({key})" if key else text
        for name, action, text in (
            ("approveButton", "approve", _("Approve")),
            ("noneButton", "none_of_these", _("None of these")),
            ("keepButton", "keep", _("Other options")),
        ):
            key = key_text(keys.get(action, ""))
            self.set_text(name, f"{text} ({key})" if key else text)


def _object_text(shown) -> str:
    """The whole object's volume, and its most doubtful slices with their reasons."""
    text = _("Object: {volume} ml on {count} slices.").format(
        volume=f"{shown.volume_ml:.2f}", count=len(shown.slices)
    )
    doubtful = shown.doubtful
    named = [
        _("{number} {reason}").format(number=f"{one.number:+d}", reason=one.reason)
        for one in doubtful[:NAMED]
    ]
    if len(doubtful) > NAMED:
        named.append(_("{count} more").format(count=len(doubtful) - NAMED))
    if named:
        text += " " + _("Doubtful, counted from the first slice: {slices}.").format(slices=", ".join(named))
    return text


def _tint(color: str) -> str:
    """The same colour, sheer: it lies well on light and on dark."""
    red, green, blue = (int(color[n : n + 2], 16) for n in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 36)"
