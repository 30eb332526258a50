"""Parts of an engine that remember what they were asked for, or fail when they are asked for the n-th time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from attrs import evolve

from deltamark import DeltamarkError, Engine
from deltamark.application.ports.evaluator import Computation, Inputs
from deltamark.domain.derivation.derivations import Derivation

Asked = set[tuple[str, str]]
"""Names of computed properties or rules, each with the key of a resource."""


class Watching:
    """An evaluator that remembers for which resources it was asked to compute what."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.asked: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def properties(self, derivations: Sequence[Derivation], inputs: Inputs) -> Computation:
        self._remember(derivations, inputs)
        return self._inner.properties(derivations, inputs)

    def portions(self, derivations: Sequence[Derivation], inputs: Inputs) -> Iterator[Computation]:
        self._remember(derivations, inputs)
        return self._inner.portions(derivations, inputs)

    def values(self, derivations: Sequence[Derivation], inputs: Inputs) -> Sequence[pa.Table]:
        self._remember(derivations, inputs)
        return self._inner.values(derivations, inputs)

    def _remember(self, derivations: Sequence[Derivation], inputs: Inputs) -> None:
        if inputs.due is None:
            streams = inputs.resources["stream"].to_pylist()
            self.asked += [(one.name, stream) for one in derivations for stream in streams]
        else:
            due = zip(inputs.due["derivation"].to_pylist(), inputs.due["stream"].to_pylist(), strict=True)
            self.asked += [(derivations[number].name, stream) for number, stream in due]


def watched(engine: Engine) -> Watching:
    """Has an engine's evaluator remember."""
    watching = Watching(engine._services.evaluator)
    engine._services = evolve(engine._services, evaluator=watching)
    return watching


class Injected(DeltamarkError):
    """A failure that a test wanted."""


FAILING = frozenset(
    {
        *("append_resources", "append_links", "discard"),
        *("watch", "flag_changes", "flag_all", "move_flags", "drop_read_flags", "keep_consumers"),
        *("put_computed", "put_keys", "put_classifications", "mark_complete", "remove_rules", "move_place"),
        *("portions", "values"),
    }
)
"""What a task does in its transaction; it may fail before it and after it. The last two are evaluations."""


class _Failing:
    """Passes everything on, but for one call."""

    def __init__(self, inner: Any, call: Callable[[str], None]) -> None:
        self._inner, self._call = inner, call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in FAILING:
            return found

        def called(*arguments: Any, **options: Any) -> Any:
            self._call(name)
            result = found(*arguments, **options)
            self._call(name)
            return result

        return called


class _FailingStore:
    def __init__(self, inner: Any, call: Callable[[str], None]) -> None:
        self._inner, self._call = inner, call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._inner.transaction() as tx:
            yield _Failing(tx, self._call)


@contextmanager
def failing(engine: Engine, at: int) -> Iterator[list[str]]:
    """A block in which the engine fails in the `at`-th moment, counted from 1: just before or just after one of the
    calls in `FAILING`. Gives the calls as they are made.
    """
    calls: list[str] = []

    def call(name: str) -> None:
        calls.append(name)
        if len(calls) == at:
            raise Injected(f"failed at call {at}, {name}")

    before = engine._services
    engine._services = evolve(
        before, store=_FailingStore(before.store, call), evaluator=_Failing(before.evaluator, call)
    )
    try:
        yield calls
    finally:
        engine._services = before
