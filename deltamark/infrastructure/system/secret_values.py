"""Reads secrets from where settings say that they are, each time they are needed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.secrets import Secret

LARGEST = 64 * 1024
"""In bytes."""

_CREDENTIALS = "CREDENTIALS_DIRECTORY"


def read_secret(reference: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """The secret that a reference names: `env:NAME`, `file:/path`, `credential:NAME` or `keyring:SERVICE/NAME`.

    One line break at the end of a file is not part of it.

    :raises SourceUnreachable: if it is not there, is empty, or others may read its file.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = environment.get(name)
        if value is None:
            raise SourceUnreachable(
                f"the variable {name} of the environment is not set", "Set it to the secret, and run the job again."
            )
    elif kind == "file":
        value = _content(Path(name), reference, is_private=True)
    elif kind == "keyring":
        value = _in_keyring(name, reference)
    else:
        folder = environment.get(_CREDENTIALS)
        if folder is None:
            raise SourceUnreachable(
                f"{reference} needs the folder of the service manager, but {_CREDENTIALS} is not set",
                "Run it as a service with LoadCredential, or name the secret as env: or file:.",
            )
        value = _content(Path(folder) / name, reference, is_private=False)
    if not value:
        raise SourceUnreachable(
            f"the secret {reference} is empty", "Servers take an empty password for none at all; write the secret."
        )
    return Secret(value)


def _in_keyring(name: str, reference: str) -> str:
    if find_spec("keyring") is None:
        raise SourceUnreachable(
            f"{reference} needs a library that is not installed", "Install it by: pip install 'deltamark[keyring]'."
        )
    import keyring
    from keyring.errors import KeyringError

    service, _, user = name.partition("/")
    try:
        value = keyring.get_password(service, user)
    except (KeyringError, OSError) as e:
        failed = SourceUnreachable(
            f"the keyring of this user cannot be read ({type(e).__name__})",
            "Unlock it, or name the secret as env:, file: or credential:; a service has no keyring.",
        )
    else:
        if value is None:
            raise SourceUnreachable(f"the keyring has no entry {reference}", f"Run: keyring set {service} {user}")
        return value
    raise failed  # without its cause, which may show more than is meant


def _content(path: Path, reference: str, *, is_private: bool) -> str:
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if is_private and os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SourceUnreachable(
                    f"the file of {reference} may be read or written by others", f"Run: chmod 600 {path}"
                )
            content = stream.read(LARGEST + 1)
    except OSError as e:
        raise SourceUnreachable(f"the file of {reference} cannot be read ({e.strerror})", "Correct the path.") from e
    if len(content) > LARGEST:
        raise SourceUnreachable(f"the file of {reference} is larger than 64 KiB", "Name a file that holds the secret.")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        failed = SourceUnreachable(f"the file of {reference} is not UTF-8", "Save it as UTF-8.")
    else:
        return text.removesuffix("\n").removesuffix("\r")
    raise failed
