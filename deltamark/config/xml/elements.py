"""Descriptions of elements, and the conversion between their parts and domain objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import NOTHING, Factory, evolve, fields, fields_dict, frozen

from deltamark.config.xml.attribute_types import AttributeType
from deltamark.domain.configuration.entity_model import Thresholds
from deltamark.domain.location import Location

LANGUAGES = {f"DisplayName_L{number}": number for number in range(1, 17)}


@frozen
class Attribute:
    """An attribute of an element.

    `field` is the argument of the domain class that it sets; an attribute without a field is accepted and ignored.
    Two attributes with the same field are alternatives. If an attribute is missing, the default of the domain class
    applies.
    """

    name: str
    type: AttributeType
    field: str | None = None
    required: bool = False
    is_threshold: bool = False


PYTHON_VALUE = "Python-"
"""Begins the names of attributes of kept XML for values that only Python can express; they are written as JSON."""


@frozen
class Parts:
    """The contents of an element, as they were read or as they will be written.

    Values that are the defaults of the domain class are left out.
    """

    element: Element
    location: Location | None
    values: Mapping[str, Any]
    thresholds: Mapping[str, int]
    display_names: Mapping[int, str]
    children: Mapping[str, list[Any]]


class NameInFile(str):
    """A name that an element of its own holds, with the place of that element."""

    location: Location | None

    def __new__(cls, name: str, location: Location | None) -> NameInFile:
        """Gives the name its place."""
        text = super().__new__(cls, name)
        text.location = location
        return text


PartsOf = Callable[["Element", Any], Parts | None]


@frozen
class Element:
    """An element of the vocabulary.

    `build` makes an object from parts. `parts_of` is its inverse: the parts of an object, or None if the element
    cannot represent it. `into` is the field of the parent's object that collects these elements. `names`: whether
    display names are accepted; `needs_name`: whether the one in the first language is required.
    """

    name: str
    build: Callable[[Parts], Any]
    parts_of: PartsOf
    into: str = ""
    attributes: tuple[Attribute, ...] = ()
    children: tuple[Element, ...] = ()
    names: bool = True
    needs_name: bool = False
    builds: type[Any] | None = None

    def attribute(self, name: str) -> Attribute | None:
        """The attribute with that name, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def child(self, name: str) -> Element | None:
        """The child element with that name, or None."""
        return next((child for child in self.children if child.name == name), None)

    def attribute_names(self) -> tuple[str, ...]:
        """The names of all attributes, including display names."""
        names = tuple(attribute.name for attribute in self.attributes)
        return names + tuple(LANGUAGES) if self.names else names

    def default(self, attribute: Attribute) -> Any:
        """The default of an attribute, as the domain class declares it.

        None if there is none, or if it follows from other attributes.
        """
        if attribute.field is None or self.builds is None:
            return None
        if attribute.is_threshold:
            return getattr(fields_dict(self.builds)["thresholds"].default, attribute.field)
        default = fields_dict(self.builds)[attribute.field].default
        return None if default is NOTHING or isinstance(default, Factory) else default  # type: ignore[arg-type]


def element(
    name: str,
    builds: type[Any],
    into: str,
    *attributes: Attribute,
    children: tuple[Element, ...] = (),
    names: bool = True,
    needs_name: bool = False,
) -> Element:
    """Describes an element that builds a domain class from its attributes and children."""
    base: Thresholds | None = None
    if "thresholds" in fields_dict(builds):
        base = fields_dict(builds)["thresholds"].default

    def build(parts: Parts) -> Any:
        arguments: dict[str, Any] = {**parts.values, **parts.children, "location": parts.location}
        if "name_locations" in fields_dict(builds):
            items = (item for into in parts.children.values() for item in into)
            arguments["name_locations"] = {
                str(item): item.location for item in items if isinstance(item, NameInFile) and item.location
            }
            arguments |= {into: [_plain(item) for item in parts.children[into]] for into in parts.children}
        if parts.display_names:
            arguments["display_names"] = parts.display_names
        if base is not None and parts.thresholds:
            arguments["thresholds"] = evolve(base, **parts.thresholds)
        return builds(**arguments)

    return Element(name, build, object_parts, into, attributes, children, names, needs_name, builds)


def _plain(item: Any) -> Any:
    return str(item) if isinstance(item, NameInFile) else item


_SEPARATE_PARTS = ("location", "display_names", "thresholds", "name_locations")


def object_parts(element: Element, item: Any) -> Parts | None:
    """Returns the parts of an object that are not defaults, or None if it is of another class."""
    if type(item) is not element.builds:
        return None
    values = {a.name: getattr(item, a.name) for a in fields(type(item)) if _is_set(item, a)}
    nested = {child.into for child in element.children}
    return Parts(
        element,
        item.location,
        {name: value for name, value in values.items() if name not in nested},
        _thresholds(item),
        getattr(item, "display_names", {}),
        {name: list(values[name]) for name in values if name in nested},
    )


def _is_set(item: Any, attribute: Any) -> bool:
    return attribute.name not in _SEPARATE_PARTS and getattr(item, attribute.name) != attribute.default


def _thresholds(item: Any) -> dict[str, int]:
    """The thresholds that differ from the defaults of the class."""
    if not hasattr(item, "thresholds"):
        return {}
    base = fields_dict(type(item))["thresholds"].default
    names = (attribute.name for attribute in fields(Thresholds))
    return {
        name: getattr(item.thresholds, name) for name in names if getattr(item.thresholds, name) != getattr(base, name)
    }
