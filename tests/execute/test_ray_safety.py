"""Only with a token, only where one is asked for; and nodes that come while a backend is open."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ray_nodes import RayNodes
from ray_study import run, write_space

from archsearch.errors import InputError
from archsearch.execute.cluster.backends import RayBackend
from archsearch.execute.cluster.token import make_safe
from archsearch.testing.backends import everything
from archsearch.testing.faults import BEHAVE, fault_job

pytestmark = pytest.mark.faults


def refusal(folder: Path, nodes: RayNodes, code: int, **variables: str) -> str:
    """The one line that the command says."""
    write_space(folder)
    options = ("--backend", "ray", "--address", nodes.address, "--quiet")
    said = run(folder, *options, code=code, variables=nodes.variables | variables)
    assert said.count("\n") == 1, said
    return said


def test_a_cluster_that_lets_everybody_in_is_refused(token: Path, tmp_path: Path) -> None:
    with RayNodes(token, nodes=1, mode="disabled") as nodes:
        assert "answers without a token" in refusal(tmp_path, nodes, 2)


def test_another_token_is_refused(nodes: RayNodes, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_safe({"RAY_AUTH_TOKEN_PATH": str(other)}, create=True)
    said = refusal(tmp_path, nodes, 2, RAY_AUTH_TOKEN_PATH=str(other))
    assert "does not accept our token" in said


def test_no_token_at_all_is_refused(nodes: RayNodes, tmp_path: Path) -> None:
    said = refusal(tmp_path, nodes, 2, RAY_AUTH_TOKEN_PATH=str(tmp_path / "none"))
    assert "there is no token for the Ray cluster" in said


def test_where_no_cluster_is_there_is_one_line(nodes: RayNodes, tmp_path: Path) -> None:
    write_space(tmp_path)
    options = ("--backend", "ray", "--address", "127.0.0.1:9", "--quiet")
    said = run(tmp_path, *options, code=75, variables=nodes.variables)
    assert ":9 does not answer" in said
    assert said.count("\n") == 1, said


def test_other_software_on_a_node_is_refused(
    nodes: RayNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RayBackend, "module", "other_versions")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with RayBackend(nodes.address, 1, BEHAVE) as backend:
        backend.submit(fault_job(0, "complete"))
        with pytest.raises(InputError, match=r"has torch .*, here it is 0\.1"):
            backend.collect(timeout=60)


def test_workers_grow_with_the_cluster(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RayNodes(token, nodes=1) as nodes:
        for name, value in nodes.variables.items():
            monkeypatch.setenv(name, value)
        with RayBackend(nodes.address, None, BEHAVE) as backend:
            everything(backend, [fault_job(0, "complete")])
            assert backend.workers == 1
            nodes.add()
            deadline = time.monotonic() + 60
            while backend.workers == 1 and time.monotonic() < deadline:
                everything(backend, [fault_job(0, "complete")])
                time.sleep(0.5)
            assert backend.workers == 2
            nodes.kill("raylet")
            while backend.workers == 2 and time.monotonic() < deadline + 60:
                everything(backend, [fault_job(0, "complete")])
                time.sleep(0.5)
            assert backend.workers == 1
