"""Dangerous and invalid configuration files: each is refused quickly, with its location and advice."""

from __future__ import annotations

import os
import re
import socket
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from deltamark.config.xml.load import load_configuration as load
from deltamark.config.xml.safety import refusal
from deltamark.domain.errors import ConfigurationError, Fault

CORPUS = Path(__file__).parent.parent / "corpus" / "configuration"
EXPECTED = tomllib.loads((CORPUS / "expected.toml").read_text(encoding="utf-8"))
LONGEST_S = 4.0


def faults_of(path: Path) -> tuple[Fault, ...]:
    """The faults of a configuration, found within four seconds of CPU time."""
    started = time.process_time()
    try:
        load(path)
    except ConfigurationError as error:
        return error.faults
    finally:
        assert time.process_time() - started < LONGEST_S
    return ()


def wrapped(body: str) -> str:
    return f"<ConfigurationFile>\n{body}\n</ConfigurationFile>"


def test_the_corpus_and_its_expectations_name_the_same_files():
    assert {path.stem for path in CORPUS.glob("*.xml")} == set(EXPECTED)
    assert len(EXPECTED) > 70


@pytest.mark.parametrize("name", EXPECTED)
def test_each_file_of_the_corpus_has_the_expected_outcome(name):
    expected = EXPECTED[name]
    path = CORPUS / f"{name}.xml"

    faults = faults_of(path)

    assert bool(faults) == (expected["outcome"] == "refuse")
    if faults:
        matching = [f for f in faults if re.search(expected["message"], f.message)]
        assert matching, [str(fault) for fault in faults]
        assert (matching[0].location.file, matching[0].location.line) == (str(path), expected["line"])
        assert all(str(fault).isprintable() and len(str(fault)) < 600 for fault in faults)


BIG: dict[str, tuple[Callable[[], str], str, int | None]] = {
    "A34 70 deep": (lambda: wrapped("<a>" * 70 + "</a>" * 70), "more than 64 deep", 2),
    "A34 300 deep": (lambda: wrapped("<a>" * 300 + "</a>" * 300), "more than 64 deep", 2),
    "A34 100000 deep": (lambda: wrapped("<a>" * 100_000 + "</a>" * 100_000), "more than 64 deep", 2),
    "A35 65 attributes": (lambda: wrapped(element_with(65)), "more than 64 attributes", 2),
    "A35 65 namespaces": (lambda: wrapped(element_with(65, "xmlns:")), "more than 64 attributes", 2),
    "A35 100000 attributes": (lambda: wrapped(element_with(70_000)), "more than 64 attributes", 2),
    "A36 text": (lambda: wrapped("<Agent>" + "." * 70_000 + "</Agent>"), "more than 64 KB of text", 2),
    "A36 text in pieces": (lambda: wrapped("<!-- x -->".join(["." * 7000] * 10)), "more than 64 KB of text", None),
    "A36 attribute": (lambda: wrapped(f'<Agent Identifier="{"x" * 70_000}"/>'), "longer than 64 KB", 2),
    "A36 11 MB": (lambda: wrapped("." * 11_000_000), "larger than 1 MiB", None),
    "A36 element name": (lambda: wrapped(f"<{'n' * 60_000}/>"), "longer than 1000 characters", 2),
    "A36 attribute name": (lambda: wrapped(f'<Agent {"n" * 60_000}=""/>'), "longer than 1000 characters", 2),
    "A37 2 MiB": (lambda: wrapped(" " * 2 * 1024 * 1024), "larger than 1 MiB", None),
    "A37 60000 elements": (lambda: wrapped("<Agent/>\n" * 60_000), "more than 50,000 elements", 50_001),
}


def element_with(attributes: int, prefix: str = "") -> str:
    return "<Agent " + " ".join(f'{prefix}a{number}="x"' for number in range(attributes)) + "/>"


@pytest.mark.parametrize("name", BIG)
def test_oversized_input_is_refused_at_little_cost(name, tmp_path):
    written, message, line = BIG[name]
    path = tmp_path / "big.xml"
    path.write_text(written())

    (fault,) = faults_of(path)

    assert message in fault.message
    assert fault.location.file == str(path)
    assert line is None or fault.location.line == line


@pytest.mark.parametrize(
    "within",
    [
        wrapped("<a>" * 63 + "</a>" * 63),
        wrapped(element_with(64)),
        wrapped("<Agent>" + "." * 65_000 + "</Agent>"),
        wrapped("<Agent/>  \n" * 49_999),
        wrapped(("<Agent/>" + " " * 60_000) * 17),
        wrapped("." * 60_000 + "<Agent>" + "." * 60_000 + "</Agent>"),
    ],
    ids=["depth", "attributes", "text", "elements", "size", "texts"],
)
def test_input_within_the_limits_is_accepted(within):
    assert refusal(within.encode(), "a.xml") is None


