"""A machine that lives an organisation's life at random, and looks whether what is derived is ever wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import deltamark
from deltamark import Created, Deleted, HistoryDiscarded, JobRun, Linked, TaskState, Unlinked, Updated
from deltamark.application.derivation.workload import has_unflagged_changes
from deltamark.application.retention.chosen import Chosen
from deltamark.application.retention.retain import retain
from deltamark.domain.adoption.decommission import NameKind
from deltamark.domain.messages import ADOPT
from tests.scenarios.organisation.formulas import ASSOCIATIONS, CLASSES, KEYS, PROPERTIES, Formula
from tests.scenarios.organisation.running import Clock, Known, Organisation
from tests.scenarios.organisation.setting import CONNECTORS, Setting
from tests.scenarios.organisation.watching import Injected, failing
from tests.scenarios.organisation.world import World

NAMES = st.sampled_from(["", "Ann", "Bob", "bob", "Ä", "x"])
WORDS = st.sampled_from(["", "A", "B", "u"])
PEOPLE, DEPARTMENTS, ACCOUNTS = (
    st.sampled_from(["1", "2", "3", "4"]),
    st.sampled_from(["A", "B", "C"]),
    st.sampled_from(["Bob", "x"]),
)
Edit = tuple[Any, ...]
CLASS_OF = {"created": Created, "updated": Updated, "deleted": Deleted, "linked": Linked, "unlinked": Unlinked}
KEYS_OF = {"Person": PEOPLE, "Department": DEPARTMENTS, "Account": ACCOUNTS}

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


def back_and_forth(
    what: str, of: str, keys: st.SearchStrategy[str], *name: str, between: tuple[str, str]
) -> st.SearchStrategy[list[Edit]]:
    """Edits of the same value or link of two resources in turn, or of one; in the end each was changed back."""

    def edits(one: str, other: str) -> list[Edit]:
        return [(what, of, key, *name, value) for value in between for key in dict.fromkeys([one, other])]

    return st.builds(edits, keys, keys)


BACK_AND_FORTH = st.one_of(
    *2 * [back_and_forth("set", "Person", PEOPLE, "Name", between=("N", "M"))],
    back_and_forth("set", "Department", DEPARTMENTS, "Title", between=("S", "T")),
    back_and_forth("refer", "Manager", PEOPLE, between=("1", "3")),
    back_and_forth("refer", "Staff", PEOPLE, between=("A", "B")),
    back_and_forth("refer", "Owner", ACCOUNTS, between=("1", "3")),
    PEOPLE.map(lambda key: [("drop", "Person", key), ("set", "Person", key, "Name", "N")]),
)
THEN = st.sampled_from([None, "Incremental", "Follow", "Weekly"])
"""What follows a step at once, so that what it did shows."""
SHOWN = st.sampled_from(["Follow", "Incremental", "Commands", "Weekly", "Discarded", "Compute"])
"""How one change is followed; see `_shown`."""


def laid(person: str, manager: str, department: str, parent: str, account: str) -> list[Edit]:
    """Edits after which every path has somebody on it, from an account to the department above that of a manager."""
    return [
        ("set", "Department", parent, "Title", "S"),
        ("set", "Department", department, "Title", "S"),
        ("refer", "Parent", department, parent),
        ("set", "Person", manager, "Name", "N"),
        ("set", "Person", manager, "Mail", "Bob"),
        ("set", "Person", manager, "Nick", "n"),
        ("set", "Person", person, "Name", "N"),
        ("refer", "Manager", person, manager),
        ("refer", "Staff", manager, department),
        ("refer", "Deputies", person, manager),
        ("set", "Account", account, "Kind", "u"),
        ("refer", "Owner", account, person),
    ]


def on_the_way(person: str, manager: str, department: str, parent: str, account: str) -> list[Edit]:
    """Edits of which each changes one thing on the paths that were laid: a value, a link, who is there."""
    return [
        *(("set", "Department", key, "Title", "T") for key in (department, parent)),
        *(("set", "Person", key, name, "M") for key in (person, manager) for name in ("Name", "Mail", "Nick")),
        *(("set", "Person", manager, name, "") for name in ("Name", "Nick")),
        ("set", "Account", account, "Kind", "A"),
        *(("refer", "Staff", manager, other) for other in (None, parent)),
        *(("refer", "Manager", person, other) for other in (None, "4")),
        *(("refer", "Owner", account, other) for other in (None, "4")),
        ("refer", "Parent", department, None),
        ("refer", "Deputies", person, None),
        *(("drop", "Person", key) for key in (person, manager)),
        *(("drop", "Department", key) for key in (department, parent)),
        ("drop", "Account", account),
        ("set", "Person", "5", "Name", "N"),
    ]


ON_THE_WAY = len(on_the_way("1", "2", "A", "B", "x"))
WAYS = st.tuples(PEOPLE, PEOPLE, DEPARTMENTS, DEPARTMENTS, ACCOUNTS)


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


def some(of: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of what there is: where less is derived, what is derived shows more, and a run takes less time.

    All of it at the simplest, with which Hypothesis begins: a life in which nothing is derived would show nothing.
    """
    return st.sets(st.sampled_from([*of])).map(lambda gone: {name: of[name] for name in of if name not in gone})


