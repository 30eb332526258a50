"""Why computed values are written: the changes that made their resources dirty, or why all were computed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.derivation.workload import Share
from deltamark.application.ports.records import ComputedChanges

_POSITION, _WORD = pa.int64(), pa.string()


@frozen(kw_only=True)
class Grounds:
    """The grounds of the values of a batch.

    :param shares: the derivations of the batch.
    :param causes: the flags of resources for these derivations: ``stream``, ``derivation`` (its place in `shares`),
        ``since`` and ``newest``, the positions of the first and the last change. None where all resources are computed.
    """

    shares: tuple[Share, ...]
    causes: pa.Table | None

    def added_to(self, changes: ComputedChanges) -> ComputedChanges:
        """The changes with their grounds.

        Costs time for each derivation only where resources were flagged, which are few.
        """
        words: dict[str, list[str]] = {}
        for share in self.shares:
            if share.whole is not None:
                words.setdefault(share.whole, []).append(share.planned.derivation.name)
        if (self.causes is None or not self.causes.num_rows) and len(words) == 1:
            return evolve(changes, whole=next(iter(words)))
        rows = changes.rows
        whole = pa.nulls(rows.num_rows, _WORD)
        for word, names in words.items():
            whole = pc.if_else(_touches(rows, names), pc.fill_null(whole, word), whole)
        first, last = self._positions(rows, whole)
        columns = {"first": first, "last": last, "whole": whole}
        for name, column in columns.items():
            rows = rows.append_column(name, column)
        return evolve(changes, rows=rows)

    def _positions(self, rows: pa.Table, whole: pa.Array) -> tuple[pa.Array, pa.Array]:
        """The first and the last position for each row, null where no flag of its values is known.

        A value that reads another one of its own resource may follow it without a flag of its own: then they are those
        of all flags of the resource.
        """
        first = last = pa.nulls(rows.num_rows, _POSITION)
        if self.causes is None:
            return first, last
        causes = self.causes.filter(pc.is_in(self.causes.column("stream"), _streams(rows)))
        for number, share in enumerate(self.shares):
            own = causes.filter(pc.equal(causes.column("derivation"), number))
            if own.num_rows:
                touched = _touches(rows, [share.planned.derivation.name])
                since, newest = _of_rows(rows, own)
                nothing = pa.scalar(None, _POSITION)
                first = pc.min_element_wise(first, pc.if_else(touched, since, nothing))
                last = pc.max_element_wise(last, pc.if_else(touched, newest, nothing))
        unknown = pc.and_(pc.is_null(first), pc.is_null(whole))
        if pc.any(unknown).as_py():
            since, newest = _of_rows(rows, causes)
            first, last = pc.if_else(unknown, since, first), pc.if_else(unknown, newest, last)
        return first, last


def _streams(rows: pa.Table) -> pa.Array:
    return rows.column("stream").combine_chunks()


def _touches(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    """Whether a row changes one of some properties."""
    pattern = f'"(?:{"|".join(map(re.escape, names))})":'
    return pc.match_substring_regex(rows.column("changes").combine_chunks(), pattern)


def _of_rows(rows: pa.Table, causes: pa.Table) -> tuple[pa.Array, pa.Array]:
    """The first and the last position of the causes of each row, null where it has none."""
    grouped = causes.group_by(["stream"]).aggregate([("since", "min"), ("newest", "max")])
    places = pc.index_in(_streams(rows), value_set=_streams(grouped))
    first, last = (grouped.column(name).combine_chunks().take(places) for name in ("since_min", "newest_max"))
    return first, last
