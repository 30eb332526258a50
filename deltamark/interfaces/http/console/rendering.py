"""How pages are written: the templates, and how they show values, times, numbers and addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from deltamark.domain.messages import how_many
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.values import escaped, is_visible
from deltamark.interfaces.http.reports import VERIFIED
from deltamark.interfaces.http.users import Role
from deltamark.version import __version__

MAIN_PAGES = (
    ("Overview", "/", "o"),
    ("Runs", "/runs", "r"),
    ("Resources", "/resources", "e"),
    ("Log", "/log", "l"),
    ("Derived", "/derived", "d"),
    ("Configuration", "/configuration", "c"),
    ("Integrity", "/integrity", "i"),
    ("Schedule", "/schedule", "s"),
)
"""The name of each page that the head of all pages leads to, its address, and the letter that opens it after `g`."""

LONG_TEXT = 400
"""A longer value is folded: its first characters, then all of it when it is opened."""

LONG_WORD = 30
"""A longer word may be broken anywhere: it would make its column too wide."""

MOST_SHOWN = 20_000
"""So many characters of a value are on a page; the API has all of them."""


@cache
def environment() -> Environment:
    """The templates, with what they call.

    Whatever they print is escaped. No template marks a text as safe: markup is made here, of escaped parts.
    """
    found = Environment(
        loader=PackageLoader("deltamark.interfaces.http.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": number,
        "seconds": seconds,
        "size": size,
        "time": time,
        "value": value,
        "visible": visible,
    }
    found.globals |= {
        "admin": Role.ADMIN,
        "asset": "/static/{}".format,
        "how_many": how_many,
        "key_url": lambda entity_type, key: resource_url(ResourceRef(entity_type, key)),
        "log_url": log_url,
        "main_pages": MAIN_PAGES,
        "operator": Role.OPERATOR,
        "reviewer": Role.REVIEWER,
        "resource_url": resource_url,
        "url": url,
        "verified": VERIFIED,
        "version": __version__,
    }
    return found


def render(template: str, **context: object) -> str:
    """A page, or a part of one."""
    return environment().get_template(template).render(context)


def url(path: str, /, **query: object) -> str:
    """An address of the console. What is None or empty is left out of its query."""
    kept = {name: text for name, text in query.items() if text is not None and text != ""}
    return f"{path}?{urlencode(kept)}" if kept else path


def resource_url(ref: ResourceRef, **query: object) -> str:
    """The address of a resource.

    Its key is in the query, because a path cannot hold every key.
    """
    shown = url("/resource", type=ref.entity_type, **query)
    return f"{shown}&{urlencode({'key': ref.key})}"


def log_url(**query: object) -> str:
    """The address of a part of the log."""
    return url("/log", **query)


def visible(text: object) -> Markup:
    """A text with the characters written out that cannot be seen or turn the direction of others."""
    plain = str(text)
    if is_visible(plain):
        return escape(plain)
    return Markup().join(
        escape(char) if is_visible(char) else Markup('<span class="unseen">{}</span>').format(escaped(char))
        for char in plain
    )


def value(held: object) -> Markup:
    """A value of a property: a date without its midnight, a long text folded, and None in words."""
    if held is None:
        return Markup('<span class="dim">none</span>')
    if isinstance(held, bool):
        return escape("true" if held else "false")
    text = str(held)
    if text == "":
        return Markup('<span class="dim">empty text</span>')
    if len(text) == len("2026-11-30T00:00:00Z") and text.endswith("T00:00:00Z"):
        return Markup("<bdi>{}</bdi>").format(text.removesuffix("T00:00:00Z"))
    if len(text) <= LONG_TEXT:
        may_break = Markup(' class="long"') if max(map(len, text.split()), default=0) > LONG_WORD else ""
        return Markup("<bdi{}>{}</bdi>").format(may_break, visible(text))
    more = len(text) - MOST_SHOWN
    rest = "" if more <= 0 else Markup('<span class="dim"> and {} more characters</span>').format(number(more))
    return Markup(
        '<details><summary><bdi>{}</bdi>… ({} characters)</summary><bdi class="long">{}</bdi>{}</details>'
    ).format(visible(text[:80]), number(len(text)), visible(text[:MOST_SHOWN]), rest)


def time(at: datetime | None) -> Markup:
    """A time in UTC with its day of the week, which the script of the page may show in the zone of the reader."""
    if at is None:
        return Markup('<span class="dim">never</span>')
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), utc.strftime("%a %Y-%m-%d %H:%M:%S")
    )


def number(count: float) -> str:
    """A number with separators of thousands."""
    return f"{count:,}"


def seconds(duration: float) -> str:
    """A duration in words that stay short."""
    if duration < 60:
        return f"{duration:.2f} s"
    minutes, rest = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def size(count: int) -> str:
    """Bytes in the largest unit of which there is one."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
