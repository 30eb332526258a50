"""The reference agrees with the code."""

from __future__ import annotations

import inspect
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import click
import pytest

import deltamark
from deltamark.config.xml.schema import all_elements
from deltamark.config.xml.unbuilt import NOT_BUILT
from deltamark.domain import errors
from deltamark.interfaces.cli.commands.runs import STATUS
from deltamark.interfaces.cli.exit_statuses import FAILED, NOT_STARTED
from deltamark.interfaces.cli.groups import HELP_OPTIONS, leaves
from deltamark.interfaces.cli.main import deltamark as command_line
from docs import configuration_texts
from docs.generate_reference import PAGES, written
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
LINES_OF_A_SCREEN, MOST_OPTIONS = 24, 7
"""Each option beyond so many may take a line more: `changes` has a filter for all that a change has."""
COMMANDS = dict(leaves(command_line))


def text_of(page: str) -> str:
    return (REFERENCE / page).read_text("utf-8")


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_generated_page_is_up_to_date(page: str) -> None:
    assert text_of(page) == PAGES[page](), "run `make docs`"


def test_generating_writes_every_page(tmp_path: Path) -> None:
    assert {path.name for path in written(tmp_path)} == set(PAGES)
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)


def help_of(name: str) -> str:
    command = COMMANDS[name]
    context = click.Context(command, info_name=name, max_content_width=80, terminal_width=80)
    context.help_option_names = HELP_OPTIONS  # a command keeps those of the first context that asks for them
    return command.get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_that_fits_a_screen_and_shows_an_example(name: str) -> None:
    lines = help_of(name).splitlines()

    beyond = max(0, len(COMMANDS[name].params) - MOST_OPTIONS)
    assert len(lines) <= LINES_OF_A_SCREEN + beyond
    assert lines[-1].strip().startswith("Example: deltamark ")
    assert name in lines[-1]
    assert COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_says_what_it_does(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_reference(name: str) -> None:
    assert f"\n## `deltamark {name}`\n" in text_of("cli.md")


def test_the_examples_of_the_commands_name_commands_and_options_that_exist() -> None:
    for command in COMMANDS.values():
        for call in (command.epilog or "").removeprefix("Example: ").split("&&"):
            words = call.split()
            if words[0] != "deltamark":
                continue
            places = {name: f" {call} ".find(f" {name} ") for name in COMMANDS}
            first = min((name for name, place in places.items() if place >= 0), key=places.__getitem__)
            called = COMMANDS[first]
            known = {option for parameter in (*called.params, *command_line.params) for option in parameter.opts}
            assert {word for word in words if word.startswith("-")} <= known, call


@pytest.mark.parametrize("name", deltamark.__all__)
def test_every_public_name_stands_in_the_reference_with_a_docstring(name: str) -> None:
    assert re.search(rf"^### `{name}`$", text_of("python.md"), re.MULTILINE)
    if name not in ("When", "__version__"):
        assert inspect.getdoc(getattr(deltamark, name))


def test_the_public_names_stand_in_the_part_of_the_page_that_they_belong_to() -> None:
    parts = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", text_of("python.md"), re.MULTILINE | re.DOTALL))
    names = {part: set(re.findall(r"^### `(\w+)`$", text, re.MULTILINE)) for part, text in parts.items()}

    assert {"Job", "EntityType", "SynchronizeTask", "UserTask", "task"} <= names["A configuration in Python"]
    assert {"JobRun", "TaskState", "Explanation", "LoggedChange"} <= names["What it gives back"]
    assert {"StoreError", "Fault", "NextStep"} <= names["Errors"]


def test_every_public_method_of_the_engine_stands_in_the_reference_with_a_docstring() -> None:
    for name, member in inspect.getmembers(deltamark.Engine):
        if not name.startswith("_"):
            assert f"\n#### `Engine.{name}`\n" in text_of("python.md")
            assert inspect.getdoc(member)


def test_every_attribute_of_the_configuration_has_a_meaning_and_every_meaning_an_attribute() -> None:
    assert configuration_texts.unexplained() == []
    assert configuration_texts.superfluous() == []


def test_every_element_stands_in_the_reference() -> None:
    page = text_of("configuration.md")

    for name in all_elements():
        assert f"`{name}`" in page
    for name in NOT_BUILT:
        assert f"`{name}`" in page


def test_every_table_of_a_new_store_stands_in_the_reference_with_every_column(tmp_path: Path) -> None:
    parts = dict(re.findall(r"^## `(\w+)`\n(.+?)(?=^## )", text_of("tables.md"), re.MULTILINE | re.DOTALL))
    deltamark.Engine.open(f"sqlite:///{tmp_path / 'store.db'}", configuration=deltamark.Configuration()).close()

    with closing(sqlite3.connect(tmp_path / "store.db")) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in set(tables) - {"sqlite_sequence"}:
            for column in store.execute(f"PRAGMA table_info({table})"):
                assert f"`{column[1]}`" in parts[table], table


def test_every_error_stands_in_the_reference() -> None:
    page = text_of("errors.md")

    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.DeltamarkError):
            assert f"`{name}`" in page


def test_every_exit_status_stands_in_the_reference() -> None:
    page = text_of("errors.md")

    for status in (0, FAILED, NOT_STARTED, *STATUS.values(), 128 + signal.SIGINT, 128 + signal.SIGTERM):
        assert re.search(rf"^\| {status} \|", page, re.MULTILINE)


def test_what_the_reference_of_errors_quotes_stands_in_the_code() -> None:
    """Words between double quotes in its tables are words of a message, with … for what varies."""
    code = " ".join(path.read_text("utf-8") for path in sorted((ROOT / "deltamark").rglob("*.py")))
    code = re.sub(r'"\s*f?r?"', "", code)
    quotes = re.findall(r"“([^”]+)”", text_of("errors.md"))

    assert len(quotes) > 20
    for quote in quotes:
        for part in quote.split("…"):
            assert part.strip() in code, quote
