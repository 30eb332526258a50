"""Edits of the model: which a run adopts, which wait for a person, what is put on record, and what is undone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import (
    AdoptionWaits,
    Configuration,
    Connector,
    Engine,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    NextAction,
    PropertyMapping,
    PropertyType,
    SetAside,
    Step,
    SynchronizeTask,
    TaskState,
    Thresholds,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark import Property as ModelProperty
from deltamark.domain.runs.run import Counts
from tests.stores import NewStore

STRING, INT32 = PropertyType.STRING, PropertyType.INT32
Open = Callable[..., Engine]


def model(*properties: tuple[str, PropertyType], team: bool = False, cron: str | None = None) -> Configuration:
    """People with a number and these properties, each from a column of its name; perhaps teams."""
    types, mappings = [], []
    for name, own in (("Person", properties), *([("Team", ())] if team else [])):
        declared = [ModelProperty("Number", is_key=True), *(ModelProperty(item, kind) for item, kind in own)]
        columns = [PropertyMapping("Number", "number", is_primary_key=True)]
        columns += [PropertyMapping(item, item.lower()) for item, _ in own]
        types.append(EntityType(name, declared))
        mappings.append(EntityTypeMapping(name, "HR", name, columns))
    job = Job("Read", [SynchronizeTask(connector="HR", do_not_delete_changes=True)], cron_tab_expression=cron)
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=types,
        entity_type_mappings=mappings,
        jobs=[job],
    )


TEXT, NUMBER, NONE = model(("Phone", STRING)), model(("Phone", INT32)), model()


@pytest.fixture
def opens(new_store: NewStore, tmp_path: Path) -> Iterator[Open]:
    """Opens one store under a configuration; the engine before is closed."""
    url, engines = new_store(), []
    rows = [f"{n},{phone}" for n, phone in enumerate(["007", "12", "none", ""], 1)]
    (tmp_path / "Person.csv").write_text("\n".join(["number,phone", *rows, ""]))
    (tmp_path / "Team.csv").write_text("number\n1\n2\n")

    def opened(configuration: Configuration, **options: Any) -> Engine:
        for engine in engines:
            engine.close()
        engines.append(Engine.open(url, configuration=configuration, export_output=tmp_path, **options))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.close()


def phones(engine: Engine) -> list[Any]:
    return [row.values.get("Phone") for row in engine.export_resources("Person")]


@pytest.mark.on_every_store
def test_a_run_adopts_a_small_edit_and_puts_on_record_what_it_could_not_convert(opens: Open) -> None:
    opens(TEXT).run_job("Read")

    run = opens(NUMBER).run_job("Read")

    assert run.state is TaskState.WARNING, "the row that cannot be read as a number is set aside by the task, too"
    assert run.adoption is not None
    assert run.adoption.counts == Counts(updated=3, set_aside=1)
    assert run.adoption.messages == (
        "adopted the configuration: 2 values converted, 1 value that cannot be converted removed",
        "Property Phone of Person: String → Int32: 2 values converted; 1 value that cannot be converted removed",
    )
    assert (
        run.adoption.set_aside
        == run.set_aside[:1]
        == (
            SetAside(
                file="Person",
                line=None,
                column="Phone",
                reason="the value cannot be converted to the new type, and was removed",
                value="none",
                key="3",
            ),
        )
    )
    with opens(NUMBER) as engine:
        assert engine.run(run.number).adoption == run.adoption
        changes = list(engine.changes(run=run.number))
        assert {(change.task, change.kind, change.event.cause.task) for change in changes} == {
            ("*adopt*", "updated", 0)
        }
        assert phones(engine) == [7, 12, None, None]
        assert engine.verify().differences == 0


@pytest.mark.on_every_store
@pytest.mark.parametrize("after", [NONE, NUMBER], ids=["dropped", "retyped"])
def test_what_exceeds_the_limit_waits_for_a_person_and_starts_nothing(opens: Open, after: Configuration) -> None:
    opens(TEXT).run_job("Read")
    engine = opens(after, adoption=2)
    head = engine.position()

    for start in (lambda: engine.run_job("Read"), lambda: engine.run_job("Read", dry_run=True)):
        with pytest.raises(AdoptionWaits, match=r"3 values, resources and links; a run .* at most 2") as error:
            start()
    assert [step.action for step in error.value.next_steps] == [NextAction.PLAN_ADOPTION, NextAction.ADOPT]
    assert engine.position() == head
    assert not engine.health().is_well

    adopted = engine.adopt(reason="change 4711")

    assert adopted is not None
    assert adopted.reason == "change 4711"
    assert engine.health().is_well
    assert engine.run_job("Read").adoption is None


@pytest.mark.parametrize(("limit", "waits"), [(19, True), (20, False)])
def test_of_a_whole_entity_type_a_run_drops_a_tenth_of_the_limit(opens: Open, limit: int, waits: bool) -> None:
    opens(model(team=True)).run_job("Read")
    engine = opens(model(), adoption=limit)

    assert (engine.plan().waits_because is not None) is waits
    if not waits:
        run = engine.run_job("Read")
        assert run.adoption is not None
        assert run.adoption.counts.deleted == 2


def test_a_resumed_run_waits_as_well(opens: Open, tmp_path: Path) -> None:
    opens(TEXT).run_job("Read")
    people = (tmp_path / "Person.csv").read_text()
    (tmp_path / "Person.csv").unlink()
    failed = opens(TEXT).run_job("Read")
    (tmp_path / "Person.csv").write_text(people)
    engine = opens(NONE, adoption=0)

    with pytest.raises(AdoptionWaits):
        engine.resume(failed.number)
    assert engine.run(failed.number).state is TaskState.FAILED

    engine.adopt()
    assert engine.resume(failed.number).state is TaskState.COMPLETED


def test_a_dry_run_shows_what_adopting_does_and_undoes_it(opens: Open) -> None:
    opens(TEXT).run_job("Read")
    engine = opens(NONE)
    shown: list[Any] = []

    run = engine.run_job("Read", dry_run=True, rehearsed=shown.extend)

    assert run.adoption is not None
    assert [change.task for change in shown] == ["*adopt*"] * 3
    assert not engine.plan().is_in_force
    assert len(engine.configurations()) == 1


def test_an_adoption_that_fails_at_any_point_changes_nothing(opens: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opens(model(("Phone", STRING), team=True)).run_job("Read")
    before = None
    for point in count():
        engine = opens(NONE)
        calls = count()

        def failing(called: Callable[..., Any], point: int = point, calls: Iterator[int] = calls) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                done = called(*arguments, **named)
                if next(calls) == point:
                    raise KeyboardInterrupt
                return done

            return call

        store = type(engine._services.store)
        session = _session(engine)
        before = before or _all_of(engine)
        with monkeypatch.context() as patch:
            for name in ("append_adoption", "append_resources", "append_links", "remove_rules", "flag_changes"):
                patch.setattr(session, name, failing(getattr(session, name)))
            try:
                engine.adopt()
            except KeyboardInterrupt:
                pass
            else:
                break
        assert store is type(engine._services.store)
        assert _all_of(engine) == before, f"after {point + 1} steps"
        assert engine.verify().differences == 0
    assert point >= 4
    assert phones(engine) == [None] * 4


def _session(engine: Engine) -> type:
    with engine._services.store.transaction() as tx:
        return type(tx)


def _all_of(engine: Engine) -> Sequence[Any]:
    return engine.position(), len(engine.configurations()), len(engine.runs())


def test_a_scheduler_says_that_a_configuration_waits_and_goes_on(opens: Open) -> None:
    opens(model(("Phone", STRING), cron="* * * * * *")).run_job("Read")
    engine = opens(model(cron="* * * * * *"), adoption=0)
    stop, notices = threading.Event(), []

    def told(notice: Any) -> None:
        notices.append(notice)
        if notice.kind.value == "refused":
            with engine._services.store.reading() as reading:
                assert len(reading.runs()) == 1
            engine.adopt()
        if notice.kind.value == "ended":
            stop.set()

    engine.schedule(stop, told=told)

    kinds = [notice.kind.value for notice in notices]
    assert kinds.count("refused") == 1
    assert kinds.index("refused") < kinds.index("started")
    assert "waits for a person" in next(notice.words for notice in notices if notice.kind.value == "refused")


def test_erasing_a_person_empties_what_could_not_be_converted(opens: Open) -> None:
    opens(TEXT).run_job("Read")
    number = opens(NUMBER).run_job("Read").number

    engine = opens(NUMBER)
    engine.erase("Person", "3", reason="asked for")

    adoption = engine.run(number).adoption
    assert adoption is not None
    assert adoption.set_aside == ()


def test_an_added_property_changes_nothing_and_an_edit_taken_back_leaves_nothing(opens: Open) -> None:
    opens(TEXT).run_job("Read")
    more = opens(model(("Phone", STRING), ("Number2", STRING)))
    assert more.plan().summary == "nothing in the store changes"
    assert more.plan().waits_because is None

    engine = opens(TEXT, adoption=0)
    assert engine.plan().is_in_force
    assert evolve(engine.plan(), limit=0).weight == 0


@pytest.mark.parametrize("is_called", [True, False], ids=["a task removes them", "no job calls the task"])
def test_values_of_a_dropped_rule_are_gone_after_the_next_run(opens: Open, is_called: bool) -> None:
    compute = UpdateEntityPropertyExpressionsTask(all_entity_type=True)
    declared = evolve(TEXT.entity_types[0], properties=[*TEXT.entity_types[0].properties, ModelProperty("Copy")])
    kept = evolve(TEXT, entity_types=[declared], tasks=[compute])
    called = evolve(kept, jobs=[evolve(kept.jobs[0], tasks=[*kept.jobs[0].tasks, Step(compute.identifier)])])
    rule = EntityPropertyExpression("Copied", "Person", "Copy", binding="Phone")
    opens(evolve(called, property_expressions=[rule])).run_job("Read")

    engine = opens(called if is_called else kept)
    plan = engine.plan()
    engine.run_job("Read")

    assert plan.weight == (0 if is_called else 3), "what no task removes, the adoption does"
    assert [row.values.get("Copy") for row in engine.export_resources("Person")] == [None] * 4
    assert not engine.verify().differences
