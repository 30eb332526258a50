"""`deltamark checkpoint`, and `verify --checkpoint`: what is proven, and what is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.cli.workspace import Workspace
from tests.store.replaying import alter

OPENSSL_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""
"""The public key of the first test of RFC 8032, as `openssl pkey -pubout` writes it."""


@pytest.fixture
def keys(two_days: Workspace, tmp_path: Path) -> tuple[str, str]:
    """A key to sign with, and the one to check with."""
    two_days.done("checkpoint", "--new-key", str(tmp_path / "key.pem"))
    return str(tmp_path / "key.pem"), str(tmp_path / "key.pem.pub")


def kept(company: Workspace, tmp_path: Path, *options: str) -> Path:
    file = tmp_path / "kept.json"
    company.done("checkpoint", "--out", str(file), *options)
    return file


def test_a_log_that_went_on_begins_with_what_it_was(two_days: Workspace, tmp_path: Path, keys: tuple[str, str]) -> None:
    file = kept(two_days, tmp_path, "--key", keys[0])
    two_days.done("run", "Incremental")

    answer = two_days.done("verify", "--checkpoint", str(file), "--public-key", keys[1])

    assert f"up to position {json.loads(file.read_text())['position']}." in answer.err
    assert "not checked" not in answer.err


def test_a_log_whose_end_was_cut_off_is_found(two_days: Workspace, tmp_path: Path) -> None:
    file = kept(two_days, tmp_path)
    last = json.loads(file.read_text())["position"]
    alter(two_days.store, f"DELETE FROM moments WHERE position={last}")

    refused = two_days.deltamark("verify", "--checkpoint", str(file), "--format", "jsonl")

    assert refused.status == 4
    assert "does not reach the checkpoint" in refused.out.decode()


def test_only_its_owner_may_read_a_new_key_and_none_is_replaced(two_days: Workspace, keys: tuple[str, str]) -> None:
    assert stat.S_IMODE(Path(keys[0]).stat().st_mode) == 0o600

    refused = two_days.deltamark("checkpoint", "--new-key", keys[0])

    assert (refused.status, "is not replaced" in refused.err) == (2, True)


def test_a_checkpoint_is_not_replaced(two_days: Workspace, tmp_path: Path) -> None:
    file = kept(two_days, tmp_path)
    before = file.read_bytes()

    refused = two_days.deltamark("checkpoint", "--out", str(file))

    assert (refused.status, file.read_bytes()) == (2, before)


@pytest.mark.parametrize("member", ["log", "position", "at", "digest", "key", "signature"])
def test_a_checkpoint_whose_content_was_altered_proves_nothing(
    two_days: Workspace, tmp_path: Path, keys: tuple[str, str], member: str
) -> None:
    file = kept(two_days, tmp_path, "--key", keys[0])
    held = json.loads(file.read_text())
    held[member] = held[member] + 1 if member == "position" else f"0{held[member]}"
    file.write_text(json.dumps(held))

    refused = two_days.deltamark("verify", "--checkpoint", str(file), "--public-key", keys[1])

    assert (refused.status, "is not signed with that key" in refused.err) == (2, True)


def test_a_checkpoint_of_another_key_and_one_without_signature_are_refused(
    two_days: Workspace, tmp_path: Path, keys: tuple[str, str]
) -> None:
    signed = kept(two_days, tmp_path, "--key", keys[0])
    other = tmp_path / "rfc8032.pub"
    other.write_text(OPENSSL_PUBLIC)
    (tmp_path / "bare").mkdir()
    bare = kept(two_days, tmp_path / "bare")

    for file, key, words in ((signed, str(other), "another key"), (bare, keys[1], "is not signed, so nobody knows")):
        refused = two_days.deltamark("verify", "--checkpoint", str(file), "--public-key", key)
        assert (refused.status, words in refused.err) == (2, True)


NO_CHECKPOINTS = {
    "nothing": "",
    "no JSON": "position 7",
    "another document": '{"a": 1}',
    "a list": "[1]",
    "nested without end": "[" * 9_000,
    "too long": " " * 20_000,
    "no position": '{"deltamark_checkpoint": 1, "log": "x", "at": "2026-01-01T00:00:00Z", "digest": "00"}',
    "truth for a position": '{"deltamark_checkpoint": 1, "log": "x", "position": true, "at": "2026-01-01T00:00:00Z",'
    f'"digest": "{"0" * 64}"}}',
    "a time without zone": '{"deltamark_checkpoint": 1, "log": "x", "position": 1, "at": "2026-01-01T00:00:00",'
    f'"digest": "{"0" * 64}"}}',
    "a later form": '{"deltamark_checkpoint": 2}',
}


@pytest.mark.parametrize("what", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_refused(two_days: Workspace, tmp_path: Path, what: str) -> None:
    file = tmp_path / "no.json"
    file.write_text(NO_CHECKPOINTS[what])

    refused = two_days.deltamark("verify", "--checkpoint", str(file))

    assert refused.status == 2
    assert "no checkpoint" in refused.err or "of form" in refused.err


@pytest.mark.parametrize("content", ["", "secret", OPENSSL_PUBLIC])
def test_what_is_no_key_is_refused_without_a_word_of_it(two_days: Workspace, tmp_path: Path, content: str) -> None:
    key = tmp_path / "no.pem"
    key.write_text(content)

    refused = two_days.deltamark("checkpoint", "--key", str(key))

    assert (refused.status, refused.out) == (2, b"")
    assert "holds no Ed25519 private key" in refused.err
    assert "secret" not in refused.err.replace(str(key), "")


def test_the_key_may_be_named_by_the_environment(
    two_days: Workspace, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELTAMARK_CHECKPOINT_KEY", keys[0])

    assert "signature" in json.loads(two_days.done("checkpoint").out)


def test_an_empty_store_has_no_checkpoint(company: Workspace) -> None:
    refused = company.deltamark("checkpoint")

    assert refused.status == 2
