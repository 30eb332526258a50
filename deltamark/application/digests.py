"""Digests of configurations and rules, which show whether they changed since a computation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from enum import Enum
from typing import Any

from attrs import asdict

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask


def configuration_digest(configuration: Configuration) -> str:
    """SHA-256 of a configuration without the locations of its elements, hexadecimal."""
    plain = asdict(
        configuration,
        filter=lambda attribute, _: attribute.name not in ("location", "name_locations"),
        value_serializer=lambda _, __, value: _simple(value),
    )
    return digest_of(plain)


def digest_of(plain: Any) -> str:
    """SHA-256 of plain JSON data, hexadecimal."""
    text = json.dumps(plain, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _simple(value: Any) -> Any:
    if isinstance(value, UserTask):
        return [*value.definition, value.entity_types, value.reads, value.writes]
    return value.name if isinstance(value, Enum) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no plain form")
