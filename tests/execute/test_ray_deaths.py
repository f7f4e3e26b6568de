"""A study against the death of parts of its cluster: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from ray_nodes import RayNodes
from ray_study import attempts, begin, run, told, write_space

from archsearch.testing.backends import gone

pytestmark = pytest.mark.faults

TRIALS, STEPS = 7, 90
MOMENTS = (1, 2, 4)
# what runs goes on without the GCS: so long that its loss is seen before the study is done
LONG = 6 * STEPS


@pytest.fixture(scope="module")
def undisturbed_study(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("undisturbed-study")
    write_space(folder, TRIALS, steps=STEPS, confirm=False)
    run(folder, "--backend", "local")
    return list(told(folder))


@pytest.fixture(scope="module")
def undisturbed_long_study(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("undisturbed-long-study")
    write_space(folder, TRIALS, steps=LONG, confirm=False)
    run(folder, "--backend", "local")
    return list(told(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_space(tmp_path, TRIALS, steps=STEPS, confirm=False)
    return tmp_path


def on(nodes: RayNodes) -> tuple[str, ...]:
    return ("--backend", "ray", "--address", nodes.address)


def after(process: subprocess.Popen[str], finished: int) -> None:
    """Wait until so many trials are done."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"[{finished}/"):
            # not always at the same moment of the next trial
            time.sleep(0.1 * finished)
            return
    pytest.fail("the run ended before")


def ended(process: subprocess.Popen[str], code: int) -> str:
    said = process.communicate(timeout=300)[1]
    assert process.returncode == code, said
    return said


def holds(folder: Path, expected: list[object], most_lost: int) -> None:
    """The same trials, each with one outcome; what was lost was begun once more, no more."""
    assert told(folder) == expected
    finished = [(phase, index) for phase, index, reason in attempts(folder) if reason in STATES]
    assert len(finished) == len(set(finished)) == len(expected)
    assert len(attempts(folder)) - len(expected) <= most_lost


STATES = ("complete", "stopped")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_raylet_is_killed(
    moment: int, token: Path, folder: Path, undisturbed_study: list[object]
) -> None:
    with RayNodes(token) as nodes:
        process = begin(folder, *on(nodes), variables=nodes.variables)
        after(process, moment)
        nodes.kill("raylet")
        ended(process, 0)
    holds(folder, undisturbed_study, most_lost=2)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_is_killed(
    moment: int, nodes: RayNodes, folder: Path, undisturbed_study: list[object]
) -> None:
    process = begin(folder, *on(nodes), variables=nodes.variables)
    after(process, moment)
    os.kill(nodes.actors()[0], signal.SIGKILL)
    ended(process, 0)
    holds(folder, undisturbed_study, most_lost=1)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_gcs_is_killed_and_the_study_goes_on_without_a_cluster(
    moment: int, token: Path, folder: Path, undisturbed_long_study: list[object]
) -> None:
    write_space(folder, TRIALS, steps=LONG, confirm=False)
    with RayNodes(token) as nodes:
        process = begin(folder, *on(nodes), variables=nodes.variables)
        after(process, moment)
        nodes.kill("gcs")
        said = ended(process, 75)
    assert "the Ray cluster" in said.splitlines()[-1]
    assert "--backend local" in said.splitlines()[-1]
    run(folder, "--backend", "local")
    holds(folder, undisturbed_long_study, most_lost=2)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_driver_is_killed(
    moment: int, nodes: RayNodes, folder: Path, undisturbed_study: list[object]
) -> None:
    process = begin(folder, *on(nodes), variables=nodes.variables)
    after(process, moment)
    started = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    started += nodes.actors()
    process.kill()
    process.communicate()
    assert gone(started, within=15)
    # the lease of the dead driver is still its own, unless it is seen to be dead
    run(folder, *on(nodes), variables=nodes.variables)
    holds(folder, undisturbed_study, most_lost=2)
