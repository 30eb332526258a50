"""Cookies of servers as places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.application.ports.sources import PlaceLost, SourceUnreachable
from deltamark.infrastructure.ldap.places import sealed, unsealed


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=50), max_size=4), st.data())
def test_a_place_is_as_it_was_made_or_lost(cookies: dict[str, bytes], data: st.DataObject) -> None:
    place = sealed(cookies)
    at = data.draw(st.integers(min_value=0, max_value=len(place) - 1))
    altered = place[:at] + bytes([place[at] ^ 1]) + place[at + 1 :]

    assert unsealed(place) == cookies
    for bad in (altered, place[:at], place + b"x"):
        with pytest.raises(PlaceLost, match="altered"):
            unsealed(bad)


def test_cookies_that_are_too_large_are_refused() -> None:
    with pytest.raises(SourceUnreachable, match="more than 65,536 bytes"):
        sealed({"": b"x" * 40_000})
