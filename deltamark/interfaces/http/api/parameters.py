"""The parameters that routes share, and what a user may see of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from litestar.connection import ASGIConnection
from litestar.datastructures.headers import Accept
from litestar.exceptions import PermissionDeniedException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter, QueryParameter

from deltamark.domain.history.changes import LoggedChange, PendingChange, When
from deltamark.domain.resources.link import LinkRef
from deltamark.interfaces.http.formats import FORMS, Form, NotAcceptable
from deltamark.interfaces.http.users import User
from deltamark.interfaces.moments import moment_named

LARGEST = 2**63 - 1
MOST = 1_000
BUDGET_S = 0.2
"""How long a page is searched for: what was found by then is answered, with how far the search came."""

_MOMENT = (
    "A moment: a position, a time with its zone, a day (in UTC), `yesterday`, or the end of a run: `run:N`, `run:last`."
)

EntityType: TypeAlias = Annotated[str, QueryParameter(name="type", description="An entity type.")]
SomeEntityType: TypeAlias = Annotated[str | None, QueryParameter(name="type", description="Only of an entity type.")]
Key: TypeAlias = Annotated[str, QueryParameter(description="The key of a resource.")]
SomeKey: TypeAlias = Annotated[str | None, QueryParameter(description="Only of one key.")]
Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many rows at most.")]
SomePosition: TypeAlias = Annotated[int | None, QueryParameter(ge=0, le=LARGEST, description="A position of the log.")]
SomeNumber: TypeAlias = Annotated[int | None, QueryParameter(ge=1, le=LARGEST, description="The number of a run.")]
RunNumber: TypeAlias = Annotated[int, PathParameter(ge=1, le=LARGEST, description="The number of a run.")]
SomeMoment: TypeAlias = Annotated[str | None, QueryParameter(description=_MOMENT)]
Moment: TypeAlias = Annotated[str, QueryParameter(description=_MOMENT)]
SomeFormat: TypeAlias = Annotated[
    str | None, QueryParameter(name="format", description="json, jsonl, csv or arrow; otherwise `Accept` says it.")
]
SomeRaw: TypeAlias = Annotated[
    Literal["0", "1"] | None,
    QueryParameter(name="raw", description="1: CSV has values as they are, also those that are formulas elsewhere."),
]

_Row = TypeVar("_Row", bound=Mapping[str, Any])
_TYPES = ("entity_type", "other_entity_type", "source_entity_type", "target_entity_type")


def refuse_unknown_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuses a parameter that a route does not know: an answer without it would look as if it had been kept to.

    `format=json` asks every route for what it answers anyway.

    :raises ValidationException: for each one in the query, with those that the route knows.
    """
    known = {
        field.kwarg_definition.name or name
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    }
    if connection.query_params.get("format") == "json":
        known.add("format")
    if FORMS not in handler.opt and "format" not in known:
        _refuse_other_forms(connection)
    unknown = sorted(set(connection.query_params) - known)
    if unknown:
        raise ValidationException(
            f"{', '.join(unknown)}: this route has no such parameter. "
            + (f"It has {', '.join(sorted(known))}." if known else "It has none.")
        )


def _refuse_other_forms(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Refuses the forms of lists for what is no list.

    :raises NotAcceptable: if one of them is asked for, and JSON is not.
    """
    named, others = connection.query_params.get("format"), [form for form in Form if form is not Form.JSON]
    accepted = Accept(connection.headers.get("accept", "*/*"))
    names = [form.name.lower() for form in others]
    is_named = named in names
    if is_named or (not accepted.accepts(Form.JSON.value) and any(accepted.accepts(form.value) for form in others)):
        raise NotAcceptable(
            f"this route answers with one document, as {Form.JSON.value}. It has no rows for {' or '.join(names)}."
        )


def refuse_unseen(user: User, *entity_types: str | None) -> None:
    """Refuses what a user may not see.

    :raises PermissionDeniedException: for an entity type that is not among theirs; None stands for all of them.
    """
    if user.entity_types is None:
        return
    for entity_type in entity_types:
        if entity_type is None or not user.sees(entity_type):
            raise PermissionDeniedException(f"{user.name} may see only {', '.join(sorted(user.entity_types))}.")


def seen(user: User, documents: Iterable[_Row]) -> Iterator[_Row]:
    """The rows that a user may see."""
    for document in documents:
        if sees_row(user, document):
            yield document


def sees_row(user: User, document: Mapping[str, Any]) -> bool:
    """Whether a user may see a row: all entity types that it names are theirs."""
    named = (document.get(name) for name in _TYPES)
    return user.entity_types is None or all(user.sees(name) for name in named if isinstance(name, str))


def sees_change(user: User, change: LoggedChange | PendingChange) -> bool:
    """Whether a user may see a change."""
    ref = change.event.ref
    if isinstance(ref, LinkRef):
        return user.sees(ref.source.entity_type) and user.sees(ref.target.entity_type)
    return user.sees(ref.entity_type)


def moment_of(text: str | None) -> When | None:
    """The moment that a text names, with days in UTC; None for None.

    :raises UsageError: if it names none.
    """
    return None if text is None else moment_named(text)
