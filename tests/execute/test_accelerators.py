"""Jobs that train on an accelerator: the same as on the processor, and told as such."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpointed import long_job

from archsearch.errors import InputError, StateError
from archsearch.execute.device import device_for, names, room
from archsearch.execute.environment import VISIBLE
from archsearch.execute.local import LocalBackend
from archsearch.execute.open import open_backend
from archsearch.execute.run_job import run_job
from archsearch.spec.settings import ExecutionSettings, Needs
from archsearch.spec.trial import State
from archsearch.study.plan import refuse_difference

PARTS = 256


def answered(*arguments: object) -> dict[str, object]:
    """What a process says that has an accelerator, which changes torch for all that is in it."""
    script = Path(__file__).with_name("accelerated_jobs.py")
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_same_training_there_as_here(tmp_path):
    found = answered(tmp_path)
    here, there = found["here"], found["there"]
    assert here["state"] == there["state"] == "complete"
    assert here["metrics"].keys() == there["metrics"].keys()
    for name, value in here["metrics"].items():
        assert math.isclose(there["metrics"][name], value, rel_tol=1e-4), name
    assert [step for step, _ in here["curve"]] == [step for step, _ in there["curve"]]
    seconds = there["timings"]["seconds"]
    assert there["timings"]["gpu_seconds"] == pytest.approx(0.5 * seconds)
    assert "gpu_seconds" not in here["timings"]
    # taken up where it was lost, to the last bit of weights and curve
    assert found["resumed"]["alike"]
    assert found["resumed"]["steps"] == [5, 6]
    assert found["confirmed"]["state"] == "complete"


@pytest.mark.sampled(every=16)
@pytest.mark.parametrize("part", range(0, PARTS, 16))
def test_every_kind_of_layer_trains_there(part, tmp_path):
    found = answered(tmp_path, part, PARTS)
    complete = found.pop("complete")
    assert not found
    assert complete


def test_without_one_nothing_is_begun():
    if torch.cuda.is_available():
        pytest.skip("there is an accelerator")
    settings = ExecutionSettings(cells=(("gru", Needs(gpus=0.5)),))
    for backend in ("local", "inline"):
        with pytest.raises(InputError, match=r"execution\.gpus: torch sees no accelerator here"):
            open_backend(replace(settings, backend=backend))
    with pytest.raises(InputError, match="torch sees no accelerator"):
        device_for(1.0)


def test_a_job_of_a_node_that_has_none_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is an accelerator")
    outcome = run_job(long_job(tmp_path, gpus=1.0))
    assert outcome.state is State.INVALID
    assert "leave 'gpus' out and train on the processor" in outcome.message


@pytest.mark.parametrize(
    ("devices", "share", "jobs"), [(1, 0.25, 4), (2, 0.3, 6), (2, 1, 2), (4, 3, 1), (1, 2, 0)]
)
def test_as_many_jobs_at_once_as_have_room(devices, share, jobs):
    assert room(devices, share) == jobs


def test_as_many_workers_as_the_accelerators_have_room_for(monkeypatch):
    begun = {}

    class Backend:
        def __init__(self, workers, devices):
            begun.update(workers=workers, devices=devices)

    monkeypatch.setattr("archsearch.execute.open.LocalBackend", Backend)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv(VISIBLE, "GPU-a, GPU-b")
    assert names() == ["GPU-a", "GPU-b"]
    open_backend(ExecutionSettings(workers=16, gpus=0.5))
    assert begun == {"workers": 4, "devices": ["GPU-a", "GPU-b"]}
    monkeypatch.delenv(VISIBLE)
    open_backend(ExecutionSettings(workers=1, gpus=0.5))
    assert begun == {"workers": 1, "devices": ["0", "1"]}
    with pytest.raises(InputError, match=r"execution\.gpus: 3 asked for a trial, here are 2"):
        open_backend(ExecutionSettings(gpus=3))


def test_a_study_remembers_what_trains_there():
    some = ExecutionSettings(cells=(("gru", Needs(gpus=0.5)), ("lstm", Needs(cpus=2.0))))
    assert some.accelerated == ["gru"]
    assert replace(some, gpus=0.1).accelerated == ["*"]
    begun = {"plugins": {}}
    asked = begun | {"accelerated": some.accelerated}
    with pytest.raises(StateError, match="begun with accelerated"):
        refuse_difference("s", begun, asked)
    with pytest.raises(StateError, match="begun with accelerated"):
        refuse_difference("s", asked, begun)


def test_workers_take_turns_at_the_accelerators(tmp_path):
    with LocalBackend(3, "accelerated:seen", devices=("7", "GPU-b")) as backend:
        for number in range(3):
            backend.submit(replace(long_job(tmp_path, gpus=0.5), trial=number))
        found = []
        while len(found) < 3:
            found += [outcome.message for _, outcome in backend.collect()]
    assert sorted(found) == ["7", "7", "GPU-b"]


def test_the_dead_are_charged_for_what_they_held(tmp_path):
    with LocalBackend(1, "accelerated:die") as backend:
        backend.submit(long_job(tmp_path, gpus=0.5))
        [(_, outcome)] = backend.collect()
    timings = dict(outcome.timings)
    assert outcome.lost
    assert timings["gpu_seconds"] == pytest.approx(0.5 * timings["seconds"])
