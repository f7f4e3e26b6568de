"""The metrics that a task declares are those that it can report."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module

import pytest

from archsearch.spec.architecture import Layer
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.declared import TASKS
from archsearch.tasks.open import open_task

GENERATED = [task for task in TASKS if "data" not in task.options]
FROM_FILES = [task for task in TASKS if "data" in task.options]


@pytest.mark.parametrize("declared", GENERATED, ids=lambda task: task.name)
def test_a_generated_task_reports_what_it_declares(declared) -> None:
    small = {"validation_size": 4, "test_size": 4}
    if "test_length" in declared.options:
        small["test_length"] = 80
    if "train_size" in declared.options:
        small["train_size"] = 16
    task = open_task(TaskSpec("small", Layer.of(declared.name, **small)))
    assert {metric.metric for metric in task.metrics} == set(declared.metrics)


@pytest.mark.parametrize("declared", FROM_FILES, ids=lambda task: task.name)
def test_a_task_on_files_reports_what_it_declares(declared) -> None:
    module, _, name = str(declared.target).partition(":")
    kinds = getattr(import_module(module), name).__mro__
    # what a class does not say itself it has from the first one that does
    assert next(filter(None, map(named, kinds))) == declared.metrics


def named(kind: type) -> tuple[str, ...]:
    """The metrics that the source of a class calls by name."""
    if not kind.__module__.startswith("archsearch."):
        return ()
    return tuple(
        node.args[0].value
        for node in ast.walk(ast.parse(inspect.getsource(kind)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Objective"
        and isinstance(node.args[0], ast.Constant)
    )
