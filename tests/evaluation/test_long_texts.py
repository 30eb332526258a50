"""Long texts: a value that is too long is none, and is named; memory is bounded whatever the texts are."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.infrastructure.evaluation import evaluator as evaluator_module
from deltamark.infrastructure.evaluation import text_lengths
from deltamark.infrastructure.evaluation.text_lengths import TextLengths
from deltamark.infrastructure.expressions.compiler import LONGEST_WORKING
from deltamark.infrastructure.expressions.result_conversion import LONGEST_TEXT
from tests.evaluation.company import Company, computed, evaluator, rule
from tests.tiers import law

TWICE = computed("Label", "SQL:p: p.First || p.First")
HUNDRED_TIMES = computed("Label", "SQL:p: left(repeat(p.First, 100), 3)")
JOINED = computed("Label", "SQL:p: array_to_string(p.Reports.First, '-----')")
COUNTED = computed("Level", "SQL:p: len(p.Manager.Reports.First)")


def refused(company: Company, *derivations: Any, **options: Any) -> list[tuple[int, int]]:
    found = evaluator().properties(derivations, company.inputs(derivations, **options)).refused
    assert found is not None
    assert found.column("reason").null_count == found.num_rows
    return sorted(zip(*(found.column(name).to_pylist() for name in ("stream", "derivation")), strict=True))


def test_a_text_of_the_greatest_length_is_stored_and_a_longer_one_is_none() -> None:
    half = "x" * (LONGEST_TEXT // 2)
    company = Company({1: {"First": half}, 2: {"First": half + "x"}, 3: {"First": "Ann"}})

    values = company.compute([TWICE]).values

    assert {stream: len(value["Label"]) for stream, value in values.items()} == {1: LONGEST_TEXT, 3: 6}
    assert refused(company, TWICE) == [(2, 0)]


def test_a_value_that_becomes_too_long_is_removed_and_is_refused_again_each_time() -> None:
    company = Company({1: {"First": "Ann"}})
    company.keep(company.compute([TWICE]))
    company.people[1] = {"First": "x" * LONGEST_TEXT}

    outcome = company.compute([TWICE])
    company.keep(outcome)

    assert outcome.changes == {1: {"Label": ["AnnAnn", None]}}
    assert company.compute([TWICE]).changes == {}
    assert refused(company, TWICE) == [(1, 0)]
    assert refused(company, TWICE, due=[]) == []


def test_what_may_become_too_long_on_the_way_is_not_computed() -> None:
    compiled = evaluator()._compile(HUNDRED_TIMES)
    longest = int((LONGEST_WORKING - compiled.peak.characters) // compiled.peak.times)
    assert longest > LONGEST_WORKING // 101
    company = Company({1: {"First": "x" * longest}, 2: {"First": "x" * (longest + 1)}})

    assert company.compute([HUNDRED_TIMES]).values == {1: {"Label": "xxx"}}
    assert refused(company, HUNDRED_TIMES) == [(2, 0)]


def test_separators_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "LONGEST_TEXT", 10_000)
    reports = {stream: {"Last": "x"} for stream in range(1, 10_000 // 6 + 3)}
    few = Company({0: {}, 1: {"First": "a"}, 2: {"First": "b"}}, managers={(1, 0), (2, 0)})
    many = Company({0: {}} | reports, managers={(stream, 0) for stream in reports})
    of_last = computed("Label", "SQL:p: array_to_string(p.Reports.Last, '-----')")

    assert few.compute([JOINED]).values == {0: {"Label": "a-----b"}}
    assert refused(many, of_last) == [(0, 0)]


def test_keys_and_classifications_are_refused_like_properties() -> None:
    company = Company({1: {"First": "x" * LONGEST_WORKING}, 2: {"First": "xx"}})
    rules = [
        rule("Key", "SQL:p: left(p.First || p.First, 1)"),
        rule("Long", "SQL:p: length(p.First || p.First) > 3", decides=True),
    ]

    found = evaluator().values(rules, company.inputs(rules))

    assert [table.to_pydict()["value"] for table in found.tables] == [[None, "x"], [None, True]]
    assert found.refused.to_pydict() == {"stream": [1, 1], "derivation": [0, 1], "reason": [None, None]}


def test_a_property_that_reads_one_that_is_refused_reads_nothing() -> None:
    company = Company({1: {"First": "x" * LONGEST_TEXT}})
    reader = computed("Full", "SQL:p: coalesce(p.Label, 'none')")

    assert company.compute([TWICE, reader]).values == {1: {"Full": "none"}}


@law(20)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=30),
    st.sets(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40),
)
def test_parts_give_what_the_whole_gives(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int], links: set[tuple[int, int]]
) -> None:
    company = Company(
        {stream: {"First": "y" * length, "Last": "z"} for stream, length in enumerate(lengths)},
        managers={(a, b) for a, b in links if max(a, b) < len(lengths)},
    )
    derivations = [TWICE, computed("Full", "SQL:p: repeat(p.Label, 3)"), COUNTED]
    with monkeypatch.context() as patch:
        whole = company.compute(derivations)
        patch.setattr(text_lengths, "BYTES_AT_ONCE", 2_000)
        assert company.compute(derivations) == whole


def test_parts_are_as_small_as_their_texts_demand() -> None:
    compiled = evaluator()._compile(HUNDRED_TIMES)
    lengths = TextLengths.of([HUNDRED_TIMES], [compiled])
    size = 10_000
    people = pa.table(
        {
            "stream": pa.array(range(4_096), pa.int64()),
            "state": pa.array(["x" * size] * 4_096),
            "computed": pa.array(["{}"] * 4_096),
        }
    )
    measured = pa.table({"stream": people["stream"], "length 0": pa.array([float(size)] * 4_096)})

    parts = list(lengths.parts(people, measured))

    rows = text_lengths.BYTES_AT_ONCE // (size * 100 * compiled.texts)
    assert not lengths.are_short(people, 0.0)
    assert lengths.are_short(people.slice(0, rows // 2), 0.0)
    assert pa.concat_tables(parts).equals(people)
    assert {part.num_rows for part in parts[:-1]} == {rows}


def test_one_list_for_all_who_share_it_is_counted_once() -> None:
    """In proportion to the people: pairs of each with each would be 900 million, and take minutes."""
    everyone = range(1, 30_001)
    company = Company({0: {}} | {n: {"First": str(n)} for n in everyone}, managers={(n, 0) for n in everyone})

    values = company.compute([COUNTED]).values

    assert len(values) == 30_001
    assert {value["Level"] for value in values.values()} == {0, 30_000}


def test_shared_lists_follow_several_links_on_a_single_path() -> None:
    """After a model was changed there may be such links: the list is then of all that they reach, each once."""
    company = Company({n: {"First": str(n)} for n in range(6)}, managers={(2, 0), (2, 1), (3, 0), (4, 1), (5, 1)})

    values = company.compute(
        [COUNTED, computed("Label", "SQL:p: array_to_string(p.Manager.Reports.First, ',')")]
    ).values

    assert values[2] == {"Level": 4, "Label": "2,3,4,5"}
    assert values[3] == {"Level": 2, "Label": "2,3"}
    assert values[0] == {"Level": 0}
