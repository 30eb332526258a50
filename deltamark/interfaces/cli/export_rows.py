"""Exports: resources as rows."""

from __future__ import annotations

from collections.abc import Iterable

from deltamark.domain.configuration.configuration import Configuration
from deltamark.interfaces.cli.rendering import Column, Document, Listing, member


def export_listing(configuration: Configuration, entity_type: str, documents: Iterable[Document]) -> Listing:
    """Resources as rows: the key, the properties, the links that start at them.

    An association that leads to one resource shows its key, one that may lead to several a JSON list.
    """
    definition = configuration.entity_type(entity_type)
    properties = configuration.valued_properties(definition) if definition else ()
    columns = [member("key"), *(_property(p.identifier) for p in properties)]
    starting = configuration.associations_from(entity_type)
    columns += [_links(a.identifier, is_collection=a.is_property1_collection) for a in starting]
    return Listing(documents=documents, columns=columns)


def _property(name: str) -> Column:
    return Column(name, lambda document: document["properties"].get(name))


def _links(association: str, *, is_collection: bool) -> Column:
    def cell(document: Document) -> object:
        keys = document["links"].get(association)
        return keys if is_collection or not keys else keys[0]

    return Column(association, cell)
