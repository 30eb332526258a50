"""The canonical XML of a configuration, in which a store keeps it.

Elements whose order means nothing are sorted by their names. The others keep their order: properties and associations,
which give columns their order; rules, because of equals the first wins and those without a name are numbered; and the
tasks of a job. What only Python can express, such as a text with control characters, is written as JSON.
"""

from __future__ import annotations

from attrs import evolve

from deltamark.config.xml.reader import read_kept
from deltamark.config.xml.writer import xml_of
from deltamark.domain.configuration.configuration import Configuration

_SORTED = (
    "agents", "policies", "connectors", "connections", "transformations", "entity_types", "entity_type_mappings",
    "association_mappings", "resource_types", "tasks", "jobs",
)  # fmt: skip


class CanonicalXML:
    """The form in which stores keep configurations (see `ConfigurationFormat`)."""

    def write(self, configuration: Configuration) -> str:
        """Returns the canonical XML of a configuration.

        :raises ConfigurationError: with everything that XML cannot express.
        """
        return xml_of(in_canonical_order(configuration), keeps_python_values=True)

    def read(self, text: str) -> Configuration:
        """Returns the configuration of a canonical XML, also of one that an earlier version wrote.

        :raises ValueError: if it is not well-formed.
        """
        return read_kept(text.encode(), "the adopted configuration")


def in_canonical_order(configuration: Configuration) -> Configuration:
    """Returns a configuration with everything sorted whose order means nothing."""
    return evolve(
        configuration,
        **{name: sorted(getattr(configuration, name), key=lambda item: str(item.identifier)) for name in _SORTED},
    )
