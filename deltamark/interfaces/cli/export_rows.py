"""Exports: resources as rows."""

from __future__ import annotations

from collections.abc import Iterable

from deltamark.application.history.model import TypeModel
from deltamark.domain.configuration.entity_model import Property
from deltamark.domain.values import PropertyType
from deltamark.interfaces.cli.rendering import Column, Document, Listing, member


def export_listing(model: TypeModel, documents: Iterable[Document]) -> Listing:
    """Resources as rows: the key, the properties, the links that start at them.

    An association that leads to one resource shows its key, one that may lead to several a JSON list.
    """
    columns = columns_of_values(model)
    columns += [_links(a.identifier, is_collection=a.is_property1_collection) for a in model.associations]
    return Listing(documents=documents, columns=columns)


def columns_of_values(model: TypeModel) -> list[Column]:
    """The key and the properties of a resource."""
    return [member("key"), *(_property(p) for p in model.properties)]


def _property(declared: Property) -> Column:
    name = declared.identifier
    return Column(
        name,
        lambda document: document["properties"].get(name),
        is_number=declared.type is PropertyType.DECIMAL,
    )


def _links(association: str, *, is_collection: bool) -> Column:
    def cell(document: Document) -> object:
        keys = document["links"].get(association)
        return keys if is_collection or not keys or len(keys) > 1 else keys[0]

    return Column(association, cell)
