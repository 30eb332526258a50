"""What names of columns and tables say, and the identifiers that are made of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from deltamark.domain.configuration.names import LONGEST, entity_type_problem, property_problem

_KEY_WORDS = ("id", "key", "uuid", "guid", "uid", "oid", "pk", "ident", "identifier", "identity", "objectguid")
_NUMBER_WORDS = (
    "no", "nr", "num", "number", "nummer", "code", "login", "username", "samaccountname", "icao", "isbn", "sku", "ean",
    "persnr", "numero", "kennung", "kuerzel", "symbol", "slug", "dn", "upn", "entryuuid",
)  # fmt: skip
_NUMBER_ENDINGS = ("nr", "nummer", "number", "code", "kennung")
_CODE_WORDS = (
    *_KEY_WORDS, *_NUMBER_WORDS, "zip", "plz", "postal", "postcode", "zipcode", "phone", "tel", "telephone", "telefon",
    "mobile", "fax", "iban", "bic", "version", "sid", "ref", "reference", "account", "ssn", "extension",
)  # fmt: skip
_GENERAL_WORDS = ("name", "title")
_TEXT_WORDS = (
    "description", "comment", "note", "notes", "remark", "label", "text", "address", "street", "city",
    "date", "time", "firstname", "lastname", "created", "modified", "updated",
)  # fmt: skip
_FLAG_WORDS = ("is", "has", "active", "enabled", "disabled", "deleted", "locked", "flag", "valid", "aktiv", "actif")
_DATE_WORDS = (
    "date",
    "day",
    "datum",
    "born",
    "birth",
    "since",
    "until",
    "from",
    "to",
    "hired",
    "left",
    "on",
    "at",
    "start",
    "end",
)
_OF_THE_SAME_TABLE = (
    "manager", "parent", "boss", "supervisor", "superior", "head", "lead", "leader", "chief", "predecessor",
    "successor", "mother", "father", "vorgesetzter", "chef", "owner", "mentor", "replaces", "reports", "upper", "main",
)  # fmt: skip
_SECRET_WORDS = ("password", "passwd", "passwort", "passphrase", "pwd", "secret", "token", "apikey")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_DATE_AT_THE_END = re.compile(r"[-_. ]*(?:\d{4}[-_.]?\d{2}[-_.]?\d{2}|\d{4}[-_.]?\d{2}|\d{6,14})(?:[-_T. ]?\d{4,6})?$")
_SPELLED = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "þ": "th"})


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: `DepartmentCode` and `department_code` have the same."""
    return tuple(word.lower() for word in _WORD.findall(_plain(name)))


def is_code(name: str) -> bool:
    """Whether a column holds codes, by its name: digits that no one calculates with."""
    parts = words(name)
    return bool(parts) and (
        parts[-1] in _CODE_WORDS or "".join(parts) in _CODE_WORDS or parts[-1].endswith(_NUMBER_ENDINGS)
    )


def is_flag_name(name: str) -> bool:
    """Whether a column says yes or no, by its name."""
    parts = words(name)
    return bool(parts) and (parts[0] in _FLAG_WORDS or parts[-1] in _FLAG_WORDS)


def is_secret_name(name: str) -> bool:
    """Whether a column may hold secrets, by its name."""
    parts = words(name)
    return any(part in _SECRET_WORDS for part in parts) or "".join(parts) in _SECRET_WORDS


def is_date_name(name: str) -> bool:
    """Whether a column holds dates, by its name."""
    parts = words(name)
    return bool(parts) and (
        parts[-1] in _DATE_WORDS or parts[0] in _DATE_WORDS or parts[-1].endswith(("date", "datum"))
    )


def key_rank(name: str, table: str) -> int:
    """How much the name of a column says that it identifies the rows of a table: from 4, a lot, to -1, the contrary."""
    parts = words(name)
    if not parts:
        return 0
    own = stem(table)
    is_joined = any(parts[-1].endswith(word) and _is_of([parts[-1][: -len(word)]], own) for word in _KEY_WORDS)
    if "".join(parts) in _KEY_WORDS or (parts[-1] in _KEY_WORDS and _is_of(parts[:-1], own)) or is_joined:
        return 4
    if (
        parts[-1] in _KEY_WORDS
        or "".join(parts) in _NUMBER_WORDS
        or (parts[-1] in _NUMBER_WORDS and _is_of(parts[:-1], own))
    ):
        return 3
    if parts[-1] in _NUMBER_WORDS or parts[-1].endswith(_NUMBER_ENDINGS) or _singular("".join(parts)) == own:
        return 2
    if parts[-1] in ("mail", "email") or "".join(parts) in ("email", "mail"):
        return 1
    return -1 if parts[-1] in _TEXT_WORDS else 0


