"""The command line starts quickly: packages that only some commands need are loaded by those."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from deltamark.interfaces.cli import commands
from deltamark.interfaces.cli.commands import all_commands
from deltamark.interfaces.cli.groups import LazyCommand
from tests.cli.deriving import with_derived_values
from tests.cli.workspace import Workspace

HEAVY = {"duckdb", "pyarrow", "numpy", "sqlglot", "psycopg"}
RUN = "import sys; from deltamark.interfaces.cli.main import status_of; status_of(sys.argv[1:])"


def loaded_by(*arguments: str, cwd: Path | None = None, **environment: str) -> set[str]:
    """The packages that a fresh process has loaded after running the command line."""
    script = f"import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr)); {RUN}"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    last = done.stderr.splitlines()[-1].split()
    assert last[0] == "LOADED"
    return {name.split(".")[0] for name in last[1:]}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("shwo",), ("show", "--help"), ("--nonsense",), ()])
def test_help_and_mistakes_load_no_heavy_package(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert loaded_by(*arguments, cwd=tmp_path).isdisjoint(HEAVY)


@pytest.mark.parametrize("words", ["deltamark sh", "deltamark show --"])
def test_completion_loads_no_heavy_package(words: str, tmp_path: Path) -> None:
    script = (
        "import sys; from deltamark.interfaces.cli.main import deltamark; deltamark.main([], prog_name='deltamark')"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules)); {script}"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "_DELTAMARK_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(
            len(words.split()) - 1
        )},
    )  # fmt: skip

    *offered, loaded = done.stdout.splitlines()
    assert offered == (["plain,show"] if words.endswith("sh") else ["plain,--at", "plain,--format", "plain,--help"])
    assert {name.split(".")[0] for name in loaded.split()}.isdisjoint(HEAVY)


@pytest.mark.parametrize("lazy", list(all_commands()), ids=lambda lazy: lazy.name)
def test_the_summary_of_a_command_is_the_first_paragraph_of_its_help_and_fits(lazy: LazyCommand) -> None:
    assert isinstance(lazy.command, click.Command)
    assert lazy.command.help is not None
    assert lazy.help == lazy.command.help.split("\n\n")[0].replace("\n", " ")
    assert len(lazy.help) <= 57, "in 80 columns it would be cut"


@pytest.mark.many
@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "HR_Person", "E2"),
        ("show", "HR_Person", "E2", "--at", "run:1", "--format", "jsonl"),
        ("history", "HR_Person", "E2"),
        ("changes",),
        ("diff", "HR_Person", "--from", "run:1", "--to", "run:2"),
        ("export", "HR_Person", "--format", "csv"),
        ("runs", "1"),
        ("keys",),
    ],
)
def test_reading_what_is_stored_loads_no_heavy_package(past: Workspace, arguments: tuple[str, ...]) -> None:
    heavy = HEAVY if past.store.startswith("sqlite:") else HEAVY - {"psycopg"}

    assert loaded_by(*arguments, cwd=past.folder).isdisjoint(heavy)


def test_a_job_without_functions_of_users_does_not_load_pandas(company: Workspace) -> None:
    pytest.importorskip("pandas")

    loaded = loaded_by("run", "Incremental", cwd=company.folder)

    assert "pyarrow" in loaded
    assert "pandas" not in loaded


def test_stored_values_can_be_read_despite_a_faulty_expression(company: Workspace) -> None:
    whole = with_derived_values()
    company.configure(whole)
    company.done("run", "Incremental")
    company.configure(whole.replace("user.Login = 'ada'", "NoSuchFunction(user.Login)"))

    assert company.deltamark("changes").status == 0
    assert company.deltamark("validate").status == 2
    assert company.deltamark("dirty").status == 2


def test_every_command_of_a_module_is_in_the_table_of_commands() -> None:
    written = {
        command.name
        for module in pkgutil.iter_modules(commands.__path__)
        for command in importlib.import_module(f"{commands.__name__}.{module.name}").COMMANDS
    }

    assert written == {lazy.name for lazy in all_commands()}
