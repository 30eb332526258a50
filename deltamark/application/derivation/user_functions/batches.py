"""Computes properties by a user's function in one view of a store, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.derivation.user_functions.call import call_function
from deltamark.application.derivation.user_functions.result_check import checked_values
from deltamark.application.derivation.workload import Share, View
from deltamark.application.ports.evaluator import STREAM, Computation, Inputs
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.application.services import Services
from deltamark.domain.configuration.user_function import KEY, UserTask
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.function_columns import FunctionColumn, columns, written_by


class Calls:
    """The calls of the function of a task while its transaction is open.

    `Answers` are calls that were made before.
    """

    views: Mapping[DerivedRule, View | None] = {}
    """Of derivations with resources that were left out: the view in which their task last had all values.

    None where that is not known.
    """

    messages: Sequence[str] = ()
    """Messages about the calls."""

    def __init__(self, services: Services, batch_size: int) -> None:
        """Begins without any call.

        :param batch_size: the most resources in one call; 0 as the function declares.
        """
        self._services = services
        self._batch_size = batch_size

    def begin(self, view: View) -> None:
        """Begins a transaction that writes the values; `view` is what it sees before it writes."""

    def portions(self, reading: Reading, shares: Sequence[Share], inputs: Inputs) -> Iterator[Computation]:
        """The values of some shares for the due resources, compared with the stored ones, batch by batch.

        :raises UserTaskFailed: if the function fails, or returns what cannot be written.
        """
        derivations = [share.planned.derivation for share in shares]
        return function_portions(reading, self._services, derivations, inputs, self._batch_size)


def function_portions(
    reading: Reading, services: Services, derivations: Sequence[Derivation], inputs: Inputs, batch_size: int = 0
) -> Iterator[Computation]:
    """The results of a function for the due resources, batch by batch in stream order.

    :param derivations: all of one function and one entity type.
    :param batch_size: the most resources in a batch; 0 as the function declares.
    :raises UserTaskFailed: if the function fails, or returns what cannot be written.
    :raises StoreError: if the stored state of a resource cannot be read.
    """
    function = derivations[0].maker
    assert function is not None, "the derivations are those of a function"
    due = evolve(inputs, resources=due_resources(inputs), due=None)
    read = columns(services.configuration, function, inputs.entity_type)
    done = 0
    for table in services.evaluator.tables(read, due, batch_size or function.batch_size):
        streams = table.column(STREAM).combine_chunks()
        values = _values(reading, services, function, inputs.entity_type, read, table)
        part = due.resources.slice(done, table.num_rows)
        done += table.num_rows
        yield services.evaluator.compare_results(
            derivations, evolve(due, resources=part, links={}, reached={}), values.append_column(STREAM, streams)
        )


def due_resources(inputs: Inputs) -> pa.Table:
    """The live resources of which anything is due, in the order of their streams."""
    resources = inputs.resources.filter(pc.is_valid(inputs.resources.column("state")))
    if inputs.due is not None:
        resources = resources.filter(pc.is_in(resources.column("stream"), inputs.due.column("stream").combine_chunks()))
    return resources.sort_by("stream")


def _values(
    reading: Reading,
    services: Services,
    function: UserTask,
    entity_type: str,
    read: Sequence[FunctionColumn],
    table: pa.Table,
) -> pa.Table:
    """The checked values of a function for a batch."""
    keys = keys_of(reading, table.column(STREAM).combine_chunks())
    batch = pa.table({KEY: keys} | {column.name: table.column(column.name) for column in read})
    batch = batch.replace_schema_metadata({"entity_type": entity_type})
    properties = written_by(services.configuration, function, entity_type)
    return checked_values(function, properties, entity_type, keys, call_function(function, batch))


def keys_of(reading: Reading, streams: pa.Array) -> pa.Array:
    """The keys of resources, in the order of their streams as given."""
    names = reading.names(streams)
    positions = pc.index_in(streams, value_set=names.column("stream").combine_chunks())
    return names.column("key").combine_chunks().take(positions)
