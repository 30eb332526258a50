"""Filters of changes by what callers name: checked against all that the log ever knew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from attrs import evolve

from deltamark.application.adoption.configurations import known_configurations
from deltamark.application.history.history import ChangeFilter, callers_of
from deltamark.application.history.model import check_property, known_association, known_type
from deltamark.application.lookup import property_named
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityType, PropertyRef
from deltamark.domain.configuration.rules import DerivationKind, rule_names
from deltamark.domain.derivation.derivations import Derivation, derivations
from deltamark.domain.errors import UsageError
from deltamark.domain.messages import ADOPT
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown


def checked_filter(
    reading: Reading,
    services: Services,
    admitted: ChangeFilter,
    rule: str | None = None,
    connector: str | None = None,
    *,
    may_come: bool = False,
) -> ChangeFilter:
    """A filter, of which all that it names is or was known to the log or a configuration.

    :param rule: admits only values that it computed: the property (`Type:Property` or `Property`), the identifier of
        its expression, or the function that writes it.
    :param connector: admits only changes of what it feeds or fed, without computed values.
    :param may_come: whether users and tasks may be named that were never there.
    :raises UsageError: for a name that was never known, and for a combination that no change can have.
    """
    if admitted.association is not None and (admitted.property is not None or rule is not None):
        what = "a property" if rule is None else "what a rule computed"
        raise UsageError(
            f"no change is one of {what} and of the links of an association at once. Ask for one of the two."
        )
    if connector is not None and rule is not None:
        raise UsageError("no change is one of what a connector feeds and of what a rule computed at once. Name one.")
    if admitted.entity_type is not None:
        known_type(reading, services, admitted.entity_type)
    if admitted.association is not None:
        known_association(reading, services, admitted.association)
    if admitted.property is not None:
        _check_property(reading, services, admitted.entity_type, admitted.property)
    if admitted.task is not None and not may_come:
        _check_task(reading, services, admitted.task)
    if admitted.user is not None and not may_come:
        _check_user(reading, admitted.user)
    if connector is not None:
        return evolve(admitted, fed=_fed_by(reading, services, connector))
    if rule is None:
        return admitted
    return evolve(admitted, computed=frozenset(_computed_by(reading, services, rule)))


def _fed_by(reading: Reading, services: Services, connector: str) -> frozenset[str]:
    """The entity types and associations that a connector feeds, or fed by a configuration of the past."""
    names: dict[str, None] = {}
    fed: set[str] = set()
    for configuration in known_configurations(reading, services):
        names |= dict.fromkeys(known.identifier for known in configuration.connectors)
        fed |= {mapping.identifier for mapping in configuration.all_mappings_of(connector)}
    if connector not in names:
        raise UsageError(f"no configuration has or had a connector {shown(connector)}{hint(connector, names)}")
    return frozenset(fed)


def _check_property(reading: Reading, services: Services, entity_type: str | None, name: str) -> None:
    """Checks that the entity type, or any, has or had a property of that name that holds values."""
    if entity_type is not None:
        check_property(reading, services, entity_type, name)
        return
    names: dict[str, None] = {}
    types: dict[str, None] = {}
    leading: list[tuple[EntityType, Configuration]] = []
    for configuration in known_configurations(reading, services):
        ends = {
            end for association in configuration.associations for end in (association.property1, association.property2)
        }
        for definition in configuration.entity_types:
            types[definition.identifier] = None
            names |= dict.fromkeys(declared.identifier for declared in configuration.valued_properties(definition))
            if PropertyRef(definition.identifier, name) in ends:
                leading.append((definition, configuration))
    if name in names:
        return
    for definition, configuration in leading:
        property_named(name, definition, configuration)  # says that it holds no values
    for other in (*types, *(stored for stored in reading.stored_entity_types() if stored not in types)):
        with suppress(UsageError):
            check_property(reading, services, other, name)
            return
    raise UsageError(f"no entity type has or had a property {shown(name)}{hint(name, names)}")


def _check_task(reading: Reading, services: Services, name: str) -> None:
    names = dict.fromkeys(
        task.identifier
        for configuration in known_configurations(reading, services)
        for tasks in (configuration.all_tasks(), *(configuration.called_by(job) for job in configuration.jobs))
        for task in tasks
    )
    if name in names or name == ADOPT:
        return
    for summary in reading.run_starts():
        names |= dict.fromkeys(task.identifier for task in summary.run.tasks)
    if name not in names:
        raise UsageError(f"no configuration has or had a task {shown(name)}, and no run called one{hint(name, names)}")


def _check_user(reading: Reading, name: str) -> None:
    names: dict[str, None] = {}
    for summary in reading.run_starts():
        for account, person in callers_of(summary.run):
            names |= dict.fromkeys(filter(None, (account, person)))
    if name not in names:
        raise UsageError(f"no run was made by an account or for a person {shown(name)}{hint(name, names)}")


def _computed_by(reading: Reading, services: Services, rule: str) -> Iterator[tuple[str, str]]:
    """The computed properties, by entity type and name, that a rule computes or computed."""
    names: dict[str, None] = {}
    others: dict[str, str] = {}
    is_any = False
    for configuration in known_configurations(reading, services):
        for derivation, called in _called(configuration):
            names |= dict.fromkeys(called)
            if rule in called:
                is_any = True
                yield derivation.entity_type, derivation.name
        others |= {name: "correlation keys" for name, _ in rule_names(configuration.correlation_rules)}
        others |= {name: "classifications" for name, _ in rule_names(configuration.classification_rules)}
    if is_any:
        return
    if rule in others:
        raise UsageError(
            f"rule {rule} computes {others[rule]}, which are kept as they are now, and are no changes of the log."
        )
    raise UsageError(f"no configuration has or had a rule {shown(rule)} that computes properties{hint(rule, names)}")


def _called(configuration: Configuration) -> Iterator[tuple[Derivation, list[str]]]:
    """The derivations of properties, with the names by which their rule may be called."""
    expressions = {(rule.entity_type, rule.property): rule.identifier for rule in configuration.property_expressions}
    for derivation in _of_properties(derivations(configuration)):
        called = [f"{derivation.entity_type}:{derivation.name}", derivation.name]
        if derivation.maker is not None:
            called += [derivation.maker.name, derivation.maker.name.replace(":", ".").rpartition(".")[2]]
        elif (derivation.entity_type, derivation.name) in expressions:
            called.append(expressions[derivation.entity_type, derivation.name])
        yield derivation, called


def _of_properties(all_of: Iterable[Derivation]) -> Iterator[Derivation]:
    return (derivation for derivation in all_of if derivation.kind is DerivationKind.PROPERTY)
