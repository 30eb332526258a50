"""`python -m deltamark.infrastructure.sample_company`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from deltamark.infrastructure.sample_company import generate
from deltamark.infrastructure.sample_company.__main__ import main
from tests.sample_company.extract_tables import EXTRACTS, digests


def test_the_command_writes_what_the_function_writes_and_names_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "exports"

    result = CliRunner().invoke(main, [str(folder), "--people", "120", "--seed", "5", "--day", "3"])

    generate(tmp_path / "other", people=120, seed=5, day=3)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [str(folder / name) for name in EXTRACTS]
    assert digests(folder) == digests(tmp_path / "other")


def test_without_accounts_there_are_no_groups_either(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "--people", "50", "--no-accounts"])

    assert result.exit_code == 0
    assert sorted(digests(tmp_path)) == ["HR_Department.csv", "HR_Person.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--people", "0"], "the number of people must be from 20"),
        (["--people", "many"], "'many' is not a valid integer"),
        (["--day", "-1"], "the day must be from 0 to 10000, not -1"),
        (["--no-accounts", "--groups"], "groups need accounts as their members"),
    ],
)
def test_bad_options_are_refused_in_words(options: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path / "new"), *options])

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    result = CliRunner().invoke(main, [str(tmp_path / "file")])

    assert result.exit_code == 2
    assert "is a file" in result.stderr


def test_a_folder_must_be_named() -> None:
    result = CliRunner().invoke(main, [])

    assert result.exit_code == 2
    assert "Missing argument 'FOLDER'" in result.stderr
