"""What decays, and what learns at a share of the learning rate."""

from __future__ import annotations

import pytest
import torch
from test_fit import built, trained
from toy_task import SignTask, Summing, network

from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.train.groups import learning_groups, set_rate
from archsearch.train.rate_range import largest_rate

torch.set_num_threads(1)

CELL = "stages.0.tie.body.blocks.0.cell.layer"
RATES = {f"{CELL}.{name}_log" for name in ("nu", "theta", "gamma")}


def lru(**options: float) -> Model:
    architecture = network("lru", state=5, **options)
    return build(architecture, load_catalog(), SignTask().signature, 0)


def test_only_matrices_decay() -> None:
    decayed, spared = learning_groups(Summing(), 0.3)
    assert [p.shape for p in decayed["params"]] == [(2, 2)]
    assert len(spared["params"]) == 2
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)


def test_every_parameter_is_in_one_group() -> None:
    model = built(SignTask())
    groups = learning_groups(model, 0.1)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    assert all(p.ndim >= 2 for p in groups[0]["params"])


def test_what_learns_slower_comes_after_the_rest() -> None:
    model = lru(lr_share=0.25)
    assert model.slower() == dict.fromkeys(RATES, 0.25)
    decayed, spared, slow = learning_groups(model, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in slow["params"]} == RATES
    assert (slow["weight_decay"], slow["share"]) == (0.0, 0.25)
    rest = [[names[id(p)] for p in group["params"]] for group in (decayed, spared)]
    full = learning_groups(lru(), 0.1)
    assert len(full) == 2
    found = [[names[id(p)] for p in group["params"]] for group in learning_groups(model, 0.1)[:2]]
    assert found == rest
    optimizer = torch.optim.AdamW(learning_groups(model, 0.1))
    set_rate(optimizer, 0.3)
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.3, 0.075]


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_first_step_of_what_learns_slower_is_its_share_of_the_whole(share: float) -> None:
    """AdamW's first step is the rate times the sign of the gradient, for what does not decay."""
    moved = {}
    for at in (1.0, share):
        model = lru(lr_share=at)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        trained(SignTask(), model, steps=1, lr=0.01, warmup=1.0)
        moved[at] = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    for name, whole in moved[1.0].items():
        if name in RATES:
            assert whole.any()
            torch.testing.assert_close(moved[share][name], share * whole, rtol=1e-4, atol=1e-7)
        else:
            assert torch.equal(moved[share][name], whole)


class Touchy(Summing):
    """The map of one value whose weight, and nothing else, is too large for most rates."""

    def __init__(self, share: float) -> None:
        super().__init__(outputs=1)
        self.share = share
        with torch.no_grad():
            self.weight.div_(1000)

    def forward(self, x, lengths=None):
        return super().forward(1000 * x, lengths)

    def slower(self) -> dict[str, float]:
        return {"weight": self.share}


def test_the_largest_stable_rate_is_that_of_a_training_at_these_shares() -> None:
    task = SignTask(targets="value")
    plain, slow = (largest_rate(Touchy(by), task, 32, 1.0, seed=0) for by in (1.0, 0.1))
    assert slow / plain == pytest.approx(10, rel=0.45)
