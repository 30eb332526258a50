"""The commands: one table of them all, so that only the one that is called is imported."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.interfaces.cli.groups import LazyCommand

_SUMMARIES = {
    "changes": {
        "changes": "Shows the log, oldest first.",
        "history": "Shows the changes of one resource and of its links.",
        "show": "Shows one resource with its links, now or as it was.",
        "export": "Shows all resources of a type with their links.",
    },
    "completion": {"completion": "Prints what makes a shell complete names."},
    "checkpoint": {"checkpoint": "Prints a checkpoint of the log, to be kept elsewhere."},
    "config": {
        "config": "Shows configurations, of now and of the past.",
        "adopt": "Puts the configuration of the files into force.",
    },
    "connections": {
        "connections": "Asks sources and sinks whether they can be used.",
        "export-source": "Writes what a connection reads into a new folder.",
        "places": "Shows how far the source of each connection was applied.",
    },
    "consumers": {"consumers": "Shows programs that read the log, and how far they are."},
    "decommission": {"decommission": "Deletes or freezes what nothing feeds any more."},
    "deliver": {
        "deliver": "Delivers changes to the sinks of the configuration.",
        "sinks": "Shows the sinks, and how far they are.",
        "dead-letters": "Shows the changes that sinks refused for good.",
    },
    "derived": {
        "dirty": 'Shows what the tasks with Dirty="true" would compute.',
        "why": 'Shows why tasks with Dirty="true" compute a resource.',
        "keys": "Shows the correlation keys, or the pairs they match.",
        "classifications": "Shows the resource type found for each resource.",
    },
    "diff": {
        "diff": "Shows what differs between two moments.",
        "audit": "Shows who had what between two moments.",
    },
    "erase": {"erase": "Makes what a resource was unreadable, for good."},
    "find": {
        "types": "Shows the entity types, and how many resources each has.",
        "find": "Finds resources of a type by their values.",
    },
    "notify": {"notify": "Tells people how runs ended, and of a schedule not kept."},
    "plan": {"plan": "Shows what adopting the present configuration will do."},
    "replay": {"replay": "Rebuilds the stored state from the log."},
    "retain": {"retain": "Discards old changes of a connector, type or association."},
    "runs": {
        "run": "Runs a job and shows what its tasks did.",
        "resume": "Resumes a RUN that was blocked, failed or interrupted.",
        "cancel": "Stops a RUN, or drops what a blocked one holds back.",
        "runs": "Shows past runs, or one RUN with its tasks.",
    },
    "schema": {"schema": "Prints the XML Schema of configurations, for editors."},
    "schedule": {
        "schedule": "Runs jobs at the times of their CronTabExpression.",
        "health": "Checks the schedule and what feeds the store.",
    },
    "serve": {"serve": "Serves the console and the API until it is stopped."},
    "simulate": {"simulate": "Shows what other rules would compute."},
    "store": {
        "backup": "Copies an SQLite store to FILE, also while jobs run.",
        "grants": "Prints the SQL that lets roles use a PostgreSQL store.",
    },
    "token": {"token": "Makes, shows and revokes API tokens of `serve`."},
    "verify": {"verify": "Checks the log, the stored state and derived values."},
    "workspace": {
        "init": "Writes a working workspace, also for your own files.",
        "validate": "Checks the configuration; prints faults and warnings.",
        "check": "Checks the sources against the configuration.",
        "jobs": "Shows the configured jobs, and when they are due next.",
        "tasks": "Shows the tasks of every job, in order.",
    },
}
"""Module -> command -> the first paragraph of its help."""


SECTIONS = {
    "Begin": ("init", "validate", "check", "connections", "schema", "completion"),
    "Run jobs": ("run", "resume", "cancel", "runs", "jobs", "tasks", "schedule", "health", "notify"),
    "Look at what is": ("types", "find", "show", "export", "serve", "token"),
    "Look at what was": ("changes", "history", "diff", "audit"),
    "Understand what is computed": ("dirty", "why", "keys", "classifications", "simulate"),
    "Change the configuration": ("plan", "adopt", "config", "decommission"),
    "Hand changes over": ("deliver", "sinks", "dead-letters", "consumers"),
    "Read sources": ("export-source", "places"),
    "Prove and keep the log": ("verify", "checkpoint", "replay", "backup", "retain", "erase", "grants"),
}
"""What one wants -> the commands for it, in the order of the help."""


_PAGED = frozenset(
    name
    for title in ("Look at what is", "Look at what was", "Understand what is computed", "Change the configuration")
    for name in SECTIONS[title]
    if name not in ("serve", "token", "adopt", "decommission")
) | {"runs", "jobs", "tasks", "sinks", "dead-letters", "consumers", "places", "validate", "verify"}
"""Commands that only show something."""


def all_commands() -> Iterator[LazyCommand]:
    """Every command of the command line, none of them imported yet."""
    for module, summaries in _SUMMARIES.items():
        for name, summary in summaries.items():
            yield LazyCommand(name, f"{__name__}.{module}", summary, is_paged=name in _PAGED)
