"""examples/verify_chain.py, which uses only the standard library, computes the same digests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from deltamark.application.ports.store import Store
from deltamark.infrastructure.checkpoints.files import checkpoint_text
from tests.store.builders import PERSON, create
from tests.store.released import bring_back
from tests.store.tables import alter, opened

PROGRAM = Path(__file__).parents[3] / "examples" / "verify_chain.py"
FORMAT = 8
"""The format of a store with a partial discard, an erasure and snapshots."""


@pytest.fixture
def lived(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/lived.db"
    bring_back(FORMAT, url)
    return url


def second_opinion(url: str, *checkpoint: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", PROGRAM, url.removeprefix("sqlite:///"), *checkpoint]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def kept(store: Store, folder: Path) -> Path:
    with store.reading() as reading:
        found = reading.checkpoint()
    assert found is not None
    file = folder / f"{found.position}.json"
    file.write_text(checkpoint_text(found, None))
    return file


def test_the_example_program_computes_the_newest_digest(lived: str, tmp_path: Path) -> None:
    with opened(lived) as store:
        checkpoint = kept(store, tmp_path).read_text()

    answer = second_opinion(lived)

    assert answer.returncode == 0, answer.stderr
    assert all(member.strip("{},\n ") in checkpoint for member in answer.stdout.split(", "))


def test_a_checkpoint_matches_a_grown_log_and_not_a_truncated_one(lived: str, tmp_path: Path) -> None:
    with opened(lived) as store:
        before = kept(store, tmp_path)
        with store.transaction() as tx:
            create(tx, PERSON, {"eve": {}})
        after = kept(store, tmp_path)
    assert second_opinion(lived, before).returncode == 0

    alter(
        lived,
        "DELETE FROM stored_events WHERE notification_id=(SELECT max(position) FROM moments)",
        "DELETE FROM moments WHERE position=(SELECT max(position) FROM moments)",
    )

    assert second_opinion(lived, before).returncode == 0
    assert "does not begin with" in second_opinion(lived, after).stderr


ALTERED = {
    "a payload": "UPDATE stored_events SET state=CAST(state || ' ' AS BLOB) WHERE notification_id=40",
    "a version": "UPDATE stored_events SET originator_version=99 WHERE notification_id=40",
    "an event gone": "DELETE FROM stored_events WHERE notification_id=4",
    "an event more": "UPDATE stored_events SET notification_id=999 WHERE notification_id=40",
    "a leaf": "UPDATE stubs SET leaf=zeroblob(32) WHERE position=(SELECT max(position) FROM stubs)",
    "a time": "UPDATE moments SET at=at+1 WHERE position=(SELECT max(position) FROM moments)",
    "segments": "UPDATE moments SET segments=zeroblob(36) WHERE position=(SELECT max(position) FROM moments)",
    "the name of the log": "UPDATE store SET log='another'",
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_was_altered_is_found(lived: str, what: str) -> None:
    assert alter(lived, ALTERED[what]) == 1

    answer = second_opinion(lived)

    assert (answer.returncode, answer.stdout) == (1, "")
    assert "position" in answer.stderr


def test_the_example_program_is_short_and_independent() -> None:
    lines = [line for line in PROGRAM.read_text("utf-8").splitlines() if line.strip()]
    tree = ast.parse("\n".join(lines))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert len(lines) <= 60
    assert imported <= sys.stdlib_module_names
