"""Erasing a resource: its values become unreadable.

The erasure stays on record.
"""

from __future__ import annotations

from hashlib import sha256

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.resources.events import Event, Origin
from deltamark.domain.resources.resource import ResourceRef


@frozen(kw_only=True)
class Erased(Event):
    """What remains of a change after its resource was erased: its time and origin."""

    cause: Origin


@frozen(kw_only=True)
class Erasure:
    """What was erased, or, in a dry run, would be.

    :param run: the run that recorded it; None in a dry run.
    :param events: how many changes of the resource and of its links, including its deletion.
    :param links: how many links it ever had.
    :param was_live: whether the resource existed until then.
    :param named_in: runs whose records name the key in messages; these stay.
    """

    run: int | None = None
    ref: ResourceRef
    reason: str
    events: int
    links: int
    was_live: bool
    named_in: tuple[int, ...] = field(converter=as_tuple, default=())


def key_digest(salt: str, ref: ResourceRef) -> str:
    """Returns the digest by which a known key can be recognized as erased.

    It is SHA-256, hexadecimal.
    """
    return sha256(f"{salt}\n{ref.entity_type}\n{ref.key}".encode()).hexdigest()
