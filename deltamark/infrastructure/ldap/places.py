"""Cookies of servers as places, with their digest: servers accept an altered cookie and say nothing."""

from __future__ import annotations

import hashlib
import json

from deltamark.application.ports.sources import LARGEST_COOKIE, PlaceLost, SourceUnreachable

_DIGEST = hashlib.sha256().digest_size


def sealed(cookies: dict[str, bytes]) -> bytes:
    """The cookies of several searches as that of a place.

    :raises SourceUnreachable: if they are too large to be kept.
    """
    content = json.dumps({name: cookie.hex() for name, cookie in sorted(cookies.items())}).encode()
    if len(content) + _DIGEST > LARGEST_COOKIE:
        raise SourceUnreachable(f"the cookies of the server have more than {LARGEST_COOKIE:,} bytes")
    return hashlib.sha256(content).digest() + content


def unsealed(place: bytes) -> dict[str, bytes]:
    """The cookies in a place.

    :raises PlaceLost: if it is not as it was made.
    """
    digest, content = place[:_DIGEST], place[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise PlaceLost("the stored place was altered: its digest differs")
    return {name: bytes.fromhex(cookie) for name, cookie in json.loads(content).items()}
