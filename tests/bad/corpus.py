"""The corpus of bad inputs: its rows, its files, and how a case is run and judged."""

from __future__ import annotations

import io
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest import mock

from archsearch.cli.main import main

HERE = Path(__file__).parent
CATEGORIES = {
    "A-file": 24,
    "B-bombs": 28,
    "C-yaml-traps": 26,
    "D-keys": 31,
    "E-missing": 24,
    "F-types": 42,
    "G-numbers": 52,
    "H-sizes": 26,
    "I-across": 30,
    "J-names": 35,
    "K-plugins": 28,
    "L-commands": 40,
}
HEAVY = ("torch", "optuna", "ray")
MEGABYTE = 2**20
LONGEST_LINE = 300
GRAMMAR = re.compile(
    r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): error: "
    r"(?P<key>\S.*?): expected (?P<expected>.+?), got (?P<got>.+)"
)


@dataclass(frozen=True)
class Row:
    """One case: its file below ``tests/bad`` and what must come of it.

    ``text`` is how the message goes on after the key; ``…`` stands for any text. Line, column and
    key are ``-`` for a fault that has no place in a file. ``real`` cases also run in a process.
    """

    file: str
    exit: int
    line: str
    column: str
    key: str
    text: str
    real: bool

    @property
    def category(self) -> str:
        return self.file.split("/")[0]

    @property
    def name(self) -> str:
        return self.file.split("/")[1]

    @property
    def path(self) -> Path:
        return HERE / self.file


def rows() -> list[Row]:
    """Every row of ``expect.tsv``."""
    head, *lines = (HERE / "expect.tsv").read_text("utf-8").splitlines()
    assert head.split("\t") == ["file", "exit", "line", "column", "key", "text", "real"]
    found = []
    for line in lines:
        file, code, at, column, key, text, real = line.split("\t")
        found.append(Row(file, int(code), at, column, key, text, real == "real"))
    return found


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, what it printed, CPU seconds, bytes of new peak."""

    code: int
    out: str
    err: str
    seconds: float
    grown: int


def run(arguments: Sequence[str], forbidden: Sequence[str] = HEAVY) -> Done:
    """``archsearch ARGUMENTS`` in this process, in which none of the modules may be imported."""
    out, err = io.StringIO(), io.StringIO()
    peak, began = _peak(), time.process_time()
    with (
        mock.patch.object(sys, "argv", ["archsearch", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
        refused(forbidden) as asked,
    ):
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code
    assert asked == [], f"imported {asked}"
    assert isinstance(code, int)
    spent = time.process_time() - began
    return Done(code, out.getvalue(), err.getvalue(), spent, _peak() - peak)


def run_process(arguments: Sequence[str], folder: Path, site: Path, *, sealed: bool) -> Done:
    """The same in a process; ``seconds`` are of the processor, ``grown`` is its peak memory.

    A sealed one may have 200 MiB of data and write to no file.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        if sealed:
            resource.setrlimit(resource.RLIMIT_DATA, (200 * MEGABYTE, 200 * MEGABYTE))
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    process = subprocess.Popen(
        [sys.executable, "-m", "archsearch", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )
    with process:
        deadline = time.monotonic() + 60
        peak, ended, status, used = 0, *os.wait4(process.pid, os.WNOHANG)
        while ended == 0 and time.monotonic() < deadline:
            peak = max(peak, _high_water(process.pid))
            time.sleep(0.005)
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended == 0:
            process.kill()
            raise AssertionError("still running after 60 s")
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()
    return Done(process.returncode, out, err, used.ru_utime + used.ru_stime, peak)


@contextmanager
def refused(modules: Sequence[str]) -> Iterator[list[str]]:
    """Makes importing the modules fail, even if they are loaded; yields those that were asked."""
    asked: list[str] = []

    class Refuse:
        @staticmethod
        def find_spec(name: str, *_: object) -> ModuleSpec | None:
            if name in modules:
                asked.append(name)
                raise ImportError(f"{name} must not be imported here")
            return None

    loaded = {name: sys.modules.pop(name) for name in modules if name in sys.modules}
    with mock.patch.object(sys, "meta_path", [Refuse, *sys.meta_path]):
        yield asked
    sys.modules.update(loaded)


def judge(row: Row, done: Done, place: str) -> None:
    """Everything a refusal owes: its code, one short readable line, the place, the words."""
    assert "Traceback" not in done.err, done.err
    assert done.code == row.exit, f"exit {done.code}: {done.out}{done.err}"
    assert done.out == ""
    assert done.err.endswith("\n")
    line = done.err[:-1]
    assert line.isprintable(), repr(line)
    assert len(line) <= LONGEST_LINE, f"{len(line)} characters: {line}"
    if row.line == "-":
        assert line.startswith("error: ")
        assert matches(row.text, line.removeprefix("error: ")), line
        return
    found = GRAMMAR.fullmatch(line)
    assert found, line
    assert found["file"] == place, line
    assert (found["line"], found["column"]) == (row.line, row.column), line
    assert matches(row.key, found["key"]), line
    assert matches(row.text, f"expected {found['expected']}, got {found['got']}"), line


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` is the pattern, in which ``…`` stands for anything."""
    parts = (re.escape(part) for part in pattern.split("…"))
    return re.fullmatch(".*".join(parts), text) is not None


def tree(folder: Path) -> list[str]:
    """The names of everything below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


Builder = Callable[[Path], None]


def _high_water(pid: int) -> int:
    """The most memory that a running program had; unlike ``ru_maxrss`` without its parent's."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
