"""What every command prints fits the terminal: no line is too long unless one word is, and no word is broken."""

from __future__ import annotations

import io
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from attrs import frozen

from deltamark.infrastructure.sample_company import write_workspace
from deltamark.interfaces.cli.groups import leaves
from deltamark.interfaces.cli.main import deltamark, status_of
from tests.cli.terminal import in_terminal

LONG_KEY = "K" * 118 + "01"
WIDE_KEY = "東京都千代田区" * 6
NAMES = {
    "joined": "Ğüneş Ç. de la Fuente-Łukasiewicz",
    "decomposed": unicodedata.normalize("NFD", "Žluťoučký kůň příšerně úpěl ďábelské ódy a ještě trochu více"),
    "hebrew": "שלום עולם זה שם ארוך מאוד של קבוצה עם הרבה מילים בתוכו",
    "thai": "กิ่งก้านสาขา กิ่งก้านสาขา กิ่งก้านสาขา กิ่งก้านสาขา กิ่งก้านสาขา",
    "emoji": "🎉 party 🎉 👍🏽 of ❤️ all 🇨🇿 the people who work here and there",
    "wide": "総務部 人事課 採用担当 主任 " * 4,
    LONG_KEY: "a very long key",
    WIDE_KEY: "a very wide key",
}
CONFIGURATION = """<?xml version="1.0" encoding="utf-8"?>
<ConfigurationFile>
  <Connector Identifier="HR" MaximumDeletedLines="3" MaximumInsertedLines="0" MaximumUpdatedLines="0"
    MaximumLinkInsertedLines="0" MaximumLinkDeletedLines="0" MaxPercentageInsertedLines="0"
    MaxPercentageUpdatedLines="0" MaxPercentageDeletedLines="0" MaxLinkPercentageInsertedLines="0"
    MaxLinkPercentageDeletedLines="0" />
  <EntityType Identifier="Unit">
    <Property Identifier="Code" IsKey="true" />
    <Property Identifier="Name" />
    <Property Identifier="A_property_whose_identifier_is_so_long_that_it_has_no_place_beside_others_in_any_terminal" />
    <Property Identifier="Size" Type="Int32" />
    <Property Identifier="Label" />
    <Property Identifier="Parent" Type="ForeignKey" />
    <Property Identifier="Children" Type="ForeignKey" />
  </EntityType>
  <EntityAssociation Identifier="Unit_Parent" Property1="Unit:Parent" Property2="Unit:Children"
                     IsProperty2Collection="true" />
  <EntityTypeMapping Identifier="Unit" Connector="HR" ConnectionTable="units">
    <Property Identifier="Code" ConnectionColumn="code" IsPrimaryKey="true" />
    <Property Identifier="Name" ConnectionColumn="name" />
    <Property Identifier="A_property_whose_identifier_is_so_long_that_it_has_no_place_beside_others_in_any_terminal"
              ConnectionColumn="note" />
    <Property Identifier="Size" ConnectionColumn="size" />
  </EntityTypeMapping>
  <EntityAssociationMapping Identifier="Unit_Parent" Connector="HR" ConnectionTable="units" Column1="code"
      Column2="parent" EntityPropertyMapping1="Unit:Code" EntityPropertyMapping2="Unit:Code" />
  <EntityPropertyExpression Identifier="Label" EntityType="Unit" Property="Label" Expression="SQL:u: upper(u.Name)" />
  <ResourceType Identifier="Same" SourceEntityType="Unit" TargetEntityType="Unit" />
  <ResourceCorrelationRule Identifier="By_name" ResourceType="Same" SourceBinding="Name" TargetBinding="Name" />
  <ResourceClassificationRule Identifier="Any" ResourceType="Same" TargetExpression="SQL:u: u.Size &gt;= 0" />
  <Job Identifier="Daily" DisplayName_L1="毎日の同期 🎉 every day, whose name is longer than any line of a terminal"
       IsIncremental="true" CronTabExpression="0 0 6 * * *">
    <SynchronizeTask Identifier="Sync" Connector="HR" Level="1" DoNotDeleteChanges="true"
                     DisplayName_L1="人事 データの 同期 (all that the human resources department knows of its units)" />
    <SetRecentlyModifiedFlagTask Identifier="Flag" Level="2" DisplayName_L1="Tag modified resources">
      <TaskDependsOnTask ParentTask="Sync" />
    </SetRecentlyModifiedFlagTask>
    <UpdateEntityPropertyExpressionsTask Identifier="Compute" Level="3" Dirty="true" DisplayName_L1="Compute">
      <TaskDependsOnTask ParentTask="Flag" /><TaskEntityType EntityType="Unit" />
    </UpdateEntityPropertyExpressionsTask>
    <ComputeCorrelationKeysTask Identifier="Keys" Level="4" Dirty="true" DisplayName_L1="Compute">
      <TaskDependsOnTask ParentTask="Flag" /><TaskEntityType EntityType="Unit" />
    </ComputeCorrelationKeysTask>
    <UpdateClassificationTask Identifier="Classify" Level="5" Dirty="true" DisplayName_L1="Ταξινόμηση">
      <TaskDependsOnTask ParentTask="Flag" /><TaskEntityType EntityType="Unit" />
    </UpdateClassificationTask>
  </Job>
  <Job Identifier="Load" DisplayName_L1="Load"><Step Task="Sync" Level="1" /></Job>
</ConfigurationFile>
"""
ASKED = """<Connection Identifier="Units" Connector="HR" Package="Sql"
    DisplayName_L1="All that the database knows of its units">
    <ConnectionTable Identifier="units" Query="SELECT code, name, note, size, parent FROM units_of_the_whole_company" />
  </Connection>
  """
