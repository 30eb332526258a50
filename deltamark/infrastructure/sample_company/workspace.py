"""Writes a first workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.sample_company.generator import EXTRACTS, generate
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.infrastructure.system.new_files import new_files

EXPORTS = "exports"


def write_workspace(
    folder: Path, *, people: int = 100, seed: int = 1, more: Mapping[str, str] = MappingProxyType({})
) -> list[Path]:
    """Writes a small, commented, working workspace, and returns its files.

    They are `deltamark.toml`, `configuration/*.xml` with the jobs Incremental and Complete, and in `exports/` the first
    day of a company. The same arguments always give the same bytes.

    :param folder: may hold other files.
    :param people: the number of people in the company.
    :param more: further files to write, name -> text.
    :raises UsageError: if a file of these names or another configuration is there, if the folder is a file, if there is
        no company of that size, or if a file cannot be written. Nothing is left of it then.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder. Nothing was written; name a folder.")
    template = files(__package__) / "template"
    extracts = [folder / EXPORTS / name for name in EXTRACTS]
    settings = [folder / name for name in _names(template)]
    others = [folder / name for name in more]
    with new_files([*settings, *others, *extracts], would_be_read=(folder / "configuration").rglob("*.xml")):
        copied = list(_copy(template, folder))
        for path, text in zip(others, more.values(), strict=True):
            with whole_file(path) as stream:
                stream.write(text.encode())
        return [*copied, *others, *generate(folder / EXPORTS, people=people, seed=seed)]


def _names(source: Traversable, folder: str = "") -> Iterator[str]:
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _names(item, f"{folder}{item.name}/")
        else:
            yield f"{folder}{item.name}"


def _copy(source: Traversable, target: Path) -> Iterator[Path]:
    target.mkdir(parents=True, exist_ok=True)
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        copy = target / item.name
        if item.is_dir():
            yield from _copy(item, copy)
        else:
            with whole_file(copy) as stream:
                stream.write(item.read_bytes())
            yield copy
