"""The pages of the console."""

from __future__ import annotations

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Template

from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.given import TheEngine, TheUser
from deltamark.interfaces.http.users import Role


@get("/", opt={ROLE: Role.READER}, sync_to_thread=True)
def overview(engine: TheEngine, user: TheUser) -> Template:
    """The first page: the runs, and what is held back."""
    runs = list(engine.runs(12))[::-1]
    return Template(
        "overview.html",
        context={"user": user, "runs": runs, "held_back": engine.held_back(), "position": engine.position()},
    )


PAGES: tuple[HTTPRouteHandler, ...] = (overview,)
"""Every page."""
