"""The columns of the batches of users' functions: what each function reads and writes."""

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
class FunctionColumn:
    """A column of the batches of a function: what it holds, and its type.

    Its cells may be lists.
    """

    read: Read
    declared: Property
    is_collection: bool

    @property
    def name(self) -> str:
        """The name of the column: the path as users write it."""
        return str(self.read)


def columns(configuration: Configuration, function: UserTask, entity_type: str) -> tuple[FunctionColumn, ...]:
    """The columns that a function reads of an entity type, in the order of its declaration.

    A function that declares none reads every property of the resource itself, except those that it writes.

    :raises ExpressionRefused: if it names what does not exist; the message is a clause that follows the function.
    """
    if function.reads is not None:
        return tuple(_column(configuration, entity_type, path) for path in function.reads)
    written = {KEY, *(item.identifier for item in written_by(configuration, function, entity_type))}
    return tuple(
        FunctionColumn(read=Read((), item.identifier), declared=item, is_collection=False)
        for item in _valued(configuration, configuration.entity_type(entity_type))
        if item.identifier not in written
    )


def written_by(configuration: Configuration, function: UserTask, entity_type: str) -> tuple[Property, ...]:
    """The declared properties of an entity type that a function computes.

    A function that does not say which computes all that can be computed and that no mapping fills, no expression
    computes and no other function declares.
    """
    declared = configuration.entity_type(entity_type)
    if declared is None:
        return ()
    if function.writes is not None:
        return tuple(item for item in declared.properties if item.identifier in function.writes)
    mapping = configuration.mapping_of(entity_type)
    taken = {KEY, *(item.identifier for item in (mapping.properties if mapping else ()))}
    taken |= {rule.property for rule in configuration.property_expressions if rule.entity_type == entity_type}
    for other in functions_of(configuration):
        if other is not function and entity_type in other.entity_types:
            taken |= {*(other.writes or ())}
    return tuple(
        item
        for item in configuration.valued_properties(declared)
        if not item.is_key and item.type is not PropertyType.FOREIGN_KEY and item.identifier not in taken
    )


def functions_of(configuration: Configuration) -> tuple[UserTask, ...]:
    """The functions that tasks hold, each once, without those that are only named."""
    makers = (task.maker for task in configuration.all_tasks() if isinstance(task, ComputingTask))
    return tuple(dict.fromkeys(maker for maker in makers if isinstance(maker, UserTask)))


def reads_of(configuration: Configuration, function: UserTask, entity_type: str) -> tuple[Read, ...]:
    """The properties that a function reads of an entity type, sorted.

    :raises ExpressionRefused: if it names what does not exist; the message is a clause that follows the function.
    """
    return tuple(sorted(column.read for column in columns(configuration, function, entity_type)))


def _column(configuration: Configuration, entity_type: str, text: str) -> FunctionColumn:
    *path, name = text.split(".")
    try:
        way = route(configuration, entity_type, path)
    except NoSuchPath as e:
        raise ExpressionRefused(f"reads {shown(text)}, which {e}") from e
    valued = _valued(configuration, configuration.entity_type(way.leads_to))
    declared = next((item for item in valued if item.identifier == name), None)
    if declared is None:
        raise ExpressionRefused(f"reads {shown(text)}, {_correction(configuration, way.leads_to, name, text)}")
    return FunctionColumn(read=Read(tuple(path), name), declared=declared, is_collection=way.is_collection)


def _valued(configuration: Configuration, entity_type: EntityType | None) -> tuple[Property, ...]:
    return configuration.valued_properties(entity_type) if entity_type else ()


def _correction(configuration: Configuration, entity_type: str, name: str, text: str) -> str:
    known = [item.identifier for item in _valued(configuration, configuration.entity_type(entity_type))]
    ends = [end for item in configuration.associations_at(entity_type) for end in (item.property1, item.property2)]
    navigations = [end.property for end in ends if end.entity_type == entity_type]
    if name not in navigations:
        return f"which is no property of {entity_type}{hint(name, [*known, *navigations])}"
    leads_to = route(configuration, entity_type, (name,)).leads_to
    examples = [item.identifier for item in _valued(configuration, configuration.entity_type(leads_to))]
    beyond = f": {', '.join(f'{text}.{example}' for example in examples[:8])}" if examples else ""
    return f"which leads to {leads_to} and is no value; go on to one of its properties{beyond}"
