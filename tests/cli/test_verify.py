"""`deltamark verify --derived`: faults, pending differences, repair."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing

import pyarrow as pa
import pytest

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import ComputedChanges
from deltamark.bootstrap import open_store
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.errors import DeltamarkError, StoreError
from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.resource import ResourceRef
from tests.cli.deriving import with_derived_values
from tests.cli.terminal import in_terminal
from tests.cli.test_commands import agree, plain, table_of
from tests.cli.workspace import Workspace

DIFFERENCE = ["kind", "entity_type", "key", "property", "stored", "recomputed", "pending", "chain", "newest_change"]
SOUND = "20 derived values of 8 resources compared: 0 faults, 0 pending.\n"


@pytest.fixture
def derived(company: Workspace) -> Workspace:
    """The company with derived values, all computed once."""
    company.configure(with_derived_values())
    company.done("run", "Incremental")
    return company


def tampered(company: Workspace, write: Callable[[Writing], None]) -> None:
    """Writes to the store outside any task."""
    store = open_store(company.store)
    try:
        with store.transaction() as tx:
            write(tx)
    finally:
        store.close()


def with_value(company: Workspace, entity_type: str, key: str, **computed: str) -> None:
    """Replaces the computed values of a resource without flagging anything."""

    def write(tx: Writing) -> None:
        stream = tx.stream_of(ResourceRef(entity_type, key))
        (before,) = tx.states(entity_type, pa.array([stream], pa.int64()))["computed"].to_pylist()
        changes = {name: [json.loads(before).get(name), value] for name, value in computed.items()}
        after = dict(sorted((json.loads(before) | computed).items()))
        rows = pa.table(
            {
                "stream": pa.array([stream], pa.int64()),
                "computed": [json.dumps(after, separators=(",", ":"), ensure_ascii=False)],
                "changes": [json.dumps(changes, separators=(",", ":"), ensure_ascii=False)],
            }
        )
        tx.put_computed(ComputedChanges(entity_type=entity_type, rows=rows), Origin(1, 4))
        tx.move_flags(tx.head())

    tampered(company, write)


def with_rule_value(
    company: Workspace, kind: DerivationKind, entity_type: str, key: str, value: str | bool | None
) -> None:
    """Replaces the key of a resource, or its classification by the first rule."""

    def write(tx: Writing) -> None:
        rules = sorted(rule.name for rule in tx.rules_computed() if rule.kind is kind)
        (rule,) = [rule for rule in tx.rules_computed() if (rule.kind, rule.name) == (kind, rules[0])]
        values = pa.table(
            {"stream": pa.array([tx.stream_of(ResourceRef(entity_type, key))], pa.int64()), "value": [value]}
        )
        put = tx.put_classifications if kind is DerivationKind.CLASSIFICATION else tx.put_keys
        put(rule, values, everything=False)

    tampered(company, write)


def test_a_correct_store_gives_no_row_and_a_sentence(derived):
    for form in ("table", "jsonl"):
        answer = derived.done("verify", "--derived", "--format", form)

        assert (answer.out, answer.err) == (b"", SOUND)
    header = derived.done("verify", "--derived", "--format", "csv").text
    assert header == "kind,side,entity_type,key,property,rule,stored,recomputed,pending,chain,newest_change\n"


def test_a_wrong_property_is_a_fault_with_the_newest_change_it_reads(derived):
    with_value(derived, "HR_Department", "D1", Sign="WRONG")
    creation = next(c for c in derived.jsonl("changes", "--type", "HR_Department") if c["key"] == "D1")

    answer = derived.deltamark("verify", "--derived", "--format", "jsonl")

    (difference,) = answer.documents
    assert answer.status == 4
    assert list(difference) == DIFFERENCE
    assert difference == {
        "kind": "property", "entity_type": "HR_Department", "key": "D1", "property": "Sign", "stored": "WRONG",
        "recomputed": "RESEARCH", "pending": False, "chain": [], "newest_change": creation,
    }  # fmt: skip
    assert answer.err == "20 derived values of 8 resources compared: 1 fault, 0 pending.\n"


def test_a_wrong_value_that_follows_from_another_has_a_chain_to_it(derived):
    with_value(derived, "HR_Person", "E1", Place="Wrong", Badge="wrong")

    documents = derived.deltamark("verify", "--derived", "--format", "jsonl").documents

    assert [(d["property"], d["chain"], d["pending"]) for d in documents] == [
        ("Badge", ["HR_Person E1: Place"], False), ("Place", [], False),
    ]  # fmt: skip


def test_a_wrong_key_and_a_wrong_classification_are_reported_with_their_rules(derived):
    with_rule_value(derived, DerivationKind.SOURCE_KEY, "HR_Person", "E1", "nobody@x.example")
    with_rule_value(derived, DerivationKind.CLASSIFICATION, "AD_User", "ada", None)

    classification, key = derived.deltamark("verify", "--derived", "--format", "jsonl").documents

    assert {name: key[name] for name in ("kind", "side", "rule", "key", "stored", "recomputed")} == {
        "kind": "key", "side": "source", "rule": "Account_1", "key": "E1", "stored": "nobody@x.example",
        "recomputed": "ada@x.example",
    }  # fmt: skip
    assert {name: classification[name] for name in ("kind", "rule", "key", "stored", "recomputed")} == {
        "kind": "classification", "rule": "Account_1", "key": "ada", "stored": None, "recomputed": True,
    }  # fmt: skip
    assert "side" not in classification
    assert "property" not in key


@pytest.mark.slow  # runs a company
@pytest.mark.parametrize("job", ["OnlySynchronize", "OnlyFlag"])
def test_what_the_next_run_corrects_is_pending_and_not_a_fault(derived, job):
    derived.extract(departments="code,title\nD1,Lab\nD2,Sales\n")
    derived.done("run", job)

    answer = derived.done("verify", "--derived", "--format", "jsonl")
    table = derived.done("verify", "--derived")
    derived.done("run", "Incremental")

    assert {(d["entity_type"], d["property"], d["pending"]) for d in answer.documents} == {
        ("HR_Department", "Sign", True), ("HR_Person", "Place", True), ("HR_Person", "Badge", True),
    }  # fmt: skip
    assert answer.err == table.err == "20 derived values of 8 resources compared: 0 faults, 5 pending.\n"
    assert {line.split()[0] for line in table.lines[1:]} == {"pending"}
    assert derived.done("verify", "--derived").err == SOUND


def test_the_three_formats_show_the_same_differences(derived):
    derived.extract(departments="code,title\nD1,Lab\nD2,Sales\n")
    derived.done("run", "OnlyFlag")

    documents = agree(derived, "verify", "--derived")
    rows = table_of(derived.done("verify", "--derived", "--format", "csv").text)

    assert [row["chain"] for row in rows] == [plain(document["chain"]) for document in documents]
    assert rows[0]["pending"] == "true"
    assert derived.done("verify", "--derived").lines[0].split("  ")[0] == "found"


def test_a_table_shows_faults_in_capitals_with_their_source(derived):
    with_value(derived, "HR_Person", "E1", Place="Wrong", Badge="wrong")

    answer = derived.deltamark("verify", "--derived")

    assert answer.status == 4
    badge = next(line for line in answer.lines if "property Badge" in line)
    assert badge.split() == [
        "FAULT", "HR_Person", "E1", "property", "Badge", "wrong", "research", *badge.split()[7:11], "HR_Person", "E1:",
        "Place",
    ]  # fmt: skip
    assert badge.split()[7] == "position"


def test_a_repair_is_recorded_as_a_run_and_leaves_no_fault(derived):
    with_value(derived, "HR_Department", "D1", Sign="WRONG")
    with_rule_value(derived, DerivationKind.SOURCE_KEY, "HR_Person", "E1", "nobody@x.example")

    answer = derived.done("verify", "--derived", "--repair", "--format", "jsonl")

    assert {(d["kind"], d["pending"]) for d in answer.documents} == {("property", False), ("key", False)}
    assert "20 derived values of 8 resources compared: 2 faults, 0 pending.\n" in answer.err
    assert answer.err.endswith("Run 2, the repair: completed.\n2 faults repaired.\n")
    (run,) = derived.jsonl("runs", "2")
    assert (run["job"], [task["task"] for task in run["tasks"]]) == ("*repair*", ["Properties", "Keys"])
    (change,) = derived.jsonl("changes", "--run", "2")
    assert change["changes"] == {"Sign": {"before": "WRONG", "after": "RESEARCH"}}
    assert derived.done("verify", "--derived").err == SOUND
    assert derived.jsonl("keys", "--rule", "Account_1")[0]["value"] == "ada@x.example"


def test_nothing_is_repaired_without_a_fault(derived):
    derived.extract(departments="code,title\nD1,Lab\nD2,Sales\n")
    derived.done("run", "OnlyFlag")

    answer = derived.done("verify", "--derived", "--repair")

    assert "0 faults, 5 pending." in answer.err
    assert len(derived.jsonl("runs")) == 2


def test_a_failed_repair_has_the_status_of_a_failure(derived, monkeypatch):
    with_value(derived, "HR_Department", "D1", Sign="WRONG")

    def breaking(*_: object) -> None:
        raise DeltamarkError("the disk is full")

    monkeypatch.setattr("deltamark.application.derivation.compute_properties.move_places", breaking)

    answer = derived.deltamark("verify", "--derived", "--repair")

    assert answer.status == 1
    assert "  the disk is full\n" in answer.err
    assert answer.err.endswith(
        "Run 2, the repair: failed.\nWhat is wrong stays flagged: the next run of these tasks computes it.\n"
    )
    monkeypatch.undo()
    monkeypatch.chdir(derived.folder)
    assert derived.jsonl("verify", "--derived")[0]["pending"] is True


def test_a_fault_that_remains_after_a_repair_is_reported(derived, monkeypatch):
    with_value(derived, "HR_Department", "D1", Sign="WRONG")
    monkeypatch.setattr("deltamark.application.execution.repair.flag_for_repair", lambda *_: None)

    answer = derived.deltamark("verify", "--derived", "--repair")

    assert answer.status == 4
    assert answer.err.endswith("Run 2, the repair: completed.\n1 of 1 fault left. Verify again to see them.\n")


def test_a_sample_reports_its_seed_and_can_be_repeated(derived):
    with_value(derived, "HR_Department", "D1", Sign="WRONG")

    first = derived.deltamark("verify", "--derived", "--sample", "1", "--format", "jsonl")
    seed = first.err.split("--seed ")[1].split(")")[0]
    again = derived.deltamark("verify", "--derived", "--sample", "1", "--seed", seed, "--format", "jsonl")
    whole = derived.deltamark("verify", "--derived", "--sample", "100", "--seed", "3")

    assert again.out == first.out
    assert again.err == first.err
    assert "7 derived values of 3 resources (at most 1 of each entity type, --seed " in first.err
    assert (
        first.err.split("compared: ")[1]
        == f"{len(first.documents)} fault{'s' * (len(first.documents) != 1)}, 0 pending.\n"
    )
    assert "(at most 100 of each entity type, --seed 3)" in whole.err
    assert whole.status == 4


WRONG = {
    "repair of nothing": (["--repair"], "Add --derived"),
    "a sample of the log": (["--sample", "1"], "Add --derived"),
    "two kinds of rows in one csv": (["--log", "--derived", "--format", "csv"], "csv holds one kind of rows"),
    "a seed without a sample": (["--derived", "--seed", "1"], "--seed chooses a sample"),
    "an empty sample": (["--derived", "--sample", "0"], '"0" is no whole number from 1 on'),
    "a sample that is no number": (["--derived", "--sample", "all"], '"all" is no whole number from 1 on'),
    "a seed below 0": (["--derived", "--sample", "1", "--seed", "-1"], '"-1" is no whole number from 0 on'),
    "an argument": (["--derived", "HR_Person"], "unexpected extra argument"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use_is_refused_and_nothing_is_verified(past, what):
    arguments, words = WRONG[what]

    answer = past.deltamark("verify", *arguments)

    assert (answer.status, answer.out) == (2, b"")
    assert words in answer.err


def test_keys_and_values_are_shown_escaped(derived):
    bad = "D\x1b[31m\u202e\nz"
    derived.extract(departments=f'code,title\nD1,Research\nD2,Sales\n"{bad}","t{bad}"\n')
    derived.done("run", "Incremental")
    with_value(derived, "HR_Department", bad, Sign=bad)

    table = derived.deltamark("verify", "--derived")
    documents = derived.deltamark("verify", "--derived", "--format", "jsonl").documents

    assert table.status == 4
    assert len(table.lines) == 2
    assert all(line.isprintable() for line in (table.text + table.err).split("\n"))
    assert [(d["key"], d["stored"]) for d in documents] == [(bad, bad)]


def test_on_a_terminal_a_table_is_drawn(derived):
    with_value(derived, "HR_Department", "D1", Sign="WRONG")

    shown = in_terminal(derived.folder, "verify", "--derived", columns=200)

    text = "\n".join(shown.screen)
    assert shown.status == 4
    assert "\x1b[1m" in shown.raw
    assert "WRONG" in text
    assert shown.screen[-2].endswith("1 fault, 0 pending.")


def test_a_verification_is_kept_only_where_that_is_asked_for(derived: Workspace) -> None:
    derived.done("verify")
    derived.done("verify", "--derived")
    with closing(open_store(derived.store)) as store, store.reading() as reading:
        assert reading.verifications() == []

    derived.done("verify", "--log", "--derived", "--record")

    with closing(open_store(derived.store)) as store, store.reading() as reading:
        assert [(record.part.value, record.faults) for record in reading.verifications()] == [
            ("derived", 0),
            ("log", 0),
        ]


def test_a_verification_that_cannot_be_kept_is_worth_no_less(
    derived: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreError("the role may only read.")

    monkeypatch.setattr("deltamark.interfaces.cli.commands.verify.record_verification", refused)

    answer = derived.done("verify", "--record")

    assert "It is not on record: the role may only read." in answer.err
