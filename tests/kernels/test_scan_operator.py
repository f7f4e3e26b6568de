"""The scan as one operator: traced, exported and compiled, and when it is chosen at all."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.library import opcheck

from archsearch.kernels.scans import scan_cpu
from archsearch.kernels.scans.linear_scan import linear_scan, linear_scan_reference


class Smooth(nn.Module):
    """A moving average of a projection, as small as a model with a scan can be."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 4)
        self.rate = nn.Parameter(torch.linspace(0.1, 0.9, 4))

    def forward(self, x: Tensor) -> Tensor:
        driven = self.project(x)
        return linear_scan(self.rate[None, None], driven, torch.zeros_like(driven[:, 0]))


def inputs(dtype=torch.float64, rows_first=True):
    torch.manual_seed(0)
    a, b = torch.rand(1, 1, 3, dtype=dtype), torch.randn(2, 5, 3, dtype=dtype)
    b = b if rows_first else b.transpose(0, 1).contiguous().transpose(0, 1)
    return tuple(part.requires_grad_() for part in (a, b, torch.zeros(2, 3, dtype=dtype)))


@pytest.mark.parametrize("rows_first", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64])
def test_the_operator_is_registered_in_full(dtype, rows_first):
    checked = opcheck(torch.ops.archsearch.linear_scan.default, inputs(dtype, rows_first))
    assert set(checked.values()) == {"SUCCESS"}


def test_it_is_exported_as_one_operator():
    torch.manual_seed(0)
    model, x = Smooth(), torch.randn(3, 17, 4)
    time = torch.export.Dim("time", min=2, max=4096)
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {1: time}})
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called.count("archsearch.linear_scan.default") == 1
    longer = torch.randn(3, 40, 4)
    torch.testing.assert_close(program.module()(longer), model(longer))


def test_a_compiled_model_trains_the_same():
    torch.manual_seed(0)
    model, x = Smooth(), torch.randn(3, 17, 4)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    parameters = list(model.parameters())
    expected = torch.autograd.grad(model(x).square().sum(), parameters)
    found = torch.autograd.grad(compiled(x).square().sum(), parameters)
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want)


def test_the_plain_form_can_be_forced(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "archsearch.kernels.scans.linear_scan.linear_scan_reference",
        lambda *given: calls.append(1) or linear_scan_reference(*given),
    )
    a, b, h0 = inputs(torch.float32)
    fast = linear_scan(a, b, h0)
    assert not calls
    monkeypatch.setenv("ARCHSEARCH_KERNELS", "plain")
    assert torch.equal(linear_scan(a, b, h0), fast)
    assert calls


def test_other_devices_get_the_plain_form(monkeypatch):
    monkeypatch.setattr(scan_cpu, "linear_scan", None)
    a, b, h0 = (part.detach().to("meta") for part in inputs())
    assert linear_scan(a, b, h0).shape == b.shape


def test_without_the_compiler_the_plain_form_runs():
    check = (
        "import sys; sys.modules['numba'] = None; import torch;"
        "from archsearch.kernels.scans.linear_scan import linear_scan;"
        "one = torch.ones(1, 3, 1); assert linear_scan(one, one, one[:, 0]).tolist()[0][-1] == [4]"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "from archsearch.plugins import load_catalog; load_catalog()",
        "import archsearch.cli.main",
        "import archsearch.kernels.scans.linear_scan, archsearch.cells.linear.lru",
    ],
)
def test_the_compiler_is_imported_by_those_who_scan_alone(statement):
    check = f"import sys; {statement}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
