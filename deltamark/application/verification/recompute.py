"""Computing derived values from scratch beside what is stored, without writing anything."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.derivation.batch import evaluation_errors
from deltamark.application.derivation.inputs import InputReader, with_computed
from deltamark.application.derivation.user_functions.batches import function_portions
from deltamark.application.derivation.workload import rule_of
from deltamark.application.ports.evaluator import Inputs
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.application.services import Services
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.plan import Planned
from deltamark.domain.values import Value, same_value

_COMPUTED = pa.schema([("stream", pa.int64()), ("computed", pa.string())])


@frozen(kw_only=True)
class Found:
    """A difference before it is explained: of which resource, by stream."""

    planned: Planned
    stream: int
    stored: Value
    recomputed: Value


@frozen(kw_only=True)
class Recomputed:
    """What computing anew gave: how much was computed, where the store differs, and what was not looked at."""

    resources: int
    values: int
    found: tuple[Found, ...]
    unverified: tuple[Derivation, ...]


def recompute(reading: Reading, services: Services, sample: int | None, seed: int = 0) -> Recomputed:
    """Computes derived values anew and compares them with those stored.

    Of all resources, values are computed from nothing, stage by stage, out of what was synchronized alone. Of a
    sample, each is computed out of the values stored of what it reads.

    :param sample: of how many resources of each entity type; None for all.
    :param seed: which ones.
    """
    recomputing = _Whole(reading, services) if sample is None else _Sampled(reading, services, sample, seed)
    return recomputing.result()


class _Recomputing:
    """Computing anew, one stage of one entity type after the other."""

    def __init__(self, reading: Reading, services: Services) -> None:
        self._reading = reading
        self._services = services
        self._found: list[Found] = []
        self._values = 0
        self._resources: dict[str, int] = {}

    def result(self) -> Recomputed:
        plan = self._services.plan
        for planned in _stages(plan.of([DerivationKind.PROPERTY])):
            self._properties(planned)
        self._finished()
        for planned in _by_type(
            plan.of([DerivationKind.SOURCE_KEY, DerivationKind.TARGET_KEY, DerivationKind.CLASSIFICATION])
        ):
            self._rules(planned)
        return Recomputed(
            resources=sum(self._resources.values()),
            values=self._values,
            found=tuple(self._found),
            unverified=tuple(one.derivation for one in plan.derived if not is_verified(one.derivation)),
        )

    def _inputs(self, planned: Sequence[Planned]) -> Inputs:
        raise AssertionError("every way of recomputing says what it reads")

    def _properties(self, planned: Sequence[Planned]) -> None:
        raise AssertionError("every way of recomputing says what it does with properties")

    def _finished(self) -> None:
        """All properties were computed."""

    def _evaluated(self, planned: Sequence[Planned], inputs: Inputs) -> pa.Table:
        derivations = [one.derivation for one in planned]
        if derivations[0].maker is None:
            with evaluation_errors(self._reading):
                rows = self._services.evaluator.properties(derivations, inputs).rows
        else:
            portions = function_portions(self._reading, self._services, derivations, inputs)
            rows = pa.concat_tables(
                [_COMPUTED.empty_table(), *(found.rows.select(_COMPUTED.names) for found in portions)]
            )
        self._count(inputs, len(planned))
        return rows.select(_COMPUTED.names)

    def _compare(self, planned: Sequence[Planned], stored: pa.Table, new: pa.Table) -> None:
        """Compares two tables of ``stream`` and ``computed`` for the same streams in the same order."""
        differs = pc.not_equal(stored["computed"].combine_chunks(), new["computed"].combine_chunks())
        stored, new = stored.filter(differs), new.filter(differs)
        for stream, one, other in zip(
            stored["stream"].to_pylist(), stored["computed"].to_pylist(), new["computed"].to_pylist(), strict=True
        ):
            before, after = json.loads(one), json.loads(other)
            for found in planned:
                name = found.derivation.name
                if not same_value(before.get(name), after.get(name)):
                    difference = Found(
                        planned=found, stream=stream, stored=before.get(name), recomputed=after.get(name)
                    )
                    self._found.append(difference)

    def _rules(self, planned: Sequence[Planned]) -> None:
        inputs = self._inputs(planned)
        with evaluation_errors(self._reading):
            tables = self._services.evaluator.values([one.derivation for one in planned], inputs)
        self._count(inputs, len(planned))
        streams = inputs.resources["stream"].combine_chunks()
        for one, table in zip(planned, tables, strict=True):
            held = self._held(rule_of(one))
            new = {s: v for s, v in zip(table["stream"].to_pylist(), table["value"].to_pylist(), strict=True) if v}
            asked = self._asked(held, streams)
            for stream in sorted(asked.keys() | new.keys()):
                if asked.get(stream) != new.get(stream):
                    self._found.append(
                        Found(planned=one, stream=stream, stored=asked.get(stream), recomputed=new.get(stream))
                    )

    def _asked(self, held: dict[int, Value], streams: pa.Array) -> dict[int, Value]:
        return held

    def _held(self, rule: DerivedRule) -> dict[int, Value]:
        if rule.kind is DerivationKind.CLASSIFICATION:
            return dict.fromkeys(self._reading.classified(rule).to_pylist(), True)
        table = self._reading.stored_keys(rule)
        return dict(zip(table["stream"].to_pylist(), table["value"].to_pylist(), strict=True))

    def _count(self, inputs: Inputs, derivations: int) -> None:
        self._resources[inputs.entity_type] = inputs.resources.num_rows
        self._values += inputs.resources.num_rows * derivations


class _Whole(_Recomputing):
    """Everything, out of what was synchronized."""

    def __init__(self, reading: Reading, services: Services) -> None:
        super().__init__(reading, services)
        self._input_reader = _Recomputed(reading, services)

    def _inputs(self, planned: Sequence[Planned]) -> Inputs:
        reads = [read for one in planned for read in one.reads]
        return self._input_reader.all(planned[0].derivation.entity_type, reads)

    def _properties(self, planned: Sequence[Planned]) -> None:
        inputs = self._inputs(planned)
        if is_verified(planned[0].derivation):
            self._input_reader.hold(inputs.entity_type, self._evaluated(planned, inputs))
        else:
            self._input_reader.keep(inputs.entity_type, {one.derivation.name for one in planned})

    def _finished(self) -> None:
        every = self._services.plan.of([DerivationKind.PROPERTY])
        for planned in _by_type([one for one in every if is_verified(one.derivation)]):
            self._compare(planned, *self._input_reader.both(planned[0].derivation.entity_type))


class _Sampled(_Recomputing):
    """Some resources of each entity type, out of the values that are stored."""

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
            chance = random.Random(self._seed)  # noqa: S311 - which resources are looked at is no secret
            chosen = chance.sample(sorted(streams), min(self._sample, len(streams)))
            self._chosen[entity_type] = pa.array(sorted(chosen), pa.int64())
        reads = [read for one in planned for read in one.reads]
        return self._input_reader.some(entity_type, self._chosen[entity_type], reads, None)

    def _properties(self, planned: Sequence[Planned]) -> None:
        if not is_verified(planned[0].derivation):
            return
        inputs = self._inputs(planned)
        stored = inputs.resources.select(["stream", "computed"])
        emptied = _emptied(inputs, planned)
        new = with_computed(emptied.resources, self._evaluated(planned, emptied)).select(["stream", "computed"])
        self._compare(planned, stored, new)

    def _asked(self, held: dict[int, Value], streams: pa.Array) -> dict[int, Value]:
        chosen = set(streams.to_pylist())
        return {stream: value for stream, value in held.items() if stream in chosen}


class _Recomputed(InputReader):
    """Gathers resources as if nothing had been computed of them, but what this computes anew."""

    def __init__(self, reading: Reading, services: Services) -> None:
        super().__init__(reading, services.configuration)
        self._whole: dict[str, pa.Table] = {}

    def both(self, entity_type: str) -> tuple[pa.Table, pa.Table]:
        """What the store holds of the computed properties, and what was computed anew: ``stream``, ``computed``."""
        new = self._all_states(entity_type).select(["stream", "computed"])
        return self._whole[entity_type].select(["stream", "computed"]), new

    def hold(self, entity_type: str, computed: pa.Table) -> None:
        """From now on resources have these computed properties: ``stream``, ``computed``."""
        self._states[entity_type] = with_computed(self._all_states(entity_type), computed)

    def keep(self, entity_type: str, names: set[str]) -> None:
        """From now on resources have the stored values of these properties."""
        held = self._all_states(entity_type)
        place = held.schema.get_field_index("computed")
        pairs = zip(held["computed"].to_pylist(), self._whole[entity_type]["computed"].to_pylist(), strict=True)
        texts = [_dumped(_with_stored(json.loads(new), json.loads(stored), names)) for new, stored in pairs]
        self._states[entity_type] = held.set_column(place, "computed", pa.array(texts, pa.string()))

    def _all_states(self, entity_type: str) -> pa.Table:
        if entity_type not in self._states:
            whole = self._reading.states(entity_type)
            self._whole[entity_type] = whole
            nothing = pa.repeat(pa.scalar("{}", pa.string()), whole.num_rows)
            place = whole.schema.get_field_index("computed")
            self._states[entity_type] = whole.set_column(place, "computed", nothing)
        return self._states[entity_type]


def _emptied(inputs: Inputs, planned: Sequence[Planned]) -> Inputs:
    """The inputs with nothing computed yet of the properties of this stage, so that what changes is what they are."""
    names = {one.derivation.name for one in planned}
    texts = [
        text if text == "{}" else _dumped({k: v for k, v in json.loads(text).items() if k not in names})
        for text in inputs.resources["computed"].to_pylist()
    ]
    place = inputs.resources.schema.get_field_index("computed")
    return evolve(inputs, resources=inputs.resources.set_column(place, "computed", pa.array(texts, pa.string())))


def _with_stored(new: dict[str, Value], stored: dict[str, Value], names: set[str]) -> dict[str, Value]:
    return dict(sorted({**new, **{name: value for name, value in stored.items() if name in names}}.items()))


def is_verified(derivation: Derivation) -> bool:
    """Whether computing it anew must give what is stored: not where a function says that it may give something else."""
    return derivation.maker is None or derivation.maker.deterministic


def _dumped(values: dict[str, Value]) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def _stages(planned: Sequence[Planned]) -> Iterator[list[Planned]]:
    groups: dict[tuple[int, str, UserTask | None], list[Planned]] = {}
    for one in planned:
        groups.setdefault((one.stage, one.derivation.entity_type, one.derivation.maker), []).append(one)
    for _, found in sorted(groups.items(), key=lambda item: item[0][0]):
        yield found


def _by_type(planned: Sequence[Planned]) -> Iterator[list[Planned]]:
    groups: dict[str, list[Planned]] = {}
    for one in planned:
        groups.setdefault(one.derivation.entity_type, []).append(one)
    yield from groups.values()
