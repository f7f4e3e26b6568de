"""Every cell goes through torch.export and torch.compile, and gives what it gave."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from archsearch.build import build
from archsearch.plugins import implementation, load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

torch.set_num_threads(1)
# torch's compiler does things that torch warns of
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dynamo (detected|does not know):UserWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]

CATALOG = load_catalog()
WIDTH = 16
SOME = ("gru", "graph", "mamba", "titans")
STRIDES = "torch's softplus_backward lies otherwise in memory than torch tells its compiler"
UNABLE = {
    "routing": "its clusters start at random rows, which a compiled graph draws otherwise",
    "gated_deltanet": STRIDES,
    "yaad": STRIDES,
}


class Outputs(nn.Module):
    """A cell without its state."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = implementation(CATALOG.find("cell", name))(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x)[0]


def near(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("name", CATALOG.names("cell"))
def test_every_cell_is_exported(name):
    model, x = Outputs(name).eval(), torch.randn(2, 5, WIDTH)
    program = torch.export.export(model, (x,), strict=False)
    other = torch.randn(2, 5, WIDTH)
    near(program.module()(other), model(other))


def compared(name):
    """A compiled cell's outputs and gradients beside those of the cell."""
    model, runs = Outputs(name), []
    torch._dynamo.reset()
    for compiled in (True, False):
        # some cells learn as they look
        used, x = copy.deepcopy(model), torch.linspace(-1, 1, 10 * WIDTH).view(2, 5, WIDTH)
        x.requires_grad_()
        torch.manual_seed(1)
        y = (torch.compile(used, backend="aot_eager") if compiled else used)(x)
        y.square().sum().backward()
        gradients = [part.grad for part in used.parameters() if part.grad is not None]
        runs.append([y, x.grad, *gradients])
    for got, want in zip(*runs, strict=True):
        near(got, want)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("name", SOME)
def test_a_few_cells_train_compiled(name):
    compared(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CATALOG.names("cell") if name not in SOME])
def test_every_cell_trains_compiled(name):
    if name in UNABLE:
        pytest.skip(UNABLE[name])
    compared(name)


def test_a_transform_exports_and_compiles_in_one_piece():
    model = Outputs("fmlp")
    for steps in (1, 5, 16):
        x = torch.randn(2, steps, WIDTH)
        program = torch.export.export(model, (x,), strict=False)
        near(program.module()(x), model(x))
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        near(compiled(x), model(x))


def test_a_network_exports_and_compiles_in_one_piece_with_the_lengths_of_its_sequences():
    signature = Signature("values", 3, "class", 4, every_step=False, length=6)
    stage = Stage((Block(Layer("gru"), channel=Layer("codebook")),))
    plain = CATALOG.complete_architecture(Architecture(8, (stage,)))
    model = build(plain, CATALOG, signature, seed=0).eval()
    x, lengths = torch.randn(3, 6, 3), torch.tensor([6, 2, 3])
    program = torch.export.export(model, (x, lengths), strict=False)
    near(program.module()(x, lengths)[0], model(x, lengths)[0])
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    near(compiled(x, lengths)[0], model(x, lengths)[0])


FRESH = """
import torch
from archsearch.cells.recurrent.gru import GRU
model, x = GRU(8), torch.randn(2, 5, 8)
program = torch.export.export(model, (x,), strict=False)
torch.testing.assert_close(program.module()(x)[0], model(x)[0])
compiled = torch.compile(GRU(8), backend="aot_eager")
compiled(x)[0].sum().backward()
"""


def test_a_process_that_has_trained_nothing_exports_and_compiles():
    """The compiler of loops cannot be imported while torch records."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
