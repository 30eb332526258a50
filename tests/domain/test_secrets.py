"""Passwords are recognized in every form of an address, and what holds none stays as it is."""

from time import process_time

import pytest

from deltamark.domain.secrets import has_password, masked

SECRET = "Pa55w0rd-Tulip"

ADDRESSES = [
    f"postgresql://ke:{SECRET}@h/d",
    f"postgresql://ke:{SECRET}/x@127.0.0.1/dm",
    f"postgresql://ke:a#{SECRET}@h",
    f"postgresql://ke:a?{SECRET}@h",
    f"postgresql://ke:a {SECRET}@h/d",
    f"postgresql://ke:{SECRET}@x@127.0.0.1:1/dm",
    f"postgresql://ke:x@{SECRET}@127.0.0.1:1/dm",
    f"postgresql://ke:{SECRET}%zz@h",
    f"postgresql://ke%3A{SECRET}@h/d",
    f"postgresql://ke:{SECRET}",
    f"postgresql://ke:{SECRET}/db",
    f"postgresql:ke:{SECRET}@h/d",
    f"postgresql:/ke:{SECRET}@h/d",
    f"postgresql//ke:{SECRET}@h/db",
    f"//ke:{SECRET}@h",
    f"ke:{SECRET}@h/d",
    f"ke/{SECRET}@h",
    f"mysql://h/dm?password={SECRET}",
    f"mysql://h/dm?user=ke&PWD={SECRET}",
    f"postgresql://h/d?sslpassword={SECRET}&a=b",
    f"host=127.0.0.1 user=ke password={SECRET}",
    f"host=127.0.0.1 user=ke password = '{SECRET} and more'",
    f"Server=x;Password={SECRET};Database=y",
    f"jdbc:postgresql://h/d?user=k&password={SECRET}",
    f"mongodb+srv://ke:{SECRET}@h",
    f'PASSWORD = "{SECRET}"',
]

WITHOUT = [
    "postgresql://user@host/database",
    "postgresql://user%40tenant@host/database",
    "postgresql://host:5432/db",
    "postgresql://h1:1,h2:2/d",
    "postgresql://[::1]:5432/d",
    "sqlite:///C:/x.db",
    "sqlite:////var/lib/deltamark.db",
    'password authentication failed for user "ke"',
    '  File "/home/ann@example/x.py", line 3, in load',
    "see https://example.org/a:b",
    "ann@example.org",
    "2026-01-01T00:00:00Z",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_part_of_a_password_is_left(address):
    for text in (address, f"the store {address!r} is wrong", f"{address}\nand more"):
        assert "Tulip" not in masked(text)
        assert "Pa55" not in masked(text)
    assert has_password(address)


@pytest.mark.parametrize("text", WITHOUT)
def test_what_holds_no_password_is_left_as_it_is(text):
    assert masked(text) == text
    assert not has_password(text)


@pytest.mark.parametrize("text", ["a" * 200_000, "a:" * 100_000, "//" * 100_000, "password=" * 20_000, "a/b" * 60_000])
def test_long_texts_take_little_time(text):
    before = process_time()

    masked(text)

    assert process_time() - before < 5
