"""The answers of a user's function, for one task of a run.

They are given while others may write. Each is written only if the values that the function was given are still the same
then; otherwise the function is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.derivation.user_functions.batches import Calls, due_resources, keys_of
from deltamark.application.derivation.user_functions.call import call_function
from deltamark.application.derivation.user_functions.cancellation import Call, ReasonToEnd, ended_for
from deltamark.application.derivation.user_functions.result_check import checked_values
from deltamark.application.derivation.workload import Share, View
from deltamark.application.ports.evaluator import DIGEST, STREAM, Computation, Inputs
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.application.services import Services
from deltamark.domain.configuration.user_function import KEY, MOST_ROWS, UserTask
from deltamark.domain.derivation.function_columns import columns, written_by
from deltamark.domain.messages import how_many

MOST_ROUNDS = 5
"""So often the function is asked again for resources that changed meanwhile; after that they stay dirty."""

MOST_BYTES = 256 * 1024**2
"""About as much of what the function reads is in memory at a time."""


class Unanswered(Exception):
    """A transaction needs answers that the function has not given.

    The transaction is to be undone, `answer` to be called, and the transaction to be tried again.
    """

    def __init__(self, answer: Callable[[], None]) -> None:
        self.answer = answer
        super().__init__("a function has not been asked for all that is due")


@frozen(kw_only=True)
class Questions:
    """Resources of one entity type for which a function is to be called.

    :param rows: ``the stream``, ``the digest``, ``key`` and the columns that the function reads.
    :param are_all: whether these are all that there are.
    """

    entity_type: str
    rows: pa.Table
    are_all: bool


class Answers(Calls):
    """The calls of the function of a task while no transaction is open, and what it answered."""

    def __init__(self, services: Services, function: UserTask, batch_size: int, reason_to_end: ReasonToEnd) -> None:
        """Begins without any answer.

        :param batch_size: the most resources in one call; 0 as the function declares.
        """
        super().__init__(services, batch_size or function.batch_size)
        self._function = function
        self._reason_to_end = reason_to_end
        self._known: dict[str, pa.Table] = {}
        self._rounds = 0
        self._complete: dict[DerivedRule, tuple[Share, View]] = {}
        self._view: View | None = None
        self._left_out: dict[DerivedRule, Share] = {}
        self._left_count = 0

    def unasked(self, reading: Reading, inputs: Inputs) -> Questions:
        """What the function was not asked yet of some due resources, as much as fits into memory."""
        due = due_resources(inputs)
        known = self._known.get(inputs.entity_type)
        if known is not None:
            due = due.filter(pc.invert(pc.is_in(due.column("stream"), known.column(STREAM).combine_chunks())))
        tables = self._tables(evolve(inputs, resources=due, due=None), self._batch_size) if due.num_rows else iter(())
        return self._questions(reading, inputs.entity_type, tables)

    def answer(self, questions: Iterable[Questions]) -> None:
        """Calls the function, batch by batch, and keeps what it answers.

        :raises UserTaskFailed: if the function fails, or returns what cannot be written.
        :raises UserTaskCancelled: if the run was cancelled meanwhile.
        """
        with ended_for(self._reason_to_end) as call:
            for question in questions:
                rows = question.rows
                size = self._batch_size
                answered = [
                    self._answered(call, question.entity_type, rows.slice(start, size))
                    for start in range(0, rows.num_rows, size)
                ]
                self._keep(question.entity_type, answered)

    def begin(self, view: View) -> None:
        """Begins a transaction that is to write the answers."""
        self._view, self._left_out, self._left_count = view, {}, 0

    def portions(self, reading: Reading, shares: Sequence[Share], inputs: Inputs) -> Iterator[Computation]:
        """The answers for the due resources, as `Calls` gives them.

        :raises Unanswered: if the function was not called for a resource, or was given other values. After some rounds
            such resources are left out instead.
        """
        due = evolve(inputs, resources=due_resources(inputs), due=None)
        masks: list[pa.Array] = []
        unknown = self._unknown(due, masks)
        missing = self._questions(reading, due.entity_type, unknown)
        if missing.rows.num_rows and self._rounds < MOST_ROUNDS:
            if missing.are_all and self._view is not None:
                self._rounds += 1
                self._complete |= {share.rule: (share, self._view) for share in shares}
            raise Unanswered(lambda: self.answer([missing]))
        for _ in unknown:  # what does not fit into memory is left out, too
            pass
        if missing.rows.num_rows:
            self._left_out |= {share.rule: share for share in shares}
            self._left_count += sum(pc.sum(pc.invert(mask)).as_py() for mask in masks)
        return self._compared(shares, due, masks)

    @property
    def views(self) -> Mapping[DerivedRule, View | None]:  # type: ignore[override]
        """Of derivations with resources that were left out, as `Calls` gives it."""
        views: dict[DerivedRule, View | None] = {}
        for rule, share in self._left_out.items():
            complete, view = self._complete.get(rule, (None, None))
            views[rule] = view if complete == share else None
        return views

    @property
    def messages(self) -> Sequence[str]:  # type: ignore[override]
        """A message about what was left out, if anything was."""
        count = self._left_count
        if not count:
            return ()
        verb, they = ("was", "it stays") if count == 1 else ("were", "they stay")
        return (
            f"{how_many(count, 'resource')} {verb} left out, because what {self._function.name} reads of them changed "
            f"whenever it was called: {they} dirty, and the next run computes them",
        )

    def _tables(self, inputs: Inputs, at_once: int) -> Iterator[pa.Table]:
        read = columns(self._services.configuration, self._function, inputs.entity_type)
        return self._services.evaluator.tables(read, inputs, at_once)

    def _unknown(self, due: Inputs, masks: list[pa.Array]) -> Iterator[pa.Table]:
        """The rows that have no answer; adds to `masks`, for each table, which rows have one."""
        for table in self._tables(due, MOST_ROWS):
            masks.append(self._is_known(due.entity_type, table))
            yield table.filter(pc.invert(masks[-1]))

    def _questions(self, reading: Reading, entity_type: str, tables: Iterator[pa.Table]) -> Questions:
        rows: list[pa.Table] = []
        size = 0
        for table in tables:
            if table.num_rows:
                rows.append(table.append_column(KEY, keys_of(reading, table.column(STREAM).combine_chunks())))
                size += table.nbytes
            if size >= MOST_BYTES:
                return Questions(entity_type=entity_type, rows=pa.concat_tables(rows), are_all=False)
        whole = pa.concat_tables(rows) if rows else pa.table({STREAM: pa.array([], pa.int64())})
        return Questions(entity_type=entity_type, rows=whole, are_all=True)

    def _answered(self, call: Call, entity_type: str, rows: pa.Table) -> pa.Table:
        """The checked answer for a batch: ``the stream``, ``the digest`` and the properties."""
        configuration = self._services.configuration
        keys = rows.column(KEY).combine_chunks()
        read = columns(configuration, self._function, entity_type)
        batch = pa.table({KEY: keys} | {column.name: rows.column(column.name) for column in read})
        batch = batch.replace_schema_metadata({"entity_type": entity_type})
        properties = written_by(configuration, self._function, entity_type)
        values = checked_values(
            self._function, properties, entity_type, keys, call_function(self._function, batch, call)
        )
        for name in (STREAM, DIGEST):
            values = values.append_column(name, rows.column(name))
        return values

    def _keep(self, entity_type: str, answered: Sequence[pa.Table]) -> None:
        """Keeps new answers, in place of earlier ones for the same resources."""
        if not answered:
            return
        fresh = pa.concat_tables(answered)
        # Texts of all resources together may be longer than what a plain column of texts can hold.
        fresh = fresh.cast(pa.schema([(f.name, _wide(f.type)) for f in fresh.schema]))
        known = self._known.get(entity_type)
        if known is not None:
            replaced = pc.is_in(known.column(STREAM), fresh.column(STREAM).combine_chunks())
            fresh = pa.concat_tables([known.filter(pc.invert(replaced)), fresh])
        self._known[entity_type] = fresh.combine_chunks()

    def _places(self, entity_type: str, streams: pa.Array) -> pa.Array:
        """Where the answers for some resources are; null where there is none."""
        known = self._known.get(entity_type)
        if known is None:
            return pa.nulls(len(streams), pa.int32())
        return pc.index_in(streams, value_set=known.column(STREAM).combine_chunks())

    def _is_known(self, entity_type: str, table: pa.Table) -> pa.Array:
        """Which rows of a table the function was given with the same values."""
        places = self._places(entity_type, table.column(STREAM).combine_chunks())
        known = self._known.get(entity_type)
        if known is None:
            return pc.is_valid(places)
        digests = known.column(DIGEST).combine_chunks().take(places)
        return pc.fill_null(pc.equal(digests, table.column(DIGEST).combine_chunks().cast(digests.type)), False)

    def _compared(self, shares: Sequence[Share], due: Inputs, masks: Sequence[pa.Array]) -> Iterator[Computation]:
        derivations = [share.planned.derivation for share in shares]
        done = 0
        for mask in masks:
            part = due.resources.slice(done, len(mask)).filter(mask)
            done += len(mask)
            if part.num_rows:
                places = self._places(due.entity_type, part.column("stream").combine_chunks())
                values = self._known[due.entity_type].take(places).drop_columns([DIGEST])
                inputs = evolve(due, resources=part, links={}, reached={})
                yield self._services.evaluator.compare_results(derivations, inputs, values)


def _wide(kind: pa.DataType) -> pa.DataType:
    return pa.large_string() if pa.types.is_string(kind) else kind
