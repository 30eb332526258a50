"""Bugs to plant: each a change of a few words of the product, made while a block runs; some test must find it.

As a plugin of pytest (`-p tests.laws.planted_bugs`) it plants the bug that `DELTAMARK_PLANTED` names, for the whole
session.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from inspect import getsource
from textwrap import dedent
from types import CodeType
from typing import Any

from attrs import frozen


@frozen
class Bug:
    """A function of the product with other words in it.

    :param where: its module, and its name there.
    :param words: what stands in its text.
    :param instead: what stands there while the bug is planted.
    """

    where: str
    words: str
    instead: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        """A block in which the product has the bug, wherever the function was imported to."""
        function = self._function()
        sound = function.__code__
        function.__code__ = self._with_bug(function)
        try:
            yield
        finally:
            function.__code__ = sound

    def _function(self) -> Any:
        module, _, path = self.where.partition(":")
        try:
            function: Any = import_module(f"deltamark.{module}")
            for name in path.split("."):
                function = getattr(function, name)
        except (ImportError, AttributeError) as e:
            raise AssertionError(
                f"{__file__}: deltamark has no {self.where} any more ({e}). Name the function as it is called now."
            ) from e
        return function

    def _with_bug(self, function: Any) -> CodeType:
        text = dedent(getsource(function))
        assert self.words in text, f"{__file__}: {self.where} does not say {self.words!r} any more. Plant it in others."
        made: dict[str, Any] = {}
        code = compile(text.replace(self.words, self.instead), f"<planted in {self.where}>", "exec")
        exec(code, function.__globals__, made)  # noqa: S102 (the product's own text)
        ((bad),) = made.values()
        found: CodeType = bad.__code__
        return found


WALKING = "infrastructure.store.commands.flag_propagation:FlagPropagation"
PROPERTIES = "application.derivation.compute_properties:_ComputedWriter"
STANDING = "application.derivation.workload:_ConsumerState"

BUGS: Mapping[str, Bug] = {
    # What changes hands.
    "values of a mapping are not removed when an expression takes over": Bug(
        "domain.adoption.consequences:_loses_values",
        "if name in now:",
        "if name in now or PropertyRef(new.identifier, name) in computed:",
    ),
    "what reads a property that was handed over is not flagged": Bug(
        "application.adoption.effects:apply_effects", "tx.flag_changes(before, only=", "print("
    ),
    "values of an expression are not removed when a mapping takes over": Bug(
        "application.adoption.effects:apply_effects", "if item.computed is not None:", "if False:"
    ),
    "values of an expression that is no more are not removed": Bug(
        "application.derivation.workload:workload", "if rule.kind in task.derives and", "if False and"
    ),
    # What changes concern.
    "no flags over more than one link": Bug(f"{WALKING}._step", "in ((1,", "in () if hops > 1 else ((1,"),
    "links are not followed backwards": Bug(f"{WALKING}._step", ', (0, "target", "source")', ","),
    "what comes and goes is not flagged": Bug(f"{WALKING}._existence", "[CREATED, DELETED]", "[]"),
    "what goes is not flagged": Bug(f"{WALKING}._existence", "[CREATED, DELETED]", "[CREATED]"),
    "the other end of a link is not flagged": Bug(
        f"{WALKING}._touch_links", "s.touched=1", "s.touched=1 AND s.forward=1"
    ),
    "a removed link flags nothing": Bug(f"{WALKING}._touch_links", "LINK_TOPICS", "LINK_TOPICS[:1]"),
    "only the first link of a path is watched": Bug(
        f"{WALKING}._touch_links", "s.touched=1", "s.touched=1 AND s.hops=1"
    ),
    "new computed values flag nothing": Bug(
        f"{PROPERTIES}._write", "self._tx.flag_changes(before, only=self._needed)", "pass"
    ),
    "a flag tells only the first change of a value": Bug(
        f"{WALKING}._touch_values", "max(e.notification_id)", "min(e.notification_id)"
    ),
    "a flag that came over links tells only the first change": Bug(
        f"{WALKING}._step", "max(f.newest)", "min(f.position)"
    ),
    # Who reads flags.
    "no check whether a dependency was watched all the time": Bug(
        f"{STANDING}._is_watched", "return all(", "return True or all("
    ),
    "a dependency claims to have been watched from the beginning": Bug(
        "infrastructure.store.commands.flags:FlagCommands.watch", "since = self.flagged_to()", "since = 0"
    ),
    "a rule that another task computed in another form counts as computed": Bug(
        f"{STANDING}._outdated", "if rule not in self.computed:", "if False:"
    ),
    "an edited rule counts as computed": Bug(f"{STANDING}._outdated", "if digest != rule.digest:", "if False:"),
    "a new rule counts as computed": Bug(f"{STANDING}._outdated", "if not digest:", "if False:"),
    "the links that a definition reads over are not part of it": Bug(
        "domain.derivation.plan:_meaning", "hops, way.leads_to", "(), way.leads_to"
    ),
    "flags are dropped when the first consumer has read them": Bug(
        "infrastructure.store.commands.flags:FlagCommands.drop_read_flags", "min(flag)", "max(flag)"
    ),
    "a task moves its place beyond what was flagged": Bug(
        "application.derivation.batch:move_places", "max(share.place.position, view.flagged_to)", "view.head"
    ),
    "computing everything says that everything was flagged": Bug(
        "application.derivation.compute_properties:compute_properties", "if all_flagged:", "if True:"
    ),
    "what is left of a removed rule makes no task run": Bug(
        "application.derivation.workload:is_due", "if work.obsolete:", "if False:"
    ),
    # Computing.
    "all properties are computed in one stage": Bug(
        "domain.derivation.plan:plan",
        "for derivation in _in_order(reads, needs, computed):",
        "for derivation in [*_in_order(reads, needs, computed)]:\n        needs[derivation] = set()",
    ),
    "what reads a value of the same resource is not computed with it": Bug(
        "application.derivation.batch:_with_readers", "or own & names", ""
    ),
    # Functions of users that are called while others write.
    "an answer counts although what the function read has changed": Bug(
        "application.derivation.user_functions.answers:Answers._is_known",
        "pc.fill_null(pc.equal(digests, table.column(DIGEST).combine_chunks().cast(digests.type)), False)",
        "pc.is_valid(places)",
    ),
    "a task moves its place to the end of its transaction although it left something out": Bug(
        "application.derivation.batch:move_places", "(views or {}).get(share.rule, now)", "now"
    ),
    "what was computed while a function was called is overwritten": Bug(
        "application.derivation.user_functions.answers:Answers._compared",
        "inputs = evolve(due, resources=part, links={}, reached={})",
        "inputs = evolve(due, resources=part.set_column(2, 'computed', pa.array(['{}'] * len(part))))",
    ),
    # What is discarded, and what is left.
    "changes that were discarded unread flag nothing": Bug(
        "infrastructure.store.commands.flags:FlagCommands.flag_all",
        "if dependency.entity_type == entity_type:",
        "if False:",
    ),
    "correlation keys of deleted resources stay": Bug(
        "infrastructure.store.commands.derived:DerivedCommands._drop",
        "which = missing",
        'without += " AND resource IN (SELECT stream FROM resources WHERE live)"\n    which = missing',
    ),
    "what reads a computed value that is due is not dirty": Bug(
        "application.derivation.due:DueValues.follows", "self._all_follows.get(_key(planned), ())", "()"
    ),
    # Links that wait.
    "a link waits no more when one of its ends has come": Bug(
        "application.synchronization.waiting_links:DeltaLinks.waiting",
        "settled=frozenset(self._known - waiting)",
        "settled=frozenset(self._known)",
    ),
    "a link waits no more after the next complete extract": Bug(
        "application.synchronization.waiting_links:waiting_after_complete",
        "settled = {pair for pair in before - named if pair[0] not in kept}",
        "settled = before",
    ),
    "a link whose end is deleted does not wait for it": Bug(
        "application.synchronization.waiting_links:DeltaLinks.earlier_pairs", "| self._losing_an_end |", "|"
    ),
    # The order of the rows of a delta.
    "rows before the last one that sets the whole state count": Bug(
        "infrastructure.comparison.row_order:_fold", "DELETE FROM effective WHERE line < whole", "SELECT 1"
    ),
    "a row that empties a group takes back what later rows add": Bug(
        "infrastructure.comparison.link_commands:_last_rows",
        "SELECT {value}, max(line) AS line, coalesce(max(line)",
        "SELECT {value}, max(line) AS line, coalesce(1000000 + max(line)",
    ),
}

_session = ExitStack()


def pytest_sessionstart() -> None:
    """Plants the bug that the environment names."""
    if name := os.environ.get("DELTAMARK_PLANTED"):
        _session.enter_context(BUGS[name].planted())


def pytest_sessionfinish() -> None:
    """Takes it away again."""
    _session.close()
