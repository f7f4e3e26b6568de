"""A Ray cluster of several nodes on this machine, in a process of its own that can be maimed.

Run as a script it begins one, says where, and obeys lines on its standard input until that ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

NODE = {"object_store_memory": 100 << 20, "include_dashboard": False}
# how long the parts of a cluster look for one that is gone; by default a minute
SOON = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5", "RAY_health_check_failure_threshold": "2"}


class RayNodes:
    """``nodes`` nodes with ``cpus`` cores each; killed with all that runs on them at the end.

    ``memory`` is how many bytes each says it has.
    """

    def __init__(
        self,
        token: Path,
        nodes: int = 2,
        cpus: int = 1,
        mode: str = "token",
        memory: int = 16 << 30,
    ) -> None:
        self.variables = {**SOON, "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(nodes), str(cpus), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env=os.environ | self.variables | {"RAY_AUTH_MODE": mode},
        )
        self.address: str = self.ask("where")

    def ask(self, *words: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def add(self) -> None:
        self.ask("add")

    def kill(self, what: str) -> None:
        """``raylet`` is that of a node that is not the head, ``gcs`` is the head's."""
        assert self.ask("kill", what), f"there is no {what} to kill"

    def running(self, title: str) -> int:
        """How many actors run a job of that title at this moment."""
        found = 0
        for one in psutil.Process(self._process.pid).children(recursive=True):
            # a thread that runs a job changes the title, not the name
            with suppress(psutil.NoSuchProcess):
                words = " ".join(one.cmdline())
                found += words.startswith("ray::") and title in words
        return found

    def actors(self) -> list[int]:
        """The processes of our actors; while one runs a trial, it is called by that."""
        own = psutil.Process(self._process.pid).children(recursive=True)
        found = [one.pid for one in own if one.name().lower().startswith("ray::trial")]
        assert found, "there is no actor"
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        # agents of nodes whose raylet was killed
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.stdout.close()


def obey(cluster: Any, words: list[str], cpus: int, memory: int) -> Any:
    match words:
        case ["add"]:
            return bool(cluster.add_node(num_cpus=cpus, memory=memory, **NODE))
        case ["kill", "gcs"]:
            cluster.head_node.kill_gcs_server(check_alive=False)
            return True
        case ["kill", "raylet"]:
            if not cluster.worker_nodes:
                return False
            node = cluster.worker_nodes.pop()
            node.kill_raylet(check_alive=False)
            return True
    return cluster.address


def main() -> None:
    from ray.cluster_utils import Cluster

    nodes, cpus, memory = map(int, sys.argv[1:])
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cluster = Cluster()
    for _ in range(nodes):
        cluster.add_node(num_cpus=cpus, memory=memory, **NODE)
    for line in sys.stdin:
        done = obey(cluster, json.loads(line), cpus, memory)
        print(json.dumps(done), file=told, flush=True)
    for node in cluster.list_all_nodes():
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


if __name__ == "__main__":
    main()
