"""Checkpoint files: a few lines of JSON with the position and digest of a log.

They are signed if there is a key.

========================  =========================================================================================
``deltamark_checkpoint``  the version of this format: 1
``log``                   which log; ``position``, ``at`` (ISO 8601, UTC), ``digest`` as in `Checkpoint`
``key``                   SHA-256 of the raw public key, hexadecimal; only if it is signed
``signature``             Ed25519 (RFC 8032) over all other members as JSON with sorted names and no white space, base64
========================  =========================================================================================
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deltamark.domain.errors import UsageError
from deltamark.domain.integrity.verification import Checkpoint
from deltamark.domain.values import shown
from deltamark.infrastructure.checkpoints.keys import SigningKey, VerifyingKey, signing_key, verifying_key
from deltamark.infrastructure.system.atomic_file import whole_file

FORMAT = 1
_LONGEST = 10_000
_MEMBERS: Sequence[tuple[str, type, re.Pattern[str]]] = (
    ("log", str, re.compile(r"[ -~]{1,100}")),
    ("position", int, re.compile(r"[1-9][0-9]{0,18}")),
    ("at", str, re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z")),
    ("digest", str, re.compile(r"[0-9a-f]{64}")),
)


def checkpoint_text(checkpoint: Checkpoint, key: SigningKey | None) -> str:
    """The content of the file of a checkpoint."""
    document: dict[str, Any] = {
        "deltamark_checkpoint": FORMAT,
        "log": checkpoint.log,
        "position": checkpoint.position,
        "at": checkpoint.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "digest": checkpoint.digest,
    }
    if key is not None:
        document["key"] = key.fingerprint
        document["signature"] = b64encode(key.sign(_signed_bytes(document))).decode()
    return json.dumps(document, indent=2) + "\n"


def write_checkpoint(checkpoint: Checkpoint, file: Path | str, *, key: Path | str | None = None) -> None:
    """Writes a checkpoint to a new file.

    Keep it where those who can alter the store cannot alter the file.

    :param key: the file of the Ed25519 private key to sign it with, in PEM and without a password, as
        `deltamark checkpoint --new-key` or `openssl genpkey -algorithm ed25519` write it; None does not sign.
    :raises UsageError: if the file already exists or cannot be written, or if there is no such key.
    """
    put_checkpoint(checkpoint, Path(file), None if key is None else signing_key(Path(key)))


def put_checkpoint(checkpoint: Checkpoint, file: Path, key: SigningKey | None) -> None:
    """Writes a checkpoint, signed if there is a key.

    An existing file is never replaced.
    """
    if file.exists():
        raise UsageError(f"{file} already exists and is not replaced: it may be a checkpoint. Name another file.")
    with whole_file(file, is_new=True) as stream:
        stream.write(checkpoint_text(checkpoint, key).encode())


def read_checkpoint(file: Path | str, *, public_key: Path | str | None = None) -> Checkpoint:
    """The checkpoint in a file that `write_checkpoint` or `deltamark checkpoint` wrote.

    :param public_key: the file of the Ed25519 public key, in PEM, that must verify the signature. None does not check
        the signature; the checkpoint then proves nothing against anyone who can write the file.
    :raises UsageError: if the file cannot be read, is no checkpoint, or is not signed with that key.
    """
    checkpoint, _ = checkpoint_in(Path(file), None if public_key is None else verifying_key(Path(public_key)))
    return checkpoint


def checkpoint_in(file: Path, key: VerifyingKey | None) -> tuple[Checkpoint, bool]:
    """The checkpoint of a file, and whether it is signed.

    :param key: must verify the signature; None does not check it.
    :raises UsageError: if the file cannot be read, is no checkpoint, or is not signed with the key.
    """
    document = _document(file)
    if key is not None:
        _check(file, document, key)
    for name, kind, pattern in _MEMBERS:
        value = document.get(name)
        if type(value) is not kind or not pattern.fullmatch(str(value)):
            raise _no_checkpoint(file, f"it has no {name}" if value is None else f"its {name} cannot be {shown(value)}")
    try:
        at = datetime.fromisoformat(document["at"])
    except ValueError as e:
        raise _no_checkpoint(file, f"its at cannot be {shown(document['at'])}") from e
    checkpoint = Checkpoint(log=document["log"], position=document["position"], at=at, digest=document["digest"])
    return checkpoint, "signature" in document


def _document(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LONGEST + 1)
    except OSError as e:
        raise UsageError(f"{file}: {e.strerror}. Name a file that `deltamark checkpoint --out` wrote.") from e
    if len(content) > _LONGEST:
        raise _no_checkpoint(file, f"it has more than {_LONGEST:,} bytes")
    try:
        document = json.loads(content.decode(), object_pairs_hook=_unique_members)
    except (ValueError, RecursionError) as e:
        raise _no_checkpoint(file, "it is not JSON, or names a member twice") from e
    if not isinstance(document, dict) or "deltamark_checkpoint" not in document:
        raise _no_checkpoint(file, "it has no member deltamark_checkpoint")
    version = document["deltamark_checkpoint"]
    if type(version) is not int or version < FORMAT:
        raise _no_checkpoint(file, f"its deltamark_checkpoint cannot be {shown(version)}")
    if version > FORMAT:
        raise UsageError(
            f"{file} is a checkpoint of format {shown(version)}; this version of Deltamark reads format {FORMAT}. "
            "Upgrade it."
        )
    unknown = set(document) - {"deltamark_checkpoint", "key", "signature", *(name for name, *_ in _MEMBERS)}
    if unknown:
        raise _no_checkpoint(file, f"it has the unknown member {shown(min(unknown))}")
    return document


def _unique_members(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a JSON object that names a member twice.

    Programs differ in which one they take.
    """
    document = dict(members)
    if len(document) != len(members):
        raise ValueError
    return document


def _check(file: Path, document: dict[str, Any], key: VerifyingKey) -> None:
    if "signature" not in document:
        raise UsageError(f"{file} is not signed, so its origin is unknown. Leave out --public-key to use it anyway.")
    try:
        signature = b64decode(document["signature"], validate=True)
        is_signed = key.verifies(signature, _signed_bytes({n: v for n, v in document.items() if n != "signature"}))
    except (ValueError, TypeError):
        is_signed = False
    if not is_signed:
        other_key = "" if document.get("key") == key.fingerprint else "it was signed with another key, or "
        raise UsageError(f"{file} is not signed with that key: {other_key}its content was altered. It proves nothing.")


def _signed_bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _no_checkpoint(file: Path, problem: str) -> UsageError:
    return UsageError(f"{file} is no checkpoint: {problem}. Name a file that `deltamark checkpoint --out` wrote.")
