"""What a SCIM service says of itself: what it can do, its resource types, and the attributes that it knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.configuration.scim_paths import ScimPath, scim_path, value_of
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown
from deltamark.infrastructure.scim.client import Client

CONFIG, TYPES, SCHEMAS = "/ServiceProviderConfig", "/ResourceTypes", "/Schemas"

_OF_ALL = frozenset({"id", "externalid", "meta", "schemas"})
_CORE = ":schemas:core:"


@frozen(kw_only=True)
class ResourceType:
    """A type of resources that a service has.

    :param endpoint: where they are, below the address of the service.
    :param schemas: the URNs of its schema and of the extensions of it, the schema first.
    """

    name: str
    endpoint: str
    schemas: tuple[str, ...]


_USUAL_TYPES: Mapping[str, ResourceType] = {
    name.lower(): ResourceType(
        name=name, endpoint=f"/{name}s", schemas=(f"urn:ietf:params:scim:schemas:core:2.0:{name}",)
    )
    for name in ("User", "Group")
}


@frozen(kw_only=True)
class Service:
    """What a service says of itself.

    :param sorts: whether it sorts; else the order of what it lists is its own.
    :param filters: whether it filters.
    :param has_cursors: whether it pages by cursors (RFC 9865), so that no page misses what moves meanwhile.
    :param most_of_a_page: how many resources a page has at most; None where it does not say so.
    :param attributes: URN of a schema -> attribute -> its parts, all in lower case; None where it does not say so.
    """

    sorts: bool
    filters: bool
    has_cursors: bool
    most_of_a_page: int | None
    types: tuple[ResourceType, ...]
    attributes: Mapping[str, Mapping[str, frozenset[str]]] | None = field(default=None, repr=False)

    @property
    def gives_changes(self) -> bool:
        """Whether what changed since a time can be asked for, page by page, without a gap."""
        return self.sorts and self.filters

    def endpoint(self, name: str) -> str:
        """Where the resources of a type are.

        :raises SourceUnreachable: if the service does not have that type.
        """
        return self.resource_type(name).endpoint

    def resource_type(self, name: str) -> ResourceType:
        """A type of resources, or a usual one where the service says nothing of its types.

        :raises SourceUnreachable: if the service does not have that type.
        """
        for kind in self.types:
            if kind.name.lower() == name.lower():
                return kind
        usual = _USUAL_TYPES.get(name.lower())
        if self.types or usual is None:
            names = [kind.name for kind in self.types]
            raise SourceUnreachable(
                f"the service has no resource type {shown(name)}{hint(name, names)}",
                "Correct the ResourceType, or name where its resources are by Endpoint.",
            )
        return usual

    def check(self, endpoint: str, paths: Iterator[tuple[str, str]]) -> None:
        """Sees that the service knows attributes; one that it does not know looks like one without values.

        :param endpoint: of the resources that have them.
        :param paths: each with what names it.
        :raises SourceUnreachable: if it does not know one.
        """
        if self.attributes is None:
            return
        kind = next((kind for kind in self.types if kind.endpoint == endpoint), None)
        schemas = [urn.lower() for urn in (kind.schemas if kind else self.attributes)]
        for text, where in paths:
            if not self._knows(scim_path(text), schemas):
                names = [name for urn in schemas for name in self.attributes.get(urn, ())]
                raise SourceUnreachable(
                    f"{where} names the attribute {shown(text)}, which the schemas of the service do not have"
                    f"{hint(scim_path(text).attribute.lower(), names)}",
                    "Correct the name in the configuration.",
                )

    def _knows(self, path: ScimPath, schemas: list[str]) -> bool:
        assert self.attributes is not None, "is asked only where they are known"
        name, part = path.attribute.lower(), (path.part or "").lower()
        if name in _OF_ALL and path.schema is None:
            return True
        urns = schemas[:1] if path.schema is None else [urn for urn in schemas if urn == path.schema.lower()]
        if path.schema is None and not self.types:
            urns = schemas
        for urn in urns:
            parts = self.attributes.get(urn, {}).get(name)
            if parts is not None and (not part or part in parts or part in ("value", "$ref", "display", "type")):
                return True
        return False


def read_service(client: Client) -> Service:
    """Asks a service what it is.

    :raises SourceUnreachable: if it is no SCIM service, or refuses the user.
    """
    config = client.offered(CONFIG)
    types = tuple(_types(client))
    attributes = {urn.lower(): names for urn, names in _schemas(client)}
    pagination = value_of(config, "pagination")
    limits = [value_of(value_of(config, "filter"), "maxResults"), value_of(pagination, "maxPageSize")]
    most = min((number for number in limits if type(number) is int and number > 0), default=None)
    return Service(
        sorts=_supported(config, "sort"),
        filters=_supported(config, "filter"),
        has_cursors=value_of(pagination, "cursor") is True,
        most_of_a_page=most,
        types=types,
        attributes=attributes or None,
    )


def _supported(config: object, name: str) -> bool:
    return value_of(value_of(config, name), "supported") is True


def _listed(client: Client, path: str) -> Iterator[Mapping[str, Any]]:
    answer = client.offered(path)
    found = value_of(answer, "Resources") if isinstance(answer, dict) else answer
    for item in found if isinstance(found, list) else ():
        if isinstance(item, dict):
            yield item


def _types(client: Client) -> Iterator[ResourceType]:
    for item in _listed(client, TYPES):
        name, endpoint, schema = (value_of(item, member) for member in ("name", "endpoint", "schema"))
        if not isinstance(name, str) or not isinstance(endpoint, str) or not isinstance(schema, str):
            continue
        extensions = value_of(item, "schemaExtensions") or ()
        urns = [value_of(extension, "schema") for extension in extensions]
        yield ResourceType(
            name=name,
            endpoint=_below(client, endpoint),
            schemas=(schema, *(urn for urn in urns if isinstance(urn, str))),
        )


def _below(client: Client, endpoint: str) -> str:
    """An endpoint as a path below the address of the service."""
    path = endpoint.removeprefix(client.address)
    path = path if path.startswith("/") else f"/{path}"
    if "://" in path or "?" in path or "#" in path or ".." in path.split("/"):
        raise client.broken(TYPES, f"names the endpoint {shown(endpoint)}, which is not below it")
    return path.rstrip("/")


def _schemas(client: Client) -> Iterator[tuple[str, dict[str, frozenset[str]]]]:
    for item in _listed(client, SCHEMAS):
        urn, attributes = value_of(item, "id"), value_of(item, "attributes")
        if isinstance(urn, str) and isinstance(attributes, list):
            yield urn, dict(_named(attributes))


def _named(attributes: list[Any]) -> Iterator[tuple[str, frozenset[str]]]:
    for attribute in attributes:
        name, parts = value_of(attribute, "name"), value_of(attribute, "subAttributes")
        if isinstance(name, str):
            named = (value_of(part, "name") for part in parts) if isinstance(parts, list) else ()
            yield name.lower(), frozenset(part.lower() for part in named if isinstance(part, str))
