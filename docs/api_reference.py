"""The page of the reference about the API, made of its description."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from deltamark.domain.errors import DeltamarkError
from deltamark.interfaces.http.app import API, ROUTES
from deltamark.interfaces.http.description import described
from deltamark.interfaces.http.problems import STATUSES

_WIDTH = 120
_HEAD = """
# API

Here you look up the routes of the API that `deltamark serve` offers, with the role that each needs. For programs,
`/api/v1/openapi.json` describes them with every member of what they take and answer. How to sign in, to read lists and
to follow the log: [serve the console and the API](../how-to/serve-the-console-and-the-api.md).
"""

_PROBLEMS = """
## Problems

An error is answered as problem details (RFC 9457): `type`, `title`, `status`, `detail`, what is known about it,
its parts (`what`, `where`, `advice`) and `next_steps`. `type` is `urn:deltamark:problem:` and the kind. Those of the
engine:
"""

_AFTER = """
Others are those of HTTP: `bad-request` (400, with `faults`), `unauthorized` (401), `forbidden` (403), `not-found`
(404), `not-acceptable` (406), `precondition-failed` (412), `misdirected-request` (421), `precondition-required` (428),
`too-many-requests` (429). `internal-error` (500) has an `instance` that is also in the log of the server.

## Where to go next

- [Serve the console and the API](../how-to/serve-the-console-and-the-api.md)
- [Formats](formats.md): what the members of documents mean
- [Errors](errors.md): what to do
"""


def api() -> str:
    """The page."""
    document = described(ROUTES, API)
    parts = [_HEAD.strip()]
    for path, item in sorted(document["paths"].items()):
        for method, operation in sorted(item.items()):
            parts.append("\n".join(_operation(method.upper(), path, operation)))
    parts += [_PROBLEMS.strip(), "\n".join(_problems()), _AFTER.strip()]
    return "\n\n".join(parts) + "\n"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## `{method} {path}`"
    yield ""
    text = " ".join(operation["description"].split())
    others = [form for form in operation["responses"].get("200", {}).get("content", {}) if form != "application/json"]
    yield textwrap.fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False)
    yield ""
    yield f"Role: {operation['x-role']}." + (f" Other forms: {', '.join(map(_short, others))}." if others else "")
    parameters = operation.get("parameters", [])
    if parameters:
        yield ""
        yield "| parameter | in | meaning |"
        yield "| --- | --- | --- |"
    for parameter in parameters:
        needed = ", required" if parameter.get("required") else ""
        meaning = parameter.get("description") or ""
        yield f"| `{parameter['name']}` | {parameter['in']}{needed} | {meaning} |"


def _short(form: str) -> str:
    return f"`{form}`"


def _problems() -> Iterator[str]:
    yield "| status | kind |"
    yield "| --- | --- |"
    for kind, status in STATUSES:
        if kind is not DeltamarkError:
            yield f"| {status} | `{_kind(kind.__name__)}` |"


def _kind(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
