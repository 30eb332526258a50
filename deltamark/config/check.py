"""Checks a configuration as a whole: its parts, the functions that its tasks name, its expressions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from attrs import evolve, frozen

from deltamark.application import arguments
from deltamark.application.derivation.plan import planned
from deltamark.application.derivation.user_functions.decorator import registered
from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.services import Services
from deltamark.config.files import WatchedFiles
from deltamark.config.user_modules import TaskModule, found_tasks
from deltamark.config.xml.load import load
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.function_columns import functions_of
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.validation.field_types import type_faults
from deltamark.domain.validation.functions import bound, function_faults
from deltamark.domain.validation.validate import MOST_FAULTS, faults, in_file_order


@frozen(kw_only=True)
class CheckedConfiguration:
    """A configuration without faults, the plan of what it derives, and what evaluates its expressions."""

    configuration: Configuration
    plan: Plan
    evaluator: Evaluator


MakeEvaluator = Callable[[Configuration], Evaluator]
"""Makes what evaluates the expressions of a configuration."""


def checked_configuration(
    source: Configuration | str | os.PathLike[str],
    make_evaluator: MakeEvaluator,
    *,
    functions: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
) -> CheckedConfiguration:
    """A configuration, loaded if it is given as a path, with its functions and expressions checked.

    :param functions: functions that tasks may name.
    :param modules: modules that hold such functions; imported only if a task names one.
    :raises ConfigurationError: with every fault. Expressions and functions are checked once the rest is sound.
    """
    known = registered(functions)
    if isinstance(source, Configuration):
        wrong = type_faults(source) or faults(source)
        if wrong:
            raise ConfigurationError(wrong)
        configuration = source
    else:
        configuration = load(arguments.file("configuration", source, kinds="a Configuration or a path"))
    configuration = _with_functions(configuration, known, modules)
    evaluator = make_evaluator(configuration)
    return CheckedConfiguration(
        configuration=configuration, plan=planned(configuration, evaluator), evaluator=evaluator
    )


def _with_functions(
    configuration: Configuration, known: Mapping[str, UserTask], modules: Iterable[TaskModule]
) -> Configuration:
    """The configuration with the functions that its tasks name.

    :raises ConfigurationError: if one is not registered, or cannot do what it is declared to do.
    """
    known = {**{function.name: function for function in functions_of(configuration)}, **known}
    whole, unknown = bound(configuration, known)
    failed: tuple[Fault, ...] = ()
    if unknown:
        found = found_tasks(modules)
        whole, unknown = bound(configuration, {**found.tasks, **known})
        failed = found.faults
    wrong = (*failed, *unknown) if unknown else tuple(function_faults(whole))
    if wrong:
        raise ConfigurationError(in_file_order(wrong)[:MOST_FAULTS])
    return whole


class ConfigurationReload:
    """Loads a configuration again when its files were changed; see `Services.reload`."""

    def __init__(
        self,
        files: Path,
        make_evaluator: MakeEvaluator,
        *,
        functions: Iterable[UserTask] = (),
        modules: Iterable[TaskModule] = (),
    ) -> None:
        self._path = files
        self._files = WatchedFiles(files)
        self._make_evaluator = make_evaluator
        self._functions, self._modules = tuple(functions), tuple(modules)

    def __call__(self, services: Services) -> Services | None:
        """The services with the configuration as it is now; None where it was not changed.

        :raises ConfigurationError: with every fault of what it is now.
        """
        if not self._files.changed():
            return None
        checked = checked_configuration(
            self._path, self._make_evaluator, functions=self._functions, modules=self._modules
        )
        return evolve(services, configuration=checked.configuration, plan=checked.plan, evaluator=checked.evaluator)
