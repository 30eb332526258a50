"""Routes about the log: changes, the history of a resource, the feed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

from litestar import Request, Response, get
from litestar.exceptions import ValidationException
from litestar.params import QueryParameter
from litestar.response import Stream

from deltamark.domain.history.changes import ChangeKind, LoggedChange, When
from deltamark.domain.resources.link import LinkRef
from deltamark.interfaces.document_types import ChangeDocument, CloudEventDocument
from deltamark.interfaces.documents import change_document, cloud_event
from deltamark.interfaces.http.api.parameters import (
    BUDGET_S,
    EntityType,
    Key,
    Limit,
    SomeEntityType,
    SomeFormat,
    SomeKey,
    SomeMoment,
    SomeNumber,
    SomePosition,
    SomeRaw,
    moment_of,
    refuse_unseen,
    sees_change,
)
from deltamark.interfaces.http.api.state import READER, is_raw, streamed
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.dependencies import TheDownloads, TheEngine, TheHub, TheUser
from deltamark.interfaces.http.feed import MOST_STREAMS, Following, TooManyStreams
from deltamark.interfaces.http.formats import FORMS, Document, Form, Rows, form_of
from deltamark.interfaces.http.masks import MaskedEngine, refuse_masked_arrow
from deltamark.interfaces.http.users import Role, User

EVENT_STREAM = "text/event-stream"
LONGEST_WAIT_S = 30
_SLICE = 1_000
_CLOUD_EVENTS = "application/cloudevents-batch+json"
_COLUMNS = (
    "position", "at", "change", "entity_type", "key", "association", "other_entity_type", "other_key", "changes", "run",
    "job", "task", "user", "trigger", "by", "reason", "file", "line",
)  # fmt: skip


class ChangesPage(TypedDict):
    """Some changes, and where to go on.

    `next` is the `before` (newest first) or the `after` (oldest first) of the next page; None where there is none.
    `horizon`: changes up to this position were discarded, of what was searched.
    """

    changes: list[ChangeDocument]
    next: int | None
    more: bool
    head: int
    horizon: int | None


Kind = Annotated[ChangeKind | None, QueryParameter(description="Only changes of a kind.")]
SomeTask = Annotated[str | None, QueryParameter(description="Only changes by the task of this identifier.")]
SomeOperator = Annotated[str | None, QueryParameter(description="Only of runs by this account, or for this person.")]
SomeProperty = Annotated[
    str | None,
    QueryParameter(name="property", description="Only where this property was created, changed or deleted."),
]
SomeAssociation = Annotated[str | None, QueryParameter(description="Only links of this association.")]
SomeRule = Annotated[str | None, QueryParameter(description="Only values that this rule computed.")]
SomeConnector = Annotated[
    str | None, QueryParameter(description="Only what this connector feeds or fed, without computed values.")
]


@get("/changes", opt={ROLE: Role.READER, FORMS: ("jsonl", "csv", "arrow", "cloudevents")})
async def changes(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    hub: TheHub,
    downloads: TheDownloads,
    after: SomePosition = None,
    before: SomePosition = None,
    until: SomeMoment = None,
    entity_type: SomeEntityType = None,
    key: SomeKey = None,
    run: SomeNumber = None,
    kind: Kind = None,
    task: SomeTask = None,
    operator: SomeOperator = None,
    property_name: SomeProperty = None,
    association: SomeAssociation = None,
    rule: SomeRule = None,
    connector: SomeConnector = None,
    limit: Limit = 100,
    wait: Annotated[int, QueryParameter(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for a change.")] = 0,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[ChangesPage]:
    """The log: newest first, or oldest first beyond `after`; with `wait` it waits for the next change.

    A page as JSON or as CloudEvents; as JSON lines, CSV or Arrow everything beyond `after`, oldest first.
    With `until` nothing later than that moment.
    """
    if user.entity_types is not None and entity_type is not None:
        refuse_unseen(user, entity_type)
    named: dict[str, Any] = {
        "entity_type": entity_type,
        "key": key,
        "run": run,
        "kind": kind and kind.value,
        "task": task,
        "user": operator,
        "property_name": property_name,
        "association": association,
        "rule": rule,
        "connector": connector,
    }
    last = moment_of(until)
    if wait and last is not None:
        raise ValidationException("wait is for what is still to happen, until for what has happened. Give one of them.")
    as_events = _CLOUD_EVENTS in request.headers.get("accept", "")
    form = Form.JSON if as_events else form_of(request, with_arrow=True)
    if form is not Form.JSON:
        if before is not None:
            raise ValidationException("before belongs to pages. Give after, or ask for JSON.")
        await asyncio.to_thread(lambda: engine.changes_page(after=after or 0, until=last, limit=1, budget_s=0, **named))
        rows = Rows(
            documents=lambda: map(_document, _all(engine, after or 0, last, user, named)),
            columns=_COLUMNS,
            arrow=None
            if user.entity_types is not None or kind is not None
            else lambda: _arrow(engine, after, last, named),
        )
        if form is Form.ARROW:
            refuse_masked_arrow(engine, None)
        if form is Form.ARROW and rows.arrow is None:
            refuse_unseen(user, None)
            raise ValidationException("Arrow is not given with kind. Leave it out.")
        return streamed(downloads.answer(rows, form, raw=is_raw(request)))
    if wait and after is not None:
        await hub.wait(after, wait)

    def read() -> Response[ChangesPage]:
        page = engine.changes_page(after=after, before=before, until=last, limit=limit, budget_s=BUDGET_S, **named)
        visible = [change for change in page.changes if sees_change(user, change)]
        if as_events:
            store = engine.epoch()
            events: list[CloudEventDocument] = [cloud_event(change, store) for change in visible]
            return streamed(Response(events, media_type=_CLOUD_EVENTS))
        has_next = page.more or after is not None
        return Response(
            {
                "changes": [change_document(change) for change in visible],
                "next": page.scanned_to if has_next else None,
                "more": page.more,
                "head": engine.position(),
                "horizon": None if page.horizon is None else page.horizon.position,
            }
        )

    return await asyncio.to_thread(read)


def _document(change: LoggedChange) -> Document:
    return change_document(change)


def _all(engine: Any, after: int, until: When | None, user: User, named: dict[str, Any]) -> Iterator[LoggedChange]:
    """Everything beyond a position, read a part at a time: no view of the store stays open meanwhile."""
    head, more = engine.position(until), True
    while more and after < head:
        page = engine.changes_page(after=after, limit=_SLICE, **named)
        yield from (change for change in page.changes if change.position <= head and sees_change(user, change))
        after, more = page.scanned_to, page.more


def _arrow(engine: Any, after: int | None, until: When | None, named: dict[str, Any]) -> Any:
    chosen = {name: value for name, value in named.items() if name != "kind"}
    return engine.changes(after or 0, until, kept_only=True, **chosen).batches()


@get("/resource/history", opt=READER, sync_to_thread=True)
def history(
    engine: TheEngine,
    user: TheUser,
    entity_type: EntityType,
    key: Key,
    after: Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="A position of the log.")] = 0,
    until: SomeMoment = None,
    limit: Limit = 100,
) -> ChangesPage:
    """The changes of one resource and of its links, oldest first."""
    refuse_unseen(user, entity_type)
    page = engine.changes_page(after=after, until=moment_of(until), entity_type=entity_type, key=key, limit=limit)
    if not page.changes:
        engine.history(entity_type, key, limit=1)  # refuses a resource that never was
    return {
        "changes": [change_document(change) for change in page.changes if sees_change(user, change)],
        "next": page.scanned_to if page.more else None,
        "more": page.more,
        "head": engine.position(),
        "horizon": None if page.horizon is None else page.horizon.position,
    }


@get("/changes/stream", opt={**READER, FORMS: ("event-stream",)})
async def stream(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    hub: TheHub,
    after: SomePosition = None,
    entity_type: SomeEntityType = None,
    key: SomeKey = None,
    run: SomeNumber = None,
) -> Stream:
    """The log as it grows, as server-sent events: each change once, beyond `Last-Event-ID` or `after`, or from now on.

    Event `change`: its `id` is the position, its data the change. Event `discarded`: changes that are asked for were
    discarded, and the stream ends. Its `id` is the position up to which they were, with which a reader goes on;
    `GET /changes` with `after` gives what is kept before it.
    """
    if hub.streams >= MOST_STREAMS:
        raise TooManyStreams("too many streams are open.", headers={"Retry-After": "5"})
    if entity_type is not None:
        refuse_unseen(user, entity_type)
    last = request.headers.get("last-event-id", "")
    if last:
        if not (last.isascii() and last.isdigit() and len(last) <= 18):
            raise ValidationException("Last-Event-ID is the position of a change.")
        after = int(last)
    named: dict[str, Any] = {"entity_type": entity_type, "key": key, "run": run}
    if after is None:
        after = await asyncio.to_thread(engine.position)
    # Refuses what does not exist before it begins.
    start = after
    await asyncio.to_thread(lambda: engine.changes_page(after=start, limit=1, budget_s=0, **named))

    def admits(change: LoggedChange) -> bool:
        ref = change.event.ref
        refs = [ref.source, ref.target] if isinstance(ref, LinkRef) else [ref]
        return (
            any(entity_type in (None, ref.entity_type) and key in (None, ref.key) for ref in refs)
            and (run is None or change.run == run)
            and sees_change(user, change)
        )

    sees_all = entity_type is None and key is None and run is None and user.entity_types is None
    following = Following(
        after=start,
        admits=None if sees_all else admits,
        read=lambda place: engine.changes_page(after=place, limit=_SLICE, **named),
        mask=engine.change if isinstance(engine, MaskedEngine) else None,
        entity_type=entity_type,
    )
    return Stream(
        hub.messages(following),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


ROUTES = (changes, history, stream)
"""Its routes."""
