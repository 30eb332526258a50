"""The engine is one class, and its checks do not depend on assertions."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import deltamark
from deltamark import Engine

WITHOUT_ASSERTIONS = """
import os, sys
from datetime import timedelta
from deltamark import Configuration, Engine, Job, UsageError, Verification

assert False, "not reached: python -O leaves assertions out"

CALLS = {
    "run_job": ("Nothing",), "resume": (1,), "cancel": (1,), "schedule": (), "health": (), "runs": (), "run": (1,),
    "position": (), "backup": ("copy.db",), "checkpoint": (), "verify": (), "replay": (), "scrub": (), "space": (),
    "epoch": (), "dirty": (), "unflagged_after": (), "held_back": (), "keys": (), "matches": (), "classifications": (),
    "verify_derived": (),
    "changes": (), "horizons": (), "pending": (1,), "follow": (), "erased_changes": (),
}

def refused(engine):
    for name, arguments in CALLS.items():
        try:
            getattr(engine, name)(*arguments)
        except UsageError as error:
            yield name, str(error)

engine = Engine.open(sys.argv[1], configuration=Configuration(jobs=[Job("Nothing")]), export_output=sys.argv[2])
child = os.fork()
if not child:
    wrong = [name for name, error in refused(engine) if "was forked" not in error]
    os._exit(0 if len(list(refused(engine))) == len(CALLS) and not wrong else 1)
assert_forked = os.waitpid(child, 0)[1]
if assert_forked:
    sys.exit("a forked engine was used")
engine.close()
closed = dict(refused(engine))
if set(closed) != set(CALLS) or any("is closed" not in error for error in closed.values()):
    sys.exit(f"a closed engine was used: {closed}")
"""


@pytest.mark.slow  # runs Python without assertions
def test_a_closed_or_forked_engine_is_refused_where_assertions_are_left_out(tmp_path):
    store = f"sqlite:///{tmp_path}/store.db"

    done = subprocess.run(
        [sys.executable, "-O", "-c", WITHOUT_ASSERTIONS, store, str(tmp_path)], capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_method_is_in_the_one_class_with_a_docstring():
    assert Engine.__mro__ == (Engine, object)
    assert deltamark.Engine.__module__ == "deltamark.engine"
    for name, member in vars(Engine).items():
        if not name.startswith("_"):
            assert inspect.getdoc(member), name
