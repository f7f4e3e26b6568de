"""A training goes on from its last whole checkpoint, whatever happened to the newest."""

from __future__ import annotations

import os
import random
import shutil
import struct
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from checkpointed import (
    STEPS,
    interrupted,
    latest,
    long_job,
    names,
    place,
    result,
    resume,
    undisturbed,
)

from archsearch.errors import StateError
from archsearch.execute.checkpoints import (
    Generation,
    generations,
    read_manifest,
    write_manifest,
)
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.execute.weights import read_tensors
from archsearch.spec.trial import Limit, State

torch.set_num_threads(1)


# --- going on


@pytest.mark.parametrize("after", [1, 4, 6, STEPS])
def test_a_lost_training_goes_on(after: int, reference: tuple[object, ...], tmp_path: Path) -> None:
    job = long_job(tmp_path)
    interrupted(job, after)
    found, message, seen = resume(replace(job, epoch=2))
    assert found == reference
    assert message == f"continued after step {after}"
    assert seen == list(range(after + 1, STEPS + 1))


def test_it_may_be_lost_again_and_again(reference: tuple[object, ...], tmp_path: Path) -> None:
    job = long_job(tmp_path)
    for attempt, after in enumerate((2, 5, 9), start=1):
        interrupted(replace(job, epoch=attempt), after)
    found, _, seen = resume(replace(job, epoch=4))
    assert found == reference
    assert seen == [10, 11, 12]


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    run_job(long_job(tmp_path, checkpoints=None, keep=None))
    assert names(tmp_path) == set()


def test_nothing_is_written_before_it_is_due(reference: tuple[object, ...], tmp_path: Path) -> None:
    job = long_job(tmp_path, checkpoint_seconds=3600.0)
    outcome = run_job(job)
    assert (result(outcome), outcome.message) == (reference, "")
    assert not place(job).exists()


def test_a_confirmation_goes_on_as_well(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path, protocol="confirm")
    job = long_job(tmp_path, protocol="confirm")
    interrupted(job, after=8)
    assert resume(job)[0] == expected


def test_two_generations_stay(lost: Job) -> None:
    assert generations(place(lost)) == [Generation(1, 7), Generation(1, 6)]
    assert names(place(lost)) == {
        "1-7.safetensors", "1-7.json", "1-6.safetensors", "1-6.json"
    }  # fmt: skip


def test_the_stopped_stay_stopped(tmp_path: Path) -> None:
    """A limit that was kept before the loss is not asked again, and the next one is."""
    limits = (Limit(3, ((0.0,),)), Limit(9, ((-1.5,),)))
    job = long_job(tmp_path, limits=limits, keep=None)
    expected = run_job(replace(job, checkpoints=None))
    assert expected.state is State.STOPPED
    interrupted(job, after=7)
    outcome = run_job(job)
    assert (outcome.state, outcome.curve) == (State.STOPPED, expected.curve)
    assert outcome.message.startswith(expected.message)


# --- damage


def damages(size: int, count: int, seed: int) -> list[tuple[str, int]]:
    """Places at which a file is cut or one of its bits is turned."""
    rng = random.Random(seed)
    places = [0, 1, 7, 8, 9, size - 1, *(rng.randrange(size) for _ in range(count - 6))]
    return [(rng.choice(["cut", "turn"]), place) for place in places]


def harm(path: Path, kind: str, offset: int) -> None:
    data = bytearray(path.read_bytes())
    if kind == "cut":
        del data[offset:]
    else:
        data[offset] ^= 1 << (offset % 8)
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_a_torn_newest_one_gives_way_to_the_one_before(suffix: str, lost: Job) -> None:
    """Fifty places in each of its files: never an error, never anything but what was saved."""
    newest = latest(lost)
    shutil.copytree(place(lost), place(lost).with_name("whole"))
    for file in place(lost).glob("1-7.*"):
        file.unlink()
    before = latest(lost)
    assert newest is not None
    assert before is not None
    assert (newest[0], before[0]) == (7, 6)
    whole = place(lost).with_name("whole") / f"1-7.{suffix}"
    for kind, offset in damages(whole.stat().st_size, 50, seed=len(suffix)):
        shutil.rmtree(place(lost))
        shutil.copytree(whole.parent, place(lost))
        harm(place(lost) / whole.name, kind, offset)
        assert latest(lost) == before, f"{kind} at {offset} of {whole.name}"
        # what is damaged is not kept for a good one
        assert generations(place(lost)) == [Generation(1, 6)]


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
@pytest.mark.parametrize("kind", ["cut", "turn", "gone"])
def test_the_outcome_is_the_same_after_damage(
    suffix: str, kind: str, lost: Job, reference: tuple[object, ...]
) -> None:
    path = place(lost) / f"1-7.{suffix}"
    if kind == "gone":
        path.unlink()
    else:
        harm(path, kind, path.stat().st_size // 2)
    found, message, seen = resume(replace(lost, epoch=2))
    assert found == reference
    assert seen[0] == 7
    named = "" if (suffix, kind) == ("json", "gone") else "checkpoint 1-7 is damaged; "
    assert message == f"{named}continued after step 6"


def test_two_bad_ones_begin_anew(lost: Job, reference: tuple[object, ...]) -> None:
    for path in place(lost).glob("*.safetensors"):
        harm(path, "cut", 100)
    found, message, seen = resume(replace(lost, epoch=2))
    assert found == reference
    assert seen == list(range(1, STEPS + 1))
    assert message == "checkpoint 1-7 is damaged; checkpoint 1-6 is damaged; begun anew"
    assert generations(place(lost)) == [Generation(2, 12), Generation(2, 11)]


@pytest.mark.parametrize("what", ["folder", "link", "pipe"])
def test_what_is_no_file(what: str, lost: Job) -> None:
    path = place(lost) / "1-7.safetensors"
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    found = latest(lost)
    assert found is not None
    assert found[0] == 6


def test_a_manifest_of_another_job_or_step(lost: Job) -> None:
    """Whole files under a false name are refused by what they say of themselves."""
    folder = place(lost)
    for suffix in ("json", "safetensors"):
        shutil.copy(folder / f"1-7.{suffix}", folder / f"1-9.{suffix}")
    found = latest(lost)
    assert found is not None
    assert found[0] == 7
    other = replace(lost, seed=8)
    shutil.copytree(folder, place(other))
    assert latest(other) is None


@pytest.mark.parametrize("length", [1 << 40, (1 << 20) + 8])
def test_a_header_that_is_too_large_is_not_read(length: int, lost: Job) -> None:
    """Also when its checksum fits."""
    data = struct.pack("<Q", length) + b"{" + b" " * (1 << 20) + b"      }"
    folder = place(lost)
    (folder / "1-8.safetensors").write_bytes(data)
    good = read_manifest(folder, Generation(1, 7))
    seal = sha256(data).hexdigest()
    write_manifest(folder, replace(good, generation=Generation(1, 8), size=len(data), sha256=seal))
    with pytest.raises(StateError, match="header of at most 1048576 bytes"):
        read_tensors(folder / "1-8.safetensors", len(data), seal)
    found = latest(lost)
    assert found is not None
    assert found[0] == 7
