"""What spreadsheets, directories and programs write every day is read, or the reason says what is expected."""

from __future__ import annotations

import pytest

from tests.cases.case import Case
from tests.cases.conftest import NewCase

GUID = "eb2bf6c4-512d-447f-8aa0-cf2499f6980f"


def values(case: Case, name: str, entity_type: str = "P") -> dict[str, object]:
    """Key -> the value of a property, None where there is none."""
    return {row["key"]: row["properties"].get(name) for row in case.exported(entity_type)}


def map_with(case: Case, column: str, attributes: str) -> None:
    """Adds attributes to the mapping of a column."""
    mapped = f'ConnectionColumn="{column}"'
    replace_in(case, mapped, f"{mapped} {attributes}")


def replace_in(case: Case, text: str, instead: str) -> None:
    """Replaces a text in the configuration, which must be there."""
    file = case.configuration(1)
    before = file.read_text(encoding="utf-8")
    assert text in before
    file.write_text(before.replace(text, instead), encoding="utf-8")


def test_moments_are_read_in_all_spellings_of_programs(case: NewCase) -> None:
    dates = case("05-seven-digits")

    answer = dates.run(1)

    assert "set aside" not in answer.err
    moments = values(dates, "N")
    assert moments == {
        "1": "2026-11-24T08:15:30.123456Z",
        "2": "2026-11-24T07:15:30Z",
        "3": "2026-11-24T08:15:30.123456Z",
        "4": "2026-11-24T08:15:30.123456Z",
        "5": "2026-11-24T06:15:30Z",
        "6": "2026-11-24T08:15:30.500000Z",
        "7": "2026-11-25T00:00:00Z",
        "8": "2026-11-24T08:15:30Z",
        "9": "2026-11-24T08:15:30Z",
    }


def test_a_column_may_mix_all_spellings_of_generalized_time(case: NewCase) -> None:
    dates = case("05-seven-digits")
    dates.extract(
        1,
        p="id;name\n1;20240229120000Z\n2;20240229120000.0Z\n3;20240229130000+0100\n4;202402291200Z\n5;2024022912Z\n"
        "6;20240229120000,000-00\n",
    )

    dates.run(1)

    assert set(values(dates, "N").values()) == {"2024-02-29T12:00:00Z"}


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("2024-02-30", "there is no such day: February 2024 has 29 days"),
        ("29/02/2024", "expected: yyyy-MM-dd"),
        ("12024-01-01", "beyond the year 9999"),
        ("2024-02-29T10:00:00.1234567891Z", "more than 9 digits"),
    ],
)
def test_a_date_that_is_not_read_is_not_called_something_else(case: NewCase, written: str, reason: str) -> None:
    dates = case("05-seven-digits")
    dates.extract(1, p=f"id,name\n1,{written}\n")

    answer = dates.run(1)

    assert reason in answer.err
    assert "not a date" not in answer.err


def test_a_blank_in_a_format_is_any_blank(case: NewCase) -> None:
    dates = case("06-narrow-blank")

    answer = dates.run(1)

    assert "set aside" not in answer.err
    assert values(dates, "N") == dict.fromkeys("123", "2026-01-02T15:04:05Z")


def test_file_times_beyond_the_year_9999_mean_never(case: NewCase) -> None:
    accounts = case("09-file-times")

    answer = accounts.run(1)

    assert values(accounts, "N") == {
        "1": None,
        "2": None,
        "3": None,
        "4": "9999-12-31T23:59:59.999999Z",
        "5": None,
        "7": "2019-12-30T00:00:00Z",
    }
    assert "p.csv:7:name: a file time is not negative" in answer.err
    assert "p.csv:9:name: the value is a shortened number" in answer.err


def test_a_guid_is_one_however_its_bytes_are_written(case: NewCase) -> None:
    accounts = case("10-binary-guids")

    answer = accounts.run(1)

    assert "set aside" not in answer.err
    assert values(accounts, "N") == dict.fromkeys("1234", GUID)


def test_bytes_of_a_guid_are_read_in_the_order_that_the_mapping_states(case: NewCase) -> None:
    accounts = case("10-binary-guids")
    map_with(accounts, "name", 'ByteOrder="BigEndian"')

    accounts.run(1)

    assert values(accounts, "N") == {"1": GUID, **dict.fromkeys("234", "c4f62beb-2d51-7f44-8aa0-cf2499f6980f")}


