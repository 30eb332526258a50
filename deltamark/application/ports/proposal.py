"""The ports to what a configuration is proposed for: files and servers of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen

from deltamark.application.ports import sources
from deltamark.domain.proposal.descriptions import Description
from deltamark.domain.proposal.profile import Answer, Question, TableProfile


@frozen(kw_only=True)
class WorkbookSheet:
    """A sheet of a workbook that may become an extract.

    :param table: the name of its `ConnectionTable`.
    """

    workbook: Path
    sheet: str
    table: str


class Profiles(Protocol):
    """Looks at files that may become extracts, set-wise and as a run would read them."""

    def tables(self, files: Sequence[Path | WorkbookSheet]) -> list[TableProfile]:
        """What files or sheets hold, in their order.

        :raises UsageError: with what is wrong in each that cannot be read.
        """
        ...

    def answers(self, questions: Iterable[Question]) -> list[Answer]:
        """How many values of columns are keys of other tables, in the order of the questions."""
        ...

    def unique_together(self, table: str, sets: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Those of some sets of columns whose values together differ in all rows, in their order.

        :param sets: the smallest first; where one is found, larger ones are not looked at.
        """
        ...


class Describer(Protocol):
    """Says what a server holds, without reading rows."""

    def describe(self, ask: sources.Question, names: Collection[str] = ()) -> Description:
        """The tables of a server that the user may read.

        :param names: of the tables that are wanted; none: all.
        :raises SourceUnreachable: if the server does not say, has nothing to read, or has not what is wanted.
        """
        ...
