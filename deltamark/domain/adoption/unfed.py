"""What a store holds and nothing feeds any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from attrs import field, frozen

from deltamark.domain.adoption.decommission import Freeze, Subject, SubjectKind
from deltamark.domain.fields import as_tuple


@frozen(kw_only=True)
class Unfed:
    """An entity type or association of which a store holds resources or links that nothing feeds any more.

    :param because: why nothing feeds it, a clause.
    :param connector: the connector that fed it last; None where that is not known.
    :param is_connector_idle: whether that connector feeds nothing at all any more.
    :param freeze: the decision to keep it as it is; None where nobody decided.
    :param readers: the expressions, rules and functions that read it, each as the subject of a sentence.
    """

    subject: Subject
    because: str
    connector: str | None = None
    is_connector_idle: bool = False
    freeze: Freeze | None = None
    readers: tuple[str, ...] = field(converter=as_tuple, default=())

    @property
    def text(self) -> str:
        """What is no longer fed and why, or since when it is frozen and why; a clause."""
        if self.freeze is not None:
            return f"{self.subject} is {self.freeze.text}"
        is_named = self.connector is None or f"connector {self.connector}" in self.because
        fed_by = "" if is_named else f"; connector {self.connector} fed it last"
        kept = "resources" if self.subject.kind is SubjectKind.ENTITY_TYPE else "links"
        return f"{self.subject} has {kept} that nothing feeds any more: {self.because}{fed_by}"


@frozen(kw_only=True)
class UnfedGroup:
    """What is undecided because of the same connector, or one entity type or association alone.

    :param name: by which it is decommissioned: of the connector, entity type or association.
    """

    name: str
    text: str


def undecided(unfed: Iterable[Unfed]) -> Iterator[UnfedGroup]:
    """Groups what is not frozen by the connectors that feed nothing any more."""
    waiting = [item for item in unfed if item.freeze is None]
    of_connectors = sorted((item for item in waiting if item.is_connector_idle), key=lambda item: item.connector or "")
    for name, group in groupby(of_connectors, key=lambda item: item.connector or ""):
        items = list(group)
        if len(items) == 1:
            yield UnfedGroup(name=items[0].subject.name, text=items[0].text)
            continue
        listed = ", ".join(str(item.subject) for item in items)
        yield UnfedGroup(
            name=name, text=f"connector {name} no longer feeds what the store has of it: {listed} ({items[0].because})"
        )
    for item in waiting:
        if not item.is_connector_idle:
            yield UnfedGroup(name=item.subject.name, text=item.text)
