"""Writes a first workspace."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.sample_company.generator import generate
from deltamark.infrastructure.system.atomic_file import whole_file

EXPORTS = "exports"


def write_workspace(folder: Path, *, people: int = 100, seed: int = 1) -> list[Path]:
    """Writes a small, commented, working workspace, and returns its files.

    They are `deltamark.toml`, `configuration/*.xml` with the jobs Incremental and Complete, and in `exports/` the first
    day of a company. The same arguments always give the same bytes.

    :param folder: a new or empty folder.
    :param people: the number of people in the company.
    :raises UsageError: if the folder is not empty or is a file, or if there is no company of that size. Nothing was
        written then.
    """
    _check_empty(folder)
    extracts = generate(folder / EXPORTS, people=people, seed=seed)
    return [*_copy(files(__package__) / "template", folder), *extracts]


def _check_empty(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty. Nothing was written; name a folder that is new or empty.")
    elif folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} is not a folder. Nothing was written; name a folder that is new or empty.")


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
