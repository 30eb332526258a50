"""Expressions of the configuration language, each beside the same in plain Python, which shares no code with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from deltamark import PropertyType

Key = tuple[str, str]
"""A resource: its entity type and its key."""


@frozen
class Ends:
    """An association: from which property of which type it leads where, and back; and what feeds it."""

    source: str
    there: str
    target: str
    back: str
    connector: str
    is_many: bool = False


TYPES: Mapping[str, str] = {"Department": "Org", "Person": "HR", "Account": "Directory"}
"""Entity type -> the connector that feeds it."""
KEY_OF: Mapping[str, str] = {"Department": "Code", "Person": "Number", "Account": "Login"}
MAPPED: Mapping[str, tuple[str, ...]] = {
    "Department": ("Title",),
    "Person": ("Name", "Mail", "Nick"),
    "Account": ("Kind",),
}
ASSOCIATIONS: Mapping[str, Ends] = {
    "Parent": Ends("Department", "Parent", "Department", "Children", "Org"),
    "Manager": Ends("Person", "Manager", "Person", "Reports", "HR"),
    "Staff": Ends("Person", "Department", "Department", "People", "HR"),
    "Deputies": Ends("Person", "Deputies", "Person", "DeputyOf", "HR", is_many=True),
    "Owner": Ends("Account", "Owner", "Person", "Accounts", "Directory"),
}


class Seen:
    """A resource as an expression sees it: its own values, and those over paths."""

    def __init__(self, model: Any, key: Key) -> None:
        self._model, self._key = model, key

    def __getitem__(self, name: str) -> Any:
        return self._model.value(self._key, name)

    def one(self, path: str) -> Any:
        """The value at the end of a path on which every step leads to one at most."""
        found = self.many(path)
        return found[0] if found else None

    def many(self, path: str) -> list[Any]:
        """The values at the end of a path: of each resource once, in order, without those that have none."""
        *steps, name = path.split(".")
        reached = {self._key}
        for step in steps:
            reached = {other for key in reached for other in self._model.step(key, step)}
        values = (self._model.value(key, name) for key in reached)
        return sorted(value for value in values if value is not None)


@frozen
class Formula:
    """An expression: `said`, the attributes of the rule; `by_hand`, its value in plain Python."""

    by_hand: Callable[[Seen], Any] = field(eq=False)
    expression: str | None = None
    binding: str | None = None


def sql(text: str, by_hand: Callable[[Seen], Any]) -> Formula:
    return Formula(by_hand, f"SQL:x: {text}")


def joined(separator: str, texts: Iterable[str]) -> str | None:
    """Texts as one; none where there is nothing to join."""
    return separator.join(texts) or None


def glued(*parts: str | None) -> str | None:
    """What `||` gives: nothing where a part is missing; an empty text is no value either."""
    return None if any(part is None for part in parts) else "".join(part or "" for part in parts) or None


def applied(function: Callable[[str], Any], text: str | None) -> Any:
    return None if text is None else function(text)


def _quotient(text: str) -> int | None:
    """The whole part of a quotient; none where the divisor is 0."""
    return int(len(text) / (len(text) - 3)) if len(text) != 3 else None


PROPERTIES: Mapping[str, tuple[Formula, ...]] = {
    # Of the resource itself.
    "Person.Label": (
        sql("x.Name || '<' || x.Mail || '>'", lambda x: glued(x["Name"], "<", x["Mail"], ">")),
        sql("coalesce(x.Name, x.Mail)", lambda x: x["Name"] or x["Mail"]),
        Formula(lambda x: applied(str.upper, x["Name"]), "ToUpper", "Name"),
    ),
    "Person.Size": (
        sql("length(x.Name)", lambda x: applied(len, x["Name"])),
        sql("length(x.Label) + 1", lambda x: applied(lambda text: len(text) + 1, x["Label"])),
        # Fails for a name of three letters.
        sql("length(x.Name) // (length(x.Name) - 3)", lambda x: applied(_quotient, x["Name"])),
    ),
    # A computed one of the resource itself.
    "Person.Greeting": (
        sql("'Hi ' || x.Label", lambda x: glued("Hi ", x["Label"])),
        sql("lower(x.Label)", lambda x: applied(str.lower, x["Label"])),
    ),
    # Mapped, or computed.
    "Person.Nick": (sql("lower(x.Name) || '!'", lambda x: glued(applied(str.lower, x["Name"]), "!")),),
    # Over one link, over two, and over many backwards.
    "Person.Boss": (
        sql("x.Manager.Name", lambda x: x.one("Manager.Name")),
        Formula(lambda x: applied(str.lower, x.one("Manager.Mail")), "ToLower", "Manager.Mail"),
        sql("x.Manager.Nick", lambda x: x.one("Manager.Nick")),
    ),
    "Person.Unit": (
        sql("x.Manager.Department.Title", lambda x: x.one("Manager.Department.Title")),
        Formula(lambda x: x.one("Manager.Department.Title"), None, "Person:Manager.Department.Title"),
    ),
    "Person.Team": (
        sql("array_to_string(x.Reports.Name, ',')", lambda x: joined(",", x.many("Reports.Name"))),
        sql("array_to_string(x.Deputies.Name, ';')", lambda x: joined(";", x.many("Deputies.Name"))),
        sql("array_to_string(x.Manager.Accounts.Kind, ',')", lambda x: joined(",", x.many("Manager.Accounts.Kind"))),
    ),
    # Computed of computed over links: of a later stage, and of one later still.
    "Person.BossUnit": (
        sql("x.Manager.Unit", lambda x: x.one("Manager.Unit")),
        sql("x.Manager.Label", lambda x: x.one("Manager.Label")),
    ),
    "Person.Chain": (
        sql(
            "coalesce(x.Manager.BossUnit, '-') || coalesce(x.Department.Full, '-')",
            lambda x: glued(x.one("Manager.BossUnit") or "-", x.one("Department.Full") or "-"),
        ),
        sql("array_to_string(x.Reports.BossUnit, '+')", lambda x: joined("+", x.many("Reports.BossUnit"))),
    ),
    "Department.Full": (
        sql("coalesce(x.Parent.Title || '/', '') || x.Title", lambda x: _full(x)),
        sql("x.Title || coalesce(x.Parent.Parent.Title, '?')", lambda x: _grand(x)),
    ),
    "Department.Crew": (
        sql("array_to_string(x.People.Label, '|')", lambda x: joined("|", x.many("People.Label"))),
        sql("array_to_string(x.People.Reports.Name, '|')", lambda x: joined("|", x.many("People.Reports.Name"))),
    ),
    "Department.Roll": (sql("array_to_string(x.Children.Crew, '&')", lambda x: joined("&", x.many("Children.Crew"))),),
}
"""Entity type and property -> the expressions that may compute it."""

TYPE_OF: Mapping[str, PropertyType] = {"Person.Size": PropertyType.INT32}


def _full(x: Seen) -> str | None:
    parent = x.one("Parent.Title")
    return glued(f"{parent}/" if parent else "", x["Title"])


def _grand(x: Seen) -> str | None:
    return glued(x["Title"], x.one("Parent.Parent.Title") or "?")


KEYS: Mapping[str, tuple[Formula, Formula]] = {
    # Name of the rule -> its side of people, and that of accounts.
    "ByMail": (
        Formula(lambda x: applied(str.lower, x["Mail"]), "ToLower", "Mail"),
        Formula(lambda x: applied(str.lower, x["Login"]), "ToLower", "Login"),
    ),
    "ByUnit": (
        sql("x.Unit || coalesce(x.Label, '')", lambda x: glued(x["Unit"], x["Label"] or "")),
        sql(
            "x.Owner.Unit || coalesce(x.Owner.Label, '')",
            lambda x: glued(x.one("Owner.Unit"), x.one("Owner.Label") or ""),
        ),
    ),
    "ByTeam": (
        Formula(lambda x: x["Team"], None, "Team"),
        Formula(lambda x: x.one("Owner.Manager.Name"), None, "Owner.Manager.Name"),
    ),
}

CLASSES: Mapping[str, tuple[str, int, Formula]] = {
    # Name of the rule -> the resource type, the confidence, and whether it holds.
    "InA": ("Admin", 80, sql("x.Owner.Department.Title = 'A'", lambda x: x.one("Owner.Department.Title") == "A")),
    "Led": ("User", 90, sql("x.Owner.Boss IS NOT NULL", lambda x: x.one("Owner.Boss") is not None)),
    "Kind": ("User", 70, sql("x.Kind = 'u'", lambda x: x["Kind"] == "u")),
}
