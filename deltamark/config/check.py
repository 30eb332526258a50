"""Checks a whole configuration: its parts, functions and expressions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from attrs import evolve, frozen

from deltamark.application import arguments
from deltamark.application.derivation.plan import judged_plan
from deltamark.application.derivation.user_functions.decorator import registered
from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.services import Services
from deltamark.application.synchronization.transformation_check import query_faults
from deltamark.config.connections import NO_SETTINGS, ConnectionSetting, setting_faults
from deltamark.config.files import WatchedFiles
from deltamark.config.user_modules import TaskModule, found_tasks
from deltamark.config.xml.load import Loaded, common, load_as_far_as_possible
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.packages import package_named
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.function_columns import functions_of
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.next_steps import NextAction, NextStep
from deltamark.domain.validation.field_types import type_faults
from deltamark.domain.validation.functions import bind_functions, function_faults, not_loaded
from deltamark.domain.validation.judgeable import judgeable, lost_navigations
from deltamark.domain.validation.unfed_warnings import NOTHING_FROZEN, Frozen, frozen_notices
from deltamark.domain.validation.validate import Missing, first_faults, in_file_order
from deltamark.domain.validation.validate import faults as validation_faults
from deltamark.domain.validation.warnings import warnings
from deltamark.domain.values import shown


@frozen(kw_only=True)
class CheckedConfiguration:
    """A configuration without faults, its plan and its evaluator."""

    configuration: Configuration
    plan: Plan
    evaluator: Evaluator
    notices: tuple[Fault, ...] = ()
    """What is not built and was left out."""
    unjudged: tuple[Fault, ...] = ()
    """The functions that were not loaded, because their modules may not run; nothing is known of what they compute."""


@frozen(kw_only=True)
class Judgement:
    """Everything that is to be said about a configuration, in file order.

    :param faults: what keeps it from running.
    :param warnings: what is probably not meant.
    :param notices: what is not built and was left out, and what is frozen on purpose.
    :param unjudged: the functions that were not loaded, because their modules may not run.
    :param checked: the configuration, if it has no faults.
    :param next_steps: what can be done about the faults besides correcting them.
    """

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    notices: tuple[Fault, ...] = ()
    unjudged: tuple[Fault, ...] = ()
    checked: CheckedConfiguration | None = None
    next_steps: tuple[NextStep, ...] = ()


MakeEvaluator = Callable[[Configuration], Evaluator]
"""Makes the evaluator of a configuration."""


def checked_configuration(
    source: Configuration | str | os.PathLike[str],
    make_evaluator: MakeEvaluator,
    *,
    functions: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
    leave_out_unbuilt: bool = False,
) -> CheckedConfiguration:
    """Loads a configuration if a path is given, binds its functions and checks all of it.

    :param functions: functions that tasks may name.
    :param modules: modules with such functions; imported only if a task names one.
    :param leave_out_unbuilt: whether what is known but not built is left out instead of being a fault.
    :raises ConfigurationError: with every fault.
    """
    judgement = judged_configuration(
        source, make_evaluator, functions=functions, modules=modules, leave_out_unbuilt=leave_out_unbuilt
    )
    if judgement.checked is None:
        raise ConfigurationError(judgement.faults).with_next_steps(*judgement.next_steps)
    return judgement.checked


def judged_configuration(
    source: Configuration | str | os.PathLike[str],
    make_evaluator: MakeEvaluator,
    *,
    functions: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
    leave_out_unbuilt: bool = False,
    frozen: Frozen = NOTHING_FROZEN,
    connections: Mapping[str, ConnectionSetting] = NO_SETTINGS,
) -> Judgement:
    """Judges all of a configuration in one pass: no fault hides another, and no fault hides a warning.

    Only what is a mere consequence of another fault is left out. Other parameters are those of
    `checked_configuration`.

    :param frozen: what nothing feeds on purpose: a notice instead of warnings.
    :param connections: connection -> its settings, which must fit the configuration.
    """
    known = registered(functions)
    if isinstance(source, Configuration):
        invalid = type_faults(source)
        if invalid:  # all other checks rely on the types
            return Judgement(faults=invalid, warnings=())
        loaded = Loaded(configuration=source)
        faults = validation_faults(source)
    else:
        path = arguments.file("configuration", source, kinds="a Configuration or a path")
        loaded = load_as_far_as_possible(path, leave_out_unbuilt=leave_out_unbuilt)
        faults = loaded.all_faults()
    judge = _Judge(make_evaluator, {**{f.name: f for f in functions_of(loaded.configuration)}, **known}, tuple(modules))
    configurations = loaded.configurations()
    first = judge.derivations(next(configurations), loaded.missing)
    further = (judge.derivations(configuration, loaded.missing).faults for configuration in configurations)
    of_derivations = common(chain([first.faults], further))
    of_settings = tuple(setting_faults(loaded.configuration, connections)) if loaded.is_whole else ()
    faults = in_file_order(dict.fromkeys((*faults, *of_derivations, *of_settings)))
    checked = None
    if not faults:
        checked = CheckedConfiguration(
            configuration=first.configuration,
            plan=first.plan,
            evaluator=first.evaluator,
            notices=loaded.notices,
            unjudged=first.unjudged,
        )
    return Judgement(
        faults=faults,
        warnings=in_file_order(
            (
                *warnings(first.configuration, first.plan, is_whole=loaded.is_whole, frozen=frozen),
                *_missing_libraries(loaded.configuration, connections),
            )
        ),
        notices=(*loaded.notices, *frozen_notices(first.configuration, frozen)),
        unjudged=first.unjudged,
        checked=checked,
        next_steps=(NextStep(NextAction.LEAVE_OUT_UNBUILT),) if loaded.has_unbuilt else (),
    )


def _missing_libraries(configuration: Configuration, settings: Mapping[str, ConnectionSetting]) -> Iterator[Fault]:
    """The connections that cannot be read here, because a library is not installed. All other commands work."""
    for connection in configuration.connections:
        package = package_named(connection.package) if connection.tables else None
        setting = settings.get(connection.identifier)
        server = None if setting is None else setting.values.get("server")
        library = None if package is None else package.library_for(server)
        if package is not None and library is not None and find_spec(library.module) is None:
            yield Fault(
                connection.location,
                f"connection {shown(connection.identifier)} cannot be read here: package {package.name} needs a "
                f"library that is not installed. {library.installation}",
            )


@frozen(kw_only=True)
class _Derivations:
    """The functions and expressions of a configuration, as far as it can be judged."""

    configuration: Configuration
    plan: Plan
    evaluator: Evaluator
    faults: tuple[Fault, ...]
    unjudged: tuple[Fault, ...]


@frozen
class _Judge:
    """Judges functions and expressions."""

    make_evaluator: MakeEvaluator
    known: Mapping[str, UserTask]
    modules: tuple[TaskModule, ...]

    def derivations(self, configuration: Configuration, missing: Missing) -> _Derivations:
        """Binds the functions, and plans what can be computed."""
        bound, faults, unjudged = self._with_functions(configuration)
        part = judgeable(bound)
        faults = (*faults, *first_faults(function_faults(part, missing)))
        evaluator = self.make_evaluator(part)
        unknown = evolve(missing, names=missing.names | lost_navigations(configuration, part))
        judged = judged_plan(part, evaluator, unknown)
        return _Derivations(
            configuration=part,
            plan=judged.plan,
            evaluator=evaluator,
            faults=(*faults, *judged.faults, *first_faults(query_faults(part, evaluator))),
            unjudged=unjudged,
        )

    def _with_functions(
        self, configuration: Configuration
    ) -> tuple[Configuration, tuple[Fault, ...], tuple[Fault, ...]]:
        """The configuration with its functions bound; faults of those that are not registered, or were not loaded."""
        bound_configuration, unknown = bind_functions(configuration, self.known)
        if not unknown:
            return bound_configuration, (), ()
        user_functions = found_tasks(self.modules)
        bound_configuration, unknown = bind_functions(configuration, {**user_functions.tasks, **self.known})
        if all(module.may_run for module in self.modules):
            return bound_configuration, (*user_functions.faults, *first_faults(unknown)) if unknown else (), ()
        return bound_configuration, user_functions.faults if unknown else (), tuple(not_loaded(bound_configuration))


class ConfigurationReload:
    """Loads a configuration again when its files have changed (see `Services.reload`)."""

    def __init__(
        self,
        files: Path,
        make_evaluator: MakeEvaluator,
        *,
        functions: Iterable[UserTask] = (),
        modules: Iterable[TaskModule] = (),
        leave_out_unbuilt: bool = False,
    ) -> None:
        self._leave_out_unbuilt = leave_out_unbuilt
        self._path = files
        self._files = WatchedFiles(files)
        self._make_evaluator = make_evaluator
        self._functions, self._modules = tuple(functions), tuple(modules)

    def differs(self) -> bool:
        """Whether the files differ from those that were loaded."""
        return self._files.differ()

    def __call__(self, services: Services) -> Services | None:
        """Returns the services with the changed configuration, or None if nothing has changed.

        :raises ConfigurationError: with every fault of the changed configuration.
        """
        if not self._files.changed():
            return None
        checked = checked_configuration(
            self._path,
            self._make_evaluator,
            functions=self._functions,
            modules=self._modules,
            leave_out_unbuilt=self._leave_out_unbuilt,
        )
        return evolve(services, configuration=checked.configuration, plan=checked.plan, evaluator=checked.evaluator)
