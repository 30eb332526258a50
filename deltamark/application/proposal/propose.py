"""Proposes a configuration for files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deltamark.application.ports.profiles import Profiles
from deltamark.domain.proposal.keys import chosen_key
from deltamark.domain.proposal.links import chosen_links, questions
from deltamark.domain.proposal.proposal import Proposal, proposal


def propose(profiles: Profiles, files: Sequence[Path], *, connector: str) -> Proposal:
    """Looks at files as they are, and proposes a configuration that synchronizes them.

    :param connector: the name of what the files come from.
    :raises UsageError: with what is wrong in each file that cannot be read.
    """
    tables = profiles.tables(files)
    keys = {table.table: chosen_key(table) for table in tables}
    asked = questions(tables, {table: key.column for table, key in keys.items()})
    return proposal(tables, keys, chosen_links(profiles.answers(asked)), connector=connector)
