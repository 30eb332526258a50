"""All routes of the console."""

from __future__ import annotations

from litestar import Router

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
    return Router("/", route_handlers=[route for module in _MODULES for route in module.ROUTES])
