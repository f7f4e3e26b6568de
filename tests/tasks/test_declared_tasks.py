"""Declarations of tasks: documented, buildable from their defaults, and free of heavy imports."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from archsearch.errors import DataError, SpaceError
from archsearch.spec.architecture import Layer
from archsearch.tasks.declared import TASKS
from archsearch.tasks.task import Task

GENERATED = [task.name for task in TASKS if "data" not in task.options]


@pytest.mark.parametrize("declaration", TASKS, ids=lambda declaration: declaration.name)
def test_a_declaration_is_documented_and_names_its_class(declaration):
    module, _, attribute = declaration.target.partition(":")
    built = getattr(import_module(module), attribute)
    assert issubclass(built, Task)
    assert built.name == declaration.name
    assert declaration.doc
    assert [key for key, option in declaration.options.items() if not option.doc] == []
    assert declaration.complete(Layer(declaration.name)).name == declaration.name


def test_naming_the_tasks_imports_neither_torch_nor_pandas():
    code = (
        "import sys, archsearch.tasks.declared; "
        "print([name for name in ('torch', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_running_a_task_imports_neither_torch_nor_aeon(wide):
    code = (
        "import sys\n"
        "from archsearch.spec.architecture import Layer\n"
        "from archsearch.spec.settings import TaskSpec\n"
        "from archsearch.tasks.open import open_task\n"
        f"open_task(TaskSpec('t', Layer.of('classification', data={str(wide)!r})))\n"
        "import archsearch.tasks.prepare\n"
        "print([name for name in ('torch', 'aeon', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_task_opens_with_its_defaults(opened, name):
    task = opened(name, **({"train_size": 64} if name == "lorenz96" else {}))
    assert task.metrics
    assert set(task.chance()) == {goal.metric for goal in task.metrics}
    for scores in task.baselines("validation").values():
        assert set(scores) == set(task.chance())


@pytest.mark.parametrize("name", ["classification", "regression", "forecasting", "tokens"])
def test_data_must_be_given(opened, name):
    with pytest.raises(DataError, match=f"^{name}: no data given"):
        opened(name)


def test_an_unknown_task_or_option_is_named(opened):
    with pytest.raises(SpaceError, match="did you mean 'parity'"):
        opened("paritty")
    with pytest.raises(SpaceError, match=r"no option 'lenght' .did you mean 'length'"):
        opened("parity", lenght=3)


def test_relative_paths_start_at_the_space_file_and_a_changed_file_is_read_again(wide, opened):
    from archsearch.spec.settings import TaskSpec
    from archsearch.tasks.open import open_task

    spec = TaskSpec("t", Layer.of("classification", data="wide.csv"))
    task = open_task(spec, directory=wide.parent)
    assert open_task(spec, directory=wide.parent) is task
    assert opened("classification", data=str(wide)).fingerprint == task.fingerprint
    wide.write_text(wide.read_text().replace("going up", "going round and up"))
    again = open_task(spec, directory=wide.parent)
    assert again.fingerprint != task.fingerprint
    assert "going round and up" in again.describe()["classes"]