def test_a_spreadsheet_is_read_as_the_mapping_says(case: NewCase) -> None:
    sheet = case("56-values-of-a-spreadsheet")
    map_with(sheet, "a", 'DecimalSeparator="," ThousandsSeparator=" "')
    map_with(sheet, "b", 'TrueValues="yes|oui" FalseValues="no|non"')
    map_with(sheet, "c", 'Format="dd/MM/yyyy" NullValues="NULL|-"')
    sheet.extract(1, p="id;a;b;c\n1;12,50;yes;29/02/2024\n2;1\u202f234,5;Non;-\n3;-1;true;NULL\n")

    answer = sheet.run(1)

    assert "set aside" not in answer.err
    assert values(sheet, "A") == {"1": 12.5, "2": 1234.5, "3": -1.0}
    assert values(sheet, "B") == {"1": True, "2": False, "3": True}
    assert values(sheet, "C") == {"1": "2024-02-29T00:00:00Z", "2": None, "3": None}


def test_amounts_and_days_of_a_spreadsheet_are_exact(case: NewCase) -> None:
    sheet = case("56-values-of-a-spreadsheet")
    replace_in(sheet, 'Identifier="A" Type="Double"', 'Identifier="A" Type="Decimal"')
    replace_in(sheet, 'Identifier="C" Type="DateTime"', 'Identifier="C" Type="Date"')
    map_with(sheet, "a", 'DecimalSeparator="," ThousandsSeparator="."')
    map_with(sheet, "c", 'Format="dd/MM/yyyy HH:mm:ss"')
    sheet.extract(
        1,
        p="id;a;b;c\n1;1.234,560;;29/02/2024 00:00:00\n2;-0,00;;\n3;-9.007.199.254.740.993,10;;31/12/9999 00:00:00\n"
        f"4;{'9' * 39};;\n5;;;29/02/2024 08:15:00\n",
    )

    answer = sheet.run(1)

    assert values(sheet, "A") == {"1": "1234.56", "2": "0", "3": "-9007199254740993.1"}
    assert values(sheet, "C") == {"1": "2024-02-29", "2": None, "3": "9999-12-31"}
    assert "p.csv:5:a: the number has more than 38 digits; expected is a number with a decimal comma" in answer.err
    assert "p.csv:6:c: the date has a time of day; a Date has none: declare the property as DateTime" in answer.err
    assert sheet.command("export", "P", "--format", "csv", "--safe-for-spreadsheets").out.decode().splitlines()[3] == (
        '"3","3","-9007199254740993.1","","9999-12-31"'
    )


def test_without_options_the_reasons_name_what_is_read_and_which_option_would_read_the_value(case: NewCase) -> None:
    sheet = case("56-values-of-a-spreadsheet")

    answer = sheet.run(1)

    assert values(sheet, "A") == {"1": 12.5}
    assert 'DecimalSeparator=","' in answer.err
    assert "a decimal point, such as 12.5" in answer.err
    assert "true, 1, false, 0, or what TrueValues and FalseValues" in answer.err
    assert "yyyy-MM-dd" in answer.err
    assert "a Format of the mapping" in answer.err


def test_columns_that_no_mapping_names_do_not_matter(case: NewCase) -> None:
    sheet = case("56-values-of-a-spreadsheet")
    sheet.extract(1, p="id;a;x;b;c;x;\n1;12.5;1;true;2024-02-29;2;3\n")

    answer = sheet.run(1)

    assert answer.status == 0, answer.err
    assert values(sheet, "A") == {"1": 12.5}


def test_a_mapped_column_must_not_be_there_twice(case: NewCase) -> None:
    sheet = case("56-values-of-a-spreadsheet")
    sheet.extract(1, p="id;a;b;c;a\n1;12.5;true;2024-02-29;13.5\n")

    answer = sheet.run(1)

    assert answer.status == 1
    assert "p.csv:1:a: the header names this column twice" in answer.err


def test_options_that_contradict_each_other_or_have_no_effect_are_faults(case: NewCase) -> None:
    sheet = case("56-values-of-a-spreadsheet")
    map_with(sheet, "a", 'DecimalSeparator="," ThousandsSeparator="," TrueValues="x"')
    map_with(sheet, "b", 'TrueValues="yes|0"')
    map_with(sheet, "c", 'ByteOrder="BigEndian" Trim="true"')

    answer = sheet.command("validate")

    assert answer.status == 2
    for problem in (
        "DecimalSeparator and ThousandsSeparator are the same",
        "TrueValues and FalseValues have no effect on a property of type Double",
        '"0" would be both true and false',
        "ByteOrder has no effect on a property of type DateTime",
        "Trim has no effect on a property of type DateTime",
    ):
        assert problem in answer.out.decode()


