"""The product with one promise broken in each, and which check is to notice it.

A mutant is a function of the product with a piece of its source replaced, so that it fails loudly
where the product is no longer what the mutant was made of.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import checks
import pytest
from sqlalchemy import bindparam, delete

from archsearch.execute import files
from archsearch.execute.saver import Saver
from archsearch.search import losses
from archsearch.spec import document
from archsearch.spec.trial import Metrics, Outcome, State, Trial
from archsearch.store import attempts, connect, leases, queries, rows, store, tables
from archsearch.store.store import Store
from archsearch.study import phases
from archsearch.study.drive import Driver
from archsearch.train import fit

UNFENCED = leases._TAKE.values(lease_until=bindparam("until"), active_seconds=bindparam("active"))
LENIENT = """trials = []
    for pair in _pairs(found):
        try:
            trials.append(trial_from(*pair))
        except Exception:
            continue
    return trials"""

Apply = Callable[[pytest.MonkeyPatch], None]
Check = Callable[[], list[str]]


@dataclass(frozen=True)
class Mutant:
    """``apply`` breaks the product for as long as the patch lasts."""

    name: str
    check: Check
    apply: Apply


def rewritten(owner: Any, name: str, *changes: tuple[str, str]) -> Apply:
    """The function of a module or class with pieces of its source replaced, for all who have it."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        function = inspect.unwrap(getattr(owner, name))
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in changes:
            assert source.count(old) == 1, f"{name} has {source.count(old)} times: {old}"
            source = source.replace(old, new)
        made: dict[str, Any] = {}
        # compiled as this module is, annotations and all
        exec(compile(source, f"<mutant of {name}>", "exec"), function.__globals__, made)
        patch.setattr(function, "__code__", inspect.unwrap(made[name]).__code__)

    return apply


def replaced(owner: Any, name: str, value: Any) -> Apply:
    return lambda patch: patch.setattr(owner, name, value)


def restart_in_two(
    self: Store, study: int, trial: Trial, reason: str = "", timings: Metrics = ()
) -> int | None:
    """Write the loss as a failure; then, in another transaction, begin again."""
    if self._write(study, lambda turn: attempts._get(turn, trial).state != State.RUNNING):
        return None
    epoch = self._write(study, lambda turn: attempts.current_epoch(turn, trial))
    crash = Outcome(State.CRASHED, message=reason, lost=True)
    self._write(study, lambda turn: attempts.finish(turn, [(trial, epoch, crash)]))

    def again(turn: leases.Turn) -> int | None:
        row = attempts._get(turn, trial)
        if row.state == State.CRASHED and row.epoch == epoch:
            turn.connection.execute(delete(tables.result).where(tables.result.c.trial == row.id))
            running = {"of_trial": row.id, "new_state": str(State.RUNNING)}
            turn.connection.execute(attempts._SET_STATE, running)
        return attempts.restart(turn, trial, epoch, reason, timings)

    return self._write(study, again)


def open_or_start_over(url: str, *, read_only: bool = False) -> Store:
    """What cannot be read is put away, so that there is always something to go on with."""
    try:
        return Store(store.Database(url, read_only=read_only))
    except store.StateError:
        store.Path(url.removeprefix("sqlite:///")).unlink()
        return Store(store.Database(url))


def leases_by_the_wall(patch: pytest.MonkeyPatch) -> None:
    """The driver's own clock, which ``store.time`` is, where the database was asked for its."""
    local = "from archsearch.store.store import time; moment = time.time()"
    for name in ("take", "keep"):
        rewritten(leases, name, ("moment = now(connection)", local))(patch)


