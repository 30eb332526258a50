"""What a name to be decommissioned stands for: an entity type, an association, or all that a connector fed last."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.adoption.configurations import configuration_in_force, is_in_force, known_configurations
from deltamark.application.adoption.unfed import fed_last_by, is_fed
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.adoption.decommission import NameKind, Subject, SubjectKind
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import UsageError
from deltamark.domain.next_steps import waiting_adoption_steps
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

_MOST_LISTED = 3


def subjects_named(reading: Reading, services: Services, name: str, kind: NameKind | None) -> tuple[Subject, ...]:
    """The entity types and associations that a name stands for: all that a connector fed last, or the one itself.

    :raises UsageError: if nothing ever had that name, if several have it and `kind` says not which, or if it is fed:
        by the configuration of the engine, or by the one in force.
    """
    kind = _kind_of(reading, services, name, kind)
    if kind is NameKind.CONNECTOR:
        subjects = fed_last_by(reading, services, name)
        _refuse_fed_connector(reading, services, name)
    else:
        subject_kind = SubjectKind.ENTITY_TYPE if kind is NameKind.ENTITY_TYPE else SubjectKind.ASSOCIATION
        subjects = (Subject(subject_kind, name),)
    for configuration in _in_force_and_of_files(reading, services):
        for subject in subjects:
            if is_fed(configuration, subject):
                raise _still_fed(services, configuration, str(subject), _feeder(configuration, subject))
    return subjects


def _kind_of(reading: Reading, services: Services, name: str, kind: NameKind | None) -> NameKind:
    names: dict[NameKind, dict[str, None]] = {each: {} for each in NameKind}
    for configuration in known_configurations(reading, services):
        for each, items in (
            (NameKind.CONNECTOR, configuration.connectors),
            (NameKind.ENTITY_TYPE, configuration.entity_types),
            (NameKind.ASSOCIATION, configuration.associations),
        ):
            names[each] |= dict.fromkeys(item.identifier for item in items)
    names[NameKind.ENTITY_TYPE] |= dict.fromkeys(reading.stored_entity_types())
    names[NameKind.ASSOCIATION] |= dict.fromkeys(item.identifier for item in reading.stored_associations())
    among = list(NameKind) if kind is None else [kind]
    found = [each for each in among if name in names[each]]
    if not found:
        what = " or ".join(
            [", ".join(each.words for each in among[:-1]), among[-1].words]
            if among[1:]
            else [kind.words if kind else ""]
        )
        raise UsageError(f"there is no {what} {shown(name)}{hint(name, [n for each in among for n in names[each]])}")
    if len(found) > 1:
        listed = " and ".join(f"{'an' if each.words[0] in 'ae' else 'a'} {each.words}" for each in found)
        raise UsageError(f"{shown(name)} is {listed}. Say which kind is meant.")
    return found[0]


def _refuse_fed_connector(reading: Reading, services: Services, connector: str) -> None:
    for configuration in _in_force_and_of_files(reading, services):
        fed = [*_names_fed_by(configuration, connector)]
        if fed:
            more = f" and {len(fed) - _MOST_LISTED} more" if len(fed) > _MOST_LISTED else ""
            raise _still_fed(services, configuration, ", ".join(fed[:_MOST_LISTED]) + more, connector)


def _names_fed_by(configuration: Configuration, connector: str) -> Iterator[str]:
    for kind, fed in (
        (SubjectKind.ENTITY_TYPE, configuration.fed_entity_types),
        (SubjectKind.ASSOCIATION, configuration.fed_associations),
    ):
        yield from (str(Subject(kind, name)) for name, feeder in fed.items() if feeder == connector)


def _in_force_and_of_files(reading: Reading, services: Services) -> Iterator[Configuration]:
    yield services.configuration
    if not is_in_force(services, reading):
        adopted = configuration_in_force(reading, services)
        if adopted is not None:
            yield adopted.configuration


def _feeder(configuration: Configuration, subject: Subject) -> str:
    fed = configuration.fed_entity_types if subject.kind is SubjectKind.ENTITY_TYPE else configuration.fed_associations
    return fed[subject.name]


def _still_fed(services: Services, configuration: Configuration, what: str, connector: str) -> UsageError:
    if configuration is services.configuration:
        return UsageError(
            f"connector {connector} feeds {what}: what is deleted would come back, and what is frozen would change. "
            "Nothing was changed. Remove the mapping, or the synchronization of the connector from every job, first."
        )
    return UsageError(
        f"under the configuration in force, connector {connector} feeds {what}. Nothing was changed. Adopt the changed "
        "configuration first."
    ).with_next_steps(*waiting_adoption_steps())
