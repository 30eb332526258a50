"""SQL expressions: what passes, what is refused, and that nothing beyond the resource can be reached."""

from __future__ import annotations

import time

import duckdb
import pyarrow as pa
import pytest

from deltamark import DeltamarkError
from deltamark.infrastructure.columnar.duck import locked_down
from tests.columnar.evaluation import fault, faults, value, values

ANN = {
    "Name": "Ann",
    "Mail": "Ann@x.example",
    "Age": 30,
    "Weight": 61.5,
    "Active": True,
    "Born": "1996-01-02T00:00:00Z",
}


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("p.Name", "Ann"),
        ("(p.Name)", "Ann"),
        ('p."Name"', "Ann"),
        ("p.Name -- and a comment", "Ann"),
        ("p.Name || ' ' || p.Mail", "Ann Ann@x.example"),
        ("upper(p.Name) || lower(p.Mail)", "ANNann@x.example"),
        ("coalesce(p.State, p.Name)", "Ann"),
        ("nullif(p.Name, 'Ann')", None),
        ("case when p.Age >= 18 then 'adult' else 'child' end", "adult"),
        ("case p.Name when 'Ann' then 1 end", "1"),
        ("p.Age + 1", "31"),
        ("p.Age % 7", "2"),
        ("-p.Age", "-30"),
        ("abs(-p.Age)", "30"),
        ("round(p.Weight, 0)", "62.0"),
        ("p.Age between 20 and 40", "true"),
        ("p.Name in ('Ann', 'Bob')", "true"),
        ("p.Name not in ('Bob')", "true"),
        ("p.Name like 'A%'", "true"),
        ("p.Name ilike 'a%' and not p.Active", "false"),
        ("p.State is null", "true"),
        ("p.State is not null or p.Active", "true"),
        ("substring(p.Name, 1, 2)", "An"),
        ("left(p.Name, 1) || right(p.Name, 1)", "An"),
        ("trim(p.Name)", "Ann"),
        ("length(p.Name)", "3"),
        ("strpos(p.Mail, '@')", "4"),
        ("concat(p.Name, '-', p.Age)", "Ann-30"),
        ("cast(p.Age as varchar)", "30"),
        ("p.Age::double", "30.0"),
        ("'it''s; --'", "it's; --"),
        ("p.State", None),
        ("p.Name || p.State", None),
    ],
)
def test_what_is_allowed_is_evaluated(text, then):
    assert value(f"SQL:p: {text}", **ANN) == then


@pytest.mark.parametrize("form", ["SQL:person: person.Name", "SQL: person : person.Name", "SQL:_p1:\n  _p1.Name\n"])
def test_the_variable_may_have_any_name(form):
    assert value(form, **ANN) == "Ann"


