"""Where servers are, and how they must prove who they are."""

from __future__ import annotations

import pytest

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.infrastructure.sql.loopback import is_loopback
from deltamark.infrastructure.sql.mysql import mysql_address
from deltamark.infrastructure.sql.postgresql import _authorities, postgresql_security
from tests.sql.following import question


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "/run/postgresql", "@hidden"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["hr", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "::2"])
def test_other_machines(host: str) -> None:
    assert not is_loopback(host)


def test_postgresql_on_another_machine_is_verified() -> None:
    verified = {"sslmode": "verify-full", "sslrootcert": _authorities()}

    assert postgresql_security("postgresql://hr.meridian.example/hr", None) == verified
    assert postgresql_security("postgresql://localhost,hr.meridian.example/hr", None) == verified
    assert postgresql_security("postgresql:///hr?host=localhost&hostaddr=10.0.0.1", None) == verified
    assert postgresql_security("postgresql://h/hr?sslmode=verify-full", "ca.pem") == {
        **verified,
        "sslrootcert": "ca.pem",
    }
    assert postgresql_security("postgresql://h/hr?sslrootcert=own.pem", None) == {**verified, "sslrootcert": "own.pem"}
    assert postgresql_security("postgresql://localhost/hr?sslmode=disable", None) == {}
    assert postgresql_security("postgresql:///hr?host=/run/postgresql", None) == {}
    for mode in ("disable", "prefer", "require", "verify-ca"):
        with pytest.raises(SourceUnreachable, match=f"asks for sslmode={mode}"):
            postgresql_security(f"postgresql://h/hr?sslmode={mode}", None)


def test_mysql_on_another_machine_is_verified() -> None:
    there = mysql_address(question({"server": "mysql://reader@hr.meridian.example:3307/hr%20data"}, ["id"], {}))
    here = mysql_address(question({"server": "mariadb://127.0.0.1/hr", "user": "reader"}, ["id"], {}))

    assert (there["host"], there["port"], there["database"], there["user"]) == (
        "hr.meridian.example", 3307, "hr data", "reader",
    )  # fmt: skip
    assert there["ssl"].check_hostname
    assert "ssl_disabled" not in there
    assert here == {"host": "127.0.0.1", "port": 3306, "user": "reader", "database": "hr", "ssl_disabled": True}


@pytest.mark.parametrize(
    "address", ["mysql://h", "mysql://h:port/d", "mysql://h/d?ssl_disabled=1", "mysql://h/d#x", "mysql://h/d?socket"]
)
def test_addresses_of_mysql_that_are_none(address: str) -> None:
    with pytest.raises(SourceUnreachable, match="the address of the server"):
        mysql_address(question({"server": address}, ["id"], {}))
