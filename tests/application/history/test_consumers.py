"""A program has a place in the log that moves when its work is done: it misses nothing, and two do not both win."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deltamark import (
    ChangesMissed,
    Consumer,
    ConsumerMoved,
    Engine,
    HistoryDiscarded,
    RunMoment,
    UsageError,
)
from tests.scenarios.house import House, configuration
from tests.store.children import CONTEXT
from tests.store.tables import BESIDE, alter, tables, verified
from tests.stores import NewStore


@pytest.fixture
def lived(house: House) -> House:
    house.people({"1": "Ann", "2": "Bo"}).run()
    house.people({"1": "Anna", "2": "Bo"}).run()
    return house


def read(consumer: Consumer, **asked: Any) -> list[tuple[str, str]]:
    return [(change.kind, change.event.ref.key) for change in consumer.changes(**asked)]


ALL = [("created", "1"), ("created", "2"), ("updated", "1")]


@pytest.mark.on_every_store
def test_it_reads_from_its_place_on_which_outlives_the_process(lived: House) -> None:
    consumer = lived.engine.consumer("billing")
    assert read(consumer) == ALL
    first = next(iter(consumer))
    consumer.acknowledge(first.position)

    again = lived.configured().engine.consumer("billing")

    assert read(again) == ALL[1:]
    assert again.position == first.position


@pytest.mark.on_every_store
def test_what_was_not_acknowledged_is_read_again(lived: House) -> None:
    read(lived.engine.consumer("billing"))

    assert read(lived.engine.consumer("billing")) == ALL


def test_a_new_one_begins_at_a_moment_an_old_one_where_it_is(lived: House) -> None:
    assert read(lived.engine.consumer("late", after=RunMoment(1))) == ALL[2:]
    assert read(lived.engine.consumer("later", after=lived.engine.position())) == []
    assert read(lived.engine.consumer("late", after=0)) == ALL[2:]


def test_the_place_moves_forwards_only_and_not_beyond_the_log(lived: House) -> None:
    consumer = lived.engine.consumer("billing")
    head = lived.engine.position()
    consumer.acknowledge(head)
    consumer.acknowledge(head)

    with pytest.raises(UsageError, match=f"at position {head}: {head - 1} lies before it"):
        consumer.acknowledge(head - 1)
    with pytest.raises(UsageError, match="is not in the log"):
        consumer.acknowledge(head + 1)
    assert consumer.position == head

    consumer.reset(0)
    assert read(consumer) == ALL


@pytest.mark.on_every_store
def test_of_two_with_one_name_the_second_to_acknowledge_is_told(lived: House) -> None:
    first, second = lived.engine.consumer("billing"), lived.engine.consumer("billing")
    assert read(first) == read(second)
    head = lived.engine.position()

    first.acknowledge(head)

    with pytest.raises(ConsumerMoved, match=f"was moved to position {head} by another process; this one had it at pos"):
        second.acknowledge(head)
    with pytest.raises(ConsumerMoved):
        read(second)
    with pytest.raises(ConsumerMoved):
        second.reset(0)
    assert lived.engine.consumer("billing").position == head


def test_one_that_was_reset_and_came_back_to_its_position_was_moved_all_the_same(lived: House) -> None:
    consumer = lived.engine.consumer("billing")
    lived.engine.reset_consumer("billing", RunMoment(1))
    lived.engine.reset_consumer("billing", 0)

    with pytest.raises(ConsumerMoved):
        consumer.acknowledge(1)


def test_one_that_was_removed_is_gone_and_another_of_its_name_is_another(lived: House) -> None:
    consumer = lived.engine.consumer("billing")
    lived.engine.remove_consumer("billing")

    with pytest.raises(ConsumerMoved, match="was removed by another process"):
        consumer.acknowledge(1)
    lived.engine.consumer("billing")
    with pytest.raises(ConsumerMoved):
        consumer.acknowledge(1)
    with pytest.raises(UsageError, match=r'there is no consumer "biling"; did you mean "billing"\?'):
        lived.engine.remove_consumer("biling")


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 201])
def test_names_are_one_line(house: House, name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a consumer"):
        house.engine.consumer(name)


@pytest.mark.on_every_store
def test_they_are_listed_with_what_they_have_still_to_read(lived: House) -> None:
    lived.engine.consumer("search").acknowledge(lived.engine.position())
    lived.engine.consumer("billing")

    billing, search = lived.engine.consumers()

    assert (billing.name, billing.position, billing.behind, billing.gap) == ("billing", 0, 3, None)
    assert billing.waiting_since == next(iter(lived.engine.changes())).at
    assert (search.name, search.behind, search.waiting_since) == ("search", 0, None)
    assert search.place.moved_at > search.place.began_at


def test_an_acknowledgement_inside_a_dry_run_moves_nothing(lived: House) -> None:
    consumer = lived.engine.consumer("billing")
    with pytest.raises(UsageError, match="a dry run"), lived.engine._dry_run():
        consumer.acknowledge(1)
    assert lived.engine.consumers()[0].position == 0


@pytest.mark.on_every_store
def test_retention_keeps_what_one_has_not_read(lived: House) -> None:
    consumer = lived.engine.consumer("billing")
    consumer.acknowledge(next(iter(consumer)).position)
    lived.run("Flags")

    retention = lived.engine.retain("HR", keep=0)

    assert retention.count == 1
    assert [unread.reader for unread in retention.unread] == ["consumer billing"]
    assert read(consumer) == ALL[1:]
    lived.engine.remove_consumer("billing")
    assert lived.engine.retain("HR", keep=0).count == 2


@pytest.mark.on_every_store
def test_one_is_told_at_its_next_read_of_what_was_discarded_unread(lived: House) -> None:
    consumer = lived.engine.consumer("billing")
    consumer.acknowledge(next(iter(consumer)).position)
    lived.engine.retain("HR", keep=1, even_unread=True)

    with pytest.raises(
        ChangesMissed, match=r"billing has read up to position \d+, but .* some were never read"
    ) as told:
        read(consumer)

    assert isinstance(told.value, HistoryDiscarded)
    assert (told.value.consumer, told.value.position) == ("billing", consumer.position)
    status = lived.engine.consumers()[0]
    assert status.gap is not None
    assert status.gap.position == told.value.horizon
    assert read(consumer, kept_only=True) == ALL[2:]
    consumer.reset(lived.engine.position())
    assert read(consumer) == []


def test_a_connector_that_keeps_no_changes_says_which_consumer_misses_some(lived: House) -> None:
    consumer = lived.engine.consumer("billing")

    run = lived.configured(keep_people=False).people({"1": "Anne"}).run()

    assert "consumer billing had not read all of them, and will be told" in "".join(run.tasks[0].messages)
    consumer = lived.engine.consumer("billing")
    with pytest.raises(ChangesMissed):
        read(consumer)


@pytest.mark.on_every_store
def test_its_place_is_carried_into_a_new_store(lived: House, new_store: NewStore) -> None:
    lived.engine.consumer("billing").acknowledge(lived.engine.position())
    target = new_store()

    lived.engine.replay(into=target)

    assert tables(target, BESIDE) == tables(lived.url, BESIDE)
    assert verified(target).discrepancies == ()


@pytest.mark.on_every_store
def test_an_altered_place_is_found_refused_and_put_to_the_beginning(lived: House) -> None:
    lived.engine.consumer("billing").acknowledge(1)
    alter(lived.url, "UPDATE consumers SET position=position+2")

    assert "consumers" in verified(lived.url).discrepancies[0].subject
    with pytest.raises(Exception, match="the table consumers"):
        lived.engine.consumer("billing")
    lived.engine.replay()
    assert read(lived.engine.consumer("billing")) == ALL


def test_follow_goes_on_from_the_place(lived: House) -> None:
    consumer = lived.engine.consumer("billing", after=RunMoment(1))

    assert [(change.kind, change.event.ref.key) for change in consumer.follow(timeout=0)] == ALL[2:]


# Folding


def test_changes_are_folded_in_order_up_to_a_position(lived: House) -> None:
    def names(held: dict[str, str], change: Any) -> dict[str, str]:
        return {**held, change.event.ref.key: f"{held.get(change.event.ref.key, '')}{change.kind[0]}"}

    first, position = lived.engine.fold({}, names, until=RunMoment(1))
    whole = lived.engine.fold(first, names, after=position)

    assert first == {"1": "c", "2": "c"}
    assert whole == lived.engine.fold({}, names)
    assert whole.result == {"1": "cu", "2": "c"}
    assert whole.position == lived.engine.position()
    assert lived.engine.fold(0, lambda count, _: count + 1, entity_type="Team").result == 0


def test_what_the_function_raises_ends_the_fold(lived: House) -> None:
    def fail(_: int, change: Any) -> int:
        raise ValueError(change.position)

    with pytest.raises(ValueError, match=r"\d+"):
        lived.engine.fold(0, fail)


def test_what_cannot_be_folded_is_refused(lived: House) -> None:
    head = lived.engine.position()
    with pytest.raises(UsageError, match="must be callable"):
        lived.engine.fold(0, 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is nothing to fold"):
        lived.engine.fold(0, lambda held, _: held, after=head, until=RunMoment(1))
    with pytest.raises(UsageError, match="in the future"):
        lived.engine.fold(0, lambda held, _: held, until=datetime(2999, 1, 1, tzinfo=UTC))


# Interruptions


class Died(Exception):
    """Ends the program at once."""


def deliver(engine: Engine, delivered: list[int], *, dies_at: int) -> None:
    """A program that handles each change and acknowledges it, and dies between the two at a change."""
    consumer = engine.consumer("billing")
    for number, change in enumerate(consumer.changes()):
        delivered.append(change.position)
        if number == dies_at:
            raise Died
        consumer.acknowledge(change.position)


def test_one_that_dies_between_work_and_acknowledgement_misses_nothing(lived: House) -> None:
    delivered: list[int] = []
    positions = [change.position for change in lived.engine.changes()]

    with pytest.raises(Died):
        deliver(lived.engine, delivered, dies_at=1)
    with pytest.raises(Died):
        deliver(lived.engine, delivered, dies_at=1)
    deliver(lived.engine, delivered, dies_at=99)

    assert list(dict.fromkeys(delivered)) == positions
    assert len(delivered) == len(positions) + 2


def work_until_killed(url: str, folder: Path, file: Path, kill_after: int) -> None:
    """Writes the position of each change to a file, acknowledges it, and kills itself between the two."""
    with Engine.open(url, configuration=configuration(), export_output=folder) as engine, file.open("a") as delivered:
        consumer = engine.consumer("billing")
        for number, change in enumerate(consumer.changes(), 1):
            delivered.write(f"{change.position}\n")
            delivered.flush()
            if number == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            consumer.acknowledge(change.position)


@pytest.mark.on_every_store
@pytest.mark.slow  # a process for each kill
def test_killed_processes_miss_nothing(lived: House, tmp_path: Path) -> None:
    positions = [change.position for change in lived.engine.changes()]
    file = tmp_path / "delivered"

    codes = []
    for kill_after in (2, 1, 99):
        process = CONTEXT.Process(target=work_until_killed, args=(lived.url, lived.folder, file, kill_after))
        process.start()
        process.join(300)
        codes.append(process.exitcode)

    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    delivered = [int(line) for line in file.read_text().split()]
    assert delivered == [positions[0], positions[1], positions[1], positions[1], positions[2]]
    assert lived.engine.consumers()[0].behind == 0
