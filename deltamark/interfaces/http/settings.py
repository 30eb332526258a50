"""Settings of the HTTP interface."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

from attrs import field, frozen

from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.loopback import is_loopback
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown
from deltamark.interfaces.http.rates import REQUESTS, SIGN_INS
from deltamark.interfaces.http.users import ROLE_NAMES, Grant, Role, User, grants

LOOPBACK = "127.0.0.1"
PORT = 8765
_LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")

Network = IPv4Network | IPv6Network


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@frozen(kw_only=True)
class Proxy:
    """A server in front of this one that signs users in.

    :param networks: its addresses: only from these is the header believed.
    :param header: holds the name of the user.
    :param groups_header: holds the names of their groups, with commas between them; None where none are told.
    """

    networks: tuple[Network, ...] = field(converter=as_tuple)
    header: str
    groups_header: str | None = None


@frozen(kw_only=True)
class OidcSettings:
    """A provider for OpenID Connect.

    :param client_secret: the reference to the secret of this server there; None of a public client.
    :param name_claim: what of the ID token is the name of the person.
    :param groups_claim: what of it names their groups.
    :param groups: group -> what it grants; the first that a person is in counts.
    :param authority: the file with the certificates that verify the provider.
    """

    issuer: str
    client_id: str
    client_secret: str | None = None
    scopes: tuple[str, ...] = field(converter=as_tuple, default=("profile", "email"))
    name_claim: str = "email"
    groups_claim: str = "groups"
    groups: Mapping[str, Grant] = field(factory=dict, converter=grants)
    authority: str | None = None


@frozen(kw_only=True)
class MaskSettings:
    """The properties that are masked.

    :param properties: entity type -> properties.
    :param unmasked: who sees them: names of roles, or of persons.
    """

    properties: Mapping[str, frozenset[str]] = field(factory=dict)
    unmasked: tuple[str, ...] = field(converter=as_tuple, default=(Role.ADMIN.value,))

    def hides_from(self, user: User) -> bool:
        """Whether a user sees masks. A person is never taken for the role of that name."""
        if user.role.value in self.unmasked:
            return False
        return user.name not in self.unmasked or user.name in ROLE_NAMES


@frozen(kw_only=True)
class HttpSettings:
    """Where the server listens, and who is let in.

    :param names: the names by which it is reached besides those of this machine: `host` or `host:port`.
    :param certificate: the file of the certificate for TLS, with that of its key.
    :param users: user -> what is granted to those whom a proxy or a provider signs in.
    :param groups: group -> what it grants, of those that the proxy tells; the first that a person is in counts.
    :param default_role: of users whom neither `users` nor a group names; None refuses them.
    :param four_eyes: whether who started or resumed a run may not decide about what it holds back.
    :param masks: the properties that some people do not see.
    :param oidc: the provider that signs people in.
    :param tokens: the file of the API tokens.
    :param access_log: the file in which it is written who did what; None for standard error.
    :param sign_ins_per_minute: attempts to sign in that may fail within a minute, from one address.
    :param requests_per_minute: requests within a minute with one API token.
    """

    host: str = LOOPBACK
    port: int = PORT
    names: tuple[str, ...] = field(converter=as_tuple, default=())
    certificate: Path | None = None
    key: Path | None = None
    proxy: Proxy | None = None
    users: Mapping[str, Grant] = field(factory=dict, converter=grants)
    groups: Mapping[str, Grant] = field(factory=dict, converter=grants)
    default_role: Role | None = None
    four_eyes: bool = False
    oidc: OidcSettings | None = None
    masks: MaskSettings | None = None
    tokens: Path | None = None
    access_log: Path | None = None
    sign_ins_per_minute: int = SIGN_INS
    requests_per_minute: int = REQUESTS
    clock: Callable[[], datetime] = utc_now

    def granted(self, name: str, groups: Iterable[str]) -> Grant | None:
        """What is granted to a person who is signed in: by name, else by the first group that they are in, else to all.

        :param groups: those that the proxy or the provider tells.
        """
        if name in self.users:
            return self.users[name]
        told = set(groups)
        of_groups = self.groups if self.oidc is None else self.oidc.groups
        default = None if self.default_role is None else Grant(role=self.default_role)
        return next((grant for group, grant in of_groups.items() if group in told), default)

    def refuse_unknown_types(self, known: Collection[str]) -> None:
        """Refuses grants for entity types that there are not: they would show nothing.

        :raises UsageError: with the nearest one that there is.
        """
        tables = {"role": self.users, "groups": self.groups}
        tables |= {} if self.oidc is None else {"oidc.groups": self.oidc.groups}
        for table, found in tables.items():
            for name, grant in found.items():
                for entity_type in sorted(grant.entity_types or ()):
                    if entity_type not in known:
                        raise UsageError(
                            f"[deltamark.serve.{table}] grants {shown(name)} the unknown entity type "
                            f"{shown(entity_type)}{hint(entity_type, known)}."
                        )

    @property
    def has_tls(self) -> bool:
        """Whether the server itself encrypts."""
        return self.certificate is not None

    @property
    def scheme(self) -> str:
        """The beginning of its address."""
        return "https" if self.has_tls else "http"

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the header `Host` that are answered."""
        local = {f"{name}:{self.port}" for name in _LOCAL_NAMES}
        if not _is_any_address(self.host):
            local.add(f"{_in_url(self.host)}:{self.port}")
        named = {name if _has_port(name) else f"{name}:{self.port}" for name in self.names}
        return frozenset(name.lower() for name in local | named | set(self.names))

    @property
    def address(self) -> str:
        """The URL of the console."""
        host = LOOPBACK if _is_any_address(self.host) else self.host
        name = next(iter(self.names), _in_url(host))
        return f"{self.scheme}://{name if _has_port(name) else f'{name}:{self.port}'}"

    def refuse_open_network(self) -> None:
        """Refuses to listen where other machines reach the server, unless it is encrypted or behind a proxy.

        :raises UsageError: if it would.
        """
        if (self.certificate is None) != (self.key is None):
            raise UsageError("--tls-cert and --tls-key belong together; give both.")
        if self.oidc is not None and self.proxy is not None:
            raise UsageError(
                "behind_proxy and [deltamark.serve.oidc] both say who signs people in. Leave one of them out."
            )
        if not (self.has_tls or self.proxy is not None or is_loopback(self.host)):
            raise UsageError(
                f"{self.host} is reached by other machines, and what they send would not be encrypted. Give --tls-cert "
                f"and --tls-key, or --behind-proxy with the networks of the proxy, or listen on {LOOPBACK}."
            )


def networks_of(text: str) -> tuple[Network, ...]:
    """The networks in a text such as `10.0.0.0/8,192.168.1.7`.

    :raises UsageError: if one cannot be read.
    """
    networks = []
    for part in text.split(","):
        try:
            networks.append(ip_network(part.strip()))
        except ValueError:
            raise UsageError(f"{shown(part.strip())} is no network; write an address such as 10.0.0.0/8.") from None
    return tuple(networks)


def is_from(address: str | None, networks: tuple[Any, ...]) -> bool:
    """Whether an address lies in one of the networks."""
    if address is None:
        return False
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None) or peer
    return any(mapped in network for network in networks)


def _is_any_address(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _has_port(name: str) -> bool:
    return name.rpartition(":")[2].isdigit() and not name.endswith("]") and ":" in name
