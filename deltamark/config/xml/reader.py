"""Reads one configuration file: converts its bytes to objects, and collects its faults.

A fault does not end the reading. What is misspelt is read as what was probably meant, what cannot be read is replaced,
and what is lost is remembered by its names, so that all else can be judged in the same pass.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from attrs import define, field, fields_dict, frozen
from lxml import etree

from deltamark.config.files import LARGEST_FILE
from deltamark.config.xml.attribute_types import UNREADABLE, InvalidValue
from deltamark.config.xml.elements import LANGUAGES, PYTHON_VALUE, Attribute, Element, Parts
from deltamark.config.xml.safety import check
from deltamark.config.xml.schema import ROOT, ROOT_NAME, all_elements, owners_of
from deltamark.config.xml.unbuilt import NOT_BUILT, is_attribute_not_built, is_not_built
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Thresholds
from deltamark.domain.configuration.names import normalized
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.suggestions import likely, nearest
from deltamark.domain.values import shown

MOST_FAULTS = 200
"""The most faults of one file for which the names that were probably meant are looked for, and that are reported."""

MOST_OF_ONE_NAME = 20
"""The most elements of one name that is not built that are reported one by one for one file."""

MOST_OWNERS = 3
"""The most elements that are named as those that have an attribute."""

SCHEMA_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
OMISSION = " \t\r\n.…"
"""Examples mark omissions with dots: such text is accepted and ignored."""

_NAMES = re.compile(rb"""\bIdentifier\s*=\s*(?:"([^"<]*)"|'([^'<]*)')""")


@frozen(kw_only=True)
class UnbuiltPart:
    """Something that is not built, which was left out."""

    name: str
    location: Location
    identifiers: tuple[str, ...] = ()
    """The identifiers that it and what is inside it define."""


@frozen(kw_only=True)
class FileContents:
    """What a file holds, as far as it can be read.

    :param faults: in document order.
    :param not_built: the elements and attributes that are known but not built.
    :param lost: the identifiers of elements that could not be read.
    :param is_whole: whether every element could be read, though perhaps with a fault.
    :param may_define_anything: whether even the identifiers in the file are not all known.
    :param readings: in how many ways the values that cannot be read may be meant.
    """

    configuration: Configuration = Configuration()
    faults: tuple[Fault, ...] = ()
    not_built: tuple[UnbuiltPart, ...] = ()
    lost: frozenset[str] = frozenset()
    is_whole: bool = True
    may_define_anything: bool = False
    readings: int = 1


def read(data: bytes, file: str, *, leave_out_unbuilt: bool = False, reading: int = 0) -> FileContents:
    """Returns what a file holds, and its faults.

    Reads no other file and opens no connection.

    :param leave_out_unbuilt: whether what is not built is left out instead of being a fault.
    :param reading: which of the ways to take in which values that cannot be read may be meant.
    """
    unsafe, lines, complete = check(data, file)
    if unsafe is None:
        return _read(data, file, lines, leave_out_unbuilt, reading)
    names = frozenset(_written_names(data))
    if complete is None:
        is_cut = len(data) > LARGEST_FILE
        return FileContents(faults=(unsafe,), lost=names, is_whole=False, may_define_anything=is_cut)
    before = _read(complete, file, lines, leave_out_unbuilt, reading)
    return FileContents(
        configuration=before.configuration,
        faults=(*before.faults, unsafe),
        not_built=before.not_built,
        lost=before.lost | names,
        is_whole=False,
        readings=before.readings,
    )


def read_kept(data: bytes, name: str) -> Configuration:
    """Returns what XML says that this or an earlier version wrote, of any size, without judging it.

    :raises ValueError: if it is not well-formed.
    """
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise ValueError(f"it is not well-formed XML: {error.msg}") from error
    first_lines = dict.fromkeys(root.iter(etree.Element), 0)
    reader = _Reader(name, etree.QName(root).namespace, first_lines, leave_out_unbuilt=True, reads_python_values=True)
    return reader.read_root(root)


