"""A driver of a database (PEP 249) whose answers are written by a test, and that keeps all that it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from attrs import define, field, frozen


@frozen
class Kind:
    """A type of a column."""

    name: str


@frozen
class Answer:
    """What is answered to a statement.

    :param part: of the statements that it is the answer to.
    """

    part: str
    columns: Sequence[tuple[str, str]] = ()
    rows: Sequence[Sequence[Any]] = ()
    error: Exception | None = None


@define
class FakeDriver:
    """A driver.

    :ivar connected: the arguments of each connection.
    :ivar statements: what was executed, each with its parameters.
    :ivar fetched: how many rows were asked for at a time.
    """

    name: str
    answers: list[Answer] = field(factory=list)
    refuses: Exception | None = None
    connected: list[dict[str, Any]] = field(factory=list)
    statements: list[tuple[str, Any]] = field(factory=list)
    fetched: list[int] = field(factory=list)
    open: int = 0

    def asked(self, part: str) -> list[tuple[str, Any]]:
        """The statements that have a part, on one line each."""
        return [(" ".join(sql.split()), binds) for sql, binds in self.statements if part in sql]

    @contextmanager
    def installed(self) -> Iterator[Any]:
        """Lets the driver be imported for a block."""
        module: Any = ModuleType(self.name)
        module.__spec__ = ModuleSpec(self.name, None)
        module.Error = type("Error", (Exception,), {})
        module.DatabaseError = type("DatabaseError", (module.Error,), {})
        for kind in ("DB_TYPE_LONG", "DB_TYPE_LONG_NVARCHAR", "DB_TYPE_LONG_RAW"):
            setattr(module, kind, kind)
        module.connect = self._connect
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(__import__("sys").modules, self.name, module)
            yield module
        assert self.open == 0, "a connection was left open"

    def _connect(self, **arguments: Any) -> _Connection:
        self.connected.append(arguments)
        if self.refuses is not None:
            raise self.refuses
        self.open += 1
        return _Connection(self)


@define
class _Connection:
    driver: FakeDriver
    version: str = "19.3.0.0.0"
    call_timeout: int = 0

    def cursor(self) -> _Cursor:
        return _Cursor(self.driver)

    def close(self) -> None:
        self.driver.open -= 1


@define
class _Cursor:
    driver: FakeDriver
    arraysize: int = 100
    prefetchrows: int = 2
    outputtypehandler: Any = None
    description: Any = None
    handled: dict[str, Any] = field(factory=dict)
    _rows: list[Any] = field(factory=list)

    def __enter__(self) -> _Cursor:
        return self

    def __exit__(self, *error: object) -> None:
        self._rows = []

    def var(self, kind: Any, arraysize: int) -> Any:
        assert arraysize == self.arraysize
        return kind

    def execute(self, sql: str, binds: Any = None) -> None:
        self.driver.statements.append((sql, dict(binds) if binds else binds))
        answer = next((answer for answer in self.driver.answers if answer.part in sql), Answer(""))
        if answer.error is not None:
            raise answer.error
        self.description = [(name, Kind(kind), None, None, None, None, True) for name, kind in answer.columns]
        if self.outputtypehandler is not None:
            for name, kind in answer.columns:
                self.handled[name] = self.outputtypehandler(self, _Column(name, Kind(kind)))
        self._rows = list(answer.rows)

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    def fetchmany(self, size: int) -> list[Any]:
        self.driver.fetched.append(size)
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows


@frozen
class _Column:
    name: str
    type_code: Kind
