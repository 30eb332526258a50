"""Filters of LDAP searches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.configuration.ldap_filter import filter_attributes
from deltamark.domain.configuration.secret_attributes import holds_secrets


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("(mail=*)", {"mail"}),
        ("(&(objectCategory=person)(!(employeeID=*)))", {"objectcategory", "employeeid"}),
        ("(|(cn=a*b*)(sn~=x)(age>=3)(age<=9))", {"cn", "sn", "age"}),
        (r"(cn=\2a\28\29\5c\00)", {"cn"}),
        ("(cn=)", {"cn"}),
        ("(cn;lang-de=Ö)", {"cn"}),
        ("(userAccountControl:1.2.840.113556.1.4.803:=2)", {"useraccountcontrol"}),
        ("(:dn:2.4.6.8.10:=Dino)", set()),
        ("(2.5.4.3=x)", {"2.5.4.3"}),
        ("(&)", set()),
    ],
)
def test_a_filter_names_attributes(text: str, attributes: set[str]) -> None:
    assert filter_attributes(text) == attributes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r'"\(" is missing at character 1, before the end'),
        ("mail=*", r'"\(" is missing at character 1, before "mail=\*"'),
        ("(mail=*", r'"\)" is missing at character 8, before the end'),
        ("(mail=*))", r'should end after 8 characters, before "\)"'),
        ("(mail)", "no comparison such as"),
        ("(&(mail=*)", r'"\)" is missing'),
        ("(!(a=1)(b=2))", r'"\)" is missing'),
        (r"(cn=\zz)", r'"\)" is missing at character 5'),
        ("(cn=a(b)", r'"\)" is missing'),
        ("(=x)", "no comparison"),
        (" (cn=x)", r'"\(" is missing'),
        ("(" * 5000, "."),
        ("(!" * 5000, "nested more than 50"),
    ],
)
def test_what_is_no_filter_is_refused_where_it_goes_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filter_attributes(text)


@given(st.text(alphabet="()&|!=*\\a1 é:~<>", max_size=30))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        filter_attributes(text)
    except ValueError:
        return
    assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    "name", ["unicodePwd", "USERPASSWORD", "userPassword;lang-de", "ms-Mcs-AdmPwd", "msDS-ManagedPassword"]
)
def test_attributes_of_secrets_are_known(name: str) -> None:
    assert holds_secrets(name)
    assert not holds_secrets("mail")
