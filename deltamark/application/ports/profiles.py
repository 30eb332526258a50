"""The port to files of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from deltamark.domain.proposal.profile import Answer, Question, TableProfile


class Profiles(Protocol):
    """Looks at files that may become extracts, set-wise and as a run would read them."""

    def tables(self, files: Sequence[Path]) -> list[TableProfile]:
        """What the files hold, in their order.

        :raises UsageError: with what is wrong in each that cannot be read.
        """
        ...

    def answers(self, questions: Iterable[Question]) -> list[Answer]:
        """How many values of columns are keys of other tables, in the order of the questions."""
        ...
