"""diff and audit, changes for other programs, and CSV that a spreadsheet may open."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime

import pyarrow.parquet
import pytest

from tests.cli.test_commands import agree
from tests.cli.workspace import EXTRACTS


def table_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_diff_has_the_same_rows_in_every_format(past):
    deltas = agree(past, "diff", "HR_Person", "--from", "run:1", "--to", "run:2")

    assert [(d["change"], d["key"]) for d in deltas] == [
        ("updated", "E1"), ("deleted", "E3"), ("created", "E4"),
        ("unlinked", "E1"), ("linked", "E1"), ("unlinked", "E3"), ("linked", "E4"),
    ]  # fmt: skip
    assert deltas[0] == {
        "change": "updated",
        "entity_type": "HR_Person",
        "key": "E1",
        "changes": {"Mail": {"before": "Ada@x.example", "after": "ada.l@x.example"}},
    }
    assert deltas[3]["association"] == "Staff"
    assert past.done("diff", "HR_Person", "--from", "run:1", "--to", "run:2").lines[1].split() == [
        "updated", "HR_Person", "E1", "Mail:", "Ada@x.example", "→", "ada.l@x.example",
    ]  # fmt: skip


def test_a_backward_diff_is_the_inverse_of_a_forward_diff(past):
    there = past.jsonl("diff", "HR_Person", "--from", "run:1", "--to", "run:2")
    back = past.jsonl("diff", "HR_Person", "--from", "run:2", "--to", "run:1")

    opposite = {"created": "deleted", "deleted": "created", "linked": "unlinked", "unlinked": "linked"}
    assert [opposite.get(d["change"], d["change"]) for d in back] == [d["change"] for d in there]
    assert back[0]["changes"]["Mail"] == {"before": "ada.l@x.example", "after": "Ada@x.example"}


def test_a_diff_applied_to_an_export_gives_the_other_export(past):
    def exported(moment: str) -> dict[str, tuple[dict, dict]]:
        rows = past.jsonl("export", "HR_Person", "--at", moment)
        return {row["key"]: (row["properties"], {n: set(keys) for n, keys in row["links"].items()}) for row in rows}

    moments = ["0", str(past.jsonl("changes")[5]["position"]), "run:1", "run:2"]
    for start in moments:
        for end in moments:
            people = exported(start)
            for delta in past.jsonl("diff", "HR_Person", "--from", start, "--to", end):
                properties, links = people.setdefault(delta["key"], ({}, {}))
                if "association" in delta:
                    links.setdefault(delta["association"], set()).symmetric_difference_update({delta["other_key"]})
                    continue
                properties.update({name: change["after"] for name, change in delta["changes"].items()})
            left = {
                key: (
                    {n: v for n, v in values.items() if v is not None},
                    {n: keys for n, keys in links.items() if keys},
                )
                for key, (values, links) in people.items()
            }
            assert {key: found for key, found in left.items() if found[0]} == exported(end)


def test_an_audit_of_a_property_has_the_same_rows_in_every_format(past):
    rows = past.jsonl("audit", "--type", "HR_Person", "--property", "Mail", "--between", "run:1", "run:2")

    assert [(r["key"], r["value"], r["from"]["run"], r["until"] and r["until"]["run"]) for r in rows] == [
        ("E1", "Ada@x.example", 1, 2),
        ("E1", "ada.l@x.example", 2, None),
        ("E2", "bob@x.example", 1, None),
        ("E4", "dee@x.example", 2, None),
    ]
    began = next(c for c in past.jsonl("changes", "--run", "2") if c["key"] == "E1" and c["change"] == "updated")
    bound = ("position", "at", "run", "job", "task", "user", "trigger", "file", "line")
    assert rows[1]["from"] == {name: began[name] for name in bound}
    cells = table_of(
        past.done(
            "audit", "--type", "HR_Person", "--property", "Mail", "--between", "run:1", "run:2", "--format", "csv"
        ).text
    )
    for row, cell in zip(rows, cells, strict=True):
        for end in ("from", "until"):
            assert [cell[f"{end}_{name}"] for name in bound] == [
                "" if row[end] is None else str(row[end][name]) for name in bound
            ]
    lines = past.done("audit", "--type", "HR_Person", "--property", "Mail", "--between", "run:1", "run:2").lines
    assert lines[0].split() == ["key", "value", "from", "run", "by", "until", "run", "by"]
    assert len(lines) == 5


def test_an_audit_of_an_association_shows_who_was_in_a_group(past):
    rows = past.jsonl("audit", "--association", "Members", "--key", "staff", "--between", "run:1", "run:2")

    assert [(r["key"], r["other_key"], r["from"]["run"], r["until"] and r["until"]["run"]) for r in rows] == [
        ("staff", "ada", 1, 2), ("staff", "bob", 1, None), ("staff", "zoe", 2, None),
    ]  # fmt: skip
    assert rows[0]["association"] == "Members"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diff", "HR_Person", "--from", "run:1"], "Missing option '--to'"),
        (["diff", "HR_Person", "--from", "tomorrow", "--to", "1"], "is no moment"),
        (["diff", "HR_Person", "--from", "2026-01-01T08", "--to", "1"], "has no time zone"),
        (["diff", "HR_Person", "--from", "0", "--to", "99999"], "position 99999 is not in the log"),
        (["diff", "HR_Person", "--from", "run:7", "--to", "0"], "there is no run 7. The newest is run 2."),
        (["diff", "HR_Persn", "--from", "0", "--to", "0"], 'did you mean "HR_Person"'),
        (["diff", "HR_Person", "--from", "0", "--to", "0", "--safe-for-spreadsheets"], "is about CSV"),
        (
            ["diff", "HR_Person", "--from", "0", "--to", "0", "-o", "x.xlsx"],
            "Use one of .csv, .jsonl, .parquet, .arrow.",
        ),
        (["diff", "HR_Person", "--from", "0", "--to", "0", "--format", "cloudevents"], "is not one of"),
        (["audit", "--between", "0", "1"], "nothing to audit was named"),
        (["audit", "--type", "HR_Person", "--between", "0", "1"], "nothing to audit was named"),
        (
            ["audit", "--type", "HR_Person", "--association", "Staff", "--between", "0", "1"],
            "nothing to audit was named",
        ),
        (["audit", "--association", "Staff", "--between", "0"], "requires 2 arguments"),
        (["audit", "--association", "Staff", "--between", "5", "4"], "lies before the first one"),
        (["audit", "--association", "Staf", "--between", "0", "1"], 'did you mean "Staff"'),
        (["audit", "--association", "Staff", "--key", "E9", "--between", "0", "1"], "there never was"),
        (["audit", "--type", "HR_Person", "--property", "mail", "--between", "0", "1"], 'did you mean "Mail"'),
        (["audit", "--type", "HR_Person", "--property", "Department", "--between", "0", "1"], "association Staff"),
        (["changes", "--pending", "1", "--format", "cloudevents"], "something that did"),
        (["changes", "--follow", "-o", "x.csv"], "a file appears when it is whole"),
        (["changes", "--format", "cloudevents", "-o", "x.csv"], "Use a file that ends in .jsonl"),
        (["changes", "-o", "nowhere/x.csv"], "cannot be written: No such file or directory"),
        (["show", "HR_Person", "E3"], "was deleted at position"),
        (["show", "HR_Person", "E3", "--at", "run:2"], "at that moment. It had been deleted at position"),
        (["show", "HR_Person", "E4", "--at", "run:1"], "at that moment. It was created at position"),
        (["show", "HR_Person", "E4", "--at", "1990-01-01T00Z"], "at that moment. It was created at position"),
        (["show", "HR_Person", "E9", "--at", "run:1"], "there never was a HR_Person"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_with_a_reason(past, arguments, message):
    answer = past.deltamark(*arguments)

    assert (answer.status, answer.out) == (2, b"")
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_changes_can_be_cloud_events(past):
    events = past.done("changes", "--format", "cloudevents").documents
    changes = past.jsonl("changes")

    assert [event["data"] for event in events] == changes
    assert {tuple(event) for event in events} == {
        ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data")
    }
    assert {event["specversion"] for event in events} == {"1.0"}
    assert [event["id"] for event in events] == [str(change["position"]) for change in changes]
    (source,) = {event["source"] for event in events}
    assert re.fullmatch("urn:deltamark:store:[0-9a-f]{32}", source)
    assert {(e["type"], e["subject"]) for e in events} >= {
        ("deltamark.resource.updated", "HR_Person/E1"),
        ("deltamark.link.unlinked", "Members/staff/ada"),
    }
    assert [datetime.fromisoformat(e["time"]).tzinfo for e in events] == [UTC] * len(events)


def test_a_history_can_end_at_a_moment_and_begin_after_a_position(past):
    whole = past.jsonl("history", "HR_Person", "E1")

    assert past.jsonl("history", "HR_Person", "E1", "--until", "run:1") == [c for c in whole if c["run"] == 1]
    assert past.jsonl("history", "HR_Person", "E1", "--after", str(whole[0]["position"])) == whole[1:]


@pytest.mark.parametrize(
    "command",
    [
        ["changes"],
        ["history", "HR_Person", "E1"],
        ["diff", "HR_Person", "--from", "run:1", "--to", "run:2"],
        ["audit", "--association", "Staff", "--between", "run:1", "run:2"],
    ],
)
def test_a_file_has_the_same_rows(past, tmp_path, command):
    for form in ("csv", "jsonl"):
        file = tmp_path / f"rows.{form}"
        past.done(*command, "-o", str(file))
        assert file.read_bytes() == past.done(*command, "--format", form).out

    answer = past.done(*command, "-o", str(tmp_path / "rows.parquet"))
    rows = pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    cells = table_of(past.done(*command, "--format", "csv").text)
    assert [{n: _as_csv(v) for n, v in row.items()} for row in rows] == cells
    assert answer.err == f"{len(rows)} {answer.err.split()[1]} written to {tmp_path / 'rows.parquet'}.\n"


def _as_csv(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return "" if value is None else str(value)


def test_output_for_spreadsheets_has_no_formula(company):
    company.extract(people=EXTRACTS["people"].replace("Ada,", '"=HYPERLINK(""http://x"")",').replace("Böb", "'t Hooft"))
    company.done("run", "Incremental")

    plain = company.done("export", "HR_Person", "--format", "csv").text
    safe = company.done("export", "HR_Person", "--format", "csv", "--safe-for-spreadsheets").text

    assert [row["Name"] for row in table_of(plain)][:2] == ['=HYPERLINK("http://x")', "'t Hooft"]
    assert [row["Name"] for row in table_of(safe)][:2] == ['\'=HYPERLINK("http://x")', "'t Hooft"]
    assert safe.splitlines()[1].startswith('"E1","E1","\'=HYPERLINK')
    assert [row["Salary"] for row in table_of(safe)] == [row["Salary"] for row in table_of(plain)]


def test_files_for_spreadsheets_have_no_formula(past, tmp_path):
    past.done("changes", "-o", str(tmp_path / "safe.csv"), "--safe-for-spreadsheets")

    safe = (tmp_path / "safe.csv").read_bytes()
    assert safe == past.done("changes", "--format", "csv", "--safe-for-spreadsheets").out
    assert table_of(safe.decode()) == table_of(past.done("changes", "--format", "csv").text)


def test_a_report_on_one_resource_has_the_same_rows_in_every_format(past):
    rows = past.jsonl("audit", "--person", "HR_Person", "E1", "--between", "run:1", "run:2")

    assert [(r["what"], r["name"], r["value"]) for r in rows if r["what"] != "value"] == [
        ("existence", "HR_Person", "E1"),
        ("link to", "Staff", "D1"),
        ("link to", "Staff", "D2"),
        ("source key", "Account_1", "ada.l@x.example"),
        ("match", "Account_1", "ada"),
    ]
    mails = [r for r in rows if r["name"] == "Mail"]
    assert [(r["value"], r["until"] and r["until"]["run"]) for r in mails] == [
        ("Ada@x.example", 2), ("ada.l@x.example", None),
    ]  # fmt: skip
    csv_rows = table_of(past.done("audit", "--person", "HR_Person", "E1", "--format", "csv").text)
    assert [(r["what"], r["name"], r["value"]) for r in csv_rows] == [
        (r["what"], r["name"], str(r["value"]).lower() if isinstance(r["value"], bool) else str(r["value"]))
        for r in past.jsonl("audit", "--person", "HR_Person", "E1")
    ]
    shown = past.deltamark("audit", "--person", "HR_Person", "E1")
    assert "line 2 of people.csv" in shown.text
    assert "Keys, matches and the classification are those of now" in shown.err
    gone = past.done("audit", "--person", "HR_Person", "E3").text
    assert "its row is missing in people.csv" in gone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--person", "HR_Person"], "requires 2 arguments"),
        (["--person", "HR_Person", "E9"], "there never was a HR_Person"),
        (["--person", "HR_Persn", "E1"], 'did you mean "HR_Person"'),
        (["--person", "HR_Person", "E1", "--property", "Mail"], "Combine it with --between alone."),
        (["--association", "Staff"], "Missing option '--between'."),
    ],
)
def test_a_report_that_cannot_be_given_says_why(past, options, message):
    answer = past.deltamark("audit", *options)

    assert (answer.status, answer.out) == (2, b"")
    assert message in answer.err
