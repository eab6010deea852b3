"""What the page may ask of the viewer, by name. Arguments come from a browser and are checked here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.mrml.keys import KEYS
from SPASegmentLib.viewer.app import Viewer

_LONGEST = 200


def bind_triggers(server: Any, viewer: Viewer) -> None:
    """Register every trigger of the page."""

    def bind(name: str, function: Callable[..., Any]) -> None:
        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except SPASegmentError as error:
                viewer.messages.complain(str(error))
            except (TypeError, ValueError):
                viewer.messages.complain("The page sent something unexpected; reload it.")
            return None

        server.controller.trigger(name)(guarded)

    bind("open", lambda key: viewer.open(_text(key)))
    bind("choose_part", lambda index: viewer.question.answer(int(_number(index))))
    bind("go_to", lambda index: _go_to(viewer, index))
    bind("orient", lambda name: viewer.navigation.orient(_text(name)))
    bind("slide", lambda offset: viewer.navigation.slide(_number(offset)))
    bind("scroll", lambda steps: viewer.navigation.scroll(int(_number(steps))))
    bind("set_window", lambda name: viewer.choose_window(_text(name)))
    bind("set_window_by_hand", lambda low, high: _set_window(viewer, _number(low), _number(high)))
    bind("name_segment", lambda name: viewer.name_segment(_text(name)))
    bind("set_structure", lambda name: viewer.set_structure(_text(name)))
    bind("choose_profile", lambda name: viewer.choose_profile(_text(name)))
    bind("create_profile", lambda name: viewer.create_profile(_text(name)))
    bind("set_learn", lambda learn: viewer.controller.set_learn(bool(learn)))
    bind("act", lambda action: _act(viewer, action))
    bind("toggle_3d", viewer.toggle_3d)
    bind("move_cursor", lambda x, y, far: viewer.navigation.move_cursor(int(x), int(y), bool(far)))
    bind("zoom", viewer.zoom)
    bind("seed_at_cursor", lambda negative: viewer.input.at_cursor(bool(negative)))
    bind("exclude", lambda on: viewer.input.exclude(bool(on)))
    bind("draw", lambda shape: viewer.input.draw(_text(shape)))
    bind("resume", lambda wanted: viewer.keeping.resume(bool(wanted)))
    bind("uploading", lambda name, share: viewer.messages.uploading(_text(name), _number(share)))
    bind("upload_failed", lambda sentence: viewer.messages.upload_failed(_text(sentence)))
    bind("dismiss", lambda: viewer.messages.complain(""))
    bind("show_help", viewer.toggle_help)
    study = viewer.study
    if study is not None:
        bind("study_start", study.start)
        bind("study_pause", study.pause)
        bind("study_next", lambda gives_up: study.next(gives_up=bool(gives_up)))
        bind("study_input", lambda kind: study.input(_text(kind)))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value[:_LONGEST]


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _go_to(viewer: Viewer, index: Any) -> None:
    places = viewer.choice.places if viewer.choice is not None else ()
    at = int(_number(index))
    if 0 <= at < len(places):
        viewer.navigation.visit(places[at].ras, places[at].across)


def _set_window(viewer: Viewer, low: float, high: float) -> None:
    viewer.choose_window("manual", (low, high))


def _act(viewer: Viewer, action: Any) -> None:
    if action in KEYS:
        viewer.act(action)
