"""What differs between two configurations, in the words of the model.

Elements are recognized by their names, so a rename is a drop and an addition. The order of elements in the files means
nothing except where it is a rule: among tasks of a job, among expressions of equal priority, and among rules that have
no name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, TypeAlias, TypeVar

from attrs import fields, frozen, has

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    EntityType,
    Property,
    PropertyMapping,
    PropertyRef,
    Thresholds,
)
from deltamark.domain.configuration.jobs import Call, Step, Task
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.function_columns import functions_of, written_by
from deltamark.domain.messages import how_many
from deltamark.domain.values import PropertyType, shown


class ModelPart(Enum):
    """The kinds of elements that differ, in the order in which differences are listed."""

    ENTITY_TYPE = "entity type"
    PROPERTY = "property"
    ASSOCIATION = "association"
    MAPPING = "mapping"
    CONNECTOR = "connector"
    CONNECTION = "connection"
    TRANSFORMATION = "transformation"
    RESOURCE_TYPE = "resource type"
    EXPRESSION = "property expression"
    CORRELATION = "correlation rule"
    CLASSIFICATION = "classification rule"
    FUNCTION = "function"
    JOB = "job"
    TASK = "task"
    POLICY = "policy"
    AGENT = "agent"


class DifferenceKind(Enum):
    """How an element differs."""

    ADDED = "added"
    DROPPED = "dropped"
    CHANGED = "changed"
    DESCRIBED = "described otherwise"
    """Only its display names differ, which no value, link or rule depends on."""


@frozen(kw_only=True)
class ModelDifference:
    """One difference between two configurations.

    :param path: the names that lead to the element: `("Person", "Phone")` for a property of an entity type.
    :param aspect: what of the element changed: `type`, `source` or `key`; the end of an association, such as
        `Person:Teams`; otherwise the name of an attribute. Empty where the element was added or dropped.
    :param before: what it was, as a text; empty where the element was added.
    :param after: what it is, as a text; empty where the element was dropped.
    """

    part: ModelPart
    path: tuple[str, ...]
    kind: DifferenceKind
    aspect: str = ""
    before: str = ""
    after: str = ""

    @property
    def subject(self) -> str:
        """The element, such as `Property Phone of Person`."""
        name = " of ".join(reversed(self.path)) if self.part is ModelPart.PROPERTY else self.path[-1]
        if self.part is ModelPart.MAPPING:
            return f"Mapping of {name}"
        of_job = f" of job {self.path[0]}" if self.part is ModelPart.TASK and len(self.path) > 1 else ""
        return f"{self.part.value.capitalize()} {name}{of_job}"

    @property
    def text(self) -> str:
        """The difference as one line, such as `Property Phone of Person: String → Int64`."""
        if self.kind in (DifferenceKind.ADDED, DifferenceKind.DROPPED):
            detail = self.before or self.after
            return f"{self.subject}: {self.kind.value}" + (f" ({detail})" if detail else "")
        aspect = "" if self.aspect in ("type", "source") else f"{self.aspect} "
        return f"{self.subject}: {aspect}{self.before} → {self.after}"

    def __str__(self) -> str:
        return self.text

    def concerns(self, subjects: Collection[str]) -> bool:
        """Whether it gives another meaning to changes of these entity types and associations that were found before.

        What was only added does not, nor do other limits.
        """
        if self.path[0] not in subjects or self.kind not in (DifferenceKind.CHANGED, DifferenceKind.DROPPED):
            return False
        if self.part is ModelPart.MAPPING:
            return self.aspect not in _LIMITS
        return self.part in (ModelPart.ENTITY_TYPE, ModelPart.PROPERTY, ModelPart.ASSOCIATION)


def differences(before: Configuration | None, after: Configuration) -> tuple[ModelDifference, ...]:
    """Returns every difference between two configurations, in an order that no file order changes.

    A part of an element that was added or dropped is no difference of its own.

    :param before: None where no configuration is known: then everything was added.
    """
    old, new = _Model(before or Configuration()), _Model(after)
    found = [
        *_of_entity_types(old, new),
        *_of_associations(old, new),
        *_of_mappings(old, new),
        *_of_rules(old, new),
        *_of_functions(old, new),
        *_of_jobs(old, new),
    ]
    for part, name in (
        (ModelPart.CONNECTOR, "connectors"),
        (ModelPart.CONNECTION, "connections"),
        (ModelPart.TRANSFORMATION, "transformations"),
        (ModelPart.RESOURCE_TYPE, "resource_types"),
        (ModelPart.POLICY, "policies"),
        (ModelPart.AGENT, "agents"),
    ):
        found += _of_elements(part, getattr(old.configuration, name), getattr(new.configuration, name))
    parts = list(ModelPart)
    return tuple(sorted(found, key=lambda item: (parts.index(item.part), item.path, item.kind.value, item.aspect)))


Item: TypeAlias = Any
Aspects: TypeAlias = Mapping[str, Any]
"""What differs about an element: name -> value."""

_Detail = Callable[[Item], str]
_T = TypeVar("_T")

_UNCOMPARED = frozenset({"identifier", "location", "name_locations", "display_names"})
"""Attributes without meaning, and those that are compared on their own."""


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


_LIMITS = frozenset(_camel(attribute.name) for attribute in fields(Thresholds))


class _Model:
    """A configuration by names."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.types = _by_name(configuration.entity_types)
        self.associations = _by_name(configuration.associations)
        self.type_mappings = _by_name(configuration.entity_type_mappings)
        self.link_mappings = _by_name(configuration.association_mappings)
        self.mapped = {
            (mapping.identifier, item.identifier): item
            for mapping in configuration.entity_type_mappings
            for item in mapping.properties
        }
        self.computed = {
            **{
                (name, item.identifier): f"function {function.name}"
                for function in functions_of(configuration)
                for name in function.entity_types
                for item in written_by(configuration, function, name)
            },
            **{(rule.entity_type, rule.property): rule.identifier for rule in configuration.property_expressions},
        }
        self.navigations = {
            (end.entity_type, end.property): association.identifier
            for association in configuration.associations
            for end in (association.property1, association.property2)
        }

    def key(self, entity_type: str) -> str | None:
        """The properties that the keys of an entity type are read from, None where it has no mapping."""
        mapping = self.type_mappings.get(entity_type)
        return ", ".join(item.identifier for item in mapping.properties if item.is_primary_key) if mapping else None

    def source(self, entity_type: str, name: str) -> str:
        """What gives a property its values."""
        if (entity_type, name) in self.mapped:
            return "mapped"
        if (entity_type, name) in self.computed:
            return f"computed by {self.computed[entity_type, name]}"
        if (entity_type, name) in self.navigations:
            return f"navigation of {self.navigations[entity_type, name]}"
        return "not filled"


