"""Bounds the memory that the texts of an evaluation need.

DuckDB evaluates 2,048 rows at a time in each thread, and does not count the texts that exist meanwhile against its
memory limit. So rows with long texts are evaluated a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen
from numpy.typing import NDArray

from deltamark.application.ports.evaluator import Inputs
from deltamark.domain.derivation.derivations import Derivation
from deltamark.infrastructure.evaluation.path_joins import JoinedPath, PathJoins, most_ways
from deltamark.infrastructure.expressions.compiler import LONGEST_WORKING, Compiled
from deltamark.infrastructure.expressions.result_conversion import LONGEST_TEXT

BYTES_AT_ONCE = 128 << 20
"""The most bytes of texts in the rows that are evaluated at one time."""
ROWS_AT_ONCE = 2_048
"""The rows of a vector of DuckDB."""

_Lengths = NDArray[np.float64]


@frozen
class _Step:
    """A derivation whose texts may be long.

    :param lengths: SQL for the lengths of what it reads, but for properties that are computed before it.
    :param computed: the names of those.
    """

    name: str
    compiled: Compiled
    lengths: tuple[str, ...]
    computed: tuple[str, ...]


@frozen
class TextLengths:
    """The lengths of the texts that some derivations make, computed in their order."""

    steps: tuple[_Step, ...]

    @classmethod
    def of(cls, derivations: Sequence[Derivation], compiled: Sequence[Compiled | None]) -> TextLengths:
        """Those of derivations, which are compiled in the same order."""
        names: Mapping[str, None] = dict.fromkeys(derivation.name for derivation in derivations)
        steps = []
        for derivation, expression in zip(derivations, compiled, strict=False):
            if expression is None:
                continue
            own = {
                read: length for read, length in expression.lengths.items() if not read.path and read.property in names
            }
            read = tuple(length for read, length in sorted(expression.lengths.items()) if read not in own)
            steps.append(_Step(derivation.name, expression, read, tuple(read.property for read in own)))
        return cls(tuple(steps))

    @property
    def columns(self) -> str:
        """The columns of the lengths that each derivation reads, each with a comma before it."""
        totals = [" + ".join(f"coalesce({length}, 0)" for length in step.lengths) or "0" for step in self.steps]
        return "".join(f', CAST({total} AS DOUBLE) AS "length {number}"' for number, total in enumerate(totals))

    def are_short(self, portion: pa.Table, reached: float) -> bool:
        """Whether the texts of a portion are certainly so short that it can be evaluated at once.

        :param reached: a bound for the length of what is read over paths.
        """
        own = _binary_length(portion.column("state")) + _binary_length(portion.column("computed"))
        return _most(self._bytes([own + reached for _ in self.steps], portion.num_rows)) <= BYTES_AT_ONCE

    def parts(self, portion: pa.Table, measured: pa.Table) -> Iterator[pa.Table]:
        """The portion in parts that can be evaluated at once, in its order.

        :param measured: its ``stream`` and `columns`, in any order.
        """
        order = np.argsort(measured.column("stream").to_numpy())
        place = order[np.searchsorted(measured.column("stream").to_numpy()[order], portion.column("stream").to_numpy())]
        lengths = [measured.column(f"length {number}").to_numpy()[place] for number in range(len(self.steps))]
        size = self._bytes(lengths, portion.num_rows)
        if _most(size) <= BYTES_AT_ONCE:
            yield portion
            return
        total, start = np.cumsum(size), 0
        while start < portion.num_rows:
            before = total[start - 1] if start else 0.0
            end = max(int(np.searchsorted(total, before + BYTES_AT_ONCE, side="right")), start + 1)
            yield portion.slice(start, end - start)
            start = end

    def _bytes(self, lengths: Sequence[_Lengths], rows: int) -> _Lengths:
        """A bound for the bytes of texts that exist at one time for each row."""
        made: dict[str, _Lengths] = {}
        size = np.zeros(rows)
        for step, read in zip(self.steps, lengths, strict=True):
            growth = step.compiled.peak
            before = [made[name] for name in step.computed if name in made]
            longest = (read + sum(before, np.zeros(rows))) * growth.times + growth.characters
            if step.compiled.fits:  # what may become longer is not evaluated
                longest = np.minimum(longest, LONGEST_WORKING)
            made[step.name] = np.minimum(longest, LONGEST_TEXT)
            size += longest * step.compiled.texts
        return size


def longest_reached(
    db: duckdb.DuckDBPyConnection, paths: Sequence[JoinedPath], joins: PathJoins, inputs: Inputs
) -> float:
    """A bound for the length of all that one resource reads over paths."""
    longest = 0.0
    for path in paths:
        is_counted = path.way.is_collection and not any(read.column in read.aggregates for read in path.reads)
        if is_counted or not joins.is_linked(path):
            continue
        reached = inputs.reached[path.way.path]
        length = sum(
            float(pc.max(pc.binary_length(reached.column(name))).as_py() or 0) for name in ("state", "computed")
        )
        ways = most_ways(db, joins.links_of(path)) if path.way.is_collection else 1
        longest += (length + 1) * ways * len(path.reads)
    return longest


def _binary_length(texts: pa.ChunkedArray) -> _Lengths:
    lengths: _Lengths = pc.fill_null(pc.binary_length(texts), 0).to_numpy().astype(np.float64)
    return lengths


def _most(size: _Lengths) -> float:
    """The bytes of the rows of the largest vector."""
    if len(size) <= ROWS_AT_ONCE:
        return float(size.sum())
    total = np.concatenate([[0.0], np.cumsum(size)])
    return float((total[ROWS_AT_ONCE:] - total[:-ROWS_AT_ONCE]).max())
