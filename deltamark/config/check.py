"""Checks a whole configuration: its parts, functions and expressions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from attrs import evolve, frozen

from deltamark.application import arguments
from deltamark.application.derivation.plan import derivation_plan
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
from deltamark.domain.validation.functions import bind_functions, function_faults
from deltamark.domain.validation.validate import MOST_FAULTS, faults, in_file_order


@frozen(kw_only=True)
class CheckedConfiguration:
    """A configuration without faults, its plan and its evaluator."""

    configuration: Configuration
    plan: Plan
    evaluator: Evaluator


MakeEvaluator = Callable[[Configuration], Evaluator]
"""Makes the evaluator of a configuration."""


def checked_configuration(
    source: Configuration | str | os.PathLike[str],
    make_evaluator: MakeEvaluator,
    *,
    functions: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
) -> CheckedConfiguration:
    """Loads a configuration if a path is given, binds its functions and checks all of it.

    :param functions: functions that tasks may name.
    :param modules: modules with such functions; imported only if a task names one.
    :raises ConfigurationError: with every fault. Functions and expressions are checked once all else is valid.
    """
    known = registered(functions)
    if isinstance(source, Configuration):
        invalid = type_faults(source) or faults(source)
        if invalid:
            raise ConfigurationError(invalid)
        configuration = source
    else:
        configuration = load(arguments.file("configuration", source, kinds="a Configuration or a path"))
    configuration = _with_functions(configuration, known, modules)
    evaluator = make_evaluator(configuration)
    return CheckedConfiguration(
        configuration=configuration, plan=derivation_plan(configuration, evaluator), evaluator=evaluator
    )


def _with_functions(
    configuration: Configuration, known: Mapping[str, UserTask], modules: Iterable[TaskModule]
) -> Configuration:
    """Returns the configuration with its functions bound.

    :raises ConfigurationError: if a function is not registered, or cannot do what it declares.
    """
    known = {**{function.name: function for function in functions_of(configuration)}, **known}
    bound_configuration, unknown = bind_functions(configuration, known)
    module_faults: tuple[Fault, ...] = ()
    if unknown:
        user_functions = found_tasks(modules)
        bound_configuration, unknown = bind_functions(configuration, {**user_functions.tasks, **known})
        module_faults = user_functions.faults
    all_faults = (*module_faults, *unknown) if unknown else tuple(function_faults(bound_configuration))
    if all_faults:
        raise ConfigurationError(in_file_order(all_faults)[:MOST_FAULTS])
    return bound_configuration


class ConfigurationReload:
    """Loads a configuration again when its files have changed (see `Services.reload`)."""

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
        """Returns the services with the changed configuration, or None if nothing has changed.

        :raises ConfigurationError: with every fault of the changed configuration.
        """
        if not self._files.changed():
            return None
        checked = checked_configuration(
            self._path, self._make_evaluator, functions=self._functions, modules=self._modules
        )
        return evolve(services, configuration=checked.configuration, plan=checked.plan, evaluator=checked.evaluator)
