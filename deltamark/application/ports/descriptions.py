"""The port to servers of which nothing is known yet but their address."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from deltamark.application.ports.sources import Question
from deltamark.domain.proposal.descriptions import Description


class Describer(Protocol):
    """Says what a server holds, without reading rows."""

    def describe(self, ask: Question, names: Collection[str] = ()) -> Description:
        """The tables of a server that the user may read.

        :param names: of the tables that are wanted; none: all.
        :raises SourceUnreachable: if the server does not say, has nothing to read, or has not what is wanted.
        """
        ...