def test_bits_of_negative_numbers_are_right(case: NewCase) -> None:
    flags = case("11-bit-flags")

    assert flags.command("validate").status == 0
    flags.run(1)

    bits = values(flags, "R")
    assert {key for key, is_set in bits.items() if is_set} == {"global-security", "global-list", "disabled"}
    assert {key for key, is_set in bits.items() if is_set is False} == {
        "local-security",
        "universal-security",
        "enabled",
    }


def test_what_is_refused_in_an_expression_says_what_to_write_instead(case: NewCase) -> None:
    flags = case("11-bit-flags")
    file = flags.configuration(1)
    file.write_text(
        file.read_text(encoding="utf-8").replace("(p.T &amp; 2) = 2", "bitand(p.T, 2) = 2"), encoding="utf-8"
    )

    answer = flags.command("validate")

    assert answer.status == 2
    assert "write (number & 2) <> 0" in answer.out.decode()


def test_a_name_has_one_lower_case_composed_or_not(case: NewCase) -> None:
    names = case("15-lower-of-a-decomposed-name")

    names.run(1)

    lower = values(names, "L")
    assert all(lower[f"{number}-NFC"] == lower[f"{number}-NFD"] for number in "123")


def test_a_bad_row_is_told_once_however_many_mappings_read_its_file(case: NewCase) -> None:
    names = case("14-names-that-nearly-fit")
    names.extract(1, u='dn,manager\nA,\n"B"x,A\n  ,A\nC,A\n')

    answer = names.run(1)

    assert answer.err.count("u.csv:3:") == 1, answer.err
    assert answer.err.count("u.csv:4:") == 1, answer.err
    assert "2 rows were set aside" in answer.err


def test_a_cell_may_hold_several_values(case: NewCase) -> None:
    groups = case("18-several-values-in-a-cell")
    replace_in(groups, 'Column1="group"', 'Column1="group" Separator1=";"')

    answer = groups.run(1)

    assert "set aside" not in answer.err
    assert {row["key"]: row["links"] for row in groups.exported("G")} == {"g1": {"GU": ["a", "b"]}, "g2": {"GU": ["a"]}}

    groups.extract(1, m="member,group\na,g2;\nb,g1;g2\n")
    groups.run(1)

    assert {row["key"]: row["links"] for row in groups.exported("G")} == {"g1": {"GU": ["b"]}, "g2": {"GU": ["a", "b"]}}


def test_a_column_of_links_is_written_as_the_key_that_it_names(case: NewCase) -> None:
    groups = case("18-several-values-in-a-cell")
    replace_in(groups, 'ConnectionColumn="login"', 'ConnectionColumn="login" Trim="true"')
    replace_in(groups, 'Column1="group"', 'Column1="group" NullValues="NULL|-"')
    groups.extract(1, m="member,group\n a ,g1\nb,NULL\n", u="login\na \n b\n")

    answer = groups.run(1)

    assert groups.keys("U") == ["a", "b"]
    assert groups.exported("G")[0]["links"] == {"GU": ["a"]}
    assert "m.csv:3:group: the key is empty" in answer.err


@pytest.mark.parametrize("first", ["#TYPE Report\n", "Report;2024\n\n", "\n\n\n"])
def test_lines_before_the_header_are_skipped_as_the_mapping_says(case: NewCase, first: str) -> None:
    sheet = case("56-values-of-a-spreadsheet")
    skipped = first.count("\n")
    replace_in(sheet, 'ConnectionTable="p"', f'ConnectionTable="p" SkipLines="{skipped}"')
    sheet.extract(1, p=f"{first}id;a;b;c\n1;x;true;\n2;1;true;\n")

    answer = sheet.run(1)

    assert values(sheet, "A") == {"2": 1.0}
    assert f"p.csv:{skipped + 2}:a: the value is not a number" in answer.err


def test_a_file_with_fewer_lines_than_are_skipped_is_refused(case: NewCase) -> None:
    sheet = case("56-values-of-a-spreadsheet")
    replace_in(sheet, 'ConnectionTable="p"', 'ConnectionTable="p" SkipLines="9"')

    answer = sheet.run(1)

    assert answer.status == 1
    assert "there are fewer lines than SkipLines of the mapping says" in answer.err


