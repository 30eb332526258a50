"""What a shell may complete: names of the configuration, and keys of the store.

It must be quick, and never fail: the configuration is not loaded, its files are looked through for names. What goes
wrong completes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deltamark.config.settings import Settings

VARIABLE = "_DELTAMARK_COMPLETE"
"""The environment variable by which a shell asks."""

_MOST = 100
_LARGEST = 20_000_000
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def completions(context: click.Context, what: str, incomplete: str) -> list[str]:
    """The names that begin with a text: of a ``JOB``, ``TYPE``, ``CONNECTOR``, ``ASSOCIATION``, or ``KEY``."""
    complete: Callable[[], Iterable[str]] | None = None
    if what in _ELEMENTS:
        complete = lambda: _names(_settings(context), _ELEMENTS[what])  # noqa: E731
    elif what == "KEY" and isinstance(context.params.get("entity_type"), str):
        complete = lambda: _keys(_settings(context), context.params["entity_type"], incomplete)  # noqa: E731
    if complete is None:
        return []
    try:
        found = sorted({name for name in complete() if name.startswith(incomplete) and name.isprintable()})
    except Exception:  # a shell that completes shows no errors
        return []
    return found[:_MOST]


_ELEMENTS = {"JOB": "Job", "TYPE": "EntityType", "CONNECTOR": "Connector", "ASSOCIATION": "EntityAssociation"}
"""What is completed -> the element of the configuration that has its name."""


def _settings(context: click.Context) -> Settings:
    from deltamark.config.settings import load_settings

    options = context.find_root().params
    return load_settings(
        Path(),
        os.environ,
        store=options.get("store"),
        configuration=options.get("configuration"),
        export_output=options.get("export_output"),
    )


def _names(settings: Settings, element: str) -> Iterable[str]:
    from deltamark.config.files import configuration_files

    pattern = re.compile(rf"<{element}\s[^<>]*?\bIdentifier\s*=\s*(\"[^\"<]*\"|'[^'<]*')")
    files, _ = configuration_files(settings.configuration)
    for file in files:
        if file.path.stat().st_size <= _LARGEST:
            text = _COMMENT.sub("", file.path.read_text("utf-8", errors="replace"))
            yield from (unescape(name[1:-1]) for name in pattern.findall(text))


def _keys(settings: Settings, entity_type: str, prefix: str) -> Iterable[str]:
    from contextlib import closing

    from deltamark import bootstrap

    with closing(bootstrap.open_lasting_store(settings.store, create=False)) as store, store.reading() as reading:
        resources, _ = reading.resources_from(entity_type, None, prefix, _MOST)
        return [resource.ref.key for resource in resources]