FAULTY = """<?xml version="1.0" encoding="utf-8"?>
<ConfigurationFile>
  <EntityType Identifier="Thing"><Property Identifier="Code" IsKey="perhaps" Type="Text" /></EntityType>
  <EntityType Identifier="Other"><Property Identifier="Nr" Type="Int23" /></EntityType>
  <EntityPropertyExpression EntityType="Nowhere" Property="Label" Expression="SQL:u: uper(u.Name)" />
</ConfigurationFile>
"""

READING = [
    ["jobs"],
    ["tasks"],
    ["runs"],
    ["runs", "1"],
    ["runs", "3"],
    ["runs", "4"],
    ["--utc", "runs"],
    ["notify", "--show"],
    ["changes"],
    ["changes", "--pending", "3"],
    ["history", "Unit", LONG_KEY],
    ["history", "Unit", "decomposed"],
    ["show", "Unit", WIDE_KEY],
    ["show", "Unit", "hebrew"],
    ["export", "Unit"],
    ["diff", "Unit", "--from", "run:1", "--to", "run:2"],
    ["audit", "--type", "Unit", "--property", "Name", "--between", "0", "run:2"],
    ["audit", "--association", "Unit_Parent", "--between", "0", "run:2"],
    ["dirty"],
    ["why", "Unit", LONG_KEY],
    ["why", "Unit", "emoji"],
    ["keys"],
    ["keys", "--pairs"],
    ["classifications"],
    ["verify"],
    ["verify", "--derived"],
    ["validate"],
    ["--configuration", "faulty", "validate"],
    ["--configuration", "faulty", "run", "Daily"],
    ["retain", "--connector", "HR", "--keep", "run:2", "--dry-run", "--even-unread"],
    ["erase", "Unit", "thai", "--reason", "a reason of many words, which is shown again", "--dry-run"],
    ["show", "Unit", "nothing of that name, nor anything like it, has ever been there"],
    ["export", "Unti"],
    ["changes", "--until", "2999-01-01T00:00:00Z"],
    ["changes", "--key"],
    ["frobnicate", "--really"],
    ["cancel", "1"],
    ["resume", "1"],
    ["health"],
    ["grants", "--writer", "jobs"],
    ["plan"],
    ["decommission", "HR"],
    ["decommission", "Unti"],
    ["--configuration", "idle.xml", "plan"],
    ["simulate", "--configuration", "edited.xml", "--samples", "9"],
    ["config", "log"],
    ["consumers"],
    ["config", "diff", "--from", "run:1"],
    ["config", "diff", "--from", "1", "--to", "run:4"],
    ["config", "export", "-o", "/nowhere/at/all/company.xml"],
    ["check"],
    ["--configuration", "asked.xml", "connections"],
    ["--configuration", "asked.xml", "export-source", "Asked", "--to", "/nowhere/at/all"],
    ["places"],
    ["types"],
    ["find", "Unit", "Size=0"],
    ["find", "Unit", "--limit", "1"],
    ["completion", "fish"],
    ["run"],
    ["sinks"],
    ["dead-letters"],
    ["deliver", "--dry-run"],
    ["schema", "-o", "/nowhere/at/all/units.xsd"],
    ["serve", "--host", "10.0.0.5"],
    ["token", "list"],
    ["token", "revoke", "nothing"],
]
"""Commands that leave the store as it is, of which some are refused."""
WRITING = [
    ["run", "Daily", "--dry-run"],
    ["run", "Load"],
    ["run", "Daily"],
    ["resume", "3"],
    ["run", "Daily", "--force"],
    ["replay"],
    ["checkpoint", "--out", "checkpoint.json"],
    ["backup", "copy.db"],
    ["export", "Unit", "-o", "units.csv"],
    ["config", "export", "-o", "whole.xml"],
    ["config", "show", "-o", "in-force.xml"],
    ["adopt", "--reason", "a reason of many words, for what is in force already"],
    ["--configuration", "idle.xml", "adopt", "--reason", "a reason of many words, for what is new"],
    ["config", "log"],
    ["retain", "--connector", "HR", "--keep", "1"],
    ["erase", "Unit", "joined", "--reason", "asked for"],
    ["changes"],
    ["init", "another/company"],
    ["token", "create", "a name of several words, which goes on record", "--role", "admin", "--type", "Unit"],
    ["token", "list"],
    ["--configuration", "idle.xml", "schedule"],
]


