"""The settings of the server: `[deltamark.serve]` in `deltamark.toml`, by the names of the options of `serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.secrets import masked, reference_problem
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

SERVE = "serve"
OIDC, MASKS, ROLE, GROUPS = "oidc", "masks", "role", "groups"
ROLES = ("reader", "reviewer", "operator", "admin")
_TEXTS = ("host", "tls_cert", "tls_key", "behind_proxy", "user_header", "groups_header", "default_role", "access_log")
_NUMBERS = ("port", "sign_ins_per_minute", "requests_per_minute")
_BOOLEANS = ("four_eyes",)
_LISTS = ("public_host", "unmasked")
_TABLES = (ROLE, GROUPS, MASKS, OIDC)
_FILES = ("tls_cert", "tls_key", "access_log")
_KEYS = (*_TEXTS, *_NUMBERS, *_BOOLEANS, *_LISTS, *_TABLES)
_OIDC_TEXTS = ("issuer", "client_id", "client_secret", "name_claim", "groups_claim", "authority")
_GRANT_KEYS = ("role", "types")
_OIDC_KEYS = (*_OIDC_TEXTS, "scopes", "groups")

LocationOf = Callable[[str | None], Location | None]


def serve_faults(table: object, location_of: LocationOf) -> Iterator[Fault]:
    """The faults of the settings of the server.

    :param location_of: where a setting is, or, without one, the table.
    """
    if not isinstance(table, Mapping):
        yield Fault(location_of(None), "[deltamark.serve] is no table; write [deltamark.serve] in a line")
        return
    for key, value in table.items():
        problem = _problem(key, value)
        if problem is not None:
            yield Fault(location_of(key), f"{problem} in [deltamark.serve]")
    if isinstance(table.get(MASKS), Mapping):
        yield from _lists_of(table[MASKS], location_of)
    for name in (ROLE, GROUPS):
        if isinstance(table.get(name), Mapping):
            yield from _grant_faults(table[name], location_of, name)
    if GROUPS in table and "groups_header" not in table:
        yield Fault(
            location_of(GROUPS),
            "groups in [deltamark.serve] are those that a proxy tells: name its header by groups_header. Those of a "
            "provider belong into [deltamark.serve.oidc.groups]",
        )
    if isinstance(table.get(OIDC), Mapping):
        yield from _oidc_faults(table[OIDC], location_of)


def _problem(key: str, value: object) -> str | None:
    if key not in _KEYS:
        return f"unknown key {shown(masked(key))}{hint(key, _KEYS)}"
    if key in _TABLES:
        return None if isinstance(value, Mapping) else f"{key} is no table; write [deltamark.serve.{key}]"
    if key in _NUMBERS:
        is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return None if is_number else f"{key} must be a whole number above 0"
    if key in _BOOLEANS:
        return None if isinstance(value, bool) else f"{key} must be true or false without quotes"
    if key in _LISTS:
        return None if _is_list(value) else f"{key} must be a list of texts in quotes"
    if not _is_text(value):
        return f"{key} must be a text in quotes"
    if key == "default_role" and value not in ROLES:
        return f"{key} is {shown(value)}; write one of {', '.join(ROLES)}"
    return None


def _lists_of(masks: Mapping[str, object], location_of: LocationOf) -> Iterator[Fault]:
    for entity_type, properties in masks.items():
        if not _is_list(properties):
            yield Fault(
                location_of(entity_type),
                f"the properties of {shown(entity_type)} in [deltamark.serve.masks] must be a list of texts in quotes",
            )


def _grant_faults(grants: Mapping[str, object], location_of: LocationOf, table: str) -> Iterator[Fault]:
    for name, grant in grants.items():
        where = f"of {shown(name)} in [deltamark.serve.{table}]"
        given = grant if isinstance(grant, Mapping) else {"role": grant}
        if given.get("role") not in ROLES:
            yield Fault(location_of(name), f"the role {where} must be one of {', '.join(ROLES)}")
        for key in given:
            if key not in _GRANT_KEYS:
                yield Fault(location_of(name), f"unknown key {shown(masked(str(key)))}{hint(key, _GRANT_KEYS)} {where}")
        if "types" in given and not (_is_list(given["types"]) and given["types"]):
            yield Fault(location_of(name), f"the types {where} must be a list of texts in quotes, with one at least")


def _oidc_faults(table: Mapping[str, object], location_of: LocationOf) -> Iterator[Fault]:
    where = "in [deltamark.serve.oidc]"
    for key, value in table.items():
        if key not in _OIDC_KEYS:
            yield Fault(location_of(key), f"unknown key {shown(masked(key))}{hint(key, _OIDC_KEYS)} {where}")
        elif key == "scopes" and not _is_list(value):
            yield Fault(location_of(key), f"{key} must be a list of texts in quotes {where}")
        elif key == "groups" and not isinstance(value, Mapping):
            yield Fault(location_of(key), f"{key} is no table; write [deltamark.serve.oidc.groups] {where}")
        elif key in _OIDC_TEXTS and not _is_text(value):
            yield Fault(location_of(key), f"{key} must be a text in quotes {where}")
        elif key == "client_secret" and isinstance(value, str):
            problem = reference_problem(value)
            if problem is not None:
                yield Fault(location_of(key), f"{key} {problem} {where}")
    for key in ("issuer", "client_id"):
        if key not in table:
            yield Fault(location_of(OIDC), f"{key} is missing {where}")
    if isinstance(table.get("groups"), Mapping):
        yield from _grant_faults(table["groups"], location_of, "oidc.groups")  # type: ignore[arg-type]


def serve_settings(table: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The settings of the server that have no faults.

    :param directory: what relative paths of files are relative to.
    """
    found = {key: (directory / value).as_posix() if key in _FILES else value for key, value in table.items()}
    if "authority" in found.get(OIDC, {}):
        found[OIDC] = {**found[OIDC], "authority": (directory / found[OIDC]["authority"]).as_posix()}
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)
