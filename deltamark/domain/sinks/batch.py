"""What is delivered to a sink: a change, or the news that changes are missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position
from deltamark.domain.resources.resource import Change
from deltamark.domain.values import Values

GAP = "gap"
"""The kind of what says that changes are missing."""


@frozen(kw_only=True)
class Gap:
    """Changes that were discarded or erased before the sink got them.

    :param subject: the entity type or association whose changes they were; None where the log does not know it any
        more.
    :param until: the position up to which they are missing.
    :param run: the run that discarded or erased them.
    :param erased: how many were erased; None where they were discarded.
    """

    subject: str | None
    until: Position
    run: int
    erased: int | None = None


@frozen(kw_only=True)
class Link:
    """The link that was made or removed: its association and its other end.

    :param other_name: the distinguished name of the other end, where one is asked for.
    """

    association: str
    other_entity_type: str
    other_key: str
    other_name: str | None = None


@frozen(kw_only=True)
class OutgoingChange:
    """A change as a sink gets it: with the values that were chosen, by their names there.

    :param store: which store this is.
    :param part: of a gap, what is missing; empty for a change.
    :param kind: that of the change, or `GAP`.
    :param table: the `ConnectionTable` by which it goes; empty for a gap that concerns none alone.
    :param changes: name at the sink -> value before and after.
    :param before: all chosen values before it, where the package of the sink asks for them.
    :param after: all chosen values after it, likewise.
    :param name_before: the distinguished name before it, where one is asked for; `name_after` that after it; of a link,
        that of the resource where it starts.
    """

    store: str
    position: Position
    part: str = ""
    at: datetime
    kind: str
    table: str = ""
    entity_type: str = ""
    key: str = ""
    changes: Mapping[str, Change] = field(factory=dict)
    before: Values = field(factory=dict)
    after: Values = field(factory=dict)
    name_before: str | None = None
    name_after: str | None = None
    link: Link | None = None
    gap: Gap | None = None

    @property
    def id(self) -> str:
        """The same whenever the change is sent: by it a receiver knows what it has already."""
        return f"{self.store}/{self.position}" + (f"/{self.part}" if self.part else "")

    def document(self) -> dict[str, Any]:
        """The change as JSON."""
        head: dict[str, Any] = {"id": self.id, "position": self.position, "at": _time(self.at), "change": self.kind}
        if self.gap is not None:
            gap = self.gap
            return {
                **head,
                "subject": gap.subject,
                "until": gap.until,
                "because": "discarded" if gap.erased is None else "erased",
                "run": gap.run,
                **({} if gap.erased is None else {"changes": gap.erased}),
            }
        head |= {"entity_type": self.entity_type, "key": self.key}
        if self.link is not None:
            link = self.link
            return {
                **head,
                "association": link.association,
                "other_entity_type": link.other_entity_type,
                "other_key": link.other_key,
            }
        values = {name: {"before": change.before, "after": change.after} for name, change in self.changes.items()}
        return {**head, "changes": values}

    def cloud_event(self) -> dict[str, Any]:
        """The change as a CloudEvent 1.0; its source and its id together are unique."""
        if self.gap is not None:
            what, names = "log", [] if self.gap.subject is None else [self.gap.subject]
        elif self.link is not None:
            what, names = "link", [self.link.association, self.key, self.link.other_key]
        else:
            what, names = "resource", [self.entity_type, self.key]
        subject = "/".join(quote(name, safe="") for name in names)
        return {
            "specversion": "1.0",
            "id": self.id.partition("/")[2],
            "source": f"urn:deltamark:store:{self.store}",
            "type": f"deltamark.{what}.{self.kind}",
            **({"subject": subject} if subject else {}),
            "time": _time(self.at),
            "datacontenttype": "application/json",
            "data": self.document(),
        }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@frozen(kw_only=True)
class Batch:
    """Changes in `after` < position <= `until`, in order of their positions: all that the sink shall have of them.

    :param again: whether they were refused before and are sent once more, outside that order.
    """

    after: Position
    until: Position
    changes: tuple[OutgoingChange, ...] = field(converter=as_tuple)
    again: bool = False