def _read(data: bytes, file: str, lines: Iterable[int], leave_out_unbuilt: bool, reading: int) -> FileContents:
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        fault = Fault(Location(file, error.lineno), f"this is not well-formed XML ({error.msg})")
        return FileContents(faults=(fault,), lost=frozenset(_written_names(data)), is_whole=False)
    first_lines = dict(zip(root.iter(etree.Element), lines, strict=False))
    reader = _Reader(file, etree.QName(root).namespace, first_lines, leave_out_unbuilt, reading)
    configuration = reader.read_root(root)
    return FileContents(
        configuration=configuration,
        faults=reader.reported(),
        not_built=tuple(reader.not_built),
        lost=frozenset(reader.lost),
        is_whole=reader.is_whole,
        readings=reader.readings,
    )


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _written_names(data: bytes) -> Iterable[str]:
    """The identifiers in a file that cannot be parsed, in whatever encoding it is."""
    for match in _NAMES.finditer(data.replace(b"\0", b"")):
        yield normalized((match.group(1) or match.group(2) or b"").decode("utf-8", "replace"))


@lru_cache(maxsize=MOST_FAULTS)
def _owners(attribute: str) -> tuple[str, ...]:
    return tuple(owners_of(attribute))


@cache
def _parents() -> dict[str, tuple[Element, ...]]:
    return all_elements()