def _by_name(items: Iterable[_T]) -> dict[str, _T]:
    """Elements by their identifiers; a repeated one, which is a fault, has a number."""
    named: dict[str, _T] = {}
    for item in items:
        name, number = str(getattr(item, "identifier", "")), 1
        while (label := name if number == 1 else f"{name} ({number})") in named:
            number += 1
        named[label] = item
    return named


def _of_entity_types(old: _Model, new: _Model) -> Iterator[ModelDifference]:
    yield from _compared(
        ModelPart.ENTITY_TYPE,
        old.types,
        new.types,
        aspects=partial(_aspects, besides=frozenset({"properties"})),
        detail=_type_detail,
    )
    for name in old.types.keys() & new.types.keys():
        before, after = old.key(name), new.key(name)
        if before is not None and after is not None and before != after:
            yield _changed(ModelPart.ENTITY_TYPE, (name,), "key", before, after)
        yield from _of_properties(name, old, new)


def _type_detail(item: EntityType) -> str:
    return "1 property" if len(item.properties) == 1 else f"{len(item.properties):,} properties"


def _of_properties(entity_type: str, old: _Model, new: _Model) -> Iterator[ModelDifference]:
    before = _by_name(old.types[entity_type].properties)
    after = _by_name(new.types[entity_type].properties)
    yield from _compared(
        ModelPart.PROPERTY,
        before,
        after,
        (entity_type,),
        aspects=_of_property,
        detail=lambda item: item.type.label,
        added=partial(_renamed, entity_type, before, after, old, new),
    )
    remapped = entity_type in old.type_mappings and entity_type in new.type_mappings
    for name in _mapped_or_declared(entity_type, before, old) & _mapped_or_declared(entity_type, after, new):
        was, now = old.source(entity_type, name), new.source(entity_type, name)
        # Where the whole mapping was added or dropped, it says so itself.
        if was != now and (remapped or {was, now} != {"mapped", "not filled"}):
            yield _changed(ModelPart.PROPERTY, (entity_type, name), "source", was, now)
        was_mapped, is_mapped = old.mapped.get((entity_type, name)), new.mapped.get((entity_type, name))
        if was_mapped and is_mapped:
            yield from _of_aspects(
                ModelPart.PROPERTY, (entity_type, name), _without_key(was_mapped), _without_key(is_mapped)
            )


