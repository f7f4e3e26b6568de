"""What zeros save in a whole model: operations, bytes and time, each measured or counted by itself.

Two blocks of attention and a wide perceptron, of which half to almost all weights of the
perceptrons are gone: by hidden units, taken out; one by one, as CSR; n of m, where there is a
device for it. The dense model and the sparse ones take turns on the same input, as in
sparsity_speed.py.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from sparsity_speed import Times, timed
from torch import Tensor, nn

from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.sparsity.compaction import compact
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature
from archsearch.train.savings import Savings

WIDTH, EXPAND, LENGTH = 256, 4.0, 32
BATCHES = (1, 4)
SPARSITIES = (0.5, 0.75, 0.9, 0.95)
NO_GPU = "no GPU at hand"
SIGNATURE = Signature("values", 8, "class", 4, every_step=False, length=LENGTH)


def perceptrons() -> Model:
    blocks = (Block(Layer("attention"), channel=Layer.of("mlp", expand=EXPAND)),)
    catalog = load_catalog()
    given = Architecture(WIDTH, (Stage(blocks, repeat=2),))
    return build(catalog.complete_architecture(given), catalog, SIGNATURE, seed=0).eval()


def pruned(layer: Layer) -> tuple[Model, dict[str, float]]:
    """The model with random zeros in its perceptrons, and its figures."""
    model = perceptrons()
    catalog = load_catalog()
    masks = sparsify(model, catalog.complete("sparsity", layer), 1)
    inputs = torch.randn(1, LENGTH, 8, generator=torch.Generator().manual_seed(0))
    return model.eval(), Savings(model, masks, inputs).figures()


def compacted(model: Model) -> Model:
    smaller = copy.deepcopy(model)
    compact(smaller)
    return smaller


def as_csr(model: Model) -> Model:
    """The matrices of the perceptrons as CSR, which linear maps take as they are."""
    changed = copy.deepcopy(model)
    for name, part in changed.named_modules():
        if isinstance(part, nn.Linear) and ".channel.layer." in name:
            part.weight = nn.Parameter(part.weight.detach().to_sparse_csr(), requires_grad=False)
    return changed


def n_of_m_time(model: Model, x: Tensor) -> float | str:
    """Microseconds with the perceptrons as 2:4 in half precision, or why there are none."""
    if not torch.cuda.is_available():
        return NO_GPU
    half, given = copy.deepcopy(model).half().cuda(), x.half().cuda()
    for name, part in half.named_modules():
        if isinstance(part, nn.Linear) and ".channel.layer." in name:
            packed = torch.sparse.to_sparse_semi_structured(part.weight.detach())
            part.weight = nn.Parameter(packed, requires_grad=False)

    def call() -> None:
        half(given)
        torch.cuda.synchronize()

    return timed({"2:4": call})["2:4"].clock


def csr_bytes(model: Model) -> int:
    """Bytes of all tensors, those of the places of CSR with the others."""
    parts: list[Tensor] = []
    for value in model.state_dict().values():
        if value.layout == torch.sparse_csr:
            parts += [value.crow_indices(), value.col_indices(), value.values()]
        else:
            parts.append(value)
    return sum(part.numel() * part.itemsize for part in parts)


def rows_of(batch: int) -> list[dict[str, Any]]:
    """The dense model and, for every share of zeros, what each form of them costs."""
    dense = perceptrons()
    x = torch.randn(batch, LENGTH, 8, generator=torch.Generator().manual_seed(1))
    _, whole = pruned(Layer("none"))
    told = {"n_of_m": Layer.of("n_of_m", which="channel")}
    for sparsity in SPARSITIES:
        options = {"density": 1 - sparsity, "which": "channel", "allocation": "uniform"}
        told[f"units {sparsity:g}"] = Layer.of("random", pattern="row", **options)
        told[f"single {sparsity:g}"] = Layer.of("random", **options)
    models = {name: pruned(layer) for name, layer in told.items()}
    forms = {
        name: (compacted if name.startswith("units") else as_csr)(model)
        for name, (model, _) in models.items()
        if name != "n_of_m"
    }
    for name, form in forms.items():
        exact = models[name][0](x)[0]
        error = float((form(x)[0] - exact).abs().max() / exact.abs().max())
        assert error < 1e-5, (name, error)
    ways = {"dense": partial(dense, x)} | {name: partial(f, x) for name, f in forms.items()}
    times = timed(ways)
    rows = [_row(batch, "dense", 0.0, whole, int(whole["bytes"]), times["dense"])]
    for name, form in forms.items():
        kind, _, sparsity = name.partition(" ")
        figures = models[name][1]
        title = "units taken out" if kind == "units" else "CSR"
        size = int(figures["bytes"]) if kind == "units" else csr_bytes(form)
        rows.append(_row(batch, title, float(sparsity), figures, size, times[name]))
    model, figures = models["n_of_m"]
    found = n_of_m_time(model, x)
    row = _row(batch, "2:4", 0.5, figures, int(figures["bytes"]), None)
    return [*rows, row | {"clock_us": found}]


def _row(
    batch: int,
    form: str,
    sparsity: float,
    figures: dict[str, float],
    size: int,
    times: Times | None,
) -> dict[str, Any]:
    return {
        "batch": batch,
        "form": form,
        "zeros": sparsity,
        "density_all": figures["density_all"],
        "flops_of_a_step": round(figures["sparse_flops"]),
        "bytes": size,
        **({} if times is None else times.to_plain()),
    }


def table() -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    with torch.no_grad():
        return [row for batch in BATCHES for row in rows_of(batch)]
