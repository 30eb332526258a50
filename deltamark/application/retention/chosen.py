"""Whose changes a retention discards: those of a connector, an entity type or an association, also of the past."""

from __future__ import annotations

from attrs import evolve, frozen

from deltamark.application.adoption.configurations import known_configurations
from deltamark.application.adoption.unfed import fed_last_by, last_feeder
from deltamark.application.history.model import known_association, known_type
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Subjects
from deltamark.application.retention.discard import DiscardOrder, discard_order
from deltamark.application.services import Services
from deltamark.domain.adoption.decommission import NameKind, Subject, SubjectKind
from deltamark.domain.errors import UsageError
from deltamark.domain.messages import RETAIN
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown


@frozen
class Chosen:
    """What was named: changes of all that a connector feeds or fed, or of one entity type or association."""

    kind: NameKind
    name: str

    @property
    def task(self) -> str:
        """The name of the task that discards its changes. No task of a job can have it."""
        return f"{RETAIN}{self.name}"


def order_of(reading: Reading, services: Services, chosen: Chosen) -> DiscardOrder:
    """What to discard, for a run that has no number yet.

    Of a connector: what it feeds, and what it fed last and nothing feeds any more.

    :raises UsageError: if there never was anything of that name.
    """
    match chosen.kind:
        case NameKind.CONNECTOR:
            return _of_connector(reading, services, chosen)
        case NameKind.ENTITY_TYPE:
            known_type(reading, services, chosen.name)
            subject = Subject(SubjectKind.ENTITY_TYPE, chosen.name)
        case NameKind.ASSOCIATION:
            known_association(reading, services, chosen.name)
            subject = Subject(SubjectKind.ASSOCIATION, chosen.name)
    connector = last_feeder(reading, services, subject) or chosen.name
    empty = Subjects(connector=connector, task=chosen.task, entity_types=(), associations=())
    return _with(reading, services, DiscardOrder(subjects=empty, concerned=(), run=0, ordinal=1), (subject,))


def _of_connector(reading: Reading, services: Services, chosen: Chosen) -> DiscardOrder:
    fed_last = fed_last_by(reading, services, chosen.name)
    if services.configuration.connector(chosen.name) is None and not fed_last:
        names: dict[str, None] = {}
        for configuration in known_configurations(reading, services):
            names |= dict.fromkeys(connector.identifier for connector in configuration.connectors)
        if chosen.name not in names:
            raise UsageError(f"there is no connector {shown(chosen.name)}{hint(chosen.name, names)}")
    order = discard_order(services.configuration, chosen.name, task=chosen.task, run=0, ordinal=1)
    return _with(reading, services, order, fed_last)


def _with(reading: Reading, services: Services, order: DiscardOrder, more: tuple[Subject, ...]) -> DiscardOrder:
    """The order with more subjects, and the entity types at the ends of their links."""
    types = [subject.name for subject in more if subject.kind is SubjectKind.ENTITY_TYPE]
    associations = [subject.name for subject in more if subject.kind is SubjectKind.ASSOCIATION]
    ends: list[str] = []
    for name in associations:
        association = known_association(reading, services, name)
        ends += (association.property1.entity_type, association.property2.entity_type)
    subjects = evolve(
        order.subjects,
        entity_types=tuple(dict.fromkeys([*order.subjects.entity_types, *types])),
        associations=tuple(dict.fromkeys([*order.subjects.associations, *associations])),
    )
    return evolve(order, subjects=subjects, concerned=tuple(dict.fromkeys([*order.concerned, *types, *ends])))
