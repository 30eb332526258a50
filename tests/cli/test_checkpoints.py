"""`deltamark checkpoint`, and `verify --checkpoint`: what is proven and what is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from deltamark import Engine, UsageError, read_checkpoint, write_checkpoint
from deltamark.infrastructure.checkpoints.files import checkpoint_in, checkpoint_text
from deltamark.infrastructure.checkpoints.keys import signing_key, verifying_key
from tests.cli.workspace import Workspace
from tests.store.tables import alter

OPENSSL_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""
"""The public key of the first test of RFC 8032, as `openssl pkey -pubout` writes it."""


@pytest.fixture
def keys(two_days: Workspace, tmp_path: Path) -> tuple[str, str]:
    """A private key and its public key."""
    two_days.done("checkpoint", "--new-key", str(tmp_path / "key.pem"))
    return str(tmp_path / "key.pem"), str(tmp_path / "key.pem.pub")


def kept(company: Workspace, tmp_path: Path, *options: str) -> Path:
    file = tmp_path / "kept.json"
    company.done("checkpoint", "--out", str(file), *options)
    return file


def test_a_log_that_has_grown_matches_its_checkpoint(
    two_days: Workspace, tmp_path: Path, keys: tuple[str, str]
) -> None:
    file = kept(two_days, tmp_path, "--key", keys[0])
    two_days.done("run", "Incremental")

    answer = two_days.done("verify", "--checkpoint", str(file), "--public-key", keys[1])

    assert f"up to position {json.loads(file.read_text())['position']}." in answer.err
    assert "not checked" not in answer.err


def test_a_truncated_log_is_detected(two_days: Workspace, tmp_path: Path) -> None:
    file = kept(two_days, tmp_path)
    last = json.loads(file.read_text())["position"]
    alter(two_days.store, f"DELETE FROM moments WHERE position={last}")

    refused = two_days.deltamark("verify", "--checkpoint", str(file), "--format", "jsonl")

    assert refused.status == 4
    assert "does not reach the checkpoint" in refused.out.decode()


def test_a_new_key_is_readable_only_by_its_owner_and_replaces_none(two_days: Workspace, keys: tuple[str, str]) -> None:
    assert stat.S_IMODE(Path(keys[0]).stat().st_mode) == 0o600

    refused = two_days.deltamark("checkpoint", "--new-key", keys[0])

    assert (refused.status, "is not replaced" in refused.err) == (2, True)


def test_an_existing_checkpoint_is_not_replaced(two_days: Workspace, tmp_path: Path) -> None:
    file = kept(two_days, tmp_path)
    before = file.read_bytes()

    refused = two_days.deltamark("checkpoint", "--out", str(file))

    assert (refused.status, file.read_bytes()) == (2, before)


@pytest.mark.parametrize("member", ["log", "position", "at", "digest", "key", "signature"])
def test_an_altered_checkpoint_is_refused(
    two_days: Workspace, tmp_path: Path, keys: tuple[str, str], member: str
) -> None:
    file = kept(two_days, tmp_path, "--key", keys[0])
    held = json.loads(file.read_text())
    held[member] = held[member] + 1 if member == "position" else f"0{held[member]}"
    file.write_text(json.dumps(held))

    refused = two_days.deltamark("verify", "--checkpoint", str(file), "--public-key", keys[1])

    assert (refused.status, "is not signed with that key" in refused.err) == (2, True)


def test_a_checkpoint_with_another_key_or_without_signature_is_refused(
    two_days: Workspace, tmp_path: Path, keys: tuple[str, str]
) -> None:
    signed = kept(two_days, tmp_path, "--key", keys[0])
    other = tmp_path / "rfc8032.pub"
    other.write_text(OPENSSL_PUBLIC)
    (tmp_path / "bare").mkdir()
    bare = kept(two_days, tmp_path / "bare")

    for file, key, words in (
        (signed, str(other), "another key"),
        (bare, keys[1], "so its origin is unknown"),
    ):
        refused = two_days.deltamark("verify", "--checkpoint", str(file), "--public-key", key)
        assert (refused.status, words in refused.err) == (2, True)


SOUND = {
    "deltamark_checkpoint": 1,
    "log": "a1b2",
    "position": 7,
    "at": "2026-11-25T02:17:01.691298Z",
    "digest": "0" * 64,
}
NO_CHECKPOINTS = {
    "nothing": ("", "it is not JSON"),
    "no JSON": ("position 7", "it is not JSON"),
    "no UTF-8": (b'{"log": "\xff"}', "it is not JSON"),
    "another document": ('{"a": 1}', "it has no member deltamark_checkpoint"),
    "a list": ("[1]", "it has no member deltamark_checkpoint"),
    "nested without end": ("[" * 9_000, "it is not JSON"),
    "too long": (" " * 20_000, "it has more than 10,000 bytes"),
    "a number without end": (f'{{"position": {"9" * 9_000}}}', "it is not JSON"),
    "a member twice": (json.dumps(SOUND)[:-1] + ', "position": 8}', "names a member twice"),
    "a member more": ({"note": "x"}, 'it has the unknown member "note"'),
    "no position": ({"position": None}, "it has no position"),
    "truth for a position": ({"position": True}, 'its position cannot be "True"'),
    "a position below the first": ({"position": 0}, 'its position cannot be "0"'),
    "a position that no store can hold": ({"position": 10**19}, "its position cannot be"),
    "a time without zone": ({"at": "2026-01-01T00:00:00.000000"}, "its at cannot be"),
    "a time that never was": ({"at": "2026-02-30T00:00:00.000000Z"}, "its at cannot be"),
    "a short digest": ({"digest": "00"}, 'its digest cannot be "00"'),
    "a log that is a number": ({"log": 7}, 'its log cannot be "7"'),
    "truth for a form": ({"deltamark_checkpoint": True}, "its deltamark_checkpoint cannot be"),
}


def written(file: Path, content: str | bytes | dict) -> None:
    if isinstance(content, dict):
        content = json.dumps({**SOUND, **content})
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("what", NO_CHECKPOINTS)
def test_a_malformed_checkpoint_is_refused_with_the_reason(past: Workspace, tmp_path: Path, what: str) -> None:
    content, words = NO_CHECKPOINTS[what]
    written(tmp_path / "no.json", content)

    refused = past.deltamark("verify", "--checkpoint", str(tmp_path / "no.json"))

    assert (refused.status, refused.out) == (2, b"")
    assert "no.json is no checkpoint: " in refused.err
    assert words in refused.err


def test_a_checkpoint_of_a_later_version_advises_to_upgrade(past: Workspace, tmp_path: Path) -> None:
    written(tmp_path / "later.json", {"deltamark_checkpoint": 2, "root": "00"})

    refused = past.deltamark("verify", "--checkpoint", str(tmp_path / "later.json"))

    assert refused.status == 2
    assert "this version of Deltamark reads format 1. Upgrade it." in refused.err


def test_an_unreadable_file_is_reported(past: Workspace, tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "nowhere.json"):
        refused = past.deltamark("verify", "--checkpoint", str(file))

        assert (refused.status, refused.err.startswith(f"deltamark: {file}: ")) == (2, True)


ANOTHER = {"log": "0" * 32, "position": 3, "at": "2026-01-01T00:00:00.000000Z", "digest": "0" * 64}


@pytest.mark.parametrize("member", ANOTHER)
def test_an_altered_member_of_an_unsigned_checkpoint_matches_no_log(
    past: Workspace, tmp_path: Path, member: str
) -> None:
    file = tmp_path / "kept.json"
    held = json.loads(past.done("checkpoint").out)
    file.write_text(json.dumps({**held, member: ANOTHER[member]}))

    refused = past.deltamark("verify", "--checkpoint", str(file))

    assert refused.status == 4
    assert "not signed." in refused.err
    assert "It is not proven that it begins with what it was on " in refused.err


def test_a_fault_after_the_checkpoint_does_not_affect_its_proof(two_days: Workspace, tmp_path: Path) -> None:
    file = kept(two_days, tmp_path)
    two_days.done("run", "Incremental")
    last = two_days.jsonl("runs")[-1]["run"]
    alter(two_days.store, "DELETE FROM stored_events WHERE notification_id=(SELECT max(position) FROM moments)")

    refused = two_days.deltamark("verify", "--checkpoint", str(file))

    assert (last, refused.status) == (3, 4)
    assert "\nIt begins with what it was on " in refused.err


def test_a_fault_before_the_checkpoint_leaves_it_unproven(two_days: Workspace, tmp_path: Path) -> None:
    file = kept(two_days, tmp_path)
    alter(two_days.store, "UPDATE stored_events SET topic='u1' WHERE notification_id=3")

    refused = two_days.deltamark("verify", "--checkpoint", str(file))

    assert refused.status == 4
    assert "It is not proven that it begins" in refused.err


def test_an_unchecked_signature_is_reported(past: Workspace, tmp_path: Path) -> None:
    past.done("checkpoint", "--new-key", str(tmp_path / "key.pem"))
    file = kept(past, tmp_path, "--key", str(tmp_path / "key.pem"))

    answer = past.done("verify", "--checkpoint", str(file))

    assert "its signature is not checked; name the key with --public-key." in answer.err


def test_verify_reports_the_end_of_the_log_like_a_checkpoint(past: Workspace) -> None:
    held = json.loads(past.done("checkpoint").out)

    answer = past.done("verify")

    assert f"The log ends at position {held['position']}, with digest {held['digest']}.\n" in answer.err


SECRET = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
"""The key of the first test of RFC 8032, as `openssl pkey` writes it."""

BY_OPENSSL = "vgAYWlSq+Dg1dyxJs+ZA2Cs7bhnpjhZSTyENDIie970EPG/HA2oIPajDEOv9ldonYFytAR5Fynj2bZfZP0yYAw=="
"""The signature of the members below that `openssl pkeyutl -sign -rawin` makes with that key."""

SIGNED_BY_OPENSSL = {
    "deltamark_checkpoint": 1,
    "log": "9b2101fdae2e0fbbba980f2a2562cf90",
    "position": 77,
    "at": "2026-11-01T00:00:50.000000Z",
    "digest": "2ee7a79560c51ff62d7846b88aaaf482bc73e8029d614c9af42297e1972eef5b",
    "key": "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9",
}


def test_keys_and_signatures_are_compatible_with_openssl(tmp_path: Path) -> None:
    secret, public, file = tmp_path / "key.pem", tmp_path / "key.pub", tmp_path / "kept.json"
    secret.write_text(SECRET)
    public.write_text(OPENSSL_PUBLIC)
    written(file, {**SIGNED_BY_OPENSSL, "signature": BY_OPENSSL})

    known, is_signed = checkpoint_in(file, verifying_key(public))

    assert is_signed
    assert json.loads(checkpoint_text(known, signing_key(secret))) == json.loads(file.read_text())


def test_a_checkpoint_is_small_and_reproducible(past: Workspace, tmp_path: Path) -> None:
    past.done("checkpoint", "--new-key", str(tmp_path / "key.pem"))

    first, second = (past.done("checkpoint", "--key", str(tmp_path / "key.pem")) for _ in range(2))

    assert first.out == second.out
    assert len(first.out) < 1_000
    assert list(json.loads(first.out)) == [*SOUND, "key", "signature"]


@pytest.mark.parametrize("content", ["", "secret", OPENSSL_PUBLIC])
def test_a_malformed_key_is_refused_without_quoting_it(two_days: Workspace, tmp_path: Path, content: str) -> None:
    key = tmp_path / "no.pem"
    key.write_text(content)

    refused = two_days.deltamark("checkpoint", "--key", str(key))

    assert (refused.status, refused.out) == (2, b"")
    assert "holds no Ed25519 private key" in refused.err
    assert "secret" not in refused.err.replace(str(key), "")


def test_the_key_can_be_named_by_the_environment(
    two_days: Workspace, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELTAMARK_CHECKPOINT_KEY", keys[0])

    assert "signature" in json.loads(two_days.done("checkpoint").out)


def test_an_empty_store_has_no_checkpoint(company: Workspace) -> None:
    refused = company.deltamark("checkpoint")

    assert refused.status == 2


def test_python_writes_and_reads_the_same_checkpoints_as_the_commands(
    two_days: Workspace, tmp_path: Path, keys: tuple[str, str]
) -> None:
    by_command, by_python = kept(two_days, tmp_path, "--key", keys[0]), tmp_path / "by-python.json"
    with Engine.open(two_days.store) as engine:
        checkpoint = engine.checkpoint()
        assert checkpoint is not None

        write_checkpoint(checkpoint, by_python, key=keys[0])

        assert by_python.read_bytes() == by_command.read_bytes()
        known = read_checkpoint(str(by_command), public_key=keys[1])
        assert known == checkpoint
        assert engine.verify(checkpoint=known).is_sound
    with pytest.raises(UsageError, match="already exists"):
        write_checkpoint(checkpoint, by_python)


def test_python_refuses_a_checkpoint_signed_by_another_key(
    two_days: Workspace, tmp_path: Path, keys: tuple[str, str]
) -> None:
    file, other = kept(two_days, tmp_path, "--key", keys[0]), tmp_path / "other.pem"
    other.write_text(OPENSSL_PUBLIC)

    with pytest.raises(UsageError, match="not signed with that key"):
        read_checkpoint(file, public_key=other)
    assert read_checkpoint(file).position > 0
