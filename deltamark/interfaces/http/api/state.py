"""Routes that read the state: types, resources, links, derived values."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Any, TypedDict, TypeVar, cast

import orjson
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import QueryParameter

from deltamark.application.scheduling.due import next_due
from deltamark.application.services import utc_now
from deltamark.domain.values import shown
from deltamark.engine import Engine
from deltamark.infrastructure.system.time_zone import local_zone
from deltamark.interfaces.document_types import (
    CauseDocument,
    EntityTypeDocument,
    ExportedDocument,
    HealthDocument,
    JobDocument,
    ListedResource,
    ResourceDocument,
)
from deltamark.interfaces.documents import (
    CAUSE_MEMBERS,
    cause_document,
    entity_type_documents,
    exported_document,
    health_document,
    job_document,
    listed_document,
    resource_document,
)
from deltamark.interfaces.http.api.parameters import (
    BUDGET_S,
    EntityType,
    Key,
    Limit,
    SomeFormat,
    SomeMoment,
    SomeRaw,
    moment_of,
    refuse_unseen,
    seen,
)
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.dependencies import TheDownloads, TheEngine, TheUser
from deltamark.interfaces.http.formats import FORMS, Document, Form, Rows, form_of
from deltamark.interfaces.http.masks import refuse_masked_arrow
from deltamark.interfaces.http.users import Role, User

READER = {ROLE: Role.READER}
LISTED = {ROLE: Role.READER, FORMS: ("jsonl", "csv")}
WITH_ARROW = {ROLE: Role.READER, FORMS: ("jsonl", "csv", "arrow")}
_FOR_EVER = "private, max-age=31536000, immutable"
_Row = TypeVar("_Row", bound=Any)
_SLICE = 1_000


class StoreDocument(TypedDict):
    """Where the log is, and what the store takes."""

    position: int
    epoch: str


class HorizonDocument(TypedDict):
    """Up to which position changes were discarded."""

    connector: str
    subject: str
    position: int
    run: int
    task: str


class ResourcesPage(TypedDict):
    """Some resources of a type, by key: go on with `after` what `next` says."""

    resources: list[ListedResource]
    next: str | None
    more: bool


class LinkDocument(TypedDict):
    """A link."""

    association: str
    entity_type: str
    key: str
    other_entity_type: str
    other_key: str


class WhyDocument(TypedDict):
    """Why tasks would compute a resource, or since when its derived values are true."""

    live: bool
    causes: list[CauseDocument]
    derives: bool
    clean_since: int | None
    flagged_to: int
    unflagged: int
    all_flagged: bool


@get("/entity-types", opt=READER, sync_to_thread=True)
def entity_types(engine: TheEngine, user: TheUser) -> list[EntityTypeDocument]:
    """The entity types that a user may see, with how many resources there are."""
    known = entity_type_documents(engine.configuration, engine.counts(), engine.horizons())
    return [document for document in known if user.sees(document["entity_type"])]


@get("/jobs", opt=READER, sync_to_thread=True)
def jobs(engine: TheEngine) -> list[JobDocument]:
    """The jobs of the configuration, when they are due next, and what they leave out."""
    now = utc_now()
    return [
        job_document(job, next_due(job, now, local_zone), engine.left_out(job.identifier))
        for job in engine.configuration.jobs
    ]


@get("/health", opt=READER, sync_to_thread=True)
def health(engine: TheEngine, user: TheUser) -> HealthDocument:
    """Whether the schedule is kept, no connector is held back, and what is stored is fed.

    Problems name entity types: who may see only some reads that there are some.
    """
    document = health_document(engine.health())
    if user.entity_types is not None:
        hidden = (
            ["there are problems that only those may read who see all entity types"] if document["problems"] else []
        )
        document = {**document, "problems": hidden, "unfed": []}
    return document


@get("/position", opt=READER, sync_to_thread=True)
def position(engine: TheEngine) -> StoreDocument:
    """The newest position of the log, and which store it is."""
    return {"position": engine.position(), "epoch": engine.epoch()}


@get("/horizons", opt=READER, sync_to_thread=True)
def horizons(engine: TheEngine, user: TheUser) -> list[HorizonDocument]:
    """Up to which positions changes were discarded."""
    return [
        {
            "connector": horizon.connector,
            "subject": horizon.subject,
            "position": horizon.position,
            "run": horizon.run,
            "task": horizon.task,
        }
        for horizon in engine.horizons()
        if user.entity_types is None or user.sees(horizon.subject)
    ]


@get("/resources", opt=WITH_ARROW, sync_to_thread=True)
def resources(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    entity_type: EntityType,
    after: Annotated[str | None, QueryParameter(description="Only keys beyond this one.")] = None,
    prefix: Annotated[str, QueryParameter(description="Only keys that begin so.")] = "",
    property_name: Annotated[str | None, QueryParameter(name="property", description="With `value`.")] = None,
    value: Annotated[str | None, QueryParameter(description="Only where the property has this value.")] = None,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[ResourcesPage]:
    """Resources of a type, by key: a page as JSON, or all of them as JSON lines, CSV or Arrow."""
    refuse_unseen(user, entity_type)
    form = form_of(request, with_arrow=True)
    where = {} if property_name is None else {property_name: value}

    def page(start: str | None, most: int, budget_s: float | None) -> tuple[list[ListedResource], str | None, bool]:
        found = engine.resources(entity_type, after=start, prefix=prefix, where=where, limit=most, budget_s=budget_s)
        rows = [listed_document(item) for item in found.resources]
        return rows, found.scanned_to, found.more

    if form is Form.JSON:
        rows, scanned_to, more = page(after, limit, BUDGET_S)
        return Response({"resources": rows, "next": scanned_to if more else None, "more": more})
    engine.resources(entity_type, where=where, limit=1, budget_s=0)  # refuses what does not exist before it streams

    def documents() -> Iterator[Document]:
        start, more = after, True
        while more:
            rows, start, more = page(start, _SLICE, None)
            yield from rows

    names = [item.identifier for item in engine.type_model(entity_type).properties]
    flat = (
        documents if form is Form.JSONL else lambda: ({"key": row["key"], **row["properties"]} for row in documents())
    )
    if form is Form.ARROW:
        refuse_masked_arrow(engine, entity_type)
    if form is Form.ARROW and (prefix or after is not None):
        raise ValidationException(
            "Arrow is given for all resources of a type, or those with a value. Leave out after and prefix."
        )
    whole = Rows(
        documents=flat,
        columns=["key", *names],
        arrow=lambda: engine.export_batches(entity_type, where=where, with_links=False, rows=_SLICE),
    )
    return streamed(downloads.answer(whole, form, raw=is_raw(request)))


def streamed(answer: Any) -> Response[Any]:
    """A stream, in the place of a page."""
    return cast("Response[Any]", answer)


def is_raw(request: Request[Any, Any, Any]) -> bool:
    """Whether CSV is asked for with values as they are, also those that a spreadsheet takes for a formula."""
    return request.query_params.get("raw") == "1"


@get("/exports", opt=WITH_ARROW, sync_to_thread=True)
def export(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    entity_type: EntityType,
    at: SomeMoment = None,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[list[ExportedDocument]]:
    """All resources of a type with their links, now or as they were, as JSON lines, CSV or Arrow; JSON is not given."""
    refuse_unseen(user, entity_type)
    moment = moment_of(at)
    form = form_of(request, with_arrow=True)
    hidden = _hidden_links(engine, user)
    if form is Form.ARROW:
        refuse_masked_arrow(engine, entity_type)
        if hidden:
            refuse_unseen(user, None)
        whole = Rows(
            documents=lambda: iter(()),
            columns=(),
            arrow=lambda: engine.export_batches(entity_type, moment, rows=_SLICE),
        )
        return streamed(downloads.answer(whole, form))
    model, resources = engine.export_view(entity_type, moment)
    names = [item.identifier for item in model.properties]
    links = [item.identifier for item in model.associations if item.identifier not in hidden]

    def documents() -> Iterator[Document]:
        for item in resources:
            document = exported_document(item)
            shown_links = {name: keys for name, keys in document["links"].items() if name not in hidden}
            yield {**document, "links": shown_links}

    def flat() -> Iterator[Document]:
        return ({"key": row["key"], **row["properties"], **row["links"]} for row in documents())

    form = Form.JSONL if form is Form.JSON else form
    rows = Rows(documents=documents if form is Form.JSONL else flat, columns=["key", *names, *links])
    return streamed(downloads.answer(rows, form, raw=is_raw(request)))


def _hidden_links(engine: Engine, user: User) -> set[str]:
    """The associations that lead to what a user may not see."""
    return {
        item.identifier
        for item in engine.configuration.associations
        if not (user.sees(item.property1.entity_type) and user.sees(item.property2.entity_type))
    }


@get("/resource", opt=READER, sync_to_thread=True)
def resource(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    entity_type: EntityType,
    key: Key,
    at: SomeMoment = None,
) -> Response[ResourceDocument]:
    """One resource with its links, now or as it was."""
    refuse_unseen(user, entity_type)
    moment = moment_of(at)
    found = engine.resource(entity_type, key, at=moment)
    if found is None:
        raise NotFoundException(f"there is no {entity_type} {shown(key)}{'' if moment is None else ' at that moment'}.")
    links = engine.links(entity_type, key, at=moment)
    visible = [link for link in links if user.sees(link.source.entity_type) and user.sees(link.target.entity_type)]
    caching = "no-cache" if moment is None else _FOR_EVER
    return with_etag(request, resource_document(found, visible), caching)


def with_etag(request: Request[Any, Any, Any], document: Any, caching: str) -> Response[Any]:
    """An answer with the digest of its content, which is not sent again to who has it."""
    etag = f'"{sha256(orjson.dumps(document)).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": caching, "Vary": "Authorization, Cookie"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(None, status_code=304, headers=headers)
    return Response(document, headers=headers)


@get("/resource/links", opt=READER, sync_to_thread=True)
def links(
    engine: TheEngine, user: TheUser, entity_type: EntityType, key: Key, at: SomeMoment = None
) -> list[LinkDocument]:
    """The links of a resource in both directions, now or as they were."""
    refuse_unseen(user, entity_type)
    rows: list[LinkDocument] = [
        {
            "association": link.association,
            "entity_type": link.source.entity_type,
            "key": link.source.key,
            "other_entity_type": link.target.entity_type,
            "other_key": link.target.key,
        }
        for link in engine.links(entity_type, key, at=moment_of(at))
    ]
    return list(seen(user, rows))


@get("/resource/why", opt=LISTED, sync_to_thread=True)
def why(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    entity_type: EntityType,
    key: Key,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[WhyDocument]:
    """Why tasks would compute a resource: one document as JSON; the causes alone as JSON lines or CSV."""
    refuse_unseen(user, entity_type)
    form = form_of(request, with_arrow=False)
    found = engine.why(entity_type, key)
    causes = list(seen(user, map(cause_document, found.causes)))
    if form is not Form.JSON:
        rows = Rows(documents=lambda: iter(causes), columns=CAUSE_MEMBERS)
        return streamed(downloads.answer(rows, form, raw=is_raw(request)))
    document: WhyDocument = {
        "live": found.live,
        "causes": causes,
        "derives": found.derives,
        "clean_since": found.clean_since,
        "flagged_to": found.flagged_to,
        "unflagged": found.unflagged,
        "all_flagged": found.all_flagged,
    }
    return Response(document)


ROUTES = (
    entity_types, jobs, health, position, horizons, resources, export, resource, links, why,
)  # fmt: skip
"""Its routes."""