def _mapped_or_declared(entity_type: str, declared: Iterable[str], model: _Model) -> set[str]:
    mapping = model.type_mappings.get(entity_type)
    return {*declared, *(item.identifier for item in (mapping.properties if mapping else ()))}


def _without_key(mapping: PropertyMapping) -> Aspects:
    return {name: value for name, value in _aspects(mapping).items() if name != "IsPrimaryKey"}


def _of_property(item: Property) -> Aspects:
    return {"type": item.type, "IsKey": item.is_key}


def _renamed(
    entity_type: str, before: Mapping[str, Property], after: Mapping[str, Property], old: _Model, new: _Model, name: str
) -> str:
    """The note on a property that looks like a dropped one under another name."""
    mapped = new.mapped.get((entity_type, name))
    for other in sorted(before.keys() - after.keys()):
        was = old.mapped.get((entity_type, other))
        if mapped and was and mapped.connection_column == was.connection_column:
            return f"the column of the dropped {other}; a rename drops and adds"
    return ""


def _of_associations(old: _Model, new: _Model) -> Iterator[ModelDifference]:
    yield from _compared(
        ModelPart.ASSOCIATION,
        old.associations,
        new.associations,
        aspects=lambda item: {"Property1": item.property1, "Property2": item.property2},
        detail=lambda item: f"{item.property1} – {item.property2}",
    )
    for name in old.associations.keys() & new.associations.keys():
        was, now = old.associations[name], new.associations[name]
        for end, before, after in (
            (now.property1, was.is_property1_collection, now.is_property1_collection),
            (now.property2, was.is_property2_collection, now.is_property2_collection),
        ):
            if before != after:
                yield _changed(ModelPart.ASSOCIATION, (name,), str(end), _several(before), _several(after))


def _several(is_collection: bool) -> str:
    """How many links a resource may have at an end."""
    return "several" if is_collection else "one"


def _of_mappings(old: _Model, new: _Model) -> Iterator[ModelDifference]:
    for before, after in ((old.type_mappings, new.type_mappings), (old.link_mappings, new.link_mappings)):
        yield from _compared(
            ModelPart.MAPPING,
            before,
            after,
            aspects=partial(_aspects, besides=frozenset({"properties"})),
            detail=lambda item: f"connector {item.connector}, table {item.connection_table}",
        )
    for name in old.type_mappings.keys() & new.type_mappings.keys():
        declared = {*_names(old.types.get(name)), *_names(new.types.get(name))}
        was = {item.identifier: item for item in old.type_mappings[name].properties if item.identifier not in declared}
        now = {item.identifier: item for item in new.type_mappings[name].properties if item.identifier not in declared}
        yield from _compared(
            ModelPart.PROPERTY, was, now, (name,), detail=lambda item: f"column {item.connection_column}"
        )


