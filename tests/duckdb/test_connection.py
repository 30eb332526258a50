"""One database for all workbenches of a process: nobody sees another's tables, and a fork opens its own."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from deltamark.infrastructure.duckdb.connection import Workbench
from deltamark.infrastructure.system.per_process import OnePerProcess


def test_each_task_sees_only_its_own_tables():
    one, other = Workbench(), Workbench()
    table = pa.table({"n": [1, 2]})

    with one.connection(numbers=table) as here, other.connection() as there:
        assert here.sql("SELECT sum(n) FROM numbers").fetchall() == [(3,)]
        here.execute("CREATE TEMP TABLE mine AS SELECT 1")
        for name in ("numbers", "mine"):
            with pytest.raises(duckdb.CatalogException, match=name):
                there.execute(f"FROM {name}")

    with one.connection() as again, pytest.raises(duckdb.CatalogException):
        again.execute("FROM mine")


def test_it_is_opened_once_for_each_of_its_settings():
    opened, shared = [], OnePerProcess[object]()

    def asked(number: int) -> object:
        with shared.borrowed(number % 2, lambda: opened.append(number) or object()) as found:
            return found

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(asked, range(100)))

    assert len(opened) == len(set(map(id, found))) == 2


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="this system does not fork")
def test_a_process_that_was_forked_does_not_use_what_it_inherited():
    shared = OnePerProcess[int]()
    with shared.borrowed("", os.getpid):  # held while it forks: nobody in the child will ever let go of it
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends it where it waits for ever
            with shared.borrowed("", os.getpid) as found:
                os._exit(0 if found == os.getpid() else 1)

    assert os.waitpid(child, 0)[1] == 0
