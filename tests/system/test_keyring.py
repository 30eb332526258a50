"""Secrets in the keyring of the user."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.secrets import reference_problem
from deltamark.infrastructure.system import secret_values
from deltamark.infrastructure.system.secret_values import read_secret


class Entries(KeyringBackend):
    """A keyring in memory."""

    priority = 1.0  # type: ignore[assignment]  # a property of classes, in the library

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise KeyringLocked("the entry of s3cr3t is locked")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password


@pytest.fixture
def entries() -> Iterator[Entries]:
    """The keyring of this user."""
    before = keyring.get_keyring()
    made = Entries()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_an_entry_is_read_each_time(entries: Entries) -> None:
    keyring.set_password("deltamark", "hr/reader", "geheim")

    assert read_secret("keyring:deltamark/hr/reader").value == "geheim"
    entries.entries["deltamark", "hr/reader"] = "neu"
    assert read_secret("keyring:deltamark/hr/reader").value == "neu"


def test_what_is_missing_or_locked_is_said_with_what_to_do(entries: Entries) -> None:
    with pytest.raises(SourceUnreachable, match="no entry keyring:deltamark/hr") as missing:
        read_secret("keyring:deltamark/hr")
    entries.is_locked = True
    with pytest.raises(SourceUnreachable, match=r"cannot be read \(KeyringLocked\)") as locked:
        read_secret("keyring:deltamark/hr")

    assert missing.value.advice == "Run: keyring set deltamark hr"
    assert "Unlock it" in locked.value.advice
    assert "s3cr3t" not in str(locked.value)
    assert (locked.value.__cause__, locked.value.__context__) == (None, None)


def test_without_the_library_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_values, "find_spec", lambda name: None)

    with pytest.raises(SourceUnreachable) as failed:
        read_secret("keyring:deltamark/hr")

    assert failed.value.advice == "Install it by: pip install 'deltamark[keyring]'."


@pytest.mark.parametrize("reference", ["keyring:deltamark", "keyring:/hr", "keyring:deltamark/", "keyring: / "])
def test_a_reference_names_a_service_and_an_entry(reference: str) -> None:
    assert reference_problem("keyring:deltamark/hr") is None
    assert reference_problem(reference) is not None