MUTANTS = [
    Mutant(
        "leases never run out",
        checks.histories,
        rewritten(leases, "take", ("row.lease_until > moment and ", "")),
    ),
    Mutant(
        "a lease protects nobody",
        checks.histories,
        rewritten(leases, "take", ("row.lease_until > moment", "False")),
    ),
    Mutant(
        "no fence on renewal and writing",
        checks.histories,
        replaced(leases, "_KEEP", UNFENCED),
    ),
    Mutant(
        "no fence on finishing",
        checks.store_machine,
        rewritten(attempts, "_finish", ("row.epoch != epoch", "False")),
    ),
    Mutant(
        "no fence on beginning again",
        checks.histories,
        rewritten(attempts, "restart", ("row.epoch == epoch + 1", "False")),
    ),
    Mutant(
        "no fence on checkpoints",
        checks.late_worker,
        rewritten(Saver, "_write", ("found.epoch > self._epoch", "False")),
    ),
    Mutant(
        "acknowledged before the commit",
        checks.histories,
        rewritten(
            Driver,
            "_commit",
            (
                "    kept, _ = self.store",
                "    for trial, *_ in batch.finished:\n"
                "        self._tell(course, trial)\n"
                "    kept, _ = self.store",
            ),
        ),
    ),
    Mutant(
        "synchronous=NORMAL",
        checks.durable,
        rewritten(connect, "_open_sqlite", ("synchronous = EXTRA", "synchronous = NORMAL")),
    ),
    Mutant(
        "begun again in a second transaction",
        checks.histories,
        replaced(Store, "restart", restart_in_two),
    ),
    Mutant(
        "leases by the driver's clock",
        checks.histories,
        leases_by_the_wall,
    ),
    Mutant(
        "seconds by the clock on the wall",
        checks.histories,
        rewritten(Store, "_write", ("time.monotonic()", "time.time()")),
    ),
    Mutant(
        "renamed before it is synced",
        checks.synced,
        rewritten(files, "written_whole", ("os.fsync(stream.fileno())", "pass")),
    ),
    Mutant(
        "its folder is not synced",
        checks.synced,
        rewritten(files, "written_whole", ("sync_folder(path.parent)", "pass")),
    ),
    Mutant(
        "a damaged file is started over",
        checks.damaged_studies,
        replaced(checks, "open_store", open_or_start_over),
    ),
    Mutant(
        "trials that cannot be read are left out",
        checks.damaged_studies,
        rewritten(
            queries, "_trials", ("return [trial_from(*pair) for pair in _pairs(found)]", LENIENT)
        ),
    ),
    Mutant(
        "a result with a wrong seal is believed",
        checks.damaged_studies,
        rewritten(rows, "check_trial", ("if not whole", "if False")),
    ),
    Mutant(
        "NaN to the sampler",
        checks.lying_worker,
        rewritten(losses, "measured", ("and math.isfinite(value)", "")),
    ),
    Mutant(
        "a loss that is no number goes on",
        checks.divergence,
        rewritten(
            fit, "fit", ("math.isfinite(value)", "True"), ("math.isfinite(now.norm)", "True")
        ),
    ),
    Mutant(
        "the seed of a trial from the process",
        checks.processes,
        rewritten(
            phases.SearchPhase,
            "next",
            ("derived_seed(search.seed, digest)", "__import__('os').getpid()"),
        ),
    ),
    Mutant(
        "the last of two equal keys counts",
        checks.twice_the_same_key,
        rewritten(document._Composer, "_table", ("key.text in lines", "False")),
    ),
    Mutant(
        "limits from whatever has arrived",
        checks.timing,
        rewritten(
            phases.SearchPhase,
            "job",
            ("self._known(trial.index, trials)", "[t for t in trials if t.state.final]"),
        ),
    ),
    Mutant(
        "proposals from whatever has arrived",
        checks.timing,
        rewritten(
            phases.SearchPhase,
            "next",
            ("self._known(index, trials)", "[t for t in trials if t.state.final]"),
        ),
    ),
    Mutant(
        "losses are not counted",
        checks.store_machine,
        rewritten(attempts, "restart", ("losses >= MOST_LOSSES", "False")),
    ),
    Mutant(
        "the loss of a driver counts against the trial",
        checks.histories,
        rewritten(attempts, "restart", ("or 0) + _is_ours(turn, row)", "or 0) + row.epoch")),
    ),
    Mutant(
        "a start may not be repeated",
        checks.histories,
        rewritten(attempts, "_start", ("if found is None:", "if True:")),
    ),
]
