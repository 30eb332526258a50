"""The event that a configuration was adopted, and what is known of an adopted configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, NoReturn

from attrs import asdict, field, fields, frozen
from attrs.converters import optional

from deltamark.domain.adoption.differences import ModelDifference, differences
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.function_columns import functions_of
from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position
from deltamark.domain.resources.events import Event

ADOPTIONS = "0"
"""The stream of all adoptions of a log. The streams of resources, links and runs are numbered from 1."""

MOST_DIFFERENCES = 100
"""The most statements in one event. The stored configurations give all of them."""


@frozen(kw_only=True)
class FunctionDefinition:
    """What is kept of a user's function: its declaration, and the digest of its source instead of its code.

    The attributes are those of `UserTask`.
    """

    name: str
    entity_types: tuple[str, ...] = field(converter=as_tuple)
    reads: tuple[str, ...] | None = field(converter=optional(as_tuple))
    writes: tuple[str, ...] | None = field(converter=optional(as_tuple))
    dirty: bool
    batch_size: int
    version: str
    deterministic: bool
    source: str

    def as_function(self) -> UserTask:
        """Returns a function with this declaration, which cannot be called."""

        def refuse(batch: Any) -> NoReturn:
            raise UsageError(f"the code of function {self.name} is not kept, only the digest of its source.")

        return UserTask(function=refuse, **asdict(self))


def function_definitions(configuration: Configuration) -> tuple[FunctionDefinition, ...]:
    """Returns what is kept of the functions that tasks hold, by name."""
    names = [attribute.name for attribute in fields(FunctionDefinition)]
    functions = sorted(functions_of(configuration), key=lambda function: function.name)
    return tuple(FunctionDefinition(**{name: getattr(function, name) for name in names}) for function in functions)


@frozen(kw_only=True)
class ConfigurationAdopted(Event):
    """A configuration came into force: it gives meaning to what follows in the log.

    :param digest: SHA-256 of its canonical XML, hexadecimal.
    :param previous: that of the configuration before; None for the first adoption of the log.
    :param configuration_digest: what runs under it record as the digest of their configuration.
    :param run: the run that adopted it.
    :param by: the person who did, as stated, or else the account.
    :param reason: why; empty where no reason was given.
    :param differences: what differs from the configuration before, in the words of the model.
    :param functions: the functions of users that its tasks call.
    :param user: the account of the operating system where `by` is another name; None where it is that account.
    """

    kind: ClassVar[str] = "adopted"

    digest: str
    previous: str | None = None
    configuration_digest: str
    run: int
    by: str
    reason: str = ""
    differences: tuple[str, ...] = field(converter=as_tuple, default=())
    functions: tuple[FunctionDefinition, ...] = field(converter=as_tuple, default=())
    user: str | None = None

    @property
    def account(self) -> str:
        """The account of the operating system that adopted it."""
        return self.user or self.by


@frozen(kw_only=True)
class Adoption:
    """An adoption as the log holds it.

    :param position: of its event.
    :param at: when the configuration was adopted, UTC.
    :param by: the person who adopted it, as stated, or else the account.
    :param account: the account of the operating system that adopted it.
    """

    position: Position
    at: datetime
    digest: str
    previous: str | None
    run: int
    by: str
    account: str
    reason: str
    differences: tuple[str, ...]


@frozen(kw_only=True)
class AdoptedConfiguration(Adoption):
    """An adoption together with the configuration that it put into force.

    :param configuration: its functions can be compared, but not called.
    :param xml: its canonical XML, from which it was read.
    """

    configuration: Configuration = field(repr=False)
    xml: str = field(repr=False)

    def differences_from(self, before: AdoptedConfiguration) -> tuple[ModelDifference, ...]:
        """Returns what differs from another configuration, which need not be the one before."""
        return differences(before.configuration, self.configuration)


def xml_digest(xml: str) -> str:
    """Returns the digest of canonical XML, as events of adoptions have it."""
    return hashlib.sha256(xml.encode()).hexdigest()


def listed(differences: Iterable[object]) -> tuple[str, ...]:
    """Returns differences as statements for an event: the first ones, and how many follow."""
    statements = [str(difference) for difference in differences]
    more = len(statements) - MOST_DIFFERENCES
    if more <= 0:
        return tuple(statements)
    return (*statements[:MOST_DIFFERENCES], f"and {more:,} more")
