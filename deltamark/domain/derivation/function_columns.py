"""Functions that users write for tasks: what each reads, what it writes, and how it is told from others."""

from __future__ import annotations

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityType, Property
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.user_function import KEY, UserTask
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, NoSuchPath, Read, route
from deltamark.domain.suggestions import hint
from deltamark.domain.values import PropertyType, shown


@frozen(kw_only=True)
class Column:
    """A column of the batches of a function: what it holds, of which type, one value or a list of them."""

    read: Read
    declared: Property
    is_collection: bool

    @property
    def name(self) -> str:
        """The name of the column: the path as users write it."""
        return str(self.read)


def columns(configuration: Configuration, function: UserTask, entity_type: str) -> tuple[Column, ...]:
    """What a function reads of an entity type, in the order of its declaration.

    Where it declares nothing it reads every property of the resource itself, but those that it writes.

    :raises ExpressionRefused: if it names what does not exist; the message is a clause that follows the function.
    """
    if function.reads is not None:
        return tuple(_column(configuration, entity_type, path) for path in function.reads)
    written = {KEY, *(one.identifier for one in written_by(configuration, function, entity_type))}
    return tuple(
        Column(read=Read((), one.identifier), declared=one, is_collection=False)
        for one in _valued(configuration, configuration.entity_type(entity_type))
        if one.identifier not in written
    )


def written_by(configuration: Configuration, function: UserTask, entity_type: str) -> tuple[Property, ...]:
    """The properties of an entity type that a function computes, as far as they are declared.

    Where it does not say which, all that could be computed and that nothing else is said to compute, nor to fill.
    """
    found = configuration.entity_type(entity_type)
    if found is None:
        return ()
    if function.writes is not None:
        return tuple(one for one in found.properties if one.identifier in function.writes)
    mapping = configuration.mapping_of(entity_type)
    taken = {KEY, *(one.identifier for one in (mapping.properties if mapping else ()))}
    taken |= {one.property for one in configuration.property_expressions if one.entity_type == entity_type}
    for other in functions_of(configuration):
        if other is not function and entity_type in other.entity_types:
            taken |= {*(other.writes or ())}
    return tuple(
        one
        for one in configuration.valued_properties(found)
        if not one.is_key and one.type is not PropertyType.FOREIGN_KEY and one.identifier not in taken
    )


def functions_of(configuration: Configuration) -> tuple[UserTask, ...]:
    """The functions that tasks hold, not only name; each once."""
    found = (task.maker for task in configuration.all_tasks() if isinstance(task, ComputingTask))
    return tuple(dict.fromkeys(one for one in found if isinstance(one, UserTask)))


def reads_of(configuration: Configuration, function: UserTask, entity_type: str) -> tuple[Read, ...]:
    """What a function reads of an entity type, sorted; raises as `columns` does."""
    return tuple(sorted(column.read for column in columns(configuration, function, entity_type)))


def _column(configuration: Configuration, entity_type: str, text: str) -> Column:
    *path, name = text.split(".")
    try:
        way = route(configuration, entity_type, path)
    except NoSuchPath as e:
        raise ExpressionRefused(f"reads {shown(text)}, which {e}") from e
    at = configuration.entity_type(way.leads_to)
    found = next((one for one in _valued(configuration, at) if one.identifier == name), None)
    if found is None:
        raise ExpressionRefused(f"reads {shown(text)}, {_instead(configuration, way.leads_to, name, text)}")
    return Column(read=Read(tuple(path), name), declared=found, is_collection=way.is_collection)


def _valued(configuration: Configuration, entity_type: EntityType | None) -> tuple[Property, ...]:
    return configuration.valued_properties(entity_type) if entity_type else ()


def _instead(configuration: Configuration, at: str, name: str, text: str) -> str:
    known = [one.identifier for one in _valued(configuration, configuration.entity_type(at))]
    ends = [end for one in configuration.associations_at(at) for end in (one.property1, one.property2)]
    navigations = [end.property for end in ends if end.entity_type == at]
    if name not in navigations:
        return f"which is no property of {at}{hint(name, [*known, *navigations])}"
    further = route(configuration, at, (name,)).leads_to
    examples = [one.identifier for one in _valued(configuration, configuration.entity_type(further))]
    beyond = f": {', '.join(f'{text}.{example}' for example in examples[:8])}" if examples else ""
    return f"which leads to {further} and is no value; go on to one of its properties{beyond}"
