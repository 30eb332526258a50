"""A password is in no message, whatever is wrong with the URL of the store, and with --debug too."""

import pytest

from deltamark.config.settings import Settings
from deltamark.interfaces.cli.context import Workspace

SECRET = "Pa55w0rd-Tulip"
REPORTED = [
    f"postgresql://ke:{SECRET}/x@127.0.0.1/dm",
    f"host=127.0.0.1 user=ke password={SECRET}",
    f"mysql://h/dm?password={SECRET}",
    f"postgresql://ke:first@{SECRET}@127.0.0.1:1/dm",
]
NEIGHBOURS = [
    f"postgresql://ke:{SECRET}@127.0.0.1:1/dm",  # a right one, with no server there
    f"postgresql://ke:a#{SECRET}@127.0.0.1:1/dm",
    f"postgresql://ke:a?{SECRET}@127.0.0.1:1/dm",
    f"postgresql://ke:a {SECRET}@127.0.0.1:1/dm",
    f"postgresql://ke:{SECRET}%zz@127.0.0.1:1/dm",
    f"postgresql://ke%3A{SECRET}@127.0.0.1:1/dm",
    f"postgresql://ke:{SECRET}",
    f"postgresql://ke:{SECRET}/dm",
    f"postgresql:ke:{SECRET}@127.0.0.1:1/dm",
    f"postgresql:/ke:{SECRET}@127.0.0.1:1/dm",
    f"postgres:///host=127.0.0.1 port=1 password={SECRET}",
    f"postgres:///host=127.0.0.1%20password={SECRET}",
    f"postgres://127.0.0.1:1/dm?password={SECRET}",
    f"postgres://127.0.0.1:1/dm?passwd={SECRET}",
    f"postgres://127.0.0.1:1/dm?host={SECRET}@h",
    f"postgres://127.0.0.1:1/dm?schema={SECRET}",
    f"POSTGRESQL://ke:{SECRET}@127.0.0.1:1/dm",
    f"postgresql+psycopg://ke:{SECRET}@127.0.0.1:1/dm",
    f"jdbc:postgresql://127.0.0.1:1/dm?user=ke&password={SECRET}",
    f"sqlite://ke:{SECRET}@127.0.0.1/dm",
    f"sqlite:ke:{SECRET}",
    f"sqlite:///dm.db?password={SECRET}",
    f"{SECRET}",
    f"ke:{SECRET}@127.0.0.1/dm",
]


@pytest.fixture
def mistyped(case):
    return case("42-passwords-in-messages")


def check(answer):
    for part in ("Tulip", "Pa55", "first", "w0rd"):
        assert part not in answer.err
        assert part not in answer.out.decode()


@pytest.mark.parametrize("store", [*REPORTED, *NEIGHBOURS])
def test_the_message_says_how_to_write_it_and_shows_no_password(mistyped, store):
    for options in ([], ["--debug"]):
        answer = mistyped.command(*options, "--store", store, "runs")

        check(answer)
        assert answer.status == 2
        assert "postgresql://" in answer.err or "sqlite:///" in answer.err


@pytest.mark.parametrize("store", REPORTED)
def test_other_ways_to_give_a_store_show_no_password_either(mistyped, monkeypatch, store):
    mistyped.store = "sqlite:///new.db"
    assert mistyped.run(1).status in (0, 1)
    check(mistyped.command("replay", "--into", store))
    check(mistyped.command(store))  # --store was forgotten
    check(mistyped.command("runs", store))
    check(mistyped.command("--stor", store, "runs"))


@pytest.mark.parametrize(
    "line",
    [
        "store = [{!r}]",
        "store = {{ url = {!r} }}",
        "stor = {!r}",
        "{!r} = 1",
        "store = {!r} and more",
        "store = {}",
        "[deltamark.store]\nurl = {!r}",
    ],
)
def test_a_fault_of_the_settings_shows_no_password(mistyped, line):
    (mistyped.folder / "deltamark.toml").write_text("[deltamark]\n" + line.format(NEIGHBOURS[0]) + "\n")

    for options in ([], ["--debug"]):
        answer = mistyped.command(*options, "runs")
        check(answer)
        assert answer.status == 2
        assert "deltamark.toml:" in answer.err


def test_a_password_on_the_command_line_is_warned_of_and_elsewhere_it_is_not(mistyped, monkeypatch):
    warned = mistyped.command("--store", NEIGHBOURS[0], "runs").err
    for way in ("--store shows its password", "PGPASSFILE", "PGPASSWORD", "DELTAMARK_STORE", "deltamark.toml"):
        assert way in warned

    assert "shows its password" not in mistyped.command("--store", "postgresql://ke@127.0.0.1:1/dm", "runs").err
    assert "--into shows its password" in mistyped.command("replay", "--into", NEIGHBOURS[0]).err


def test_representations_show_no_password(tmp_path):
    assert SECRET not in repr(Workspace(NEIGHBOURS[0], None, None, True, None))
    for store in (*REPORTED, *NEIGHBOURS[:6]):
        assert SECRET not in repr(Settings(store, tmp_path, tmp_path))
