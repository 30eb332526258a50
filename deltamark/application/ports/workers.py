"""The port to workers: other processes, on this machine or others, that read the store and compute for a run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Concatenate, Protocol, TypeVar

from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.ports.store import Store
from deltamark.domain.configuration.configuration import Configuration

Result = TypeVar("Result")


class Worker(Protocol):
    """What a function has on a worker."""

    @property
    def store(self) -> Store:
        """The store, which the worker opened itself, and only reads."""
        ...

    def configured(self, text: str) -> tuple[Configuration, Evaluator]:
        """A configuration, from the form in which stores keep it, and its evaluator. Made once for each text.

        :raises DeltamarkError: if this worker reads another configuration from the text than was written.
        """
        ...


class Workers(Protocol):
    """Workers, as `concurrent.futures` has executors."""

    @property
    def parallel(self) -> int:
        """How many functions are called at one time; 1 or more."""
        ...

    def submit(self, function: Callable[Concatenate[Worker, ...], Result], /, *arguments: Any) -> Future[Result]:
        """Calls a function on a worker.

        The function is one of a module of Deltamark. It may be called again elsewhere when a worker is lost.

        :returns: its result, or what it raised; `WorkersLost` where no worker could do it, `WorkerRefused` where the
            worker has other versions.
        """
        ...

    def close(self) -> None:
        """Lets go of the workers: processes end, a scheduler stays. They are begun again when they are needed."""
        ...
