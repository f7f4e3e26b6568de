"""``archsearch ARGUMENTS`` as a process of its own, forked from one that has imported it all.

Importing takes seconds and the commands of tests take less, hence this. What imports cost or say,
what a process starts with, and signals are tested with processes of their own from the beginning.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import subprocess
import sys
import traceback
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

MODULES = ("archsearch.execute.run_job", "archsearch.study.study", "pandas", "scipy.special")


def forked(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """What ``python -m archsearch`` gives in a folder, with nothing on its standard input."""
    server = _server()
    with TemporaryDirectory() as place:
        said = [Path(place) / name for name in ("out", "err")]
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": environment,
            "said": [str(path) for path in said],
        }
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(path.read_text() for path in said))


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def end() -> None:
        server.communicate()

    atexit.register(end)
    return server


def _become(request: dict[str, Any]) -> NoReturn:
    """Do as a process would that was started with the arguments."""
    from archsearch.cli.main import main

    for stream, path in zip((1, 2), request["said"], strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    also = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [request["folder"], *also]
    sys.argv = ["archsearch", *request["arguments"]]
    importlib.invalidate_caches()
    warnings.simplefilter("default")
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    # what an interpreter does at its end, but for taking down what was imported, page by page
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def _serve() -> dict[str, Any] | None:
    """Fork for each line of standard input and say how it ended; a request is in the fork."""
    from archsearch.cli.main import COMMANDS

    for module in (*MODULES, *COMMANDS.values()):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        process = os.fork()
        if not process:
            return dict(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    return None


if __name__ == "__main__":
    _request = _serve()
    if _request is not None:
        _become(_request)
