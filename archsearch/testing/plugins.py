"""Examines a cell in a process of its own, bounded in time and memory, whatever the cell does."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TextIO

from archsearch.execute.environment import worker_environment
from archsearch.execute.process import data_size, die_with_parent, kill_group, limit_data
from archsearch.spec.catalog import LayerType
from archsearch.spec.declaration import declaration_from_plain, declaration_to_plain
from archsearch.testing.probe import Broken, Check, Probe

SECONDS = 60.0
WHOLE_SECONDS = 600.0
MEMORY = 4 * 2**30


@dataclass(frozen=True)
class Promise:
    """One promise: over how many cases it was kept, or how it is broken.

    Zero cases mean that the cell does not claim it.
    """

    name: str
    cases: int
    broken: str | None = None


def examine(
    declared: LayerType, *, whole: bool, seconds: float | None = None, memory: int = MEMORY
) -> list[Promise]:
    """The promises of a cell up to the first that makes the others pointless.

    Without ``whole`` those of :mod:`archsearch.testing.probe`, with it those of the contract too,
    which needs pytest. ``seconds`` bound the whole examination, ``memory`` is in bytes.
    """
    seconds = (WHOLE_SECONDS if whole else SECONDS) if seconds is None else seconds
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as question,
        tempfile.TemporaryFile() as answer,
    ):
        asked = {
            "declared": declaration_to_plain(declared),
            "whole": whole,
            "memory": memory,
        }
        question.write(json.dumps(asked).encode())
        question.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "archsearch.testing.plugins", str(os.getpid())],
            stdin=question,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=worker_environment(os.environ) | {"PYTHONPATH": path},
            start_new_session=True,
        )
        end = ""
        try:
            end = _end(child.wait(seconds))
        except subprocess.TimeoutExpired:
            end = f"gave no answer within {seconds:g} s"
        finally:
            kill_group(child.pid)
            child.wait()
        answer.seek(0)
        return list(_promises(answer.read().decode(errors="replace").splitlines(), end))


def _promises(lines: list[str], end: str) -> Iterator[Promise]:
    """What the process wrote down, and of the promise it did not come back from what it did."""
    begun, closed = "", False
    for line in lines:
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            break
        if "begun" in said:
            begun = said["begun"]
        elif "closed" in said:
            closed = True
        else:
            begun = ""
            yield Promise(said["name"], said["cases"], said["broken"])
    if not closed:
        name = begun or "can be examined"
        yield Promise(name, 0, f"{end or 'left early'} (when examined: {name})")


def _end(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended the process with exit code {status}"


def main(parent: int) -> NoReturn:
    """Examine the cell that stdin describes and write a line of JSON per promise to stdout."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    asked = json.load(sys.stdin)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    die_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_data(data_size() + asked["memory"])
    declared = declaration_from_plain(asked["declared"])
    if asked["whole"]:
        # a cell's import changes no settings of what is not there before it
        import_module("torch")
    looked = Probe(declared)
    sound = _write(looked.promises(), answer, until_broken=True)
    if sound and asked["whole"]:
        from archsearch.testing.promises import contract

        _write(contract(declared, looked.width), answer)
    print(json.dumps({"closed": True}), file=answer)
    os._exit(0)


def _write(
    checks: Iterable[tuple[str, Check]], answer: TextIO, *, until_broken: bool = False
) -> bool:
    """Look at one promise after the other; whether none was broken."""
    sound = True
    for name, check in checks:
        print(json.dumps({"begun": name}), file=answer)
        broken, cases = None, 0
        try:
            cases = check()
        except Broken as error:
            sound, broken = False, str(error)
        print(json.dumps({"name": name, "cases": cases, "broken": broken}), file=answer)
        if until_broken and not sound:
            break
    return sound


if __name__ == "__main__":
    main(int(sys.argv[1]))
