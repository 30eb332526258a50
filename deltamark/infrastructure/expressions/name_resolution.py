"""Resolves the names in expressions, and suggests names in place of unknown ones."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityType, Property
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, NoSuchPath, Read, route
from deltamark.domain.suggestions import MOST_LISTED, hint, nearest
from deltamark.domain.values import shown
from deltamark.infrastructure.expressions.sql_value import Typed, property_column


@define
class ExpressionNames:
    """The names that an expression over an entity type may use, and those that it has used."""

    configuration: Configuration
    entity_type: str
    reads: dict[Read, Typed] = field(factory=dict)

    def read(self, parts: Sequence[str], verb: str) -> Typed:
        """The value of `Property`, or of `Navigation.….Property`.

        :param verb: what the expression does with the name ("names", "is bound to"), for messages.
        :raises ExpressionRefused: if there is no such path or property.
        """
        *path, name = parts
        try:
            way = route(self.configuration, self.entity_type, path)
        except NoSuchPath as e:
            raise NoSuchPath(f"{verb} {shown('.'.join(parts))}, which {e}", unknown=e.unknown) from e
        entity_type = self.configuration.entity_type(way.leads_to)
        declared = next((p for p in self._properties(entity_type) if p.identifier == name), None)
        if declared is None:
            advice = self._advice(name, parts, way.leads_to)
            raise NoSuchPath(f"{verb} {shown('.'.join(parts))}, {advice}", unknown=name)
        read = Read(tuple(path), name)
        return self.reads.setdefault(read, property_column(str(read), declared.type, is_collection=way.is_collection))

    def _properties(self, entity_type: EntityType | None) -> tuple[Property, ...]:
        return self.configuration.valued_properties(entity_type) if entity_type else ()

    def _advice(self, name: str, parts: Sequence[str], at: str) -> str:
        entity_type = self.configuration.entity_type(at)
        known = [p.identifier for p in self._properties(entity_type)]
        navigations = self._navigations(at)
        if name not in navigations:
            return f"which is no property of {at}{hint(name, [*known, *navigations])}"
        further = route(self.configuration, self.entity_type, parts).leads_to
        examples = [p.identifier for p in self._properties(self.configuration.entity_type(further))]
        listed = ", ".join(f"{'.'.join(parts)}.{example}" for example in examples[:MOST_LISTED])
        return f"which leads to {further} and is no value; go on to one of its properties: {listed}"

    def _navigations(self, at: str) -> list[str]:
        ends = [end for a in self.configuration.associations for end in (a.property1, a.property2)]
        return [end.property for end in ends if end.entity_type == at]


def resolve_binding(names: ExpressionNames, binding: str | None) -> Typed:
    """The value of a binding: `Path`, or `EntityType:Path`.

    :raises ExpressionRefused: if there is no binding, or no such path or property.
    """
    text = (binding or "").strip()
    if not text:
        raise ExpressionRefused("has no binding; name the property to read, or write an SQL expression")
    start, colon, rest = text.partition(":")
    if colon and start.strip() != names.entity_type:
        known = nearest(start.strip(), [names.entity_type])
        meant = f"; did you mean {shown(f'{known}:{rest.strip()}')}?" if known else ""
        raise ExpressionRefused(
            f"is bound to {shown(text)}, which is no property of {names.entity_type}: its paths start there{meant}"
        )
    parts = [part.strip() for part in (rest if colon else text).split(".")]
    if not all(parts):
        raise ExpressionRefused(f"is bound to {shown(text)}, which is no path; write names with dots between them")
    return names.read(parts, "is bound to")
