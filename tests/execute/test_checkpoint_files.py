"""Which files of a study's checkpoints go, which stay, and what is in them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpointed import (
    long_job,
    names,
    place,
    result,
)
from safetensors.torch import load, load_file

from archsearch.execute import saver
from archsearch.execute.checkpoints import (
    collect_garbage,
    discard,
    generations,
)
from archsearch.execute.files import written_whole
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.execute.weights import read_tensors, write_tensors

torch.set_num_threads(1)


# --- what is removed


def test_a_job_that_has_its_outcome_leaves_nothing(lost: Job) -> None:
    discard(Path(str(lost.checkpoints)), lost.key)
    assert names(Path(str(lost.checkpoints))) == set()
    discard(Path(str(lost.checkpoints)), lost.key)


def test_only_garbage_is_collected(lost: Job, tmp_path: Path) -> None:
    folder = Path(str(lost.checkpoints))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(place(lost), elsewhere)
    shutil.copytree(place(lost), folder / ("0" * 16))
    shutil.copytree(place(lost), folder / "a folder of someone else")
    (folder / ("1" * 16)).symlink_to(elsewhere)
    (folder / "note.txt").write_text("mine")
    (folder / ("2" * 16)).mkdir()
    (folder / ("2" * 16) / "note.txt").write_text("mine")
    (folder / ("2" * 16) / "1-2.json").write_text("{}")
    (place(lost) / ".1-8.safetensors.12.34.tmp").write_bytes(b"half")
    (place(lost) / "1-8.safetensors").write_bytes(b"half")
    kept = names(elsewhere)
    collect_garbage(folder, {lost.key})
    assert names(folder) == {lost.key, "1" * 16, "2" * 16, "a folder of someone else", "note.txt"}
    assert names(place(lost)) == kept
    assert names(elsewhere) == kept
    assert names(folder / "a folder of someone else") == kept
    assert names(folder / ("2" * 16)) == {"note.txt"}


def test_there_need_be_no_folder(tmp_path: Path) -> None:
    collect_garbage(tmp_path / "none", set())
    discard(tmp_path / "none", "0" * 16)
    assert generations(tmp_path / "none") == []


# --- the file of tensors


def test_any_tensor_is_written_as_the_library_reads_it(tmp_path: Path) -> None:
    tensors = {
        "matrix": torch.randn(3, 5).T,
        "flags": torch.tensor([True, False, True]),
        "one": torch.tensor(2.5),
        "none": torch.zeros(0, 4),
        "half": torch.randn(3).bfloat16(),
        "wave": torch.randn(2, 2, dtype=torch.complex64),
        "count": torch.tensor([1 << 40]),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "part": torch.randn(10)[::2],
        "grad": torch.randn(2, requires_grad=True),
    }
    path = tmp_path / "all.safetensors"
    with written_whole(path) as stream:
        size, seal = write_tensors(stream, tensors)
    assert path.stat().st_size == size
    for found in (load_file(path), read_tensors(path, size, seal), load(path.read_bytes())):
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)


@pytest.mark.parametrize(
    "tensors",
    [
        {"../x": torch.zeros(1)},
        {"": torch.zeros(1)},
        {"x": torch.zeros(1, dtype=torch.complex128)},
        {f"{k:06}{'x' * 200}": torch.zeros(0) for k in range(6000)},
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(ValueError, match="stored"), written_whole(path) as stream:
        write_tensors(stream, tensors)
    assert names(tmp_path) == set()


def test_a_name_that_cannot_be_stored_ends_no_training(
    reference: tuple[object, ...], tmp_path: Path
) -> None:
    strange = {"model.a-b": torch.zeros(1)}
    job = long_job(tmp_path, keep=None)
    original = saver.write_tensors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            saver, "write_tensors", lambda stream, own: original(stream, {**own, **strange})
        )
        outcome = run_job(job)
    assert result(outcome)[:3] == reference[:3]
    assert "model.a-b of type float32 cannot be stored" in outcome.message


def test_where_checkpoints_lie_is_no_part_of_what_is_computed(tmp_path: Path) -> None:
    job = long_job(tmp_path)
    assert replace(job, checkpoints=None, checkpoint_seconds=1.0, epoch=5).key == job.key
