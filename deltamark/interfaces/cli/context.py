"""The workspace of a command: its settings, its configuration, its engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import click
from attrs import evolve, field, frozen

from deltamark import bootstrap
from deltamark.application.lookup import job_named
from deltamark.application.ports.store import Store
from deltamark.application.services import Reload
from deltamark.config.check import CheckedConfiguration, Judgement
from deltamark.config.settings import (
    ADOPTION_VARIABLE,
    ENVIRONMENT,
    LEAVE_OUT_UNBUILT_VARIABLE,
    WORKERS_VARIABLE,
    Settings,
    load_settings,
)
from deltamark.domain.adoption.decommission import frozen_inputs
from deltamark.domain.derivation.unfed_inputs import UnfedInput
from deltamark.domain.errors import ROW_ERRORS, DeltamarkError, Fault, StoreError, StoreMissing, UsageError
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import BY_USER
from deltamark.engine import Engine
from deltamark.infrastructure.store.sqlite.address import path_of, refuse_in_memory
from deltamark.infrastructure.store.transactions import name_command, on_wait
from deltamark.infrastructure.system.memory import load_arrow_alone
from deltamark.infrastructure.system.temporary_files import temporary_folder
from deltamark.infrastructure.system.work_limits import use_work_limits
from deltamark.interfaces.cli.exit_statuses import NothingStarted
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Format
from deltamark.interfaces.cli.streams import say


@frozen
class Workspace:
    """The options before the command.

    Nothing is opened until it is needed.
    """

    store: str | None = field(repr=False)
    configuration: str | None
    export_output: str | None
    debug: bool
    leave_out_unbuilt: bool | None = None
    adoption: int | None = None
    workers: str | None = None

    def settings(self, *, runs_code: bool = False) -> Settings:
        """The settings of the working directory.

        :param runs_code: whether the modules that they name may be imported, which runs the code of the workspace: for
            commands that run jobs, and for others when they are asked to.
        :raises ConfigurationError: if `deltamark.toml` cannot be read.
        :raises UsageError: if the temporary folder cannot be used.
        """
        settings = load_settings(
            Path(),
            os.environ,
            store=self.store,
            configuration=self.configuration,
            export_output=self.export_output,
            leave_out_unbuilt=self.leave_out_unbuilt,
            adoption=self.adoption,
            workers=self.workers,
        )
        use_work_limits(settings.limits)
        return evolve(settings, tasks=tuple(evolve(module, may_run=runs_code) for module in settings.tasks))

    def environment(self) -> dict[str, str]:
        """The environment in which another process of the command line has this workspace.

        The URL of a store may hold a password, which lists of processes do not show of an environment.
        """
        settings = self.settings()
        return {
            **os.environ,
            ENVIRONMENT["store"]: settings.store,
            ENVIRONMENT["configuration"]: str(settings.configuration),
            ENVIRONMENT["export_output"]: str(settings.export_output),
            LEAVE_OUT_UNBUILT_VARIABLE: str(settings.leave_out_unbuilt).lower(),
            ADOPTION_VARIABLE: str(settings.adoption),
            WORKERS_VARIABLE: str(settings.workers.address or "none"),
        }

    def loaded(self) -> CheckedConfiguration:
        """The configuration, checked. Says on standard error what was left out.

        :raises ConfigurationError: with every fault.
        """
        settings = self.settings()
        checked = bootstrap.checked_configuration(
            settings.configuration, modules=settings.tasks, leave_out_unbuilt=settings.leave_out_unbuilt
        )
        say_notices(checked.notices, each=self.leave_out_unbuilt is not None)
        return checked

    def judged(self, *, runs_code: bool = False) -> Judgement:
        """The faults and warnings of the configuration; what the store says is frozen is not warned of."""
        settings = self.settings(runs_code=runs_code)
        return bootstrap.judged_configuration(
            settings.configuration,
            settings.tasks,
            leave_out_unbuilt=settings.leave_out_unbuilt,
            frozen=self._frozen(),
            connections=settings.connections,
        )

    def _frozen(self) -> dict[UnfedInput, str]:
        """What is frozen on purpose, with since when and why; nothing where there is no store yet."""
        try:
            with self.opened_store() as store, store.reading() as reading:
                return frozen_inputs(reading.decisions())
        except DeltamarkError as e:
            if not isinstance(e.__cause__, StoreMissing):
                say(f"Whether anything is frozen on purpose is unknown: {e}")
            return {}

    @contextmanager
    def engine(
        self,
        *,
        create: bool = False,
        job: str | None = None,
        dry_run: bool = False,
        reload: bool = False,
        reading_only: bool = False,
        reads_files: bool = True,
        runs_code: bool | None = None,
    ) -> Iterator[Engine]:
        """The engine, closed at the end of the block.

        :param create: whether a store that does not exist is made.
        :param job: a job that must exist and that a user may start, or nothing is opened.
        :param dry_run: whether no file is left behind where there is no store yet.
        :param reading_only: whether only what is stored is read: expressions and functions are not checked then.
        :param reads_files: whether the files of the configuration are read; otherwise their faults do not matter.
        :param runs_code: whether functions of users are loaded; False says on standard error which ones were not,
            None says nothing.
        :param reload: whether a schedule loads the configuration again when its files are changed.
        :raises ConfigurationError: with every fault.
        :raises UsageError: if there is no such job, or if only the schedule may start it.
        :raises NothingStarted: if the store cannot be opened.
        """
        settings = self.settings(runs_code=bool(runs_code))
        if not reading_only and not settings.tasks:
            load_arrow_alone()
        read = bootstrap.configuration_for_reading if reading_only else bootstrap.checked_configuration
        checked = (
            read(settings.configuration, modules=settings.tasks, leave_out_unbuilt=settings.leave_out_unbuilt)
            if reads_files
            else bootstrap.no_configuration()
        )
        say_notices(checked.notices, each=self.leave_out_unbuilt is not None)
        if runs_code is False:
            say_not_loaded(checked.unjudged)
        if job is not None:
            definition = job_named(job, checked.configuration)
            if not dry_run:
                from deltamark.application.execution.run_job import refuse_denied

                refuse_denied(definition, BY_USER)
        on_wait(say)
        context = click.get_current_context(silent=True)
        name_command((context and context.info_name) or "")
        with ExitStack() as stack:
            try:
                refuse_in_memory(settings.store)
                services = bootstrap.services(
                    checked,
                    stack.enter_context(_scratch(settings.store)) if dry_run else settings.store,
                    settings.export_output,
                    create=create,
                    reload=_reload(settings) if reload else None,
                    adoption_limit=settings.adoption,
                    connections=settings.connections if reads_files else {},
                    channels=settings.channels,
                    workers=bootstrap.NO_WORKERS if dry_run or reading_only else settings.workers,
                )
            except StoreError as e:
                raise NothingStarted(str(e)).with_next_steps(*e.next_steps) from e
            engine = stack.enter_context(Engine(services))
            stack.enter_context(_explained_damage(services.store))
            yield engine

    @contextmanager
    def opened_store(self) -> Iterator[Store]:
        """The store alone, without a configuration, closed at the end of the block.

        :raises NothingStarted: if it cannot be opened.
        """
        try:
            store = bootstrap.open_lasting_store(self.settings().store, create=False)
        except StoreError as e:
            raise NothingStarted(str(e)).with_next_steps(*e.next_steps) from e
        with closing(store), _explained_damage(store):
            yield store


@contextmanager
def _explained_damage(store: Store) -> Iterator[None]:
    """Blames the store for an error in the block if it is damaged: what was read from it may be of any type."""
    try:
        yield
    except ROW_ERRORS as e:
        damage = store.damage()
        if damage is None:
            raise
        raise damage from e


def say_notices(notices: Sequence[Fault], *, each: bool) -> None:
    """Says on standard error what is not built and was left out.

    :param each: whether there is a line for each, or one for all.
    """
    if each:
        for notice in notices:
            say(f"{notice.location}: notice: {notice.message}")
    elif notices:
        left_out = f"{how_many(len(notices), 'part')} of the configuration left out"
        say(f"{left_out}: known but not built yet; `deltamark validate` lists each.")


def say_not_loaded(unjudged: Sequence[Fault]) -> None:
    """Says on standard error which functions were not loaded, so that what they compute is missing in the answer."""
    say_notices(unjudged, each=True)
    if unjudged:
        say(f"Use {LOAD_FUNCTIONS} if you trust the code of this workspace.")


def _reload(settings: Settings) -> Reload:
    return bootstrap.reload_of(
        settings.configuration, modules=settings.tasks, leave_out_unbuilt=settings.leave_out_unbuilt
    )


@contextmanager
def _scratch(store: str) -> Iterator[str]:
    """The store for a dry run.

    It is the store of that URL, or a temporary one if that is a file that does not exist.
    """
    path = path_of(store) if store.startswith("sqlite:") else None
    if path is None or path.exists() or path.is_symlink() or not path.parent.is_dir():
        yield store
        return
    with temporary_folder() as folder:
        yield f"sqlite:///{quote(str(folder))}/{quote(path.name)}"


LOAD_FUNCTIONS = "--load-functions"

pass_workspace = click.make_pass_decorator(Workspace)


def _set_leave_out_unbuilt(context: click.Context, _: click.Parameter, value: bool | None) -> None:
    if value is not None:
        context.obj = evolve(context.ensure_object(Workspace), leave_out_unbuilt=value)


def leave_out_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--leave-out-unbuilt`, for commands about a configuration; it may also stand before any command."""
    return click.option(
        "--leave-out-unbuilt",
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_set_leave_out_unbuilt,
        help="Load the configuration without what is known but not built, with a notice for each.",
    )(command)


