"""A machine that lives an organisation's life at random, and looks whether what is derived is ever wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from deltamark import HistoryDiscarded, JobRun, TaskState
from tests.engine.organisation.formulas import ASSOCIATIONS, CLASSES, KEYS, PROPERTIES
from tests.engine.organisation.running import Clock, Known, Organisation
from tests.engine.organisation.setting import CONNECTORS, everything
from tests.engine.organisation.watching import failing
from tests.engine.organisation.world import World

NAMES = st.sampled_from(["", "Ann", "Bob", "bob", "Ä", "x"])
WORDS = st.sampled_from(["", "A", "B", "u"])
PEOPLE, DEPARTMENTS, ACCOUNTS = (
    st.sampled_from(["1", "2", "3", "4"]),
    st.sampled_from(["A", "B", "C"]),
    st.sampled_from(["Bob", "x"]),
)
KEYS_OF = {"Person": PEOPLE, "Department": DEPARTMENTS, "Account": ACCOUNTS}

OF_PEOPLE = st.sampled_from(["Name", "Name", "Mail", "Nick"])

Edit = tuple[Any, ...]
EDITS: st.SearchStrategy[Edit] = st.one_of(
    *4
    * [st.tuples(st.just("set"), st.just("Person"), PEOPLE, st.sampled_from(["Name", "Name", "Mail", "Nick"]), NAMES)],
    *2 * [st.tuples(st.just("set"), st.just("Department"), DEPARTMENTS, st.just("Title"), WORDS)],
    st.tuples(st.just("set"), st.just("Account"), ACCOUNTS, st.just("Kind"), WORDS),
    st.one_of(*(st.tuples(st.just("drop"), st.just(name), keys) for name, keys in KEYS_OF.items())),
    *(
        st.tuples(
            st.just("refer"), st.just(name), KEYS_OF[end.source], st.one_of(st.none(), *4 * [KEYS_OF[end.target]])
        )
        for name, end in ASSOCIATIONS.items()
        for _ in range(3 if name == "Manager" else 1)
    ),
)


FEW = st.lists(EDITS, max_size=4)
THEN = st.sampled_from([None, "Incremental", "Follow", "Weekly"])
"""What follows a step at once, so that what it did shows."""


def lived(world: World, edits: Iterable[Edit]) -> None:
    """What edits make of the source systems: of one value, of a resource, of a reference."""
    for edit in edits:
        match edit:
            case ("set", entity_type, key, name, value):
                world.put(entity_type, key, {**world.resources[entity_type].get(key, {}), name: value})
            case ("drop", entity_type, key):
                world.drop(entity_type, key)
            case ("refer", association, source, target):
                if source in world.resources[ASSOCIATIONS[association].source]:
                    world.refer(association, source, target)


def begun(world: World) -> None:
    """Some people, so that the first day meets something."""
    for code in ("A", "B"):
        world.put("Department", code, {"Title": code})
    world.refer("Parent", "B", "A")
    for number, manager in (("1", "2"), ("2", "3"), ("3", "3"), ("4", "2")):
        world.put("Person", number, {"Name": f"N{number}", "Mail": "Bob"})
        world.refer("Manager", number, manager)
        world.refer("Staff", number, "A" if number < "3" else "B")
    world.put("Account", "Bob", {"Kind": "u"})
    world.refer("Owner", "Bob", "1")


CHAINS = ["Incremental", "Incremental", "Incremental", "Follow", "Commands", "Complete"]
"""Jobs after which everything derived is current; so it is after a job of another consumer."""
PARTS = [
    *CONNECTORS,
    *(f"{connector}Commands" for connector in CONNECTORS),
    "HR",
    "Compute",
    "Compute",
    "Flags",
    "People",
]

counted: Counter[str] = Counter()
"""What all machines did, for the figures."""


class DerivedMachine(RuleBasedStateMachine):
    """See the module. To be given stores by a subclass: `within`."""

    new_url: Callable[[], str]
    folder: Path
    clock: Clock
    known = Known()
    is_thorough = False
    """Whether to compare with a fresh store every time, instead of now and then."""

    @classmethod
    def within(cls, new_url: Callable[[], str], folder: Path, clock: Clock, *, is_thorough: bool) -> type[Any]:
        """The machine with stores to work on."""
        place = {"new_url": staticmethod(new_url), "folder": folder, "clock": staticmethod(clock)}
        return type(cls.__name__, (cls,), {**place, "is_thorough": is_thorough})

    @initialize(is_nick_mapped=st.booleans(), edits=st.lists(EDITS, max_size=6))
    def found(self, is_nick_mapped: bool, edits: list[Edit]) -> None:
        setting = everything()
        if not is_nick_mapped:
            setting = evolve(setting, properties={**setting.properties, "Person.Nick": PROPERTIES["Person.Nick"][0]})
        self.organisation = Organisation(self.new_url(), self.folder, self.clock, setting, plain=self.known)
        begun(self.organisation.world)
        lived(self.organisation.world, edits)
        self.is_mapping_new = False
        counted["examples"] += 1
        self._chain("Incremental")

    def teardown(self) -> None:
        if hasattr(self, "organisation"):
            try:
                if not self.has_failed:
                    self._chain("Incremental")
                    self._afresh()
            finally:
                self.organisation.engine.close()

    has_failed = False

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        counted["steps"] += 1
        counted[name] += 1
        try:
            yield
        except BaseException:
            self.has_failed = True
            raise

    # What happens in the source systems.

    @rule(edits=st.lists(EDITS, min_size=4, max_size=24))
    def day(self, edits: list[Edit]) -> None:
        self._edit(edits)

    def _edit(self, edits: list[Edit]) -> None:
        for edit in edits:
            with self._step("edits"):
                lived(self.organisation.world, [edit])

    # What is run.

    @rule(edits=FEW, job=st.sampled_from(CHAINS), again=st.sampled_from([False, False, False, True]))
    def chain(self, edits: list[Edit], job: str, again: bool) -> None:
        self._edit(edits)
        with self._step("chains"):
            if job == "Commands" and self.is_mapping_new:
                job = "Incremental"
            self._chain(job)
            if again:
                self._again(job)

    @rule(edits=FEW, consumer=st.sampled_from(["Weekly", "Weekly", "Late"]))
    def consume(self, edits: list[Edit], consumer: str) -> None:
        self._edit(edits)
        self._part("HR")
        with self._step("chains"):
            if consumer in self.organisation.setting.consumers:
                self._chain(consumer)

    @rule(edits=FEW, jobs=st.lists(st.sampled_from(PARTS), min_size=1, max_size=3), then=THEN)
    def parts(self, edits: list[Edit], jobs: list[str], then: str | None) -> None:
        self._edit(edits)
        for job in jobs:
            self._part(job)
        self._then(then)

    def _part(self, job: str) -> None:
        with self._step("parts"):
            if job == "HRCommands" and self.is_mapping_new:
                job = "HR"
            if job == "People" and not self.organisation.setting.of_people:
                job = "Compute"
            self._ran(self.organisation.run(job))
            if job == "HR":
                self.is_mapping_new = False

    @rule(
        edits=FEW,
        job=st.sampled_from(["Incremental", "Follow", "Complete", "Compute", "HR"]),
        at=st.integers(1, 60),
        then=THEN,
    )
    def fail(self, edits: list[Edit], job: str, at: int, then: str | None) -> None:
        self._edit(edits)
        with self._step("failures"):
            with failing(self.organisation.engine, at) as calls:
                run = self.organisation.attempt(job)
            assert (run.state is TaskState.FAILED) == (len(calls) >= at)
            self._ran(run)
            counted["failed"] += run.state is TaskState.FAILED
        self._then(then)

    def _then(self, job: str | None) -> None:
        if job in ("Incremental", "Follow", *self.organisation.setting.consumers):
            with self._step("chains"):
                self._chain(job)

    @rule(what=st.sampled_from(["reopen", "forget", "verify"]), sample=st.sampled_from([None, 1, 3]))
    def keep_house(self, what: str, sample: int | None) -> None:
        with self._step("upkeep"):
            engine = self.organisation.engine
            if what == "reopen":
                self.organisation.reopened()
            elif what == "verify":
                counted["verifications"] += 1
                found = engine.verify_derived(sample=sample, seed=sample or 0)
                assert self.is_mapping_new or found.faults == ()
            else:
                with engine._services.store.transaction() as tx:
                    tx.forget_flags()

    # What is edited.

    @rule(data=st.data(), name=st.sampled_from([*PROPERTIES, "Person.Nick"]), then=THEN)
    def formula(self, data: st.DataObject, name: str, then: str | None) -> None:
        with self._step("configurations"):
            chosen = data.draw(st.sampled_from([None, *PROPERTIES[name]]))
            if name == "Person.Nick" and chosen is None and name in self.organisation.setting.properties:
                self.is_mapping_new = True
            self.organisation.computing(**{name.replace(".", "_"): chosen})
        self._then(then)

    @rule(
        data=st.data(),
        what=st.sampled_from(["keys", "classes", "discarding", "renamed", "consumers", "people"]),
        then=THEN,
    )
    def edit(self, data: st.DataObject, what: str, then: str | None) -> None:
        with self._step("configurations"):
            organisation, setting = self.organisation, self.organisation.setting
            match what:
                case "keys":
                    chosen = data.draw(st.sampled_from([None, *KEYS.values()]))
                    organisation.edited(keys=_toggled(setting.keys, data.draw(st.sampled_from([*KEYS])), chosen))
                case "classes":
                    name = data.draw(st.sampled_from([*CLASSES]))
                    chosen = None if name in setting.classes else CLASSES[name]
                    organisation.edited(classes=_toggled(setting.classes, name, chosen))
                case "discarding":
                    organisation.edited(discarding=setting.discarding ^ {data.draw(st.sampled_from(CONNECTORS))})
                case "renamed":
                    name = data.draw(st.sampled_from([*ASSOCIATIONS]))
                    chosen = None if name in setting.renamed else f"{name}2"
                    organisation.edited(renamed=_toggled(setting.renamed, name, chosen))
                case "consumers":
                    consumer = data.draw(st.sampled_from(["Weekly", "Late"]))
                    kept = tuple(name for name in setting.consumers if name != consumer)
                    added = () if consumer in setting.consumers else (consumer,)
                    organisation.edited(consumers=(*kept, *added))
                case "people":
                    organisation.edited(of_people=not setting.of_people)
        self._then(then)

    # What holds.

    def _chain(self, job: str) -> None:
        organisation = self.organisation
        self._ran(organisation.run(job))
        if job in ("Incremental", "Complete"):
            self.is_mapping_new = False
        if self.is_mapping_new:
            return  # what stands in the place of what was computed shows only when it is synchronized
        assert organisation.derived() == organisation.by_hand()
        if self.is_thorough or counted["chains"] % 6 == 0:
            assert organisation.engine.verify_derived().differences == ()
        if self.is_thorough or counted["chains"] % 6 == 1:
            self._afresh()

    def _again(self, job: str) -> None:
        organisation = self.organisation
        before = organisation.engine.position()
        run = organisation.run(job)
        assert run.counts.changed == run.counts.necessary == run.counts.written == 0
        with organisation.engine._services.store.reading() as reading:
            assert not [*reading.changes(before, None)]
        if job == "Follow":
            assert run.counts.executed == 0

    def _afresh(self) -> None:
        other = self.organisation.afresh(self.new_url(), self.folder)
        try:
            assert other.derived() == self.organisation.derived()
        finally:
            other.engine.close()

    def _ran(self, run: JobRun) -> None:
        """What holds after any run, whatever became of it."""
        counted["runs"] += 1
        for task in run.tasks:
            assert task.counts.executed >= task.counts.necessary
        self._log_is_whole()

    def _log_is_whole(self) -> None:
        """Versions are 1, 2, 3, … in each stream, and what the log tells is what stands."""
        for entity_type, resources in self.organisation.state().items():
            told: dict[str, dict[str, Any]] = {}
            versions: dict[str, int] = {}
            try:
                changes = list(self.organisation.engine.changes(entity_type=entity_type))
            except HistoryDiscarded:
                continue
            for change in changes:
                event = change.event
                expected = versions.get(event.originator_id, 0) + 1
                assert event.originator_version == expected, change
                versions[event.originator_id] = expected
                if change.kind not in ("linked", "unlinked"):
                    _tell(told, change)
            assert told == resources


def _tell(told: dict[str, dict[str, Any]], change: Any) -> None:
    key = change.event.ref.key
    assert (key in told) == (change.kind != "created"), change
    values = told.setdefault(key, {})
    for name, values_of in change.event.changes.items():
        assert values.get(name) == values_of.before, change
        assert values_of.before != values_of.after, change
        values[name] = values_of.after
    if change.kind == "deleted":
        assert set(change.event.changes) >= {name for name, value in values.items() if value is not None}
        del told[key]
    else:
        told[key] = {name: value for name, value in values.items() if value is not None}


def _toggled(held: Mapping[str, Any], name: str, chosen: Any) -> dict[str, Any]:
    """With another value under a name, or none."""
    kept = {other: value for other, value in held.items() if other != name}
    return kept if chosen is None else {**kept, name: chosen}
