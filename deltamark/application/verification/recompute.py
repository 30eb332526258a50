"""Computes derived values from scratch and compares them with the stored ones."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.derivation.inputs import InputReader, with_computed
from deltamark.application.derivation.user_functions.batches import function_portions
from deltamark.application.digests import rule_of
from deltamark.application.ports.evaluator import Inputs
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.application.services import Services
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.plan import Planned
from deltamark.domain.values import Value, same_value

_COMPUTED = pa.schema([("stream", pa.int64()), ("computed", pa.string())])


@frozen(kw_only=True)
class Mismatch:
    """A difference before it is explained, with the stream of its resource."""

    planned: Planned
    stream: int
    stored: Value
    recomputed: Value


@frozen(kw_only=True)
class Recomputed:
    """The result of computing anew: the counts, the mismatches, and the derivations left out."""

    resources: int
    values: int
    mismatches: tuple[Mismatch, ...]
    unverified: tuple[Derivation, ...]


def recompute(reading: Reading, services: Services, sample: int | None, seed: int = 0) -> Recomputed:
    """Computes derived values anew and compares them with the stored ones.

    For all resources, values are computed stage by stage from synchronized properties alone. For a sample, each value
    is computed from the stored values that it reads.

    :param sample: the number of resources of each entity type; None for all.
    :param seed: chooses the sample.
    """
    recomputation = _Whole(reading, services) if sample is None else _Sample(reading, services, sample, seed)
    return recomputation.result()


class _Recomputation(ABC):
    """Computes anew, one stage of one entity type after the other."""

    def __init__(self, reading: Reading, services: Services) -> None:
        self._reading = reading
        self._services = services
        self._mismatches: list[Mismatch] = []
        self._values = 0
        self._resources: dict[str, int] = {}

    def result(self) -> Recomputed:
        plan = self._services.plan
        for planned in _stages(plan.of([DerivationKind.PROPERTY])):
            self._compute_properties(planned)
        self._finish_properties()
        for planned in _by_type(
            plan.of([DerivationKind.SOURCE_KEY, DerivationKind.TARGET_KEY, DerivationKind.CLASSIFICATION])
        ):
            self._compute_rules(planned)
        return Recomputed(
            resources=sum(self._resources.values()),
            values=self._values,
            mismatches=tuple(self._mismatches),
            unverified=tuple(item.derivation for item in plan.derived if not is_verified(item.derivation)),
        )

    @abstractmethod
    def _inputs(self, planned: Sequence[Planned]) -> Inputs:
        """Reads the inputs of derivations of one entity type."""

    @abstractmethod
    def _compute_properties(self, planned: Sequence[Planned]) -> None:
        """Computes properties of one stage and one entity type."""

    def _finish_properties(self) -> None:  # noqa: B027 - a sample has nothing to finish
        """Runs once all properties are computed."""

    def _evaluated(self, planned: Sequence[Planned], inputs: Inputs) -> pa.Table:
        derivations = [item.derivation for item in planned]
        if derivations[0].maker is None:
            rows = self._services.evaluator.properties(derivations, inputs).rows
        else:
            portions = function_portions(self._reading, self._services, derivations, inputs)
            rows = pa.concat_tables(
                [_COMPUTED.empty_table(), *(portion.rows.select(_COMPUTED.names) for portion in portions)]
            )
        self._count(inputs, len(planned))
        return rows.select(_COMPUTED.names)

    def _compare(self, planned: Sequence[Planned], stored: pa.Table, new: pa.Table) -> None:
        """Compares two tables of ``stream`` and ``computed`` of the same streams in the same order."""
        differs = pc.not_equal(stored["computed"].combine_chunks(), new["computed"].combine_chunks())
        stored, new = stored.filter(differs), new.filter(differs)
        for stream, stored_text, new_text in zip(
            stored["stream"].to_pylist(), stored["computed"].to_pylist(), new["computed"].to_pylist(), strict=True
        ):
            before, after = json.loads(stored_text), json.loads(new_text)
            for item in planned:
                name = item.derivation.name
                if not same_value(before.get(name), after.get(name)):
                    self._mismatches.append(
                        Mismatch(planned=item, stream=stream, stored=before.get(name), recomputed=after.get(name))
                    )

    def _compute_rules(self, planned: Sequence[Planned]) -> None:
        inputs = self._inputs(planned)
        tables = self._services.evaluator.values([item.derivation for item in planned], inputs).tables
        self._count(inputs, len(planned))
        streams = inputs.resources["stream"].combine_chunks()
        for item, table in zip(planned, tables, strict=True):
            stored = self._of_sample(self._stored(rule_of(item)), streams)
            new = {s: v for s, v in zip(table["stream"].to_pylist(), table["value"].to_pylist(), strict=True) if v}
            for stream in sorted(stored.keys() | new.keys()):
                if stored.get(stream) != new.get(stream):
                    self._mismatches.append(
                        Mismatch(planned=item, stream=stream, stored=stored.get(stream), recomputed=new.get(stream))
                    )

    def _of_sample(self, stored: dict[int, Value], streams: pa.Array) -> dict[int, Value]:
        """The stored values of the resources that are verified."""
        return stored

    def _stored(self, rule: DerivedRule) -> dict[int, Value]:
        if rule.kind is DerivationKind.CLASSIFICATION:
            return dict.fromkeys(self._reading.classified(rule).to_pylist(), True)
        table = self._reading.stored_keys(rule)
        return dict(zip(table["stream"].to_pylist(), table["value"].to_pylist(), strict=True))

    def _count(self, inputs: Inputs, derivations: int) -> None:
        self._resources[inputs.entity_type] = inputs.resources.num_rows
        self._values += inputs.resources.num_rows * derivations


class _Whole(_Recomputation):
    """All resources, from synchronized properties alone."""

    def __init__(self, reading: Reading, services: Services) -> None:
        super().__init__(reading, services)
        self._input_reader = _RecomputedInputReader(reading, services)

    def _inputs(self, planned: Sequence[Planned]) -> Inputs:
        reads = [read for item in planned for read in item.reads]
        return self._input_reader.all(planned[0].derivation.entity_type, reads)

    def _compute_properties(self, planned: Sequence[Planned]) -> None:
        inputs = self._inputs(planned)
        if is_verified(planned[0].derivation):
            self._input_reader.set_computed(inputs.entity_type, self._evaluated(planned, inputs))
        else:
            self._input_reader.keep_stored(inputs.entity_type, {item.derivation.name for item in planned})

    def _finish_properties(self) -> None:
        properties = self._services.plan.of([DerivationKind.PROPERTY])
        for planned in _by_type([item for item in properties if is_verified(item.derivation)]):
            self._compare(planned, *self._input_reader.stored_and_new(planned[0].derivation.entity_type))


class _Sample(_Recomputation):
    """Some resources of each entity type, from the stored values that their derivations read."""

    def __init__(self, reading: Reading, services: Services, sample: int, seed: int) -> None:
        super().__init__(reading, services)
        self._input_reader = InputReader(reading, services.configuration)
        self._sample = sample
        self._seed = seed
        self._chosen: dict[str, pa.Array] = {}

    def _inputs(self, planned: Sequence[Planned]) -> Inputs:
        entity_type = planned[0].derivation.entity_type
        if entity_type not in self._chosen:
            streams = self._reading.states(entity_type)["stream"].to_pylist()
            generator = random.Random(self._seed)  # noqa: S311 - which resources are verified is no secret
            chosen = generator.sample(sorted(streams), min(self._sample, len(streams)))
            self._chosen[entity_type] = pa.array(sorted(chosen), pa.int64())
        reads = [read for item in planned for read in item.reads]
        return self._input_reader.some(entity_type, self._chosen[entity_type], reads, None)

    def _compute_properties(self, planned: Sequence[Planned]) -> None:
        if not is_verified(planned[0].derivation):
            return
        inputs = self._inputs(planned)
        stored = inputs.resources.select(["stream", "computed"])
        cleared = _cleared(inputs, planned)
        new = with_computed(cleared.resources, self._evaluated(planned, cleared)).select(["stream", "computed"])
        self._compare(planned, stored, new)

    def _of_sample(self, stored: dict[int, Value], streams: pa.Array) -> dict[int, Value]:
        chosen = set(streams.to_pylist())
        return {stream: value for stream, value in stored.items() if stream in chosen}


class _RecomputedInputReader(InputReader):
    """Reads resources with the computed properties that are set here, not the stored ones."""

    def __init__(self, reading: Reading, services: Services) -> None:
        super().__init__(reading, services.configuration)
        self._stored: dict[str, pa.Table] = {}

    def stored_and_new(self, entity_type: str) -> tuple[pa.Table, pa.Table]:
        """The stored computed properties and the new ones, each ``stream`` and ``computed``."""
        new = self._all_states(entity_type).select(["stream", "computed"])
        return self._stored[entity_type].select(["stream", "computed"]), new

    def set_computed(self, entity_type: str, computed: pa.Table) -> None:
        """Gives resources these computed properties: ``stream``, ``computed``."""
        self._states[entity_type] = with_computed(self._all_states(entity_type), computed)

    def keep_stored(self, entity_type: str, names: set[str]) -> None:
        """Gives resources the stored values of these properties."""
        states = self._all_states(entity_type)
        column = states.schema.get_field_index("computed")
        pairs = zip(states["computed"].to_pylist(), self._stored[entity_type]["computed"].to_pylist(), strict=True)
        texts = [_json(_with_stored(json.loads(new), json.loads(stored), names)) for new, stored in pairs]
        self._states[entity_type] = states.set_column(column, "computed", pa.array(texts, pa.string()))

    def _all_states(self, entity_type: str) -> pa.Table:
        if entity_type not in self._states:
            stored = self._reading.states(entity_type)
            self._stored[entity_type] = stored
            nothing = pa.repeat(pa.scalar("{}", pa.string()), stored.num_rows)
            column = stored.schema.get_field_index("computed")
            self._states[entity_type] = stored.set_column(column, "computed", nothing)
        return self._states[entity_type]


def _cleared(inputs: Inputs, planned: Sequence[Planned]) -> Inputs:
    """The inputs without values of the properties of this stage.

    The evaluator then returns every value as changed.
    """
    names = {item.derivation.name for item in planned}
    texts = [
        text if text == "{}" else _json({k: v for k, v in json.loads(text).items() if k not in names})
        for text in inputs.resources["computed"].to_pylist()
    ]
    column = inputs.resources.schema.get_field_index("computed")
    return evolve(inputs, resources=inputs.resources.set_column(column, "computed", pa.array(texts, pa.string())))


def _with_stored(new: dict[str, Value], stored: dict[str, Value], names: set[str]) -> dict[str, Value]:
    return dict(sorted({**new, **{name: value for name, value in stored.items() if name in names}}.items()))


def is_verified(derivation: Derivation) -> bool:
    """Whether computing it anew must give the stored values.

    Not if its function is not deterministic.
    """
    return derivation.maker is None or derivation.maker.deterministic


def _json(values: dict[str, Value]) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def _stages(planned: Sequence[Planned]) -> Iterator[list[Planned]]:
    groups: dict[tuple[int, str, UserTask | None], list[Planned]] = {}
    for item in planned:
        groups.setdefault((item.stage, item.derivation.entity_type, item.derivation.maker), []).append(item)
    for _, group in sorted(groups.items(), key=lambda entry: entry[0][0]):
        yield group


def _by_type(planned: Sequence[Planned]) -> Iterator[list[Planned]]:
    groups: dict[str, list[Planned]] = {}
    for item in planned:
        groups.setdefault(item.derivation.entity_type, []).append(item)
    yield from groups.values()
