"""How the schema describes an element, how its parts become an object of the domain, and an object its parts again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import NOTHING, evolve, fields, fields_dict, frozen

from deltamark.config.xml.attribute_types import Kind
from deltamark.domain.configuration.entity_model import Thresholds
from deltamark.domain.location import Location

LANGUAGES = {f"DisplayName_L{number}": number for number in range(1, 17)}


@frozen
class Attribute:
    """An attribute of an element.

    `field` is the argument of the domain class that it fills; None accepts the attribute without giving it
    a meaning. Two attributes of one field are two spellings of the same thing. An attribute that is not
    given leaves the default to the domain class.
    """

    name: str
    kind: Kind
    field: str | None = None
    required: bool = False
    is_threshold: bool = False


@frozen
class Parts:
    """What an element says: what was read of it, ready to build the object that it stands for, or is to be written.

    What does not differ from the defaults of the domain class is missing.
    """

    element: Element
    location: Location | None
    values: Mapping[str, Any]
    thresholds: Mapping[str, int]
    display_names: Mapping[int, str]
    children: Mapping[str, list[Any]]


Take = Callable[["Element", Any], Parts | None]


@frozen
class Element:
    """An element of the vocabulary.

    `build` makes an object of its parts; `take` gives the parts of an object, or None if it is none that the element
    stands for. `into` is the field of the parent's object that collects these elements. `names` says whether display
    names are accepted; `needs_name`, whether the one in the first language must be given.
    """

    name: str
    build: Callable[[Parts], Any]
    take: Take
    into: str = ""
    attributes: tuple[Attribute, ...] = ()
    children: tuple[Element, ...] = ()
    names: bool = True
    needs_name: bool = False
    builds: type[Any] | None = None

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def child(self, name: str) -> Element | None:
        """The child element of that name, or None."""
        return next((child for child in self.children if child.name == name), None)

    def attribute_names(self) -> tuple[str, ...]:
        """Every attribute that may be written, display names included."""
        names = tuple(attribute.name for attribute in self.attributes)
        return names + tuple(LANGUAGES) if self.names else names

    def default(self, attribute: Attribute) -> Any:
        """What holds when the attribute is not written, as the domain class says; None if nothing does."""
        if attribute.field is None or self.builds is None:
            return None
        if attribute.is_threshold:
            return getattr(fields_dict(self.builds)["thresholds"].default, attribute.field)
        default = fields_dict(self.builds)[attribute.field].default
        return None if default is NOTHING else default


def element(
    name: str,
    builds: type[Any],
    into: str,
    *attributes: Attribute,
    children: tuple[Element, ...] = (),
    names: bool = True,
    needs_name: bool = False,
) -> Element:
    """An element that builds a domain class from the fields its attributes and children fill."""
    base: Thresholds | None = None
    if "thresholds" in fields_dict(builds):
        base = fields_dict(builds)["thresholds"].default

    def build(parts: Parts) -> Any:
        arguments: dict[str, Any] = {**parts.values, **parts.children, "location": parts.location}
        if parts.display_names:
            arguments["display_names"] = parts.display_names
        if base is not None and parts.thresholds:
            arguments["thresholds"] = evolve(base, **parts.thresholds)
        return builds(**arguments)

    return Element(name, build, taken_apart, into, attributes, children, names, needs_name, builds)


_TAKEN_APART = ("location", "display_names", "thresholds")


def taken_apart(element: Element, item: Any) -> Parts | None:
    """The parts of an object of the very class that the element builds: whatever is not as by default."""
    if type(item) is not element.builds:
        return None
    values = {a.name: getattr(item, a.name) for a in fields(type(item)) if _is_said(item, a)}
    nested = {child.into for child in element.children}
    return Parts(
        element,
        item.location,
        {name: value for name, value in values.items() if name not in nested},
        _limits(item),
        getattr(item, "display_names", {}),
        {name: list(values[name]) for name in values if name in nested},
    )


def _is_said(item: Any, attribute: Any) -> bool:
    return attribute.name not in _TAKEN_APART and getattr(item, attribute.name) != attribute.default


def _limits(item: Any) -> dict[str, int]:
    """The limits that are not those of a class that states none."""
    if not hasattr(item, "thresholds"):
        return {}
    base = fields_dict(type(item))["thresholds"].default
    names = (attribute.name for attribute in fields(Thresholds))
    return {
        name: getattr(item.thresholds, name) for name in names if getattr(item.thresholds, name) != getattr(base, name)
    }
