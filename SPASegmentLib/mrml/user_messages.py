"""Actions that never raise: what goes wrong becomes a sentence for the user, and a traceback in the log."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from SPASegmentLib.errors import InputError, SPASegmentError

if TYPE_CHECKING:
    from SPASegmentLib.mrml.screen import Tone

logger = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., None])
_signature = functools.cache(inspect.signature)


class UserMessages:
    """The sentence that is shown in place of what to do next; "" for none."""

    def __init__(self) -> None:
        self.said: tuple[str, Tone] = ("", "hint")

    def say(self, sentence: str, tone: Tone) -> None:
        """Show a sentence until the next action."""
        self.said = (sentence, tone)

    def guarded(self, call: Callable[[], None]) -> None:
        """Call, and make a sentence of what goes wrong."""
        try:
            call()
        except SPASegmentError as error:
            self.say(str(error), "problem")
        except Exception:
            logger.exception("An action failed.")
            self.say("Something went wrong inside SPASegment; what was approved is kept.", "problem")


class HasMessages(Protocol):
    """What has actions."""

    messages: UserMessages

    @property
    def closed(self) -> bool:
        """Whether actions do nothing any more."""

    def refresh(self) -> None:
        """Show what came of an action."""


def safe(method: _F) -> _F:
    """Make a method of a `HasMessages` an action, for any arguments and at any time."""

    @functools.wraps(method)
    def run(self: HasMessages, *args: Any, **more: Any) -> None:
        if self.closed:
            return
        messages = self.messages
        if not method.__name__.startswith("set_"):
            messages.say("", "hint")  # a choice that changes nothing leaves the sentence that is shown
        try:
            _signature(method).bind(self, *args, **more)
        except TypeError:
            messages.say(f'The action "{method.__name__}" was given something it cannot use.', "problem")
        else:
            messages.guarded(lambda: method(self, *args, **more))
        self.refresh()

    return run  # type: ignore[return-value]


def whole(value: Any, what: str) -> int:
    """A whole number, also as text. Raises InputError."""
    try:
        if isinstance(value, float) and value != int(value):
            raise ValueError(value)
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} is a whole number, not {str(value)[:20]!r}.") from None