def _names(entity_type: EntityType | None) -> Iterator[str]:
    yield from (item.identifier for item in (entity_type.properties if entity_type else ()))


def _of_rules(old: _Model, new: _Model) -> Iterator[ModelDifference]:
    before, after = old.configuration, new.configuration
    expressions = _by_name(before.property_expressions), _by_name(after.property_expressions)
    yield from _compared(ModelPart.EXPRESSION, *expressions, detail=lambda item: f"{item.entity_type}:{item.property}")
    yield from _of_order(ModelPart.EXPRESSION, *expressions, group=lambda item: (item.entity_type, item.priority))
    for part, name in (
        (ModelPart.CORRELATION, "correlation_rules"),
        (ModelPart.CLASSIFICATION, "classification_rules"),
    ):
        rules = dict(rule_names(getattr(before, name))), dict(rule_names(getattr(after, name)))
        yield from _compared(part, *rules, detail=lambda item: f"resource type {item.resource_type}")
        if part is ModelPart.CLASSIFICATION:
            yield from _of_order(part, *rules, group=lambda item: (item.resource_type_identification_confidence_level,))


def _of_functions(old: _Model, new: _Model) -> Iterator[ModelDifference]:
    """The differences of functions that both configurations hold; of one that is only named, nothing is known."""
    before, after = _functions(old.configuration), _functions(new.configuration)
    for name in before.keys() & after.keys():
        yield from _of_aspects(ModelPart.FUNCTION, (name,), before[name], after[name])


def _functions(configuration: Configuration) -> dict[str, Aspects]:
    return {function.name: _of_function(function) for function in functions_of(configuration)}


def _of_function(function: UserTask) -> Aspects:
    hidden = ("function", "name")
    return {_camel(a.name): getattr(function, a.name) for a in fields(UserTask) if a.name not in hidden}


def _of_jobs(old: _Model, new: _Model) -> Iterator[ModelDifference]:
    before, after = old.configuration, new.configuration
    yield from _compared(ModelPart.TASK, _calls(before.tasks), _calls(after.tasks), detail=_task_detail)
    jobs = _by_name(before.jobs), _by_name(after.jobs)
    yield from _compared(
        ModelPart.JOB,
        *jobs,
        aspects=partial(_aspects, besides=frozenset({"tasks"})),
        detail=lambda item: how_many(len(item.tasks), "task"),
    )
    for name in jobs[0].keys() & jobs[1].keys():
        calls = _calls(jobs[0][name].tasks), _calls(jobs[1][name].tasks)
        yield from _compared(ModelPart.TASK, *calls, (name,), detail=_task_detail)
        yield from _of_order(ModelPart.JOB, *calls, path=(name,), group=lambda _: ())


def _calls(calls: Iterable[Call]) -> dict[str, Call]:
    """The calls by name; one that is of another kind now is another one."""
    named: dict[str, Call] = {}
    for call in calls:
        name = call.task if isinstance(call, Step) else call.identifier
        label = f"{name} ({_call_kind(call)})"
        number = 1
        while label in named:
            number += 1
            label = f"{name} ({_call_kind(call)}, {number})"
        named[label] = call
    return named


def _call_kind(call: Call) -> str:
    return "Step" if isinstance(call, Step) else str(call.kind) + ("" if isinstance(call, Task) else " override")


def _task_detail(call: Call) -> str:
    return (call.works_on or "") if isinstance(call, Task) else ""


def _of_elements(part: ModelPart, before: Iterable[Item], after: Iterable[Item]) -> Iterator[ModelDifference]:
    yield from _compared(part, _by_name(before), _by_name(after))


