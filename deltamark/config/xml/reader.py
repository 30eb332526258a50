"""Reads one configuration file: converts its bytes to objects, and collects its faults."""

from __future__ import annotations

from functools import cache
from typing import Any

from attrs import field, frozen
from lxml import etree

from deltamark.config.xml.attribute_types import InvalidValue
from deltamark.config.xml.elements import LANGUAGES, Attribute, Element, Parts
from deltamark.config.xml.safety import check
from deltamark.config.xml.schema import ROOT, ROOT_NAME, all_elements, is_not_built
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.suggestions import nearest
from deltamark.domain.values import shown

MOST_FAULTS = 200
"""The most faults that are reported for one file."""

SCHEMA_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
OMISSION = " \t\r\n.…"
"""Examples mark omissions with dots: such text is accepted and ignored."""

NOT_BUILT_OBJECT = object()
"""Stands for an object that faults kept from being built."""


class _TooManyFaults(Exception):
    pass


def read(data: bytes, file: str) -> tuple[Configuration | None, tuple[Fault, ...]]:
    """Returns the configuration in a file, and its faults in document order.

    The configuration is None if there are faults. Reads no other file and opens no connection.
    """
    unsafe, lines = check(data, file)
    if unsafe is not None:
        return None, (unsafe,)
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        return None, (Fault(Location(file, error.lineno), f"this is not well-formed XML ({error.msg})"),)
    first_lines = dict(zip(root.iter(etree.Element), lines, strict=True))
    reader = _Reader(file, etree.QName(root).namespace, first_lines)
    configuration = reader.read_root(root)
    return (None if reader.faults else configuration), tuple(reader.faults)


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


@cache
def _parents() -> dict[str, tuple[Element, ...]]:
    return all_elements()


@frozen
class _Reader:
    """Reads the elements of one file as the schema describes them, and collects faults."""

    file: str
    namespace: str | None
    first_lines: dict[etree._Element, int]
    """The line in which each element begins."""
    faults: list[Fault] = field(factory=list)

    def read_root(self, root: etree._Element) -> Configuration | None:
        name = etree.QName(root).localname
        if name != ROOT_NAME:
            guess = f"; did you mean `{ROOT_NAME}`?" if nearest(name, [ROOT_NAME]) else ""
            self.faults.append(
                Fault(self._place(root), f"the root element is `{_cut(name)}`, not `{ROOT_NAME}`{guess}")
            )
            return None
        try:
            return self._read(root, ROOT)  # type: ignore[no-any-return]
        except _TooManyFaults:
            self.faults.append(Fault(self.faults[-1].location, "more faults follow in this file; correct these first"))
            return None

    def _read(self, node: etree._Element, element: Element) -> Any:
        before = len(self.faults)
        self._check_text(node, element)
        values, thresholds, names = self._attributes(node, element)
        children = self._children(node, element)
        if len(self.faults) > before:
            return NOT_BUILT_OBJECT
        return element.build(Parts(element, self._place(node), values, thresholds, names, children))

    def _children(self, node: etree._Element, element: Element) -> dict[str, list[Any]]:
        children: dict[str, list[Any]] = {}
        for child in node:
            qualified = etree.QName(child)
            known = element.child(qualified.localname)
            if qualified.namespace not in (None, self.namespace):
                self._refuse(child, f"`{_cut(qualified.localname)}` is not in the namespace of the root element")
            elif known is None:
                self._refuse(child, _misplaced(qualified.localname, element))
            else:
                built = self._read(child, known)
                children.setdefault(known.into, []).append(built)
        return children

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
                into = thresholds if attribute.is_threshold else values
                self._attribute(node, element, attribute, str(text), into, written)
            elif element.names and name in LANGUAGES:
                names[LANGUAGES[name]] = str(text)
                if not str(text).strip():
                    self._refuse(node, f"`{name}` of `{element.name}` is empty")
            elif not (element is ROOT and name.startswith(SCHEMA_INSTANCE)):
                self._refuse(node, _unknown_attribute(name, element))
        self._check_required(node, element, written, names)
        return values, thresholds, names

    def _attribute(
        self,
        node: etree._Element,
        element: Element,
        attribute: Attribute,
        text: str,
        into: dict[str, Any],
        written: dict[str, str],
    ) -> None:
        target = attribute.field or attribute.name
        other = written.setdefault(target, attribute.name)
        try:
            value = attribute.type.parse(text)
        except InvalidValue as error:
            self._refuse(node, f"`{attribute.name}` of `{element.name}`: {shown(text)} {error.reason}")
            return
        if attribute.field is None:
            return
        if target in into and into[target] != value:
            self._refuse(
                node,
                f"`{element.name}` has {shown(into[target])} in `{other}` and {shown(value)} in "
                f"`{attribute.name}`, which have the same meaning; keep one",
            )
        into[target] = value

    def _check_required(
        self, node: etree._Element, element: Element, written: dict[str, str], names: dict[int, str]
    ) -> None:
        for attribute in element.attributes:
            if attribute.required and (attribute.field or attribute.name) not in written:
                self._refuse(node, f"`{element.name}` needs the attribute `{attribute.name}`")
        if element.needs_name and 1 not in names:
            self._refuse(node, f"`{element.name}` needs the attribute `DisplayName_L1`")

    def _check_text(self, node: etree._Element, element: Element) -> None:
        for text in (node.text, *(child.tail for child in node)):
            if text is not None and text.strip(OMISSION):
                self._refuse(
                    node, f"the text {shown(text.strip(), 40)} is not allowed inside `{element.name}`; remove it"
                )

    def _refuse(self, node: etree._Element, message: str) -> None:
        self.faults.append(Fault(self._place(node), message))
        if len(self.faults) >= MOST_FAULTS:
            raise _TooManyFaults

    def _place(self, node: etree._Element) -> Location:
        return Location(self.file, self.first_lines[node])


def _misplaced(name: str, parent: Element) -> str:
    if is_not_built(name):
        return (
            f"`{name}` is known but not built yet in this version; remove it, or keep it in a file outside "
            "the configuration"
        )
    parents = _parents().get(name)
    if parents:
        places = ", ".join(f"`{place.name}`" for place in parents[:4])
        return f"`{name}` is not allowed inside `{parent.name}`; it belongs inside {places}"
    if name == ROOT_NAME:
        return f"`{ROOT_NAME}` is the root element; it is not allowed inside `{parent.name}`"
    guess = nearest(name, [child.name for child in parent.children]) or nearest(name, _parents())
    ending = f"; did you mean `{guess}`?" if guess else ""
    return f"unknown element `{_cut(name)}` inside `{parent.name}`{ending}"


def _unknown_attribute(name: str, element: Element) -> str:
    guess = nearest(name, element.attribute_names())
    ending = f"; did you mean `{guess}`?" if guess else ""
    return f"unknown attribute `{_cut(name)}` of `{element.name}`{ending}"


def _cut(name: str) -> str:
    return shown(name).strip('"')
