"""The configuration is part of the log: who adopted which one, when and why, and what was in force at a moment."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark import (
    Configuration,
    ConfigurationUnknown,
    Engine,
    EntityType,
    OtherConfigurationInUse,
    Property,
    PythonTask,
    RunMoment,
    TaskState,
    UsageError,
    task,
)
from deltamark.config.xml.canonical import CanonicalXML
from deltamark.domain.derivation.function_columns import functions_of
from tests.scenarios.house import House, configuration
from tests.store.released import Calendar, bring_back
from tests.store.tables import EVERYTHING, alter, opened, replayed_into, tables, verified
from tests.stores import EveryStore, NewStore

SAMPLE = Path(__file__).parents[3] / "examples" / "company"


def with_property(configured: Configuration, name: str) -> Configuration:
    """The configuration with one more property of people, which nothing fills."""
    person, *others = configured.entity_types
    more = EntityType(person.identifier, [*person.properties, Property(name)])
    return evolve(configured, entity_types=[more, *others])


def reopened(house: House, configured: Configuration) -> Engine:
    """The engine of the house under another configuration."""
    house.engine.close()
    house.engine = Engine.open(house.url, configuration=configured, export_output=house.folder, clock=house._clock)
    return house.engine


@pytest.mark.on_every_store
def test_the_first_run_under_a_configuration_adopts_it_and_further_ones_do_not(house: House) -> None:
    house.people({"1": "Ann"}).run()
    house.people({"1": "Bo"}).run()

    (adoption,) = house.engine.configurations()

    run = house.engine.run(1)
    assert (adoption.run, adoption.by, adoption.reason, adoption.previous) == (1, run.user, "", None)
    assert adoption.differences == ()
    assert adoption.at == run.started_at
    assert house.engine.configuration_at(adoption.position).configuration == CanonicalXML().read(
        CanonicalXML().write(house.engine.configuration)
    )


@pytest.mark.on_every_store
def test_a_changed_configuration_is_adopted_by_the_next_run_with_what_differs(house: House) -> None:
    house.people({"1": "Ann"}).run()
    before = house.engine.configuration

    reopened(house, with_property(before, "Phone")).run_job("People")

    first, second = house.engine.configurations()
    assert second.differences == ("Property Phone of Person: added (String)",)
    assert (second.previous, second.run) == (first.digest, 2)
    assert house.engine.configuration_at(RunMoment(1)).digest == first.digest
    assert house.engine.configuration_at(second.position - 1).digest == first.digest
    assert house.engine.configuration_at(second.position).digest == second.digest
    assert house.engine.configuration_at(second.at).digest == second.digest
    assert house.engine.verify().is_sound


def test_a_configuration_that_comes_back_is_adopted_again_and_stored_once(house: House) -> None:
    house.people({"1": "Ann"}).run()
    before = house.engine.configuration
    reopened(house, with_property(before, "Phone")).run_job("People")
    reopened(house, before).run_job("People")

    digests = [adoption.digest for adoption in house.engine.configurations()]

    assert digests[0] == digests[2] != digests[1]
    assert len(tables(house.url)["configurations"]) == 2


def test_the_order_of_files_is_no_other_configuration(house: House) -> None:
    house.people({"1": "Ann"}).run()
    before = house.engine.configuration
    others = {name: getattr(before, name)[::-1] for name in ("connectors", "entity_types", "tasks", "jobs")}

    engine = reopened(house, evolve(before, **others))
    engine.run_job("People")

    assert len(engine.configurations()) == 1
    assert engine.adopt() is None


@pytest.mark.on_every_store
def test_adopting_without_a_job_is_a_run_that_says_why(house: House) -> None:
    adopted = house.engine.adopt(reason="  change\n4711 ")

    assert adopted is not None
    assert (adopted.reason, adopted.run) == ("change 4711", 1)
    run = house.engine.run(1)
    assert (run.job, run.state, run.tasks[0].messages) == ("*adopt*", TaskState.COMPLETED, ("reason: change 4711",))
    assert house.engine.adopt(reason="again") is None
    assert [run.number for run in house.engine.runs()] == [1]
    house.people({"1": "Ann"}).run()
    assert [adoption.position for adoption in house.engine.configurations()] == [adopted.position]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\x00b"])
def test_a_reason_that_says_nothing_or_too_much_is_refused(house: House, reason: str) -> None:
    with pytest.raises(UsageError):
        house.engine.adopt(reason=reason)

    assert house.engine.configurations() == []


def test_a_dry_run_adopts_nothing(house: House) -> None:
    house.people({"1": "Ann"}).run(dry_run=True)

    assert house.engine.configurations() == []
    with pytest.raises(ConfigurationUnknown, match="no configuration was adopted yet"):
        house.engine.configuration_at(0)


def test_a_run_that_cannot_start_adopts_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise UsageError("no leases today")

    monkeypatch.setattr("deltamark.infrastructure.store.commands.leases.LeaseCommands.take_leases", fails)
    with pytest.raises(UsageError, match="no leases today"):
        house.people({"1": "Ann"}).run()

    assert (house.engine.configurations(), house.engine.runs()) == ([], [])
    assert tables(house.url)["configurations"] == []


@pytest.mark.on_every_store
def test_runs_that_start_at_once_adopt_once(new_store: NewStore, tmp_path: Path) -> None:
    url, together = new_store(), Barrier(2)
    houses = [House(url, tmp_path / "exports", Calendar()) for _ in range(2)]
    houses[0].people({"1": "Ann"}).teams({"T": "Team"})

    def start(house: House, job: str) -> None:
        together.wait()
        house.engine.run_job(job)

    threads = [Thread(target=start, args=each) for each in zip(houses, ("People", "Teams"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(houses[0].engine.configurations()) == 1
    assert [run.state for run in houses[1].engine.runs()] == [TaskState.COMPLETED] * 2
    for house in houses:
        house.engine.close()
    assert verified(url).is_sound


def test_no_other_configuration_is_adopted_while_a_run_goes_on(house: House, new_house: Callable[..., House]) -> None:
    house.people({"1": "Ann"}).teams({"T": "Team"}).run()
    changed = with_property(house.engine.configuration, "Phone")
    refused: list[OtherConfigurationInUse] = []

    class Meanwhile:
        """Starts another job under another configuration, and adopts that, while the first one runs."""

        def task_started(self, run: int, task: object) -> None:
            folder, clock = house.folder, house._clock
            with Engine.open(house.url, configuration=changed, export_output=folder, clock=clock) as other:
                for attempt in (lambda: other.run_job("Teams"), lambda: other.adopt()):
                    with pytest.raises(OtherConfigurationInUse) as error:
                        attempt()
                    refused.append(error.value)

        def task_progressed(self, run: int, task: object) -> None: ...

        def task_ended(self, run: int, task: object) -> None: ...

    house.engine.run_job("People", observer=Meanwhile())  # type: ignore[arg-type]

    assert [error.run for error in refused] == [2, 2]
    assert "run 2 of job People" in str(refused[0])
    assert len(house.engine.configurations()) == 1
    assert [run.number for run in house.engine.runs()] == [1, 2]


def test_a_resumed_run_adopts_the_configuration_that_it_goes_on_under(house: House) -> None:
    house.people({"1": "Ann"})
    house.write("people", ["nothing"], [])
    run = house.engine.run_job("People")
    assert run.state is TaskState.FAILED
    house.people({"1": "Ann"})

    reopened(house, with_property(house.engine.configuration, "Phone")).resume(run.number)

    assert [adoption.run for adoption in house.engine.configurations()] == [1, 1]
    assert house.names() == {"1": "Ann"}


# Functions of users


def with_function(configured: Configuration, version: str) -> Configuration:
    """The configuration with a task that calls a function, which a test defines: only Python can name it."""

    @task(entity_types=["Person"], reads=["Name"], writes=["Title"], version=version)
    def entitled(batch: pa.Table) -> pa.Table:
        return batch.select(["key"]).append_column("Title", batch["Name"])

    more = with_property(configured, "Title")
    return evolve(more, tasks=[*more.tasks, PythonTask(function=entitled, identifier="Entitled")])


def test_another_version_of_a_function_is_another_configuration(house: House) -> None:
    before = house.engine.configuration
    reopened(house, with_function(before, "1")).adopt()
    reopened(house, with_function(before, "1")).adopt()

    adopted = reopened(house, with_function(before, "2")).adopt()

    assert adopted is not None
    (first, second) = house.engine.configurations()
    assert (adopted.position, second.digest) == (second.position, first.digest)
    (difference,) = second.differences
    assert difference.startswith("Function ")
    assert difference.endswith('entitled: Version "1" → "2"')


def test_the_functions_of_a_past_configuration_are_known_by_their_source_and_cannot_be_called(house: House) -> None:
    configured = with_function(house.engine.configuration, "1")
    adopted = reopened(house, configured).adopt()
    assert adopted is not None

    (kept,), (own,) = functions_of(adopted.configuration), functions_of(configured)

    assert kept.definition == own.definition
    assert len(kept.source) == 64
    assert (kept.reads, kept.writes, kept.batch_size) == (own.reads, own.writes, own.batch_size)
    with pytest.raises(UsageError, match="only the digest of its source"):
        kept(None)


# Integrity


@pytest.fixture
def lived(house: House) -> House:
    house.people({"1": "Ann"}).run()
    before = house.engine.configuration
    reopened(house, with_property(before, "Phone")).run_job("People")
    reopened(house, before).run_job("People")
    house.engine.close()
    return house


@pytest.mark.on_every_store
@pytest.mark.parametrize(
    ("alteration", "problem"),
    [
        ("DELETE FROM configurations", "it is missing"),
        ("UPDATE configurations SET xml=CAST(digest AS {bytes})", "it cannot be read"),
        ("UPDATE configurations SET digest='ab' WHERE digest=(SELECT min(digest) FROM configurations)", "it is "),
    ],
)
def test_a_stored_configuration_that_is_not_what_was_adopted_is_found(
    lived: House, alteration: str, problem: str
) -> None:
    alter(lived.url, alteration.format(bytes="bytea" if lived.url.startswith("postgresql") else "BLOB"))

    found = verified(lived.url).discrepancies

    assert found
    assert {fault.problem[: len(problem)] for fault in found} == {problem}
    assert all(fault.in_log for fault in found)
    assert {fault.subject[:17] for fault in found} == {"the configuration"}


def test_an_altered_configuration_of_the_same_length_is_found_and_not_given_out(lived: House) -> None:
    with opened(lived.url) as store, store.reading() as reading:
        ((digest, xml), *_) = reading._db.all("SELECT digest, xml FROM configurations ORDER BY digest")
    other = zlib.compress(zlib.decompress(xml).replace(b"Ann", b"Bob").replace(b"Name", b"Nome"))
    value = f"x'{other.hex()}'" if lived.url.startswith("sqlite") else f"'\\x{other.hex()}'"
    alter(lived.url, f"UPDATE configurations SET xml={value} WHERE digest='{digest}'")

    (fault,) = verified(lived.url).discrepancies

    assert (fault.subject, fault.problem) == (
        f"the configuration {digest[:12]}",
        "it was altered: its digest is another one",
    )


def test_an_adoption_that_was_removed_from_the_log_is_found(lived: House) -> None:
    assert alter(lived.url, "DELETE FROM stored_events WHERE originator_id=0 AND originator_version=2") == 1

    problems = [fault.problem for fault in verified(lived.url).discrepancies]

    assert "event 2 is missing: event 3 follows event 1" in problems


@pytest.mark.on_every_store
def test_a_copy_has_the_configurations_of_the_log(every_store: EveryStore, lived: House) -> None:
    other = every_store()["sqlite" if lived.url.startswith("postgresql") else "postgresql"]

    replayed_into(lived.url, other)

    assert tables(other, EVERYTHING)["configurations"] == tables(lived.url, EVERYTHING)["configurations"]
    assert verified(other).is_sound


# Stores of older versions


@pytest.mark.parametrize("version", [7, 10])
def test_a_store_of_an_older_version_begins_with_unknown_configurations(
    store_url: str, tmp_path: Path, version: int
) -> None:
    bring_back(version, store_url)
    house = House(store_url, tmp_path / "exports", Calendar(), configuration(keep_teams=False))
    assert house.engine.configurations() == []

    adopted = house.engine.adopt(reason="from now on")

    assert adopted is not None
    before = adopted.position - 2  # that is where the run that adopts it begins
    with pytest.raises(ConfigurationUnknown, match=f"is unknown before position {adopted.position}"):
        house.engine.configuration_at(before)
    assert house.engine.configuration_at(adopted.position).digest == adopted.digest
    house.engine.close()
    assert verified(store_url).is_sound


def test_in_a_new_store_the_first_configuration_holds_from_the_beginning(house: House) -> None:
    house.people({"1": "Ann"}).run()

    assert house.engine.configuration_at(0).position == house.engine.configurations()[0].position == 2


# Size


def test_the_adoption_of_the_sample_company_takes_at_most_20_kib(tmp_path: Path, new_store: NewStore) -> None:
    shutil.copytree(SAMPLE, tmp_path / "company")
    url = new_store()
    with Engine.open(url, configuration=tmp_path / "company" / "configuration", leave_out_unbuilt=True) as engine:
        engine.adopt()
        whole = engine.configuration
    with Engine.open(url, configuration=evolve(whole, entity_types=[], associations=[], entity_type_mappings=[],
                     association_mappings=[], resource_types=[], property_expressions=[], correlation_rules=[],
                     classification_rules=[], tasks=[], jobs=[])) as engine:  # fmt: skip
        engine.adopt()
    with Engine.open(url, configuration=whole) as engine:
        engine.adopt()
        differences = engine.configurations()[-1].differences
    assert len(differences) > 20

    with opened(url) as store, store.reading() as reading:
        events = reading._db.all("SELECT state FROM stored_events WHERE originator_id=0")
        xml = reading._db.all("SELECT xml FROM configurations")

    assert max(len(state) for (state,) in events) + max(len(text) for (text,) in xml) <= 20 * 1024


def test_an_event_lists_the_first_differences_and_counts_the_others(house: House) -> None:
    before = house.engine.configuration
    house.engine.adopt()
    person, *others = before.entity_types
    more = EntityType(person.identifier, [*person.properties, *(Property(f"P{n}") for n in range(150))])

    adopted = reopened(house, evolve(before, entity_types=[more, *others])).adopt()

    assert adopted is not None
    assert (len(adopted.differences), adopted.differences[-1]) == (101, "and 50 more")
    first = house.engine.configuration_at(house.engine.configurations()[0].position)
    assert len(adopted.differences_from(first)) == 150


def test_the_check_at_the_start_of_a_run_reads_one_event_and_writes_no_xml(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.people({"1": "Ann"}).run()
    written: list[Configuration] = []
    monkeypatch.setattr(CanonicalXML, "write", lambda self, configuration: written.append(configuration))

    house.run()

    assert written == []


def test_health_works_out_no_plan_where_counts_decide(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.people({"1": "Ann", "2": "Bo"}).run()
    house.teams({"T": "Team"}).run("Teams")
    before = house.engine.configuration
    person, team = before.entity_types
    small = evolve(before, entity_types=[person, EntityType(team.identifier, [*team.properties, Property("Phone")])])
    large = evolve(
        before,
        entity_types=[team],
        associations=(),
        entity_type_mappings=[m for m in before.entity_type_mappings if m.identifier == "Team"],
        association_mappings=(),
        resource_types=(),
        correlation_rules=(),
        tasks=[task for task in before.tasks if task.identifier not in ("Keys", "AllKeys")],
        jobs=[job for job in before.jobs if job.identifier in ("People", "Teams")],
    )

    def fails(*_: object) -> None:
        raise AssertionError("no resource needs to be read")

    monkeypatch.setattr("deltamark.application.adoption.plan.planned_effects", fails)
    assert not any("adopts it" in problem for problem in reopened(house, small).health().problems)
    house.engine.close()
    house.engine = Engine.open(
        house.url, configuration=large, export_output=house.folder, clock=house._clock, adoption=10
    )
    (problem,) = [problem for problem in house.engine.health().problems if "adopts it" in problem]

    assert problem.endswith(
        "dropping entity type Person removes 2 resources; a run drops a whole one with at most 1 by itself"
    )
