"""The attribute types that a server knows, and the syntax of each."""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import evolve, frozen

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.suggestions import likely
from deltamark.infrastructure.ldap.session import BASE, EVERY_ENTRY, Session

_NAMES = re.compile(r"\bNAME\s+(?:'([^']+)'|\(([^)]*)\))")
_SYNTAX = re.compile(r"\bSYNTAX\s+'?([0-9.]+)")
_SUPERIOR = re.compile(r"\bSUP\s+'?([\w.-]+)")
_QUOTED = re.compile(r"'([^']+)'")
_MOST_SUPERIORS = 20


@frozen
class AttributeType:
    """What a server says about an attribute.

    :param syntax: its OID; empty if the server does not say it.
    :param single: whether it has at most one value.
    :param local: whether each server has values of its own.
    """

    name: str
    syntax: str = ""
    single: bool = False
    local: bool = False


class Schema:
    """The attribute types of a server, by name and without regard to letter case."""

    def __init__(self, types: dict[str, AttributeType]) -> None:
        self._types = types

    def find(self, name: str) -> AttributeType | None:
        """The type of an attribute, whose name may have options such as `;binary`; None if the server has none."""
        return self._types.get(name.partition(";")[0].lower())

    def check(self, names: set[str], where: str) -> None:
        """Sees that the server knows all names.

        A server answers a search by an unknown attribute with success and no entries.

        :raises SourceUnreachable: if it does not know one.
        """
        for name in sorted(names):
            if self.find(name) is None:
                similar = {known.name for key, known in self._types.items() if key[:1] == name[:1].lower()}
                meant = likely(name, sorted(similar))
                hint = f"; did you mean {meant}?" if meant else ""
                raise SourceUnreachable(
                    f"{where} names the attribute {name}, which the schema of the server does not have{hint}",
                    "Correct the name in the configuration.",
                )


def read_schema(session: Session, entry: str) -> Schema:
    """Reads the schema.

    :param entry: the name of the entry that holds it, as `subschemaSubentry` says.
    :raises SourceUnreachable: if it cannot be read.
    """
    found = list(session.search(entry, "(objectClass=subschema)", ["attributeTypes"], scope=BASE)) or list(
        session.search(entry, EVERY_ENTRY, ["attributeTypes"], scope=BASE)
    )
    texts = found[0].attributes.get("attributetypes", []) if found else []
    if not texts:
        raise SourceUnreachable(
            f"the schema of {session.server.address} ({entry}) has no attributes that this user may read",
            "Give the user the right to read the schema: the names of attributes are checked against it.",
        )
    return Schema(attribute_types(text.decode("utf-8", "replace") for text in texts))


def attribute_types(texts: Iterable[str]) -> dict[str, AttributeType]:
    """The attribute types by each of their names, in lower case.

    :param texts: descriptions as RFC 4512 has them.
    """
    types: dict[str, AttributeType] = {}
    superiors: dict[str, str] = {}
    for text in texts:
        names = _NAMES.search(text)
        if names is None:
            continue
        syntax = _SYNTAX.search(text)
        superior = _SUPERIOR.search(text)
        for name in [names[1]] if names[1] else _QUOTED.findall(names[2]):
            types[name.lower()] = AttributeType(
                name, syntax[1] if syntax else "", "SINGLE-VALUE" in text, "dSAOperation" in text
            )
            if superior:
                superiors[name.lower()] = superior[1].lower()
    for name in superiors:
        above, steps = name, 0
        while not types[name].syntax and above in superiors and steps < _MOST_SUPERIORS:
            above, steps = superiors[above], steps + 1
            if above in types and types[above].syntax:
                types[name] = evolve(types[name], syntax=types[above].syntax)
    return types
