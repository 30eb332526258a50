"""What the store holds and the configuration feeds no more, and what was decided about it.

Costs a look at the names that the store knows. What is not fed is looked for with one statement each, which ends at the
first resource or link; configurations of the past are read only where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.application.adoption.configurations import configuration_in_force, is_in_force, known_configurations
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.adoption.consequences import consequences
from deltamark.domain.adoption.decommission import (
    Decision,
    DecommissionAction,
    Freeze,
    Subject,
    SubjectKind,
    decisions_in_force,
)
from deltamark.domain.adoption.unfed import Unfed
from deltamark.domain.configuration.configuration import Configuration


def unfed(reading: Reading, services: Services) -> tuple[Unfed, ...]:
    """Returns what the store holds and nothing feeds, entity types first, in the order in which they came.

    Leaves out what the adoption of the configuration of the engine removes.
    """
    configuration = services.configuration
    subjects = [subject for subject in _stored(reading) if not is_fed(configuration, subject)]
    if not subjects:
        return ()
    decided = decisions_in_force(reading.decisions())
    held = [subject for subject in subjects if _is_held(reading, subject, decided)]
    if not held:
        return ()
    removed = _removed_by_adoption(reading, services)
    return tuple(_unfed(reading, services, subject, decided.get(subject)) for subject in held if subject not in removed)


def is_fed(configuration: Configuration, subject: Subject) -> bool:
    """Whether a mapping fills an entity type or association and a job synchronizes its connector."""
    if subject.kind is SubjectKind.ENTITY_TYPE:
        return subject.name in configuration.fed_entity_types
    return subject.name in configuration.fed_associations


def fed_last_by(reading: Reading, services: Services, connector: str) -> tuple[Subject, ...]:
    """What nothing feeds and the connector fed last, whether the store holds anything of it or not.

    Links may wait of an association that never had one.
    """
    names = (association.identifier for association in services.configuration.associations)
    declared = (Subject(SubjectKind.ASSOCIATION, name) for name in names)
    return tuple(
        subject
        for subject in dict.fromkeys((*_stored(reading), *declared))
        if not is_fed(services.configuration, subject) and last_feeder(reading, services, subject) == connector
    )


def last_feeder(reading: Reading, services: Services, subject: Subject) -> str | None:
    """The connector whose mapping filled it last, whether a job synchronized that or not; None where none is known."""
    for configuration in known_configurations(reading, services):
        connector = _mapped_by(configuration, subject)
        if connector is not None:
            return connector
    return None


def _stored(reading: Reading) -> Iterator[Subject]:
    for name in reading.stored_entity_types():
        yield Subject(SubjectKind.ENTITY_TYPE, name)
    for association in reading.stored_associations():
        yield Subject(SubjectKind.ASSOCIATION, association.identifier)


def _is_held(reading: Reading, subject: Subject, decided: dict[Subject, Decision]) -> bool:
    """Whether the store holds anything of it now; what was deleted on purpose and not fed since is not looked for."""
    if subject in decided and decided[subject].action is DecommissionAction.DELETE:
        return False
    if subject.kind is SubjectKind.ENTITY_TYPE:
        return reading.live_resource_count(subject.name, at_most=1) > 0
    return reading.live_link_count(subject.name, at_most=1) > 0


def _removed_by_adoption(reading: Reading, services: Services) -> set[Subject]:
    if is_in_force(services, reading):
        return set()
    before = configuration_in_force(reading, services)
    if before is None:
        return set()
    what = consequences(before.configuration, services.configuration)
    types = {Subject(SubjectKind.ENTITY_TYPE, item.entity_type) for item in what.types if item.is_dropped}
    dropped = (item.before.identifier for item in what.associations if item.is_dropped)
    return types | {Subject(SubjectKind.ASSOCIATION, name) for name in dropped}


def _unfed(reading: Reading, services: Services, subject: Subject, decision: Decision | None) -> Unfed:
    configuration = services.configuration
    connector = last_feeder(reading, services, subject)
    return Unfed(
        subject=subject,
        because=_because(configuration, subject),
        connector=connector,
        is_connector_idle=connector is not None and not _feeds_anything(configuration, connector),
        freeze=decision if isinstance(decision, Freeze) else None,
    )


def _because(configuration: Configuration, subject: Subject) -> str:
    connector = _mapped_by(configuration, subject)
    if connector is not None:
        return f"no job synchronizes connector {connector}"
    find = configuration.entity_type if subject.kind is SubjectKind.ENTITY_TYPE else configuration.association
    return "no mapping fills it" if find(subject.name) is not None else "it is not in the configuration any more"


def _mapped_by(configuration: Configuration, subject: Subject) -> str | None:
    if subject.kind is SubjectKind.ENTITY_TYPE:
        mapping = configuration.mapping_of(subject.name)
        return None if mapping is None else mapping.connector
    mappings = (m.connector for m in configuration.association_mappings if m.association == subject.name)
    return next(mappings, None)


def _feeds_anything(configuration: Configuration, connector: str) -> bool:
    fed = (*configuration.fed_entity_types.values(), *configuration.fed_associations.values())
    return connector in fed