def text_of(names: Sequence[str], *, size: int = 0, parent: str = "joined") -> str:
    rows = [f'"{key}","{NAMES[key]}","a note, with a comma","{size}",{parent}' for key in names]
    return "\n".join(["code,name,note,size,parent", *rows, ""])


@frozen
class Screen:
    """A terminal of some columns, or a pipe where there are none, and what a command prints there."""

    columns: int | None

    def shows(self, patch: pytest.MonkeyPatch, arguments: Sequence[str]) -> str:
        streams = [_Stream(self.columns is not None) for _ in range(2)]
        with patch.context() as changed:
            changed.setattr(sys, "stdout", streams[0])
            changed.setattr(sys, "stderr", streams[1])
            changed.setenv("TERM", "dumb")
            changed.delenv("COLUMNS", raising=False)
            if self.columns is not None:
                changed.setenv("COLUMNS", str(self.columns))
            status_of(arguments)
        return streams[0].text + ("" if self.columns is None else streams[1].text)


class _Stream(io.TextIOWrapper):
    def __init__(self, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


def cells(text: str) -> int:
    """How wide a terminal shows a text, as Unicode says; the tone of an emoji is part of it."""
    shown = (c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf") and not "🏻" <= c <= "🏿")
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown)


def too_long(text: str, columns: int) -> list[str]:
    """The lines that are wider although no single word is."""
    return [line for line in text.splitlines() if cells(line) > columns and len(line.split()) > 1]


def words(text: str) -> set[str]:
    text = re.sub(r"\d\d\d\d-\d\d-\d\dT[\d:.]+(Z|[+-][\d:]+)?|\d+\.\d\d\b", " ", text)
    return {word.rstrip(",") for word in text.split()} - {""}


@pytest.fixture(scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, of which the last one is blocked, and one whose extract is missing."""
    folder = tmp_path_factory.mktemp("units") / "units"
    (folder / "exports").mkdir(parents=True)
    (folder / "deltamark.toml").write_text('[deltamark]\nconfiguration = "units.xml"\n')
    (folder / "units.xml").write_text(CONFIGURATION, "utf-8")
    (folder / "edited.xml").write_text(CONFIGURATION.replace("u.Size &gt;= 0", "u.Size &gt; 99"), "utf-8")
    (folder / "asked.xml").write_text(CONFIGURATION.replace("<EntityType Id", f"{ASKED}<EntityType Id", 1), "utf-8")
    (folder / "idle.xml").write_text(CONFIGURATION.replace(' CronTabExpression="0 0 6 * * *"', ""), "utf-8")
    (folder / "faulty").mkdir()
    (folder / "faulty" / "thing.xml").write_text(FAULTY, "utf-8")
    extract = folder / "exports" / "units.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        second = text_of(list(NAMES)[:-1], size=5, parent="hebrew") + f"{WIDE_KEY},{WIDE_KEY}{LONG_KEY},,7,\n,,,3,\n"
        for text, job, status in (
            (text_of(list(NAMES)), "Daily", 0),
            (second, "Load", 0),
            (text_of([LONG_KEY]), "Daily", 3),
            ("no,such,columns\n", "Load", 1),
        ):
            extract.write_text(text, "utf-8")
            assert status_of(["run", job]) == status
    extract.write_text(text_of(list(NAMES)[1:]), "utf-8")
    return folder


@pytest.fixture
def units(_lived: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with keys and names of every kind, which is only read."""
    monkeypatch.chdir(_lived)
    return _lived


def test_every_command_is_tried() -> None:
    tried = {" ".join(word for word in command if not word.startswith("-")) for command in READING + WRITING}

    assert [name for name, _ in leaves(deltamark) if not any(f"{name} " in f"{call} " for call in tried)] == []


@pytest.mark.parametrize(
    "columns",
    [80, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 120))],  # each takes two seconds
)
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(units, monkeypatch, columns):
    for command in READING:
        wide = Screen(100_000).shows(monkeypatch, command)

        narrow = Screen(columns).shows(monkeypatch, command)

        assert not too_long(narrow, columns), command
        assert words(narrow) - words(wide) <= {"every", "row:"}, command
        assert words(wide.partition("\n")[2]) - words(narrow) <= {"0"}, command


