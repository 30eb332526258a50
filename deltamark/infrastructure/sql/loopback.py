"""Whether what is sent to a database stays on this machine."""

from __future__ import annotations

from deltamark.domain import loopback


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: by its name or number, or as the path of a socket, which is the default."""
    return host == "" or host.startswith(("/", "@")) or loopback.is_loopback(host)
