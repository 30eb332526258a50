"""What `init --from` proposes for files, by what they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deltamark import bootstrap
from deltamark.domain.configuration.entity_model import ConnectionTransformation, PropertyMapping
from deltamark.domain.configuration.value_formats import Comparison
from deltamark.domain.errors import UsageError
from deltamark.domain.proposal.proposal import Proposal, with_parts
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.expressions.row_query import row_query

Propose = Callable[..., Proposal]


@pytest.fixture
def proposed(tmp_path: Path) -> Propose:
    """The proposal for files, each by its name; texts and bytes are written as they are."""

    def propose(**files: str | bytes) -> Proposal:
        paths = []
        for table, content in files.items():
            paths.append(tmp_path / f"{table}.csv")
            paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
        return bootstrap.proposal_for(paths, connector="Files")

    return propose


def column(proposal: Proposal, name: str) -> tuple[PropertyType, PropertyMapping]:
    (kind,) = {p.type for t in proposal.configuration.entity_types for p in t.properties if p.identifier == name}
    (mapping,) = (p for m in proposal.configuration.entity_type_mappings for p in m.properties if p.identifier == name)
    return kind, mapping


def of_values(propose: Propose, *values: str, name: str = "v") -> tuple[PropertyType, PropertyMapping]:
    rows = "".join(f'{number};"{value}"\n' for number, value in enumerate(values))
    return column(propose(things=f"id;{name}\n{rows}"), name)


def unsure(proposal: Proposal) -> list[str]:
    return [f"{note.column}: {note.text}" for note in proposal.notes if note.is_unsure]


@pytest.mark.parametrize(
    ("values", "kind", "attributes"),
    [
        (["1", "-20", "300"], PropertyType.INT32, {}),
        (["1", "3000000000"], PropertyType.INT64, {}),
        (["007", "123"], PropertyType.STRING, {}),
        (["1.5", "2"], PropertyType.DECIMAL, {}),
        (["1,5", "2"], PropertyType.DECIMAL, {"decimal_separator": ","}),
        (["1.234,50", "20,00"], PropertyType.DECIMAL, {"decimal_separator": ",", "thousands_separator": "."}),
        (["1,234.50", "20.00"], PropertyType.DECIMAL, {"thousands_separator": ","}),
        (["1 234,50", "20,00"], PropertyType.DECIMAL, {"decimal_separator": ",", "thousands_separator": " "}),
        (["1'234.50", "20.00"], PropertyType.DECIMAL, {"thousands_separator": "'"}),
        (["1e400", "2"], PropertyType.STRING, {}),
        (["true", "False"], PropertyType.BOOL, {}),
        (["yes", "no", "YES"], PropertyType.BOOL, {"true_values": ("yes",), "false_values": ("no",)}),
        (["oui", "non"], PropertyType.BOOL, {"true_values": ("oui",), "false_values": ("non",)}),
        (["0", "1"], PropertyType.INT32, {}),
        (["2024-01-31", "2023-12-01"], PropertyType.DATE, {"format": None}),
        (["2024-01-31T10:00:00Z", "2023-12-01T00:00:00Z"], PropertyType.DATE_TIME, {"format": None}),
        (["20240131083000.0Z"], PropertyType.DATE_TIME, {"format": None}),
        (["31.01.2024", "01.12.2023"], PropertyType.DATE, {"format": "dd.MM.yyyy"}),
        (["31.1.2024", "1.12.2023"], PropertyType.DATE, {"format": "d.M.yyyy"}),
        (["31.01.2024 08:30", "01.12.2023 23:59"], PropertyType.DATE_TIME, {"format": "dd.MM.yyyy HH:mm"}),
        (["13/01/2024", "01/12/2023"], PropertyType.DATE, {"format": "dd/MM/yyyy"}),
        (["01/13/2024", "12/01/2023"], PropertyType.DATE, {"format": "MM/dd/yyyy"}),
        (["1/13/24 9:05 PM", "12/1/23 11:00 AM"], PropertyType.DATE_TIME, {"format": "M/d/yy h:mm tt"}),
        (["31-Jan-2024", "01-Dec-2023"], PropertyType.DATE, {"format": "dd-MMM-yyyy"}),
        (["Jan 31, 2024", "Dec 1, 2023"], PropertyType.DATE, {"format": "MMM d, yyyy"}),
        (["31.02.2024", "30.02.2024"], PropertyType.STRING, {"format": None}),
        (["20240131", "20231201", "19990101"], PropertyType.DATE, {"format": None}),
        (["20240131", "99999999", "12345678"], PropertyType.INT32, {"format": None}),
        (["133500000000000000", "0", "9223372036854775807"], PropertyType.DATE_TIME, {"format": "1601date"}),
        (["6F9619FF-8B86-D011-B42D-00CF4FC964FF"], PropertyType.GUID, {}),
        (["1", "n/a", "3"], PropertyType.INT32, {"null_values": ("n/a",)}),
        (["text", "NULL"], PropertyType.STRING, {"null_values": ("NULL",)}),
        (["NA", "EU"], PropertyType.STRING, {"null_values": ()}),
        ([" a ", "b"], PropertyType.STRING, {"trim": True}),
        (["", ""], PropertyType.STRING, {}),
    ],
)
def test_a_type_is_what_every_value_has(proposed, values, kind, attributes):
    found, mapping = of_values(proposed, *values)

    assert found is kind
    assert {name: getattr(mapping, name) for name in attributes} == attributes


@pytest.mark.parametrize("name", ["zip", "PostalCode", "phone", "Kundennr"])
def test_codes_stay_texts_whatever_digits_they_have(proposed, name):
    assert of_values(proposed, "4711", "12", "4711", name=name)[0] is PropertyType.STRING


def test_a_flag_of_zero_and_one_is_a_boolean_by_its_name(proposed):
    assert of_values(proposed, "0", "1", name="IsActive")[0] is PropertyType.BOOL


def test_an_order_of_day_and_month_that_no_value_shows_is_said_to_be_doubtful(proposed):
    proposal = proposed(things="id,v\n1,01/02/2024\n2,03/04/2024\n")

    assert column(proposal, "v")[1].format == "dd/MM/yyyy"
    assert unsure(proposal) == [
        "v: Date (dd/MM/yyyy): dd/MM/yyyy and MM/dd/yyyy both fit every value; day before month is taken"
    ]


def test_another_column_shows_the_order_of_day_and_month(proposed):
    proposal = proposed(things="id,v,w\n1,01/02/2024,12/31/2024\n2,03/04/2024,01/01/2024\n")

    assert column(proposal, "v")[1].format == "MM/dd/yyyy"
    assert unsure(proposal) == []


def test_one_value_that_does_not_fit_keeps_a_column_text_and_is_named(proposed):
    rows = "".join(f"{n},{n}.01.2024\n" for n in range(10, 31))
    proposal = proposed(things=f"id,v\n{rows}31,soon\n")

    assert column(proposal, "v")[0] is PropertyType.STRING
    (text,) = unsure(proposal)
    assert 'line 23 has "soon": kept as text' in text


@pytest.mark.parametrize(
    ("header", "rows", "key"),
    [
        ("name,id", ["Ada,1", "Bob,2"], "id"),
        ("title,thing_id", ["A,1", "B,2"], "thing_id"),
        ("label,ThingCode", ["A,x", "B,y"], "ThingCode"),
        ("mail,size", ["a@x,1.5", "b@x,2.5"], "mail"),
        ("price,thing", ["1.5,chair", "2.5,table"], "thing"),
        ("id,login", ["1,a", "1,b"], "login"),
    ],
)
def test_the_key_is_unique_never_empty_and_has_the_name_of_one(proposed, header, rows, key):
    proposal = proposed(things="\n".join([header, *rows, ""]))

    (mapping,) = proposal.configuration.entity_type_mappings
    assert mapping.primary_key.connection_column == key


def test_a_key_that_repeats_in_one_row_of_many_is_still_the_key_and_doubtful(proposed):
    rows = "".join(f"{n},name {n}\n" for n in range(100))
    proposal = proposed(things=f"id,name\n{rows}7,another\n")

    (mapping,) = proposal.configuration.entity_type_mappings
    assert mapping.primary_key.identifier == "id"
    assert unsure(proposal) == ['id: the key: by its name, but "7" repeats (line 102)']


def test_a_table_without_a_key_is_left_out_with_the_reason(proposed):
    proposal = proposed(things="a,b\nx,1\nx,1\ny,\n", others="id\n1\n")

    assert [t.identifier for t in proposal.configuration.entity_types] == ["others"]
    (text,) = unsure(proposal)
    assert text.startswith(": left out: no column is unique and never empty; the nearest is ")


@pytest.mark.parametrize(
    ("content", "parts", "doubt"),
    [
        pytest.param("order_no,line_no,what\nA,1,x\nA,2,x\nB,1,y\nB,2,x\n", ["order_no", "line_no"], False, id="named"),
        pytest.param("rate,code,day\n1,E,2026-1-1\n1,U,2026-1-1\n1,E,2026-1-2\n", ["code", "day"], False, id="day"),
        pytest.param("a,b,c\nx,1,p\nx,2,p\ny,1,p\ny,2,p\n", ["a", "b"], True, id="unnamed"),
        pytest.param(
            "site,room_no,day,who\n" + "".join(f"{s},{r},2026-01-0{d},X\n" for s in "AB" for r in "12" for d in "12"),
            ["site", "room_no", "day"],
            True,
            id="three",
        ),
        pytest.param("order,Line No,what\nA,1,x\nA,2,x\nB,1,y\nB,2,x\n", ["order", "Line No"], True, id="in quotes"),
        pytest.param("a,b\nx,1\nx,1\ny,2\n", None, True, id="none"),
        pytest.param("a,price\nx,1.5\nx,1.6\ny,1.5\n", None, True, id="measures"),
        pytest.param("a,b\nx,1\nx,2\ny,\n", None, True, id="empty"),
        pytest.param("a,b,c\nx|y,z,1\nx,y|z,1\nx,z,1\n", None, True, id="equal when joined"),
    ],
)
def test_columns_that_are_unique_together_make_a_key(proposed, content, parts, doubt):
    proposal = proposed(things=content)

    configuration = proposal.configuration
    assert bool(unsure(proposal)) is doubt
    if parts is None:
        assert not configuration.transformations
        return
    (made,) = configuration.transformations
    (mapping,) = configuration.entity_type_mappings
    (column,) = row_query(made).columns.values()
    assert (column.output.name, set(column.output.reads)) == ("row_key", set(parts))
    assert mapping.primary_key.identifier == "row_key"
    assert f"the key: made of {', '.join(parts[:-1])} and {parts[-1]}, which are" in " ".join(
        note.text for note in proposal.notes
    )


def test_names_of_columns_in_a_query_are_in_quotes_where_they_must_be():
    """Each word that the language of queries knows is read as a column."""
    for (word,) in duckdb.sql("select keyword_name from duckdb_keywords()").fetchall():
        query = with_parts("T", "row_key", [word, "x"])
        (made,) = row_query(ConnectionTransformation("T", "C", "T", query)).columns.values()
        assert set(made.output.reads) == {word, "x"}, query


def links(proposal: Proposal) -> list[str]:
    mappings = {m.identifier: m for m in proposal.configuration.association_mappings}
    many = {True: "*", False: ""}
    return [
        f"{a.property1}{many[a.is_property1_collection]} {a.property2}{many[a.is_property2_collection]} "
        f"{mappings[a.identifier].column2} {mappings[a.identifier].entity_property_mapping2}"
        for a in proposal.configuration.associations
    ]


def test_values_that_are_keys_of_another_table_are_links(proposed):
    proposal = proposed(
        people="id,name,department_id,manager,age\n1,Ada,10,,30\n2,Bob,10,1,1\n3,Cy,20,1,2\n",
        departments="id,name\n10,Research\n20,Sales\n",
    )

    assert links(proposal) == [
        "people:department departments:people* department_id departments:id",
        "people:manager people:manager_of* manager people:id",
    ]
    assert {p.identifier for p in proposal.configuration.entity_types[0].properties} == {"id", "name", "age"}


def test_numbers_that_only_happen_to_be_keys_are_no_links(proposed):
    proposal = proposed(orders="id,amount\n1,2\n2,1\n3,1\n", people="id,age\n1,3\n2,2\n3,1\n")

    assert links(proposal) == []


def test_a_table_of_two_key_columns_is_links_alone(proposed):
    proposal = proposed(
        users="login,name\nada,Ada\nbob,Bob\n",
        groups="name,label\nadmins,A\nstaff,S\n",
        members="group,login\nadmins,ada\nstaff,ada\nstaff,bob\n",
    )

    assert [t.identifier for t in proposal.configuration.entity_types] == ["users", "groups"]
    assert links(proposal) == ["groups:users* users:groups* login users:login"]


def test_several_keys_in_a_cell_are_several_links(proposed):
    proposal = proposed(
        articles="id,tags\n1,red;blue\n2,red\n3,\n4,blue;green\n", tags="tag,label\nred,R\nblue,B\ngreen,G\n"
    )

    (mapping,) = proposal.configuration.association_mappings
    assert mapping.separator2 == ";"
    assert links(proposal) == ["articles:tags* tags:articles* tags tags:tag"]


def test_a_link_some_of_whose_values_are_no_keys_is_doubtful(proposed):
    rows = "".join(f"{n},{n % 20}\n" for n in range(40))
    proposal = proposed(people=f"id,department\n{rows}", departments="id\n" + "".join(f"{n}\n" for n in range(19)))

    assert len(links(proposal)) == 1
    assert unsure(proposal) == [
        'department: a link to departments: 1 value of 20 is not in departments.id: "19" in line 21'
    ]


def test_keys_that_differ_in_letter_case_are_compared_without_it(proposed):
    proposal = proposed(people="login,name\nAda,A\nBob,B\n", accounts="id,people\n1,ADA\n2,bob\n")

    assert links(proposal) == ["accounts:people people:accounts people people:login"]
    assert column(proposal, "login")[1].comparison is Comparison.IGNORE_CASE


def test_encoding_title_lines_and_columns_without_a_name_are_found(proposed):
    proposal = proposed(things="Report of May\n\nid;Größe;;x;x\n1;ü;;a;b\n2;ö;;c;d\n".encode("cp1252"))

    (mapping,) = proposal.configuration.entity_type_mappings
    assert (mapping.encoding, mapping.skip_lines) == ("windows-1252", 1)
    assert [p.connection_column for p in mapping.properties] == ["id", "Größe"]
    assert mapping.properties[1].identifier == "Grosse"
    assert "x: left out: the header names this column twice" in unsure(proposal)


def test_utf_16_is_found_with_and_without_a_mark(proposed):
    for data in ("id,name\n1,ü\n".encode("utf-16"), "id,name\n1,ü\n".encode("utf-16-le")):
        (mapping,) = proposed(things=data).configuration.entity_type_mappings
        assert [p.identifier for p in mapping.properties] == ["id", "name"]


def test_rows_of_delimiters_at_the_end_are_no_rows(proposed):
    proposal = proposed(things="id;name\n1;A\n2;B\n;\n;\n")

    assert proposal.configuration.entity_type_mappings[0].primary_key.identifier == "id"
    assert unsure(proposal) == []


def test_parquet_is_read_with_its_types(tmp_path):
    table = pa.table(
        {
            "id": ["a", "b"],
            "n": pa.array([1, 2], pa.int64()),
            "d": pa.array([1, 2], pa.date32()),
            "raw": pa.array([b"\xff", b"\xfe"]),
            "nested": [[1], [2]],
        }
    )
    pq.write_table(table, tmp_path / "things.parquet")
    proposal = bootstrap.proposal_for([tmp_path / "things.parquet"], connector="Files")

    (kind,) = proposal.configuration.entity_types
    assert {p.identifier: p.type for p in kind.properties} == {
        "id": PropertyType.STRING,
        "n": PropertyType.INT32,
        "d": PropertyType.DATE,
        "raw": PropertyType.BINARY,
    }
    assert [text for text in unsure(proposal) if text.startswith("nested")] == [
        "nested: left out: the column holds nested values (list<element: int64>)"
    ]


def test_every_file_that_cannot_be_read_is_named(proposed):
    with pytest.raises(UsageError) as caught:
        proposed(first="id,name\n1,cut", second="", third="id\n1\n")

    lines = str(caught.value).splitlines()
    assert lines[0].startswith("first.csv:2: the file looks cut off")
    assert lines[1].startswith("second.csv: the file is empty")
    assert len(lines) == 2
