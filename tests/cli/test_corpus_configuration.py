"""Faulty configurations (tests/corpus/configuration) at the command line: each fault has its file and line."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path

import pytest

from tests.cli.workspace import CONFIGURATION, Workspace

CORPUS = Path(__file__).parent.parent / "corpus" / "configuration"
EXPECTED = tomllib.loads((CORPUS / "expected.toml").read_text("utf-8"))
LONGEST_S = 3.0


@pytest.mark.parametrize("name", EXPECTED)
def test_each_fault_is_printed_with_its_file_and_line(company, name):
    expected, path = EXPECTED[name], CORPUS / f"{name}.xml"

    answer = company.deltamark("--configuration", str(path), "validate")

    refused = expected["outcome"] == "refuse"
    assert answer.status == (2 if refused else 0), answer.text
    assert "Traceback" not in answer.err + answer.text
    assert all(line.isprintable() for line in answer.lines)
    if refused:
        mine = [line for line in answer.lines if line.startswith(f"{path}:{expected['line']}:")]
        assert any(re.search(expected["message"], line) for line in mine), answer.text
        count = sum(": warning: " not in line for line in answer.lines)
        assert answer.err.startswith(
            f"{count} fault{'s' * (count > 1)}; nothing can be run before that is corrected.\n"
        )
    else:
        assert answer.err.startswith("The configuration can be run")


@pytest.mark.parametrize("name", ["A01-empty", "A24-internal-entity", "A48-unknown-connector"])
def test_a_faulty_configuration_starts_nothing_and_creates_no_store(company, name):
    path = CORPUS / f"{name}.xml"
    faults = company.deltamark("--configuration", str(path), "validate")

    ran = company.deltamark("--configuration", str(path), "run", "Incremental")

    assert (ran.status, ran.out) == (2, b"")
    assert ran.err == faults.text
    assert "there is no store yet" in company.deltamark("runs").err


def test_all_faults_of_all_files_are_printed(company):
    (company.folder / "configuration" / "b.xml").write_text('<ConfigurationFile>\n<Jb/>\n<Agent Identifer="A"/>\n')
    (company.folder / "configuration" / "c.xml").write_text(
        "<ConfigurationFile>\n<Jb/>\n<Agent/>\n</ConfigurationFile>"
    )

    answer = company.deltamark("validate")
    faults = company.deltamark("validate", "--format", "jsonl").documents

    assert answer.status == 2
    assert [(fault["file"], fault["line"]) for fault in faults] == [
        ("configuration/b.xml", 2), ("configuration/b.xml", 3), ("configuration/b.xml", 4),
        ("configuration/c.xml", 2), ("configuration/c.xml", 3),
    ]  # fmt: skip
    members = ["severity", "file", "line", "column", "message", "what", "where", "advice"]
    assert [list(fault) for fault in faults] == [members] * 5
    for line, fault in zip(answer.lines, faults, strict=True):
        assert line.startswith(f"{fault['file']}:{fault['line']}:")
        assert line.endswith(f": {fault['message']}")


# Too large for the corpus, or not regular files


def wrapped(body: str) -> str:
    return f"<ConfigurationFile>\n{body}\n</ConfigurationFile>"


BIG = {
    "A34-300-deep": (lambda: "<a>" * 300 + "</a>" * 300, "more than 64 deep"),
    "A34-100000-deep": (lambda: "<a>" * 100_000 + "</a>" * 100_000, "more than 64 deep"),
    "A35-attributes": (lambda: "<Agent " + " ".join(f"a{n}='x'" for n in range(65)) + "/>", "more than 64 attributes"),
    "A36-text": (lambda: "." * 11_000_000, "larger than 1 MiB"),
    "A36-attribute": (lambda: f'<Agent Identifier="{"x" * 70_000}"/>', "longer than 64 KB"),
    "A36-name": (lambda: f"<{'n' * 60_000}/>", "longer than 1000 characters"),
    "A37-size": (lambda: " " * (2 << 20), "larger than 1 MiB"),
    "A37-elements": (lambda: "<Agent/>\n" * 60_000, "more than 50,000 elements"),
}


@pytest.mark.parametrize("name", BIG)
def test_an_oversized_configuration_is_refused_quickly(company, name):
    body, message = BIG[name]
    company.configure(wrapped(body()))
    started = time.process_time()

    answer = company.deltamark("validate")

    assert time.process_time() - started < LONGEST_S
    assert answer.status == 2
    assert re.match(r"configuration/company\.xml(:\d+)?(:\d+)?: ", answer.text)
    assert message in answer.text
    assert len(answer.text) < 2_000


def test_58_only_regular_files_are_read(company, tmp_path):
    link = company.folder / "configuration" / "more.xml"
    link.symlink_to("/etc/passwd")

    assert company.deltamark("--configuration", "/dev/zero", "validate").status == 2
    answer = company.deltamark("validate")

    assert answer.status == 2
    assert "configuration/more.xml: this symbolic link leads out of the configuration folder" in answer.text


EXPRESSIONS = {
    "a syntax error": ("SQL:p: lower(", "source expression of rule Account_1"),
    "an unknown property": ("SQL:p: p.Mial", 'did you mean "Mail"'),
    "a property of text used as a number": ("SQL:p: p.Mail + 1", "source expression of rule Account_1"),
    "an unknown function": ("SQL:p: system('id')", "source expression of rule Account_1"),
    "a file that is read": ("SQL:p: (select * from read_csv('/etc/passwd'))", "source expression of rule Account_1"),
    "5,000 characters": (f"SQL:p: '{'x' * 5000}'", "source expression of rule Account_1"),
    "300 brackets": (f"SQL:p: {'(' * 300}p.Mail{')' * 300}", "source expression of rule Account_1"),
    "20,000 dots": ("SQL:p: p" + ".a" * 20_000, "source expression of rule Account_1"),
    "an open bracket as a pattern": ("SQL:p: regexp_matches(p.Mail, '[')", "source expression of rule Account_1"),
    "a function that is none": ("ToLowr", 'did you mean "ToLower"'),
    "C#": ("C#:person:return person.Mail;", "is C#, which is not evaluated"),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_62_an_expression_is_checked_before_anything_runs(company, name):
    expression, message = EXPRESSIONS[name]
    binding = "" if ":" in expression else 'SourceBinding="Mail" '
    rule = f'{binding}SourceExpression="{expression.replace("<", "&lt;")}"'
    company.configure(CONFIGURATION.replace('SourceBinding="Mail" SourceExpression="ToLower"', rule))
    line = CONFIGURATION[: CONFIGURATION.index("<ResourceCorrelationRule")].count("\n") + 1
    started = time.process_time()

    answer = company.deltamark("validate")

    assert time.process_time() - started < LONGEST_S
    assert answer.status == 2, answer.text
    assert answer.lines[0].startswith(f"configuration/company.xml:{line}: ")
    assert message in answer.text
    assert "Traceback" not in answer.err
    assert len(answer.text) < 2_000


def test_59_and_62_harmless_text_that_looks_dangerous_is_accepted(company):
    rule = "SourceExpression=\"SQL:p: lower(p.Mail) || '${MISSING} (a+)+$'\""
    company.configure(CONFIGURATION.replace('SourceBinding="Mail" SourceExpression="ToLower"', rule))

    assert company.deltamark("validate").status == 0


def test_every_number_of_the_group_has_a_case():
    here = Path(__file__).read_text("utf-8")
    stored = {int(name[1:3]) for name in EXPECTED}
    generated = {int(name[1:3]) for name in BIG} | {58, 59, 62}
    elsewhere = {27}  # a listener that sees no connection: tests/config/test_gate.py
    without_place = {53, 60}  # retention periods and passwords: no attribute holds one

    assert stored | generated | elsewhere | without_place == set(range(1, 63))
    assert "test_59" in here


def test_validate_works_in_a_workspace_without_store_and_extracts(company: Workspace):
    for path in company.exports.iterdir():
        path.unlink()

    assert company.deltamark("validate").status == 0
    assert "there is no store yet" in company.deltamark("runs").err
