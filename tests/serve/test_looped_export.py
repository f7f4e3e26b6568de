"""Looped stages as plain source: every tie with every way to halt and to be sparse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exported import (
    FACTS,
    PREPARATION,
    REGRESSION,
    TASK,
    TOKENS,
    VALUES,
    compare_short,
    export,
    random_state,
)

from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.serve.bundle import write_bundle
from archsearch.serve.standalone import write_standalone
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import Architecture, Block, Layer, Stage

CATALOG = load_catalog()


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("tie", CATALOG.names("tie"))
def test_every_tie_with_every_halting_is_written_out(
    tmp_path: Path, tie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    # how long a stream is has no part in when a loop ends: one comes for long
    signature = TOKENS if tie == "shared" else REGRESSION
    if signature is REGRESSION:
        compare_short(monkeypatch)
    options = {"shared": {"embedding": True, "norms": True}, "lora": {"rank": 2}}.get(tie, {})
    blocks = (Block(Layer("gru"), channel=Layer("mlp")), Block(Layer("attention")))
    stages = tuple(
        Stage(blocks, loops=3, tie=Layer.of(tie, **options), halting=Layer(halting))
        for halting in CATALOG.names("halting")
    )
    bundle = export(tmp_path / "best", Architecture(8, stages), signature)
    # which compares whole sequences, padded ones and streams
    write_standalone(bundle, tmp_path / "plain")


# what stands in for options that have no useful default
GIVEN = {"drawn": {"counts": "stages.0.tie.body.blocks.0.cell.layer.recurrent.weight=20"}}


@pytest.mark.sampled(every=8)
@pytest.mark.parametrize("name", CATALOG.names("sparsity"))
def test_every_sparsity_with_every_tie_is_trained_and_exported(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two updates, then a bundle and a source file that give what the trained model gives."""
    torch.set_num_threads(1)
    # sparsity does not depend on how long a stream is; the test above has a long one
    compare_short(monkeypatch)
    blocks = (Block(Layer("gru"), channel=Layer("mlp")), Block(Layer("attention")))
    stages = tuple(
        Stage(blocks, loops=2, tie=Layer(tie), halting=Layer("act")) for tie in CATALOG.names("tie")
    )
    sparsity = Layer.of(name, **GIVEN.get(name, {}))
    given = CATALOG.complete_architecture(Architecture(8, stages, sparsity=sparsity))
    model = build(given, CATALOG, VALUES, seed=1)
    model.load_state_dict(random_state(model) if name == "none" else model.state_dict())
    x = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))

    def loss(_: int) -> torch.Tensor:
        prediction, penalty = model(x)
        return prediction.square().mean() + penalty

    masks = sparsify(model, given.sparsity, 2, loss=lambda number: loss(number))
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for step in (1, 2):
        optimizer.zero_grad()
        loss(step).backward()
        masks.before_step(step)
        optimizer.step()
        with torch.random.fork_rng():
            masks.after_step(step, optimizer)
        model.train()
    model.eval()
    bundle = write_bundle(
        tmp_path / "best",
        model.state_dict(),
        given,
        VALUES,
        PREPARATION,
        FACTS,
        CATALOG,
        task=TASK,
    )
    write_standalone(bundle, tmp_path / "plain")
    with torch.no_grad():
        assert torch.allclose(bundle.model()(x)[0], model(x)[0], rtol=1e-5, atol=1e-6)
