"""Which changes of keys are no normal day."""

import pytest

from deltamark.domain.synchronization.keys import ENOUGH, key_change, stripped


def change(before, after, held=None, kept=0):
    """Of resources: key -> values, before and after; `kept` more are as before."""
    lost = {(key,): values for key, values in before.items()}
    gained = {(key,): values for key, values in after.items()}
    count = len(before) + kept if held is None else held
    replaced = min(len(lost), len(gained))
    return key_change("P", "resource", lost, gained, lambda most: count, replaced=replaced)


@pytest.mark.parametrize(
    "surrounded", [" k", "k\t", "k\u00a0", "\ufeffk", "k\u200b\u200b", "\u00adk", "\x1ak", "\u202ek\u202c"]
)
def test_what_surrounds_a_key_is_no_part_of_it(surrounded):
    assert stripped(surrounded) == "k"


def test_characters_within_a_key_are_part_of_it():
    assert stripped("a\u200bb c") == "a\u200bb c"


@pytest.mark.parametrize(
    ("before", "after"),
    [("k", "k "), ("ab", "a\u200bb"), ("a b", "a\u00a0b"), ("\u00e9", "e\u0301"), ("\ufeffk", "k"), ("a\ufeffb", "ab")],
)
def test_one_key_that_looks_the_same_is_enough(before, after):
    found = change({before: None}, {after: None}, kept=10_000)

    assert str(found).startswith(f'keys of P changed: "{before.encode("unicode_escape").decode()}" → ')


@pytest.mark.parametrize(
    ("before", "after"),
    [("1", "1.0"), ("007", "7"), ("100000", "1E+05"), ("1", "1,00"), ("12.50", "12.5"), ("0", "0.0")],
)
def test_more_than_a_tenth_as_the_same_numbers_written_otherwise_is_enough(before, after):
    assert change({before: None}, {after: None}, kept=8) is not None
    assert change({before: None}, {after: None}, kept=9) is None


def test_most_keys_in_another_letter_case_or_width_are_enough():
    assert change({"a": None, "b": None}, {"A": None, "\uff22": None}, kept=1) is not None
    assert change({"a": None, "b": None}, {"A": None, "B": None}, kept=2) is None


def test_most_keys_with_the_same_other_values_are_enough_if_these_are_unique():
    names = {"1": "Ann", "2": "Bob", "3": "Cid"}

    found = change(names, {"E" + key: name for key, name in names.items()}, kept=2)

    assert str(found) == (
        'most keys of P changed: "1" → "E1", "2" → "E2", "3" → "E3"; 3 of 5 resources would be deleted and 3 created'
    )
    assert change(names, {"E" + key: name for key, name in names.items()}, kept=3) is None
    assert change(dict.fromkeys(names, "x"), {"E" + key: "x" for key in names}) is None


@pytest.mark.parametrize("values", ["Ann", None])
def test_one_other_resource_is_a_normal_day_even_if_it_says_the_same(values):
    assert change({"1": values}, {"2": values}) is None


def test_most_replaced_are_enough_where_there_are_many():
    def replaced(count, held):
        return change({f"a{n}": None for n in range(count)}, {f"b{n}": None for n in range(count)}, held)

    assert replaced(ENOUGH, ENOUGH) is not None
    assert replaced(ENOUGH - 1, ENOUGH - 1) is None
    assert replaced(50, 100) is None
    assert str(replaced(51, 100)) == "most keys of P changed; 51 of 100 resources would be deleted and 51 created"


def test_what_only_goes_or_only_comes_changes_no_keys():
    assert change({"1": "Ann", "2": "Bob"}, {}) is None
    assert change({}, {"1": "Ann", "2": "Bob"}) is None


def test_a_message_names_three_pairs_and_how_many_more():
    before = {str(n): None for n in range(1, 12)}

    found = change(before, {f"{key}.0": None for key in before})

    assert '"3" → "3.0", 8 more like these; 11 of 11 resources' in str(found)


def test_links_are_compared_at_both_ends():
    lost = {("g1", "1"): None, ("g1", "2"): None}

    found = key_change("M", "link", lost, {("g1", "1.0"): None, ("g1", "2.0"): None}, lambda most: 2, replaced=2)

    assert str(found) == (
        'most keys of M changed: "g1" "1" → "g1" "1.0", "g1" "2" → "g1" "2.0"; '
        "2 of 2 links would be removed, and 2 rows would add others or name what does not exist"
    )
    assert key_change("M", "link", lost, {("g2", "1"): None, ("g2", "2"): None}, lambda most: 2, replaced=0) is None
