"""The description of the API: OpenAPI 3.1, made of the routes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.dependencies import NAMES
from deltamark.interfaces.http.formats import FORMS
from deltamark.interfaces.http.problems import MEDIA_TYPE
from deltamark.interfaces.http.users import Role
from deltamark.version import __version__

_MEDIA_TYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "event-stream": "text/event-stream",
    "cloudevents": "application/cloudevents-batch+json",
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
    },
}
_ABOUT = (
    "What the store knows, and what can be done with it. Errors are problem details (RFC 9457). A list goes on where "
    "its `next` says; there are no totals. Sign in with an API token: `deltamark token create`."
)


def described(routes: Sequence[HTTPRouteHandler], path: str) -> dict[str, Any]:
    """The description of routes below a path."""
    app = Litestar(
        [Router(path, route_handlers=routes)],
        dependencies={name: Provide(lambda: None, sync_to_thread=False) for name in NAMES},
        openapi_config=OpenAPIConfig(
            title="Deltamark", version=__version__, description=_ABOUT, operation_id_creator=_name
        ),
        logging_config=None,
    )
    document: dict[str, Any] = app.openapi_schema.to_schema()
    document["components"].setdefault("schemas", {})["Problem"] = _PROBLEM
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    by_operation = {handler.handler_name: handler for handler in routes}
    for item in document["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                _complete(operation, by_operation)
    return cast("dict[str, Any]", _any_of(document))


def _any_of(part: Any) -> Any:
    """Says `anyOf` for `oneOf`: a whole number is also a number, and so one of two."""
    if isinstance(part, dict):
        return {("anyOf" if name == "oneOf" else name): _any_of(value) for name, value in part.items()}
    return [_any_of(value) for value in part] if isinstance(part, list) else part


def _complete(operation: dict[str, Any], handlers: dict[str, HTTPRouteHandler]) -> None:
    """Adds what is the same for every route: problems, other forms, and the role that it needs."""
    handler = handlers[operation["operationId"]]
    operation["description"] = inspect.getdoc(handler.fn) or ""
    operation["summary"] = operation["description"].partition("\n")[0]
    for status in [status for status in operation["responses"] if not status.startswith("2")]:
        del operation["responses"][status]
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    operation["responses"]["default"] = {"description": "A problem", "content": {MEDIA_TYPE: problem}}
    for form in handler.opt.get(FORMS, ()):
        operation["responses"]["200"].setdefault("content", {})[_MEDIA_TYPES[form]] = {"schema": {}}
    role = handler.opt[ROLE]
    if isinstance(role, Role):
        operation["x-role"] = role.value


def _name(handler: HTTPRouteHandler, method: Method, path_components: list[str | PathParameterDefinition]) -> str:
    return handler.handler_name