@define
class _Reader:
    """Reads the elements of one file as the schema describes them, and collects faults."""

    file: str
    namespace: str | None
    first_lines: dict[etree._Element, int]
    """The line in which each element begins."""
    leave_out_unbuilt: bool = False
    reading: int = 0
    reads_python_values: bool = False
    faults: list[Fault] = field(factory=list)
    not_built: list[UnbuiltPart] = field(factory=list)
    lost: set[str] = field(factory=set)
    is_whole: bool = True
    readings: int = 1

    def read_root(self, root: etree._Element) -> Configuration:
        name = etree.QName(root).localname
        if name != ROOT_NAME:
            guess = f"; did you mean `{ROOT_NAME}`?" if nearest(name, [ROOT_NAME]) else ""
            self._refuse(root, f"the root element is `{_cut(name)}`, not `{ROOT_NAME}`{guess}")
            if not guess:
                self._lose(root)
                return Configuration()
        configuration: Configuration = self._read(root, ROOT)
        return configuration

    def reported(self) -> tuple[Fault, ...]:
        """The faults, in document order, and what is not built unless it is left out."""
        faults = self.faults[:MOST_FAULTS]
        if len(self.faults) > MOST_FAULTS:
            faults.append(
                Fault(faults[-1].location, f"more than {MOST_FAULTS} faults follow in this file; correct these first")
            )
        return (*faults, *(() if self.leave_out_unbuilt else self._unbuilt_faults()))

    def _unbuilt_faults(self) -> Iterable[Fault]:
        total = Counter(item.name for item in self.not_built)
        seen: Counter[str] = Counter()
        for item in self.not_built:
            seen[item.name] += 1
            if seen[item.name] > MOST_OF_ONE_NAME:
                continue
            rest = total[item.name] - MOST_OF_ONE_NAME
            more = f"; so are {rest} more in this file" if seen[item.name] == MOST_OF_ONE_NAME and rest > 0 else ""
            yield Fault(
                item.location,
                f"{item.name} is known but not built yet in this version{more}; remove it, or let it be left out",
            )

    def _read(self, node: etree._Element, element: Element) -> Any:
        self._check_text(node, element)
        values, thresholds, names = self._attributes(node, element)
        children = self._children(node, element)
        return element.build(Parts(element, self._place(node), values, thresholds, names, children))

    def _children(self, node: etree._Element, element: Element) -> dict[str, list[Any]]:
        children: dict[str, list[Any]] = {}
        for child in node:
            qualified = etree.QName(child)
            known = element.child(qualified.localname)
            if qualified.namespace not in (None, self.namespace):
                self._refuse(child, f"`{_cut(qualified.localname)}` is not in the namespace of the root element")
                self._lose(child)
            elif known is not None and self.leave_out_unbuilt and _is_in_csharp(child):
                self._leave_out(child, f"`{known.name}` with an expression in C#", tuple(_identifiers(child)))
            elif known is not None:
                children.setdefault(known.into, []).append(self._read(child, known))
            elif is_not_built(qualified.localname):
                self._leave_out(child, f"`{qualified.localname}`", tuple(_identifiers(child)))
            else:
                meant = self._misplaced(child, qualified.localname, element)
                if meant is not None:
                    children.setdefault(meant.into, []).append(self._read(child, meant))
        return children

    def _misplaced(self, node: etree._Element, name: str, parent: Element) -> Element | None:
        """Refuses an element that may not be there, and returns the one that it was probably meant to be there."""
        places = _parents().get(name)
        if places:
            listed = ", ".join(f"`{place.name}`" for place in places[:4])
            self._refuse(node, f"`{name}` is not allowed inside `{parent.name}`; it belongs inside {listed}")
            self._judge_alone(node, places[0].child(name))
            return None
        if name == ROOT_NAME:
            self._refuse(node, f"`{ROOT_NAME}` is the root element; it is not allowed inside `{parent.name}`")
            self._lose(node)
            return None
        names = [child.name for child in parent.children]
        guess = self._nearest(name, names) or self._nearest(name, _parents())
        ending = f"; did you mean `{guess}`?" if guess else self._unbuilt_hint(name)
        self._refuse(node, f"unknown element `{_cut(name)}` inside `{parent.name}`{ending}")
        meant = likely(name, names) if guess in names else None
        if meant is None:
            self._lose(node)
            return None
        return parent.child(meant)

    def _unbuilt_hint(self, name: str) -> str:
        guess = self._nearest(name, sorted(NOT_BUILT))
        return f"; did you mean `{guess}`, which is not built yet?" if guess else ""

    def _judge_alone(self, node: etree._Element, element: Element | None) -> None:
        """Judges an element that is in the wrong place; what it defines is lost."""
        self._lose(node)
        if element is not None:
            self._read(node, element)

    def _lose(self, node: etree._Element) -> None:
        self.is_whole = False
        self.lost.update(_identifiers(node))

    def _leave_out(self, node: etree._Element, name: str, identifiers: tuple[str, ...] = ()) -> None:
        self.not_built.append(UnbuiltPart(name=name, location=self._place(node), identifiers=identifiers))

    def _attributes(
        self, node: etree._Element, element: Element
    ) -> tuple[dict[str, Any], dict[str, int], dict[int, str]]:
        values: dict[str, Any] = {}
        thresholds: dict[str, int] = {}
        names: dict[int, str] = {}
        written: dict[str, str] = {}
        for key, text in node.items():
            name = str(key)
            attribute = element.attribute(name)
            if attribute is not None:
                self._attribute(node, element, attribute, str(text), values, thresholds, written)
            elif self.reads_python_values and name.startswith(PYTHON_VALUE):
                _read_python_value(name.removeprefix(PYTHON_VALUE), str(text), values, thresholds, names)
            elif element.names and name in LANGUAGES:
                names[LANGUAGES[name]] = str(text)
                if not str(text).strip():
                    self._refuse(node, f"`{name}` of `{element.name}` is empty")
            elif is_attribute_not_built(element.name, name):
                self._leave_out(node, f"`{name}` of `{element.name}`")
            elif not (element is ROOT and name.startswith(SCHEMA_INSTANCE)):
                self._unknown_attribute(node, element, name, str(text), values, thresholds, names)
        self._check_required(node, element, values, written, names)
        return values, thresholds, names

    def _unknown_attribute(
        self,
        node: etree._Element,
        element: Element,
        name: str,
        text: str,
        values: dict[str, Any],
        thresholds: dict[str, int],
        names: dict[int, str],
    ) -> None:
        """Refuses an attribute, and takes its value as that of the one that was probably meant."""
        owners = _owners(name)
        guess = None if owners else self._nearest(name, element.attribute_names())
        ending = f"; did you mean `{guess}`?" if guess else ""
        if 0 < len(owners) <= MOST_OWNERS:
            ending = f"; it is an attribute of {' and '.join(owners)}"
        self._refuse(node, f"unknown attribute `{_cut(name)}` of `{element.name}`{ending}")
        if guess is None or guess in node.attrib:
            return
        attribute = element.attribute(guess)
        if attribute is None:
            names.setdefault(LANGUAGES[guess], text)
            return
        try:
            value = attribute.type.parse(text)
        except InvalidValue as error:
            value = self._replacement(attribute, text, error)
        if attribute.field is not None and value is not None:
            (thresholds if attribute.is_threshold else values).setdefault(attribute.field, value)

    def _attribute(
        self,
        node: etree._Element,
        element: Element,
        attribute: Attribute,
        text: str,
        values: dict[str, Any],
        thresholds: dict[str, int],
        written: dict[str, str],
    ) -> None:
        into = thresholds if attribute.is_threshold else values
        target = attribute.field or attribute.name
        other = written.setdefault(target, attribute.name)
        try:
            value = attribute.type.parse(text)
        except InvalidValue as error:
            self._refuse(node, f"`{attribute.name}` of `{element.name}`: {shown(text)} {error.reason}")
            value = self._replacement(attribute, text, error)
            if attribute.field is not None and value is not None:
                into.setdefault(target, value)
            return
        if attribute.field is None:
            return
        if target in into and into[target] != value:
            self._refuse(
                node,
                f"`{element.name}` has {shown(into[target])} in `{other}` and {shown(value)} in "
                f"`{attribute.name}`, which have the same meaning; keep one",
            )
            value = attribute.type.readings[0]
        into[target] = value

    def _replacement(self, attribute: Attribute, text: str, error: InvalidValue) -> Any:
        """The value with which the rest is judged, in place of one that cannot be read; None: as if left out."""
        if attribute.name == "Identifier" and text.strip():
            return normalized(text)
        readings: tuple[Any, ...] = attribute.type.readings
        if UNREADABLE in readings and not attribute.required:
            readings = (None, UNREADABLE)
        readings = (*error.meant, *(reading for reading in readings if reading not in error.meant))
        if not readings:
            return None
        self.readings = max(self.readings, len(readings))
        return readings[self.reading % len(readings)]

    def _check_required(
        self,
        node: etree._Element,
        element: Element,
        values: dict[str, Any],
        written: dict[str, str],
        names: dict[int, str],
    ) -> None:
        for attribute in element.attributes:
            target = attribute.field or attribute.name
            if attribute.required and target not in values:
                if target not in written:
                    self._refuse(node, f"`{element.name}` needs the attribute `{attribute.name}`")
                values[target] = attribute.type.readings[0]
        if element.needs_name and 1 not in names:
            self._refuse(node, f"`{element.name}` needs the attribute `DisplayName_L1`")
        if "identifier" in (attribute.field for attribute in element.attributes):
            self._check_identifier(node, values)

    def _check_identifier(self, node: etree._Element, values: dict[str, Any]) -> None:
        """Gives an element whose identifier is missing or unreadable one by which messages can name it."""
        identifier = values.get("identifier", UNREADABLE if UNREADABLE in values.values() else None)
        if identifier == UNREADABLE:
            values["identifier"] = f"(line {self.first_lines[node]})"
            self.lost.add(values["identifier"])

    def _check_text(self, node: etree._Element, element: Element) -> None:
        for text in (node.text, *(child.tail for child in node)):
            if text is not None and text.strip(OMISSION):
                self._refuse(
                    node, f"the text {shown(text.strip(), 40)} is not allowed inside `{element.name}`; remove it"
                )

    def _nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The name that was probably meant: not looked for in a file full of faults, where it would take too long."""
        return nearest(name, known) if len(self.faults) < MOST_FAULTS else None

    def _refuse(self, node: etree._Element, message: str) -> None:
        self.faults.append(Fault(self._place(node), message))

    def _place(self, node: etree._Element) -> Location:
        return Location(self.file, self.first_lines[node])


def _read_python_value(
    name: str, text: str, values: dict[str, Any], thresholds: dict[str, int], names: dict[int, str]
) -> None:
    """Reads the value of a field that is written as JSON; lists become tuples.

    :raises ValueError: if it is not JSON.
    """
    value = json.loads(text)
    if name == "display_names":
        names.update({int(language): label for language, label in value.items()})
    elif name in fields_dict(Thresholds):
        thresholds[name] = value
    else:
        values[name] = tuple(value) if isinstance(value, list) else value


def _identifiers(node: etree._Element) -> Iterable[str]:
    for inner in node.iter(etree.Element):
        identifier = inner.get("Identifier")
        if identifier is not None:
            yield normalized(str(identifier))


def _is_in_csharp(node: etree._Element) -> bool:
    """Whether a rule is written in the language of other products, which is not evaluated."""
    return any(
        str(name).endswith("Expression") and str(text).lstrip().lower().startswith("c#:") for name, text in node.items()
    )


def _cut(name: str) -> str:
    return shown(name).strip('"')
