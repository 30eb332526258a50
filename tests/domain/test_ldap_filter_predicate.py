"""Filters of LDAP that are judged without a server."""

from __future__ import annotations

import pytest

from deltamark.domain.configuration.ldap_filter import filter_predicate

ENTRY = {
    "cn": [b"Ann  Adler", b"Anna"],
    "uidnumber": [b"9"],
    "useraccountcontrol": [b"514"],
    "objectguid": [b"\x00*\xff"],
    "description;lang-de": [b"Gro\xc3\x9f"],
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("(cn=ann adler)", True),
        ("(CN=Ann)", False),
        ("(cn=*)", True),
        ("(mail=*)", False),
        ("(!(mail=*))", True),
        ("(cn=an*ad*er)", True),
        ("(cn=*nna)", True),
        ("(cn=*x*)", False),
        ("(uidNumber>=10)", False),
        ("(uidNumber<=10)", True),
        ("(cn>=anna)", True),
        ("(cn~=ANNA)", True),
        ("(objectGUID=\\00\\2a\\ff)", True),
        ("(description=gross)", True),
        ("(userAccountControl:1.2.840.113556.1.4.803:=2)", True),
        ("(userAccountControl:1.2.840.113556.1.4.803:=3)", False),
        ("(userAccountControl:1.2.840.113556.1.4.804:=3)", True),
        ("(&(cn=anna)(|(mail=x)(uidNumber=9)))", True),
        ("(&(cn=anna)(mail=x))", False),
        ("(&)", True),
        ("(|)", False),
    ],
)
def test_a_filter_is_judged_by_the_values_of_an_entry(text: str, fits: bool) -> None:
    assert filter_predicate(text)(ENTRY) is fits


@pytest.mark.parametrize("text", ["(cn:dn:=x)", "(cn:=x)", "(uidNumber:1.2.840.113556.1.4.803:=x)", "(:1.2.3:=x)"])
def test_a_rule_that_needs_a_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="compares by a rule that needs a server"):
        filter_predicate(text)
