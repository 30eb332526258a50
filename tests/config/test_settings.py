"""Settings: options take precedence over the environment, and that over the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deltamark.config.settings import Settings, load_settings
from deltamark.domain.errors import ConfigurationError
from deltamark.domain.work_limits import WorkLimits

FILE = """[deltamark]
store = "sqlite:///data/log.db"
configuration = "xml"
export_output = "/srv/exports"
"""


def refusals(folder: Path, text: str | bytes) -> list[str]:
    (folder / "deltamark.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as refused:
        load_settings(folder, {})
    return [str(fault).removeprefix(f"{folder}/") for fault in refused.value.faults]


def test_without_a_file_the_defaults_are_in_the_folder(tmp_path):
    assert load_settings(tmp_path, {}) == Settings(
        f"sqlite:///{tmp_path}/deltamark.db", tmp_path / "configuration", tmp_path / "exports"
    )


def test_in_the_working_directory_the_defaults_are_as_documented():
    assert load_settings(Path(), {}) == Settings("sqlite:///deltamark.db", Path("configuration"), Path("exports"))


def test_relative_paths_in_the_file_are_relative_to_its_folder(tmp_path):
    (tmp_path / "deltamark.toml").write_text(FILE)

    assert load_settings(tmp_path, {}) == Settings(
        f"sqlite:///{tmp_path}/data/log.db", tmp_path / "xml", Path("/srv/exports")
    )


@pytest.mark.parametrize(
    "url", ["sqlite:////srv/log.db", "sqlite:///:memory:", "postgresql://user@host/db", "sqlite://"]
)
def test_a_store_without_a_relative_path_is_not_changed(url, tmp_path):
    (tmp_path / "deltamark.toml").write_text(f'[deltamark]\nstore = "{url}"')

    assert load_settings(tmp_path, {}).store == url


def test_options_take_precedence_over_the_environment_and_that_over_the_file(tmp_path):
    (tmp_path / "deltamark.toml").write_text(FILE)
    environment = {
        "DELTAMARK_STORE": "sqlite:///env.db",
        "DELTAMARK_CONFIGURATION": "env",
        "DELTAMARK_EXPORT_OUTPUT": "",
    }

    settings = load_settings(tmp_path, environment, configuration="option")

    assert settings == Settings("sqlite:///env.db", Path("option"), Path("/srv/exports"))


def test_every_setting_has_a_variable_and_an_option(tmp_path):
    variables = {f"DELTAMARK_{name}": name for name in ("STORE", "CONFIGURATION", "EXPORT_OUTPUT")}

    assert load_settings(tmp_path, variables) == Settings("STORE", Path("CONFIGURATION"), Path("EXPORT_OUTPUT"))
    assert load_settings(tmp_path, variables, store="s", configuration=Path("c"), export_output="e") == Settings(
        "s", Path("c"), Path("e")
    )


def test_the_checkpoint_key_comes_from_the_file_or_the_environment(tmp_path):
    assert load_settings(tmp_path, {"DELTAMARK_CHECKPOINT_KEY": ""}).checkpoint_key is None

    (tmp_path / "deltamark.toml").write_text('[deltamark]\ncheckpoint_key = "secret/key.pem"')

    assert load_settings(tmp_path, {}).checkpoint_key == tmp_path / "secret" / "key.pem"
    assert load_settings(tmp_path, {"DELTAMARK_CHECKPOINT_KEY": "other.pem"}).checkpoint_key == Path("other.pem")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[deltamark]\n\nstroe = "x"',
            r'deltamark\.toml:3: unknown key "stroe" in \[deltamark\]; did you mean "store"\?',
        ),
        ('[deltamrk]\nstore = "x"', r'deltamark\.toml:1: unknown key "deltamrk"; did you mean "deltamark"\?'),
        ('store = "x"', r"deltamark\.toml:1: store is outside \[deltamark\]; write it below that line"),
        ("deltamark = 1", r'deltamark\.toml:1: "deltamark" is not a table'),
        ("[deltamark]\nstore = 1", r'deltamark\.toml:2: store is "1"; it must be a text in quotes'),
        ('[deltamark]\nconfiguration = " "', r"deltamark\.toml:2: configuration is .*; it must be a text in quotes"),
        ("[deltamark]\nstore = x", r"deltamark\.toml:2:9: this is not TOML: Invalid value"),
        ("[deltamark]\nstore =", r"deltamark\.toml:2: this is not TOML: Invalid value"),
        (b"[deltamark]\nstore = '\xff'", r"deltamark\.toml:2: the file is not UTF-8"),
    ],
)
def test_an_invalid_setting_is_reported_with_its_line(text, expected, tmp_path):
    (message,) = refusals(tmp_path, text)

    assert re.match(expected, message), message


def test_the_limits_of_computing_come_from_the_file_and_the_environment(tmp_path):
    (tmp_path / "deltamark.toml").write_text('[deltamark]\nmemory = "2GB"\nthreads = 4\ntemporary = "spill"\n')

    assert load_settings(tmp_path, {}).limits == WorkLimits(memory="2GB", threads=4, temporary=tmp_path / "spill")
    variables = {"DELTAMARK_MEMORY": "500MB", "DELTAMARK_THREADS": "1", "DELTAMARK_TEMPORARY": "/scratch"}
    assert load_settings(tmp_path, variables).limits == WorkLimits(
        memory="500MB", threads=1, temporary=Path("/scratch")
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("memory = 2", 'deltamark.toml:2: memory is "2"; write a size such as "500MB" or "2GB"'),
        ('memory = "0GB"', 'deltamark.toml:2: memory is "0GB"; write a size such as "500MB" or "2GB"'),
        (
            "threads = true",
            'deltamark.toml:2: threads is "True"; write a whole number from 1 to 1,024 without quotes, such as 2',
        ),
        ("temporary = 1", 'deltamark.toml:2: temporary is "1"; it must be a text in quotes'),
    ],
)
def test_a_limit_that_is_none_is_reported_with_its_line(line, expected, tmp_path):
    assert refusals(tmp_path, f"[deltamark]\n{line}") == [expected]


def test_a_limit_of_the_environment_that_is_none_is_reported_with_its_variable(tmp_path):
    with pytest.raises(ConfigurationError, match='DELTAMARK_THREADS is "two"; write a whole number from 1 to 1,024'):
        load_settings(tmp_path, {"DELTAMARK_THREADS": "two"})


def test_all_unknown_keys_are_reported_together(tmp_path):
    assert len(refusals(tmp_path, '[deltamark]\na = "1"\nb = "2"\n[other]\n')) == 3


def test_a_folder_in_place_of_the_file_is_reported(tmp_path):
    (tmp_path / "deltamark.toml").mkdir()

    with pytest.raises(ConfigurationError, match=r"deltamark\.toml: .*(regular|read)"):
        load_settings(tmp_path, {})


def test_an_empty_option_is_reported(tmp_path):
    with pytest.raises(ConfigurationError, match="the option --export-output is empty"):
        load_settings(tmp_path, {}, export_output="")
