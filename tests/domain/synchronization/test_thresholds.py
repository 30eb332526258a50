"""Thresholds: a count at the limit is allowed, one more exceeds it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve, fields

from deltamark import (
    Connector,
    EntityAssociationMapping,
    EntityTypeMapping,
    PropertyRef,
    Thresholds,
)
from deltamark.domain.configuration.entity_model import CONNECTOR_DEFAULTS
from deltamark.domain.location import Location
from deltamark.domain.synchronization.thresholds import Breach, Extent, counts_needed, exceeded

NO_LIMITS = Thresholds()

# Limit -> what is counted, how many were held before, the largest count that a limit of 10 allows.
RESOURCE_LIMITS = {
    "maximum_inserted_lines": ("inserted", 1_000, 10),
    "maximum_updated_lines": ("updated", 1_000, 10),
    "maximum_deleted_lines": ("deleted", 1_000, 10),
    "max_percentage_inserted_lines": ("inserted", 1_000, 100),
    "max_percentage_updated_lines": ("updated", 1_000, 100),
    "max_percentage_deleted_lines": ("deleted", 1_000, 100),
}
LINK_LIMITS = {
    "maximum_link_inserted_lines": ("linked", 1_000, 10),
    "maximum_link_deleted_lines": ("unlinked", 1_000, 10),
    "max_link_percentage_inserted_lines": ("linked", 1_000, 100),
    "max_link_percentage_deleted_lines": ("unlinked", 1_000, 100),
}
ALL_LIMITS = {**RESOURCE_LIMITS, **LINK_LIMITS}


def people(limits: Thresholds = NO_LIMITS, name: str = "Person") -> EntityTypeMapping:
    return EntityTypeMapping(name, "HR", "people", thresholds=limits)


def members(limits: Thresholds = NO_LIMITS) -> EntityAssociationMapping:
    ends = PropertyRef("Team", "Code"), PropertyRef("Person", "Number")
    return EntityAssociationMapping("Members", "HR", "members", "team", "person", *ends, thresholds=limits)


def connector(limits: Thresholds = NO_LIMITS) -> Connector:
    return Connector("HR", thresholds=limits)


def extent(counted: str, count: int, held: int) -> Extent:
    return Extent(**{counted: count}, held=held, links_held=held)


def limit(name: str, allowed: int = 10) -> Thresholds:
    return Thresholds(**{name: allowed})


def test_these_tables_have_every_limit_of_the_configuration() -> None:
    assert {field.name for field in fields(Thresholds)} == set(ALL_LIMITS)


@pytest.mark.parametrize(("name", "case"), RESOURCE_LIMITS.items())
def test_a_limit_of_an_entity_type_mapping_is_exceeded_by_one_more(name: str, case: Any) -> None:
    counted, held, allowed = case

    def is_exceeded(count: int) -> Breach | None:
        return exceeded(connector(), [(people(limit(name)), extent(counted, count, held))], [])

    assert is_exceeded(allowed) is None
    breach = is_exceeded(allowed + 1)
    assert breach is not None
    assert (breach.limit, breach.count, breach.allowed, breach.held) == (name, allowed + 1, 10, held)
    assert "the entity type mapping Person" in str(breach)


@pytest.mark.parametrize(("name", "case"), LINK_LIMITS.items())
def test_a_limit_of_an_association_mapping_is_exceeded_by_one_more(name: str, case: Any) -> None:
    counted, held, allowed = case

    def is_exceeded(count: int) -> Breach | None:
        return exceeded(connector(), [], [(members(limit(name)), extent(counted, count, held))])

    assert is_exceeded(allowed) is None
    breach = is_exceeded(allowed + 1)
    assert breach is not None
    assert (breach.limit, breach.count) == (name, allowed + 1)
    assert "the association mapping Members" in str(breach)


@pytest.mark.parametrize(("name", "case"), ALL_LIMITS.items())
def test_a_limit_of_a_connector_is_exceeded_by_the_sum_over_its_mappings(name: str, case: Any) -> None:
    counted, held, allowed = case
    is_link = name in LINK_LIMITS

    def is_exceeded(count: int) -> Breach | None:
        halves = extent(counted, count // 2, held // 2), extent(counted, count - count // 2, held // 2)
        if is_link:
            other = evolve(members(), identifier="Others")
            return exceeded(connector(limit(name)), [], [(members(), halves[0]), (other, halves[1])])
        return exceeded(connector(limit(name)), [(people(), halves[0]), (people(name="Team"), halves[1])], [])

    assert is_exceeded(allowed) is None
    breach = is_exceeded(allowed + 1)
    assert breach is not None
    assert (breach.limit, breach.count, breach.held) == (name, allowed + 1, held)
    assert "of the connector HR" in str(breach)


@pytest.mark.parametrize(("name", "case"), ALL_LIMITS.items())
def test_a_limit_of_zero_is_off(name: str, case: Any) -> None:
    counted, held, _ = case

    assert exceeded(connector(limit(name, 0)), [(people(), extent(counted, 999, held))], []) is None


@pytest.mark.parametrize(("name", "case"), ALL_LIMITS.items())
def test_additions_and_percentages_have_no_limit_where_nothing_was_held(name: str, case: Any) -> None:
    counted, _, _ = case
    stopped = name.startswith("maximum") and counted not in ("inserted", "linked")

    breach = exceeded(connector(limit(name)), [(people(), extent(counted, 999, 0))], [])

    assert (breach is not None) is stopped


def test_a_connector_with_resources_is_limited_for_a_new_entity_type() -> None:
    new, old = (people(name="Team"), Extent(inserted=101)), (people(), Extent(held=10_000))

    breach = exceeded(connector(CONNECTOR_DEFAULTS), [old, new], [])

    assert breach is not None
    assert breach.count == 101


def test_links_removed_with_deleted_resources_count_for_the_connector() -> None:
    deleted = (people(), Extent(deleted=1, held=1_000))

    breach = exceeded(
        connector(limit("maximum_link_deleted_lines")), [deleted], [], Extent(unlinked=11, links_held=500)
    )

    assert breach is not None
    assert (breach.limit, breach.count) == ("maximum_link_deleted_lines", 11)


def test_entity_types_come_first_then_associations_then_the_connector() -> None:
    low = Thresholds(**dict.fromkeys(ALL_LIMITS, 1))
    much = Extent(inserted=5, updated=5, deleted=5, held=10, linked=5, unlinked=5, links_held=10)
    few = Extent(inserted=1, updated=1, deleted=1, held=100, linked=1, unlinked=1, links_held=100)

    def first(person: Extent, team: Extent, member: Extent) -> str | None:
        breach = exceeded(
            connector(low), [(people(low), person), (people(low, "Team"), team)], [(members(low), member)]
        )
        return breach and breach.owner

    assert first(much, much, much) == "the entity type mapping Person"
    assert first(few, much, much) == "the entity type mapping Team"
    assert first(few, few, much) == "the association mapping Members"
    assert first(few, few, few) == "the connector HR"  # the sum is 2


def test_insertions_come_first_and_counts_before_percentages() -> None:
    counts = {"inserted": 5, "updated": 5, "deleted": 5, "linked": 5, "unlinked": 5}
    order = []
    limits = Thresholds(**dict.fromkeys(ALL_LIMITS, 1))
    while breach := exceeded(connector(limits), [(people(), Extent(**counts, held=10, links_held=10))], []):
        order.append(breach.limit)
        limits = evolve(limits, **{breach.limit: 0})

    assert order == [
        "maximum_inserted_lines",
        "max_percentage_inserted_lines",
        "maximum_updated_lines",
        "max_percentage_updated_lines",
        "maximum_deleted_lines",
        "max_percentage_deleted_lines",
        "maximum_link_inserted_lines",
        "max_link_percentage_inserted_lines",
        "maximum_link_deleted_lines",
        "max_link_percentage_deleted_lines",
    ]


@pytest.mark.parametrize(
    ("limits", "done", "words"),
    [
        (
            limit("maximum_inserted_lines", 100),
            Extent(inserted=1_300, held=5),
            "1,300 resources of Person would be created; MaximumInsertedLines of the entity type mapping Person "
            "(hr.xml:7) allows 100",
        ),
        (
            limit("max_percentage_inserted_lines", 5),
            Extent(inserted=1, held=5),
            "1 resource of Person (5 held before) would be created; MaxPercentageInsertedLines of the entity "
            "type mapping Person (hr.xml:7) allows 5 %",
        ),
        (
            limit("max_percentage_deleted_lines", 5),
            Extent(deleted=1_051, held=21_000),
            "1,051 of the 21,000 resources of Person would be deleted; MaxPercentageDeletedLines of the entity type "
            "mapping Person (hr.xml:7) allows 5 %",
        ),
        (
            limit("maximum_link_deleted_lines", 1),
            Extent(unlinked=2, links_held=2),
            "2 links of Person would be removed; MaximumLinkDeletedLines of the entity type mapping Person (hr.xml:7) "
            "allows 1",
        ),
    ],
)
def test_a_breach_names_the_count_the_limit_and_its_location(limits: Thresholds, done: Extent, words: str) -> None:
    mapping = evolve(people(limits), location=Location("hr.xml", 7, "3"))

    assert str(exceeded(connector(), [(mapping, done)], [])) == words


def test_a_breach_of_a_connector_names_no_type_and_the_location_of_the_connector() -> None:
    hr = evolve(connector(limit("maximum_updated_lines", 1)), location=Location("hr.xml", 2))

    breach = exceeded(hr, [(people(), Extent(updated=2, held=2))], [])

    assert str(breach) == "2 resources would be updated; MaximumUpdatedLines of the connector HR (hr.xml:2) allows 1"


@pytest.mark.parametrize("count", [0, 1, 5, 6, 99, 100, 101])
@pytest.mark.parametrize("counted", ["inserted", "updated", "deleted", "linked", "unlinked"])
def test_counting_more_than_needed_does_not_change_the_result(counted: str, count: int) -> None:
    mappings = [(people(), Extent(**{counted: count}))]
    held, links_held = counts_needed(connector(CONNECTOR_DEFAULTS), mappings, [])

    def is_exceeded(held: int, links_held: int) -> bool:
        done = Extent(**{counted: count}, held=held, links_held=links_held)
        return exceeded(connector(CONNECTOR_DEFAULTS), [(people(), done)], []) is not None

    assert is_exceeded(held, links_held) == is_exceeded(10**9, 10**9)
    for there in (0, 1, 19, 20, 21, 99, 100, 101, 1_999, 2_000, 2_001, 2_020):
        assert is_exceeded(min(there, held), min(there, links_held)) == is_exceeded(there, there)
