"""A study on a real Ray cluster, scraped at its node with the committed file: every panel has data.

Needs a Prometheus (tests/prometheus.sh) and the parts of Ray that export (``ray[default]``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_scraped import PROMETHEUS, SPACE, asked, free_port, panels, prometheus, until

from archsearch.gauges.page import PAGE

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not PROMETHEUS, reason="no Prometheus: run tests/prometheus.sh"),
    pytest.mark.skipif(
        not (find_spec("ray") and find_spec("aiohttp")), reason="no ray[default] is installed"
    ),
]


@pytest.fixture(scope="module")
def scraped() -> Iterator[int]:
    # the path of a socket is short
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="as-") as name:
        folder = Path(name)
        token = folder / "token"
        token.write_text("0123456789abcdef" * 4)
        token.chmod(0o600)
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        environment = os.environ | own | {"RAY_USAGE_STATS_ENABLED": "0"}
        port = free_port()
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        ray += [f"--port={port}", "--num-cpus=2", f"--temp-dir={folder}/ray"]
        ray += [f"--dashboard-port={free_port()}", "--node-ip-address=127.0.0.1"]
        (folder / "parity.yaml").write_text(SPACE)
        study = [sys.executable, "-m", "archsearch", "run", "parity.yaml", "--backend", "ray"]
        study += ["--address", f"127.0.0.1:{port}"]
        running: list[subprocess.Popen[bytes]] = []
        try:
            for command in (ray, study):
                with (folder / f"{len(running)}.log").open("wb") as log:
                    started = subprocess.Popen(
                        command,
                        cwd=folder,
                        env=environment,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                running.append(started)
                nodes = folder / "ray" / "prom_metrics_service_discovery.json"
                assert until(nodes.exists), (folder / "0.log").read_text()[-2000:]
            with prometheus(folder, free_port(), nodes) as served:
                yield served
        finally:
            for process in reversed(running):
                below = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                psutil.wait_procs([psutil.Process(process.pid), *below], timeout=30)
                for left in below:
                    # Ray's daemons are in sessions of their own
                    with suppress(psutil.NoSuchProcess):
                        left.kill()
                process.wait()


def data(port: int, query: str) -> Any:
    settled = query.replace("$study", "parity").replace("$instance", ".*")
    return asked(port, "query", query=settled.replace("$__rate_interval", "30s"))["result"]


@pytest.mark.parametrize(
    "panel",
    [*panels("cluster.json"), *panels("study.json")],
    ids=lambda panel: f"{panel['gridPos']['y']}-{panel['title']}",
)
def test_every_panel_has_data(scraped: int, panel: dict[str, Any]) -> None:
    if "GPU" in panel["title"]:
        pytest.skip("there is data only where there is a GPU")
    for target in panel["targets"]:
        found = until(lambda query=target["expr"]: data(scraped, query))
        assert found, target["expr"]


def test_our_names_are_those_without_ray(scraped: int) -> None:
    names = set(asked(scraped, "label/__name__/values"))
    ours = {name for name in names if name.startswith("archsearch_")}
    assert {series.name for series in PAGE if series.kind == "gauge"} <= ours
    assert not [name for name in names if name.startswith("ray_archsearch")]