REFUSED = [
    # queries and statements
    "(select 1)", "exists (select 1)", "p.Name in (select 'Ann')", "p.Name = any (select 'Ann')", "select p.Name",
    "with x as (select 1) select 1", "values (1)", "1 union select 2", "p.Name from states",
    "p.Name; drop table states", "1; select 2", ";", "insert into states values (1)", "update states set state = 1",
    "delete from states", "drop table states", "create table x (a int)",
    "copy states to '/tmp/x'", "pragma database_list", "attach '/tmp/x.db'", "install httpfs", "load httpfs",
    "set memory_limit = '1TB'", "call pragma_version()", "export database '/tmp/x'", "use main", "describe states",
    # what reads files, the environment, settings, other tables
    "read_csv('/etc/passwd')", "read_text('/etc/passwd')", "read_blob('/etc/passwd')", "read_parquet('x')", "glob('*')",
    "read_json('x')", "sniff_csv('x')", "getenv('HOME')", "current_setting('home_directory')", "getvariable('x')",
    "'/etc/passwd'.x", "duckdb_settings()", "version()", "current_user", "current_schema()", "query('select 1')",
    "query_table('states')", "pg_typeof(1)", "nextval('x')", "txid_current()",
    # what is not about one resource, or not the same every time
    "count(*)", "max(p.Age)", "sum(p.Age) over ()", "row_number() over (order by p.Age)", "string_agg(p.Name)",
    "unnest([1, 2])", "generate_series(1, 10)", "range(1000000000)", "*", "p.*", "columns('.*')",
    "random()", "now()", "current_date", "current_timestamp", "uuid()", "gen_random_uuid()",
    # what makes a lot out of little, and what is not needed
    "repeat('a', 1000000000)", "lpad('a', 1000000000, 'x')", "rpad('a', 1000000000, 'x')", "space(1000000000)",
    "list_transform([1], x -> x)", "apply([1], lambda x: x)", "x -> x", "[1, 2, 3]", "{'a': 1}", "map {'a': 1}",
    "struct_pack(a := 1)",
    "p.Name[1]", "p.Name.upper()", "regexp_matches(p.Name, '(a+)+$')", "p.Name ~ '(a+)+$'", "p.Name similar to 'a'",
    "md5(p.Name)", "format('{}', p.Name)", "printf('%s', p.Name)", "p.Name collate nocase", "interval 1 day",
    "cast(p.Name as blob)", "cast(p.Name as json)", "cast(p.Name as int[])", "p.Name::struct(a int)",
    "cast(p.Age as decimal(38, 2))",
    "?", "$1", ":x", "@x", "$x", "p.Name as x", "p.Name, p.Mail", "default", "e'\\x41'", "$$x$$", "x'41'",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused(text):
    assert len(faults(f"SQL:p: {text}")) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(select 1)", 'uses "Subquery", which is not allowed in an expression'),
        ("read_text('/etc/passwd')", 'uses "read_text", which is not allowed in an expression'),
        ("sum(p.Age) over ()", 'uses "Window", which is not allowed in an expression'),
        ("p.Name; select 1", "must be one expression"),
        ("", "must be one expression"),
        ("p.Name in (select 'a')", "holds a subquery, which is not allowed in an expression"),
        ("p.Nmae", 'names "Nmae", which is no property of Person; did you mean "Name"?'),
        ("p.name", 'names "name", which is no property of Person; did you mean "Name"?'),
        ("q.Name", 'names "q.Name"; write p.Property'),
        ("Name", 'names "Name"; write p.Property'),
        ("p", 'names "p"; write p.Property'),
        ("states.state", 'names "states.state"; write p.Property'),
        (
            "p.Manager.Name",
            'reads over the path "Manager.Name"; this version evaluates properties of the resource itself',
        ),
        (
            "cast(p.Name as blob)",
            'converts to "VARBINARY"; allowed are BIGINT, BOOLEAN, DATE, DOUBLE, INT, TEXT, TIMESTAMP, VARCHAR',
        ),
    ],
)
def test_the_message_says_what_is_refused_and_what_may_be_meant(text, told):
    assert fault(f"SQL:p: {text}") == told


@pytest.mark.parametrize("text", ["p.Name ||", "((p.Name)", "'open", "p.Name p.Mail", "case when", "/* open", "lower("])
def test_what_does_not_parse_says_so(text):
    assert fault(f"SQL:p: {text}").startswith("does not parse: ")


@pytest.mark.parametrize(
    "form", ["SQL:", "SQL:p", "SQL p.Name", "sql:p: p.Name", "SQL:1p: 1", "SQL:a b: 1", "SQL:p.q: 1"]
)
def test_another_form_is_refused_and_the_right_one_shown(form):
    if form == "SQL p.Name":
        assert fault(form, "Name") == 'uses "SQL p.Name", which is no function'
    else:
        assert fault(form) == "must look like SQL:person: person.Mail, with a name between the colons"


