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
    :param others: keys of resources that stay although no row was applied to them, or that were changed since by
        others; perhaps of some that do not exist.
    :param is_as_applied: whether nothing was changed since.
    :param kept: where the store keeps them; None if they are new.
    """

    rows: pa.Table = field(eq=False)
    others: pa.Array = field(eq=False)
    is_as_applied: bool = True
    kept: KeptRows | None = field(default=None, eq=False)


@frozen(kw_only=True)
class KeptRows:
    """Where a store keeps rows that were applied: most in one piece, and what differs from it.

    :param piece: the digest of the piece.
    :param count: its number of rows.
    :param places: for each row its place in the piece, -1 if it is not there (int64).
    """

    piece: str
    count: int
    places: pa.Array


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

    :param applied: what was applied before.
    :param is_there: for each of its rows whether the extract has it.
    """

    applied: AppliedRows
    is_there: pa.BooleanArray = field(eq=False)