def is_general(name: str) -> bool:
    """Whether a name says nothing about what it names, such as `id`: that two columns have it means nothing."""
    parts = words(name)
    return all(part in _KEY_WORDS or part in _NUMBER_WORDS or part in (*_GENERAL_WORDS, *_TEXT_WORDS) for part in parts)


def evidence(column: str, table: str, target: str, key: str) -> int:
    """How much names say that a column of a table refers to the key of another: 0 nothing, 1 something, 2 a lot."""
    subject = words(without_key_words(column))
    if _is_of(subject, stem(target)) and (table != target or not is_general(column)):
        return 2
    if table != target and words(column) == words(key) and not is_general(column):
        return 2
    if table == target and any(word in _OF_THE_SAME_TABLE for word in subject):
        return 1
    return 0


def without_key_words(name: str) -> str:
    """A name without its last word where that says that it is a key: `department_id` is `department`."""
    parts = words(name)
    if len(parts) < 2 or parts[-1] not in (*_KEY_WORDS, *_NUMBER_WORDS, "ref", "fk"):
        return name
    ending = re.search(rf"[^0-9a-zA-Z]*{re.escape(parts[-1])}[^0-9a-zA-Z]*$", name, re.IGNORECASE)
    return name[: ending.start()] if ending and ending.start() else name


def stem(table: str) -> str:
    """The last word of the name of a table without the ending of a plural."""
    parts = words(without_date(table)) or (table.lower(),)
    return _singular(parts[-1])


def _singular(word: str) -> str:
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2 and not word.endswith("ss"):
            return word[: -len(ending)] + instead
    return word


def _is_of(parts: Collection[str], own: str) -> bool:
    """Whether the last of some words is the stem of a table, or begins like it."""
    if not parts:
        return False
    last = _singular(list(parts)[-1])
    return last == own or (min(len(last), len(own)) >= 4 and (last.startswith(own) or own.startswith(last)))


def without_date(table: str) -> str:
    """The name of a table without the date at its end, as exports have it: `airports-20240119` is `airports`."""
    return _DATE_AT_THE_END.sub("", table) or table


def property_name(column: str, taken: Collection[str]) -> str:
    """A valid name for the property of a column: the name of the column itself wherever it is one.

    :param taken: other names, of which it differs not only in letter case.
    """
    name = column
    if property_problem(name) is not None:
        parts = re.findall("[A-Za-z0-9]+", _plain(column))
        name = "".join(part[:1].upper() + part[1:] for part in parts)[: LONGEST - 4]
        if name == "Id":
            name = "Identifier"
        if property_problem(name) is not None:
            name = f"Column{name}" if name else "Column"
    return _untaken(name, taken)


def entity_type_name(table: str, taken: Collection[str]) -> str:
    """A valid name for the type of a table: its own name wherever it is one, without the date at its end."""
    name = without_date(table)
    if entity_type_problem(name) is not None or not name.isascii() or not re.fullmatch(r"\w+", name):
        parts = re.findall("[A-Za-z0-9]+", _plain(name))
        name = "_".join(parts)[: LONGEST - 4]
        if entity_type_problem(name) is not None:
            name = f"Table_{name}" if name else "Table"
    return _untaken(name, taken)


def _untaken(name: str, taken: Collection[str]) -> str:
    used = {other.lower() for other in taken}
    number, free = 2, name
    while free.lower() in used:
        free, number = f"{name}{number}", number + 1
    return free


def _plain(name: str) -> str:
    """A name in plain letters where these can be seen in it."""
    decomposed = unicodedata.normalize("NFKD", name.translate(_SPELLED))
    return "".join(char for char in decomposed if not unicodedata.combining(char))
