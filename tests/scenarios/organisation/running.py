"""The organisation with an engine that follows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from attrs import evolve

from deltamark import Engine, JobRun, TaskState
from deltamark.application.derivation.plan import derivation_plan
from deltamark.application.digests import configuration_digest
from deltamark.application.services import Operator, Services
from deltamark.bootstrap import open_store
from deltamark.config.xml.canonical import CanonicalXML
from deltamark.domain.validation.field_types import type_faults
from deltamark.domain.validation.validate import faults
from deltamark.infrastructure.duckdb.connection import Workbench
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.scenarios.organisation.by_hand import ByHand, Held
from tests.scenarios.organisation.extracts import Extracts
from tests.scenarios.organisation.formulas import ASSOCIATIONS, TYPES, Formula
from tests.scenarios.organisation.plain import PlainComparer, PlainExtracts
from tests.scenarios.organisation.setting import CONNECTORS, Setting
from tests.scenarios.organisation.watching import Asked, watched
from tests.scenarios.organisation.world import Commands, Links, Resources, World

Clock = Callable[[], datetime]


class Known:
    """Configurations that were checked and planned already; they come again and again in a long test."""

    MOST = 100

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}
        self._workbench = Workbench(threads=1)

    def services(self, url: str, clock: Clock, setting: Setting, extracts: Any) -> Services:
        """What an engine is made of, but for extracts and comparer, which are of plain Python."""
        configuration = setting.configuration
        digest = configuration_digest(configuration)
        found = self._found.pop(digest, None)
        if found is None:
            assert not type_faults(configuration)
            assert not faults(configuration)
            evaluator = DuckEvaluator(configuration, workbench=self._workbench)
            found = (derivation_plan(configuration, evaluator), evaluator)
        self._found[digest] = found  # the newest; those that were not asked for lately make room
        while len(self._found) > self.MOST:
            del self._found[next(iter(self._found))]
        plan, evaluator = found
        return Services(
            store=open_store(url, clock),
            configuration=configuration,
            extracts=extracts,
            comparer=PlainComparer(),
            evaluator=evaluator,
            plan=plan,
            write_orphans=lambda run, association, orphans: "",
            operator=Operator(user="tester", host="here", process=os.getpid()),
            clock=clock,
            open_store=lambda other: open_store(other, clock),
            make_evaluator=lambda other: DuckEvaluator(other, workbench=self._workbench),
            configuration_format=CanonicalXML(),
        )


class Organisation:
    """The source systems as they are today, the engine that reads them, and what its store must hold."""

    def __init__(
        self, url: str, folder: Path, clock: Clock, setting: Setting | None = None, *, plain: Known | None = None
    ) -> None:
        self.url, self.clock, self.setting = url, clock, setting or Setting()
        self.world, self.held = World(), Held(self.setting)
        self._plain = plain
        self.extracts = Extracts(folder) if plain is None else PlainExtracts(folder)
        self.engine = self._opened()
        self._synchronized = {connector: self._nothing(connector) for connector in CONNECTORS}

    @staticmethod
    def _nothing(connector: str) -> World:
        return World().part(connector)

    def _opened(self) -> Engine:
        if self._plain is not None:
            engine = Engine(self._plain.services(self.url, self.clock, self.setting, self.extracts))
        else:
            engine = Engine.open(
                self.url,
                configuration=self.setting.configuration,
                export_output=self.extracts.folder,
                clock=self.clock,
            )
        self._watching = watched(engine)
        return engine

    def reopened(self) -> Organisation:
        """The same store, opened anew."""
        self.engine.close()
        self.engine = self._opened()
        return self

    def edited(self, **changes: Any) -> Organisation:
        """The same store under another configuration."""
        self.setting = self.held.setting = evolve(self.setting, **changes)
        return self.reopened()

    def computing(self, **properties: Formula | None) -> Organisation:
        """The same store with other expressions, or without some: `Person_Boss=…`."""
        named = {name.replace("_", "."): formula for name, formula in properties.items()}
        kept = {**self.setting.properties, **named}
        return self.edited(properties={name: formula for name, formula in kept.items() if formula is not None})

    # What is so in the source systems today.

    def person(
        self,
        key: str,
        name: str | None = None,
        *,
        manager: str | None = None,
        department: str | None = None,
        **values: Any,
    ) -> Organisation:
        """There is this person today."""
        self.world.put("Person", key, {"Name": name, **values})
        self.world.refer("Manager", key, manager)
        self.world.refer("Staff", key, department)
        return self

    def department(self, key: str, title: str, *, parent: str | None = None) -> Organisation:
        """There is this department today."""
        self.world.put("Department", key, {"Title": title})
        self.world.refer("Parent", key, parent)
        return self

    def account(self, key: str, *, owner: str | None = None, **values: Any) -> Organisation:
        """There is this account today."""
        self.world.put("Account", key, values)
        self.world.refer("Owner", key, owner)
        return self

    def without(self, entity_type: str, *keys: str) -> Organisation:
        """These are there no more."""
        for key in keys:
            self.world.drop(entity_type, key)
        return self

    # Running.

    def run(self, job: str = "Incremental", **options: Any) -> JobRun:
        """The record of a run of which no task failed."""
        run = self.attempt(job, **options)
        assert run.state in (TaskState.COMPLETED, TaskState.WARNING), [task.messages for task in run.tasks]
        return run

    def attempt(self, job: str, **options: Any) -> JobRun:
        """The record of a run, whatever became of it; what was synchronized counts as held."""
        fed = self._written(job)
        self._watching.asked.clear()
        run = self.engine.run_job(job, force=True, **options)
        if not options.get("dry_run"):
            self.held.adopted()
        for connector, commands in fed.items():
            done = [task for task in run.tasks if task.identifier == f"Synchronize{connector}"]
            if not done or done[0].state not in (TaskState.COMPLETED, TaskState.WARNING):
                continue
            part = self.world.part(connector)
            self._synchronized[connector] = part
            if commands is None:
                self.held.complete(part)
            else:
                self.held.commands(commands)
        return run

    def _written(self, job: str) -> dict[str, Commands | None]:
        """Writes the extracts that a job reads."""
        found: dict[str, Commands | None] = {}
        for connector in CONNECTORS:
            part = self.world.part(connector)
            if job in ("Commands", f"{connector}Commands"):
                found[connector] = Commands.between(self._synchronized[connector], part)
                self.extracts.commands(found[connector], self.setting)
            elif job in ("Incremental", "Levels", "Complete", connector):
                found[connector] = None
                self.extracts.whole(part, self.setting)
        return found

    @property
    def computed(self) -> Asked:
        """What the last run computed, as far as it was due when it was looked at."""
        asked = self._watching.asked
        with self.engine._services.store.reading() as reading:
            names = reading.names(pa.array(sorted({stream for _, stream in asked}), pa.int64())).to_pylist()
        keys = {row["stream"]: row["key"] for row in names}
        return {(name, keys[stream]) for name, stream in asked}

    # What the store holds.

    def state(self, **when: Any) -> Resources:
        """Entity type -> key -> values."""
        return {
            name: {row.key: dict(row.values) for row in self.engine.export_resources(name, **when)} for name in TYPES
        }

    def links(self, **when: Any) -> Links:
        """Association -> pairs of keys."""
        found: Links = {}
        for name in TYPES:
            for row in self.engine.export_resources(name, **when):
                for association, others in row.links.items():
                    found.setdefault(association, set()).update((row.key, other) for other in others)
        return {name: pairs for name, pairs in found.items() if pairs}

    def people(self, name: str) -> dict[str, Any]:
        """Person -> the value of a property, of those that have one."""
        return {key: values[name] for key, values in self.state()["Person"].items() if name in values}

    def correlated(self) -> set[tuple[str, str, str, str]]:
        """Rule, side, key of the resource, value."""
        return {(key.rule, key.side, key.key, key.value) for key in self.engine.keys(None)}

    def pairs(self) -> set[tuple[str, str, str]]:
        """Rule, key of the person, key of the account."""
        return {(pair.rule, pair.source_key, pair.target_key) for pair in self.engine.matches()}

    def classes(self) -> dict[str, tuple[str, str]]:
        """Account -> its resource type, and the rule that says so."""
        return {found.key: (found.resource_type, found.rule) for found in self.engine.classifications("Account")}

    def derived(self) -> dict[str, Any]:
        """Everything that a complete run could change."""
        return {"state": self.state(), "keys": self.correlated(), "pairs": self.pairs(), "classes": self.classes()}

    def by_hand(self) -> dict[str, Any]:
        """What that must be."""
        model = ByHand(self.held)
        return {"state": model.state(), "keys": model.keys(), "pairs": model.pairs(), "classes": model.classes()}

    def afresh(self, url: str, folder: Path) -> Organisation:
        """Another store, into which what this one holds was synchronized, and everything computed at once."""
        other = Organisation(url, folder, self.clock, self.setting, plain=self._plain)
        other.world.resources = deepcopy(self.held.resources)
        for name in ASSOCIATIONS:
            other.world.links[name] = set(self.held.links.get(self.setting.association(name), ()))
        other.run("Complete")
        return other


def task(run: JobRun, identifier: str) -> Any:
    """The task of a run."""
    return next(task for task in run.tasks if task.identifier == identifier)
