"""SQL Server, by a driver whose answers are written here: no server was tried. Each statement is looked at."""

from __future__ import annotations

from importlib import util
from typing import Any

import pytest

from deltamark.application.ports.sources import PlaceLost, Question, SourceUnreachable
from deltamark.bootstrap import sql_source
from deltamark.domain.configuration.packages import SQL
from deltamark.infrastructure.sql import source
from tests.fakes.database_driver import Answer, FakeDriver
from tests.sql.following import Collected, question

PASSWORD = "a}b;{%s'ü"
ADDRESS = "sqlserver://hr.meridian.example/hr"
IDENTITY = Answer("sys.database_recovery_status", rows=[("hr", "2026-01-01 00:00:00.000", "FORK-1")])
OLDEST = Answer("MIN_ACTIVE_ROWVERSION", rows=[("0x00000000000007D1",)])


def driver(*answers: Answer, snapshots: int = 1) -> FakeDriver:
    standing = [
        OLDEST, IDENTITY, Answer("snapshot_isolation_state", rows=[(snapshots,)]),
        Answer("SERVERPROPERTY", rows=[("16.0.1000.6",)]),
    ]  # fmt: skip
    return FakeDriver("mssql_python", [*answers, *standing])


def ask(options: dict[str, str], *columns: str, **settings: Any) -> Question:
    named = {"server": ADDRESS, "user": "reader", **settings}
    return question(named, list(columns), options, password=PASSWORD)


def described(*columns: tuple[str, str], of: str = "") -> Answer:
    part = f"{hexed(of)})" if of else "dm_exec_describe_first_result_set"
    return Answer(part, rows=[(name, kind, None) for name, kind in columns])


def hexed(text: str) -> str:
    return f"0x{text.encode('utf-16-le').hex()}"


def test_values_of_each_type_are_written_by_the_server() -> None:
    kinds = {
        "n": "numeric", "m": "money", "d": "date", "dt": "datetime2", "o": "datetimeoffset", "b": "varbinary",
        "v": "timestamp", "f": "real", "g": "float", "u": "uniqueidentifier", "x": "xml", "a]b": "nvarchar", "i": "bit",
    }  # fmt: skip
    row = (
        "1234567890123456789012345678.90", "12.3400", "2026-11-28", "2026-11-28 08:00:00.1234567",
        "2026-11-28 07:00:00.0000000+00:00", b"\0\xff", bytes(8), 0.10000000149011612, 0.1, "0E1C", "<a/>", None, "1",
    )  # fmt: skip
    with (fake := driver(described(*kinds.items()), Answer("FROM (select", rows=[row] * 1_500))).installed():
        into = Collected()
        sql_source().snapshot(ask({"Query": "select * from t where a like '%?%(x)s'"}, *kinds), into)

    assert list(into.rows[0].values()) == [*row[:5], "AP8=", "AAAAAAAAAAA=", "0.1", "0.1", *row[9:]]
    assert len(into.rows) == 1_500
    assert set(fake.fetched) == {1_000}
    moment = "CONVERT(datetime2(7), SWITCHOFFSET(q.[o], '+00:00'))"
    cells = [
        "CONVERT(varchar(50), q.[n])", "CONVERT(varchar(50), q.[m], 2)", "CONVERT(varchar(40), q.[d], 121)",
        "CONVERT(varchar(40), q.[dt], 121)", f"CONVERT(varchar(40), {moment}, 121) + '+00:00'", "q.[b]", "q.[v]",
        "q.[f]", "q.[g]", "CONVERT(char(36), q.[u])", "CONVERT(nvarchar(max), q.[x])", "q.[a]]b]",
        "CONVERT(varchar(50), q.[i])",
    ]  # fmt: skip
    query = "(select * from t where a like '%?%(x)s' ) q"
    assert fake.asked("FROM (select") == [(f"SELECT {', '.join(cells)} FROM {query}", None)]
    assert all(binds is None for _, binds in fake.statements)


def test_what_may_still_be_written_is_asked_before_the_snapshot_and_the_server_is_verified() -> None:
    with (fake := driver(described(("id", "int")))).installed():
        probe = sql_source().probe(ask({"Query": "select * from t"}, "id", timeout=9))

    assert [sql.split("(")[0] for sql, _ in fake.statements[:4]] == [
        "SELECT CONVERT", "SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID",
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION",
    ]  # fmt: skip
    assert fake.connected == [
        {
            "server": "tcp:hr.meridian.example,1433", "database": "hr", "uid": "reader", "pwd": PASSWORD,
            "encrypt": "yes", "trustservercertificate": "no", "applicationintent": "ReadOnly", "autocommit": True,
            "timeout": 90,
        }
    ]  # fmt: skip
    assert probe.server == "SQL Server 16.0.1000.6"
    assert probe.findings == (
        "T: read as a whole", "the reader of SQL Server is untried on a server: compare what it reads",
    )  # fmt: skip


