"""The optimizer is torch's to the last bit, and a training does without torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from archsearch.train.adamw import AdamW

TRAINING = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from checkpointed import long_job
from archsearch.execute.run_job import run_job

assert run_job(long_job(Path(sys.argv[2]))).state.name == "COMPLETE"
print(*(name for name in ("torch", "torch._dynamo", "torch._inductor") if name in sys.modules))
"""


def trained(kind: type[Optimizer], steps: int, *, again: bool = False) -> list[torch.Tensor]:
    """The weights after some steps; with ``again`` the second half continues from a state."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    groups = [
        {"params": [model[0].weight, model[2].weight], "weight_decay": 0.1},
        {"params": [model[0].bias, model[2].bias], "weight_decay": 0.0},
    ]
    optimizer = kind(groups, lr=0.01, fused=True)  # type: ignore[call-arg]
    for step in range(steps):
        if again and step == steps // 2:
            kept = optimizer.state_dict()
            optimizer = kind(groups, lr=0.5, fused=True)  # type: ignore[call-arg]
            optimizer.load_state_dict(kept)
        optimizer.zero_grad(set_to_none=True)
        model(torch.randn(4, 5)).square().mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + step)
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("again", [False, True])
def test_it_is_that_of_torch(again: bool) -> None:
    mine, theirs = trained(AdamW, 12, again=again), trained(torch.optim.AdamW, 12, again=again)
    assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


def test_a_step_leaves_no_graph() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = AdamW([weight], lr=0.1, fused=True)
    weight.sum().backward()
    optimizer.step()
    assert weight.grad_fn is None
    assert torch.is_grad_enabled()


def test_a_training_does_without_the_compiler(tmp_path: Path) -> None:
    jobs = Path(__file__).parents[1] / "execute"
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(jobs), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["torch"], done.stderr
