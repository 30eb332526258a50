"""Values from sources are data: none moves the cursor, reverses the text or adds a row."""

from __future__ import annotations

import csv
import io
import json

import pytest

from deltamark.domain.values import is_visible
from tests.cli.terminal import in_terminal
from tests.cli.workspace import Workspace

ODD = {
    "escape": "\x1b[2J\x1b[31mred",
    "title": "\x1b]0;owned\x07title",  # control characters at the end of a key do not belong to it
    "bidi": "abc\u202etxt.exe",
    "breaks": "one\ntwo\r\nthree",
    "csi": "\x9b31m",
    "delete": "a\x7fb",
    "filler": "a\u3164\u115fb\u2800c",
    "tags": "a\U000e0041b",
    "isolate": "a\u2067b\u061cc",
    "backspace": "safe\x08\x08\x08\x08evil",
    "separators": "a\u2028b\u2029c\x85d",
    "mark": "\ufeffa\u200bb",
    "quotes": "a \"b\", 'c', d\te",
    "wide": "日本語 👩‍👩‍👧 é",
    "json": '{"a": [1, 2]}',
    "markup": "[red]x[/red] [link=http://evil.example]y[/link]",
}
COMMANDS = [
    ["changes"], ["history", "HR_Person", "k{mark}"], ["export", "HR_Person"], ["export", "AD_Group"], ["keys"],
    ["keys", "--pairs"], ["show", "HR_Person", "k{escape}"], ["dirty"], ["classifications"],
    ["why", "HR_Person", "k{title}"], ["verify", "--derived"], ["runs"], ["runs", "1"], ["jobs"], ["tasks"],
]  # fmt: skip


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@pytest.fixture
def odd(company: Workspace) -> Workspace:
    """A company with unusual characters in keys, names and links; one of its rows is set aside."""
    people = "".join(f"{quoted('k' + v)},{quoted(v)},{quoted(v)},,,,\n" for v in ODD.values())
    bad = f"{quoted('bad' + ODD['escape'])},,,{quoted('9' + ODD['escape'])},,,\n"
    users = "".join(f"{quoted('u' + v)},{quoted(v)}\n" for v in ODD.values())
    company.extract(
        people=f"number,name,mail,salary,hired,active,department\n{people}{bad}",
        users=f"login,mail\n{users}",
        groups="name\n" + "".join(f"{quoted('g' + v)}\n" for v in ODD.values()),
        members="group,login\n" + "".join(f"{quoted('g' + v)},{quoted('u' + v)}\n" for v in ODD.values()),
    )
    company.done("run", "Incremental")
    return company


def test_tables_and_messages_are_escaped(odd):
    for command in COMMANDS:
        answer = odd.done(*(argument.format(**ODD) for argument in command))

        assert all(line.isprintable() for line in (*answer.text.split("\n"), *answer.err.split("\n"))), command
    text = odd.done("export", "HR_Person").text
    assert len(text.split("\n")) == 1 + len(ODD) + 1
    assert "k\\x1b[2J\\x1b[31mred" in text
    assert "abc\\u202etxt.exe" in text
    assert "one\\ntwo\\r\\nthree" in text
    assert "[red]x[/red]" in text


@pytest.mark.parametrize(("command", "form"), [(["export", "HR_Person"], "csv"), (["runs", "1"], "jsonl")])
def test_a_terminal_gets_no_control_characters_as_data_either(odd, command, form):
    shown = in_terminal(odd.folder, *command, "--format", form, columns=5_000)

    assert shown.status == 0
    assert all(is_visible(line) for line in shown.raw.replace("\r\n", "\n").split("\n"))
    if form == "jsonl":
        assert [json.loads(line) for line in shown.raw.split("\r\n") if line] == odd.jsonl(*command)


def test_json_lines_hold_no_control_characters_in_a_pipe_and_csv_holds_the_data(odd):
    lines = odd.done("export", "HR_Person", "--format", "jsonl").text
    table = odd.done("export", "HR_Person", "--format", "csv").text

    assert all(is_visible(line) for line in lines.split("\n"))
    assert all(value.replace('"', '""') in table for value in ODD.values())


def test_json_lines_are_exact(odd):
    people = odd.jsonl("export", "HR_Person")

    assert {p["key"]: p["properties"]["Name"] for p in people} == {"k" + v: v for v in ODD.values()}
    assert odd.jsonl("show", "HR_Person", "k" + ODD["breaks"])[0]["properties"]["Mail"] == ODD["breaks"]
    created = [c for c in odd.jsonl("changes", "--type", "HR_Person") if c["change"] == "created"]
    assert {c["changes"]["Name"]["after"] for c in created} == set(ODD.values())
    assert {(g["key"], *g["links"]["Members"]) for g in odd.jsonl("export", "AD_Group")} == {
        ("g" + v, "u" + v) for v in ODD.values()
    }
    (run,) = odd.jsonl("runs", "1")
    assert ("9" + ODD["escape"], "bad" + ODD["escape"]) in {(row["value"], row["key"]) for row in run["set_aside"]}


def test_csv_is_exact(odd, tmp_path):
    def read(text: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))

    rows = read(odd.done("export", "HR_Person", "--format", "csv").text)
    groups = read(odd.done("export", "AD_Group", "--format", "csv").text)
    changes = read(odd.done("changes", "--format", "csv").text)
    odd.done("export", "HR_Person", "-o", str(tmp_path / "people.csv"))

    assert {row["key"]: row["Name"] for row in rows} == {"k" + v: v for v in ODD.values()}
    assert {row["key"]: json.loads(row["Members"]) for row in groups} == {"g" + v: ["u" + v] for v in ODD.values()}
    assert [int(row["position"]) for row in changes] == [c["position"] for c in odd.jsonl("changes")]
    assert read((tmp_path / "people.csv").read_bytes().decode()) == rows


@pytest.mark.parametrize("bad", [ODD["escape"], ODD["bidi"], ODD["breaks"]], ids=["escape", "bidi", "breaks"])
@pytest.mark.parametrize(
    "command",
    [
        ["{}"], ["run", "{}"], ["export", "{}"], ["show", "HR_Person", "{}"], ["show", "HR_Person", "{}", "--at", "0"],
        ["changes", "--until", "{}"], ["changes", "--after", "{}"], ["changes", "--{}"], ["keys", "--rule", "{}"],
        ["jobs", "{}"], ["jobs", "--format", "{}"], ["--store", "{}", "runs"], ["--configuration", "{}", "jobs"],
        ["export", "HR_Person", "-o", "{}"], ["dirty", "--task", "{}"], ["why", "HR_Person", "{}"], ["why", "{}", "k"],
        ["why", "HR_Person", "E1", "--task", "{}"],
        ["classifications", "--type", "{}"], ["verify", "--derived", "--sample", "{}"],
    ],
    ids=lambda command: " ".join(command),
)  # fmt: skip
def test_arguments_are_shown_escaped(past, command, bad):
    answer = past.deltamark(*(argument.format(bad) for argument in command))

    assert answer.status == 2
    assert all(line.isprintable() for line in answer.err.split("\n"))


def test_the_name_of_a_job_is_shown_on_one_line(company):
    company.configure(
        '<ConfigurationFile><Job Identifier="J" DisplayName_L1="a&#x202e;b&#x85;c" /></ConfigurationFile>'
    )

    answer = company.deltamark("jobs")

    assert all(line.isprintable() for line in (answer.text + answer.err).split("\n"))