def load_functions_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--load-functions`, for commands that run no job and know more if they may load functions of users."""
    return click.option(
        LOAD_FUNCTIONS,
        "runs_code",
        is_flag=True,
        help="Load the functions of tasks, which runs code of the modules that deltamark.toml names.",
    )(command)


def by_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--by`, for commands that write on record."""
    return click.option(
        "--by",
        type=Name("PERSON"),
        metavar="PERSON",
        envvar="DELTAMARK_USER",
        help="For whom; DELTAMARK_USER if it is left out.",
    )(command)


def by_options(command: click.decorators.FC) -> click.decorators.FC:
    """`--by` and `--reason`, for commands that write on record."""
    reason = click.option("--reason", type=Name("TEXT"), metavar="TEXT", help="Why; it is recorded.")
    return by_option(reason(command))


def via_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--via`, for commands that a program calls for a person."""
    return click.option(
        "--via",
        type=Name("PROGRAM"),
        metavar="PROGRAM",
        help="The program that does it for the person; it is recorded.",
    )(command)


def refuse_via_without_person(via: str | None, by: str | None) -> None:
    """Refuses a program that acts for nobody.

    :raises UsageError: if a program is named, and no person.
    """
    if via is not None and by is None:
        raise UsageError("--via names a program that acts for a person. Name the person with --by.")


def format_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--format`, for commands that print rows."""
    return click.option(
        "--format",
        "form",
        type=click.Choice([form.value for form in Format if form is not Format.CLOUDEVENTS]),
        callback=lambda _, __, value: Format(value),
        default=Format.TABLE.value,
        metavar="FORMAT",
        help="table for people; json, jsonl or csv for programs.",
    )(command)
