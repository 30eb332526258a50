"""What the routes of all pages share: a page with its head, and what a query means."""

from __future__ import annotations

from typing import Annotated

from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.params import Body
from litestar.response import Template

from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import When
from deltamark.domain.values import shown
from deltamark.engine import Engine
from deltamark.interfaces.http.users import User
from deltamark.interfaces.moments import moment_named

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
"""`data`: the fields of a form, by their names."""

ROWS = 50
"""How many rows a page shows of a long list."""

BUDGET_S = 0.15
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
    """A moment of a query; a time without a zone is in UTC, as forms of browsers write it.

    :raises UsageError: if it is none.
    """
    if text is None or not text.strip():
        return None
    return moment_named(text.strip().removeprefix("#").replace(",", ""), is_zone_meant=True)


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
