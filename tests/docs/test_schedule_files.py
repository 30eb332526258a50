"""The systemd unit and the Dockerfile of `examples/schedule`: they parse, call our commands, and stand in the page."""

from __future__ import annotations

import configparser
import json
import re
import shlex

import click
import pytest

from deltamark.interfaces.cli.groups import HELP_OPTIONS
from deltamark.interfaces.cli.main import deltamark
from tests.docs.pages import ROOT, blocks_of

FOLDER = ROOT / "examples" / "schedule"
UNIT, DOCKERFILE = ((FOLDER / name).read_text("utf-8") for name in ("deltamark.service", "Dockerfile"))
INSTRUCTIONS = {"FROM", "COPY", "RUN", "WORKDIR", "VOLUME", "USER", "ENV", "HEALTHCHECK", "STOPSIGNAL", "CMD"}
SECTIONS = {
    "Unit": {"Description", "Wants", "After"},
    "Service": {
        "User", "WorkingDirectory", "ExecStart", "Restart", "RestartSec", "TimeoutStopSec", "NoNewPrivileges",
        "ProtectSystem", "ProtectHome", "PrivateTmp", "ReadWritePaths",
    },
    "Install": {"WantedBy"},
}  # fmt: skip


def unit() -> configparser.ConfigParser:
    """The unit; the names in it keep their letter case."""
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    return parser


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def is_ours(call: list[str]) -> bool:
    """Whether a call is understood: the command is there, and has those options."""
    name, *rest = call[1:]
    command = deltamark.commands[name]
    command.make_context(name, list(rest), resilient_parsing=False, help_option_names=HELP_OPTIONS)
    return call[0].rsplit("/", 1)[-1] == "deltamark" and isinstance(command, click.Command)


def test_the_unit_has_sections_and_settings_that_systemd_knows():
    assert {section: set(unit()[section]) for section in unit().sections()} == SECTIONS


def test_the_unit_starts_the_scheduler_again_when_it_failed_and_lets_tasks_end():
    service = unit()["Service"]

    assert is_ours(shlex.split(service["ExecStart"]))
    assert shlex.split(service["ExecStart"])[1:] == ["schedule"]
    assert service["Restart"] == "on-failure"
    assert service["WorkingDirectory"] == service["ReadWritePaths"]


def test_the_container_starts_the_scheduler_without_a_shell_that_would_keep_signals_from_it():
    said = dict(instructions())

    assert {word for word, _ in instructions()} <= INSTRUCTIONS
    assert instructions()[0][0] == "FROM"
    assert said["CMD"] == '["deltamark", "schedule"]'
    assert is_ours(json.loads(said["CMD"]))


def test_the_container_is_asked_for_its_health():
    (check,) = [rest for word, rest in instructions() if word == "HEALTHCHECK"]

    options, _, command = check.partition("CMD ")
    assert re.fullmatch(r"(--(interval|timeout|start-period)=\d+[smh] )+", options)
    assert is_ours(json.loads(command))


@pytest.mark.parametrize("text", [UNIT, DOCKERFILE], ids=["unit", "Dockerfile"])
def test_the_page_shows_the_files_as_they_are(text):
    page = (ROOT / "docs" / "how-to" / "run-on-a-schedule.md").read_text("utf-8")

    assert text in [block.text for block in blocks_of(page)]
