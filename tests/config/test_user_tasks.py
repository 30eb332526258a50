"""User functions in a configuration: found only if registered, and checked before anything runs."""

from __future__ import annotations

import sys
import textwrap
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark import (
    ConfigurationError,
    Engine,
    EntityAssociation,
    EntityType,
    Job,
    Property,
    PropertyRef,
    PropertyType,
    PythonTask,
    Step,
    TaskOverride,
    UsageError,
    UserTask,
    configuration_xml,
    task,
)
from deltamark.bootstrap import checked_configuration
from deltamark.config import user_modules as task_modules
from deltamark.config.settings import load_settings
from deltamark.config.user_modules import TaskModule, found_tasks
from deltamark.config.xml.load import load_configuration as load
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.validation.warnings import warnings
from tests.scenarios.staff import calls, expressions_task, people_model

XML = """<?xml version="1.0" encoding="utf-8"?>
<ConfigurationFile>
  <EntityType Identifier="Person">
    <Property Identifier="Number" IsKey="true" />
    <Property Identifier="Name" />
    <Property Identifier="Score" Type="Int32" />
  </EntityType>
  <Job Identifier="Daily" DisplayName_L1="Daily">
    {task}
  </Job>
</ConfigurationFile>
"""
TASK = '<PythonTask Identifier="Rate" DisplayName_L1="Rates" Function="{0}" />'


@task(entity_types=["Person"], reads=["Name"], writes=["Score"])
def rated(batch: pa.Table) -> pa.Table:
    """Rates."""
    return batch


@task(entity_types=["Person"], dirty=False, batch_size=7)
def everything(batch: pa.Table) -> pa.Table:
    return batch


HERE = f"{__name__}:rated"


@pytest.fixture
def written(tmp_path):
    """Writes a configuration with these tasks in its job."""

    def write(text: str) -> Path:
        (tmp_path / "jobs.xml").write_text(XML.format(task=text))
        return tmp_path / "jobs.xml"

    return write


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the folder of the configuration, and unloads it after the test."""
    names: list[str] = []
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(name: str, text: str) -> TaskModule:
        names.append(name)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return TaskModule(name, tmp_path)

    yield write
    for name in names:
        sys.modules.pop(name, None)


def task_of(configuration) -> PythonTask:
    (called,) = configuration.called_by(configuration.jobs[0])
    assert isinstance(called, PythonTask)
    return called


def faults(*asked, **more) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        checked_configuration(*asked, **more)
    return [str(fault) for fault in refused.value.faults]


def test_a_registered_function_is_bound_to_the_task_that_names_it(written):
    checked = checked_configuration(written(TASK.format(HERE)), [rated])

    found = task_of(checked.configuration)
    assert found.function is rated
    assert (found.dirty, found.entity_types, found.batch_size) == (True, ("Person",), 0)
    (one,) = checked.plan.of([DerivationKind.PROPERTY])
    assert one.derivation.maker is rated
    assert {str(dependency) for dependency in one.dependencies} == {"", "Name"}


def test_attributes_of_the_task_take_precedence_over_those_of_the_function(written):
    attributes = ' Dirty="true" BatchSize="3" Level="2"><TaskEntityType EntityType="Person" /></PythonTask>'
    element = TASK.format(f"{__name__}:everything").replace(" />", attributes)
    configuration = checked_configuration(written(element), [everything]).configuration

    found = task_of(configuration)
    assert (found.dirty, found.batch_size, found.level, found.entity_types) == (True, 3, 2, ("Person",))


def test_an_override_changes_attributes_but_not_the_function(written, tmp_path):
    text = XML.format(task='<PythonTaskOverride Identifier="Rate" Dirty="false" BatchSize="5" />').replace(
        "  <Job", f"  {TASK.format(HERE)}\n  <Job"
    )
    (tmp_path / "jobs.xml").write_text(text)
    configuration = checked_configuration(tmp_path / "jobs.xml", [rated]).configuration
    assert (task_of(configuration).dirty, task_of(configuration).batch_size) == (False, 5)

    (tmp_path / "jobs.xml").write_text(text.replace(' BatchSize="5"', ' Function="a:b"'))
    assert "unknown attribute `Function` of `PythonTaskOverride`" in faults(tmp_path / "jobs.xml", [rated])[0]
    calling = people_model([TaskOverride("PythonTask", "Rate", {"function": "a:b"})], tasks=[calls(rated)])
    assert 'cannot change "function"' in faults(calling, [rated])[0]


def test_an_unregistered_function_is_a_fault_with_its_line_and_advice(written):
    path = written("\n" + TASK.format(HERE.replace("rated", "rate")))

    (message,) = faults(path, [rated])

    assert message == (
        f'{path}:10: PythonTask "Rate" names the function "{__name__}:rate", which is not registered; name its module '
        'in deltamark.toml (tasks = ["company_tasks"]) or in the entry point group deltamark.tasks of an installed '
        "package, "
        f'or give the function to Engine.open(…, tasks=[…]); did you mean "{HERE}"?'
    )


def test_a_module_is_not_imported_because_a_configuration_names_it(written, module):
    module("trap", "raise SystemExit('sprung')")
    sys.path.append(str(written(TASK.format("trap:f")).parent))

    (message,) = faults(written(TASK.format("trap:f")))

    assert "which is not registered" in message
    assert "trap" not in sys.modules


@pytest.mark.parametrize("name", ["f", "a.b", ":f", "a:", "a b:f", "os:system('x')", "a:b:c", "../a:f", "a.:f"])
def test_a_malformed_function_name_is_a_fault(written, name):
    (message,) = faults(written(TASK.format(name)))

    assert "is not of the form package.module:function" in message


def test_a_registered_module_is_imported_only_if_a_task_needs_it(written, module):
    its = module("company_tasks_a", GOOD)
    checked_configuration(written(""), modules=[its])
    assert "company_tasks_a" not in sys.modules

    configuration = checked_configuration(written(TASK.format("company_tasks_a:score")), modules=[its]).configuration

    assert task_of(configuration).function_name == "company_tasks_a:score"
    assert task_of(configuration).function(1) == 1


GOOD = """
    from deltamark import task

    @task(entity_types=["Person"], reads=["Name"], writes=["Score"])
    def score(batch):
        return batch
