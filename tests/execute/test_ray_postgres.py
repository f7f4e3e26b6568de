"""A study on a cluster of two nodes whose database is a server, as it is where many look at it.

Needs a server: ``bash tests/postgres.sh python -m pytest -q tests/execute/test_ray_postgres.py``.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ray_nodes import RayNodes
from ray_study import attempts, begin, run, told, write_space
from sqlalchemy import create_engine, make_url, text

from archsearch.testing.backends import gone

SERVER = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
pytestmark = pytest.mark.skipif(not SERVER, reason="no PostgreSQL server: run tests/postgres.sh")
TRIALS, STEPS = 5, 60


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database."""
    name = f"ray_{uuid.uuid4().hex[:12]}"
    server = create_engine(str(SERVER), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(str(SERVER)).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


def test_it_is_the_study_that_one_machine_has_in_a_file_though_its_driver_is_killed(
    nodes: RayNodes, database: str, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        write_space(folder, TRIALS, steps=STEPS, confirm=False)
    run(here, "--backend", "local")
    on = ("--backend", "ray", "--address", nodes.address, "--storage", database)
    process = begin(there, *on, variables=nodes.variables)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[2/"):
            break
    started = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    started += nodes.actors()
    process.kill()
    process.communicate()
    assert gone(started, within=15)
    run(there, *on, variables=nodes.variables)
    assert not (there / "archsearch.db").exists()
    assert told(there, database) == told(here)
    ends = [(phase, index) for phase, index, end in attempts(there, database) if end == "complete"]
    ends += [(phase, index) for phase, index, end in attempts(there, database) if end == "stopped"]
    assert len(ends) == len(set(ends)) == TRIALS
    # at most one for each worker was lost
    assert len(attempts(there, database)) <= TRIALS + 2
