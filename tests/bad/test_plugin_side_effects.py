"""What a plugin changes in the process when it is imported changes no other trial, nor its own."""

from __future__ import annotations

import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from misbehaving import CELL, Plugin

from archsearch.execute.job import Job
from archsearch.execute.run_job import installed, run_job
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import CellType
from archsearch.spec.importing import Settings, imported
from archsearch.spec.settings import Objective, TaskSpec
from archsearch.tasks.open import open_task
from archsearch.testing.probe import Broken, Probe

# each of them alone changed what other cells came to, or whether they could be trained at all
MEDDLING = {
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's default device": "torch.set_default_device('meta')",
    "whether torch keeps gradients": "torch.set_grad_enabled(False)",
    "whether torch's algorithms are deterministic": "torch.use_deterministic_algorithms(True)",
    "torch's precision of products": "torch.set_float32_matmul_precision('medium')",
    "torch's number of threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch's search for anomalies": "torch.autograd.set_detect_anomaly(True, check_nan=False)",
    "what torch does with denormal numbers": "torch.set_flush_denormal(True)",
    "numpy's treatment of errors": "numpy.seterr(all='raise')",
    "torch's random state": "torch.manual_seed(3)",
    "numpy's random state": "numpy.random.seed(3)",
    "Python's random state": "random.seed(3)",
}
HEAD = "import random, warnings\nimport numpy, torch\n"
ALL = f"{HEAD}{'; '.join(MEDDLING.values())}\nwarnings.simplefilter('error')\n"
TASK = TaskSpec("parity", Layer.of("parity", length=6))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    installed.cache_clear()
    yield tmp_path
    installed.cache_clear()
    for name in [name for name in sys.modules if name.startswith("meddling")]:
        del sys.modules[name]


def job(cell: str) -> Job:
    training = Layer.of("adamw", steps=3, batch=4)
    return Job(
        trial=0,
        title=cell,
        task=TASK,
        data=open_task(TASK).fingerprint,
        architecture=Architecture(8, (Stage((Block(Layer(cell)),)),), training=training),
        seed=7,
        objectives=(Objective("accuracy", "max"),),
    )


def test_a_trial_is_the_same_before_and_after_a_meddling_plugin(site: Path) -> None:
    Plugin("meddler", cell=ALL + CELL, distribution="meddling").install(site)
    found = [run_job(job(cell)) for cell in ("gru", "meddler", "meddler", "gru")]
    assert [outcome.message for outcome in found] == [""] * 4
    (first, twice), (own, again) = (found[0], found[3]), found[1:3]
    assert (first.metrics, first.curve) == (twice.metrics, twice.curve)
    assert (own.metrics, own.curve) == (again.metrics, again.curve)


@pytest.mark.parametrize("name", MEDDLING)
def test_settings_are_put_back_and_the_check_names_what_was_changed(
    site: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"{HEAD}{MEDDLING[name]}\nprint('hello')\nCell = torch.nn.Linear\n"
    for module in ("meddling_first", "meddling_second"):
        (site / f"{module}.py").write_text(code)
    before, filters = Settings(), list(warnings.filters)
    assert imported("meddling_first:Cell") is torch.nn.Linear
    assert before.changed() == []
    assert warnings.filters == filters
    # an answer stands on stdout
    assert capsys.readouterr() == ("", "hello\n")
    probe = Probe(CellType("meddler", "meddling_second:Cell"))
    with pytest.raises(Broken, match=f"^changes {name} when it is imported: other cells run in"):
        probe.imported()
    before.restore()
    assert before.changed() == []


def test_drawing_is_no_setting() -> None:
    before = Settings()
    torch.rand(1), np.random.rand(), random.random()
    assert len(before.changed()) == 3
    assert before.changed(drawn=False) == []
    before.restore()
    assert before.changed() == []


def test_a_second_plugin_with_the_name_takes_no_worker_its_cell(site: Path) -> None:
    Plugin("meddler", distribution="meddling").install(site)
    alone = run_job(job("meddler"))
    Plugin("meddler", distribution="meddling-too").install(site)
    installed.cache_clear()
    assert "is provided by meddling and by meddling-too" in run_job(job("meddler")).message
    known = Job(**{**vars(job("meddler")), "plugins": (("meddling", "0" * 64),)})
    beside = run_job(known)
    assert (beside.message, beside.metrics) == ("", alone.metrics)
    assert load_catalog().refusal("cell", "meddler")