SOME_PROPERTIES = st.fixed_dictionaries(
    {name: st.sampled_from([*formulas, None]) for name, formulas in PROPERTIES.items()}
)

CHAINS = ["Incremental", "Incremental", "Levels", "Follow", "Commands", "Complete"]
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

BETWEEN = ["Complete", "Complete", "Compute", "Flags", "Weekly", "People"]
"""What may run between two changes of the same value: some tasks see the first, and some do not."""

COMPUTING = ("Compute", "Follow", "Weekly", "Late", "People")
"""Jobs that only flag and compute."""
OF_SIDE = {"source": "Person", "target": "Account"}

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

    @initialize(properties=SOME_PROPERTIES, keys=some(KEYS), classes=some(CLASSES), edits=st.lists(EDITS, max_size=6))
    def found(self, properties: Any, keys: Any, classes: Any, edits: list[Edit]) -> None:
        computed = {name: formula for name, formula in properties.items() if formula is not None}
        setting = Setting(properties=computed, keys=keys, classes=classes)
        self.organisation = Organisation(self.new_url(), self.folder, self.clock, setting, plain=self.known)
        begun(self.organisation.world)
        lived(self.organisation.world, edits)
        self.is_mapping_new = False
        self.read_to, self.is_read_whole, self.versions, self.told = 0, True, {}, {}
        counted["examples"] += 1
        with self._step("chains"):
            self._chain("Incremental")

    def teardown(self) -> None:
        if hasattr(self, "organisation"):
            try:
                if not self.has_failed:
                    with self._step("chains"):
                        self._chain("Incremental")
                        self._afresh()
            finally:
                self.organisation.engine.close()

    has_failed = False
    failed: list[BaseException] | None = None
    """Where a list is given: what failed, the first first."""
    read_to: int
    is_read_whole: bool
    versions: dict[str, int]
    told: dict[str, dict[str, dict[str, Any]]]
    """How far the log was read, and whether from its beginning without a gap; the newest version of each stream, and
    what the log tells of each entity type.
    """

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        counted["steps"] += 1
        counted[name] += 1
        try:
            yield
        except BaseException as e:
            self.has_failed = True
            if self.failed is not None:
                self.failed.append(e)
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

    @rule(edits=FEW, job=st.sampled_from(CHAINS), again=st.booleans())
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

    @rule(turns=BACK_AND_FORTH, jobs=st.lists(st.sampled_from(BETWEEN), min_size=1, max_size=3))
    def again_and_again(self, turns: list[Edit], jobs: list[str]) -> None:
        """The same changes again and again, and is seen by another part of the tasks each time."""
        edits = cycle(turns)
        for job in jobs:
            self._edit([next(edits)])
            for part in (*CONNECTORS, job) if job != "Complete" else (job,):
                self._part(part)
        self._edit([next(edits)])
        with self._step("chains"):
            self._chain("Incremental")

    @rule(way=WAYS, numbers=st.lists(st.integers(0, ON_THE_WAY - 1), min_size=1, max_size=2), how=SHOWN)
    def along(self, way: tuple[str, ...], numbers: list[int], how: str) -> None:
        """Something changes on paths of several links while everything else stands still, so that nothing hides it."""
        with self._step("ways"):
            lived(self.organisation.world, laid(*way))
            self._chain("Incremental")
        self._edit([on_the_way(*way)[number] for number in numbers])
        self._shown(how)

    def _shown(self, how: str) -> None:
        """What changed is followed: by one of the jobs, after its changes were discarded unread, or in pieces."""
        organisation = self.organisation
        if how == "Discarded":
            before = organisation.setting.discarding
            organisation.edited(discarding=frozenset(CONNECTORS))
            for connector in CONNECTORS:
                self._part(connector)
            organisation.edited(discarding=before)
        elif how in ("Weekly", "Compute"):
            for connector in CONNECTORS:
                self._part(connector)
            if how == "Compute":
                self._part("Compute")
        if (how == "Commands" and self.is_mapping_new) or (
            how == "Weekly" and how not in organisation.setting.consumers
        ):
            how = "Incremental"
        with self._step("chains"):
            self._chain("Follow" if how in ("Discarded", "Compute") else how)

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
            if job == "Weekly" and job not in self.organisation.setting.consumers:
                job = "Compute"
            self._ran(self._as_listed(job) if job in COMPUTING else self.organisation.run(job))
            if job in ("HR", "Complete"):
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
            run: JobRun | None = None
            with failing(self.organisation.engine, at) as calls, suppress(Injected):
                run = self.organisation.attempt(job)
            if run is not None:  # otherwise it was raised where an edited configuration is adopted: no run began
                assert (run.state is TaskState.FAILED) == (len(calls) >= at)
                self._ran(run)
            counted["failed"] += len(calls) >= at
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
                    tx.drop_read_flags()

    @rule(connector=st.sampled_from(CONNECTORS), keep=st.integers(0, 12), even_unread=st.booleans(), then=THEN)
    def discard(self, connector: str, keep: int, even_unread: bool, then: str | None) -> None:
        with self._step("retentions"):
            engine = self.organisation.engine
            before = (self.organisation.state(), self.organisation.derived(), engine.dirty())
            found = retain(
                engine._services,
                Chosen(NameKind.CONNECTOR, connector),
                keep,
                even_unread=even_unread,
                progress=lambda *_: None,
                at_a_time=5,
            )
            counted["discarded"] += found.count
            assert (self.organisation.state(), self.organisation.derived(), engine.dirty()) == before
            self._log_is_whole()
        self._then(then)

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

    @rule(
        key=PEOPLE,
        name=NAMES,
        jobs=st.lists(st.sampled_from(["HR", "Compute", "Flags", "Weekly"]), max_size=2),
        how=SHOWN,
        again=st.booleans(),
    )
    def change_hands(self, key: str, name: str, jobs: list[str], how: str, again: bool) -> None:
        """A property that a source fed is computed from now on, or the other way round; and back again."""
        self._edit([("set", "Person", key, "Name", name), ("set", "Person", key, "Nick", "n")])
        with self._step("chains"):
            self._chain("Incremental")
        for _ in range(1 + again):
            with self._step("configurations"):
                self._computing("Person.Nick", *PROPERTIES["Person.Nick"])
            for job in jobs:
                self._part(job)
            self._shown(how)

    def _computing(self, name: str, formula: Formula) -> None:
        """With this expression of a property; without one where it is this already."""
        chosen = None if self.organisation.setting.properties.get(name) == formula else formula
        if name == "Person.Nick" and chosen is None:
            self.is_mapping_new = True
        self.organisation.computing(**{name.replace(".", "_"): chosen})

    @rule(
        data=st.data(),
        name=st.sampled_from([*PROPERTIES, *ASSOCIATIONS]),
        edits=FEW,
        jobs=st.lists(st.sampled_from(["Weekly", "Weekly", "People", "Compute", "Flags"]), max_size=2),
        how=st.tuples(SHOWN, SHOWN),
    )
    def there_and_back(
        self, data: st.DataObject, name: str, edits: list[Edit], jobs: list[str], how: tuple[str, str]
    ) -> None:
        """An expression, or an association, is another one for some of the tasks, and then again what it was."""
        organisation, before = self.organisation, self.organisation.setting
        with self._step("configurations"):
            if name in ASSOCIATIONS:
                chosen = None if name in before.renamed else f"{name}2"
                organisation.edited(renamed=_toggled(before.renamed, name, chosen))
            else:
                self._computing(name, data.draw(st.sampled_from(PROPERTIES[name])))
        for job in jobs:
            self._part(job)
        self._edit(edits)
        self._shown(how[0])
        with self._step("configurations"):
            if name == "Person.Nick" and name in organisation.setting.properties:
                self.is_mapping_new = name not in before.properties
            organisation.edited(properties=before.properties, renamed=before.renamed)
        self._shown(how[1])

    # What holds.

    def _as_listed(self, job: str) -> JobRun:
        """A run of a job that only flags and computes: what it computes or writes was dirty before, for its task.

        Unless there were changes that are not flagged yet, and the job flags them.
        """
        organisation = self.organisation
        engine = organisation.engine
        with engine._services.store.reading() as reading:
            is_told = job == "Compute" or not has_unflagged_changes(reading)
        dirty = {(found.task, found.entity_type, found.key): found.through for found in engine.dirty()}
        self._explained(dirty)
        before, keys, classes = engine.position(), organisation.correlated(), held_classes(engine)
        run = organisation.run(job)
        if is_told and not _has_adopted(engine, before):
            counted["listed"] += len(dirty)
            counted["followed"] += sum(map(bool, dirty.values()))
            for task in run.tasks:
                assert task.counts.computed <= sum(name == task.identifier for name, *_ in dirty), (task, dirty)
            with suppress(HistoryDiscarded):
                for change in engine.changes(after=before):
                    written = (change.task, change.event.ref.entity_type, change.event.ref.key)
                    assert written in dirty, (change, dirty)
            consumer = job.removesuffix("Compute").removesuffix("Follow")
            for kind, changed in (
                ("Keys", {(OF_SIDE[side], key) for _, side, key, _ in keys ^ organisation.correlated()}),
                ("Classes", {("Account", key) for key, _ in classes ^ held_classes(engine)}),
            ):
                listed = {(entity_type, key) for task, entity_type, key in dirty if task == f"{consumer}{kind}"}
                assert changed <= listed, (changed, dirty)
        return run

    def _explained(self, dirty: Mapping[tuple[str, str, str], tuple[str, ...]]) -> None:
        """What is dirty has a cause, what may follow only causes over computed values, what is clean none."""
        engine = self.organisation.engine
        chosen = sorted(dirty)[self.read_to % 5 :: 5][:3]
        for task, entity_type, key in chosen:
            causes = engine.why(entity_type, key, task=task).causes
            assert causes, (task, entity_type, key)
            assert all(cause.through for cause in causes) == bool(dirty[task, entity_type, key]), causes
        keys = {key for _, entity_type, key in dirty if entity_type == "Person"}
        for key in [key for key in self.organisation.state()["Person"] if key not in keys][:1]:
            assert engine.why("Person", key).causes == ()

    def _chain(self, job: str) -> None:
        organisation = self.organisation
        self._ran(self._as_listed(job) if job in COMPUTING else organisation.run(job))
        if job in ("Incremental", "Levels", "Complete"):
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
        counted["repetitions"] += 1
        assert run.counts.changed == run.counts.flagged == run.counts.necessary == run.counts.written == 0
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
        state = self.organisation.state()
        try:
            for change in self.organisation.engine.changes(after=self.read_to):
                self._told(change)
            assert {name: self.told.get(name, {}) for name in state} == state
        except HistoryDiscarded:
            self.versions, self.told, self.is_read_whole = {}, state, False
        self.read_to = self.organisation.engine.position()

    def _told(self, change: Any) -> None:
        event = change.event
        assert getattr(deltamark, type(event).__name__) is type(event), "users can import the class of every event"
        assert isinstance(event, CLASS_OF[change.kind])
        unseen = 0 if self.is_read_whole else event.originator_version - 1
        expected = self.versions.get(event.originator_id, unseen) + 1
        assert event.originator_version == expected, change
        self.versions[event.originator_id] = expected
        if change.kind not in ("linked", "unlinked"):
            _tell(self.told.setdefault(event.ref.entity_type, {}), change)


def _has_adopted(engine: Any, before: int) -> bool:
    """Whether a run since then changed anything by adopting a configuration, which no task has as dirty."""
    with suppress(HistoryDiscarded):
        return any(change.task == ADOPT for change in engine.changes(after=before))
    return False


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


def held_classes(engine: Any) -> set[tuple[str, str]]:
    """Each account with each of the rules that hold for it."""
    with engine._services.store.reading() as reading:
        return {(key, rule) for key, rules in reading.classifications("Account") for rule in rules}


def _toggled(held: Mapping[str, Any], name: str, chosen: Any) -> dict[str, Any]:
    """With another value under a name, or none."""
    kept = {other: value for other, value in held.items() if other != name}
    return kept if chosen is None else {**kept, name: chosen}
