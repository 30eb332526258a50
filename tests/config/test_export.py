"""Export as XML: reading it gives the same configuration, or it is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import deltamark
from deltamark import (
    Agent,
    Change,
    ComputeCorrelationKeysTask,
    Configuration,
    ConfigurationError,
    Connection,
    Connector,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyRef,
    PropertyType,
    ResourceClassificationRule,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
    Thresholds,
    UsageError,
    configuration_xml,
)
from deltamark.config.xml import attribute_types as kinds
from deltamark.config.xml import schema, task_elements
from deltamark.config.xml.attribute_types import AttributeType
from deltamark.config.xml.elements import Attribute, Element, Parts
from deltamark.config.xml.load import load_configuration as load
from deltamark.config.xml.reader import read
from deltamark.config.xml.schema import ROOT
from deltamark.domain.configuration.entity_model import JobUse
from deltamark.domain.configuration.jobs import Task
from deltamark.domain.configuration.names import identifier_problem, normalized, property_problem, table_problem
from deltamark.domain.configuration.value_formats import ByteOrder, Comparison
from deltamark.domain.location import Location
from tests.cli.workspace import CONFIGURATION
from tests.store import company as small_company
from tests.tiers import law

HERE = Location("built.py", 1)
NASTY = (
    "<&>\"'",
    "\t",
    "a\nb",
    "\r\n",
    " x ",
    "é",
    "e\u0301",
    "𝔘",
    "\u2028",
    "]]>",
    "{0}",
    "&#10;",
    "\ufffd",
    "x" * 300,
)

TEXTS = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=9)
    | st.sampled_from(NASTY)
).filter(str.strip)
WORDS = st.text("abcXYZ 0_-.éß&<'\"ø", min_size=1, max_size=9).map(normalized)
NAMES = WORDS.map(str.strip).filter(lambda name: identifier_problem(name) is None)
TABLES = NAMES.filter(lambda name: table_problem(name) is None)
PROPERTIES = st.from_regex(r"[A-Z][a-z0-9_]{1,5}", fullmatch=True).filter(lambda name: property_problem(name) is None)
ENTITY_TYPES = st.from_regex(r"[A-Zé][a-z0-9_.-]{0,5}[a-z]", fullmatch=True).filter(lambda name: ".." not in name)


def numbers(lowest: int, highest: int) -> st.SearchStrategy[int]:
    return st.integers(lowest, highest)


VALUES: dict[AttributeType, st.SearchStrategy[Any]] = {
    kinds.BOOLEAN: st.booleans(),
    kinds.COUNT: numbers(0, kinds.LARGEST_COUNT),
    kinds.PERCENTAGE: numbers(0, 100),
    kinds.PRIORITY: numbers(-kinds.LARGEST_COUNT, kinds.LARGEST_COUNT),
    kinds.LEVEL: numbers(-1, kinds.LARGEST_COUNT),
    kinds.CONFIDENCE: numbers(0, 150),
    kinds.COLUMN_INDEX: numbers(-1, kinds.LARGEST_COUNT),
    kinds.TEXT: TEXTS,
    kinds.IDENTIFIER: NAMES,
    kinds.ENTITY_TYPE_NAME: ENTITY_TYPES,
    kinds.PROPERTY_NAME: PROPERTIES,
    kinds.TABLE: TABLES,
    kinds.REFERENCE: NAMES,
    kinds.PROPERTY_REFERENCE: st.builds(PropertyRef, ENTITY_TYPES, PROPERTIES),
    kinds.FUNCTION_NAME: st.from_regex(r"[a-z]{1,4}(\.[a-z_]{1,4})?:[a-zé_]{1,4}", fullmatch=True),
    kinds.ENCODING: st.sampled_from(sorted(set(kinds.ENCODINGS.values()))),
    kinds.DELIMITER: st.sampled_from(sorted(set(kinds.DELIMITERS.values()))),
    kinds.DECIMAL_SEPARATOR: st.sampled_from([".", ","]),
    kinds.THOUSANDS_SEPARATOR: st.sampled_from(sorted(set(kinds.THOUSANDS_SEPARATORS.values()))),
    kinds.WORDS: st.lists(WORDS.map(str.strip).filter(bool), min_size=1, max_size=3).map(tuple),
    kinds.SEPARATOR: st.sampled_from([";", "|", " ", "\n", ", ", "·"]),
    kinds.SKIPPED_LINES: numbers(0, 1_000),
    kinds.COMPARISON: st.sampled_from(Comparison),
    kinds.BYTE_ORDER: st.sampled_from(ByteOrder),
    kinds.PROPERTY_TYPE: st.sampled_from(PropertyType),
    schema.JOB_USE: st.sampled_from(JobUse),
    task_elements.SYNCHRONIZATION_MODE: st.sampled_from(SynchronizationMode),
    task_elements.SYNCHRONIZATION_TYPE: st.sampled_from(["None", "Changes", "ActiveDirectory"]),
    task_elements.CRON_TIME_ZONE: st.sampled_from([0, 1]),
    task_elements.LOG_LEVEL: st.sampled_from(["Trace", "Warning", "None"]),
}
"""The values of each attribute type. A type that is missing here was never written and read back."""


@st.composite
def values_of(draw: st.DrawFn, attributes: list[Attribute]) -> dict[str, Any]:
    chosen = [a for a in attributes if a.required or draw(st.booleans())]
    return {a.field: draw(VALUES[a.type]) for a in chosen if a.field is not None}


@st.composite
def built(draw: st.DrawFn, element: Element) -> Any:
    """Any object that an element can represent."""
    values = draw(values_of([a for a in element.attributes if not a.is_threshold]))
    thresholds = draw(values_of([a for a in element.attributes if a.is_threshold]))
    names = draw(st.dictionaries(st.integers(1, 16), TEXTS, max_size=3)) if element.names else {}
    if element.needs_name:
        names = {1: draw(TEXTS), **names}
    children: dict[str, list[Any]] = {}
    for into in dict.fromkeys(child.into for child in element.children):
        kind = st.sampled_from([child for child in element.children if child.into == into])
        items = draw(st.lists(kind.flatmap(built), max_size=2))
        if items:
            children[into] = items
    return element.build(Parts(element, HERE, values, thresholds, names, children))


def read_back(text: str) -> Configuration:
    contents = read(text.encode(), "exported.xml")
    assert not contents.faults
    return contents.configuration


def refusals(configuration: Configuration) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        configuration_xml(configuration)
    return [str(fault) for fault in refused.value.faults]


# The law


@law(40)
@given(built(ROOT))
def test_an_exported_configuration_is_read_back_as_the_same(configuration: Configuration) -> None:
    text = configuration_xml(configuration)

    assert read_back(text) == configuration
    assert configuration_xml(read_back(text)) == text


@pytest.mark.parametrize("child", ROOT.children, ids=lambda child: child.name)
def test_every_element_is_read_back_as_the_same(child: Element) -> None:
    @law(25)
    @given(built(child))
    def is_read_back(item: Any) -> None:
        configuration = Configuration(**{child.into: [item]})

        assert read_back(configuration_xml(configuration)) == configuration

    is_read_back()


def test_handwritten_configurations_are_read_back_as_the_same(tmp_path: Path) -> None:
    company = Path(__file__).parents[2] / "examples" / "company" / "configuration"
    (tmp_path / "cli.xml").write_text(CONFIGURATION)
    for source in (company, tmp_path):
        configuration = load(source)

        assert read_back(configuration_xml(configuration)) == configuration


def test_a_configuration_built_in_python_is_read_back_as_the_same() -> None:
    configuration = small_company.configuration()

    text = configuration_xml(configuration)

    assert read_back(text) == with_names(configuration)
    assert configuration_xml(read_back(text)) == text


def with_names(configuration: Configuration) -> Configuration:
    """Gives tasks and jobs without a display name their identifier as name."""

    def named(item: Any) -> Any:
        return evolve(item, display_names={1: item.identifier, **item.display_names})

    jobs = [
        evolve(named(job), tasks=[named(call) if isinstance(call, Task) else call for call in job.tasks])
        for job in configuration.jobs
    ]
    return evolve(configuration, tasks=[named(task) for task in configuration.tasks], jobs=jobs)


# How it looks


def test_defaults_are_left_out_and_elements_are_in_the_order_of_the_schema() -> None:
    configuration = Configuration(
        jobs=[
            Job(
                "Nightly",
                tasks=[
                    SynchronizeTask(connector="HR", do_not_delete_changes=True),
                    ComputeCorrelationKeysTask(
                        identifier="Keys", parents=["SynchronizeHR"], entity_types=["P", "Q"], display_names={2: "Clés"}
                    ),
                    TaskOverride("SynchronizeTask", "SynchronizeHR", {"do_not_delete_changes": False, "level": -1}),
                    Step("Keys"),
                ],
                cron_time_zone=1,
            )
        ],
        connectors=[Connector("HR", thresholds=evolve(Connector("x").thresholds, maximum_inserted_lines=0))],
        entity_types=[EntityType("P", [Property("Id2", is_key=True), Property("N", type=PropertyType.INT32)])],
    )

    assert configuration_xml(configuration) == (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        "<ConfigurationFile>\n"
        "\n"
        '  <Connector Identifier="HR" MaximumInsertedLines="0" />\n'
        "\n"
        '  <EntityType Identifier="P">\n'
        '    <Property Identifier="Id2" IsKey="true" />\n'
        '    <Property Identifier="N" Type="Int32" />\n'
        "  </EntityType>\n"
        "\n"
        '  <Job Identifier="Nightly" CronTimeZone="ServerTime" DisplayName_L1="Nightly">\n'
        '    <SynchronizeTask Identifier="SynchronizeHR" Connector="HR" DoNotDeleteChanges="true"\n'
        '        DisplayName_L1="SynchronizeHR" />\n'
        '    <ComputeCorrelationKeysTask Identifier="Keys" DisplayName_L1="Keys" DisplayName_L2="Clés">\n'
        '      <TaskDependsOnTask ParentTask="SynchronizeHR" />\n'
        '      <TaskEntityType EntityType="P" />\n'
        '      <TaskEntityType EntityType="Q" />\n'
        "    </ComputeCorrelationKeysTask>\n"
        '    <SynchronizeTaskOverride Identifier="SynchronizeHR" Level="-1" DoNotDeleteChanges="false" />\n'
        '    <Step Task="Keys" />\n'
        "  </Job>\n"
        "</ConfigurationFile>\n"
    )


def test_an_empty_configuration_is_an_empty_file() -> None:
    assert read_back(configuration_xml(Configuration())) == Configuration()


# What cannot be written


def expression(text: str) -> Configuration:
    return Configuration(property_expressions=[EntityPropertyExpression("E", "P", "N", expression=text)])


def test_characters_that_xml_cannot_contain_are_refused_with_their_place() -> None:
    assert refusals(expression("a\x01b")) == [
        '`EntityPropertyExpression` "E": `Expression` contains U+0001 at character 2, which XML cannot contain; '
        "remove it"
    ]
    for character in ("\x00", "\x1f", "\ufffe", "\uffff", "\ud800"):
        assert f"U+{ord(character):04X}" in refusals(expression(f"x{character}"))[0]
    names = Configuration(agents=[Agent("A", display_names={3: "bell\x07"})])
    assert refusals(names) == [
        '`Agent` "A": `DisplayName_L3` contains U+0007 at character 5, which XML cannot contain; remove it'
    ]


NOT_OF_XML = {"parents": (), "level": "3", "agent": None, "display_names": "x"}


def test_everything_that_only_python_can_express_is_refused_with_its_place() -> None:
    configuration = Configuration(
        connections=[Connection("C", "HR", package="")],
        entity_types=[EntityType("P", display_names={17: "x", 2: " "})],
        entity_type_mappings=[
            EntityTypeMapping("P", "HR", "t", thresholds=Thresholds(maximum_link_inserted_lines=3), delimiter="ab")
        ],
        classification_rules=[ResourceClassificationRule("Account")],
        jobs=[
            Job("Cafe\u0301", tasks=[TaskOverride("SynchronizeTask", "S", NOT_OF_XML)]),
            Job("J", tasks=[TaskOverride("SynchronizeTask", "S", {"dirty": True}, location=HERE)], location=HERE),
        ],
    )  # fmt: skip

    assert refusals(configuration) == [
        '`Connection` "C": `Package`, "", is empty',
        '`EntityType` "P": `DisplayName_L2`, " ", is empty or not a text',
        '`EntityType` "P" has a display name in language 17; give 1 to 16',
        '`EntityTypeMapping` "P": `Delimiter`, "ab", is not tab, a blank or one sign such as ; or |',
        '`EntityTypeMapping` "P" has maximum_link_inserted_lines = "3", for which XML has no attribute; only Python '
        "can express this",
        '`ResourceClassificationRule` "Account" needs the attribute `TargetExpression`',
        '`Job` "Cafe\u0301": `Identifier`, "Cafe\u0301", would be read as "Caf\xe9"; write it like that',
        '`SynchronizeTaskOverride` "S": `Level`, "3", is of type str and would be read as int',
        '`SynchronizeTaskOverride` "S": `Agent`, "None", is of type NoneType and would be read as str',
        '`SynchronizeTaskOverride` "S" has parents = "()", for which XML has no attribute; only Python can '
        "express this",
        '`SynchronizeTaskOverride` "S" has display_names = "x", for which XML has no attribute; only Python can '
        "express this",
        'built.py:1: `SynchronizeTaskOverride` "S" has dirty = "True", for which XML has no attribute; only Python '
        "can express this",
    ]


class _TheirTask(SetRecentlyModifiedFlagTask):
    pass


def test_a_task_without_an_element_is_refused_by_name() -> None:
    assert refusals(Configuration(tasks=[_TheirTask(identifier="Mine")])) == [
        '_TheirTask "Mine": `ConfigurationFile` has no element for it; only Python can express this'
    ]


def test_a_configuration_with_wrong_types_is_refused() -> None:
    assert refusals(Configuration(agents=[Change(None, 1)])) == [
        "Configuration: agents must be a sequence of Agent; it contains Change"
    ]
    with pytest.raises(UsageError, match="only a Configuration can be written as XML, not str"):
        deltamark.configuration_xml("configuration")  # type: ignore[arg-type]


def test_more_than_is_read_from_one_file_is_refused() -> None:
    properties = [Property(f"P{n}", display_names={1: "x" * 1000}) for n in range(1100)]

    assert refusals(Configuration(entity_types=[EntityType("P", properties)])) == [
        "the exported configuration: the file is larger than 1 MiB; split it into several files of one folder"
    ]
