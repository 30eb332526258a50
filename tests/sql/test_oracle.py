"""Oracle, by a driver whose answers are written here: no server was tried. Each statement and value is looked at."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from deltamark.application.ports.sources import PlaceLost, Question, SourceUnreachable
from deltamark.bootstrap import sql_source
from deltamark.domain.configuration.packages import SQL
from deltamark.infrastructure.sql.oracle import _exact, oracle_address
from tests.fakes.database_driver import Answer, FakeDriver, Kind, _Column, _Cursor
from tests.sql.following import Collected, question

PASSWORD = 'a"b}%s;ü'
ADDRESS = "oracle://hr.meridian.example/hrpdb"
NAMES = Answer("SYS_CONTEXT('USERENV', 'DB_UNIQUE_NAME')", rows=[("HR", "HRPDB")])
DIGITS = "1234567890123456789012345678901234567.89"
BY_KEYS = {"Query": "select * from person", "Watermark": "AT", "Overlap": "00:10:00", "Keys": "select id from person"}


def driver(*answers: Answer) -> FakeDriver:
    return FakeDriver("oracledb", [*answers, NAMES, Answer("v$database", rows=[("7", "925702")])])


def ask(options: dict[str, str], *columns: str, **settings: Any) -> Question:
    named = {"server": ADDRESS, "user": "reader", **settings}
    return question(named, list(columns), options, password=PASSWORD)


def described(*columns: tuple[str, str]) -> Answer:
    return Answer("WHERE 1 = 0", columns=columns)


def test_values_of_each_type_are_asked_for_and_written_exactly() -> None:
    kinds = {
        "N": "NUMBER", "D": "DATE", "T": "TIMESTAMP", "Z": "TIMESTAMP_TZ", "L": "TIMESTAMP_LTZ", "R": "RAW",
        "F": "BINARY_FLOAT", "G": "BINARY_DOUBLE", "C": "CLOB", "B": "BOOLEAN", "I": "INTERVAL_DS", 'O"': "VARCHAR",
    }  # fmt: skip
    row = (
        Decimal(DIGITS), "2026-11-28 08:00:00", "-4712-01-01 00:00:00.5", "2026-11-28 07:00:00+00:00", None, b"\0\xff",
        0.10000000149011612, 0.1, "läng", True, "+01 02:03:04.0", "ö",
    )  # fmt: skip
    columns = [(name, f"DB_TYPE_{kind}") for name, kind in kinds.items()]
    with (fake := driver(described(*columns), Answer("LTRIM", rows=[row] * 2_500))).installed():
        into = Collected()
        sql_source().snapshot(ask({"Query": "select * from t"}, *kinds), into)

    assert into.rows[0] == {
        "N": DIGITS, "D": "2026-11-28 08:00:00", "T": "-4712-01-01 00:00:00.5", "Z": "2026-11-28 07:00:00+00:00",
        "L": None, "R": "AP8=", "F": "0.1", "G": "0.1", "C": "läng", "B": "true", "I": "+01 02:03:04.0", 'O"': "ö",
    }  # fmt: skip
    assert len(into.rows) == 2_500
    assert set(fake.fetched) == {1_000}
    zoned = "LTRIM(TO_CHAR(SYS_EXTRACT_UTC(q.\"{0}\"), 'SYYYY-MM-DD HH24:MI:SS.FF9'))"
    cells = [
        'q."N"',
        "LTRIM(TO_CHAR(q.\"D\", 'SYYYY-MM-DD HH24:MI:SS'))",
        "RTRIM(RTRIM(LTRIM(TO_CHAR(q.\"T\", 'SYYYY-MM-DD HH24:MI:SS.FF9')), '0'), '.')",
        *(f"NVL2(q.\"{name}\", RTRIM(RTRIM({zoned.format(name)}, '0'), '.') || '+00:00', NULL)" for name in ("Z", "L")),
        *(f'q."{name}"' for name in ("R", "F", "G", "C", "B")),
        'TO_CHAR(q."I")',
        'q."O"""',
    ]
    assert fake.asked("LTRIM") == [(f"SELECT {', '.join(cells)} FROM (select * from t ) q", {})]


def test_the_transaction_is_read_only_before_anything_is_read_and_the_server_is_verified() -> None:
    with (fake := driver(described(("ID", "DB_TYPE_NUMBER")))).installed():
        probe = sql_source().probe(ask({"Query": "select * from t"}, "ID"))

    settings = [sql for sql, _ in fake.statements[:6]]
    assert settings[-1] == "SET TRANSACTION READ ONLY"
    assert all(sql.startswith("ALTER SESSION SET ") for sql in settings[:5])
    (arguments,) = fake.connected
    assert arguments.pop("ssl_context").check_hostname
    assert arguments == {
        "user": "reader", "password": PASSWORD, "host": "hr.meridian.example", "port": 2484,
        "service_name": "hrpdb", "protocol": "tcps", "ssl_server_dn_match": True, "tcp_connect_timeout": 60,
        "retry_count": 0, "program": "deltamark",
    }  # fmt: skip
    assert probe.server == "Oracle 19.3.0.0.0"
    assert probe.findings == (
        "T: read as a whole", "the reader of Oracle is untried on a server: compare what it reads",
    )  # fmt: skip


