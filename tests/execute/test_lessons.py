"""What a shrinking has finished is not done again, and whom a child learned from is told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from archsearch.build import build
from archsearch.errors import InputError
from archsearch.execute import lessons as teaching
from archsearch.execute.lessons import Beginning, Lesson, Lessons, Parent
from archsearch.execute.shrink import Child, best, children, quality_of
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import Objective, TaskSpec
from archsearch.tasks.open import open_task

CATALOG = load_catalog()
TASK = TaskSpec("parity", Layer.of("parity", length=6, validation_size=64, test_size=64))
ACCURACY, ERROR = Objective("accuracy", "max"), Objective("mse", "min")


def parent() -> Parent:
    given = Architecture(
        8, (Stage((Block(Layer("gru")),) * 2),), training=Layer.of("adamw", steps=8, batch=8)
    )
    architecture = CATALOG.complete_architecture(given)
    task = open_task(TASK)
    model = build(architecture, CATALOG, task.signature, 0)
    params = sum(p.numel() for p in model.parameters())
    return Parent(
        model, architecture, TASK, task.fingerprint, task.signature, ACCURACY, params, 0.5, "ab"
    )


def test_what_is_finished_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons = Lessons(parent(), tmp_path, 0)
    some = children(lessons.parent, CATALOG, 2, 0.6, 0)
    assert len({child.architecture.digest for child in some}) == 2
    assert all(child.params <= 0.6 * lessons.parent.params for child in some)
    told: list[Child] = []
    first = best(lessons, some, 8, told.append)
    assert first == max(told, key=lambda child: child.reward)
    saved = 1 - first.params / lessons.parent.params
    assert first.value is not None
    assert first.reward == pytest.approx(saved * (2 - saved) * first.value / 0.5)
    done, kept = lessons.on_test(first.architecture, 8, "taught")
    data = kept.read_bytes()

    def never(*given: object) -> None:
        raise AssertionError(f"done again: {given}")

    with monkeypatch.context() as patch:
        patch.setattr(teaching, "run_job", never)
        assert best(lessons, some, 8, told.append) == first
        assert lessons.on_test(first.architecture, 8, "taught")[0] == done
    # without the file of weights it is done again, to the same bits
    kept.unlink()
    again, _ = lessons.on_test(first.architecture, 8, "taught")
    assert (again.metrics, kept.read_bytes()) == (done.metrics, data)
    # half a file counts for nothing, since it has another name until it is whole
    assert all(json.loads(path.read_text()) for path in tmp_path.glob("*.json"))


def test_the_teacher_is_a_part_of_what_is_computed() -> None:
    own = parent()
    plain = Lesson(
        trial=0, title="", task=TASK, data=own.data, architecture=own.architecture, seed=1
    )
    keys = [replace(plain, teacher=teacher).key for teacher in ("", "ab", "cd")]
    assert len(set(keys)) == 3
    assert replace(plain, teacher="ab").key == keys[1]
    assert replace(plain, teacher="ab", seed=2).key != keys[1]
    assert replace(plain, teacher="ab", begun="x").key not in keys


def test_a_lesson_may_begin_with_given_weights(tmp_path: Path) -> None:
    own = parent()
    seen: list[float] = []

    def zeroed(model: nn.Module) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        seen.append(1.0)

    lessons = Lessons(own, tmp_path, 0)
    zero = Beginning("zeros", zeroed)
    # of a network of zeros only the last bias has a gradient
    begun, kept = lessons.on_test(own.architecture, 1, "zeros", begin=zero)
    _, other = lessons.on_test(own.architecture, 1, "drawn")
    assert seen == [1.0]
    assert begun.state.has_value
    weights, strange = load_file(kept), load_file(other)
    moved = [name for name, value in weights.items() if value.any()]
    assert moved == [name for name in weights if name.endswith("bias") and "head" in name]
    assert any(value.any() for name, value in strange.items() if name not in moved)
    # and it is not done again
    lessons.on_test(own.architecture, 1, "zeros", begin=zero)
    assert seen == [1.0]


def test_qualities_are_over_the_parents() -> None:
    assert quality_of(0.45, 0.9, ACCURACY) == pytest.approx(0.5)
    assert quality_of(0.2, 0.1, ERROR) == pytest.approx(0.5)
    assert quality_of(-3.0, 0.9, ACCURACY) == 0.0


def test_a_parent_that_cannot_be_smaller_is_told_of() -> None:
    with pytest.raises(InputError, match="smaller networks has at most"):
        children(parent(), CATALOG, 2, 0.01, 0)
