"""The card of the recommendation and the four cards of the candidates."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import qt
from slicer.i18n import tr as _

from .pictures import icon_of

CANDIDATES = 4


class Cards:
    """Draws the cards of a Screen and says which button was pressed."""

    def __init__(self, ui, act: Callable[[str], None]) -> None:
        """act: is called with "pick:0", "take:2", "approve", ..."""
        self._ui = ui
        self._act = act
        self._pictures: dict[int, bytes] = {}
        for k in range(CANDIDATES):
            self._connect(f"cardPicture{k + 1}", f"pick:{k}")
            self._connect(f"takeButton{k + 1}", f"take:{k}")
            explained = _("Share of the masks the model drew that are like this one")
            self._widget(f"cardText{k + 1}").toolTip = explained
        for name, action in (
            ("approveButton", "approve"),
            ("cardPicture0", "approve"),
            ("noneButton", "none_of_these"),
            ("keepButton", "keep"),
        ):
            self._connect(name, action)

    def render(self, screen) -> None:
        """Show the recommendation and the candidates there are; empty cards keep their place."""
        card = screen.recommendation
        self._picture(0, card.thumbnail if card else b"")
        self._set_text(0, _recommendation_text(card) if card else "", _("The recommended mask appears here."))
        for k in range(CANDIDATES):
            card = screen.cards[k] if k < len(screen.cards) else None
            self._picture(k + 1, card.thumbnail if card else b"")
            empty = _("Alternative {number}").format(number=k + 1)
            self._set_text(k + 1, _candidate_text(card) if card else "", empty)
            for button, action in (
                (f"cardPicture{k + 1}", f"pick:{k}"),
                (f"takeButton{k + 1}", f"take:{k}"),
            ):
                self._widget(button).enabled = action in screen.enabled
        for button, action in (
            ("approveButton", "approve"),
            ("cardPicture0", "approve"),
            ("noneButton", "none_of_these"),
            ("keepButton", "keep"),
        ):
            self._widget(button).enabled = action in screen.enabled

    def _picture(self, number: int, png: bytes) -> None:
        if self._pictures.get(number) == png:
            return
        self._pictures[number] = png
        self._widget(f"cardPicture{number}").icon = icon_of(png) if png else qt.QIcon()

    def _set_text(self, number: int, text: str, empty: str) -> None:
        label = self._widget(f"cardText{number}")
        label.enabled = bool(text)
        text = text or escape(empty)
        if label.text != text:
            label.text = text

    def _widget(self, name: str):
        return getattr(self._ui, name)

    def _connect(self, name: str, action: str) -> None:
        def clicked() -> None:
            self._act(action)

        self._widget(name).connect("clicked()", clicked)


def _recommendation_text(card) -> str:
    name = escape(card.name or _("recommendation"))
    name = name[:1].upper() + name[1:]
    lines = [f"<b>{name}</b>", _("{area} mm²").format(area=_number(card.area_mm2))]
    if card.meaning:
        lines.append(f"<small>{escape(card.meaning)}</small>")
    return "<br>".join(lines)


def _candidate_text(card) -> str:
    lines = [f"<b>{card.number}&nbsp; {escape(card.name)}</b>"]
    if card.meaning:
        lines.append(escape(card.meaning))
    changes = []
    if card.added_mm2 > 0:
        changes.append(f"+{_number(card.added_mm2)}")
    if card.removed_mm2 > 0:
        changes.append(f"\N{MINUS SIGN}{_number(card.removed_mm2)}")
    areas = (
        _("{changes} mm²").format(changes=" ".join(changes))
        if changes
        else _("{area} mm²").format(area=_number(card.area_mm2))
    )
    lines.append(areas)
    lines.append(f"<small>{_('{share} of masks').format(share=f'{card.support:.0%}')}</small>")
    return "<br>".join(lines)


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
