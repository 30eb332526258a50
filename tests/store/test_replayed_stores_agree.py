"""A store built from the log of a store of the other kind gives the same answers."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from deltamark import Engine
from tests.store.company import KEYS, Company, configuration
from tests.store.test_stores_agree import answers, ticking
from tests.stores import EveryStore

pytestmark = pytest.mark.on_every_store


@pytest.mark.slow  # runs days on both stores
@pytest.mark.parametrize("keep", [True, False], ids=["changes kept", "changes discarded"])
@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("sqlite", "postgresql"),
        pytest.param("postgresql", "sqlite", marks=pytest.mark.slow),  # as long again
    ],
)
def test_a_store_copied_to_the_other_kind_gives_the_same_answers_and_continues_alike(
    every_store: EveryStore, tmp_path: Path, kind: str, other: str, keep: bool
) -> None:
    company, chance = Company(tmp_path / "exports", 7), Random(7)
    url, target = every_store()[kind], every_store()[other]

    def opened(store: str) -> Engine:
        return Engine.open(
            store, configuration=configuration(keep=keep), export_output=tmp_path / "exports", clock=ticking()
        )

    with opened(url) as engine:
        for day in range(4):
            (company.incremental_day if day % 2 else company.complete_day)()
            engine.run_job("Incremental" if day % 2 else "Complete", force=True)
        asked = chance.sample(KEYS, 5)
        before = answers(engine, asked)

        engine.replay(into=target)

        with opened(target) as moved:
            after = answers(moved, asked)
            for question in before:
                assert after[question] == before[question], question
            company.incremental_day()
            for one in (engine, moved):
                one.run_job("Incremental", force=True)
                assert one.verify().discrepancies == ()
            first, second = answers(engine, asked), answers(moved, asked)
            assert [first[name] for name in ("head", "keys", "matches", "dirty")] == [
                second[name] for name in ("head", "keys", "matches", "dirty")
            ]
    assert before["keys"]