def test_addresses() -> None:
    with (fake := driver(described(("id", "int")))).installed():
        here = question({"server": "mssql://127.0.0.1:1499/h%20r"}, ["id"], {"Query": "select 1 id"})
        sql_source().probe(here)
        for address in ("sqlserver://h", "sqlserver://h/d?encrypt=no", "sqlserver://h:x/d"):
            with pytest.raises(SourceUnreachable, match="the address of the server"):
                sql_source().probe(ask({}, "id", server=address))
        with pytest.raises(SourceUnreachable, match="authority has no meaning for SQL Server"):
            sql_source().probe(ask({}, "id", authority="ca.pem"))
    (arguments,) = fake.connected
    assert (arguments["server"], arguments["database"], arguments["trustservercertificate"]) == (
        "tcp:127.0.0.1,1499", "h r", "yes",
    )  # fmt: skip
    assert (arguments["trusted_connection"], "uid" in arguments, "pwd" in arguments) == ("yes", False, False)


def test_without_snapshots_nothing_is_read() -> None:
    fake = driver(described(("id", "int")), snapshots=0)
    with fake.installed(), pytest.raises(SourceUnreachable, match="does not allow snapshots") as caught:
        sql_source().snapshot(ask({"Query": "select * from t"}, "id"), Collected())
    assert "ALLOW_SNAPSHOT_ISOLATION ON" in caught.value.advice
    assert not fake.asked("select * from t")


@pytest.mark.parametrize(
    ("kind", "watermark", "overlap", "newest", "wanted"),
    [
        (
            "datetime2", "at", "00:10:00", "2026-11-28 08:00:00.1234567",
            f"CONVERT(datetime2, CONVERT(nvarchar(4000), {hexed('2026-11-28 07:50:00.1234567')}), 121)",
        ),
        ("bigint", "at", "5", "12", "7"),
        ("timestamp", "xmin:at", None, None, "0x00000000000007d1"),
        ("timestamp", "at", None, bytes([0] * 7 + [255]), "0x00000000000000ff"),
    ],
)  # fmt: skip
def test_changes_are_read_from_the_mark(
    kind: str, watermark: str, overlap: str | None, newest: Any, wanted: str
) -> None:
    options = {"Query": "select * from t", "Watermark": watermark, **({"Overlap": overlap} if overlap else {})}
    answers = [
        Answer("SELECT CASE WHEN", rows=[(0,)]),
        Answer("max(", rows=[(newest,)]),
        described(("id", "int"), ("at", kind)),
        Answer("WHERE q.[at] >=", rows=[("1",)]),
    ]
    with (fake := driver(*answers)).installed():
        place = sql_source().snapshot(ask(options, "id"), Collected()).place
        assert place is not None
        into = Collected()
        sql_source().changes(ask(options, "id"), place, into)

    assert into.rows == [{"command": "insert", "id": "1"}]
    assert fake.asked("WHERE q.[at] >=") == [
        (
            f"SELECT CONVERT(varchar(50), q.[id]) FROM (select * from t ) q WHERE q.[at] >= {wanted} OR q.[at] IS NULL",
            None,
        )
    ]


def test_a_column_that_is_no_rowversion_has_no_horizon() -> None:
    fake = driver(described(("id", "int"), ("at", "datetime2")))
    with fake.installed(), pytest.raises(SourceUnreachable, match="is not of the type rowversion"):
        sql_source().snapshot(ask({"Query": "select * from t", "Watermark": "xmin:at"}, "id"), Collected())


def test_rows_are_read_again_by_their_keys_and_no_key_is_sql() -> None:
    hostile = "x') OR 1=1 --"
    answers = [
        Answer("SELECT CASE WHEN", rows=[(0,)]), Answer("max(", rows=[("9",)]), Answer("min(", rows=[("1",)]),
        described(("id", "varchar"), ("seq", "bigint")),
        Answer("q.[seq] >=", rows=[(hostile,), ("b",)]), Answer("q.[id] IN", rows=[("b",)]),
    ]  # fmt: skip
    options = {"Query": "select * from t", "ChangeTable": "t_changes", "Sequence": "seq"}
    with (fake := driver(*answers)).installed():
        place = sql_source().snapshot(ask(options, "id"), Collected()).place
        assert place is not None
        into = Collected()
        sql_source().changes(ask(options, "id"), place, into)

    assert into.rows == [{"command": "delete", "id": hostile}, {"command": "insert", "id": "b"}]
    values = ", ".join(f"CONVERT(nvarchar(4000), {hexed(text)})" for text in (hostile, "b"))
    assert fake.asked("q.[id] IN") == [(f"SELECT q.[id] FROM (select * from t ) q WHERE q.[id] IN ({values})", None)]


