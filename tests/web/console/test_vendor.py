"""The scripts of others are as their packages have them."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files

import pytest

VENDOR = files("deltamark.interfaces.http.console") / "static" / "vendor"
LARGEST = 250_000


def test_the_files_have_the_digests_of_the_readme() -> None:
    table = dict(re.findall(r"\| `(\S+)` \| `([0-9a-f]{64})` \|", (VENDOR / "README.md").read_text("utf-8")))
    content = {entry.name: entry.read_bytes() for entry in VENDOR.iterdir() if entry.name != "README.md"}

    assert {name: sha256(data).hexdigest() for name, data in content.items()} == table
    assert sum(map(len, content.values())) < LARGEST


def test_each_script_is_named_with_its_package_licence_and_integrity() -> None:
    rows = re.findall(r"\| `(\S+\.js)` \| `\S+` [0-9.]+ \| `\S+` \| \S+, `(\S+)` \| `sha512-\S+` \|", _readme())

    assert {script for script, _ in rows} == {entry.name for entry in VENDOR.iterdir() if entry.name.endswith(".js")}
    assert all((VENDOR / licence).is_file() for _, licence in rows)


@pytest.mark.parametrize("name", ["console.js", "graphs.js"])
def test_the_scripts_of_the_console_are_short(name: str) -> None:
    own = (files("deltamark.interfaces.http.console") / "static" / name).read_text("utf-8")

    assert len(own.splitlines()) < 150
    assert not re.search(r"innerHTML|insertAdjacentHTML|\beval\b|document\.write|setAttribute\(\"style\"", own)


def _readme() -> str:
    return (VENDOR / "README.md").read_text("utf-8")
