"""Routes that read what was derived, and what differs between two moments: pages, or whole lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, TypedDict, TypeVar

from attrs import astuple
from litestar import Request, Response, get
from litestar.params import QueryParameter

from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.history.changes import CorrelationKey, MatchedPair
from deltamark.domain.history.diff import Difference
from deltamark.domain.history.pages import AmbiguousKey
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import ResourceRef
from deltamark.engine import Engine
from deltamark.interfaces.document_types import (
    ClassificationDocument,
    DeltaDocument,
    DirtyDocument,
    KeyDocument,
    PairDocument,
)
from deltamark.interfaces.documents import (
    classification_document,
    delta_document,
    dirty_document,
    key_document,
    pair_document,
)
from deltamark.interfaces.http.api.parameters import (
    EntityType,
    Limit,
    Moment,
    SomeEntityType,
    SomeFormat,
    SomeRaw,
    moment_of,
    refuse_unseen,
    seen,
    sees_row,
)
from deltamark.interfaces.http.api.state import LISTED, READER, is_raw, streamed
from deltamark.interfaces.http.cursors import cursor_of, parts_of, row_at
from deltamark.interfaces.http.dependencies import TheDownloads, TheEngine, TheUser
from deltamark.interfaces.http.formats import Document, Form, Rows, form_of
from deltamark.interfaces.http.users import User

_Row = TypeVar("_Row")
_Document = TypeVar("_Document", bound=Any)

After = Annotated[str | None, QueryParameter(description="`next` of the page before.")]
SomeRule = Annotated[str | None, QueryParameter(description="Only of one rule.")]


class KeysPage(TypedDict):
    """Some correlation keys: go on with `after` what `next` says."""

    keys: list[KeyDocument]
    next: str | None


class PairsPage(TypedDict):
    """Some matched pairs: go on with `after` what `next` says."""

    pairs: list[PairDocument]
    next: str | None


class AmbiguousDocument(TypedDict):
    """A value that several resources have on one side of a rule, with the first of them."""

    rule: str
    value: str
    source_count: int
    target_count: int
    sources: list[str]
    targets: list[str]


class AmbiguousPage(TypedDict):
    """Some ambiguous values: go on with `after` what `next` says."""

    ambiguous: list[AmbiguousDocument]
    next: str | None


class ClassificationsPage(TypedDict):
    """Some classifications: go on with `after` what `next` says."""

    classifications: list[ClassificationDocument]
    next: str | None


class DirtyPage(TypedDict):
    """Some resources that tasks would compute: go on with `after` what `next` says."""

    dirty: list[DirtyDocument]
    next: str | None


class DiffPage(TypedDict):
    """Some differences: go on with `after` what `next` says."""

    differences: list[DeltaDocument]
    next: str | None


def _page(
    user: User,
    read: Callable[[_Row | None, int], Iterable[_Row]],
    document: Callable[[Any], _Document],
    after: _Row | None,
    limit: int,
) -> tuple[list[_Document], _Row | None]:
    """The first rows beyond a place that a user may see, and the last of them where others follow.

    :param read: reads so many rows beyond a place.
    """
    visible: list[tuple[_Row, _Document]] = []
    while True:
        rows = list(read(after, limit + 1))
        for row in rows:
            shown = document(row)
            if sees_row(user, shown):
                visible.append((row, shown))
        if len(visible) > limit:
            return [shown for _, shown in visible[:limit]], visible[limit - 1][0]
        if len(rows) <= limit:
            return [shown for _, shown in visible], None
        after = rows[-1]


def _whole(
    request: Request[Any, Any, Any],
    user: User,
    downloads: TheDownloads,
    read: Callable[[], Iterator[Any]],
    columns: Sequence[str],
    form: Form,
) -> Response[Any]:
    """A whole list, as it is read."""
    checked = read()
    first = next(checked, None)  # refuses what does not exist before it streams

    def documents() -> Iterator[Document]:
        if first is not None:
            yield from seen(user, [first])
            yield from seen(user, checked)

    return streamed(downloads.answer(Rows(documents=documents, columns=columns), form, raw=is_raw(request)))


@get("/keys", opt=LISTED, sync_to_thread=True)
def keys(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    rule: SomeRule = None,
    after: After = None,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[KeysPage]:
    """Correlation keys: a page as JSON, or all of them as JSON lines or CSV."""
    form = form_of(request, with_arrow=False)
    if form is not Form.JSON:
        columns = ("rule", "side", "entity_type", "key", "value")
        return _whole(request, user, downloads, lambda: map(key_document, engine.keys(rule)), columns, form)
    begin = None if after is None else row_at(after, CorrelationKey)
    rows, last = _page(user, lambda place, most: engine.keys(rule, after=place, limit=most), key_document, begin, limit)
    return Response({"keys": rows, "next": None if last is None else cursor_of(last)})


@get("/pairs", opt=LISTED, sync_to_thread=True)
def pairs(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    rule: SomeRule = None,
    after: After = None,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[PairsPage]:
    """The pairs of resources that correlation rules match: a page as JSON, or all of them as JSON lines or CSV."""
    form = form_of(request, with_arrow=False)
    if form is not Form.JSON:
        columns = (
            "rule",
            "value",
            "source_entity_type",
            "source_key",
            "target_entity_type",
            "target_key",
            "confidence",
        )
        return _whole(request, user, downloads, lambda: map(pair_document, engine.matches(rule)), columns, form)
    begin = None if after is None else row_at(after, MatchedPair)
    rows, last = _page(
        user, lambda place, most: engine.matches(rule, after=place, limit=most), pair_document, begin, limit
    )
    return Response({"pairs": rows, "next": None if last is None else cursor_of(last)})


@get("/ambiguous", opt=READER, sync_to_thread=True)
def ambiguous(
    engine: TheEngine,
    user: TheUser,
    rule: Annotated[str, QueryParameter(description="A correlation rule.")],
    after: After = None,
    limit: Limit = 100,
) -> AmbiguousPage:
    """The values of a rule that several resources have on one side, each with the first ten of either side."""
    begin = None if after is None else parts_of(after, str)[0]
    found = engine.ambiguous(rule, after=begin, limit=limit + 1)
    rows = found[:limit]
    for row in rows:
        refuse_unseen(user, *(ref.entity_type for ref in (*row.sources, *row.targets)))
    return {
        "ambiguous": [_ambiguous_document(row) for row in rows],
        "next": cursor_of(rows[-1].value) if len(found) > limit else None,
    }


def _ambiguous_document(row: AmbiguousKey) -> AmbiguousDocument:
    return {
        "rule": row.rule,
        "value": row.value,
        "source_count": row.source_count,
        "target_count": row.target_count,
        "sources": [ref.key for ref in row.sources],
        "targets": [ref.key for ref in row.targets],
    }


@get("/classifications", opt=LISTED, sync_to_thread=True)
def classifications(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    entity_type: SomeEntityType = None,
    after: After = None,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[ClassificationsPage]:
    """The resource type that was found for each resource: a page as JSON, or all of them as JSON lines or CSV."""
    form = form_of(request, with_arrow=False)
    if form is not Form.JSON:
        columns = ("entity_type", "key", "resource_type", "rule", "confidence")
        return _whole(
            request,
            user,
            downloads,
            lambda: map(classification_document, engine.classifications(entity_type)),
            columns,
            form,
        )
    rows, last = _page(
        user,
        lambda place, most: map(
            classification_document, engine.classifications(entity_type, after=_ref_of(place), limit=most)
        ),
        lambda document: document,
        None if after is None else _ref_document(row_at(after, ResourceRef)),
        limit,
    )
    return Response({"classifications": rows, "next": None if last is None else cursor_of(_ref_of(last))})


def _ref_of(document: Any) -> ResourceRef | None:
    return None if document is None else ResourceRef(document["entity_type"], document["key"])


def _ref_document(ref: ResourceRef) -> Any:
    return {"entity_type": ref.entity_type, "key": ref.key}


@get("/dirty", opt=LISTED, sync_to_thread=True)
def dirty(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    entity_type: SomeEntityType = None,
    task: Annotated[str | None, QueryParameter(description="Only of one task.")] = None,
    after: After = None,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[DirtyPage]:
    """What tasks would compute: a page as JSON, or all of it as JSON lines or CSV.

    Whole lists also have what may follow: resources that read what is about to be computed. They have `through`.
    """
    form = form_of(request, with_arrow=False)
    if form is not Form.JSON:
        columns = ("task", "entity_type", "key", "since", "through")
        return _whole(
            request,
            user,
            downloads,
            lambda: map(dirty_document, iter(engine.dirty(entity_type, task=task))),
            columns,
            form,
        )
    begin = None if after is None else parts_of(after, str, str, str)
    tasks = _dirty_tasks(engine) if task is None else [task]

    def read(place: Any, most: int) -> list[Any]:
        rows: list[DirtyDocument] = []
        for name in tasks:
            if place is not None and name < place["task"]:
                continue
            ref = _ref_of(place) if place is not None and name == place["task"] else None
            found = engine.dirty(entity_type, task=name, after=ref, limit=most - len(rows))
            rows += map(dirty_document, found)
            if len(rows) == most:
                break
        return rows

    place: Any = None if begin is None else dict(zip(("task", "entity_type", "key"), begin, strict=True))
    rows, last = _page(user, read, lambda document: document, place, limit)
    following = None if last is None else cursor_of(last["task"], last["entity_type"], last["key"])
    return Response({"dirty": rows, "next": following})


def _dirty_tasks(engine: Engine) -> list[str]:
    calls = engine.configuration.all_calls_of(ComputingTask)
    return sorted({task.identifier for task in calls if task.dirty})


@get("/diff", opt=LISTED, sync_to_thread=True)
def diff(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    entity_type: EntityType,
    from_moment: Annotated[str, QueryParameter(name="from", description="A moment.")],
    to: Moment,
    after: After = None,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[DiffPage]:
    """What differs between two moments: a page as JSON, or all of it as JSON lines or CSV."""
    refuse_unseen(user, entity_type)
    first, second = moment_of(from_moment), moment_of(to)
    assert first is not None
    assert second is not None
    form = form_of(request, with_arrow=False)
    if form is not Form.JSON:
        columns = ("change", "entity_type", "key", "association", "other_entity_type", "other_key", "changes")
        return _whole(
            request,
            user,
            downloads,
            lambda: map(delta_document, engine.diff(entity_type, first, second)),
            columns,
            form,
        )
    begin = None if after is None else _difference_at(after, entity_type)
    documents: list[DeltaDocument] = []
    last: Difference | None = None
    rows = engine.diff(entity_type, first, second, after=begin)
    more = False
    for row in rows:
        document = delta_document(row)
        if sees_row(user, document):
            if len(documents) == limit:
                more = True
                break
            documents.append(document)
            last = row
    return Response({"differences": documents, "next": _cursor_of_difference(last) if more and last else None})


def _cursor_of_difference(row: Difference) -> str:
    ref = row.ref
    if isinstance(ref, LinkRef):
        return cursor_of("link", ref.association, *astuple(ref.source), *astuple(ref.target))
    return cursor_of("resource", ref.key)


def _difference_at(cursor: str, entity_type: str) -> ResourceRef | LinkRef:
    if cursor.startswith('["link"'):
        _, association, *ends = parts_of(cursor, *(str,) * 6)
        return LinkRef(association, ResourceRef(*ends[:2]), ResourceRef(*ends[2:]))
    return ResourceRef(entity_type, parts_of(cursor, str, str)[1])


ROUTES = (keys, pairs, ambiguous, classifications, dirty, diff)
"""Its routes."""
