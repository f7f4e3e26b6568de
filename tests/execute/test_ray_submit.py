"""``archsearch submit`` against the dashboard of a real head node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from ray_head import RayHead, short_folder
from ray_study import attempts, run, told, write_space

from archsearch.execute.cluster.token import make_safe

pytestmark = pytest.mark.skipif(
    not (find_spec("ray") and find_spec("aiohttp")), reason="no ray[default] is installed"
)

DATA = "a,b,kind\n" + "".join(f"{k % 7},{k % 5},{'xy'[k % 7 < 3]}\n" for k in range(80))


@pytest.fixture(scope="module")
def head(token: Path) -> Iterator[RayHead]:
    with short_folder() as folder, RayHead(folder, token) as head:
        yield head


def begun(
    folder: Path, head: RayHead, token: Path, *options: str, space: str = "same.yaml"
) -> subprocess.Popen[str]:
    """The command; its study lies in ``folder/there``."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "archsearch", "submit", space, "--address", head.url),
            *("--python", sys.executable, "--folder", str(folder / "there"), *options),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RAY_AUTH_TOKEN_PATH": str(token)},
    )


def submit(
    folder: Path, head: RayHead, token: Path, *options: str, code: int = 0, space: str = "same.yaml"
) -> tuple[str, str]:
    """What it printed, and what it said of itself."""
    process = begun(folder, head, token, *options, space=space)
    printed, said = process.communicate(timeout=240)
    assert process.returncode == code, printed + said
    return printed, said


def test_a_submitted_study_is_the_same_study_and_is_continued(
    head: RayHead, token: Path, tmp_path: Path
) -> None:
    write_space(tmp_path, trials=3, steps=20, confirm=False)
    run(tmp_path, "--backend", "inline")
    printed, said = submit(tmp_path, head, token)
    job, _, log = printed.partition("\n")
    assert f"ray job logs --address {head.url} --follow {job}" in said
    assert "[3/3]" in log
    there = tmp_path / "there"
    assert told(there) == told(tmp_path)
    # again, with more to do: what is done stays as it is
    again, _ = submit(tmp_path, head, token, "--set", "search.trials=4")
    assert "[4/4]" in again
    assert "[3/4]" not in again
    assert told(there)[:3] == told(tmp_path)
    assert len(attempts(there)) == 4


@pytest.mark.faults
def test_data_is_sent_and_what_was_begun_with_other_data_is_refused(
    head: RayHead, token: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text(DATA)
    space = write_space(tmp_path, trials=2, steps=10, confirm=False)
    space.write_text(
        space.read_text().replace(
            "task: {name: parity, length: 16}", "task: {name: classification, data: train.csv}"
        )
    )
    submit(tmp_path, head, token)
    (held,) = (tmp_path / "there" / "data").glob("*/train.csv")
    assert held.read_text() == DATA
    submit(tmp_path, head, token)
    assert len(attempts(tmp_path / "there")) == 2
    (tmp_path / "train.csv").write_text(DATA + "1,1,x\n")
    printed, _ = submit(tmp_path, head, token, code=3)
    assert "was begun with" in printed.splitlines()[-1]
    assert len(attempts(tmp_path / "there")) == 2


@pytest.mark.faults
def test_a_study_that_runs_is_refused_and_one_that_was_stopped_goes_on(
    head: RayHead, token: Path, tmp_path: Path
) -> None:
    write_space(tmp_path, trials=4, steps=400, confirm=False)
    first, _ = submit(tmp_path, head, token, "--no-wait")
    deadline = time.monotonic() + 60
    while not (tmp_path / "there" / "archsearch.db").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(3)
    printed, _ = submit(tmp_path, head, token, code=4)
    assert "same" in printed.splitlines()[-1]
    stop = [sys.executable, "-m", "ray.scripts.scripts", "job", "stop"]
    subprocess.run(
        [*stop, "--address", head.url, first.strip()],
        env=os.environ | {"RAY_AUTH_TOKEN_PATH": str(token), "RAY_AUTH_MODE": "token"},
        check=True,
        capture_output=True,
    )
    submit(tmp_path, head, token)
    here = tmp_path / "here"
    here.mkdir()
    write_space(here, trials=4, steps=400, confirm=False)
    run(here, "--backend", "inline")
    assert told(tmp_path / "there") == told(here)


@pytest.mark.faults
def test_who_does_not_wait_any_longer_leaves_the_job_alone(
    head: RayHead, token: Path, tmp_path: Path
) -> None:
    write_space(tmp_path, trials=3, steps=100, confirm=False)
    process = begun(tmp_path, head, token)
    assert process.stdout is not None
    job = process.stdout.readline().strip()
    while "[1/3]" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 75
    assert said.splitlines()[-1] == f"error: not waiting any longer; the job '{job}' goes on"
    deadline = time.monotonic() + 120
    while len(told(tmp_path / "there")) < 3 or not all(r[4] for r in told(tmp_path / "there")):
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--address", "http://127.0.0.1:9"), 75, "does not answer"),
        (("--address", "ray://127.0.0.1:10001"), 2, "--address: expected http://HOST:8265"),
        (("--storage", "postgresql://me:secret@db/x"), 2, "~/.pgpass"),
        (("--folder", "here"), 2, "--folder: expected a path"),
        (("--set", "search.trials=none"), 2, "search.trials"),
        (("--python", "no-such-python"), 127, ""),
    ],
)
def test_faults_are_one_line(
    options: tuple[str, ...], code: int, words: str, head: RayHead, token: Path, tmp_path: Path
) -> None:
    write_space(tmp_path, trials=1, steps=2, confirm=False)
    printed, said = submit(tmp_path, head, token, *options, code=code)
    if words:
        assert printed == ""
        assert said.count("\n") == 1, said
        assert words in said
        assert "secret" not in said


@pytest.mark.faults
def test_another_token_is_refused(head: RayHead, tmp_path: Path) -> None:
    write_space(tmp_path, trials=1, steps=2, confirm=False)
    other = tmp_path / "other"
    make_safe({"RAY_AUTH_TOKEN_PATH": str(other)}, create=True)
    _, said = submit(tmp_path, head, other, code=2)
    assert "does not accept our token" in said
    assert said.count("\n") == 1, said


@pytest.mark.faults
def test_a_cluster_that_lets_everybody_in_is_refused(token: Path, tmp_path: Path) -> None:
    write_space(tmp_path, trials=1, steps=2, confirm=False)
    with short_folder() as folder, RayHead(folder, None, cpus=1) as head:
        _, said = submit(tmp_path, head, token, code=2)
    assert "answers without a token" in said
    assert said.count("\n") == 1, said
