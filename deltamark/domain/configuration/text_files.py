"""How text files are written: their encodings, delimiters and separators, and what mappings may say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import punctuation

from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.values import shown

CODECS: Mapping[str, str] = {
    "utf-8": "utf-8",
    "utf-16": "utf-16-le",  # unless a byte order mark says otherwise
    "utf-16-le": "utf-16-le",
    "utf-16le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "utf-16be": "utf-16-be",
    "windows-1252": "cp1252",
}
"""Encoding -> what Python calls it."""
DELIMITERS = frozenset(punctuation) - {'"', "\\"} | {"\t", " "}
DELIMITER = "tab, a blank or one sign such as ; or |"
ENCODINGS = "utf-8, utf-16 or windows-1252"
SEPARATOR = "a sign such as ; or |, of three characters at most, without letters and digits"


def codec(encoding: str | None) -> str | None:
    """What Python calls the encoding that a mapping declares, UTF-8 if it declares none; None if it is not known."""
    return CODECS.get((encoding or "utf-8").strip().lower().replace("_", "-").replace("utf8", "utf-8"))


def is_delimiter(text: str) -> bool:
    """Whether a text can stand between the cells of a row."""
    return text in DELIMITERS


def is_separator(text: str) -> bool:
    """Whether a text can stand between the values of a cell."""
    return 1 <= len(text) <= 3 and "\\" not in text and not any(char.isalnum() for char in text)


def text_file_problems(mapping: EntityTypeMapping | EntityAssociationMapping) -> Iterator[str]:
    """What keeps the text file of a mapping from being read, each as a sentence about its attribute."""
    if codec(mapping.encoding) is None:
        yield f"Encoding {shown(mapping.encoding)} is not known; say {ENCODINGS}"
    if mapping.delimiter is not None and not is_delimiter(mapping.delimiter):
        yield f"Delimiter {shown(mapping.delimiter)} is not {DELIMITER}"
    if mapping.skip_lines < 0:
        yield f"SkipLines is {mapping.skip_lines}; it must not be negative"
    if isinstance(mapping, EntityAssociationMapping):
        for name, separator in (("Separator1", mapping.separator1), ("Separator2", mapping.separator2)):
            if separator is not None and not is_separator(separator):
                yield f"{name} {shown(separator)} is not {SEPARATOR}"
