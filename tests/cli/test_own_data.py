"""`init --from`: from files of one's own to the first incremental run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lxml import etree

from tests.cli.workspace import Workspace
from tests.extracts.workbooks import workbook

CUSTOMERS = """\
Kundennr;Name;seit;aktiv;Limit;Region
00017;Groß;24.12.2019;ja;1.234,50;NO
00018;Kaur;01.02.2020;nein;20,00;SO
00019;Li;03.11.2021;ja;;NO
"""
ORDERS = """\
order_id,customer,order date,tags,amount
1001,00017,03/04/2024,a;b,10.5
1002,00018,13/04/2024,b,20
1003,00017,14/04/2024,,30
"""
FILES = {
    "customers.csv": CUSTOMERS.encode("cp1252"),
    "orders.csv": ORDERS.encode(),
    "regions.csv": "Code\tTitel\nNO\tNördlich\nSO\tSüdlich\n".encode("utf-16"),
    "tags.csv": b"tag,label\na,Alpha\nb,Beta\n",
}


@pytest.fixture
def shop(tmp_path: Path, capsysbinary, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder that holds nothing but files."""
    workspace = Workspace(tmp_path / "shop", "", capsysbinary)
    for name, content in FILES.items():
        (workspace.folder / "exports").mkdir(parents=True, exist_ok=True)
        (workspace.folder / "exports" / name).write_bytes(content)
    monkeypatch.chdir(workspace.folder)
    return workspace


def test_three_commands_lead_from_files_to_an_incremental_run(shop):
    made = shop.done("init", "--from", *(f"exports/{name}" for name in FILES))
    valid = shop.done("validate")
    (first,) = shop.jsonl("run", "Incremental")
    exports = shop.folder / "exports"
    (exports / "orders.csv").write_text(ORDERS.replace(",20\n", ",21\n"))
    (second,) = shop.jsonl("run", "Incremental")

    assert [line for line in made.lines if "/" in line and line.endswith(".xml")] == [
        "configuration/model.xml",
        "configuration/jobs.xml",
    ]
    assert valid.out == b""
    assert sum(task["inserted"] for task in first["tasks"]) == 10
    assert sum(task["linked"] for task in first["tasks"]) == 9
    assert {name: sum(task[name] for task in second["tasks"]) for name in ("inserted", "updated", "deleted")} == {
        "inserted": 0,
        "updated": 1,
        "deleted": 0,
    }
    (order,) = (row for row in shop.jsonl("export", "orders") if row["key"] == "1002")
    assert order["properties"] == {"order_id": "1002", "OrderDate": "2024-04-13", "amount": "21"}


def test_what_init_writes_is_short_commented_and_refers_to_a_schema_that_accepts_it(shop):
    shop.done("init", "--from", "exports")

    model = (shop.folder / "configuration" / "model.xml").read_text()
    assert '<Property Identifier="Name" />' in model
    assert '<Property Identifier="OrderDate" ConnectionColumn="order date" Format="dd/MM/yyyy" />' in model
    assert "<!-- Region of customers.csv: all 2 values are in regions.Code. -->" in model
    assert max(map(len, model.splitlines())) <= 120
    for file in (shop.folder / "configuration").glob("*.xml"):
        document = etree.parse(file)
        (place,) = document.getroot().attrib.values()
        etree.XMLSchema(etree.parse(file.parent / place)).assertValid(document)


def test_every_guess_is_said_in_lines_of_80_columns_and_what_is_doubtful_is_marked(shop):
    (shop.folder / "exports" / "orders.csv").write_text(ORDERS.replace("13/04", "11/04").replace("14/04", "12/04"))

    lines = shop.done("init", "--from", "exports").lines

    assert '    Limit: Decimal ("," before the fraction, "." between thousands)' in lines
    assert any(
        line.startswith("?   order date: Date (dd/MM/yyyy): dd/MM/yyyy and MM/dd/yyyy both fit") for line in lines
    )
    assert max(map(len, lines)) <= 80


def test_a_pattern_that_no_shell_has_resolved_names_files(shop):
    shop.done("init", "--from", "exports/*.csv")

    assert (shop.folder / "configuration" / "model.xml").exists()


@pytest.mark.parametrize("way", ["deltamark.toml", "deltamark.xsd", "configuration/other.xml"])
def test_nothing_that_exists_is_replaced_and_it_is_named(shop, way):
    (shop.folder / way).parent.mkdir(exist_ok=True)
    (shop.folder / way).write_text("mine")
    before = sorted(shop.folder.rglob("*"))

    failed = shop.deltamark("init", "--from", "exports")

    assert failed.status == 2
    assert f"{way} is there already. Nothing was written." in failed.err
    assert sorted(shop.folder.rglob("*")) == before
    assert (shop.folder / way).read_text() == "mine"


