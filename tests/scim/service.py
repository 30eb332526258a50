"""A SCIM service on this machine: scim2-server with a storage in memory, behind a server of HTTP."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field
from scim2_models import Pagination, Patch, SCIMException, ScimProvider, ServiceProviderConfig
from scim2_server.handler import ScimHandler
from scim2_server.memory import InMemoryStorage
from scim2_server.requests import ScimRequest
from scim2_server.service import ScimService
from scim2_server.utils import load_default_provider

from deltamark.application.ports.sources import Question, WantedTable
from deltamark.domain.secrets import Secret
from tests.scenarios.http_server import Reply, Request, Server, http_server

TOKEN = "tulip-token-1"
START = datetime(2026, 11, 30, 8, tzinfo=UTC)

Intercept = Callable[[int, Request], Reply | None]
"""Is told each request with its number, from 1; answers it in the place of the service, or lets it pass."""


class Storage(InMemoryStorage):
    """Resources in memory, with numbered identifiers and a clock of its own."""

    def __init__(self) -> None:
        super().__init__(self._now)
        self.time = START
        self.numbers = itertools.count(1)

    def _now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def generate_id(self, resource_type: Any, resource: Any) -> str:
        return f"{resource_type.name[0].lower()}{next(self.numbers):04}"


@define
class Scim:
    """A service, and what a test does to it, past HTTP."""

    handler: ScimHandler
    storage: Storage
    server: Server
    intercept: Intercept = field(default=lambda number, request: None)
    requests: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url.removesuffix("/in") + "/scim/v2"

    @property
    def asked(self) -> list[str]:
        """The paths of all requests, with their queries."""
        return [request.path.removeprefix("/scim/v2") for request in self.server.requests]

    def answer(self, request: Request) -> Reply:
        """Answers a request over HTTP."""
        self.requests += 1
        instead = self.intercept(self.requests, request)
        if instead is not None:
            return instead
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return reply({"detail": f"not {request.headers.get('authorization')}", "status": "401"}, 401)
        parts = urlsplit(request.path)
        if parts.path.endswith("/Schemas"):
            return _schemas()
        return self.call(
            request.method,
            parts.path.removeprefix("/scim/v2"),
            json.loads(request.body) if request.body else None,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        )

    def call(self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None) -> Reply:
        """What the service answers, without HTTP."""
        asked = ScimRequest(
            method=method,
            base_url=self.url,
            path=path,
            query=query or {},
            headers={"Content-Type": "application/scim+json"},
            body=b"" if body is None else json.dumps(body).encode(),
        )
        try:
            response = self.handler.handle(asked)
        except SCIMException as e:
            response = self.handler.service.error_response(e)
        return reply(response.body, int(response.status))

    def create(self, path: str, /, **values: Any) -> str:
        """Creates a resource; returns its identifier."""
        schema = "User" if path == "/Users" else "Group"
        done = self.call("POST", path, {"schemas": [f"urn:ietf:params:scim:schemas:core:2.0:{schema}"], **values})
        assert done.status == 201, done
        return str(json.loads(done.body)["id"])

    def user(self, name: str, /, **values: Any) -> str:
        """Creates a user."""
        return self.create("/Users", userName=name, **values)

    def group(self, name: str, *members: str) -> str:
        """Creates a group."""
        return self.create(
            "/Groups", displayName=name, members=[{"value": member, "type": "User"} for member in members]
        )

    def patch(self, path: str, *operations: dict[str, Any]) -> None:
        """Modifies a resource."""
        schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
        done = self.call("PATCH", path, {"schemas": schemas, "Operations": list(operations)})
        assert done.status in (200, 204), done

    def set(self, path: str, /, **values: Any) -> None:
        """Replaces attributes of a resource."""
        self.patch(path, *({"op": "replace", "path": name, "value": value} for name, value in values.items()))

    def delete(self, path: str) -> None:
        """Deletes a resource."""
        done = self.call("DELETE", path)
        assert done.status == 204, done

    def ids(self, kind: str = "User") -> list[str]:
        """The identifiers of all resources of a type."""
        return sorted(self.storage._resources.get(kind, {}))


@cache
def _schemas() -> Reply:
    """The schemas of the service, which takes long to write them."""
    return reply({"Resources": [schema.model_dump(mode="json") for schema in _provider().schemas]})


def reply(body: Any, status: int = 200) -> Reply:
    """An answer of JSON."""
    return Reply(status, {"Content-Type": "application/scim+json"}, b"" if body is None else json.dumps(body).encode())


@cache
def _provider() -> ScimProvider:
    """The models of the usual resources, which take half a second to be made."""
    return load_default_provider()


@contextmanager
def scim_service(
    *, sorts: bool = True, filters: bool = True, cursors: bool = False, most_of_a_page: int = 1000
) -> Iterator[Scim]:
    """A service for a block."""
    provider = _provider()
    config: ServiceProviderConfig = provider.config.model_copy(deep=True)
    config.sort.supported = sorts
    config.filter.supported = filters
    config.filter.max_results = most_of_a_page
    config.patch = Patch(supported=True)
    if cursors:
        config.pagination = Pagination(cursor=True, index=True, default_pagination_method="cursor", max_page_size=1000)
    described = ScimProvider(provider.models, resource_types=provider.resource_types, config=config)
    storage = Storage()
    handler = ScimHandler(ScimService(described, secret="secret of a test"), storage)
    with http_server() as server:
        service = Scim(handler, storage, server)
        server.answers = service.answer
        yield service


USERS = WantedTable(
    name="Users",
    columns=("id", "userName", "name.familyName", 'emails[type eq "work"].value', "active"),
    options={"ResourceType": "User"},
)
GROUPS = WantedTable(name="Groups", columns=("id", "displayName"), options={"ResourceType": "Group"})
MEMBERS = WantedTable(name="Members", columns=("owner", "value"), options={"Links": "Groups", "Attribute": "members"})


def question(
    service: Scim, *tables: WantedTable, known: dict[str, set[str]] | None = None, **settings: Any
) -> Question:
    """What a connection to the service asks.

    :param known: table -> the keys that were applied from it.
    """
    tables = tables or (USERS, GROUPS, MEMBERS)
    keys = {table.name: set[str]() for table in tables} | (known or {})
    return Question(
        connection="Source",
        package="Scim",
        settings={"server": service.url, **settings},
        secrets={"token": lambda: Secret(TOKEN)},
        tables=tables,
        known={name: (lambda name=name: frozenset(keys[name])) for name in keys},  # type: ignore[misc]
    )