BOMBS = {
    "300 brackets": "(" * 300 + "p.Name" + ")" * 300,
    "300 open brackets": "(" * 300,
    "300 square brackets": "[" * 300 + "]" * 300,
    "300 braces": "{" * 300,
    "5,000 characters": "p.Name || '" + "x" * 5_000 + "'",
    "indices": "p.Name" + "[1]" * 1_300,
    "casts": "p.Name" + "::text" * 600,
    "path": "p" + ".a" * 1_900,
    "minus": "- " * 1_900 + "1",
    "not": "not " * 990 + "true",
    "case": "case when true then " * 150 + "1" + " end" * 150,
    "sums": "+".join(["1"] * 1_900),
    "concatenations": "||".join(["p.Name"] * 480),
    "conjunctions": " and ".join(["true"] * 400),
    "functions": "coalesce(" * 200 + "p.Name" + ")" * 200,
    "list": "p.Name in (" + ",".join(["'a'"] * 950) + ")",
    "arrows": "->".join(["p.Name"] * 400),
    "comments": "/*" * 1_900,
    "intervals": "interval " * 440,
    "tests": "p.Name" + " is null" * 490,
    "at signs": "@" * 3_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_at_once(bomb):
    faults("SQL:p: 1")
    started = time.process_time()

    assert len(faults(f"SQL:p: {bomb}")) == 1

    assert time.process_time() - started < 1


def test_how_deep_an_expression_may_nest_does_not_depend_on_who_asks():
    deep = "SQL:p: " + "coalesce(" * 24 + "p.Name" + ", 'x')" * 24

    def from_below(depth):
        return from_below(depth - 1) if depth else value(deep, **ANN)

    assert from_below(0) == from_below(600) == "Ann"
    assert fault(deep.replace("p.Name", "(p.Name)")) == "nests deeper than 24 brackets"


def test_the_longest_expression_is_evaluated():
    text = "p.Name || '" + "x" * (4_000 - len("SQL:p: p.Name || ''")) + "'"

    assert value(f"SQL:p: {text}", **ANN).startswith("Annxxx")
    assert fault(f"SQL:p: {text}x") == "is longer than 4000 characters"


@pytest.mark.parametrize(
    "text",
    ["cast(p.Name as bigint)", "9223372036854775807 * p.Age", "p.Age / (p.Age - 30)", "not p.Name"],
)
def test_an_expression_that_fails_for_some_value_says_which_rule_and_what_to_do(text):
    with pytest.raises(DeltamarkError) as failed:
        values(f"SQL:p: {text}", ANN)

    assert str(failed.value).startswith("the source expression of rule Rule_1 failed: ")
    assert "Nothing was changed. Correct the expression so that it holds for every value" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_value_of_another_type_than_declared_is_nothing():
    assert values("SQL:p: p.Age + 1", {"Age": "old"}, {"Age": 1}) == [None, "2"]


REACHING = [
    "COPY t TO '{path}'",
    "COPY t FROM '{path}'",
    "ATTACH '{path}' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM read_csv('{path}')",
    "SELECT * FROM read_text('{path}')",
    "SELECT * FROM read_blob('{path}')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '{path}'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "EXPORT DATABASE '{path}'",
    "IMPORT DATABASE '{path}'",
    "SET enable_external_access=true",
    "SET memory_limit='100GB'",
    "SET lock_configuration=false",
    "RESET enable_external_access",
    "SET threads=64",
    "SET allowed_directories=['/']",
    "PRAGMA enable_external_access=true",
    "SELECT * FROM people",
    "SELECT getenv('HOME')",
]


@pytest.mark.parametrize("statement", REACHING)
def test_the_database_that_evaluates_reaches_no_file_no_network_and_no_setting(statement, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    people = pa.table({"a": [1]})  # a variable that DuckDB would find if it were allowed to look

    with locked_down(t=people) as db, pytest.raises(duckdb.Error):
        db.execute(statement.format(path=path)).fetchall()

    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_the_database_that_evaluates_sees_its_tables():
    with locked_down(t=pa.table({"a": [1, 2]})) as db:
        assert db.execute("SELECT sum(a) FROM t").fetchall() == [(3,)]
