"""Changes as CloudEvents 1.0 (https://github.com/cloudevents/spec), for buses and brokers that know those."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from deltamark.domain.history.changes import LoggedChange
from deltamark.domain.resources.resource import ResourceEvent
from deltamark.interfaces.cli.documents import change_document, time_of


def cloud_event(change: LoggedChange, store: str) -> dict[str, Any]:
    """A change as an event of a store; `source` and `id` together are unique, and the same whenever it is asked for.

    :param store: which one, see `Engine.epoch`.
    """
    event = change.event
    names: tuple[str, ...]
    if isinstance(event, ResourceEvent):
        kind, names = "resource", (event.ref.entity_type, event.ref.key)
    else:
        kind, names = "link", (event.ref.association, event.ref.source.key, event.ref.target.key)
    return {
        "specversion": "1.0",
        "id": str(change.position),
        "source": f"urn:deltamark:store:{store}",
        "type": f"deltamark.{kind}.{change.kind}",
        "subject": "/".join(quote(name, safe="") for name in names),
        "time": time_of(change.at),
        "datacontenttype": "application/json",
        "data": change_document(change),
    }
