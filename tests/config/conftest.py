"""Configurations that tests write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deltamark.config.xml.load import load_configuration as load
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import ConfigurationError

MODEL = """
  <Connector Identifier="AD" DisplayName_L1="Active Directory" />
  <EntityType Identifier="Directory_User" DisplayName_L1="User">
    <Property Identifier="Number" IsKey="true" />
    <Property Identifier="Mail" />
    <Property Identifier="Team" Type="ForeignKey" />
  </EntityType>
  <EntityType Identifier="Directory_Team">
    <Property Identifier="Name" IsKey="true" />
  </EntityType>
  <EntityTypeMapping Identifier="Directory_User" Connector="AD" ConnectionTable="users">
    <Property Identifier="Number" ConnectionColumn="number" IsPrimaryKey="true" />
    <Property Identifier="Mail" ConnectionColumn="mail" IsUniqueKey="true" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="Directory_Team" Connector="AD" ConnectionTable="teams">
    <Property Identifier="Name" ConnectionColumn="name" IsPrimaryKey="true" />
  </EntityTypeMapping>
"""


@pytest.fixture
def configuration_text() -> Callable[[str], str]:
    """A whole file: the model of the directory with what a test adds to it."""

    def written(more: str = "", model: str = MODEL) -> str:
        return f"<ConfigurationFile>{model}{more}\n</ConfigurationFile>"

    return written


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[[str | bytes], Configuration]:
    """Loads a text as the only file of a configuration."""

    def loaded(text: str | bytes) -> Configuration:
        path = tmp_path / "jobs.xml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(path)

    return loaded


@pytest.fixture
def configured(
    load_text: Callable[[str], Configuration], configuration_text: Callable[[str], str]
) -> Callable[[str], Configuration]:
    """Loads the model of the directory with what a test adds to it."""
    return lambda more: load_text(configuration_text(more))


@pytest.fixture
def messages_of(load_text: Callable[[str], Configuration]) -> Callable[[str], list[str]]:
    """The faults of a text as `line: message`; empty if it loads."""

    def messages(text: str) -> list[str]:
        try:
            load_text(text)
        except ConfigurationError as error:
            return [f"{fault.location.line}: {fault.message}" for fault in error.faults if fault.location]
        return []

    return messages
