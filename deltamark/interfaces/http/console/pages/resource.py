"""One resource: its values at any moment, its history, its links, why it is dirty and where each value comes from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from attrs import field, frozen
from litestar import get
from litestar.exceptions import NotFoundException
from litestar.params import FromQuery
from litestar.response import Template

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.explanation import Explanation
from deltamark.domain.errors import DeltamarkError, ErasedResource, HistoryDiscarded, UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import LoggedChange, Position, When
from deltamark.domain.history.report import ResourceReport
from deltamark.domain.resources.link import LinkEvent, LinkRef
from deltamark.domain.resources.resource import Resource, ResourceEvent, ResourceRef
from deltamark.domain.values import Value
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import ROWS, moment, number_in, page
from deltamark.interfaces.http.console.pages.resources import text_of
from deltamark.interfaces.http.console.pictures import Arrow, Box, Graph
from deltamark.interfaces.http.console.rendering import resource_url
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role

NEIGHBOURS = 24
"""The picture of the links has at most so many others."""

NAMED_LINKS = 24
"""More links of one association in one direction are folded."""


@frozen(kw_only=True)
class ShownValue:
    """A value with where it comes from.

    :param rules: the expressions that compute it, in words; empty where a source gives it.
    :param reads: what these name.
    :param since: the change that set it, where the history that is shown has it.
    """

    name: str
    value: Value
    is_computed: bool
    rules: tuple[str, ...] = field(converter=as_tuple)
    since: LoggedChange | None

    @property
    def text(self) -> str | None:
        """The value as an address has it, to search for it."""
        return text_of(self.value)


@frozen(kw_only=True)
class LinksOfAssociation:
    """The links of an association in one direction."""

    association: str
    leads: bool
    others: tuple[ResourceRef, ...] = field(converter=as_tuple)


@frozen(kw_only=True)
class Entry:
    """An entry of the history: a change, or links of one association that one task made or removed together."""

    change: LoggedChange
    links: tuple[LinkRef, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class ResourcePage:
    """What the page of one resource shows.

    :param at: the position that is shown; None shows the newest.
    :param unknown: why what it was at the moment is not known; empty where it is.
    :param resource: None where there was none at the moment.
    :param older: the position below which the next part of the history begins; None where it is whole.
    :param derived: its keys, the pairs that it is in, and its resource type; None for the past.
    :param places: the positions of the changes that are shown, in thousandths of the log.
    """

    ref: ResourceRef
    at: Position | None
    head: Position
    unknown: str
    resource: Resource | None
    values: tuple[ShownValue, ...] = field(converter=as_tuple)
    links: tuple[LinksOfAssociation, ...] = field(converter=as_tuple)
    picture: Graph
    history: tuple[Entry, ...] = field(converter=as_tuple)
    history_missing: str
    older: Position | None
    before: Position | None
    places: tuple[float, ...] = field(converter=as_tuple)
    positions: tuple[Position, ...] = field(converter=as_tuple)
    why: Explanation | None
    derived: ResourceReport | None

    @property
    def is_there(self) -> bool:
        """Whether the resource existed at the moment."""
        return self.resource is not None and self.resource.live

    @property
    def previous(self) -> Position | None:
        """The position of the change before the moment that is shown."""
        shown = self.head if self.at is None else self.at
        earlier = [position for position in self.positions if position < shown]
        if self.at is None and earlier:  # now is what the newest change left: the one before it shows something else
            earlier = [position for position in self.positions if position < max(self.positions)]
        return max(earlier, default=None)

    @property
    def following(self) -> Position | None:
        """The position of the next change after the moment that is shown."""
        return None if self.at is None else min((p for p in self.positions if p > self.at), default=None)


def resource_of(
    engine: Engine, ref: ResourceRef, when: When | None = None, before: Position | None = None
) -> ResourcePage:
    """A resource at a moment, or now.

    :param before: shows the part of the history below this position.
    """
    head = engine.position()
    at = None if when is None else engine.position(when)
    unknown, found, links = "", None, []
    try:
        found = engine.resource(ref.entity_type, ref.key, at)
        links = engine.links(ref.entity_type, ref.key, at) if found is not None and found.live else []
    except HistoryDiscarded as error:
        unknown = str(error)
    missing = ""
    changes: Sequence[LoggedChange] = ()
    try:
        changes = list(engine.history(ref.entity_type, ref.key, before=before, limit=ROWS + 1))
    except HistoryDiscarded as error:
        missing = str(error)
    shown = changes[:ROWS]
    positions = [change.position for change in shown]
    return ResourcePage(
        ref=ref,
        at=at,
        head=head,
        unknown=unknown,
        resource=found,
        values=list(_values(found, shown, at, engine.configuration)) if found is not None and found.live else (),
        links=list(_by_association(links, ref)),
        picture=_neighbourhood(ref, links, at),
        history=list(_entries(shown, ref)),
        history_missing=missing,
        older=shown[-1].position if len(changes) > ROWS else None,
        before=before,
        places=[round(1000 * position / max(head, 1), 1) for position in positions],
        positions=positions,
        why=_explanation(engine, ref) if at is None and found is not None else None,
        derived=_derived(engine, ref, head) if at is None and found is not None and found.live else None,
    )


def _explanation(engine: Engine, ref: ResourceRef) -> Explanation | None:
    try:
        return engine.why(ref.entity_type, ref.key)
    except DeltamarkError:  # nothing computes anything of it
        return None


def _derived(engine: Engine, ref: ResourceRef, head: Position) -> ResourceReport | None:
    try:
        return engine.report(ref.entity_type, ref.key, head)
    except HistoryDiscarded:
        return None


def _values(
    resource: Resource, newest: Sequence[LoggedChange], at: Position | None, configuration: Configuration
) -> Iterator[ShownValue]:
    rules = defaultdict(list)
    for rule in configuration.property_expressions:
        if rule.entity_type == resource.ref.entity_type:
            rules[rule.property].append(rule.expression or rule.binding or "")
    for name, value in sorted(resource.values.items()):
        computed = name in resource.computed
        yield ShownValue(
            name=name,
            value=value,
            is_computed=computed,
            rules=rules[name] if computed else (),
            since=next((change for change in newest if _sets(change, resource.ref, name, at)), None),
        )


def _sets(change: LoggedChange, ref: ResourceRef, name: str, at: Position | None) -> bool:
    event = change.event
    if at is not None and change.position > at:
        return False
    return isinstance(event, ResourceEvent) and event.ref == ref and name in event.changes


def _by_association(links: Iterable[LinkRef], ref: ResourceRef) -> Iterator[LinksOfAssociation]:
    found: dict[tuple[str, bool], list[ResourceRef]] = defaultdict(list)
    for link in links:
        if link.source == ref:
            found[link.association, True].append(link.target)
        if link.target == ref:
            found[link.association, False].append(link.source)
    for (association, leads), others in sorted(found.items(), key=lambda item: (item[0][0], not item[0][1])):
        yield LinksOfAssociation(association=association, leads=leads, others=sorted(others))


def _neighbourhood(ref: ResourceRef, links: Sequence[LinkRef], at: Position | None) -> Graph:
    """The resource in the middle, and those that it is linked to: few of many links of one association."""
    here = _name(ref)
    boxes = {here: Box(name=here, label=ref.key, below=ref.entity_type, kind="centre")}
    arrows = []
    groups = list(_by_association(links, ref))
    share = max(NEIGHBOURS // max(len(groups), 1), 3)
    for group in groups:
        for other in group.others[:share]:
            name = _name(other)
            boxes.setdefault(
                name, Box(name=name, label=other.key, below=other.entity_type, address=resource_url(other, at=at))
            )
            arrows.append(_arrow(here, name, group))
        more = len(group.others) - share
        if more > 0:
            name = f"{group.association} {group.leads}"
            boxes[name] = Box(name=name, label=f"+ {more:,}", below=f"of {group.association}")
            arrows.append(_arrow(here, name, group))
    return Graph(boxes=boxes.values(), arrows=arrows)


def _arrow(here: str, other: str, group: LinksOfAssociation) -> Arrow:
    return Arrow(here, other, group.association) if group.leads else Arrow(other, here, group.association)


def _name(ref: ResourceRef) -> str:
    return f"{ref.entity_type}\n{ref.key}"


def _entries(changes: Sequence[LoggedChange], ref: ResourceRef) -> Iterator[Entry]:
    """The changes, with the links that one task made or removed under one association as one entry."""
    together = Counter(_group(change) for change in changes)
    links: dict[object, list[LinkRef]] = defaultdict(list)
    for change in changes:
        if isinstance(change.event, LinkEvent):
            links[_group(change)].append(change.event.ref)
    seen = set()
    for change in changes:
        group = _group(change)
        if together[group] == 1 or not isinstance(change.event, LinkEvent):
            yield Entry(change=change)
        elif group not in seen:
            seen.add(group)
            yield Entry(change=change, links=links[group])


def _group(change: LoggedChange) -> tuple[object, ...]:
    event = change.event
    if isinstance(event, LinkEvent):
        return change.run, change.task, change.kind, event.ref.association
    return (change.position,)


@get("/resource", opt={ROLE: Role.READER}, sync_to_thread=True)
def resource(
    engine: TheEngine,
    user: TheUser,
    type: FromQuery[str],  # noqa: A002, the name in the address
    key: FromQuery[str] = "",
    at: FromQuery[str] = "",
    date: FromQuery[str] = "",
    before: FromQuery[str] = "",
) -> Template:
    """One resource, now or at a moment.

    :param date: a moment by a form, which wins over `at`.
    :raises NotFoundException: if there never was one of this key.
    """
    if engine.resource(type, key) is None:
        try:
            engine.history(type, key, limit=1)
        except ErasedResource:
            raise
        except UsageError as error:
            raise NotFoundException(f"{error} Look for a part of the key, or for a name.") from None
    shown = resource_of(engine, ResourceRef(type, key), moment(date or at), number_in(before, "a position"))
    return page("resource.html", engine, user, "Resources", shown=shown, asked=date)


ROUTES = (resource,)
