"""Links to resources that are not there yet: after any deltas those stand that a complete extract would have given."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from time import process_time

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    SynchronizationMode,
    SynchronizeTask,
    TaskState,
    Thresholds,
)
from tests.scenarios.fixtures import NewOrganisation
from tests.scenarios.organisation.running import Organisation
from tests.scenarios.organisation.setting import Setting
from tests.tiers import law

NUMBER, BADGE = PropertyRef("Person", "Number"), PropertyRef("Person", "Badge")
TEAM = PropertyRef("Team", "Name")

Person = tuple[str, str, str]
"""Badge, number of the manager, badge of the substitute."""


def configuration(limits: Thresholds) -> Configuration:
    person = [Property(name, is_key=name == "Number") for name in ("Number", "Badge")]
    to_one = {"is_property2_collection": True}
    return Configuration(
        connectors=[Connector("HR", thresholds=limits)],
        entity_types=[EntityType("Person", person), EntityType("Team", [Property("Name", is_key=True)])],
        associations=[
            EntityAssociation("Manager", PropertyRef("Person", "Manager"), PropertyRef("Person", "Reports"), **to_one),
            EntityAssociation(
                "Substitute", PropertyRef("Person", "Substitute"), PropertyRef("Person", "For"), **to_one
            ),
            EntityAssociation(
                "Member",
                PropertyRef("Team", "Members"),
                PropertyRef("Person", "Teams"),
                is_property1_collection=True,
                is_property2_collection=True,
            ),
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person",
                "HR",
                "people",
                [
                    PropertyMapping("Number", "number", is_primary_key=True),
                    PropertyMapping("Badge", "badge", is_unique_key=True),
                ],
            ),
            EntityTypeMapping("Team", "HR", "teams", [PropertyMapping("Name", "name", is_primary_key=True)]),
        ],
        association_mappings=[
            EntityAssociationMapping("Manager", "HR", "people", "number", "manager", NUMBER, NUMBER),
            EntityAssociationMapping("Substitute", "HR", "people", "number", "substitute", NUMBER, BADGE),
            EntityAssociationMapping("Member", "HR", "members", "team", "person", TEAM, NUMBER),
        ],
        jobs=[
            Job("Complete", [SynchronizeTask(connector="HR", do_not_delete_changes=True)]),
            Job(
                "Delta",
                [
                    PrepareSynchronizationTask(
                        connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="command"
                    ),
                    SynchronizeTask(identifier="SynchronizeDelta", connector="HR", do_not_delete_changes=True),
                ],
            ),
        ],
    )


class House:
    """A store, and the source that feeds it."""

    def __init__(self, url: str, folder: Path, limits: Thresholds = Thresholds()) -> None:  # noqa: B008
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.engine = Engine.open(url, configuration=configuration(limits), export_output=folder)

    def complete(
        self, people: dict[str, Person], members: set[tuple[str, str]], teams: set[str], *, force: bool = False
    ) -> None:
        self._write("people", ["number", "badge", "manager", "substitute"], [[n, *p] for n, p in people.items()])
        self._write("teams", ["name"], [[team] for team in sorted(teams)])
        self._write("members", ["team", "person"], [list(pair) for pair in sorted(members)])
        self._run("Complete", force=force)

    def delta(
        self,
        people: list[tuple[str, str, str, str, str]] = [],  # noqa: B006
        members: list[tuple[str, str, str]] = [],  # noqa: B006
        teams: list[tuple[str, str]] = [],  # noqa: B006
    ) -> None:
        self._write("people", ["number", "badge", "manager", "substitute", "command"], people)
        self._write("teams", ["name", "command"], teams)
        self._write("members", ["team", "person", "command"], members)
        self._run("Delta")

    def _write(self, table: str, header: list[str], rows: object) -> None:
        with (self._folder / f"{table}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])  # type: ignore[misc]

    def _run(self, job: str, *, force: bool = False) -> None:
        self.state = self.engine.run_job(job, force=force).state
        assert self.state is not TaskState.FAILED

    def waiting(self, association: str) -> set[tuple[str, str]]:
        with self.engine._services.store.reading() as reading:
            return reading.waiting_links(association)

    def links(self) -> dict[str, dict[str, dict[str, list[str]]]]:
        return {
            kind: {row.key: dict(row.links) for row in self.engine.export_resources(kind)}
            for kind in ("Person", "Team")
        }

    def managers(self) -> dict[str, list[str]]:
        return {row.key: row.links.get("Manager", []) for row in self.engine.export_resources("Person")}


@pytest.fixture
def house(store_url: str, tmp_path: Path) -> Iterator[House]:
    made = House(store_url, tmp_path / "house")
    yield made
    made.engine.close()


def test_a_link_is_added_when_its_resource_is_created(house: House) -> None:
    house.delta([("1", "", "9", "", "merge")])
    assert house.managers() == {"1": []}

    house.delta([("9", "", "", "", "insert")])

    assert house.managers() == {"1": ["9"], "9": []}


def test_orphans_of_a_complete_extract_wait_too(house: House) -> None:
    house.complete({"1": ("", "9", "")}, set(), set())

    house.delta([("9", "", "", "", "insert")])

    assert house.managers() == {"1": ["9"], "9": []}


def test_a_link_to_a_deleted_resource_is_added_again_when_it_returns(house: House) -> None:
    house.complete({"1": ("", "9", ""), "9": ("", "", "")}, set(), set())

    house.delta([("9", "", "", "", "delete")])
    assert house.managers() == {"1": []}
    house.delta([("9", "", "", "", "insert")])

    assert house.managers() == {"1": ["9"], "9": []}


def test_a_row_that_now_names_another_resource_no_longer_waits(house: House) -> None:
    house.delta([("1", "", "9", "", "merge"), ("2", "", "9", "", "merge"), ("3", "", "9", "", "merge")])
    house.delta([("1", "", "2", "", "update"), ("2", "", "", "", "update"), ("3", "", "", "", "delete")])

    house.delta([("9", "", "", "", "insert"), ("3", "", "", "", "insert")])

    assert house.managers() == {"1": ["2"], "2": [], "3": [], "9": []}


def test_a_complete_extract_replaces_the_waiting_links(house: House) -> None:
    house.complete({"1": ("", "9", ""), "2": ("", "9", "")}, set(), set())
    house.complete({"1": ("", "", ""), "2": ("", "9", "")}, set(), set())

    house.delta([("9", "", "", "", "insert")])

    assert house.managers() == {"1": [], "2": ["9"], "9": []}


def test_a_resource_that_takes_the_value_that_a_row_names_is_linked(house: House) -> None:
    house.complete({"1": ("", "", "B7"), "7": ("", "", "")}, set(), set())

    house.delta([("7", "B7", "", "", "update")])

    assert house.links()["Person"]["1"]["Substitute"] == ["7"]


def test_a_member_of_a_deleted_team_is_not_linked_again_without_a_row(house: House) -> None:
    # The rows of a table of pairs belong to neither end: who comes back by an old key must not inherit old rights.
    house.complete({"1": ("", "", "")}, {("Blue", "1"), ("Blue", "2")}, {"Blue"})
    house.delta(teams=[("Blue", "delete")])

    house.delta([("2", "", "", "", "insert")], teams=[("Blue", "insert")])

    assert house.links()["Team"]["Blue"].get("Member", []) == []


def test_a_link_of_which_both_ends_are_missing_waits_for_both(house: House) -> None:
    house.delta(members=[("Blue", "1", "insert")])
    house.delta([("1", "", "", "", "insert")])

    house.delta(teams=[("Blue", "insert")])

    assert house.links()["Team"]["Blue"]["Member"] == ["1"]
    assert house.waiting("Member") == set()


JOBS_OF_ORG = pytest.mark.parametrize("job", ["Org", "OrgCommands"])


@JOBS_OF_ORG
def test_a_link_is_added_when_another_connector_creates_the_resource(
    new_organisation: NewOrganisation, job: str
) -> None:
    organisation = new_organisation().person("1", "Ann", department="A").person("2", "Bob", department="B")
    organisation.run()
    assert organisation.links() == {}

    run = organisation.department("A", "Alpha").run(job)

    assert organisation.links() == {"Staff": {("1", "A")}}
    assert (run.counts.inserted, run.counts.linked) == (1, 1)
    assert waiting(organisation) == {("2", "B")}


@JOBS_OF_ORG
def test_a_link_waits_when_another_connector_deletes_the_resource_and_returns_with_it(
    new_organisation: NewOrganisation, job: str
) -> None:
    organisation = new_organisation().person("1", "Ann", department="A").department("A", "Alpha")
    organisation.department("B", "Beta").run()
    assert organisation.links() == {"Staff": {("1", "A")}}

    organisation.without("Department", "A").run(job)
    assert organisation.links() == {}
    assert waiting(organisation) == {("1", "A")}

    organisation.department("A", "Alpha").run(job)
    assert organisation.links() == {"Staff": {("1", "A")}}
    assert waiting(organisation) == set()


def test_a_link_to_a_resource_that_another_connector_deleted_stays_away_without_its_row(
    new_organisation: NewOrganisation,
) -> None:
    organisation = (
        new_organisation().person("1", "Ann", department="A").department("A", "Alpha").department("B", "Beta")
    )
    organisation.run()
    organisation.without("Department", "A").run("OrgCommands")

    organisation.person("1", "Ann", department="B").run("HRCommands")
    organisation.department("A", "Alpha").run("OrgCommands")

    assert organisation.links() == {"Staff": {("1", "B")}}
    assert waiting(organisation) == set()


def test_a_link_to_a_pending_resource_of_another_connector_is_added_when_it_is_applied(
    new_organisation: NewOrganisation,
) -> None:
    organisation = new_organisation(Limited()).person("1", "Ann", department="A").department("B", "Beta")
    organisation.run()
    organisation.department("A", "Alpha").department("C", "Gamma")
    organisation.extracts.whole(organisation.world.part("Org"), organisation.setting)
    blocked = organisation.engine.run_job("Org")
    assert (blocked.tasks[0].state, organisation.links()) == (TaskState.BLOCKED, {})

    organisation.engine.resume(blocked.number)

    assert organisation.links() == {"Staff": {("1", "A")}}
    assert waiting(organisation) == set()


def test_waiting_links_count_for_the_limits_of_the_connector_that_creates_the_resource(
    new_organisation: NewOrganisation,
) -> None:
    organisation = new_organisation(Limited(limits=Thresholds(maximum_link_inserted_lines=1)))
    organisation.department("B", "Beta").person("1", "Ann", department="A").person("2", "Bob", department="A")
    organisation.person("3", "Cem", department="B").run()
    organisation.department("A", "Alpha")
    organisation.extracts.whole(organisation.world.part("Org"), organisation.setting)

    blocked = organisation.engine.run_job("Org")

    (message, *_) = blocked.tasks[0].messages
    assert "2 links would be added; MaximumLinkInsertedLines of the connector Org allows 1" in message


@pytest.mark.slow  # ten thousand people and accounts are synchronized twice
def test_links_whose_targets_are_created_last_cost_about_as_much_as_others(
    new_organisation: NewOrganisation,
) -> None:
    took = {}
    for first, second in (("HR", "Directory"), ("Directory", "HR")):
        organisation = new_organisation()
        for number in map(str, range(10_000)):
            organisation.person(number, f"P{number}").account(f"a{number}", owner=number)
        started = process_time()

        organisation.run(first)
        run = organisation.run(second)

        took[first] = process_time() - started
        assert run.counts.linked == 10_000
        assert organisation.engine.verify().is_sound
    # Each pair looked up in all others would take ten times as long.
    assert took["Directory"] < 4 * took["HR"]


@frozen
class Limited(Setting):
    """A configuration where connectors have limits."""

    limits: Thresholds = Thresholds(maximum_inserted_lines=1)

    @property
    def configuration(self) -> Configuration:
        known = super().configuration
        return evolve(known, connectors=[evolve(c, thresholds=self.limits) for c in known.connectors])


def waiting(organisation: Organisation) -> set[tuple[str, str]]:
    with organisation.engine._services.store.reading() as view:
        return view.waiting_links("Staff")


def test_a_pair_of_long_values_waits_and_is_linked(house: House) -> None:
    # Random characters of four bytes: an index of PostgreSQL has no room for both values.
    random = Random(1)
    team, number = ("".join(chr(random.randrange(0x10000, 0x1F000)) for _ in range(900)) for _ in range(2))

    house.delta(members=[(team, number, "insert")])
    assert house.waiting("Member") == {(team, number)}
    house.delta([(number, "", "", "", "insert")], teams=[(team, "insert")])

    assert house.links()["Team"][team]["Member"] == [number]
    assert house.waiting("Member") == set()


def test_waiting_links_are_written_once(house: House) -> None:
    house.complete({"1": ("", "9", "")}, set(), set())
    head = [len(list(house.engine.changes()))]

    house.complete({"1": ("", "9", "")}, set(), set())

    assert house.waiting("Manager") == {("1", "9")}
    assert len(list(house.engine.changes())) == head[0]


def test_pending_waiting_links_wait_once_they_are_applied(store_url: str, tmp_path: Path) -> None:
    house = House(store_url, tmp_path / "house", Thresholds(maximum_deleted_lines=1))
    house.complete({"1": ("", "8", ""), "2": ("", "", ""), "3": ("", "", ""), "9": ("", "", "")}, set(), set())
    house.delta(
        [(n, "", "", "", "delete") for n in "23"] + [("1", "", "7", "", "update"), ("4", "", "6", "", "insert")]
    )
    assert house.state is TaskState.BLOCKED
    assert house.waiting("Manager") == {("1", "8")}

    house.engine.resume(house.engine.runs()[-1].number)

    assert house.waiting("Manager") == {("1", "7"), ("4", "6")}
    house.engine.close()


NUMBERS, TEAMS = ("1", "2", "3", "4"), ("Blue", "Red")
PEOPLE = st.tuples(st.sampled_from(("", "A", "B")), st.sampled_from(("", *NUMBERS)), st.sampled_from(("", "A", "B")))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Person], set[tuple[str, str]], set[str]]:
    people = draw(st.dictionaries(st.sampled_from(NUMBERS), PEOPLE))
    taken: set[str] = set()
    for number, (badge, *rest) in people.items():  # a badge names one person: more than one is a fault of the source
        people[number] = ("" if badge in taken else badge, *rest)
        taken.add(badge)
    teams = draw(st.sets(st.sampled_from(TEAMS)))
    members = draw(st.sets(st.tuples(st.sampled_from(TEAMS), st.sampled_from(NUMBERS))))
    return people, members, teams


@pytest.mark.slow  # runs jobs for each example
@law(5)
@given(st.lists(worlds(), min_size=2, max_size=5))
def test_deltas_leave_the_links_that_complete_extracts_leave(
    new_store: Callable[[], str], tmp_path: Path, days: list[tuple[dict[str, Person], set[tuple[str, str]], set[str]]]
) -> None:
    by_delta, at_once = House(new_store(), tmp_path / "delta"), House(new_store(), tmp_path / "complete")
    with by_delta.engine, at_once.engine:
        people: dict[str, Person] = {}
        members: set[tuple[str, str]] = set()
        teams: set[str] = set()
        for new_people, new_members, new_teams in days:
            by_delta.delta(
                [(n, *p, "update" if n in people else "insert") for n, p in new_people.items() if people.get(n) != p]
                + [(n, "", "", "", "delete") for n in people if n not in new_people],
                [(*pair, "insert") for pair in new_members - members]
                + [(*pair, "delete") for pair in members - new_members]
                # who comes back by an old key: the source says its pairs again
                + [
                    (*p, "insert")
                    for p in new_members & members
                    if p[0] in new_teams - teams or p[1] in {*new_people} - {*people}
                ],
                [(t, "insert") for t in new_teams - teams] + [(t, "delete") for t in teams - new_teams],
            )
            people, members, teams = new_people, new_members, new_teams
            at_once.complete(people, members, teams, force=True)  # an extract may be empty: nobody is left
            assert by_delta.links() == at_once.links()
