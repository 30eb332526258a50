"""A certificate authority of the tests, and certificates of their servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@frozen
class Certificate:
    """Files of a certificate, its key, and the authority that issued it."""

    certificate: Path
    key: Path
    authority: Path


def issued(
    folder: Path, name: str, *, expired: bool = False, addresses: tuple[str, ...] = ("127.0.0.1",)
) -> Certificate:
    """A certificate for a server, issued by a new authority.

    :param addresses: those that it is for, besides its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    issuer, issuer_key = _name(f"Authority of {name}"), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(issuer, issuer, issuer_key, issuer_key, (x509.BasicConstraints(ca=True, path_length=0),))
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName(
        [x509.DNSName(name), *(x509.IPAddress(ip_address(address)) for address in addresses)]
    )
    certificate = _certificate(
        _name(name), issuer, key, issuer_key, (x509.BasicConstraints(ca=False, path_length=None), alternatives), expired
    )
    files = Certificate(folder / "certificate.pem", folder / "key.pem", folder / "authority.pem")
    files.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extensions: tuple[x509.ExtensionType, ...],
    expired: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=20))
        .not_valid_after(now - timedelta(days=10) if expired else now + timedelta(days=10))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(signer, hashes.SHA256())
