"""A real Prometheus scrapes a running study with the committed file; every panel has data."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

PROMETHEUS = os.environ.get("ARCHSEARCH_TEST_PROMETHEUS")
pytestmark = pytest.mark.skipif(not PROMETHEUS, reason="no Prometheus: run tests/prometheus.sh")

FOLDER = Path(__file__).parents[2] / "dashboards"
SPACE = """
archsearch: 1
task: {name: parity, length: 6, validation_size: 32, test_size: 32}
space:
  width: 8
  stages: [{blocks: [{cell: {choice: [gru, rnn]}}]}]
  training: {steps: 20, batch: 16, lr: {float: [0.001, 0.1], log: true}}
search: {trials: 100000, sampler: random}
execution: {workers: 2}
"""
PATIENCE = 90.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(port: int, what: str, **parameters: str) -> Any:
    """What the API of Prometheus answers."""
    address = f"http://127.0.0.1:{port}/api/v1/{what}?{urlencode(parameters)}"
    with urllib.request.urlopen(address, timeout=5) as answer:
        return json.load(answer)["data"]


def until(found: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first answer that is something; the last one once patience is at an end."""
    deadline = time.monotonic() + patience
    while True:
        try:
            answer = found()
        except urllib.error.URLError:
            answer = None
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.5)


@contextmanager
def prometheus(folder: Path, gauges: int, nodes: Path | None = None) -> Iterator[int]:
    """A server that scrapes ``gauges`` as the committed file says, only oftener; its port.

    ``nodes`` is where the cluster lists its nodes.
    """
    scrape = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    scrape["global"] = {"scrape_interval": "1s"}
    ours = next(job for job in scrape["scrape_configs"] if job["job_name"] == "archsearch")
    (static,) = ours["static_configs"]
    static["targets"] = [f"{target.rpartition(':')[0]}:{gauges}" for target in static["targets"]]
    ray = next(job for job in scrape["scrape_configs"] if job["job_name"] == "ray")
    ray["file_sd_configs"] = [{"files": [str(nodes or folder / "none.json")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(scrape))
    port = free_port()
    assert PROMETHEUS is not None
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'series'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield port
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def study(folder: Path, gauges: int) -> Iterator[subprocess.Popen[bytes]]:
    """A study with many more trials than are waited for."""
    (folder / "parity.yaml").write_text(SPACE)
    command = [sys.executable, "-m", "archsearch", "run", "parity.yaml", "--metrics", str(gauges)]
    with (folder / "study.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 75, (folder / "study.log").read_text()[-500:]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, gauges = tmp_path_factory.mktemp("scraped"), free_port()
    with study(folder, gauges), prometheus(folder, gauges) as port:
        yield port


def panels(name: str) -> list[dict[str, Any]]:
    page = json.loads((FOLDER / "grafana" / "dashboards" / name).read_text())
    found: list[dict[str, Any]] = page["panels"]
    return found


@pytest.mark.parametrize("panel", panels("study.json"), ids=lambda panel: panel["title"])
def test_every_panel_of_a_study_has_data(scraped: int, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        query = target["expr"].replace("$study", "parity").replace("$__rate_interval", "10s")
        found = until(lambda query=query: asked(scraped, "query", query=query)["result"])
        assert found, query
        for series in found:
            # a legend that names a label has one to show
            named = [part.split("}}")[0] for part in target["legendFormat"].split("{{")[1:]]
            assert set(named) <= set(series["metric"]), query
            assert float(series["value"][1]) >= 0, query


def test_the_variable_finds_the_study(scraped: int) -> None:
    match = {"match[]": "archsearch_workers"}
    assert until(lambda: asked(scraped, "label/study/values", **match)) == ["parity"]


def test_what_is_shown_is_what_is_stored(scraped: int, tmp_path: Path) -> None:
    """Prometheus counts as many trials as have ended, and no more than begun."""
    ended = 'sum(archsearch_trials_total{study="parity",phase="search"})'
    before = float(until(lambda: asked(scraped, "query", query=ended)["result"])[0]["value"][1])
    time.sleep(5)
    (now,) = asked(scraped, "query", query=ended)["result"]
    assert float(now["value"][1]) > before > 0
    balance = f"{ended} + sum(archsearch_trials_running) + sum(archsearch_trials_waiting)"
    (whole,) = asked(scraped, "query", query=balance)["result"]
    # a scrape may fall between two of them
    assert float(whole["value"][1]) == pytest.approx(100_000, abs=4)
