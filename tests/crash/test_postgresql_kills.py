"""PostgreSQL is killed in the midst of a job, or a process of it is: nothing that a user was told of is lost.

The controls stand with the other kills (half a task) and with the power cuts (what was told of).
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random, randrange
from time import monotonic, perf_counter

import psycopg
import pytest

from deltamark import Engine, StoreError
from tests.crash.children import LEASE_S
from tests.crash.company import ENDED_WELL, Days, Seen, continued, harm_in, lives, opened, seen
from tests.crash.statements import Count, every_statement
from tests.crash.told import Told
from tests.postgresql import Server, running
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
HARMS_A_DAY = 2
DAYS = 50 if SOAK else 4
PATIENCE_S = 300
SAFE = {"fsync": "on", "full_page_writes": "on"}
"""As a server is by itself; those of other tests are quicker."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of these tests' own, to be killed."""
    with running(SAFE) as server:
        yield server


def terminated(server: Server, process: int) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [process])


def killed(server: Server, process: int) -> None:
    """A process of the server is killed: it takes down all others and recovers by itself."""
    os.kill(process, signal.SIGKILL)


def stopped(server: Server, process: int) -> None:
    server.stop_immediately()
    server.start()


def all_killed(server: Server, process: int) -> None:
    server.kill()
    server.start()


HARMS = (terminated, killed, stopped, all_killed)


def recovered(server: Server, witness: psycopg.Connection) -> None:
    """Waits until a server of which a process was killed has taken down all others, and is there again.

    Until then whoever reads may be told that it is gone, as any user would be.
    """
    with pytest.raises(psycopg.OperationalError):
        witness.execute("SELECT pg_sleep(%s)", [PATIENCE_S])
    until = monotonic() + PATIENCE_S
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
        except psycopg.OperationalError:
            assert monotonic() < until, server.log()
        else:
            return


class Life:
    """A company whose server comes to harm some times before a run may end."""

    def __init__(self, server: Server, url: str, folder: Path) -> None:
        self._server = server
        self._url = url
        self._folder = folder
        self._random = Random(SEED)
        self._extracts = Days(folder, SEED)
        self._statements = 400
        self.harms: Counter[str] = Counter()
        self.longest_s = 0.0

    def day(self, count: Count) -> Seen:
        """A day with its harms."""
        self._extracts.next()
        with opened(self._url, self._folder, lease_s=LEASE_S) as engine:
            for _ in range(HARMS_A_DAY):
                self._run_harmed(engine, count)
                assert harm_in(engine) == [], f"seed {SEED}: {dict(self.harms)}"
            count.begin()
            began = perf_counter()
            run = continued(engine)
            self.longest_s = max(self.longest_s, perf_counter() - began)
            assert run.state in ENDED_WELL, [task.messages for task in run.tasks]
            return seen(engine)

    def _run_harmed(self, engine: Engine, count: Count) -> None:
        """Runs the job and harms the server at a random statement of it; again, and sooner, where it had fewer."""
        harm, told, share = self._random.choice(HARMS), Told(engine), 1.0
        witness = psycopg.connect(self._server.url("postgres"), autocommit=True)
        while True:
            at = 1 + int(share * self._random.random() * self._statements)
            count.begin(at, lambda met, _: harm(self._server, met.info.backend_pid))
            with suppress(StoreError):
                continued(engine, observer=told)
            if count.happened:
                break
            share /= 2
        count.begin()
        if harm is killed:
            recovered(self._server, witness)
        witness.close()
        self.harms[harm.__name__] += 1
        assert told.lost_in(engine) == [], f"seed {SEED}"


@pytest.mark.soak
@pytest.mark.slow  # the server starts again for each harm
def test_a_life_on_a_server_that_is_killed_again_and_again_leaves_what_an_undisturbed_one_leaves(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = lives(SEED, DAYS, tmp_path)
    count = Count()
    with every_statement(count):
        life = Life(server, server.url("postgres", schema="killed"), tmp_path / "killed")

        for number, expected in enumerate(undisturbed):
            assert life.day(count) == expected, f"seed {SEED}, day {number}"

    with capsys.disabled():
        print(f"\nseed {SEED}: {dict(life.harms)} in {DAYS} days; going on took {life.longest_s:.1f} s at most")
    assert life.harms.total() == DAYS * HARMS_A_DAY
