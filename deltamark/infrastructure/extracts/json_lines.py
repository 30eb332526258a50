"""The cells of a file with a JSON object on each line: members by their path, numbers as they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from attrs import frozen

from deltamark.domain.configuration.packages import ATTRIBUTE, KEY, OWNER, VALUE
from deltamark.domain.errors import SourceError
from deltamark.domain.values import shown
from deltamark.infrastructure.extracts.cells import MOST_COLUMNS, ExtractSource
from deltamark.infrastructure.extracts.decode import declared_encoding, utf8_text
from deltamark.infrastructure.extracts.text_cells import TextCells, TextRows, TextRowsBuilder

_LONGEST_LINE = 64 << 20
_MARK = b"\xef\xbb\xbf"


def json_lines_cells(source: ExtractSource) -> TextCells:
    """Opens a file of JSON lines, compressed or not.

    A line that is no object is a row that cannot be read. Members of objects inside are columns by their path, such as
    `name.family`. A table of links has the columns `owner` and `value`, see `_pairs`.

    :raises SourceError: if it is damaged, cut off, no JSON lines, or lacks a column.
    """
    encoding = declared_encoding(source.mapping.encoding, source.mapping_location)
    plain = utf8_text(source.file, encoding, source.copies, source.limits, "JSON lines")
    reader = _Reader(source, plain.path)
    if ATTRIBUTE in source.options:
        return TextCells(source, (OWNER, VALUE), None, reader.pairs)
    names: dict[str, None] = {}
    read = reader.rows(source.columns, names)
    if len(names) > MOST_COLUMNS:
        raise SourceError(source.file.where, f"its objects have {len(names):,} members, more than {MOST_COLUMNS:,}")
    if not names and read.unreadable:
        first = read.unreadable[0]
        raise SourceError(
            source.file.at(first.line),
            f"no line can be read, this one because {first.reason}",
            value=first.text,
            advice="Export JSON lines: an object on each line.",
        )
    columns = tuple(names)

    def rows(numbers: Sequence[int]) -> TextRows:
        wanted = [columns[number] for number in numbers]
        if not set(wanted) <= set(source.columns):
            return _by_number(reader.rows(wanted, {}), wanted, numbers, wanted)
        return _by_number(read, source.columns, numbers, wanted)

    return TextCells(source, columns, None, rows)


def _by_number(read: TextRows, names: Sequence[str], numbers: Sequence[int], wanted: Sequence[str]) -> TextRows:
    at = {name: number for number, name in enumerate(names)}
    columns = {number: read.columns[at[name]] for number, name in zip(numbers, wanted, strict=True)}
    return TextRows(columns=columns, lines=read.lines, unreadable=read.unreadable)


@frozen
class _Reader:
    source: ExtractSource
    path: Path

    def rows(self, columns: Sequence[str], names: dict[str, None]) -> TextRows:
        """The rows, with the cells of columns by their position.

        :param names: receives the columns that there are.
        """
        builder = TextRowsBuilder(range(len(columns)))
        paths = [tuple(column.split(".")) for column in columns]
        known: set[tuple[str, ...]] = set()
        for line, content in self._lines():
            try:
                members = _object(content)
                _collect(members, (), known, names)
                cells = [_member(members, path) for path in paths]
                texts = tuple([cell if type(cell) is str else _text(cell) for cell in cells])
                if b"\\u" in content:
                    _check_characters(texts)
            except ValueError as error:
                builder.set_aside(line, str(error), content.decode("utf-8", "replace"))
                continue
            except _Nested as nested:
                column = columns[next(number for number, cell in enumerate(cells) if cell is nested.value)]
                raise self._nested(line, column, nested.value) from None
            builder.add(line, texts)
        return builder.finish()

    def pairs(self, numbers: Sequence[int]) -> TextRows:
        """The pairs of a table of links: for each object the text of `Key`, and each value of `Attribute`."""
        builder = TextRowsBuilder(numbers)
        key, path = self.source.options.get(KEY, ""), tuple(self.source.options[ATTRIBUTE].split("."))
        for line, content in self._lines():
            try:
                members = _object(content)
                owner = _text(_member(members, tuple(key.split("."))))
                values = [_text(value) for value in _elements(members, path)]
                _check_characters((owner, *values))
            except ValueError as error:
                builder.set_aside(line, str(error), content.decode("utf-8", "replace"))
                continue
            except _Nested as nested:
                raise self._nested(line, self.source.options[ATTRIBUTE], nested.value) from None
            for value in values:
                builder.add(line, tuple(value if number else owner for number in numbers))
        return builder.finish()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        is_first = True
        with self.path.open("rb") as stream:
            for line, content in enumerate(iter(lambda: stream.readline(_LONGEST_LINE + 1), b""), 1):
                if len(content) > _LONGEST_LINE:
                    raise SourceError(self.source.file.at(line), f"the line has more than {_LONGEST_LINE:,} bytes")
                content = content.removeprefix(_MARK).strip() if line == 1 else content.strip()
                if not content:
                    continue
                if is_first and content.startswith(b"["):
                    raise SourceError(
                        self.source.file.at(line),
                        "this is one JSON array, and not an object on each line",
                        advice="Export JSON lines; jq -c '.[]' makes them of an array.",
                    )
                is_first = False
                yield line, content

    def _nested(self, line: int, column: str, value: Any) -> SourceError:
        kind = "a list" if isinstance(value, list) else "an object"
        advice = "Map the members inside it by their paths, such as name.family."
        if isinstance(value, list):
            advice = "Read lists by a table with Links and Attribute of a connection, or leave the column out."
        return SourceError(self.source.file.at(line, column), f"{shown(column)} holds {kind}", advice=advice)


class _Nested(Exception):
    """A cell is no single value."""

    def __init__(self, value: Any) -> None:
        self.value = value
        super().__init__()


def _object(content: bytes) -> dict[str, Any]:
    """The object of a line; numbers are texts, as they are written.

    :raises ValueError: if it is none; the message is a clause.
    """
    try:
        value = _DECODER.decode(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"the line is not text in UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the line is no JSON ({error.msg} at character {error.pos + 1})") from None
    except RecursionError:
        raise ValueError("the line is nested too deeply") from None
    if type(value) is not dict:
        raise ValueError("the line is JSON, but no object")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {shown(twice)} is there twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=_refuse_constant, object_pairs_hook=_distinct
)


def _collect(
    members: Mapping[str, Any], at: tuple[str, ...], known: set[tuple[str, ...]], names: dict[str, None]
) -> None:
    """Adds the paths of all single values and lists.

    :raises ValueError: if a name holds what separates the names of a path.
    """
    for name, value in members.items():
        if type(value) is dict:
            _collect(value, (*at, name), known, names)
            continue
        path = (*at, name)
        if path not in known:
            if any("." in part for part in path) and len(path) > 1:
                raise ValueError(f"the member {shown('.'.join(path))} has a point in a name on its path")
            known.add(path)
            names[".".join(path)] = None


def _member(members: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path; None where there is none."""
    if len(path) == 1:
        return members.get(path[0])
    whole = ".".join(path)
    value: Any = members
    for name in path:
        value = value.get(name) if type(value) is dict else None
    if whole in members:
        if value is not None:
            raise ValueError(f"two members lead to {shown(whole)}")
        return members[whole]
    return value


def _elements(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The values at a path, through lists."""
    if type(value) is list:
        for element in value:
            yield from _elements(element, path)
    elif not path:
        if value is not None:
            yield value
    elif type(value) is dict:
        yield from _elements(value.get(path[0]), path[1:])


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise _Nested(value)


def _check_characters(texts: Sequence[str | None]) -> None:
    for text in texts:
        if text is not None and ("\0" in text or not _is_unicode(text)):
            raise ValueError("a value has a character that no text may have (NUL, or half of a surrogate pair)")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
