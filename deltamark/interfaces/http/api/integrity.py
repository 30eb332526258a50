"""Routes about the store as a whole: its proof and space, the configuration and its faults, who had what."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal, TypedDict

from litestar import Request, Response, get
from litestar.exceptions import ValidationException
from litestar.params import QueryParameter

from deltamark.engine import Engine
from deltamark.interfaces.document_types import FaultDocument
from deltamark.interfaces.documents import held_document, time_of
from deltamark.interfaces.http.api.parameters import (
    Limit,
    Moment,
    SomeEntityType,
    SomeFormat,
    SomeKey,
    SomeMoment,
    SomeRaw,
    moment_of,
    refuse_unseen,
    seen,
)
from deltamark.interfaces.http.api.state import LISTED, READER, is_raw, streamed
from deltamark.interfaces.http.dependencies import TheDownloads, TheEngine, TheReports, TheUser
from deltamark.interfaces.http.formats import Document, Form, Rows, form_of

XML = "application/xml"


class CheckpointDocument(TypedDict):
    """What the log is up to a position: keep it elsewhere, and give it to a verification later."""

    log: str
    position: int
    at: str
    digest: str


class VerificationRecordDocument(TypedDict):
    """What came of a verification: of the log and the state, or of derived values.

    `position` is the end of the log that was read, `sample` how many resources of each type were verified: null for
    all.
    """

    part: Literal["log", "derived"]
    at: str
    position: int
    faults: int
    is_sound: bool
    sample: int | None


class SpaceDocument(TypedDict):
    """The bytes that the store takes, and how many of them are free inside; None where only the database knows."""

    size: int
    free: int | None


class HeldPage(TypedDict):
    """What was held between two moments, and whether there is more of it than `limit`."""

    held: list[dict[str, Any]]
    more: bool


@get("/verification-records", opt=READER, sync_to_thread=True)
def verification_records(engine: TheEngine, user: TheUser) -> list[VerificationRecordDocument]:
    """The verifications on record, whoever made them, the newest first, at most a hundred."""
    refuse_unseen(user, None)
    return [
        {
            "part": record.part.value,
            "at": time_of(record.at) or "",
            "position": record.position,
            "faults": record.faults,
            "is_sound": record.is_sound,
            "sample": record.sample,
        }
        for record in engine.verifications()
    ]


@get("/checkpoint", opt=READER, sync_to_thread=True)
def checkpoint(engine: TheEngine) -> CheckpointDocument | None:
    """What the log is now, to be kept elsewhere; null where it is empty."""
    found = engine.checkpoint()
    if found is None:
        return None
    return {"log": found.log, "position": found.position, "at": time_of(found.at) or "", "digest": found.digest}


@get("/space", opt=READER, sync_to_thread=True)
def space(engine: TheEngine) -> SpaceDocument:
    """The space that the store takes."""
    found = engine.space()
    return {"size": found.size, "free": found.free}


@get("/configuration", opt=READER, sync_to_thread=True, media_type=XML)
def configuration(
    request: Request[Any, Any, Any], engine: TheEngine, user: TheUser, at: SomeMoment = None
) -> Response[str]:
    """The configuration as canonical XML: the one that the server was started with, or the one in force at a moment.

    Its `ETag` is the SHA-256 of the XML, by which adoptions are recorded.
    """
    refuse_unseen(user, None)
    moment = moment_of(at)
    xml = _xml(engine) if moment is None else engine.configuration_at(moment).xml
    from deltamark.domain.adoption.configuration_adopted import xml_digest

    etag = f'"{xml_digest(xml)}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Authorization, Cookie"}
    if etag in request.headers.get("if-none-match", ""):
        return Response("", status_code=304, headers=headers, media_type=XML)
    return Response(xml, headers=headers, media_type=XML)


def _xml(engine: Engine) -> str:
    from deltamark.config.xml.canonical import CanonicalXML

    return CanonicalXML().write(engine.configuration)


@get("/faults", opt=READER, sync_to_thread=True)
def faults(user: TheUser, reports: TheReports) -> list[FaultDocument]:
    """The faults and warnings of the files of the configuration, as they are now."""
    refuse_unseen(user, None)
    return reports.faults()


@get("/resource/audit", opt=LISTED, sync_to_thread=True)
def audit(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    from_moment: Annotated[str, QueryParameter(name="from", description="A moment.")],
    to: Moment,
    entity_type: SomeEntityType = None,
    property_name: Annotated[str | None, QueryParameter(name="property", description="With `type`.")] = None,
    association: Annotated[str | None, QueryParameter(description="Instead of type and property.")] = None,
    key: SomeKey = None,
    value: Annotated[str | None, QueryParameter(description="Only where the property had this value.")] = None,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[HeldPage]:
    """Who had what between two moments, and since which change: values of a property, or links of an association.

    The first ones as JSON, or all of them as JSON lines or CSV.
    """
    refuse_unseen(user, entity_type)
    form = form_of(request, with_arrow=False)
    first, second = moment_of(from_moment), moment_of(to)
    assert first is not None
    assert second is not None
    if (association is None) == (entity_type is None or property_name is None):
        raise ValidationException("name a type and a property, or an association.")
    if association is not None and value is not None:
        raise ValidationException("value goes with a property.")

    def documents() -> Iterator[Document]:
        if association is not None:
            yield from seen(user, map(held_document, engine.audit_association(association, first, second, key=key)))
            return
        assert entity_type is not None
        assert property_name is not None
        rows = engine.audit(entity_type, property_name, first, second, key=key)
        yield from (held_document(row) for row in rows if value is None or _is_written(row.value, value))

    if form is Form.JSON:
        rows = documents()
        answer = list(islice(rows, limit + 1))
        rows.close()  # type: ignore[attr-defined]
        return Response({"held": [dict(row) for row in answer[:limit]], "more": len(answer) > limit})
    columns = (
        "entity_type",
        "key",
        "property",
        "value",
        "association",
        "other_entity_type",
        "other_key",
        "from",
        "until",
    )
    checked = documents()
    head = list(islice(checked, 1))  # refuses what does not exist before it streams

    def whole() -> Iterator[Document]:
        yield from head
        yield from checked

    return streamed(downloads.answer(Rows(documents=whole, columns=columns), form, raw=is_raw(request)))


def _is_written(value: Any, text: str) -> bool:
    """Whether a value is the one that a text of an address means."""
    from deltamark.application.history.resource_pages import has_values

    return has_values({"": value}, {"": text})


ROUTES = (verification_records, checkpoint, space, configuration, faults, audit)
"""Its routes."""
