"""Distinguished names in the form in which two notations of one name are equal."""

from __future__ import annotations

import re

from deltamark.domain.synchronization.distinguished_names import canonical_name

_PLAIN_PAIR = r"""[A-Za-z][A-Za-z0-9-]*=[^\\"+;<>#,=\0 ][^\\"+;<>#,\0]*"""
_PLAIN = re.compile(rf"{_PLAIN_PAIR}(?:,{_PLAIN_PAIR})*")


def name_key(name: bytes) -> str | None:
    """What two notations of one name have in common; None for what is no distinguished name.

    :raises UnicodeDecodeError: if it is no text in UTF-8.
    """
    text = name.decode()
    if _PLAIN.fullmatch(text) and " ," not in text and text[-1:] != " ":
        parts = (part.partition("=") for part in text.split(","))
        return ",".join([f"{kind.upper()}={value.casefold()}" for kind, _, value in parts])
    return canonical_name(text, str.casefold) if text else None
