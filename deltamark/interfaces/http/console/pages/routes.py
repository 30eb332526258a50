"""All routes of the console."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from deltamark.interfaces.http.console.pages import (
    configuration,
    derived,
    held,
    integrity,
    log,
    overview,
    resource,
    resources,
    runs,
    schedule,
)

_MODULES = (overview, runs, held, resources, resource, log, derived, configuration, integrity, schedule)

ROUTES: tuple[HTTPRouteHandler, ...] = tuple(route for module in _MODULES for route in module.ROUTES)
"""Every page."""
