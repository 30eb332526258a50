"""The settings of the HTTP interface, made of those of `deltamark.toml` and of the options of `serve`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deltamark.config.serve import GROUPS, MASKS, OIDC, ROLE
from deltamark.interfaces.http.rates import REQUESTS, SIGN_INS
from deltamark.interfaces.http.settings import (
    LOOPBACK,
    PORT,
    HttpSettings,
    MaskSettings,
    OidcSettings,
    Proxy,
    networks_of,
)
from deltamark.interfaces.http.users import Grant, Role

USER_HEADER = "X-Forwarded-User"


def http_settings(given: Mapping[str, Any]) -> HttpSettings:
    """The settings that these are, by the names that they have in the file.

    :raises UsageError: for one that cannot be read.
    """
    networks, default_role = given.get("behind_proxy"), given.get("default_role")
    header = given.get("user_header", USER_HEADER)
    return HttpSettings(
        host=given.get("host", LOOPBACK),
        port=given.get("port", PORT),
        names=given.get("public_host", ()),
        certificate=_file(given.get("tls_cert")),
        key=_file(given.get("tls_key")),
        proxy=None if networks is None else _proxy(networks, header, given.get("groups_header")),
        users=_grants(given.get(ROLE, {})),
        groups=_grants(given.get(GROUPS, {})),
        default_role=None if default_role is None else Role(default_role),
        masks=_masks(given),
        oidc=_oidc(given.get(OIDC)),
        four_eyes=given.get("four_eyes", False),
        access_log=_file(given.get("access_log")),
        sign_ins_per_minute=given.get("sign_ins_per_minute", SIGN_INS),
        requests_per_minute=given.get("requests_per_minute", REQUESTS),
    )


def _masks(given: Mapping[str, Any]) -> MaskSettings | None:
    if not given.get(MASKS):
        return None
    properties = {entity_type: frozenset(names) for entity_type, names in given[MASKS].items()}
    return MaskSettings(properties=properties, unmasked=given.get("unmasked", (Role.ADMIN.value,)))


def _oidc(table: Mapping[str, Any] | None) -> OidcSettings | None:
    if table is None:
        return None
    return OidcSettings(**{**table, GROUPS: _grants(table.get(GROUPS, {}))})


def _proxy(networks: str, header: str, groups_header: str | None) -> Proxy:
    return Proxy(networks=networks_of(networks), header=header, groups_header=groups_header)


def _grants(table: Mapping[str, Any]) -> dict[str, Grant]:
    return {name: _grant(given) for name, given in table.items()}


def _grant(given: str | Mapping[str, Any]) -> Grant:
    if isinstance(given, str):
        return Grant(role=Role(given))
    return Grant(role=Role(given["role"]), entity_types=frozenset(given["types"]) if "types" in given else None)


def _file(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
