"""Imports flow one way: who may import whom, read from the source by AST."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "archsearch"

# A room's declared.py, or declared_*.py, is a page of plain data and counts as the room "declared".
MAY_IMPORT = {
    "errors": set(),
    "failpoints": set(),
    "spec": {"errors"},
    "declared": {"errors", "spec"},
    "visitor": {"errors", "spec"},
    "installed": {"errors"},
    "plugins": {"errors", "spec", "declared", "visitor", "installed"},
    "kernels": set(),
    "blocks": {"errors", "spec", "kernels"},
    "cells": {"errors", "spec", "kernels", "blocks"},
    "sparsity": {"errors", "spec", "blocks"},
    "depth": {"errors", "spec", "blocks"},
    "build": {"errors", "spec", "blocks", "depth", "sparsity"},
    "adapt": {"errors", "spec", "blocks", "build", "depth"},
    "tasks": {"errors", "spec"},
    "train": {"errors", "spec", "tasks", "sparsity", "depth"},
    "search": {"errors", "spec"},
    "execute": {"errors", "installed", "kernels", "plugins", "spec", "build", "tasks", "train"},
    "store": {"errors", "spec"},
    "select": {"errors", "spec"},
    "study": {"errors", "spec", "search", "execute", "store", "select"},
    "gauges": {"errors", "spec", "store", "select", "study"},
    "serve": {"errors", "plugins", "spec", "build", "depth", "sparsity", "adapt"},
    "dashboard": {"errors", "spec", "store", "select"},
}
for rooms in MAY_IMPORT.values():
    rooms.add("failpoints")
EVERYTHING = {*MAY_IMPORT, "testing", "cli"}
MAY_IMPORT["testing"] = EVERYTHING - {"cli", "dashboard"}
MAY_IMPORT["cli"] = EVERYTHING - {"cells", "blocks", "kernels"}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["tuned"] = {"cli", "errors", "execute", "plugins", "spec", "store", "study"}

# third-party package -> the rooms (or single files) that alone may touch it
ALONE = {
    "yaml": {"spec", "cli/kuberay.py"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "optuna": {"search/bayesian.py"},
    "ray": {
        "execute/cluster/connect.py", "execute/cluster/pool.py", "execute/cluster/worker.py",
        "execute/cluster/tune.py", "execute/cluster/tuned.py", "execute/cluster/gauges.py",
        "execute/cluster/jobs.py", "execute/cluster/stored.py",
    },
    "numba": {"kernels"},
    "triton": {"kernels"},
    "fla": {"kernels"},
    "networkx": {"sparsity"},
    "prometheus_client": {"gauges/endpoint.py"},
    "click": {"cli"},
    "rich": {"cli"},
    "pytest": {"testing"},
    "hypothesis": {"testing"},
    "torch": {
        "kernels", "blocks", "cells", "sparsity", "depth", "build", "adapt", "train", "execute",
        "serve", "testing",
    },
}  # fmt: skip
NEVER = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    if parts[-1].startswith("declared"):
        return "declared"
    return parts[0].removesuffix(".py")


def room_named(module: str) -> str:
    parts = module.split(".")
    return "declared" if parts[-1].startswith("declared") else parts[1]


def imports_of(path: Path) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            found.append((node.lineno, node.module))
            if node.module.count(".") < 2 and node.module.startswith("archsearch"):
                found[-1:] = [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def faults_of(path: Path) -> list[str]:
    room = room_of(path)
    place = str(path.relative_to(PACKAGE))
    faults = []
    for line, module in imports_of(path):
        top = module.split(".")[0]
        if top == "archsearch" and module != "archsearch.__version__":
            own_room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
            within = module.split(".")[1] == own_room
            if not within and room_named(module) not in MAY_IMPORT[room]:
                faults.append(f"{place}:{line}: {room} may not import {module}")
        allowed = ALONE.get(top)
        if allowed is not None and room not in allowed and place not in allowed:
            faults.append(f"{place}:{line}: {room} may not touch {top}")
        if top in NEVER:
            faults.append(f"{place}:{line}: {top} has no place here")
    return faults


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_flow_one_way(path: Path) -> None:
    assert faults_of(path) == []


def test_package_faces_are_empty() -> None:
    full = [path for path in PACKAGE.rglob("*/__init__.py") if path.read_text().strip()]
    assert full == []


def test_a_forbidden_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "archsearch"
    (package / "spec").mkdir(parents=True)
    guilty = package / "spec" / "guilty.py"
    guilty.write_text("def f():\n    import torch\n    from archsearch.train.fit import fit\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    faults = faults_of(guilty)
    assert len(faults) == 2
    assert "may not touch torch" in faults[0] or "may not touch torch" in faults[1]


@pytest.mark.parametrize(
    "statement",
    ["import archsearch", "from archsearch.plugins import load_catalog; load_catalog()"],
)
def test_no_torch_before_a_worker(statement: str) -> None:
    check = f"import sys; {statement}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
