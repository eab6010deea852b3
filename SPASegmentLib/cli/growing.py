"""The dialogue about proposals of larger labellings: one answer more, and other words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from SPASegmentLib.cli.dialogue import QUIT, UNDO, Dialogue, answered
from SPASegmentLib.cli.report_folder import ReportFolder
from SPASegmentLib.errors import Cancelled

if TYPE_CHECKING:
    from SPASegmentLib.research.systems.partial.session import PartialSession

GO_ON = "g"


class Growing(Dialogue["PartialSession"]):
    """Runs a labelling's growth to its end."""

    question = (
        "1-4 pick, g go on from the recommendation, t1-t4 take as final, n none of these, u undo, r redo, "
        "q quit, Enter approve: "
    )
    further = (GO_ON,)

    def answered(self, session: PartialSession, answer: str) -> PartialSession:
        """See `dialogue.answered`."""
        if answer == GO_ON:
            return session.go_on()
        if answer == UNDO:
            return session.undo()
        if answer == QUIT:
            raise Cancelled("Stopped before a labelling was final; nothing was written.")
        return answered(session, answer)

    def lines(self, session: PartialSession) -> list[str]:
        """A proposal in words, a line for the recommendation and one per candidate."""
        proposal = session.proposal
        if proposal is None:
            return []
        lines = [f"Iteration {session.iteration} ({proposal.seconds:.2f} s)"]
        for number, one in enumerate((proposal.recommendation, *proposal.candidates)):
            growth = one.growth
            name = "recommended" if number == 0 else growth.name
            lines.append(
                f"  {number or ' '}  {name:<38}  +{growth.foreground_mm2:.1f} mm2 object, "
                f"+{growth.background_mm2:.1f} mm2 background"
                + (f"  {100 * growth.support:3.0f}% of masks" if number else "")
            )
        if proposal.complete:
            lines.append("  Nothing more can be labelled with certainty; approve, or correct it by hand.")
        return [*lines, f"  {proposal.fewer_reason}"] if proposal.fewer_reason else lines


class GrowthFolder(ReportFolder["PartialSession"]):
    """The pictures of a growing labelling."""

    def draw(self, path: Path, session: PartialSession, index: int, iteration: int) -> None:
        """See `ReportFolder.draw`."""
        from SPASegmentLib.research.systems.partial.pictures import report_growth

        proposal = [proposal for proposal, _ in session.proposals][iteration - 1]
        report_growth(path, session.image, proposal, iteration, session.model.name)
