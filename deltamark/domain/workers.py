"""The workers that compute for a run: what a setting says of them, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from attrs import frozen

from deltamark.domain.loopback import is_loopback
from deltamark.domain.secrets import has_password, masked, reference_problem
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

MOST_PROCESSES = 256

_NONE = "none"
_PROCESSES = re.compile(r"processes:([1-9][0-9]{0,5})")
_SCHEDULER = re.compile(r"(?P<kind>dask|tls)://(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+):(?P<port>[0-9]{1,5})")
_FORMS = "processes:N, dask://127.0.0.1:8786 for a scheduler on this machine, or tls://host:8786 for one elsewhere"


class WorkersKind(StrEnum):
    """Where workers run."""

    PROCESSES = "processes"
    LOOPBACK = "dask"
    TLS = "tls"


@frozen
class WorkersAddress:
    """What the setting `workers` says.

    :param processes: how many; 0 for workers of a scheduler.
    :param scheduler: its host and port; empty for processes.
    """

    kind: WorkersKind
    processes: int = 0
    scheduler: str = ""

    def __str__(self) -> str:
        return f"{self.kind}://{self.scheduler}" if self.scheduler else f"{self.kind}:{self.processes}"


@frozen(kw_only=True)
class Cluster:
    """How the workers of a scheduler are reached, and how they reach the store.

    :param ca: the file of the authority that signed the certificates of scheduler, workers and this process.
    :param certificate: the file of the certificate of this process.
    :param key: the file of its private key.
    :param store: the URL by which workers read the store; None for that of the run.
    :param password: where each worker finds the password for that URL, such as ``env:NAME``.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    store: str | None = None
    password: str | None = None


@frozen(kw_only=True)
class WorkersSetting:
    """What computes for runs.

    :param address: None where the process of the run computes.
    """

    address: WorkersAddress | None = None
    cluster: Cluster = Cluster()


def workers_fault(value: object) -> str | None:
    """What is wrong with a setting of workers, a clause."""
    if not isinstance(value, str):
        return f"is {shown(value)}; write {_FORMS}, in quotes"
    if value in ("", _NONE):
        return None
    processes = _PROCESSES.fullmatch(value)
    if processes is not None:
        is_possible = int(processes[1]) <= MOST_PROCESSES
        return None if is_possible else f"is {shown(value)}; write at most {MOST_PROCESSES} processes"
    if value.startswith(("tcp://", "ucx://", "ws://", "wss://")):
        return (
            f"is {shown(masked(value))}: anybody who reaches such a scheduler runs programs on its workers. Write "
            "dask://127.0.0.1:8786 for one on this machine, or give it TLS and write tls://host:8786"
        )
    match = _SCHEDULER.fullmatch(value)
    if match is None or int(match["port"]) > 65_535:
        return f"is {shown(masked(value))}; write {_FORMS}"
    if match["kind"] == WorkersKind.LOOPBACK and not is_loopback(match["host"]):
        return (
            f"is {shown(value)}, which is another machine: anybody who reaches such a scheduler runs programs on its "
            "workers. Give it TLS, and write tls:// in place of dask://"
        )
    return None


def workers_address(value: str) -> WorkersAddress | None:
    """What a setting without a fault says; None where there are no workers."""
    if value in ("", _NONE):
        return None
    processes = _PROCESSES.fullmatch(value)
    if processes is not None:
        return WorkersAddress(WorkersKind.PROCESSES, processes=int(processes[1]))
    kind, _, scheduler = value.partition("://")
    return WorkersAddress(WorkersKind(kind), scheduler=scheduler)


CLUSTER_FILES = ("ca", "certificate", "key")
CLUSTER_KEYS = (*CLUSTER_FILES, "store", "password")


def cluster_key_fault(name: str, value: object) -> str | None:
    """What is wrong with one setting of `Cluster`, a clause that holds no secret."""
    if name not in CLUSTER_KEYS:
        return f"unknown key {shown(masked(name))}{hint(name, CLUSTER_KEYS)}"
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return f"{name} must be a text in quotes"
    if name == "password":
        problem = reference_problem(value)
        return None if problem is None else f"{name} {problem}"
    if name == "store" and has_password(value):
        return 'store holds a password; leave it out, and write password = "env:NAME", which each worker looks up'
    return None


def cluster_of(settings: Mapping[str, str], directory: Path) -> Cluster:
    """The settings of a cluster that have no fault; files are relative to a directory."""
    files = {name: directory / settings[name] for name in CLUSTER_FILES if name in settings}
    return Cluster(
        ca=files.get("ca"),
        certificate=files.get("certificate"),
        key=files.get("key"),
        store=settings.get("store"),
        password=settings.get("password"),
    )


def cluster_fault(setting: WorkersSetting) -> str | None:
    """What a setting of workers lacks; a sentence."""
    address, cluster = setting.address, setting.cluster
    if address is None or address.kind is not WorkersKind.TLS:
        return None
    files: dict[str, Any] = {"ca": cluster.ca, "certificate": cluster.certificate, "key": cluster.key}
    missing = [name for name, file in files.items() if file is None]
    if not missing:
        return None
    return (
        f"workers {shown(str(address))} need {' and '.join(missing)} in [deltamark.cluster]: the files by which this "
        "process and the scheduler know each other. Name them there."
    )
