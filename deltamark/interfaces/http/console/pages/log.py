"""Log: all changes, newest first, by filters."""

from __future__ import annotations

from attrs import field, frozen
from litestar import get
from litestar.params import FromQuery
from litestar.response import Template

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import ChangeKind, Position
from deltamark.domain.history.pages import ChangePage
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import BUDGET_S, ROWS, number_in, page
from deltamark.interfaces.http.given import TheEngine, TheUser
from deltamark.interfaces.http.users import Role


@frozen(kw_only=True)
class LogFilter:
    """What the log is searched for; what is empty admits everything."""

    type: str = ""
    key: str = ""
    kind: str = ""
    run: int | None = None
    task: str = ""
    property_name: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it admits every change."""
        return self == LogFilter()


@frozen(kw_only=True)
class Log:
    """A part of the log, and the names that its filters may have."""

    changes: ChangePage
    filter: LogFilter
    before: Position | None
    types: tuple[str, ...] = field(converter=as_tuple)
    tasks: tuple[str, ...] = field(converter=as_tuple)
    kinds: tuple[str, ...] = tuple(kind.value for kind in ChangeKind)


def log_of(engine: Engine, admitted: LogFilter, before: Position | None = None) -> Log:
    """The newest changes that a filter admits, or those below a position."""
    configuration = engine.configuration
    return Log(
        changes=engine.changes_page(
            before=before,
            entity_type=admitted.type or None,
            key=admitted.key or None,
            kind=admitted.kind or None,
            run=admitted.run,
            task=admitted.task or None,
            property_name=admitted.property_name or None,
            limit=ROWS,
            budget_s=BUDGET_S,
        ),
        filter=admitted,
        before=before,
        types=[entity_type.identifier for entity_type in configuration.entity_types],
        tasks=sorted({task.identifier for task in configuration.all_tasks()}),
    )


@get("/log", opt={ROLE: Role.READER}, sync_to_thread=True)
def log(
    engine: TheEngine,
    user: TheUser,
    type: FromQuery[str] = "",  # noqa: A002, the name in the address
    key: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    run: FromQuery[str] = "",
    task: FromQuery[str] = "",
    property: FromQuery[str] = "",  # noqa: A002
    before: FromQuery[str] = "",
) -> Template:
    """The log."""
    admitted = LogFilter(
        type=type, key=key, kind=kind, run=number_in(run, "the number of a run"), task=task, property_name=property
    )
    shown = log_of(engine, admitted, number_in(before, "a position"))
    return page("log.html", engine, user, "Log", shown=shown)


ROUTES = (log,)
