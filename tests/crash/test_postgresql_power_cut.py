"""The power of a PostgreSQL server goes in the midst of a job: what a user was told of is kept, the store is whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from random import Random, randrange

import pytest

from deltamark import StoreError
from tests.crash.children import LEASE_S
from tests.crash.company import ENDED_WELL, JOB, Days, continued, harm_in, lives, opened, seen
from tests.crash.postgresql_power import SETTINGS, checkpoint, cut_power, lose_all
from tests.crash.statements import Count, every_statement
from tests.crash.told import Told
from tests.postgresql import running
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
CUTS = 40 if SOAK else 3
STATEMENTS = 400
"""Fewer than a run has after a complete load."""


@pytest.mark.soak
@pytest.mark.slow  # a server starts again, and its files are copied, for each cut
def test_what_a_user_was_told_of_survives_a_power_cut_of_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random, count = Random(SEED), Count()
    (tmp_path / "undisturbed").mkdir()
    undisturbed = lives(SEED, CUTS, tmp_path / "undisturbed")
    extracts, met = Days(tmp_path / "exports", SEED), 0
    with running(SETTINGS) as server, every_statement(count):
        with opened(server.url("postgres"), tmp_path / "exports") as engine:
            engine.position()

        def cut(*_: object) -> None:
            cut_power(server, tmp_path / "checkpoint", random)
            server.start()

        for number, expected in enumerate(undisturbed):
            extracts.next()
            checkpoint(server, tmp_path / "checkpoint")
            with opened(server.url("postgres"), tmp_path / "exports", lease_s=LEASE_S) as engine:
                told = Told(engine)

                count.begin(random.randint(1, STATEMENTS), cut)
                with suppress(StoreError):
                    continued(engine, observer=told)
                met += count.happened
                count.begin()
                assert told.lost_in(engine) == [], f"seed {SEED}, cut {number}"
                assert harm_in(engine) == [], f"seed {SEED}, cut {number}"

                assert continued(engine).state in ENDED_WELL

                assert seen(engine) == expected, f"seed {SEED}, cut {number}"
                assert harm_in(engine) == [], f"seed {SEED}, cut {number}"
    with capsys.disabled():
        print(f"\npostgresql, seed {SEED}: {met} power cuts in {CUTS} days")
    assert met > CUTS / 2


@pytest.mark.slow  # like what it controls
def test_control_what_a_server_never_synced_is_lost(tmp_path: Path) -> None:
    extracts = Days(tmp_path / "exports", SEED)
    with running(SETTINGS) as server:
        with opened(server.url("postgres"), tmp_path / "exports") as engine:
            extracts.next()
            engine.run_job(JOB)
            checkpoint(server, tmp_path / "checkpoint")
            extracts.next()
            told = Told(engine)
            assert engine.run_job(JOB, observer=told).state in ENDED_WELL

        lose_all(server, tmp_path / "checkpoint")
        server.start()

        with opened(server.url("postgres"), tmp_path / "exports") as engine:
            assert told.lost_in(engine) != []
