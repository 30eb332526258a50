"""The part of the engine that decides about runs: lets them go on, or stops them."""

from __future__ import annotations

from deltamark.application import arguments
from deltamark.application.derivation.user_functions.call import refuse_inside_a_function
from deltamark.application.engine.base import Deriving
from deltamark.application.execution.cancel_run import cancel_run
from deltamark.application.execution.resume_run import resume_run
from deltamark.application.runs.observer import Observer, checked
from deltamark.domain.runs.run import JobRun


class Resuming(Deriving):
    """An open store with a configuration, and its runs."""

    def resume(self, run: int, *, observer: Observer | None = None) -> JobRun:
        """Goes on with a run that was blocked, failed, was interrupted or died; gives back its record.

        It goes on under its own number, from the first task that did not do its work. Tasks that did are not run
        again, except a preparation whose synchronization is still to come, and those that flag and compute after a
        task that runs again. A blocked synchronization applies exactly the changes that were held back, whatever its
        extracts say now. The configuration is the one of this engine.

        :param observer: is told what happens; see `run_job`.
        :raises CannotResume: if the run is still running, has done everything, was cancelled, or its job calls other
            tasks now; or if a later run of the job has done its work, unless there are changes held back to apply.
        :raises AlreadyRunning: if another run runs one of the tasks.
        :raises TakenOver: as `run_job`.
        :raises UsageError: if there is no run of that number.
        """
        arguments.whole_number("the number of a run", run)
        watching = checked(observer)
        refuse_inside_a_function("Engine.resume")
        self._refuse_in_a_dry_run()
        assert self._store
        return resume_run(self._services, run, observer=watching)

    def cancel(self, run: int) -> JobRun:
        """Stops a run, in whatever process and on whatever machine it runs; gives back its record.

        A run that goes on finishes the tasks that are running, starts no more and ends as cancelled; this does not wait
        for that. One that has ended with changes held back drops them, and is cancelled. One whose process died is put
        on record as aborted.

        :raises CannotCancel: if the run has ended and holds nothing back.
        :raises UsageError: if there is no run of that number.
        """
        arguments.whole_number("the number of a run", run)
        refuse_inside_a_function("Engine.cancel")
        self._refuse_in_a_dry_run()
        assert self._store
        return cancel_run(self._services, run)
