"""`deltamark config export`: the whole configuration as one equivalent file."""

from __future__ import annotations

from deltamark import configuration_xml
from deltamark.config.xml.load import load_configuration as load
from tests.cli.workspace import Workspace


def split(company: Workspace) -> None:
    """The configuration in two files, with a comment."""
    folder = company.folder / "configuration"
    text = (folder / "company.xml").read_text("utf-8")
    head, jobs = text.split("  <Job ", 1)
    (folder / "company.xml").write_text(f"{head}</ConfigurationFile>", encoding="utf-8")
    (folder / "jobs.xml").write_text(f"<ConfigurationFile><!-- jobs -->\n  <Job {jobs}", encoding="utf-8")


def test_several_files_are_exported_as_one_equivalent_file(company, tmp_path):
    split(company)
    configured = load(company.folder / "configuration")

    answer = company.done("config", "export")

    (tmp_path / "exported.xml").write_bytes(answer.out)
    assert load(tmp_path / "exported.xml") == configured
    assert answer.text == configuration_xml(configured)
    assert answer.err == ""
    assert "<!--" not in answer.text


def test_a_file_has_the_text_of_standard_output(company):
    answer = company.done("config", "export", "-o", "exported.xml")

    assert (company.folder / "exported.xml").read_bytes() == company.done("config", "export").out
    assert (answer.out, answer.err) == (b"", "The configuration was written to exported.xml.\n")


def test_an_export_can_be_run_and_exported_again(company, monkeypatch):
    company.done("config", "export", "-o", "exported.xml")
    monkeypatch.setenv("DELTAMARK_CONFIGURATION", "exported.xml")

    company.done("run", "Incremental")

    assert company.done("config", "export").out == (company.folder / "exported.xml").read_bytes()


def test_2_a_faulty_configuration_is_not_exported(company):
    company.configure("<ConfigurationFile><Job /></ConfigurationFile>")
    (company.folder / "exported.xml").write_text("before")

    answer = company.deltamark("config", "export", "-o", "exported.xml")

    assert answer.status == 2
    assert "`Job` needs the attribute `Identifier`" in answer.err
    assert (company.folder / "exported.xml").read_text() == "before"


def test_2_an_unwritable_file_is_reported(company):
    answer = company.deltamark("config", "export", "-o", "no/such/folder.xml")

    assert answer.status == 2
    assert "no/such/folder.xml cannot be written" in answer.err


def test_2_a_mistyped_command_gets_a_suggestion(company):
    answer = company.deltamark("config", "exprot")

    assert answer.status == 2
    assert "there is no command 'exprot'" in answer.err
    assert "did you mean" in answer.err