"""
BROKEN = {
    "an exception": ("x = 1 / 0", "cannot be imported: ZeroDivisionError: "),
    "a mistake in it": ("def f(:", "cannot be imported: SyntaxError: "),
    "an exit": ("import sys; sys.exit()", "cannot be imported: SystemExit: "),
    "a module that is missing": ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
    "no task": ("def score(batch): return batch", "contains no task; decorate its functions with @deltamark.task"),
    "a wrong decorator": (
        'from deltamark import task\n@task(entity_types="Person")\ndef f(batch): return batch',
        "cannot be imported: UsageError: ",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_an_unusable_module_is_reported_with_the_missing_function(written, module, text, message):
    its = module("company_tasks_b", text)

    found = faults(written(TASK.format("company_tasks_b:score")), modules=[its])

    assert any(message in fault for fault in found)
    assert any("which is not registered" in fault for fault in found)
    assert len(found) == 2


def test_a_module_hidden_by_an_installed_one_is_reported(module, tmp_path):
    its = module("attrs", GOOD)
    sys.modules["attrs"] = __import__("attrs")
    try:
        found = found_tasks([its])
    finally:
        kept = __import__("attrs")
    sys.modules["attrs"] = kept

    assert "is the installed one" in str(found.faults[0])
    assert str(tmp_path / "attrs.py") in str(found.faults[0])


def entry_points(monkeypatch, *points: tuple[str, str]):
    made = [EntryPoint(name=name, value=value, group=task_modules.GROUP) for name, value in points]
    monkeypatch.setattr(task_modules, "entry_points", lambda group: EntryPoints(made).select(group=group))


@pytest.mark.parametrize("value", [__name__, HERE])
def test_a_function_is_found_by_an_entry_point_for_it_or_its_module(written, monkeypatch, value):
    entry_points(monkeypatch, ("company", value))

    configuration = checked_configuration(written(TASK.format(HERE))).configuration

    assert task_of(configuration).function is rated


def test_a_broken_entry_point_is_reported_only_if_a_function_is_missing(written, monkeypatch):
    entry_points(monkeypatch, ("company", __name__), ("broken", "no_such_module"), ("number", f"{__name__}:HERE"))

    checked_configuration(written(TASK.format(HERE)))

    messages = faults(written(TASK.format("no_such_module:f")))
    assert (
        'the entry point "broken" (group deltamark.tasks, "no_such_module") cannot be loaded: ModuleNotFound'
        in messages[0]
    )
    assert "names neither a module nor a function that @deltamark.task decorates" in messages[1]


def test_engine_open_takes_functions_and_refuses_other_objects(store_url, written):
    path = written(TASK.format(HERE))
    Engine.open(store_url, configuration=path, export_output=path.parent, tasks=[rated]).close()

    for functions, message in ((rated, "a list"), ([rated.function], "decorate the function"), ([1], "is no task")):
        with pytest.raises(UsageError, match=message):
            Engine.open(store_url, configuration=path, tasks=functions)


def test_two_functions_with_the_same_name_are_refused():
    def made():
        @task(entity_types=["Person"], writes=["Score"])
        def same(batch):
            return batch

        return same

    with pytest.raises(UsageError, match="two tasks are called"):
        checked_configuration(people_model([]), [made(), made()])
    assert "two functions have the name" in faults(people_model([calls(made(), "A"), calls(made(), "B")]))[0]


def test_exported_xml_names_the_function_and_is_read_back_as_the_same(written):
    loaded = load(written(TASK.format(HERE)))
    in_python = evolve(loaded, jobs=[evolve(loaded.jobs[0], tasks=[PythonTask(
        identifier="Rate", function=rated, display_names={1: "Rates"})])])  # fmt: skip

    text = configuration_xml(in_python)

    assert f'Function="{HERE}"' in text
    assert in_python == loaded


def test_settings_have_the_modules_with_their_folder_and_line(tmp_path):
    (tmp_path / "deltamark.toml").write_text('[deltamark]\nstore = "sqlite:///a.db"\ntasks = ["a_b", "c.d"]\n')

    settings = load_settings(tmp_path, {})

    assert settings.tasks == (TaskModule("a_b", tmp_path), TaskModule("c.d", tmp_path))
    assert settings.tasks[0].location.line == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"company_tasks"', "it must be a list of modules"),
        ('["company_tasks.py"]', "leave the extension out"),
        ('["../tasks"]', "which is not the name of a module"),
        ("[1]", "which is not the name of a module"),
        ('[""]', "which is not the name of a module"),
    ],
)
def test_invalid_module_settings_are_refused(tmp_path, value, message):
    (tmp_path / "deltamark.toml").write_text(f"[deltamark]\n\ntasks = {value}\n")

    with pytest.raises(ConfigurationError, match=message) as refused:
        load_settings(tmp_path, {})

    assert "deltamark.toml:3: " in str(refused.value)


def declared(**arguments) -> UserTask:
    def f(batch):
        return batch

    return task(**{"entity_types": ["Person"], "reads": ["Name"], "writes": ["Score"], **arguments})(f)


CANNOT = {
    "an entity type that is none": (declared(entity_types=["Persn"]), 'unknown entity type "Persn" of function'),
    "a property that is none": (declared(writes=["Scor"]), 'unknown property of "Person" "Scor" in function'),
    "what a mapping fills": (
        declared(writes=["Mail"]),
        'computes "Person:Mail", which its mapping fills from an extract',
    ),
    "the key": (declared(writes=["Number"]), "which its mapping fills from an extract"),
    "links": (declared(writes=["Manager"]), "a navigation property of association"),
    "what an expression computes": (declared(writes=["Note"]), 'which property expression "Note" already computes'),
    "a path to nothing": (
        declared(reads=["Manger.Name"]),
        'reads "Manger.Name", which leads over "Manger", which is no',
    ),
    "a property at its end that is none": (
        declared(reads=["Manager.Nam"]),
        "which is no property of Person; did you mean",
    ),
    "a resource": (
        declared(reads=["Manager"]),
        "which leads to Person and is no value; go on to one of its properties",
    ),
    "too long a path": (declared(reads=[".".join(["Manager"] * 9 + ["Name"])]), "a path goes over 8 at most"),
}


@pytest.mark.parametrize(("function", "message"), CANNOT.values(), ids=CANNOT)
def test_a_declaration_that_a_function_cannot_fulfil_is_a_fault(function, message):
    (first, *_) = faults(people_model([calls(function)], {"Note": "p.Name"}))

    assert message in first


def test_the_key_of_an_unmapped_entity_type_cannot_be_computed():
    model = people_model([], entity_type_mappings=[], association_mappings=[])
    jobs = [Job("Rate", [calls(declared(writes=["Number"]))])]

    assert "which is the key of its entity type" in faults(evolve(model, jobs=jobs))[0]


def test_a_reference_cannot_be_computed():
    people = EntityType("Person", [Property("Number", is_key=True), Property("Ref", PropertyType.FOREIGN_KEY)])
    model = people_model([], entity_types=[people], entity_type_mappings=[], association_mappings=[])
    other = [EntityAssociation("A", PropertyRef("Person", "X"), PropertyRef("Person", "Y"))]
    jobs = [Job("Rate", [calls(declared(reads=[], writes=["Ref"]))])]

    assert "declared as ForeignKey" in faults(evolve(model, jobs=jobs, associations=other))[0]
    assert "has no property that could be computed" in faults(
        evolve(model, associations=other, jobs=[Job("Rate", [calls(declared(reads=[], writes=None))])])
    )[0]  # fmt: skip


def test_an_entity_type_that_the_function_does_not_declare_is_a_fault():
    model = people_model([calls(declared(), entity_types=["Team"])])
    teams = [*model.entity_types, EntityType("Team", [Property("Code", is_key=True)])]

    assert (
        'covers "Team", which is not among the entity types of function' in faults(evolve(model, entity_types=teams))[0]
    )


def test_a_cycle_of_functions_and_expressions_is_refused():
    function = declared(reads=["Note"])

    (message,) = faults(people_model([calls(function), expressions_task()], {"Note": "p.Score"}))

    assert "computed properties read each other in a cycle: Person:Note -> Person:Score -> Person:Note" in message


def test_two_functions_without_declared_writes_would_write_the_same():
    def other(batch):
        return batch

    silent = task(entity_types=["Person"])(other)

    messages = faults(people_model([calls(declared(writes=None), "A"), calls(silent, "B")]))

    assert "already computes; keep one of them" in messages[0]


def warnings_of(configuration) -> list[str]:
    checked = checked_configuration(configuration)
    return [fault.message for fault in warnings(checked.configuration, checked.plan)]


def test_reading_what_a_function_computes_later_or_never_gives_a_warning():
    function, note = declared(), {"Note": "p.Score"}

    assert warnings_of(people_model([calls(function), expressions_task()], note)) == []
    assert "computes only after it" in warnings_of(people_model([expressions_task(), calls(function)], note))[0]

    again = [Step("Expressions"), calls(function), Step("Expressions")]
    model = people_model(again, note, tasks=[expressions_task()])
    assert not [message for message in warnings_of(model) if "computes only after it" in message]

    alone = people_model([expressions_task()], note, tasks=[calls(function)])
    found = warnings_of(alone)
    assert any("let a PythonTask that calls" in message and "run before it" in message for message in found)
    assert any("no job computes the properties of the function of" in message for message in found)


def test_a_task_without_entity_types_covers_all_of_its_function():
    configuration = checked_configuration(people_model([calls(declared())])).configuration

    (*_, found) = configuration.called_by(configuration.jobs[0])

    assert found.entity_types == ("Person",)