def test_an_address_of_this_machine_and_those_that_are_none() -> None:
    here = oracle_address(ask({}, "ID", server="oracle://localhost:1599/hr"))
    assert here == {"user": "reader", "host": "localhost", "port": 1599, "service_name": "hr", "protocol": "tcp"}
    for address in ("oracle://h", "oracle://h:port/s", "oracle://h/s?protocol=tcp", "oracle://h/s#x"):
        with pytest.raises(SourceUnreachable, match="the address of the server"):
            oracle_address(ask({}, "ID", server=address))


def test_numbers_and_large_values_come_whole() -> None:
    with driver().installed():
        cursor = _Cursor(driver())
        kinds = ("NUMBER", "CLOB", "NCLOB", "BLOB", "VARCHAR")
        found = [_exact(cursor, _Column("c", Kind(f"DB_TYPE_{kind}"))) for kind in kinds]
    assert found == [Decimal, "DB_TYPE_LONG", "DB_TYPE_LONG_NVARCHAR", "DB_TYPE_LONG_RAW", None]


@pytest.mark.parametrize(
    ("kind", "newest", "literal", "value"),
    [
        ("DATE", "2026-11-28 08:00:00", "TO_DATE(:deltamark_0, 'YYYY-MM-DD HH24:MI:SS')", "2026-11-28 07:50:00"),
        (
            "TIMESTAMP", "2026-11-28 08:00:00.5",
            "TO_TIMESTAMP(:deltamark_0, 'YYYY-MM-DD HH24:MI:SS.FF9')", "2026-11-28 07:50:00.5",
        ),
        (
            "TIMESTAMP_TZ", "2026-11-28 08:00:00+00:00",
            "FROM_TZ(TO_TIMESTAMP(:deltamark_0, 'YYYY-MM-DD HH24:MI:SS.FF9'), 'UTC')", "2026-11-28 07:50:00.0",
        ),
    ],
)  # fmt: skip
def test_changes_are_read_from_the_mark_less_the_overlap(kind: str, newest: str, literal: str, value: str) -> None:
    answers = [
        Answer("SELECT CASE WHEN", rows=[(0,)]),
        Answer('FROM (SELECT max(q."AT")', [("V", f"DB_TYPE_{kind}")], [(newest,)]),
        Answer("COUNT(DISTINCT", rows=[(2,)]),
        Answer("FROM (select id from person\n) q WHERE 1 = 0", columns=[("ID", "DB_TYPE_NUMBER")]),
        described(("ID", "DB_TYPE_NUMBER"), ("AT", f"DB_TYPE_{kind}")),
        Answer("FROM (select id from person\n) q", rows=[(Decimal(1),), (Decimal(2),)]),
        Answer('WHERE q."AT" >=', rows=[(Decimal(1), newest)]),
        Answer('WHERE q."ID" IN', rows=[(Decimal(2), "2020-01-01 00:00:00")]),
    ]
    kept: dict[str, Any] = {}
    with (fake := driver(*answers)).installed():
        asked = ask(BY_KEYS, "ID", "AT")
        place = sql_source().snapshot(asked, Collected(kept)).place
        assert place is not None
        before = len(fake.statements)
        into = Collected(kept)
        sql_source().changes(asked, place, into)

    assert place.guard == {"database": "HR", "container": "HRPDB", "number": "7", "history": "925702"}
    (statement,) = [(sql, binds) for sql, binds in fake.statements[before:] if ">=" in sql]
    assert f'WHERE q."AT" >= {literal} OR q."AT" IS NULL' in statement[0]
    assert statement[1] == {"deltamark_0": value}
    assert into.rows == [{"command": "insert", "ID": "1", "AT": newest}]


def test_rows_are_read_again_by_their_keys_and_no_key_is_sql() -> None:
    hostile = "x') OR 1=1 --"
    answers = [
        Answer("SELECT CASE WHEN", rows=[(0,)]),
        Answer('FROM (SELECT max(q."SEQ")', [("V", "DB_TYPE_NUMBER")], [(Decimal(9),)]),
        Answer('FROM (SELECT min(q."SEQ")', [("V", "DB_TYPE_NUMBER")], [(Decimal(1),)]),
        described(("ID", "DB_TYPE_VARCHAR"), ("SEQ", "DB_TYPE_NUMBER")),
        Answer('WHERE q."SEQ" >=', rows=[(hostile,), ("b",)]),
        Answer('WHERE q."ID" IN', rows=[("b",)]),
    ]
    options = {"Query": "select * from t", "ChangeTable": "t_changes", "Sequence": "SEQ", "Overlap": "5"}
    with (fake := driver(*answers)).installed():
        place = sql_source().snapshot(ask(options, "ID"), Collected()).place
        assert place is not None
        into = Collected()
        sql_source().changes(ask(options, "ID"), place, into)

    assert into.rows == [{"command": "delete", "ID": hostile}, {"command": "insert", "ID": "b"}]
    assert fake.asked('"SEQ" >=')[0][1] == {"deltamark_0": Decimal(4)}
    assert fake.asked('"ID" IN') == [
        (
            'SELECT q."ID" FROM (select * from t ) q WHERE q."ID" IN (:deltamark_0, :deltamark_1)',
            {"deltamark_0": hostile, "deltamark_1": "b"},
        )
    ]