def test_keys_are_counted_as_bytes_for_collations_take_some_for_the_same() -> None:
    options = {"Query": "select * from t", "Watermark": "n", "Keys": "select id from t"}
    answers = [
        Answer("COUNT_BIG", rows=[(2,)]), Answer("max(", rows=[("9",)]),
        described(("id", "nvarchar"), of="SELECT * FROM (select id from t\n) q"),
        described(("id", "nvarchar"), ("n", "int")), Answer("FROM (select id", rows=[("a",), ("A",)]),
    ]  # fmt: skip
    with (fake := driver(*answers)).installed():
        sql_source().snapshot(ask(options, "id"), Collected())
    counted = "SELECT COUNT_BIG(DISTINCT CONVERT(varbinary(8000), q.[id])) FROM (select * from t ) q"
    assert [sql for sql, _ in fake.asked("COUNT_BIG")] == [counted]


def test_a_database_that_was_restored_is_another_one() -> None:
    options = {"Query": "select * from t", "Watermark": "n"}
    number = [Answer("max(", rows=[("1",)]), described(("id", "int"), ("n", "int"))]
    with driver(*number).installed():
        place = sql_source().snapshot(ask(options, "id"), Collected()).place
    assert place is not None
    restored = Answer("sys.database_recovery_status", rows=[("hr", "2026-01-01 00:00:00.000", "FORK-2")])
    with driver(restored, *number).installed(), pytest.raises(PlaceLost):
        sql_source().changes(ask(options, "id"), place, Collected())


@pytest.mark.parametrize(
    ("words", "passes", "advice"),
    [
        ("Login failed for user 'reader'.", False, ""),
        ("Driver Error: Client unable to establish connection; TCP Provider: Error code 0x2749", True, ""),
        ("SSL Provider: certificate verify failed: unable to establish connection", False, "always verified"),
    ],
)
def test_failures_are_said_without_secrets_and_may_pass(words: str, passes: bool, advice: str) -> None:
    with (fake := driver()).installed() as module:
        fake.refuses = module.Error(words)
        with pytest.raises(SourceUnreachable) as caught:
            sql_source().probe(ask({"Query": "select 1 id"}, "id"))
    assert (caught.value.problem, caught.value.is_temporary) == (words, passes)
    assert advice in caught.value.advice
    assert PASSWORD not in caught.value.problem + caught.value.advice
    assert caught.value.__cause__ is None


def test_queries_and_types_that_are_not_read_are_named() -> None:
    with driver(Answer("dm_exec", rows=[(None, None, "Invalid object name 't'.")])).installed():
        probe = sql_source().probe(ask({"Query": "select * from t"}, "id"))
    assert probe.problems == ("the server does not understand the query: Invalid object name 't'.",)
    with driver(described(("id", "int"), ("place", "geography"))).installed():
        probe = sql_source().probe(ask({"Query": "select * from t"}, "id"))
    assert probe.problems == ('the column "place" is of the type geography, which is not read',)


def test_tables_are_described_with_keys_links_and_what_may_tell_changes() -> None:
    answers = [
        Answer("FROM sys.tables", rows=[(1, "dbo", "person", 1, 1), (2, "dbo", "order", 1, 1), (3, "pay", "x", 0, 0)]),
        Answer(
            "FROM sys.columns",
            rows=[
                (1, "id", "int", False), (1, "version", "timestamp", False), (1, "boss", "int", True),
                (2, "photo", "image", True), (3, "code", "char", False),
            ],
        ),
        Answer("FROM sys.indexes", rows=[(1, "id", True, 1), (1, "version", False, 1)]),
        Answer("FROM sys.foreign_key_columns", rows=[(1, 9, "boss", 1, "id")]),
        Answer(f"{hexed('SELECT 1 AS one FROM order')})", rows=[(None, None, "Incorrect syntax")]),
    ]  # fmt: skip
    with driver(*answers).installed():
        found = sql_source().describe(ask({}, "id"))
    assert [table.table.options["Query"] for table in found.tables] == ["select * from person", "select * from [order]"]
    assert found.tables[0].key == ("id",)
    assert [(r.columns, r.table, r.target) for r in found.tables[0].references] == [(("boss",), "person", ("id",))]
    assert found.tables[1].binary == {"photo"}
    assert found.notes == (
        SQL.libraries["sqlserver://"].warning, "pay.x is left out: the user may not read it",
    )  # fmt: skip


@pytest.mark.parametrize(("address", "extra"), [("oracle://h/s", "oracle"), ("sqlserver://h/d", "sqlserver")])
def test_a_driver_that_is_absent_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, address: str, extra: str
) -> None:
    monkeypatch.setattr(source, "find_spec", lambda name: None if "sql" in name or "oracle" in name else util)
    with pytest.raises(SourceUnreachable) as caught:
        sql_source().probe(ask({"Query": "select 1 id"}, "id", server=address))
    assert f"pip install 'deltamark[{extra}]'" in caught.value.advice
    assert "untried on a server" in caught.value.advice
