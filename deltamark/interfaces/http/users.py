"""Users of the HTTP interface, and the roles that say what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from deltamark.domain.errors import UsageError
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown


class Role(Enum):
    """What a user may do.

    A reviewer and an operator may do what a reader may; an administrator may do everything.
    """

    READER = "reader"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Whether this role may do what needs the other one."""
        return needed in (self, Role.READER) or self is Role.ADMIN


ROLE_NAMES = frozenset(role.value for role in Role)


def role_named(name: str) -> Role:
    """The role of that name.

    :raises UsageError: if there is none.
    """
    try:
        return Role(name)
    except ValueError:
        names = [role.value for role in Role]
        raise UsageError(f"there is no role {shown(name)}{hint(name, names)}. Use one of {', '.join(names)}.") from None


class SignInMethod(Enum):
    """How a user showed who they are."""

    LINK = "link"
    TOKEN = "token"  # noqa: S105, no secret
    PROXY = "proxy"
    OIDC = "oidc"


@frozen(kw_only=True)
class Grant:
    """What a person or a group may do, and see.

    :param entity_types: the only ones whose resources they see; None for all.
    """

    role: Role
    entity_types: frozenset[str] | None = None


def grants(given: Mapping[str, Role | Grant]) -> dict[str, Grant]:
    """Grants by name; a role alone is one for all entity types."""
    return {name: Grant(role=grant) if isinstance(grant, Role) else grant for name, grant in given.items()}


@frozen(kw_only=True)
class User:
    """A user who is signed in.

    :param name: goes on record with what they do.
    :param entity_types: the only ones whose resources they see; None for all.
    :param token: the identifier of the API token they came with.
    """

    name: str
    role: Role
    method: SignInMethod
    entity_types: frozenset[str] | None = field(default=None)
    token: str | None = None

    @property
    def is_ambient(self) -> bool:
        """Whether a browser sends what shows who they are by itself, also for a page of another site."""
        return self.method is not SignInMethod.TOKEN

    def may(self, needed: Role) -> bool:
        """Whether they may do what needs a role."""
        return self.role.includes(needed)

    def sees(self, entity_type: str) -> bool:
        """Whether they may see resources of an entity type."""
        return self.entity_types is None or entity_type in self.entity_types
