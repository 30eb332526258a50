"""Laws of loading: any bytes give a configuration, or faults with locations."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltamark.config.check import judged_configuration
from deltamark.config.xml.load import load_configuration as load
from deltamark.config.xml.reader import read
from deltamark.config.xml.schema import all_elements
from deltamark.config.xml.unbuilt import NOT_BUILT
from deltamark.domain.errors import ConfigurationError
from deltamark.domain.validation.validate import faults
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.tiers import examples

ELEMENTS = all_elements()
NAMES = sorted({*ELEMENTS, *NOT_BUILT, "Unknown"})
ATTRIBUTES = sorted(
    {name for parents in ELEMENTS.values() for p in parents for c in p.children for name in c.attribute_names()}
)
VALUES = st.sampled_from(
    [
        "",
        "A",
        "A:B",
        "A:C",
        "true",
        "0",
        "1",
        "-1",
        "5",
        "String",
        "0 0 * * * *",
        "x y",
        "../x",
        "é",
        "tab",
        "utf-8",
        "Id",
    ]
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> str:
    """A known element with known attributes and children, valid or not."""
    name = draw(st.sampled_from(NAMES))
    written = draw(st.dictionaries(st.sampled_from(ATTRIBUTES), VALUES, max_size=6))
    inside = "".join(draw(st.lists(elements(depth - 1), max_size=3))) if depth else ""
    attributes = "".join(f' {key}="{value}"' for key, value in written.items())
    return f"<{name}{attributes}>{inside}</{name}>"


def check(data: bytes) -> None:
    contents = read(data, "a.xml")

    assert contents.is_whole or contents.faults
    assert all(fault.location.file == "a.xml" and fault.message for fault in contents.faults if fault.location)
    for fault in faults(contents.configuration):
        assert fault.location is not None
    judgement = judged_configuration(contents.configuration, DuckEvaluator)
    assert all(fault.location for fault in (*judgement.faults, *judgement.warnings))


@given(st.lists(elements(), max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_any_elements_give_a_configuration_or_faults(written):
    check(f"<ConfigurationFile>{''.join(written)}</ConfigurationFile>".encode())


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 40))
@settings(max_examples=examples(300), deadline=None)
def test_any_damage_to_a_file_gives_a_configuration_or_faults(damage, place, cut):
    sound = (
        b'<?xml version="1.0" encoding="utf-8"?><ConfigurationFile xmlns="urn:x"><Connector Identifier="C"/>'
        b'<EntityType Identifier="T"><Property Identifier="K" Type="2"/></EntityType><Job Identifier="J" '
        b'DisplayName_L1="j"><SynchronizeTask Connector="C" DisplayName_L1="s" Level="1">...</SynchronizeTask>'
        b'<Step Task="SynchronizeC" Level="2"/></Job></ConfigurationFile>'
    )
    assert not read(sound, "a.xml").faults

    check(sound[:place] + damage + sound[place + cut :])


def test_the_largest_valid_configuration_loads_in_time(tmp_path):
    tasks = "".join(
        f'<SetRecentlyModifiedFlagTask Identifier="F{n}" DisplayName_L1="f" Level="{n}">'
        f'<TaskDependsOnTask ParentTask="F{n - 1 if n else n + 1}"/></SetRecentlyModifiedFlagTask>'
        for n in range(1, 3000)
    )
    properties = "".join(f'<Property Identifier="P{n}"/>' for n in range(4000))
    mapped = "".join(f'<Property Identifier="P{n}" ConnectionColumn="c"/>' for n in range(1, 4000))
    text = (
        '<ConfigurationFile><Connector Identifier="C"/>'
        f'<EntityType Identifier="T">{properties}</EntityType>'
        '<EntityTypeMapping Identifier="T" Connector="C" ConnectionTable="t">'
        f'<Property Identifier="P0" ConnectionColumn="k" IsPrimaryKey="1"/>{mapped}</EntityTypeMapping>'
        '<SetRecentlyModifiedFlagTask Identifier="F0" DisplayName_L1="f" Level="0"/>'
        f'<Job Identifier="J" DisplayName_L1="j"><Step Task="F0"/>{tasks}</Job></ConfigurationFile>'
    )
    path = tmp_path / "large.xml"
    path.write_text(text)
    started = time.process_time()

    configuration = load(path)

    assert time.process_time() - started < 4
    assert len(configuration.jobs[0].tasks) == 3000


def test_two_attributes_with_the_same_meaning_must_agree(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        '<ConfigurationFile><Job Identifier="J" DisplayName_L1="j"><Step Task="A" Identifier="B"/></Job>'
        "</ConfigurationFile>"
    )

    with pytest.raises(ConfigurationError) as refused:
        load(path)

    assert [fault.message for fault in refused.value.faults] == [
        '`Step` has "A" in `Task` and "B" in `Identifier`, which have the same meaning; keep one'
    ]
