"""Checkpoints of another place or attempt, a disk that is full, a process that is killed."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import struct
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpointed import (
    interrupted,
    long_job,
    names,
    place,
    result,
    resume,
)

from archsearch.execute import files, saver
from archsearch.execute.checkpoints import (
    Generation,
    Manifest,
    collect_garbage,
    generations,
    read_manifest,
    write_manifest,
)
from archsearch.execute.files import written_whole
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.execute.saver import Saver
from archsearch.execute.weights import write_tensors
from archsearch.train.draws import CPU

torch.set_num_threads(1)


# --- another place, another attempt, another training


def test_another_processor_begins_anew(
    lost: Job, reference: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = saver.numerics(CPU)
    monkeypatch.setattr(saver, "numerics", lambda device: here | {"instructions": "AVX1024"})
    found, message, seen = resume(replace(lost, epoch=2))
    assert found == reference
    assert seen[0] == 1
    said = f"was made with instructions {here['instructions']}, here it is AVX1024"
    assert message == f"checkpoint 1-7 {said}; checkpoint 1-6 {said}; begun anew"


def test_threads_are_part_of_the_place() -> None:
    try:
        torch.set_num_threads(2)
        two = saver.numerics(CPU)
    finally:
        torch.set_num_threads(1)
    one = saver.numerics(CPU)
    assert {name for name in one if one[name] != two[name]} == {"threads"}


def test_a_worker_that_was_given_up_changes_nothing(
    lost: Job, reference: tuple[object, ...]
) -> None:
    """Paused under its attempt, woken under the next: it ends as it would, and writes nothing."""
    interrupted(replace(lost, epoch=2), after=9)
    before = {path.name: path.read_bytes() for path in place(lost).iterdir()}
    assert generations(place(lost)) == [Generation(2, 9), Generation(2, 8)]
    shutil.copytree(place(lost), place(lost).with_name("later"))
    late = replace(lost, epoch=1)
    found, message, _ = resume(late)
    assert found == reference
    assert "a later attempt at this trial has begun" in message
    assert {path.name: path.read_bytes() for path in place(lost).iterdir()} == before


def test_a_checkpoint_of_another_training(
    lost: Job, reference: tuple[object, ...], tmp_path: Path
) -> None:
    """Sealed as it must be, under the right key, but the tensors are of another architecture."""
    wide = replace(lost.architecture, width=16)
    other = replace(lost, architecture=wide, checkpoints=str(tmp_path / "other"))
    interrupted(other, after=3)
    manifest = read_manifest(place(other), Generation(1, 3))
    shutil.copy(place(other) / "1-3.safetensors", place(lost) / "2-3.safetensors")
    write_manifest(place(lost), replace(manifest, key=lost.key, generation=Generation(2, 3)))
    found, message, seen = resume(replace(lost, epoch=3))
    assert found == reference
    assert "begun anew, since the checkpoint's tensor" in message
    assert seen[0] == 1


# --- a disk that fails


@pytest.mark.parametrize("failing", ["write", "fsync", "replace", "mkdir"])
def test_a_full_disk_ends_no_training(
    failing: str, reference: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    job = long_job(tmp_path, keep=None)

    def fails(*_: object, **__: object) -> None:
        raise full

    with monkeypatch.context() as patch:
        if failing == "write":
            patch.setattr(saver, "write_tensors", fails)
        elif failing == "fsync":
            patch.setattr(files.os, "fsync", fails)
        else:
            patch.setattr(Path, failing, fails)
        outcome = run_job(job)
    assert result(outcome)[:3] == reference[:3]
    assert outcome.message == "a checkpoint could not be written: No space left on device"
    assert not place(job).exists() or names(place(job)) == set()


def test_a_disk_that_is_full_for_a_while(
    lost: Job, reference: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before stays; what comes after is written again."""
    original, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if 2 < len(calls) < 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    found, message, _ = resume(replace(lost, epoch=2))
    assert found == reference
    assert message.count("No space left") == 1
    assert generations(place(lost)) == [Generation(2, 12), Generation(2, 11)]
    assert len(names(place(lost))) == 4


def test_killed_while_saving(tmp_path: Path) -> None:
    """Thirty kills at any moment: the last one acknowledged or a later one, and whole."""
    rng = random.Random(0)
    job = long_job(tmp_path)
    folder = place(job)
    made = saver.numerics(CPU)
    for attempt in range(1, 31):
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            # the child takes no lock that a thread of ours may hold
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            for step in range(1, 10_000):
                generation = Generation(attempt, step)
                with written_whole(generation.tensors(folder)) as stream:
                    size, seal = write_tensors(stream, {"x": torch.full((5_000,), float(step))})
                write_manifest(
                    folder, Manifest(job.key, generation, size, seal, made, {"step": step})
                )
                os.write(writer, struct.pack("<I", step))
            os._exit(0)
        os.close(writer)
        os.read(reader, 4)
        time.sleep(rng.random() * 0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        said = os.read(reader, 1 << 16)
        os.close(reader)
        acknowledged = max([1, *(step for (step,) in struct.iter_unpack("<I", said))])
        notes: list[str] = []
        found = Saver(replace(job, epoch=attempt), notes).latest()
        assert found is not None
        assert found.step in (acknowledged, acknowledged + 1)
        assert found.plain == {"step": found.step}
        assert torch.equal(found.tensors["x"], torch.full((5_000,), float(found.step)))
        assert notes == [f"continued after step {found.step}"]
    collect_garbage(folder.parent, {job.key})
    assert len(names(folder)) == 4