def _compared(
    part: ModelPart,
    before: Mapping[str, Item],
    after: Mapping[str, Item],
    within: tuple[str, ...] = (),
    *,
    aspects: Callable[[Any], Aspects] | None = None,
    detail: _Detail = lambda item: "",
    added: Callable[[str], str] = lambda name: "",
) -> Iterator[ModelDifference]:
    """The elements added and dropped, and what changed about the others."""
    aspects = aspects or _aspects
    for name in after.keys() - before.keys():
        text = "; ".join(filter(None, (detail(after[name]), added(name))))
        yield ModelDifference(part=part, path=(*within, name), kind=DifferenceKind.ADDED, after=text)
    for name in before.keys() - after.keys():
        yield ModelDifference(part=part, path=(*within, name), kind=DifferenceKind.DROPPED, before=detail(before[name]))
    for name in before.keys() & after.keys():
        path = (*within, name)
        yield from _of_aspects(part, path, aspects(before[name]), aspects(after[name]))
        yield from _of_names(part, path, before[name], after[name])


def _of_aspects(
    part: ModelPart, path: tuple[str, ...], before: Aspects | Item, after: Aspects | Item
) -> Iterator[ModelDifference]:
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        if was != now or type(was) is not type(now):
            yield _changed(part, path, name, *_texts(was, now))


def _of_names(part: ModelPart, path: tuple[str, ...], before: Item, after: Item) -> Iterator[ModelDifference]:
    was, now = getattr(before, "display_names", {}), getattr(after, "display_names", {})
    for language in sorted(was.keys() | now.keys()):
        if was.get(language) != now.get(language):
            texts = _texts(was.get(language), now.get(language))
            yield ModelDifference(
                part=part,
                path=path,
                kind=DifferenceKind.DESCRIBED,
                aspect=f"display name {language}",
                before=texts[0],
                after=texts[1],
            )


def _of_order(
    part: ModelPart,
    before: Mapping[str, Item],
    after: Mapping[str, Item],
    *,
    group: Callable[[Any], tuple[Any, ...]],
    path: tuple[str, ...] = (),
) -> Iterator[ModelDifference]:
    """The order of elements of one group, where it is a rule, among those in both configurations."""
    both = [name for name in before if name in after and group(before[name]) == group(after[name])]
    for key in dict.fromkeys(group(before[name]) for name in both):
        was = [name for name in both if group(before[name]) == key]
        now = [name for name in after if name in was]
        if was != now:
            yield _changed(part, path or (was[0],), "order", ", ".join(was), ", ".join(now))


def _changed(part: ModelPart, path: tuple[str, ...], aspect: str, before: str, after: str) -> ModelDifference:
    return ModelDifference(part=part, path=path, kind=DifferenceKind.CHANGED, aspect=aspect, before=before, after=after)


def _aspects(item: Item, besides: frozenset[str] = frozenset()) -> Aspects:
    """The attributes of an element that mean something, those of nested ones too, under the names of its files."""
    aspects: dict[str, Any] = {}
    for attribute in fields(type(item)):
        value = getattr(item, attribute.name)
        if attribute.name in _UNCOMPARED or attribute.name in besides:
            continue
        if isinstance(value, Mapping):
            aspects |= {_camel(str(name)): _plain(member) for name, member in value.items()}
        elif has(type(value)) and not isinstance(value, UserTask | PropertyRef):
            aspects |= _aspects(value)
        else:
            aspects[_camel(attribute.name)] = _plain(value)
    return aspects


def _plain(value: Any) -> Any:
    """A value to compare; of a function only its name, because the rest is a difference of the function."""
    return value.name if isinstance(value, UserTask) else value


def _texts(before: Any, after: Any) -> tuple[str, str]:
    """Two values as texts on one line, which differ where the values do."""
    was, now = _text(before), _text(after)
    if was == now:
        return f"{was} ({type(before).__name__})", f"{now}, otherwise"
    return was, now


def _text(value: Any) -> str:
    if value is None or value == "" or value == ():
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, PropertyType):
        return value.label
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else _camel(value.name.lower())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, str):
        return value if value.isidentifier() else shown(value)
    return str(value)
