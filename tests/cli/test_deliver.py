"""`deltamark deliver`, `sinks` and `dead-letters`: what a user sees of sinks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.workspace import Workspace
from tests.scenarios.http_server import Reply, Request, always, http_server

SINKS = """<ConfigurationFile>
  <Connector Identifier="Elsewhere" DisplayName_L1="Elsewhere" />
  <Connection Identifier="Files" Connector="Elsewhere" Package="JsonLinesSink" DisplayName_L1="Files">
    <ConnectionTable Identifier="people" Subject="HR_Person" />
  </Connection>
  <Connection Identifier="Hook" Connector="Elsewhere" Package="WebhookSink" DisplayName_L1="Hook">
    <ConnectionTable Identifier="people" Subject="HR_Person" />
  </Connection>
</ConfigurationFile>
"""


def with_sinks(company: Workspace, address: str) -> None:
    (company.folder / "configuration" / "sinks.xml").write_text(SINKS)
    settings = company.folder / "deltamark.toml"
    tables = f'\n[deltamark.connections.Files]\nfolder = "out"\n\n[deltamark.connections.Hook]\nserver = "{address}"\n'
    settings.write_text(settings.read_text() + tables)


def test_changes_are_delivered_and_what_is_refused_is_decided(two_days: Workspace) -> None:
    wanted = [c for c in two_days.jsonl("changes", "--type", "HR_Person") if c["change"] not in ("linked", "unlinked")]
    first = wanted[0]["position"]

    def answers(request: Request) -> Reply:
        return Reply(422 if json.loads(request.body)["id"] == str(first) else 200)

    with http_server(answers) as server:
        with_sinks(two_days, server.url)
        expected = two_days.jsonl("deliver", "--dry-run")
        assert server.requests == []
        done = two_days.jsonl("deliver")
        server.answers = always(Reply(403))
        refused = two_days.deltamark("dead-letters", "Hook", "--retry")

    assert refused.status == 1
    assert "Hook: the server answers 403" in refused.err
    assert [(d["sink"], d["sent"]) for d in expected] == [("Files", len(wanted)), ("Hook", len(wanted))]
    assert [(d["sink"], d["sent"], d["refused"]) for d in done] == [
        ("Files", len(wanted), 0), ("Hook", len(wanted) - 1, 1),
    ]  # fmt: skip
    assert len(list((two_days.folder / "out").iterdir())) == 1
    assert [(s["sink"], s["behind"], s["refused"]) for s in two_days.jsonl("sinks")] == [
        ("Files", 0, 0),
        ("Hook", 0, 1),
    ]
    (letter,) = two_days.jsonl("dead-letters")
    assert (letter["sink"], letter["position"], letter["state"]) == ("Hook", first, "open")

    dropped = two_days.done("dead-letters", "Hook", "--drop", str(first), "--reason", "a test")
    assert dropped.err == "Hook: 1 change dropped.\n"
    (letter,) = two_days.jsonl("dead-letters", "--all")
    assert (letter["state"], letter["reason"]) == ("dropped", "a test")


def test_an_address_with_a_password_is_refused_without_showing_it(two_days: Workspace) -> None:
    with_sinks(two_days, "https://user:geheim@hooks.example/in")

    answer = two_days.deltamark("deliver", "--format", "jsonl")

    assert answer.status == 2
    assert "geheim" not in answer.err + answer.out.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--retry"],
        ["Hook", "--drop", "3"],
        ["Hook", "--retry", "--drop", "3"],
        ["Hook", "--reason", "x"],
        ["Hook", "--drop", "3", "--reason", "x"],
    ],
)
def test_options_that_do_not_fit_are_refused(two_days: Workspace, arguments: list[str]) -> None:
    assert two_days.deltamark("dead-letters", *arguments).status == 2


def test_there_may_be_no_sink(two_days: Workspace, tmp_path: Path) -> None:
    assert "is a sink" in two_days.done("sinks").err
    assert "is a sink" in two_days.done("deliver").err
    assert "refused" in two_days.done("dead-letters").err
