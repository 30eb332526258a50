"""The port to the form in which a store keeps configurations."""

from __future__ import annotations

from typing import Protocol

from deltamark.domain.configuration.configuration import Configuration


class ConfigurationFormat(Protocol):
    """Turns configurations into texts and back.

    The text of a configuration is the same whatever files it came from; reading it gives an equal configuration, but
    for locations and for functions, of which it has the names.
    """

    def write(self, configuration: Configuration) -> str:
        """Returns the text of a configuration.

        :raises ConfigurationError: with everything that the text cannot express.
        """
        ...

    def read(self, text: str) -> Configuration:
        """Returns the configuration of a text, also of one that an earlier version wrote.

        :raises ValueError: if this is no such text.
        """
        ...
