"""Which names a configuration may give.

Each function returns what is wrong with a name, as the end of the sentence '"name" …', or None. Names are
shown on terminals and in file paths, so a name never holds what cannot be seen or leads elsewhere.
"""

from __future__ import annotations

import re
import unicodedata

from deltamark.domain.values import shown

LONGEST = 200
PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
RESERVED_PROPERTY = "Id"
NOT_IN_TABLES = ':*?[]"<>|'
"""Drive letters and patterns: a connection table names one file, whatever reads it."""


def normalized(name: str) -> str:
    """The spelling in which names are compared: Unicode normal form C."""
    return unicodedata.normalize("NFC", name)


def identifier_problem(name: str) -> str | None:
    """What is wrong with the identifier of a task, job, connector, rule and the like."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if name != name.strip():
        return "begins or ends with a blank"
    for char in name:
        if not char.isprintable():
            return f"holds U+{ord(char):04X}, a character that cannot be seen ({unicodedata.category(char)})"
        if char in "/\\":
            return f"holds {shown(char)}; identifiers are not paths"
    if ".." in name:
        return 'holds ".."; identifiers are not paths'
    return None


def entity_type_problem(name: str) -> str | None:
    """What is wrong with the identifier of an entity type: it also stands in `EntityType:Property`."""
    problem = identifier_problem(name)
    if problem is not None:
        return problem
    if not (name[0].isalpha() or name[0] == "_"):
        return "does not begin with a letter"
    for char in name:
        if not (char.isalnum() or unicodedata.combining(char) or char in "_-."):
            return f"holds {shown(char)}; entity types are named with letters, digits, _ - and ."
    return None


def property_problem(name: str) -> str | None:
    """What is wrong with the identifier of a property: it also stands in expressions."""
    if not name:
        return "is empty"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if not PROPERTY.match(name):
        return "is not made of the letters A to Z, digits and _, not beginning with a digit"
    if name == RESERVED_PROPERTY:
        return "is the name of the resource's own number; choose another one"
    return None


def table_problem(name: str) -> str | None:
    """What is wrong with a connection table: it is a file name without folder and without ending."""
    problem = identifier_problem(name)
    if problem is not None:
        return problem.replace("identifiers are not paths", "a connection table is a file name, not a path")
    if name.startswith("~"):
        return 'begins with "~"; a connection table is a file name, not a path'
    if name.startswith("."):
        return 'begins with "."; a connection table is the name of an extract'
    for char in name:
        if char in NOT_IN_TABLES:
            return f"holds {shown(char)}; a connection table is the name of one extract"
    return None
