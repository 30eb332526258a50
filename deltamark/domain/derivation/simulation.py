"""What derived values would be under another configuration, as a difference from what they are."""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.values import Value

SAMPLES = 3
"""How many changes of each property and rule are listed by default."""


class DerivedKind(Enum):
    """What differs: a computed property, a key, a matched pair, whether a rule holds, or the classification."""

    PROPERTY = "property"
    SOURCE_KEY = "source_key"
    TARGET_KEY = "target_key"
    MATCH = "match"
    CLASSIFICATION_RULE = "classification_rule"
    CLASSIFICATION = "classification"


@frozen(kw_only=True)
class DerivedChange:
    """A derived value that would be another one.

    :param key: of the resource; of a matched pair, that of its source.
    :param other_key: of a matched pair, the key of its target; otherwise None.
    :param before: the value now, or at the moment; None for none. Of a matched pair it is the key that both have, of
        a classification the resource type, of a rule whether it holds.
    :param after: the value under the other configuration; likewise.
    """

    key: str
    other_key: str | None = None
    before: Value
    after: Value


@frozen(kw_only=True)
class DerivedDifference:
    """How the values of one property or rule would differ.

    :param entity_type: whose resources have the values; of matched pairs, that of their sources.
    :param name: of the property or the rule; empty for the classification of the resources of an entity type.
    :param added: how many values would be there that are not there now; `removed` the other way round, `changed`
        those that would be others.
    :param samples: the first of them, by key.
    """

    kind: DerivedKind
    entity_type: str
    name: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    samples: tuple[DerivedChange, ...] = field(converter=as_tuple, default=())

    @property
    def total(self) -> int:
        """How many values would differ."""
        return self.added + self.changed + self.removed
