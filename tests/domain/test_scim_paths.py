"""Paths of attributes and filters of SCIM."""

from __future__ import annotations

import pytest

from deltamark.domain.configuration.scim_paths import filter_paths, scim_path, value_of

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("userName", (None, "userName", None)),
        ("name.familyName", (None, "name", "familyName")),
        ('emails[type eq "work"].value', (None, "emails", "value")),
        (f"{ENTERPRISE}:manager.value", (ENTERPRISE, "manager", "value")),
        ('members[type eq "User" and not (display pr)]', (None, "members", None)),
    ],
)
def test_a_path_has_parts(text: str, parts: tuple[str | None, str, str | None]) -> None:
    path = scim_path(text)

    assert (path.schema, path.attribute, path.part) == parts


@pytest.mark.parametrize("text", ["", "a b", "a[", "1x", "a.b.c", "x[type gt 1]", "x[type eq]", "x[]", "urn:a:", 'x"y'])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no path of an attribute|has a filter that cannot be read"):
        scim_path(text)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('type eq "WORK"', True),
        ('type eq "home" or primary eq true', True),
        ('type eq "home" and primary eq true', False),
        ('not (value co "example")', False),
        ('value sw "a" and value ew "ple"', True),
        ("display pr", False),
        ('type ne "home"', True),
        ("primary eq false", False),
    ],
)
def test_a_condition_chooses_values(condition: str, holds: bool) -> None:
    chooses = scim_path(f"emails[{condition}]").chooses
    assert chooses is not None

    assert chooses({"type": "work", "value": "a@m.example", "primary": True}) is holds


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("active eq true", {"active"}),
        ('userName sw "a" and (title pr or meta.created gt "2026")', {"userName", "title", "meta.created"}),
        ('emails[type eq "work" and value co "x"]', {"emails", "emails.type", "emails.value"}),
        (f'{ENTERPRISE}:department eq "D1"', {f"{ENTERPRISE}:department"}),
    ],
)
def test_a_filter_names_attributes(text: str, paths: set[str]) -> None:
    assert filter_paths(text) == paths


@pytest.mark.parametrize(
    "text", ["", "active", "active eq", 'a eq "x" and', "(a eq 1", "a eq 1)", "a foo 1", "a eq x", "(" * 99 + "a pr"]
)
def test_what_is_no_filter_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"at character|is no comparison|should end after|levels deep"):
        filter_paths(text)


def test_names_are_found_whatever_their_letter_case() -> None:
    assert value_of({"UserName": "ann"}, "username") == "ann"
    assert value_of({"username": "bob", "userName": "ann"}, "userName") == "ann"
    assert value_of([], "x") is None
