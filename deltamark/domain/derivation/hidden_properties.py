"""Which properties are hidden with others: those that are computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.plan import Planned


def hidden_with(
    masked: Mapping[str, frozenset[str]], derived: Iterable[Planned]
) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """The properties that are hidden, by entity type, and the rules whose keys are.

    Hidden are the masked properties, and whatever is computed from a hidden one, over any number of links and steps.
    """
    hidden = {entity_type: set(properties) for entity_type, properties in masked.items()}
    rules: set[str] = set()
    planned, grew = list(derived), True
    while grew:
        grew = False
        for each in planned:
            reads = ((part.leads_to, part.property) for part in each.dependencies if part.property is not None)
            if not any(name in hidden.get(entity_type, ()) for entity_type, name in reads):
                continue
            made = each.derivation
            if made.kind is not DerivationKind.PROPERTY:
                rules.add(made.name)
            elif made.name not in hidden.setdefault(made.entity_type, set()):
                hidden[made.entity_type].add(made.name)
                grew = True
    return {entity_type: frozenset(names) for entity_type, names in hidden.items()}, frozenset(rules)
