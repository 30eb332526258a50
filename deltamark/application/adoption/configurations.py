"""The configurations that were in force: which one at a position, and which one now.

What reads the past by its own model needs `configuration_in_force` alone. A configuration is parsed once for an
engine, however often it is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter

from attrs import fields

from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.adoption.configuration_adopted import (
    AdoptedConfiguration,
    Adoption,
    ConfigurationAdopted,
    function_definitions,
    xml_digest,
)
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.function_columns import functions_of
from deltamark.domain.errors import ConfigurationUnknown, store_damaged
from deltamark.domain.history.changes import Position
from deltamark.domain.validation.functions import bind_functions

_START_AND_TASK = 2


def adoptions(reading: Reading) -> list[Adoption]:
    """The adoptions of a log, oldest first."""
    return [adoption_of(position, event) for position, event in reading.adoptions()]


def adoption_of(position: Position, event: ConfigurationAdopted) -> Adoption:
    """What is known of an adoption without its configuration."""
    names = [attribute.name for attribute in fields(Adoption) if attribute.name != "position"]
    return Adoption(position=position, **{name: getattr(event, name) for name in names})


def configuration_in_force(
    reading: Reading, services: Services, position: Position | None = None
) -> AdoptedConfiguration | None:
    """The configuration in force at a position, or the one that was adopted last.

    None where it is unknown: before the first adoption of a log that an earlier version of Deltamark began. In any
    other log, the first configuration holds from the beginning.

    :raises StoreError: if it cannot be read any more.
    """
    newest = reading.adoption_at(position)
    if newest is None and position is not None:
        newest = adopted_until(reading.adoptions()[:1], position)
    return None if newest is None else _adopted(reading, services, *newest)


def adopted_until(
    adoptions: Sequence[tuple[Position, ConfigurationAdopted]], position: Position
) -> tuple[Position, ConfigurationAdopted] | None:
    """Which of the adoptions of a log, oldest first, is in force at a position; None where that is unknown."""
    number = bisect_right(adoptions, position, key=itemgetter(0))
    if number:
        return adoptions[number - 1]
    return next((first for first in adoptions[:1] if _began_with(*first)), None)


def known_configuration(reading: Reading, services: Services, position: Position) -> AdoptedConfiguration:
    """The configuration in force at a position.

    :raises ConfigurationUnknown: if it is unknown.
    """
    known = configuration_in_force(reading, services, position)
    if known is None:
        first = next(iter(reading.adoptions()), None)
        raise ConfigurationUnknown(position, since=None if first is None else first[0])
    return known


def known_configurations(reading: Reading, services: Services) -> Iterator[Configuration]:
    """The configuration of the engine, then those that were in force, the newest first."""
    yield services.configuration
    read: set[str] = set()
    for position, event in reversed(reading.adoptions()):
        if event.digest not in read:
            read.add(event.digest)
            yield _adopted(reading, services, position, event).configuration


def as_kept(services: Services, xml: str) -> Configuration:
    """The configuration of the engine as it will be read from the store, to be compared with others from there.

    It has what the text adds, such as the display name of a task that has none.

    :param xml: what the configuration is written as.
    """
    read = services.configuration_format.read(xml)
    return bind_functions(read, {function.name: function for function in functions_of(services.configuration)})[0]


def is_in_force(services: Services, reading: Reading) -> bool:
    """Whether the configuration of the engine is the one that was adopted last; the order of its files is no matter."""
    newest = reading.adoption_at(None)
    if newest is None:
        return False
    _, event = newest
    if event.configuration_digest == services.configuration_digest:  # known already, and nearly always so
        return True
    written = services.configuration_format.write(services.configuration)
    return (event.digest, event.functions) == (xml_digest(written), function_definitions(services.configuration))


def _began_with(position: Position, first: ConfigurationAdopted) -> bool:
    """Whether a log began with its first adoption: only the start of the first run, and of its task, came before."""
    return first.run == 1 and position <= _START_AND_TASK + 1


def _adopted(
    reading: Reading, services: Services, position: Position, event: ConfigurationAdopted
) -> AdoptedConfiguration:
    xml = reading.adopted_xml(event.digest)
    names = [attribute.name for attribute in fields(Adoption) if attribute.name != "position"]
    return AdoptedConfiguration(
        position=position,
        **{name: getattr(event, name) for name in names},
        configuration=_configuration(services, event, xml),
        xml=xml,
    )


def _configuration(services: Services, event: ConfigurationAdopted, xml: str) -> Configuration:
    known = services.known_configurations
    if event.digest not in known:
        try:
            known[event.digest] = services.configuration_format.read(xml)
        except ValueError as e:
            raise store_damaged(f"the configuration {event.digest[:12]} cannot be read ({e})") from e
    functions = {definition.name: definition.as_function() for definition in event.functions}
    return bind_functions(known[event.digest], functions)[0]
