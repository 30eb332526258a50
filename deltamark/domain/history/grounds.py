"""The grounds of a change: what in the extracts, the log or the configuration led to it."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from deltamark.domain.resources.resource import WHOLE_REASONS, ResourceRef


class GroundsKind(Enum):
    """What led to a deletion, to an unlinking, or to a computed value."""

    ROW = "row"
    MISSING_ROW = "missing row"
    DELETED_END = "deleted end"
    CHANGES = "changes"
    WHOLE = "whole"
    ADOPTION = "adoption"
    ERASURE = "erasure"
    TASK = "task"
    NOT_RECORDED = "not recorded"


@frozen(kw_only=True)
class Grounds:
    """What led to a change.

    :param file: the extract that says so, by a row (`line`) or because a row is missing in it.
    :param ends: the deleted resources at the ends of a removed link.
    :param first: the position of the first change that made the resource dirty for a computed value, `last` that of the
        last one; those in between are not listed.
    :param whole: the word for the reason why the value was computed for all resources.
    :param configuration: the digest of the configuration whose rule computed the value, adopted at the position
        `adopted`; None where it is not known.
    :param task: the task that removed it.
    """

    kind: GroundsKind
    file: str | None = None
    line: int | None = None
    ends: tuple[ResourceRef, ...] = ()
    first: int | None = None
    last: int | None = None
    whole: str | None = None
    configuration: str | None = None
    adopted: int | None = None
    task: str | None = None

    @property
    def words(self) -> str:
        """The grounds as a clause."""
        match self.kind:
            case GroundsKind.ROW:
                return f"line {self.line} of {self.file} says so"
            case GroundsKind.MISSING_ROW:
                return f"its row is missing in {self.file}"
            case GroundsKind.DELETED_END:
                were = "was" if len(self.ends) == 1 else "were"
                return f"{' and '.join(map(str, self.ends))} {were} deleted"
            case GroundsKind.CHANGES | GroundsKind.WHOLE:
                return " and ".join(filter(None, (self._changes, self._whole)))
            case GroundsKind.ADOPTION:
                return "the adopted configuration has no place for it"
            case GroundsKind.ERASURE:
                return "the resource was to be erased"
            case GroundsKind.TASK:
                return f"task {self.task} removed it"
        return "not recorded"

    @property
    def _changes(self) -> str:
        if self.first is None:
            return ""
        if self.first == self.last:
            return f"because of the change at position {self.first}"
        return f"because of changes from position {self.first} to {self.last}"

    @property
    def _whole(self) -> str:
        if self.whole is None:
            return ""
        return f"computed for all resources: {WHOLE_REASONS.get(self.whole, self.whole)}"
