"""The rules for names in a configuration.

Each function returns what is wrong with a name, as the end of the sentence '"name" …', or None. Names are
shown on terminals and used in file paths, so they contain no invisible characters and no parts of paths.
"""

from __future__ import annotations

import re
import unicodedata

from deltamark.domain.values import shown

LONGEST = 200
PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
RESERVED_PROPERTY = "Id"
NOT_IN_TABLES = ':*?[]"<>|'
"""Parts of drive letters and of patterns: a connection table names exactly one file."""

ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".gz", ".parquet", ".tsv", ".txt", ".xls", ".xlsx", ".zip", ".zst")
"""The endings of files that a connection table does not have: they are found by its name without one."""


def normalized(name: str) -> str:
    """Returns the form in which names are compared: Unicode normal form C."""
    return unicodedata.normalize("NFC", name)


def identifier_problem(name: str) -> str | None:
    """What is wrong with the identifier of a task, job, connector, rule or the like."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if name != name.strip():
        return "begins or ends with a space"
    for char in name:
        if not char.isprintable():
            return f"contains U+{ord(char):04X}, an invisible character ({unicodedata.category(char)})"
        if char in "/\\":
            return f"contains {shown(char)}; identifiers are not paths"
    if ".." in name:
        return 'contains ".."; identifiers are not paths'
    return None


def entity_type_problem(name: str) -> str | None:
    """What is wrong with the identifier of an entity type.

    `EntityType:Property` contains it.
    """
    problem = identifier_problem(name)
    if problem is not None:
        return problem
    if not (name[0].isalpha() or name[0] == "_"):
        return "does not begin with a letter"
    for char in name:
        if not (char.isalnum() or unicodedata.combining(char) or char in "_-."):
            return f"contains {shown(char)}; names of entity types consist of letters, digits, _ - and ."
    return None


def property_problem(name: str) -> str | None:
    """What is wrong with the identifier of a property, which is also used in expressions."""
    if not name:
        return "is empty"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if not PROPERTY.match(name):
        return "must consist of the letters A to Z, digits and _, and must not begin with a digit"
    if name == RESERVED_PROPERTY:
        return "is reserved for the number of the resource; choose another name"
    return None


def table_problem(name: str) -> str | None:
    """What is wrong with a connection table, which is a file name without folder and extension."""
    problem = identifier_problem(name)
    if problem is not None:
        return problem.replace("identifiers are not paths", "a connection table is a file name, not a path")
    if name.startswith("~"):
        return 'begins with "~"; a connection table is a file name, not a path'
    if name.startswith("."):
        return 'begins with "."; a connection table is the name of an extract'
    for char in name:
        if char in NOT_IN_TABLES:
            return f"contains {shown(char)}; a connection table is the name of one extract"
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if name.lower().endswith(ending)), None)
    if ending is not None:
        return f"ends in {shown(ending)}; leave the ending out: {shown(name[: -len(ending)])} finds the file"
    return None
