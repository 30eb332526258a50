"""Erasing a resource: what it was becomes unreadable, that it was erased stays on record."""

from __future__ import annotations

from hashlib import sha256
from unicodedata import category

from attrs import field, frozen

from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.resources.events import Cause, Event
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.values import shown

LONGEST_REASON = 500


@frozen(kw_only=True)
class Erased(Event):
    """What is left of a change after its resource was erased: when and by what it was made, not what."""

    cause: Cause


@frozen(kw_only=True)
class Erasure:
    """What was erased, or, in a dry run, would be.

    :param run: the run under which it is on record; None in a dry run.
    :param events: how many changes of the resource and of its links, those of its deletion included.
    :param links: how many links it ever had.
    :param was_live: whether the resource was there until then.
    :param named_in: runs whose records name the key, in rows set aside, links that wait, or messages; those stay.
    """

    run: int | None = None
    ref: ResourceRef
    reason: str
    events: int
    links: int
    was_live: bool
    named_in: tuple[int, ...] = field(converter=as_tuple, default=())


def key_digest(salt: str, ref: ResourceRef) -> str:
    """What tells whether a resource is the one that was erased, to those who know its key: SHA-256, hexadecimal."""
    return sha256(f"{salt}\n{ref.entity_type}\n{ref.key}".encode()).hexdigest()


def checked_reason(reason: str) -> str:
    """A reason as it goes on record.

    :raises UsageError: if it says nothing, or too much, or holds control characters.
    """
    words = " ".join(reason.split())
    if not words:
        raise UsageError("the reason for the erasure is empty. Say why, or by which request.")
    if len(words) > LONGEST_REASON:
        raise UsageError(
            f"the reason {shown(words)} is longer than {LONGEST_REASON} characters. Say it shorter, or name a request."
        )
    if any(category(character) == "Cc" for character in words):
        raise UsageError(f"the reason {shown(words)} holds control characters. Write it as plain text.")
    return words
