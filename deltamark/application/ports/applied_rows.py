"""The rows of an extract that was applied, which the next extract is compared with."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    import pyarrow as pa


@frozen(kw_only=True)
class AppliedRows:
    """Rows that say what resources are: of each the digest of its cells, and the key of its resource.

    :param rows: ``digest`` (16 bytes), each once, and ``key``.
    :param others: keys of resources that stay although no row was applied to them; perhaps of some that do not exist.
    """

    rows: pa.Table = field(eq=False)
    others: pa.Array = field(eq=False)


@frozen(kw_only=True)
class RowDigests:
    """How the rows of an extract are digested, and what is known by digests.

    :param salt: begins what is digested: nobody can choose cells of the same digest who does not know it.
    :param applied: the rows that were applied before; None where they are not known.
    """

    salt: str = field(factory=lambda: secrets.token_hex(16))
    applied: AppliedRows | None = None


@frozen(kw_only=True)
class UnchangedRows:
    """The rows of an extract that are among those applied, and were not read any further.

    :param applied: what was applied.
    :param is_there: for each of its rows whether the extract has it.
    """

    applied: AppliedRows
    is_there: pa.BooleanArray = field(eq=False)
