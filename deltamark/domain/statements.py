"""What people state for the record: who they are, and why they do something."""

from __future__ import annotations

import re
from unicodedata import category

from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown

LONGEST_REASON = 500
LONGEST_PERSON = 200


def checked_reason(reason: str, of: str = "the erasure") -> str:
    """Returns a reason as it is recorded.

    :param of: what it is the reason for, in messages.
    :raises UsageError: if it is empty or too long, or contains control characters.
    """
    text = " ".join(reason.split())
    if not text:
        raise UsageError(f"the reason for {of} is empty. Give a reason, or name a request.")
    return _plain(text, "the reason", LONGEST_REASON, "Shorten it, or name a request.")


def checked_program(name: str) -> str:
    """The name of a program by which something is done, if it can go on record: a short word.

    :raises UsageError: if it is something else.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name):
        raise UsageError(f"{shown(name)} is no name of a program: write up to 40 small letters, digits and hyphens.")
    return name


def checked_person(person: str) -> str:
    """Returns the person for whom something is done, as it is recorded.

    No one verifies that it is this person. The account of the process is recorded beside.

    :raises UsageError: if the text is empty or too long, or contains control characters.
    """
    text = " ".join(person.split())
    if not text:
        raise UsageError("the person for whom this is done (by) is empty. Name one, or leave it out.")
    return _plain(text, "the person", LONGEST_PERSON, "Shorten it.")


def _plain(text: str, what: str, longest: int, advice: str) -> str:
    if len(text) > longest:
        raise UsageError(f"{what} {shown(text)} is longer than {longest} characters. {advice}")
    if any(category(character) == "Cc" for character in text):
        raise UsageError(f"{what} {shown(text)} contains control characters. Write it as plain text.")
    return text
