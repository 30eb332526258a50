"""Checkpoint files: a few lines of JSON that say what a log was, signed where there is a key.

=====================  ==============================================================================================
``deltamark_checkpoint``  the version of this form: 1
``log``                which log; ``position``, ``at`` (ISO 8601, UTC), ``digest`` as in `Checkpoint`
``key``                SHA-256 of the raw public key, hexadecimal; only where it is signed
``signature``          Ed25519 (RFC 8032) over all other members as JSON with sorted names and no white space, base64
=====================  ==============================================================================================
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deltamark.domain.checkpoints import Checkpoint
from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown
from deltamark.infrastructure.proof.keys import SigningKey, VerifyingKey

FORM = 1
_LONGEST = 10_000
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_MEMBERS = {"deltamark_checkpoint", "log", "position", "at", "digest", "key", "signature"}


def checkpoint_text(checkpoint: Checkpoint, key: SigningKey | None) -> str:
    """A checkpoint as its file has it."""
    document: dict[str, Any] = {
        "deltamark_checkpoint": FORM,
        "log": checkpoint.log,
        "position": checkpoint.position,
        "at": checkpoint.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "digest": checkpoint.digest,
    }
    if key is not None:
        document["key"] = key.fingerprint
        document["signature"] = b64encode(key.sign(_signed(document))).decode()
    return json.dumps(document, indent=2) + "\n"


def read_checkpoint(file: Path, key: VerifyingKey | None) -> tuple[Checkpoint, bool]:
    """The checkpoint of a file, and whether it is signed.

    :param key: what it must be signed with; None does not check a signature.
    :raises UsageError: if the file cannot be read, is no checkpoint, or is not signed with the key.
    """
    document = _document(file)
    is_signed = "signature" in document
    if key is not None:
        _check(file, document, key)
    try:
        at = datetime.fromisoformat(document["at"])
        position, log, digest = document["position"], document["log"], document["digest"]
        if type(position) is not int or position < 1 or not isinstance(log, str) or at.tzinfo is None:
            raise ValueError
        if not _HEX.match(digest):
            raise ValueError
    except (ValueError, TypeError, KeyError) as e:
        raise _no_checkpoint(file) from e
    return Checkpoint(log=log, position=position, at=at, digest=digest), is_signed


def _document(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LONGEST + 1)
    except OSError as e:
        raise UsageError(f"{file}: {e.strerror}. Name a file that `deltamark checkpoint --out` wrote.") from e
    try:
        if len(content) > _LONGEST:
            raise ValueError
        document = json.loads(content.decode())
        if not isinstance(document, dict) or not set(document) <= _MEMBERS:
            raise ValueError
        form = document["deltamark_checkpoint"]
    except (ValueError, KeyError, RecursionError) as e:
        raise _no_checkpoint(file) from e
    if form != FORM:
        raise UsageError(
            f"{file} is a checkpoint of form {shown(form)}; this version of Deltamark reads form {FORM}. Upgrade it."
        )
    return document


def _check(file: Path, document: dict[str, Any], key: VerifyingKey) -> None:
    if "signature" not in document:
        raise UsageError(f"{file} is not signed, so nobody knows who made it. Leave --public-key out to use it anyway.")
    try:
        signature = b64decode(document["signature"], validate=True)
        is_signed = key.verifies(signature, _signed({n: v for n, v in document.items() if n != "signature"}))
    except (ValueError, TypeError):
        is_signed = False
    if not is_signed:
        whose = "" if document.get("key") == key.fingerprint else ": it was signed with another key, or"
        raise UsageError(f"{file} is not signed with that key{whose} its content was altered. It proves nothing.")


def _signed(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _no_checkpoint(file: Path) -> UsageError:
    return UsageError(f"{file} is no checkpoint. Name a file that `deltamark checkpoint --out` wrote.")