def test_a_pipe_gets_tables_of_100_columns_and_each_sentence_in_one_line(units, monkeypatch):
    for command in READING:
        sentences = command[0] in ("runs", "health", "grants", "check", "completion") or "validate" in command

        piped = Screen(None).shows(monkeypatch, command)

        assert sentences or not too_long(piped, 100), command
    assert len(Screen(None).shows(monkeypatch, ["--configuration", "faulty", "validate"]).splitlines()) == 5


def test_what_commands_say_that_write_fits(units, tmp_path, monkeypatch):
    shutil.copytree(units, tmp_path / "units")
    monkeypatch.chdir(tmp_path / "units")

    for command in WRITING:
        assert not too_long(Screen(80).shows(monkeypatch, command), 80), command


def test_help_fits_80_columns_and_no_summary_is_cut(monkeypatch):
    for name in ("", "config", *(name for name, _ in leaves(deltamark))):
        shown = Screen(80).shows(monkeypatch, [*name.split(), "--help"])

        assert not too_long(shown, 80), name
        assert "..." not in shown.partition("\n")[2], name


def test_the_sample_company_fits(tmp_path, monkeypatch):
    write_workspace(tmp_path / "company", people=100, seed=1)
    monkeypatch.chdir(tmp_path / "company")

    for command in _of_the_company():
        assert not too_long(Screen(80).shows(monkeypatch, command), 80), command


def _of_the_company() -> Iterator[list[str]]:
    yield ["run", "Incremental"]
    for types in ("HR_Person", "HR_Department", "Directory_User"):
        yield ["export", types]
    for text in (
        "jobs",
        "tasks",
        "runs",
        "runs 1",
        "changes",
        "keys --pairs",
        "classifications",
        "show HR_Person E00002",
    ):
        yield text.split()


def test_the_terminal_itself_says_how_wide_it_is(units):
    shown = in_terminal(units, "changes", columns=97, NO_COLOR="1")

    assert shown.unknown == ()
    assert not too_long("\n".join(shown.screen), 97)
    assert max(cells(line) for line in shown.screen if len(line.split()) > 1) > 80
