"""What the settings of workers may say."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from deltamark import ConfigurationError, Engine, UsageError, WorkerRefused, WorkersLost
from deltamark.config.settings import load_settings
from deltamark.domain.work_limits import WorkLimits
from deltamark.domain.workers import WorkersAddress, WorkersKind, workers_address, workers_fault
from deltamark.infrastructure.workers.call import Desk, differences, own_versions


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("none", None),
        ("", None),
        ("processes:4", WorkersAddress(WorkersKind.PROCESSES, processes=4)),
        ("dask://127.0.0.1:8786", WorkersAddress(WorkersKind.LOOPBACK, scheduler="127.0.0.1:8786")),
        ("dask://[::1]:8786", WorkersAddress(WorkersKind.LOOPBACK, scheduler="[::1]:8786")),
        ("dask://localhost:8786", WorkersAddress(WorkersKind.LOOPBACK, scheduler="localhost:8786")),
        ("tls://calc.example.com:8786", WorkersAddress(WorkersKind.TLS, scheduler="calc.example.com:8786")),
    ],
)
def test_a_setting_says_where_workers_are(text, address):
    assert workers_fault(text) is None
    assert workers_address(text) == address


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (4, "write processes:N"),
        ("processes:0", "write processes:N"),
        ("processes:100000", "at most 256"),
        ("dask://10.0.0.7:8786", "is another machine"),
        ("dask://calc:8786", "is another machine"),
        ("tcp://10.0.0.7:8786", "anybody who reaches such a scheduler"),
        ("tls://host:99999", "write processes:N"),
        ("tls://user:pw@host:1", "write processes:N"),
        ("processes:2\n", "write processes:N"),
    ],
)
def test_what_is_no_setting_is_refused(value, problem):
    fault = workers_fault(value)
    assert fault is not None
    assert problem in fault
    assert ":pw@" not in fault


def test_the_option_precedes_the_environment_and_that_the_file(tmp_path: Path):
    (tmp_path / "deltamark.toml").write_text(
        '[deltamark]\nworkers = "processes:2"\n[deltamark.cluster]\nca = "ca.pem"\n'
    )

    def said(variables: dict[str, str], option: str | None = None) -> str:
        return str(load_settings(tmp_path, variables, workers=option).workers.address)

    assert said({}) == "processes:2"
    assert said({"DELTAMARK_WORKERS": "processes:3"}) == "processes:3"
    assert said({"DELTAMARK_WORKERS": "processes:3"}, "none") == "None"
    assert load_settings(tmp_path, {}).workers.cluster.ca == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("workers = 3", "write processes:N"),
        ('workers = "dask://far:1"', "is another machine"),
        ('cluster = "x"', "cluster is no table"),
        ('[deltamark.cluster]\ncas = "x"', 'unknown key "cas"; did you mean "ca"?'),
        ('[deltamark.cluster]\npassword = "hunter2"', "password must say where the secret is"),
        ('[deltamark.cluster]\nstore = "postgresql://u:hunter2@h/d"', "store holds a password"),
    ],
)
def test_a_fault_of_the_file_names_its_line_and_no_password(tmp_path: Path, lines, problem):
    (tmp_path / "deltamark.toml").write_text(f"[deltamark]\n{lines}\n")

    with pytest.raises(ConfigurationError) as raised:
        load_settings(tmp_path, {})

    assert problem in str(raised.value)
    assert "deltamark.toml:" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("store", "workers", "cluster", "problem"),
    [
        ("sqlite://", "processes:2", None, "cannot read a store in memory"),
        ("sqlite:///a.db", "tls://host:1", None, "need ca and certificate and key"),
        (
            "sqlite:///a.db", "tls://host:1", {"ca": "a", "certificate": "b", "key": "c"},
            "cannot read a store in an SQLite file",
        ),
        ("postgresql://u:hunter2@h/d", "dask://127.0.0.1:1", None, "the URL of the store holds a password"),
        ("sqlite:///a.db", "tcp://host:1", None, "anybody who reaches"),
        ("sqlite:///a.db", "processes:2", {"no": "x"}, 'unknown key "no"'),
    ],
)  # fmt: skip
def test_workers_that_cannot_reach_the_store_are_refused(tmp_path, monkeypatch, store, workers, cluster, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configuration").mkdir()

    with pytest.raises(UsageError, match=problem) as raised:
        Engine.open(store, configuration=_none(), workers=workers, cluster=cluster)

    assert "hunter2" not in str(raised.value)
    assert not (tmp_path / "a.db").exists()


def _none():
    from deltamark import Configuration

    return Configuration()


def test_versions_that_differ_are_named():
    own = own_versions()
    other = {**own, "duckdb": "0.1", "Python": "2.7.18"}

    assert differences(own, own) == []
    assert differences(own, other) == [
        f"it has Python 2.7.18, and the run has {own['Python']}",
        f"it has duckdb 0.1, and the run has {own['duckdb']}",
    ]
    with pytest.raises(WorkerRefused, match=r"worker process .* is refused: it has duckdb .*, and the run has 0.1"):
        Desk(store="sqlite:///a.db", versions={"duckdb": "0.1"}, limits=WorkLimits()).check()


@pytest.mark.parametrize("error", [WorkersLost("it is gone", "Resume."), WorkerRefused("w1", ["a", "b"])])
def test_the_errors_can_be_sent(error):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what this test wrote
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
