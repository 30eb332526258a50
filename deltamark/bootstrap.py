"""The one place where the parts are put together."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from deltamark.application import engine
from deltamark.application.ports.store import Clock, Store
from deltamark.application.services import Operator, Services
from deltamark.config.loader import load
from deltamark.domain.checks import faults
from deltamark.domain.configuration import Configuration
from deltamark.domain.errors import ConfigurationError, Fault, StoreError
from deltamark.domain.rules import key_sides
from deltamark.infrastructure.columnar.comparer import DuckComparer
from deltamark.infrastructure.columnar.evaluating import DuckEvaluator
from deltamark.infrastructure.sources.folder import FolderExtracts
from deltamark.infrastructure.sources.orphans import orphan_writer
from deltamark.infrastructure.store.postgresql.address import SCHEMES
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.sqlite.schema import path_of
from deltamark.infrastructure.store.sqlite.store import SQLiteStore


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


class Engine(engine.Engine):
    """A store with a configuration: runs jobs, and answers what is, was, changed and is dirty.

    Open one with `Engine.open`, use it in a `with` block or call `close`. One engine may be used from several
    threads.
    """

    @classmethod
    def open(
        cls,
        store: str,
        *,
        configuration: Configuration | str | os.PathLike[str] = "configuration",
        export_output: str | os.PathLike[str] = "exports",
        create: bool = True,
        clock: Clock = utc_now,
    ) -> Engine:
        """Opens a store with a configuration.

        :param store: a URL such as ``sqlite:///deltamark.db`` or ``postgresql://user@host/database``.
        :param configuration: a `Configuration`, or the XML file or folder to load it from.
        :param export_output: the folder of the extracts.
        :param create: whether a store that is not there is made; otherwise it is an error.
        :param clock: gives the time of changes and runs.
        :raises ConfigurationError: with every fault of the configuration.
        :raises StoreError: if the store cannot be opened.
        """
        checked = checked_configuration(configuration)
        folder = Path(export_output)
        return cls(
            Services(
                store=open_store(store, clock, create=create),
                configuration=checked,
                extracts=FolderExtracts(folder),
                comparer=DuckComparer(),
                evaluator=DuckEvaluator(),
                write_orphans=orphan_writer(folder / "orphans"),
                operator=Operator(user=_user(), host=socket.gethostname(), process=os.getpid()),
            )
        )


def checked_configuration(configuration: Configuration | str | os.PathLike[str]) -> Configuration:
    """The configuration, loaded if need be, with its expressions checked.

    :raises ConfigurationError: with every fault.
    """
    if isinstance(configuration, Configuration):
        found = faults(configuration)
        if found:
            raise ConfigurationError(found)
    else:
        configuration = load(Path(configuration))
    evaluator = DuckEvaluator()
    wrong: list[Fault] = []
    for side in key_sides(configuration.correlation_rules, configuration.resource_types):
        entity_type = configuration.entity_type(side.entity_type)
        assert entity_type is not None
        wrong += evaluator.faults(side, entity_type)
    if wrong:
        raise ConfigurationError(wrong)
    return configuration


def open_store(url: str, clock: Clock = utc_now, *, create: bool = True) -> Store:
    """The store that a URL names.

    :raises StoreError: if it cannot be opened, or if no store of this kind is known.
    """
    kind = url.split(":", 1)[0]
    if kind == "sqlite":
        return SQLiteStore(path_of(url), clock, create=create)
    if kind in SCHEMES:
        return PostgreSQLStore(url, clock, create=create)
    raise StoreError(
        f"{_without_password(url)!r} names no store that Deltamark knows. Write sqlite:///deltamark.db or "
        "postgresql://user@host/database, for example."
    )


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}…@{rest.rsplit('@', 1)[1]}" if "@" in rest else url[:80]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