@pytest.mark.many
@pytest.mark.parametrize(
    "many",
    [
        "".join(f'<Agnt{number} Identifier="x"/>\n' for number in range(25_000)),
        "".join(f'<SynchronizeTask Identifier="s{n}" DisplayName_L1="s" Connector="c"/>' for n in range(9000)),
        "".join(
            f'<SetRecentlyModifiedFlagTask Identifier="task{n}" DisplayName_L1="f"><TaskDependsOnTask '
            f'ParentTask="tusk{n}"/></SetRecentlyModifiedFlagTask>'
            for n in range(6500)
        ),
        "".join(f'<Job Identifier="j" DisplayName_L1="{n}"/>\n' for n in range(20_000)),
    ],
    ids=["elements", "connectors", "parents", "jobs"],
)
def test_a_file_full_of_faults_is_reported_in_time(many, tmp_path):
    path = tmp_path / "many.xml"
    path.write_text(wrapped(many))

    assert 100 < len(faults_of(path)) <= 201


def test_the_location_of_a_refusal_has_line_and_column():
    fault = refusal(b"<ConfigurationFile>\n  <?php echo ?></ConfigurationFile>", "a.xml")

    assert str(fault.location) == "a.xml:2:3"


def test_a_declaration_after_a_byte_order_mark_is_read():
    data = b'\xef\xbb\xbf<?xml version="1.0" encoding="windows-1252"?><ConfigurationFile/>'

    assert "windows-1252" in refusal(data, "a.xml").message


# Controls: what lxml alone, with every careful option, would have let through.


@pytest.mark.parametrize(
    "name",
    ["A24-internal-entity", "A25-external-entity-in-text", "A29-external-dtd", "A33-style-sheet", "A32-xinclude"],
)
def test_lxml_alone_accepts_what_the_safety_checks_refuse(name):
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)

    etree.fromstring((CORPUS / f"{name}.xml").read_bytes(), parser)

    assert refusal((CORPUS / f"{name}.xml").read_bytes(), name) is not None


def test_lxml_alone_accepts_depth_and_attributes_beyond_the_limits():
    for text in (wrapped("<a>" * 70 + "</a>" * 70), wrapped(element_with(65))):
        assert len(etree.fromstring(text)) == 1
        assert refusal(text.encode(), "a.xml") is not None


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def connections(server: socket.socket) -> int:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return 0
    return 1


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE c SYSTEM "http://127.0.0.1:{port}/d.dtd"><ConfigurationFile/>',
        '<!DOCTYPE c [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/x">]><ConfigurationFile>&x;</ConfigurationFile>',
        '<!DOCTYPE c [<!ENTITY % x SYSTEM "http://127.0.0.1:{port}/x"> %x;]><ConfigurationFile/>',
        '<ConfigurationFile><x:include xmlns:x="http://www.w3.org/2001/XInclude" href="http://127.0.0.1:{port}/"/>'
        "</ConfigurationFile>",
        '<?xml-stylesheet href="http://127.0.0.1:{port}/"?><ConfigurationFile/>',
        '<ConfigurationFile xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
        'i:noNamespaceSchemaLocation="http://127.0.0.1:{port}/x.xsd"/>',
    ],
    ids=["A29 dtd", "A27 entity", "A28 parameter entity", "xinclude", "style sheet", "schema"],
)
def test_nothing_in_a_file_opens_a_connection(text, listener, tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(text.replace("{port}", str(listener.getsockname()[1])))

    faults_of(path)

    assert connections(listener) == 0


def test_the_listener_notices_a_connection(listener):
    socket.create_connection(listener.getsockname()).close()

    assert connections(listener) == 1


# A58: the path itself, and what a folder may hold besides files.


def only_fault(path: Path) -> str:
    (fault,) = faults_of(path)
    assert fault.location.file.startswith(str(path))
    return fault.message


def test_a_missing_path_is_reported(tmp_path):
    assert "there is no such file or folder" in only_fault(tmp_path / "missing")


def test_a_folder_without_configuration_is_reported(tmp_path):
    (tmp_path / "readme.txt").write_text("empty")

    assert "contains no *.xml file" in only_fault(tmp_path)


@pytest.mark.parametrize("name", ["jobs.xml", "folder"])
def test_a_link_out_of_the_folder_is_refused(name, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "jobs.xml").write_text("<ConfigurationFile/>")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / name).symlink_to(outside / "jobs.xml" if name == "jobs.xml" else outside)

    assert "leads out of the configuration folder" in only_fault(inside)


def test_a_link_without_a_target_is_refused(tmp_path):
    (tmp_path / "jobs.xml").symlink_to(tmp_path / "gone.xml")

    assert "has no target" in only_fault(tmp_path)


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "jobs.xml").symlink_to(tmp_path / "jobs.xml")

    assert "cannot be read" in only_fault(tmp_path / "jobs.xml")


def test_a_folder_named_like_a_file_is_refused(tmp_path):
    (tmp_path / "jobs.xml").mkdir()

    assert "this is a folder" in only_fault(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "jobs.xml")

    assert "not a regular file" in only_fault(tmp_path)
    assert "not a regular file" in only_fault(tmp_path / "jobs.xml")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device on this system")
def test_a_device_is_refused_without_reading():
    assert "not a regular file" in only_fault(Path("/dev/zero"))


def test_an_unreadable_file_is_reported(tmp_path, monkeypatch):
    path = tmp_path / "jobs.xml"
    path.write_text("<ConfigurationFile/>")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)

    assert "cannot be read: Permission denied" in only_fault(path)
