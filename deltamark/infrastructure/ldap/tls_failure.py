"""Why a TLS connection to a directory fails. The LDAP library does not say it."""

from __future__ import annotations

import socket
import ssl

from deltamark.infrastructure.ldap import ber

_START_TLS = ber.sequence(ber.integer(1), ber.element(0x77, ber.element(0x80, b"1.3.6.1.4.1.1466.20037")))


def tls_failure(host: str, port: int, starts_plain: bool, authority: str, timeout: float) -> str | None:
    """Returns the reason, in the words of OpenSSL; None where TLS works or the server is not reached.

    :param starts_plain: whether TLS begins by an LDAP message (StartTLS).
    """
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with socket.create_connection((host, port), timeout=min(timeout, 10)) as plain:
            if starts_plain:
                plain.sendall(_START_TLS)
                plain.recv(4096)
            with context.wrap_socket(plain, server_hostname=host):
                return None
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS fails: {error.reason or error}"
    except OSError:
        return None
