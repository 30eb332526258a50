"""All routes of the console."""

from __future__ import annotations

from typing import Any

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from deltamark.interfaces.http.console.pages import (
    access,
    configuration,
    derived,
    held_back,
    integrity,
    log,
    overview,
    reports,
    resource,
    resources,
    runs,
    schedule,
    value,
)
from deltamark.interfaces.http.console.pages.answers import refuse_partial_sight
from deltamark.interfaces.http.users import User

_MODULES = (
    overview,
    runs,
    held_back,
    resources,
    resource,
    value,
    log,
    derived,
    configuration,
    integrity,
    reports,
    schedule,
    access,
)


def console() -> Router:
    """Every page.

    A router of its own: an application registers the handlers of a path twice where it has more than one itself.
    """
    routes = [route for module in _MODULES for route in module.ROUTES]
    return Router("/", route_handlers=routes, guards=[_refuse_partial_sight])


def _refuse_partial_sight(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Leaves the console to those who may see all entity types, also its deeds."""
    user = connection.scope.get("user")
    if isinstance(user, User):
        refuse_partial_sight(user)
