"""Secrets and the texts that would show them."""

from __future__ import annotations

import base64
import copy
import pickle
import traceback
from urllib.parse import quote_plus

import pytest

from deltamark.domain.secrets import Secret, redacted

PASSWORDS = [
    "geheim",
    "p%40ss@w:rd/",
    "it's",
    'say "yes"',
    "back\\slash",
    "two words",
    "ünïcödé",
    "=&?#",
    "line\nbreak",
]


@pytest.mark.parametrize("password", PASSWORDS)
def test_nothing_that_is_printed_of_a_secret_holds_it(password: str) -> None:
    secret = Secret(password)

    printed = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, repr({"password": secret})]  # noqa: UP031
    printed.append(str(pickle.dumps(secret)))
    printed.append(pickle.loads(pickle.dumps(secret)).value)  # noqa: S301
    try:
        raise ValueError(secret)
    except ValueError:
        printed.append(traceback.format_exc())

    assert not [text for text in printed if password in text]
    assert copy.copy(secret).value == "***"


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_foreign_text_is_shown_without_a_secret_in_whatever_form_it_quotes_it(password: str) -> None:
    encoded = base64.b64encode(password.encode()).decode()
    forms = [password, quote_plus(password), repr(password), encoded, password.replace("'", "''")]
    text = "connection failed: " + " | ".join(forms) + " at host x"

    shown = redacted(text, [Secret(password)])

    assert not [form for form in forms if form in shown]
    assert shown.startswith("connection failed: ")
    assert shown.endswith(" at host x")


def test_a_text_without_secrets_stays_as_it_is() -> None:
    assert redacted("connection refused", [Secret("geheim"), Secret("")]) == "connection refused"
