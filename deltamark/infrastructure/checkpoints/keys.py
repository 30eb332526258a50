"""Ed25519 keys in PEM files, as OpenSSL writes and reads them (RFC 8410)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.system.atomic_file import whole_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_LONGEST = 10_000


class SigningKey:
    """A key that signs."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.fingerprint = _fingerprint(key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Signs bytes."""
        return self._key.sign(data)


class VerifyingKey:
    """A key that verifies signatures."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.fingerprint = _fingerprint(key)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether this is the signature of these bytes."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def signing_key(file: Path) -> SigningKey:
    """The private key in a file, without a password.

    :raises UsageError: if there is no usable one; the message shows nothing of the content.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_content(file), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{file} holds no Ed25519 private key without password, in PEM. {_HOW}")
    return SigningKey(key)


def verifying_key(file: Path) -> VerifyingKey:
    """The public key in a file.

    :raises UsageError: if there is no usable one.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_content(file))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{file} holds no Ed25519 public key, in PEM. {_HOW}")
    return VerifyingKey(key)


def new_keys(file: Path) -> Path:
    """Writes a new private key that only its owner may read, and the public key beside it.

    Returns the public file.

    :raises UsageError: if one of the files already exists, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key, public = Ed25519PrivateKey.generate(), file.with_name(f"{file.name}.pub")
    if public.exists():
        raise UsageError(f"{public} already exists and is not replaced. Name another file.")
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with whole_file(file, mode=0o600, is_new=True) as stream:
        stream.write(secret)
    try:
        with whole_file(public, mode=0o644, is_new=True) as stream:
            stream.write(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except BaseException:
        file.unlink()
        raise
    return public


_HOW = "`deltamark checkpoint --new-key FILE` makes a pair."


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_LONGEST)
    except OSError as e:
        raise UsageError(f"{file}: {e.strerror}. {_HOW}") from e


def _fingerprint(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes_raw()).hexdigest()
