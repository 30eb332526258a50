"""The kinds of stores, as the scheme of a URL names them."""

from __future__ import annotations

from enum import Enum

from deltamark.domain.errors import StoreError


class StoreKind(Enum):
    """The kinds of stores, each with the schemes of its URLs."""

    SQLITE = ("sqlite",)
    POSTGRESQL = ("postgresql", "postgres")


def kind_of(url: str) -> StoreKind:
    """The kind of store that a URL names.

    :raises StoreError: if no store of this kind is known.
    """
    scheme = url.split(":", 1)[0]
    for kind in StoreKind:
        if scheme in kind.value:
            return kind
    raise StoreError(
        f"{_without_password(url)!r}: no store of this kind is known. Write sqlite:///deltamark.db or "
        "postgresql://user@host/database, for example."
    )


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}…@{rest.rsplit('@', 1)[1]}" if "@" in rest else url[:80]
