"""One database for all workbenches of a process, with separate tables; a forked process opens its own."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from deltamark.infrastructure.duckdb.connection import Workbench
from deltamark.infrastructure.system.per_process import OnePerProcess


def test_each_connection_sees_only_its_own_tables():
    first, second = Workbench(), Workbench()
    table = pa.table({"n": [1, 2]})

    with first.connection(numbers=table) as here, second.connection() as there:
        assert here.sql("SELECT sum(n) FROM numbers").fetchall() == [(3,)]
        here.execute("CREATE TEMP TABLE mine AS SELECT 1")
        for name in ("numbers", "mine"):
            with pytest.raises(duckdb.CatalogException, match=name):
                there.execute(f"FROM {name}")

    with first.connection() as again, pytest.raises(duckdb.CatalogException):
        again.execute("FROM mine")


def test_an_instance_is_opened_once_for_each_of_its_settings():
    opened, shared = [], OnePerProcess[object]()

    def instance(number: int) -> object:
        with shared.borrowed(number % 2, lambda: opened.append(number) or object()) as borrowed:
            return borrowed

    with ThreadPoolExecutor(8) as pool:
        instances = list(pool.map(instance, range(100)))

    assert len(opened) == len(set(map(id, instances))) == 2


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="this system does not fork")
def test_a_forked_process_does_not_use_inherited_instances():
    shared = OnePerProcess[int]()
    with shared.borrowed("", os.getpid):  # borrowed during the fork: in the child it is never returned
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends the child if it waits for ever
            with shared.borrowed("", os.getpid) as process:
                os._exit(0 if process == os.getpid() else 1)

    assert os.waitpid(child, 0)[1] == 0
