"""The command `verify`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any

import click

from deltamark.application.integrity.replay import verify_log
from deltamark.application.integrity.verification_records import record_verification
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.derivation.differences import Verification
from deltamark.domain.errors import StoreError, UsageError
from deltamark.domain.integrity.verification import Checkpoint, is_proven
from deltamark.domain.messages import how_many
from deltamark.infrastructure.checkpoints.files import checkpoint_in
from deltamark.infrastructure.checkpoints.keys import verifying_key
from deltamark.interfaces.cli.commands.changes import shown_value
from deltamark.interfaces.cli.commands.replay import show_verification
from deltamark.interfaces.cli.commands.runs import STATUS
from deltamark.interfaces.cli.context import Workspace, format_option, pass_workspace
from deltamark.interfaces.cli.parameters import Name, WholeNumber
from deltamark.interfaces.cli.progress import CopyProgress, RunProgress
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.styles import with_sign
from deltamark.interfaces.cli.task_names import TaskNames
from deltamark.interfaces.cli.times import shown_time
from deltamark.interfaces.documents import difference_document

FAULTY = 4
_MEMBERS = (
    "kind", "side", "entity_type", "key", "property", "rule", "stored", "recomputed", "pending", "chain",
    "newest_change",
)  # fmt: skip
_SEEDS = 1_000_000


@click.command(epilog="Example: deltamark verify --derived --sample 1000")
@click.option("--log", is_flag=True, help="Check the log and the state; the default.")
@click.option("--checkpoint", type=Name("FILE"), metavar="FILE", help="Prove that the log begins as this file says.")
@click.option(
    "--public-key", type=Name("FILE"), metavar="FILE", help="The key that the checkpoint must be signed with."
)
@click.option("--derived", is_flag=True, help="Compute derived values again and compare them.")
@click.option("--sample", type=WholeNumber("N", 1), metavar="N", help="Only N resources of each entity type.")
@click.option("--seed", type=WholeNumber("S", 0), metavar="S", help="Choose the same sample as another time.")
@click.option("--repair", is_flag=True, help="Compute wrong values again, in a recorded run.")
@click.option("--record", is_flag=True, help="Keep the result in the store, for the console and its metrics.")
@click.option("--progress", is_flag=True, help="Print lines for programs that say how far it is.")
@format_option
@pass_workspace
def verify(
    workspace: Workspace,
    log: bool,
    checkpoint: str | None,
    public_key: str | None,
    derived: bool,
    sample: int | None,
    seed: int | None,
    repair: bool,
    record: bool,
    progress: bool,
    form: Format,
) -> int:
    """Checks the log, the stored state and derived values.

    The log must be what was written, and the stored state what replaying the log gives. With --derived, derived values
    must be what computing them again gives; those that the next incremental run computes are shown as pending.

    Exit status 0 without a fault, or if every one was repaired; 4 with one; 1 if the repair failed.
    """
    if not derived and (repair or sample is not None or seed is not None):
        raise UsageError("--sample, --seed and --repair are for derived values. Add --derived.")
    if seed is not None and sample is None:
        raise UsageError("--seed chooses a sample. Say with --sample how large it is.")
    if log and derived and form in (Format.CSV, Format.JSON):
        raise UsageError(f"{form.value} holds one kind of rows. Verify log and derived values one after the other.")
    if public_key is not None and checkpoint is None:
        raise UsageError("--public-key checks the signature of a checkpoint. Name it with --checkpoint.")
    content = None if checkpoint is None else _read_checkpoint(Path(checkpoint), public_key)
    status = (
        _verify_log(workspace, content, form, record=record, as_lines=progress) if log or content or not derived else 0
    )
    return (_verify_derived(workspace, sample, seed, repair, form, record=record) or status) if derived else status


def _read_checkpoint(file: Path, public_key: str | None) -> Checkpoint:
    content, is_signed = checkpoint_in(file, None if public_key is None else verifying_key(Path(public_key)))
    if public_key is None:
        say(
            f"{file}: its signature is not checked; name the key with --public-key."
            if is_signed
            else f"{file}: not signed."
        )
    return content


def _verify_log(
    workspace: Workspace, checkpoint: Checkpoint | None, form: Format, *, record: bool, as_lines: bool
) -> int:
    with workspace.opened_store() as store:
        with CopyProgress("reading the log", as_lines=as_lines) as progress:
            verification = verify_log(store, progress, checkpoint=checkpoint)
        if record:
            _keep(lambda: record_verification(store, verification))
    show_verification(verification, form)
    if checkpoint is not None:
        not_proven = "" if is_proven(checkpoint, verification) else "It is not proven that "
        it = "it" if not_proven else "It"
        begin = f"what it was on {shown_time(checkpoint.at)}, up to position {checkpoint.position}"
        say(f"{not_proven}{it} begins with {begin}.")
    return 0 if verification.is_sound else FAULTY


def _keep(record: Callable[[], object]) -> None:
    """Puts a verification on record; where that cannot be done, its result is worth no less."""
    try:
        record()
    except StoreError as e:
        say(f"It is not on record: {e}")


def _verify_derived(
    workspace: Workspace, sample: int | None, seed: int | None, repair: bool, form: Format, *, record: bool
) -> int:
    chosen = SystemRandom().randrange(_SEEDS) if seed is None and sample is not None else seed or 0
    with workspace.engine(runs_code=True) as engine:
        verification = engine.verify_derived(sample=sample, seed=chosen)
        if record:
            _keep(lambda: engine.record_verification(verification))
        _print(verification, form)
        say(_summary(verification, sample, chosen))
        if not (repair and verification.faults):
            return FAULTY if verification.faults else 0
        names = TaskNames.of(engine.configuration)
        with RunProgress(names.shown) as progress:
            run = engine.repair(verification, observer=progress)
        assert run is not None, "there are faults to repair"
        state = run.state.value
        say(with_sign(f"Run {run.number}, the repair: {state}.", state), state)
        if run.state is not TaskState.COMPLETED:
            say("What is wrong stays flagged: the next run of these tasks computes it.")
            return STATUS.get(run.state, FAULTY)
        repaired = engine.verify_derived(sample=sample, seed=chosen)
        if record:
            _keep(lambda: engine.record_verification(repaired))
        left = repaired.faults
    faults = how_many(len(verification.faults), "fault")
    say(f"{len(left):,} of {faults} left. Verify again to see them." if left else f"{faults} repaired.")
    return FAULTY if left else 0


def _print(verification: Verification, form: Format) -> None:
    table = [
        Column("found", lambda document: "pending" if document["pending"] else "FAULT"),
        member("entity_type"),
        member("key"),
        Column("value", _name_of),
        Column("stored", lambda document: shown_value(document["stored"])),
        Column("recomputed", lambda document: shown_value(document["recomputed"])),
        Column("newest change", _newest),
        Column("because of", lambda document: " ← ".join(document["chain"])),
    ]
    if verification.differences or form is not Format.TABLE:
        documents = [difference_document(difference) for difference in verification.differences]
        render(Listing(documents=documents, columns=[member(name) for name in _MEMBERS], table=table), form)


def _name_of(document: Document) -> str:
    kind = f"{document['side']} key" if document["kind"] == "key" else document["kind"]
    return f"{kind} {document['property'] if 'property' in document else document['rule']}"


def _newest(document: Document) -> str:
    newest: dict[str, Any] | None = document["newest_change"]
    return "" if newest is None else f"position {newest['position']}, run {newest['run']}"


def _summary(verification: Verification, sample: int | None, seed: int) -> str:
    pending = len(verification.differences) - len(verification.faults)
    whole = "" if sample is None else f" (at most {sample:,} of each entity type, --seed {seed})"
    left_out = "".join(
        f"\n{derivation.entity_type}:{derivation.name} was not compared: function {derivation.maker.name} is not "
        "deterministic."
        for derivation in verification.unverified
        if derivation.maker is not None
    )
    return (
        f"{how_many(verification.values, 'derived value')} of {how_many(verification.resources, 'resource')}{whole} "
        f"compared: "
        f"{how_many(len(verification.faults), 'fault')}, {pending:,} pending.{left_out}"
    )


COMMANDS: tuple[click.Command, ...] = (verify,)
