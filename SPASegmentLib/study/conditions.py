"""How an image is to be segmented in a study, and which actions that leaves to the user."""

from __future__ import annotations

from dataclasses import dataclass

SEED, POINT = "seed", "point"
"""The click that marks the object, and every further one."""
_EVERYWHERE = frozenset(
    {
        "approve",
        "approve_next",
        "undo",
        "redo",
        "next_slice",
        "previous_slice",
        "whole_object",
        "next_doubtful",
        "first_anchor",
        "cancel",
    }
)
_CHOICES = frozenset({"pick", "take", "none_of_these", "keep"})


@dataclass(frozen=True)
class StudyCondition:
    """One way to segment.

    title: on the card. how: one sentence for the user. next_step: what to do with the mask shown. actions:
    verbs of `Controller.act`, `SEED` and `POINT` that the user has. shows_alternatives: whether candidates
    are on the screen. own_tool: whether the user draws in another program, so that only seconds are recorded.
    """

    name: str
    title: str
    how: str
    next_step: str
    actions: frozenset[str]
    shows_alternatives: bool = False
    own_tool: bool = False

    def allows(self, action: str) -> bool:
        """Whether the user has this action, named as in `Controller.act` ("pick:0"), or `SEED`, `POINT`."""
        return action.partition(":")[0] in self.actions


CONDITIONS = {
    condition.name: condition
    for condition in (
        StudyCondition(
            "picks",
            "pick alternatives",
            "Click the object once, then pick alternatives until you would approve the mask.",
            "Press Enter to approve, 1-4 to pick, 0 for none of these, K for others.",
            _EVERYWHERE | _CHOICES | {SEED},
            shows_alternatives=True,
        ),
        StudyCondition(
            "both",
            "picks and clicks",
            "Click the object, then pick alternatives, or click what is missing or too much (X first), until "
            "you would approve the mask.",
            "Press Enter to approve, 1-4 to pick, or correct the mask with a click; X first where too much.",
            _EVERYWHERE | _CHOICES | {SEED, POINT},
            shows_alternatives=True,
        ),
        StudyCondition(
            "clicks",
            "corrective clicks",
            "Click the object, then click what is missing, or what is too much (X first), until you would "
            "approve the mask.",
            "Press Enter to approve, or correct the mask with a click; X first where it is too much.",
            _EVERYWHERE | {SEED, POINT},
        ),
        StudyCondition(
            "editing",
            "editing by hand",
            "Draw the mask slice by slice in your own editor; only the seconds are counted here.",
            "",
            frozenset(),
            own_tool=True,
        ),
    )
}
"""What people may be asked to do. A simulation has further conditions of its own."""