def test_a_name_that_nearly_fits_is_told_with_what_it_differs_in(case: NewCase) -> None:
    names = case("14-names-that-nearly-fit")

    answer = names.run(1)

    leads = {row["key"].partition(",")[0]: row["links"].get("UM") for row in names.exported("U")}
    assert leads["CN=E"] == ["CN=Müller,OU=Sales"]  # blanks around a key are no part of it
    assert leads["CN=A"] == [r"CN=Boss\, Jane,OU=Sales"]
    boss, mueller = r'it differs from "CN=Boss\, Jane,OU=Sales" in', 'it differs from "CN=Müller,OU=Sales" in'
    for line, difference in (
        (5, f"{boss} letter case"),
        (6, f"{boss} blanks"),
        (7, f"{mueller} how letters with accents are composed"),
    ):
        assert f"u.csv:{line}:manager: no U has this Dn; {difference}" in answer.err


def test_a_cell_with_several_values_is_told_with_what_splits_it(case: NewCase) -> None:
    groups = case("18-several-values-in-a-cell")

    answer = groups.run(1)

    reason = 'no G has this Name; the cell holds several values, which Separator1=";" on the mapping splits'
    assert f"m.csv:2:group: {reason}" in answer.err


def test_a_name_that_nothing_resembles_is_told_without_a_guess(case: NewCase) -> None:
    names = case("14-names-that-nearly-fit")
    names.extract(1, u="dn,manager\nA,Bob\n")

    assert "u.csv:2:manager: no U has this Dn (read: 'Bob')" in names.run(1).err


BOSS, MUELLER = r"CN=Boss\, Jane,OU=Sales", "CN=Müller,OU=Sales"


def led_by(case: Case) -> dict[str, str | None]:
    """The name of a person -> the manager."""
    leads = {row["key"]: row["links"].get("UM") for row in case.exported("U")}
    return {key.partition(",")[0].upper(): managers[0] if managers else None for key, managers in leads.items()}


def compared_as(case: NewCase, comparison: str) -> Case:
    names = case("14-names-that-nearly-fit")
    map_with(names, "dn", f'Comparison="{comparison}"')
    return names


def test_names_are_compared_as_a_directory_does(case: NewCase) -> None:
    names = compared_as(case, "Directory")

    answer = names.run(1)

    assert "set aside" not in answer.err
    managers = led_by(names)
    assert [managers[f"CN={name}"] for name in "ABCDE"] == [BOSS, BOSS, BOSS, MUELLER, MUELLER]


def test_a_change_of_spelling_is_no_change(case: NewCase) -> None:
    names = compared_as(case, "Directory")
    names.run(1)
    before = names.exported("U")
    names.extract(
        1,
        u='dn,manager\n"cn=BOSS\\2C jane , ou=sales",\n"CN=Mu\u0308ller,OU=SALES",\n'
        '"cn=a,ou=Sales","CN=Boss\\, Jane,OU=Sales"\n"CN=b,OU=Sales","CN=Boss\\,  Jane,OU=Sales"\n'
        '"CN=C,OU=Sales ","CN=""Boss, Jane"",OU=Sales"\n"CN=D,OU=Sales","cn=müller,ou=sales"\n'
        '"CN=E,OU=Sales","CN=MÜLLER,OU=Sales"\n',
    )

    answer = names.run(1)

    assert "set aside" not in answer.err
    assert names.exported("U") == before
    assert names.command("changes", "--run", "2", "--format", "jsonl").documents == []


def test_two_spellings_of_one_key_are_one_key_twice(case: NewCase) -> None:
    names = compared_as(case, "IgnoreCase")
    names.extract(1, u="dn,manager\nAnn,\nANN,\nBob,ann\nbob,\n")

    answer = names.run(1)

    assert names.keys("U") == ["Ann", "Bob"]
    assert "u.csv:3:dn: the same row as line 2, in another spelling" in answer.err
    assert "u.csv:5:dn: the same row as line 4, in another spelling" in answer.err


def test_without_regard_to_case_blanks_still_count(case: NewCase) -> None:
    names = compared_as(case, "IgnoreCase")

    answer = names.run(1)

    managers = led_by(names)
    assert [managers[f"CN={name}"] for name in "ABCDE"] == [BOSS, BOSS, None, MUELLER, MUELLER]
    assert 'u.csv:6:manager: no U has this Dn; it differs from "CN=Boss\\, Jane,OU=Sales" in blanks' in answer.err
