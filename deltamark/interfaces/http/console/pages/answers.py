"""What the routes of all pages share: a page with its head, and what a query means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.params import Body
from litestar.response import Template

from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import RunMoment, When
from deltamark.domain.values import shown
from deltamark.engine import Engine
from deltamark.interfaces.http.users import User

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
"""`data`: the fields of a form, by their names."""

ROWS = 50
"""How many rows a page shows of a long list."""

BUDGET_S = 0.2
"""How long a page searches for rows that its filters admit."""


def page(
    template: str, engine: Engine, user: User, here: str = "", *, status_code: int = 200, **context: object
) -> Template:
    """A page with the head that all have.

    :param here: the name of the main page that it belongs to.
    """
    refuse_partial_sight(user)
    return Template(
        template,
        context={"user": user, "position": engine.position(), "here": here, **context},
        status_code=status_code,
    )


def refuse_partial_sight(user: User) -> None:
    """Leaves the console to those who may see all entity types: its pages show them together.

    :raises PermissionDeniedException: for others, who use the API.
    """
    if user.entity_types is not None:
        raise PermissionDeniedException("the console is for those who may see all entity types; use the API.")


def moment(text: str | None) -> When | None:
    """A moment of a query: a position, `run:N`, or a time in UTC, as forms of browsers write it.

    :raises UsageError: if it is none of them.
    """
    if text is None or not text.strip():
        return None
    words = text.strip().removeprefix("#").replace(",", "")
    if words.isascii() and words.isdigit() and len(words) < 20:
        return int(words)
    if words.startswith("run:") and words[4:].isdigit() and len(words) < 20:
        return RunMoment(int(words[4:]))
    try:
        at = datetime.fromisoformat(words)
    except ValueError:
        raise UsageError(
            f"{shown(text)} is no moment. Write a position such as 5877, a time such as 2026-11-30T09:00, or run:30."
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def number_in(text: str | None, what: str) -> int | None:
    """A number of a query.

    :raises UsageError: if it is none.
    """
    if text is None or not text.strip():
        return None
    digits = text.strip().replace(",", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise UsageError(f"{what} must be a number, not {shown(text)}.")
    return int(digits)
