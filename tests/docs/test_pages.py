"""Every page works as printed."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import pytest

from deltamark.application.execution import executor
from deltamark.config.settings import ENVIRONMENT
from tests.docs.pages import PAGES, ROOT, blocks_of, name_of, prose_of
from tests.docs.refresh import refreshed
from tests.docs.running import Reader, agrees, commands_of

AS_PRINTED = ("README.md",)
"""Pages whose commands are all run by a shell, as a reader would."""

SET_UP = {
    "make demo",
    "make test",
    "make test-all",
    "make check",
    "make soak",
    "make bench",
    "make docs",
    "make site",
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "pip install .",
}
"""The commands of `sh` blocks. They are not run here: they set up a machine, or run these very tests."""

LANGUAGES = {
    "console",
    "sh",
    "python",
    "xml",
    "csv",
    "toml",
    "text",
    "json",
    "ini",
    "crontab",
    "sql",
    "dockerfile",
    "mermaid",
}

WITH_EXAMPLES = [
    page
    for page in PAGES
    if any(b.language in ("console", "python", "xml") or b.file for b in blocks_of(page.read_text("utf-8")))
]


FIRST_READ = ("README.md", "docs/tutorial.md", "docs/reference/formats.md")
"""Pages that `make test` follows too. The others take half a minute together."""


def _page(page: Path) -> object:
    name = name_of(page)
    return pytest.param(page, id=name, marks=[] if name in FIRST_READ else [pytest.mark.slow])


@pytest.mark.parametrize("page", [_page(page) for page in WITH_EXAMPLES])
def test_a_page_works_as_printed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(executor, "PATIENCE_S", float("inf"))  # on a slow machine, too, positions are as printed

    Reader(tmp_path, in_shell=name_of(page) in AS_PRINTED).follow(page.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_only_blocks_that_are_checked(page: Path) -> None:
    for block in blocks_of(page.read_text("utf-8")):
        assert block.language in LANGUAGES, f"line {block.line}: {block.language or 'a block without language'}"
        match block.language:
            case "sh":
                lines = {re.sub(r" +#.*", "", line) for line in block.text.splitlines()}
                assert lines <= SET_UP, f"line {block.line}"
            case "python":
                ast.parse(block.text)
            case "ini":
                configparser.ConfigParser(interpolation=None).read_string(block.text)


def test_the_readme_fits_a_screen_of_80_columns_and_is_short() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    assert len(readme.splitlines()) <= 120
    assert [line for block in blocks_of(readme) for line in block.text.splitlines() if len(line) > 80] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z]+(?:-[a-z]+)*)", page.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, name_of(page)


@pytest.mark.parametrize("page", [p for p in PAGES if p.is_relative_to(ROOT / "docs")], ids=name_of)
def test_a_page_begins_with_its_purpose_and_ends_with_where_to_go_next(page: Path) -> None:
    prose = prose_of(page.read_text("utf-8"))
    title, purpose = re.match(r"(?:<!--.*?-->\s*)?# ([^\n]+)\n\n(.+?)\n\n", prose, re.DOTALL).groups()  # type: ignore[union-attr]

    assert title
    if page.parent.name != "adr":
        assert re.search(r"\byou\b", purpose, re.IGNORECASE), purpose
        assert re.search(r"\]\(", prose.rsplit("\n## Where to go next\n", 1)[1])


@pytest.mark.parametrize(
    ("expected", "printed", "is_same"),
    [
        ("a 1\n", "a    1\n", True),
        ("a 1\n", "a 2\n", False),
        ("a 1\n", "a 1\nb\n", False),
        ("a\n…\n", "a\nb\nc\n", True),
        ("a\n…\n", "b\nb\nc\n", False),
        ("…\nc\n", "a\nb\nc\n", True),
        ("a\n…\nc\n", "a\nc\n", True),
        ("a\n…\nc\n", "a\nb\nd\n", False),
        ("run by … on\n", "run by somebody on\n", True),
        ("run by … on\n", "run by some\nbody on\n", False),
        ("", "", True),
        ("", "words\n", False),
        ("Sync: completed (0.01 s)\n", "Sync: completed (12.30 s)\n", True),
        ("at 2026-01-01 00:00:00\n", "at 2027-05-05 11:12:13\n", True),
    ],
)
def test_what_a_command_prints_is_compared_line_by_line(expected: str, printed: str, is_same: bool) -> None:
    assert agrees(expected, printed) is is_same


def test_a_page_that_shows_something_else_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="and this was printed"):
        Reader(tmp_path).follow("```console\n$ deltamark --version\ndeltamark 99\n```\n")


def test_a_page_with_a_failing_command_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="fails"):
        Reader(tmp_path).follow("```console\n$ deltamark jobs\n…\n```\n")


def test_a_page_whose_xml_names_what_is_not_known_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="unknown attribute"):
        Reader(tmp_path).follow('```xml\n<Connector Identifier="HR" Colour="red" />\n```\n')


def test_a_program_that_prints_something_else_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="and this was printed"):
        Reader(tmp_path).follow("```python\nprint(1)\n```\n\n```text\n2\n```\n")


def test_a_page_is_refreshed_where_something_else_was_printed_and_nowhere_else(tmp_path: Path) -> None:
    commands, program = "```console\n$ echo {0}\n{0}\n$ echo {1}\n{2}\n```\n", "```python\nprint(5)\n```\n"
    page = f"# A page\n\n{commands}\n{program}\n```text\n{{3}}\n```\n"

    assert refreshed(page.format(1, 2, 3, 4), tmp_path) == page.format(1, 2, 2, 5)
    assert refreshed(page.format(1, "…", "…", 5), tmp_path) == page.format(1, "…", "…", 5)


def test_a_command_may_go_on_in_the_next_line() -> None:
    (command,) = commands_of("$ deltamark export Person \\\n>   --format csv\nkey\n")

    assert (command.text.split(), command.expected) == (["deltamark", "export", "Person", "--format", "csv"], "key\n")
