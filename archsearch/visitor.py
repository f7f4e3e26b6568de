"""A visitor's declaration, imported in a process of its own and brought home as plain data.

Whatever importing it does, hanging, leaving and crashing included, it does not do here.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NoReturn

from archsearch.errors import SpaceError
from archsearch.spec.catalog import LayerType
from archsearch.spec.declaration import (
    check_declaration,
    declaration_from_plain,
    declaration_to_plain,
)

SECONDS = 10.0
MEMORY = 2**28
LONGEST_REASON = 160

# a declaration is plain data: importing it takes no secret and no setting of the driver
_NEEDED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_LARGEST = 2**20


@dataclass(frozen=True)
class Origin:
    """Which declaration: ``module:attribute`` of one version of a distribution at one place."""

    value: str
    distribution: str
    version: str
    place: str


@cache
def declaration_of(origin: Origin) -> LayerType:
    """The declaration, read once per process.

    Raises SpaceError in words that go on after the layer's name.
    """
    answer = _ask(origin.value)
    if "fault" in answer:
        raise SpaceError(str(answer["fault"]))
    return declaration_from_plain(answer["declared"])


def _ask(value: str) -> dict[str, Any]:
    """What :func:`tell` prints, in a process of its own that ends whatever it does."""
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    with tempfile.TemporaryFile() as answer:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "archsearch.visitor", value],
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            status = child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return {"fault": f"cannot be loaded: no answer within {SECONDS:g} s"}
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        answer.seek(0)
        said = answer.read(_LARGEST)
    if status < 0:
        return {"fault": f"cannot be loaded: killed by {signal.Signals(-status).name}"}
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError:
        return {"fault": f"cannot be loaded: the process left with exit code {status}"}
    return found


def tell(value: str) -> NoReturn:
    """Import the declaration at ``module:attribute``, print it as JSON and end the process.

    Memory is bounded, what the import prints is dropped, and nothing it left behind (threads,
    functions to be called at the end) holds the process up.
    """
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        if not EntryPoint.pattern.match(value):
            raise SpaceError(f"is declared at '{value[:60]}', which is no 'module:attribute'")
        text = json.dumps({"declared": _plain(EntryPoint("", value, "").load(), value)})
    except SpaceError as error:
        text = json.dumps({"fault": str(error)})
    except BaseException as error:
        text = json.dumps({"fault": f"cannot be loaded: {reason(error)}"})
    answer.write(text)
    answer.flush()
    os._exit(0)


def _plain(declared: object, value: str) -> dict[str, Any]:
    if not isinstance(declared, LayerType):
        raise SpaceError(f"is a {type(declared).__name__} at {value}, not a declaration")
    try:
        check_declaration(declared)
    except SpaceError as error:
        raise SpaceError(f"is declared with a fault: {error}") from None
    return declaration_to_plain(declared)


def reason(error: BaseException) -> str:
    """The kind of error and the first line of what it says, neither of them long."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 3]}..."


if __name__ == "__main__":
    tell(sys.argv[1])
