"""Reported faults of one kind: a mistake hid others, or what is not built was called misspelt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deltamark.config.check import judged_configuration
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.cases.conftest import NewCase

ROOT = Path(__file__).parent.parent.parent


def test_seven_kinds_of_mistakes_are_told_in_one_pass(case: NewCase) -> None:
    answer = case("49-faults-in-stages").command("validate")

    assert answer.status == 2
    faults = [line for line in answer.lines if ": warning: " not in line]
    assert [line.split(":")[1] for line in faults] == ["2", "5", "8", "10", "12", "13", "14"]
    for name in ("Colour", "Twin", "Nickname", "Bellow", "Ghost", "Nowhere", "ExportTask"):
        assert name in answer.text


def test_a_command_that_runs_jobs_names_the_same_faults(case: NewCase) -> None:
    stages = case("49-faults-in-stages")
    faults = [line for line in stages.command("validate").lines if ": warning: " not in line]

    for command in (("run", "Load"), ("export", "P"), ("jobs",)):
        answer = stages.command(*command)
        assert answer.status == 2
        assert [line for line in answer.err.splitlines() if ".xml:" in line] == faults


def test_what_is_known_but_not_built_is_told_as_that(case: NewCase) -> None:
    answer = case("53-known-but-not-built").command("validate")

    assert answer.status == 2
    assert len(answer.lines) == 8
    assert all("is known but not built yet" in line for line in answer.lines)
    assert "unknown" not in answer.text
    assert "did you mean" not in answer.text
    assert "deltamark --leave-out-unbuilt validate" in answer.err


@pytest.mark.parametrize("options", [("--leave-out-unbuilt", "validate"), ("validate", "--leave-out-unbuilt")])
def test_what_is_not_built_can_be_left_out_with_a_notice_for_each(options: tuple[str, ...], case: NewCase) -> None:
    answer = case("53-known-but-not-built").command(*options)

    assert answer.status == 0, answer.text
    assert [line.split(":")[1] for line in answer.lines] == ["2", "3", "4", "5", "6", "7", "8", "9"]
    assert all(": notice: " in line and "is left out" in line for line in answer.lines)
    assert answer.err.startswith("The configuration can be run")


def test_a_date_format_with_which_nothing_can_be_read_is_refused(case: NewCase) -> None:
    formats = case("07-format-without-meaning")

    answer = formats.command("validate")
    run = formats.run(1)

    assert answer.status == 2
    assert [line.split(":")[1] for line in answer.lines] == ["14", "15", "16"]
    assert all("did you mean dd/MM/yyyy?" in line for line in answer.lines)
    assert run.status == 2
    assert run.err.startswith(answer.text)


def test_a_date_format_with_the_name_of_a_month_reads_it(case: NewCase) -> None:
    formats = case("07-format-without-meaning")

    assert formats.command("validate", step=2).status == 0
    assert formats.run(2).status == 0
    assert [row["properties"]["N"] for row in formats.exported("P", step=2)] == ["2024-02-29T00:00:00Z"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("YYYY-MM-DD", "did you mean yyyy-MM-dd?"),
        ("DD-MON-YYYY HH24:MI:SS", "did you mean dd-MMM-yyyy HH:mm:ss?"),
        ("%Y-%m-%d %H:%M:%S", "did you mean yyyy-MM-dd HH:mm:ss?"),
        ("m/d/yyyy", "did you mean M/d/yyyy?"),
        ("dd/MM/yyyy HH:MM", "it says the month twice; write something like"),
        ("HH:mm", "it must say year, month and day"),
        ("jj/mm/aaaa", "j has no meaning"),
    ],
)
def test_date_formats_of_other_programs_are_refused_with_what_is_meant(written: str, said: str, case: NewCase) -> None:
    formats = case("07-format-without-meaning")
    file = formats.configuration(2)
    file.write_text(file.read_text().replace("dd-MMM-yyyy", written))

    (line,) = formats.command("validate", step=2).lines

    assert f'{file}:10: Format "{written}" of property "N"' in line
    assert said in line


@pytest.mark.parametrize("kind", ["String", "Int32", "Bool", "Guid", "Double"])
def test_a_format_without_effect_is_warned_of(kind: str, case: NewCase) -> None:
    formats = case("08-format-on-a-text")
    file = formats.configuration(1)
    file.write_text(
        file.read_text().replace('<Property Identifier="N" />', f'<Property Identifier="N" Type="{kind}" />')
    )

    answer = formats.command("validate")

    (line,) = answer.lines
    assert line.startswith(f"{file}:10: warning: Format ")
    assert f"has no effect on a property of type {kind}" in line
    assert answer.status == 0


def test_the_pages_name_as_not_built_only_what_is_not(case: NewCase) -> None:
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = [re.sub(r"\s+", " ", page.read_text(encoding="utf-8")) for page in pages if "adr" not in page.parts]
    sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.:;]) ", text)]
    sentences = [sentence for sentence in sentences if re.search("not (yet )?built", sentence, re.IGNORECASE)]

    assert sentences
    for sentence in sentences:
        assert not re.search(r"digest|eras|safe|spreadsheet|checkpoint|retain", sentence, re.IGNORECASE), sentence


def test_a_misspelt_name_may_be_one_of_a_file_that_is_not_well_formed(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<ConfigurationFile>\n<EntityType Identifier="Person"><Property Identifier="K" IsKey="true" /></EntityType>\n'
        '<ResourceType Identifier="R" SourceEntityType="Person" TargetEntityType="Bagde" />\n</ConfigurationFile>\n'
    )
    (tmp_path / "b.xml").write_text(
        '<ConfigurationFile>\n<EntityType Identifier="Badge"><Property Identifier="Nr" IsKey="true" />\n'
        "</ConfigurationFile>\n"
    )

    told = [fault.message for fault in judged_configuration(tmp_path, DuckEvaluator).faults]

    assert told[0] == 'unknown entity type "Bagde" in resource type "R"; did you mean "Badge"?'
    assert len(told) == 2


def test_separators_of_a_date_are_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<ConfigurationFile>\n<Connector Identifier="C" />\n<EntityType Identifier="P">'
        '<Property Identifier="K" IsKey="true" /><Property Identifier="D" Type="DateTime" /></EntityType>\n'
        '<EntityTypeMapping Identifier="P" Connector="C" ConnectionTable="p">\n'
        '<Property Identifier="K" ConnectionColumn="k" IsPrimaryKey="true" />\n'
        '<Property Identifier="D" ConnectionColumn="d" ThousandsSeparator="." />\n'
        "</EntityTypeMapping>\n</ConfigurationFile>\n"
    )

    (fault,) = judged_configuration(tmp_path, DuckEvaluator).faults

    assert "ThousandsSeparator has no effect on a property of type DateTime" in fault.message