def test_the_sample_may_be_written_into_a_folder_that_holds_data(shop):
    shop.done("init", ".")

    assert (shop.folder / "exports" / "HR_Person.csv").exists()
    assert (shop.folder / "exports" / "customers.csv").read_bytes() == FILES["customers.csv"]


def test_files_that_cannot_be_read_are_all_named_and_nothing_is_written(shop):
    (shop.folder / "exports" / "cut.csv").write_text("id,name\n1,x")
    (shop.folder / "exports" / "empty.csv").write_text("")

    failed = shop.deltamark("init", "--from", "exports")

    assert failed.status == 2
    assert "cut.csv:2: the file looks cut off" in failed.err
    assert "empty.csv: the file is empty" in failed.err
    assert os.listdir(shop.folder) == ["exports"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from"], "no file is named"),
        (["--from", "exports/none.csv"], "there is no file exports/none.csv"),
        ([], "name one folder, or your files after --from"),
        (["a", "b"], "name one folder, or your files after --from"),
    ],
)
def test_a_wrong_call_says_what_to_write(shop, arguments, message):
    failed = shop.deltamark("init", *arguments)

    assert failed.status == 2
    assert message in failed.err


def test_check_finds_nothing_in_what_init_proposed_and_writes_nothing(shop):
    shop.done("init", "--from", "exports")
    before = sorted(shop.folder.rglob("*"))

    answer = shop.done("check")

    assert answer.out == b""
    assert answer.err == "The sources can be read: 4 files, 10 rows, nothing wrong.\n"
    assert sorted(shop.folder.rglob("*")) == before


@pytest.mark.many
@pytest.mark.parametrize(
    ("file", "before", "after", "severity", "place", "message"),
    [
        ("customers.csv", "01.02.2020", "31.02.2020", "warning", (3, "seit"), "there is no such day"),
        ("customers.csv", "ja;;NO", "vielleicht;;NO", "warning", (4, "aktiv"), "is not a Boolean"),
        ("customers.csv", "00018", "", "warning", (3, "Kundennr"), "the key is empty"),
        ("customers.csv", "00018", "00017", "warning", (2, "Kundennr"), "the key also occurs in line 3"),
        ("customers.csv", ";SO", ";ZZ", "warning", (3, "Region"), '1 link of 3 names no regions'),
        ("customers.csv", "Limit", "Limite", "error", (1, "Limit"), 'the nearest is "Limite"'),
        ("orders.csv", ",30\n", ",30", "error", (4, None), "the file looks cut off"),
    ],
)  # fmt: skip
def test_check_names_what_is_wrong_with_file_line_and_column(shop, file, before, after, severity, place, message):
    shop.done("init", "--from", "exports")
    path = shop.folder / "exports" / file
    text = path.read_bytes().decode("cp1252")
    assert before in text
    path.write_bytes(text.replace(before, after, 1).encode("cp1252"))

    answer = shop.deltamark("check", "--format", "jsonl")
    findings = [row for row in answer.documents if message in row["message"]]

    assert [(row["severity"], row["file"], row["line"], row["column"]) for row in findings] == [
        (severity, file, *place)
    ]
    assert answer.status == (2 if severity == "error" else 0)


def test_check_names_each_missing_file_once_with_the_mapping(shop):
    shop.done("init", "--from", "exports")
    (shop.folder / "exports" / "regions.csv").unlink()

    answer = shop.deltamark("check")

    assert answer.status == 2
    (line,) = answer.lines
    assert line.startswith("regions.csv: exports holds no regions.csv (nor")
    assert "The mapping is at configuration/model.xml:" in line


def test_check_warns_of_thresholds_that_one_change_of_a_small_table_exceeds(shop):
    shop.done("init", "--from", "exports")
    model = shop.folder / "configuration" / "model.xml"
    model.write_text(model.read_text().replace('MaxPercentageUpdatedLines="50"', ""))

    (line,) = shop.done("check").lines

    assert "of the 10 rows of connector Shop, a single change exceeds MaxPercentageUpdatedLines" in line


def test_check_says_where_a_command_column_is_missing(shop):
    shop.done("init", "--from", "exports/regions.csv")
    jobs = shop.folder / "configuration" / "jobs.xml"
    delta = 'Connector="Shop" SynchronizationMode="Incremental" ColumnName="cmd"'
    jobs.write_text(jobs.read_text().replace('Connector="Shop"', delta, 1))

    answer = shop.deltamark("check")

    assert answer.status == 2
    assert 'there is no column "cmd"' in answer.lines[0]


