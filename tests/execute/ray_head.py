"""A head node of Ray with a dashboard that takes jobs, in a folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

PATIENCE = 90.0


class RayHead:
    """``token`` None begins one that lets everybody in; all of it is killed at the end.

    Ray's sockets lie in ``folder``, whose path must be short.
    """

    def __init__(self, folder: Path, token: Path | None, cpus: int = 2) -> None:
        port, dashboard = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{dashboard}"
        mode = "disabled" if token is None else "token"
        own = {"RAY_AUTH_MODE": mode, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(folder)}
        if token is not None:
            own["RAY_AUTH_TOKEN_PATH"] = str(token)
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        command += [f"--port={port}", f"--num-cpus={cpus}", f"--temp-dir={folder}/ray"]
        command += ["--include-dashboard=true", f"--dashboard-port={dashboard}"]
        command += ["--node-ip-address=127.0.0.1", f"--object-store-memory={100 << 20}"]
        with (folder / "head.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | own,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._takes_jobs():
            assert time.monotonic() < deadline, (folder / "head.log").read_text()[-3000:]
            time.sleep(0.5)

    def _takes_jobs(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/jobs/", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return error.code in (401, 403)
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        own = psutil.Process(self._process.pid)
        below = own.children(recursive=True)
        self._process.terminate()
        psutil.wait_procs([own, *below], timeout=20)
        for left in below:
            # Ray's daemons are in sessions of their own
            with suppress(psutil.NoSuchProcess):
                left.kill()
        self._process.wait()


@contextmanager
def short_folder() -> Iterator[Path]:
    """One whose path is short, as that of a socket has to be."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="as-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
