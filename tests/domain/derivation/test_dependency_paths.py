"""Dependency paths: the links that they follow, the types that they lead to, and their dependencies."""

from __future__ import annotations

import pytest
from attrs import evolve

from deltamark.domain.configuration.entity_model import EntityType
from deltamark.domain.derivation.dependency_paths import LONGEST_PATH, Dependency, Hop, NoSuchPath, dependencies, route
from tests.domain.model import MODEL, association, read

MANAGER, REPORTS = Hop("Boss", forward=True), Hop("Boss", forward=False)
DEPARTMENT, MEMBERS = Hop("Staff", forward=True), Hop("Staff", forward=False)
SITE = Hop("Place", forward=True)


def test_a_path_follows_the_links_of_its_navigation_properties():
    way = route(MODEL, "Person", ["Manager", "Department", "Site"])

    assert (way.hops, way.leads_to, way.is_collection) == ((MANAGER, DEPARTMENT, SITE), "Site", False)


def test_an_empty_path_stays_at_the_resource():
    way = route(MODEL, "Person", [])

    assert (way.hops, way.leads_to, way.is_collection) == ((), "Person", False)


def test_the_second_property_of_an_association_leads_back():
    assert route(MODEL, "Department", ["Members"]).hops == (MEMBERS,)
    assert route(MODEL, "Site", ["Departments", "Members"]).leads_to == "Person"


def test_an_association_of_a_type_with_itself_has_a_direction_for_either_property():
    assert route(MODEL, "Person", ["Manager"]).hops == (MANAGER,)
    assert route(MODEL, "Person", ["Reports", "Manager"]).hops == (REPORTS, MANAGER)


@pytest.mark.parametrize(
    ("start", "path", "is_collection"),
    [
        ("Person", ["Manager", "Manager"], False),
        ("Person", ["Reports"], True),
        ("Person", ["Friends"], True),
        ("Person", ["Manager", "Reports", "Department"], True),
        ("Person", ["Department", "Members", "Manager"], True),
        ("Department", ["Site"], False),
    ],
)
def test_a_path_is_a_collection_if_any_of_its_steps_is(start, path, is_collection):
    assert route(MODEL, start, path).is_collection is is_collection


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["Managr"], 'leads over "Managr", which is no navigation property of Person; did you mean "Manager"?'),
        (["Manager", "Site"], 'leads over "Site", which is no navigation property of Person'),
        (["LastName"], 'leads over "LastName", which is no navigation property of Person'),
        (["Department", "Site", "Departments", "Site", "X"], 'leads over "X", which is no navigation property of Site'),
        (["Members"], 'leads over "Members", which is no navigation property of Person'),
    ],
)
def test_an_unknown_property_in_a_path_is_refused_with_the_nearest_name(path, message):
    with pytest.raises(NoSuchPath) as refused:
        route(MODEL, "Person", path)

    assert str(refused.value).startswith(message)


def test_a_path_from_a_type_without_associations_is_refused():
    alone = evolve(MODEL, entity_types=[*MODEL.entity_types, EntityType("Alone")])

    with pytest.raises(NoSuchPath, match="of Alone; there is none"):
        route(alone, "Alone", ["Manager"])


def test_the_length_of_a_path_is_limited():
    assert len(route(MODEL, "Person", ["Manager"] * LONGEST_PATH).hops) == LONGEST_PATH
    with pytest.raises(NoSuchPath, match="goes over 9 links; a path goes over 8 at most"):
        route(MODEL, "Person", ["Manager"] * 9)


def test_a_value_depends_on_its_resource_every_step_and_the_property_read():
    depends_on = dependencies(MODEL, "Person", [read("Manager.Department.Label")])

    assert set(depends_on) == {
        Dependency("Person", (), (), None, "Person"),
        Dependency("Person", (MANAGER,), ("Manager",), None, "Person"),
        Dependency("Person", (MANAGER, DEPARTMENT), ("Manager", "Department"), None, "Department"),
        Dependency("Person", (MANAGER, DEPARTMENT), ("Manager", "Department"), "Label", "Department"),
    }


def test_a_value_without_reads_depends_only_on_its_resource():
    assert dependencies(MODEL, "Person", []) == (Dependency("Person", (), (), None, "Person"),)


def test_paths_with_the_same_beginning_share_dependencies():
    depends_on = dependencies(MODEL, "Person", [read("Manager.Mail"), read("Manager.Login"), read("Mail")])

    assert sorted(map(str, depends_on)) == ["", "Mail", "Manager", "Manager.Login", "Manager.Mail"]


def test_links_of_two_associations_are_different_dependencies():
    renamed = evolve(MODEL, associations=[association("Chief", "Person:Manager", "Person:Reports")])
    mail = [read("Manager.Mail")]

    both = set(dependencies(MODEL, "Person", mail)) & set(dependencies(renamed, "Person", mail))

    assert [str(dependency) for dependency in both] == [""]
