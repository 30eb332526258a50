"""The grounds of changes, from their events, the records of their runs and the adoptions of configurations."""

from __future__ import annotations

from deltamark.application.adoption.configurations import adopted_until
from deltamark.application.ports.queries import Reading
from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted
from deltamark.domain.history.changes import AnyChange, Position
from deltamark.domain.history.grounds import Grounds, GroundsKind
from deltamark.domain.messages import ADOPT, ERASE
from deltamark.domain.resources.events import ADOPTION
from deltamark.domain.resources.link import BOTH_DELETED, SOURCE_DELETED, TARGET_DELETED, Linked, Unlinked
from deltamark.domain.resources.resource import Because, Computed, Created, Deleted, Updated
from deltamark.domain.runs.run import JobRun

EXPLAINED_BY_ROW = frozenset((Created, Updated, Linked))
"""The classes of changes that have no grounds: their file and line explain them."""


class GroundsOfChanges:
    """Finds the grounds of changes in one view of a store, which reads the adoptions once."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._adoptions: list[tuple[Position, ConfigurationAdopted]] | None = None

    def of(self, position: Position, event: AnyChange, run: JobRun, file: str | None) -> Grounds | None:
        """The grounds of a change; None for one that its file and line explain.

        :param file: the extract that its task read for its entity type or association, if it read one.
        """
        match event:
            case Computed():
                return self._of_computed(position, event, run)
            case Unlinked(because=str(end)) if end in _ENDS:
                ends = (event.ref.source, event.ref.target)
                return Grounds(kind=GroundsKind.DELETED_END, ends=tuple(ends[number] for number in _ENDS[end]))
            case Deleted() | Unlinked():
                return self._of_removal(event, run, file)
        return None

    def _of_removal(self, event: Deleted | Unlinked, run: JobRun, file: str | None) -> Grounds:
        if _is_by_adoption(event, run):
            return Grounds(kind=GroundsKind.ADOPTION)
        if run.job == ERASE:
            return Grounds(kind=GroundsKind.ERASURE)
        if file is not None and event.cause.line is not None:
            return Grounds(kind=GroundsKind.ROW, file=file, line=event.cause.line)
        if isinstance(event, Unlinked) and event.because is None:
            return Grounds(kind=GroundsKind.NOT_RECORDED)
        if file is not None:
            return Grounds(kind=GroundsKind.MISSING_ROW, file=file)
        return Grounds(kind=GroundsKind.TASK, task=run.task(event.cause.task).identifier)

    def _of_computed(self, position: Position, event: Computed, run: JobRun) -> Grounds:
        if self._adoptions is None:
            self._adoptions = self._reading.adoptions()
        newest = adopted_until(self._adoptions, position)
        configuration, adopted = (None, None) if newest is None else (newest[1].digest, newest[0])
        kind = GroundsKind.NOT_RECORDED
        if event.because is not None:
            kind = GroundsKind.WHOLE if event.because.first is None else GroundsKind.CHANGES
        because = event.because or Because()
        return Grounds(
            kind=GroundsKind.ADOPTION if _is_by_adoption(event, run) else kind,
            first=because.first,
            last=because.last,
            whole=because.whole,
            configuration=configuration,
            adopted=adopted,
        )


_ENDS = {SOURCE_DELETED: (0,), TARGET_DELETED: (1,), BOTH_DELETED: (0, 1)}


def _is_by_adoption(event: AnyChange, run: JobRun) -> bool:
    return event.cause.task == ADOPTION or run.job == ADOPT
