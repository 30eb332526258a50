"""Changes as a sink gets them, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deltamark.application.ports.sinks import Confirmed, Sink, SinkConnection
from deltamark.application.ports.sources import ConnectionSettings
from deltamark.domain.configuration.entity_model import ConnectionTable
from deltamark.domain.resources.resource import Change
from deltamark.domain.secrets import Secret
from deltamark.domain.sinks.batch import GAP, Batch, Gap, OutgoingChange
from deltamark.domain.values import Value

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


def change(
    position: int,
    kind: str = "created",
    key: str = "1",
    names: tuple[str | None, str | None] = (None, None),
    before: Mapping[str, Value] | None = None,
    **after: Value,
) -> OutgoingChange:
    """A change of a person, given the values after it."""
    earlier = before or {}
    changed = {
        name: Change(earlier.get(name), after.get(name))
        for name in {**earlier, **after}
        if earlier.get(name) != after.get(name)
    }
    return OutgoingChange(
        store="s1",
        position=position,
        at=AT,
        kind=kind,
        table="people",
        entity_type="Person",
        key=key,
        changes=changed,
        before=earlier,
        after={name: value for name, value in after.items() if value is not None},
        name_before=names[0],
        name_after=names[1],
    )


def gap(position: int) -> OutgoingChange:
    """The news that changes are missing."""
    what = Gap(subject="Person", until=position, run=7)
    return OutgoingChange(store="s1", position=position, part="discarded-Person", at=AT, kind=GAP, gap=what)


def connection(
    package: str,
    options: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    **settings: Any,
) -> SinkConnection:
    """What a sink of people is made of."""
    return SinkConnection(
        name="Feed",
        package=package,
        tables=[ConnectionTable("people", {"Subject": "Person", **(options or {})})],
        columns={"people": ("name", "mail")},
        types={"people": types or {}},
        settings=ConnectionSettings(
            values=settings,
            secrets={name: (lambda v=value: Secret(v)) for name, value in (secrets or {}).items()},  # type: ignore[misc]
        ),
        store="s1",
    )


def sent(sink: Sink, *changes: OutgoingChange, until: int | None = None) -> list[Confirmed]:
    """What a sink confirms of these changes."""
    return list(sink.send(Batch(after=0, until=until or changes[-1].position, changes=changes)))
