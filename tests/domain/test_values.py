"""Values: equality, and how messages quote them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deltamark.domain.values import PropertyType, canonical_decimal, digit_count, same_value, shown


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (3435, 3435.0, False),
        (0.0, -0.0, True),
        (1, 1.0000001, False),
        (2**63 - 1, 2**63 - 2, False),
        (True, True, True),
        (True, 1, False),
        (False, 0, False),
        (False, None, False),
        ("1", 1, False),
        ("", None, False),
        (None, None, True),
        ("a", "A", False),
        ("é", "e\u0301", False),
        ("a", "a ", False),
    ],
)
def test_values_are_compared_as_typed_values(left, right, same):
    assert same_value(left, right) is same
    assert same_value(right, left) is same


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", '"abc"'),
        (12, '"12"'),
        (None, '"None"'),
        ("a\nb\tc", '"a\\x0ab\\x09c"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("a\u202eb", '"a\\u202eb"'),
        ("é✓", '"é✓"'),
        ("x" * 80, '"' + "x" * 80 + '"'),
        ("x" * 81, '"' + "x" * 80 + '"…'),
        ("", '""'),
    ],
)
def test_a_quoted_value_is_one_line_cut_and_without_control_characters(value, text):
    assert shown(value) == text


@pytest.mark.parametrize("kind", PropertyType)
def test_a_type_is_named_by_name_or_number(kind):
    assert PropertyType.named(kind.label) is kind
    assert kind.number is None or PropertyType.named(str(kind.number)) is kind


@pytest.mark.parametrize("text", ["", "string", "11", "13", "-1", "1.0", " String", "STRING", "None"])
def test_an_unknown_type_is_none(text):
    assert PropertyType.named(text) is None


@pytest.mark.parametrize(
    ("number", "text", "digits"),
    [
        (Decimal("1.50"), "1.5", 2),
        (Decimal("-0.00"), "0", 0),
        (Decimal("1E+3"), "1000", 4),
        (Decimal("-1E-3"), "-0.001", 3),
        (100, "100", 3),
        (Decimal("9" * 38), "9" * 38, 38),
    ],
)
def test_a_decimal_has_one_text(number, text, digits):
    assert canonical_decimal(number) == text
    assert digit_count(text) == digits