def test_a_database_that_was_restored_is_another_one_and_a_reader_without_rights_is_served() -> None:
    options = {"Query": "select * from t", "Watermark": "N"}
    number = [
        Answer('FROM (SELECT max(q."N")', [("V", "DB_TYPE_NUMBER")], [(Decimal(1),)]),
        described(("ID", "DB_TYPE_NUMBER"), ("N", "DB_TYPE_NUMBER")),
    ]  # fmt: skip
    with driver(*number).installed():
        place = sql_source().snapshot(ask(options, "ID"), Collected()).place
    assert place is not None
    with driver(Answer("v$database", rows=[("7", "925703")]), *number).installed(), pytest.raises(PlaceLost):
        sql_source().changes(ask(options, "ID"), place, Collected())
    with (fake := driver(*number)).installed() as module:
        fake.answers.insert(0, Answer("v$database", error=module.DatabaseError(Failure("ORA-00942"))))
        guard = sql_source().snapshot(ask(options, "ID"), Collected()).place
    assert guard is not None
    assert set(guard.guard) == {"database", "container"}


class Failure:
    """The error of the driver within its exception."""

    def __init__(self, code: str) -> None:
        self.full_code = code

    def __str__(self) -> str:
        return f"{self.full_code}: refused\nHelp: https://docs.oracle.com/error-help/"


@pytest.mark.parametrize(
    ("code", "passes"), [("ORA-01017", False), ("ORA-12541", True), ("DPY-6005", True), ("ORA-01555", True)]
)
def test_failures_are_said_without_secrets_and_may_pass(code: str, passes: bool) -> None:
    with (fake := driver()).installed() as module:
        fake.refuses = module.DatabaseError(Failure(code))
        with pytest.raises(SourceUnreachable) as caught:
            sql_source().probe(ask({"Query": "select 1 id from dual"}, "ID"))
    assert caught.value.problem == f"{code}: refused"
    assert caught.value.is_temporary is passes
    assert PASSWORD not in caught.value.problem + caught.value.advice
    assert caught.value.__cause__ is None


def test_types_without_an_exact_text_and_columns_that_are_missing_are_named() -> None:
    with driver(described(("ID", "DB_TYPE_NUMBER"), ("WHERE", "DB_TYPE_OBJECT"))).installed():
        probe = sql_source().probe(ask({"Query": "select * from t"}, "ID"))
    assert probe.problems == ('the column "WHERE" is of the type OBJECT, which is not read',)
    with driver(described(("ID", "DB_TYPE_NUMBER"))).installed():
        probe = sql_source().probe(ask({"Query": "select * from t"}, "id"))
    assert probe.problems == ('the Query of T has no column "id" (the nearest is "ID"); it has "ID"',)


def test_tables_are_described_with_keys_links_and_what_may_tell_changes() -> None:
    answers = [
        Answer("FROM all_tables", rows=[("HR", "PERSON", 1), ("HR", "ORDER", 1), ("PAY", "GRADE", 0)]),
        Answer(
            "FROM all_tab_columns",
            rows=[
                ("HR", "PERSON", "ID", "NUMBER", "N"), ("HR", "PERSON", "UPDATED_AT", "TIMESTAMP(6)", "N"),
                ("HR", "PERSON", "BOSS", "NUMBER", "Y"), ("HR", "ORDER", "PHOTO", "BLOB", "Y"),
                ("PAY", "GRADE", "CODE", "VARCHAR2", "N"),
            ],
        ),
        Answer(
            "FROM all_constraints",
            rows=[
                ("HR", "PERSON", "P1", "P", "ID", None, None, None),
                ("HR", "PERSON", "R1", "R", "BOSS", "HR", "PERSON", "ID"),
            ],
        ),
        Answer("FROM all_ind_columns", rows=[("HR", "PERSON", "UPDATED_AT"), ("HR", "PERSON", "ID")]),
    ]  # fmt: skip
    fake = driver(*answers)
    with fake.installed() as module:
        fake.answers.append(Answer("FROM ORDER WHERE 1 = 0", error=module.DatabaseError(Failure("ORA-00903"))))
        described = sql_source().describe(ask({}, "ID"))

    tables = {table.label: table for table in described.tables}
    assert [table.table.options["Query"] for table in described.tables] == [
        "select * from PERSON", 'select * from "ORDER"', "select * from PAY.GRADE",
    ]  # fmt: skip
    assert tables["PERSON"].key == ("ID",)
    assert [(r.columns, r.table, r.target) for r in tables["PERSON"].references] == [(("BOSS",), "PERSON", ("ID",))]
    assert tables["ORDER"].binary == {"PHOTO"}
    assert described.notes == (SQL.libraries["oracle://"].warning,)