def test_check_reports_faults_of_the_configuration_as_validate_does(shop):
    shop.done("init", "--from", "exports")
    model = shop.folder / "configuration" / "model.xml"
    model.write_text(model.read_text().replace('IsPrimaryKey="true"', 'IsPrimaryKey="so"', 1))

    answer = shop.deltamark("check")

    assert answer.status == 2
    assert "is not a Boolean" in answer.err


def test_workbooks_and_json_lines_are_looked_at_too(shop):
    people = [("number", "name", "site"), *((number, f"N{number}", f"S{number % 2}") for number in range(8))]
    sites = '{"code": "S0", "address": {"city": "Lyon"}, "tags": ["a"]}\n{"code": "S1", "address": {"city": "Graz"}}\n'
    (shop.folder / "people.xlsx").write_bytes(workbook(people))
    (shop.folder / "sites.jsonl").write_text(sites)

    made = shop.done("init", "--from", "people.xlsx", "sites.jsonl")
    (run,) = shop.jsonl("run", "Incremental")

    assert any("tags: left out" in line and "holds a list" in line for line in made.lines)
    assert sum(task["inserted"] for task in run["tasks"]) == 10
    assert sum(task["linked"] for task in run["tasks"]) == 8
    assert shop.jsonl("export", "sites")[0]["properties"] == {"code": "S0", "AddressCity": "Lyon"}


def test_files_whose_rows_several_columns_identify_run_in_one_attempt(shop):
    header = ("order_no", "line_no", "what")
    rows = [(f"A{number // 3}", str(number % 3), f"w{number % 2}") for number in range(9)]
    lines = "".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows)
    (shop.folder / "booked.xlsx").write_bytes(workbook([header, *rows]))
    (shop.folder / "sent.jsonl").write_text(lines)
    pq.write_table(
        pa.Table.from_pylist([dict(zip(header, row, strict=True)) for row in rows]), shop.folder / "paid.parquet"
    )

    shop.done("init", "--from", "booked.xlsx", "sent.jsonl", "paid.parquet")
    (first,) = shop.jsonl("run", "Incremental")
    (shop.folder / "sent.jsonl").write_text(lines.replace("w1", "w2", 1).replace('"A2"', '"A3"'))
    (second,) = shop.jsonl("run", "Incremental", "--force")

    assert sum(task["inserted"] for task in first["tasks"]) == 27
    assert [sum(task[kind] for task in second["tasks"]) for kind in ("inserted", "updated", "deleted")] == [3, 1, 3]
    assert {item["key"] for item in shop.jsonl("export", "sent")} >= {"A0|0", "A3|2"}


def staff_and_teams(book) -> None:
    book.active.title = "Staff"
    for row in (["Number", "Name", "Team"], ["00001", "Ann", "T1"], ["00002", "Bo", "T2"], ["00003", "Cy", "T1"]):
        book.active.append(row)
    teams = book.create_sheet("Teams of 2026")
    for row in (["Team", "Title"], ["T1", "One"], ["T2", "Two"]):
        teams.append(row)
    book.create_sheet("Empty")


def test_each_filled_sheet_of_a_workbook_becomes_a_table_of_a_connection(shop):
    (shop.folder / "staff.xlsx").write_bytes(workbook([], staff_and_teams))
    made = shop.done("init", "--from", "staff.xlsx")
    shop.done("check")
    (first,) = shop.jsonl("run", "Incremental")
    (again,) = shop.jsonl("run", "Incremental")
    changed = workbook([], lambda book: (staff_and_teams(book), book["Staff"].append(["00004", "Di", "T2"])))
    (shop.folder / "staff.xlsx").write_bytes(changed)
    (second,) = shop.jsonl("run", "Incremental")

    assert [row.strip() for row in made.lines if "rows" in row] == [
        "Staff: 3 rows, 3 columns",
        "Teams of 2026: 2 rows, 2 columns",
    ]
    counts = [[sum(task[name] for task in run["tasks"]) for name in ("inserted", "linked")] for run in (first, again)]
    assert counts == [[5, 3], [0, 0]]
    assert sum(task["inserted"] for task in second["tasks"]) == 1
    (person,) = (row for row in shop.jsonl("export", "Staff") if row["key"] == "00003")
    assert person["links"] == {"Staff_Team": ["T1"]}


def test_what_a_sheet_of_a_workbook_lacks_is_said_with_its_name(shop):
    def with_formula(book) -> None:
        staff_and_teams(book)
        book["Staff"].append(["=1+1", "Di", "T2"])

    (shop.folder / "staff.xlsx").write_bytes(workbook([], with_formula))

    refused = shop.deltamark("init", "--from", "staff.xlsx")

    assert refused.status == 2
    assert "the cell A5 of sheet" in refused.err
    assert not (shop.folder / "deltamark.toml").exists()
