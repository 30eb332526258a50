"""Where output may be written: never in the place of a file that the workspace lives from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from deltamark.config.settings import FILE_NAME, Settings
from deltamark.config.xml.load import load_as_far_as_possible
from deltamark.domain.errors import DeltamarkError, UsageError
from deltamark.infrastructure.store.sqlite.address import path_of
from deltamark.interfaces.cli.context import Workspace

_BESIDE_A_STORE = ("", "-wal", "-shm", "-journal", ".lock")


def refuse_own_file(file: Path, *, may_be_a_store: bool = False) -> None:
    """Refuses to write to the store, the configuration, the settings or an extract of the workspace, or to any store.

    :param may_be_a_store: whether another store may be replaced.
    :raises UsageError: naming what the file is.
    """
    workspace = click.get_current_context().find_object(Workspace)
    if workspace is None:
        return
    for own, what in _own_files(workspace.settings(), file):
        if _is_same(own, file):
            raise UsageError(f"{file} is {what} and is not replaced. Name another file.")
    if may_be_a_store or not os.path.isfile(file):  # unlike that of `Path`, false for a name that is too long
        return
    from deltamark.infrastructure.store.sqlite.schema import is_store  # with the driver, which a new file does not need

    if is_store(file):
        raise UsageError(f"{file} is a Deltamark store and is not replaced. Name another file.")


def _own_files(settings: Settings, file: Path) -> Iterator[tuple[Path, str]]:
    if settings.store.startswith("sqlite:"):
        try:
            store = path_of(settings.store)
        except DeltamarkError:  # told when it is opened
            pass
        else:
            for ending in _BESIDE_A_STORE:
                yield Path(f"{store}{ending}"), "the store" if not ending else "a file of the store"
    yield Path(FILE_NAME), "the settings of the workspace"
    if settings.checkpoint_key is not None:
        yield settings.checkpoint_key, "the key that signs checkpoints"
    configuration = settings.configuration
    if not configuration.is_dir():
        yield configuration, "the configuration"
    elif file.suffix.lower() == ".xml" and _place(file).is_relative_to(configuration.resolve()):
        yield file, "in the folder of the configuration, which would load it,"
    if _place(file).parent == settings.export_output.resolve():
        from deltamark.infrastructure.extracts.formats import ENDINGS  # with DuckDB, which other places do not need

        loaded = load_as_far_as_possible(configuration, leave_out_unbuilt=True).configuration
        tables = {mapping.connection_table for mapping in loaded.entity_type_mappings}
        tables |= {mapping.connection_table for mapping in loaded.association_mappings}
        for table in tables:
            for ending in ENDINGS:
                yield settings.export_output / f"{table}{ending}", f"the extract of {table}"


def _is_same(own: Path, file: Path) -> bool:
    if _place(own) == _place(file):
        return True
    try:
        return os.path.samefile(own, file)
    except (OSError, ValueError):  # one of them does not exist
        return False


def _place(file: Path) -> Path:
    return file.parent.resolve() / file.name
