"""The memory against its recursion written out, the Titans cell, and the delta rule."""

from __future__ import annotations

import pytest
import torch
from learning_networks import linear

from archsearch.adapt.learning.memory import MemoryUpdate
from archsearch.kernels.memories.descent.descent_memory import Memory, Rates, descent_memory
from archsearch.kernels.memories.descent.descent_rule import Rule
from archsearch.spec.learnsettings import MemorySettings

WIDTH, OUTPUTS = 6, 3
KEY = "head.project.weight"
# slow enough that no step is refused
RATE = 0.1


def drawn(count, seed=0, unit=False):
    """Keys, and the values that a teacher of their own gives them."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(count, WIDTH, generator=generator, dtype=torch.float64)
    if unit:
        keys = torch.nn.functional.normalize(keys, dim=-1)
    teacher = torch.randn(OUTPUTS, WIDTH, generator=generator, dtype=torch.float64)
    return keys, keys @ teacher.T


def learned(keys, wanted, *, bias=True, **settings):
    model, given = linear(WIDTH, OUTPUTS, bias=bias)
    learner = MemoryUpdate(model, given, MemorySettings(recent=0, max_norm=100.0, **settings))
    for k, v in zip(keys, wanted, strict=True):
        learner.step(k[None])
        learner.observe(v[None])
        learner.update()
    assert learner.refused == 0
    return learner


@pytest.mark.parametrize(("momentum", "forget"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.02), (0.3, 0.02)])
def test_the_recursion_written_out(momentum, forget):
    """S = eta S - theta grad, M = (1 - alpha) M + S, and the weights are the export's plus M."""
    keys, wanted = drawn(5)
    found = learned(keys, wanted, rate=RATE, momentum=momentum, forget=forget)
    head = found.model.head.project
    m, m_bias = torch.zeros_like(head.weight), torch.zeros_like(head.bias)
    s, s_bias = m.clone(), m_bias.clone()
    for k, v in zip(keys, wanted.float().double(), strict=True):
        theta = RATE / (1 + k @ k)
        error = (head.weight + m) @ k + head.bias + m_bias - v
        s, s_bias = momentum * s - theta * torch.outer(error, k), momentum * s_bias - theta * error
        m, m_bias = (1 - forget) * m + s, (1 - forget) * m_bias + s_bias
    torch.testing.assert_close(found.memory[KEY], m, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.memory["head.project.bias"], m_bias, rtol=1e-6, atol=1e-8)
    probe = torch.ones(1, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(
        found.step(probe), probe @ (head.weight + m).T + head.bias + m_bias, rtol=1e-6, atol=1e-8
    )


def test_it_is_the_memory_of_the_titans_cell():
    """A linear memory with chunks of one and keys of length one; theta is half the rate."""
    momentum, rate, outputs = 0.3, 0.4, WIDTH
    keys, _ = drawn(10, unit=True)
    generator = torch.Generator().manual_seed(3)
    teacher = torch.randn(outputs, WIDTH, generator=generator, dtype=torch.float64)
    wanted = (keys @ teacher.T).float().double()
    model, given = linear(WIDTH, outputs, bias=False)
    settings = MemorySettings(rate=rate, momentum=momentum, forget=0.0, recent=0, max_norm=100.0)
    learner = MemoryUpdate(model, given, settings)
    start = (model.head.project.weight[None].detach().clone(),)
    zero, one = torch.zeros_like(start[0])[None], torch.ones(1, 1, dtype=torch.float64)
    now = Memory((zero,), (zero,), (zero,), one, one)
    gates = Rates(
        torch.full((1, 1, 1), rate / 2).double(),
        torch.zeros(1, 1, 1).double(),
        torch.full((1, 1, 1), momentum).double().log(),
        None,
    )
    with torch.no_grad():
        for k, v in zip(keys, wanted, strict=True):
            learner.step(k[None])
            learner.observe(v[None])
            assert learner.update()
            key, value = k.view(1, 1, 1, -1), v.view(1, 1, 1, -1)
            said, now = descent_memory(key, key, value, gates, now, start, None, 1, Rule())
            weights = model.head.project.weight + learner.memory[KEY]
            torch.testing.assert_close(said[0, 0, 0], weights @ k, rtol=1e-6, atol=1e-8)


def test_without_momentum_and_forgetting_it_is_the_delta_rule():
    keys, wanted = drawn(8, unit=True)
    found = learned(keys, wanted, bias=False, rate=0.6, momentum=0.0, forget=0.0)
    w = found.model.head.project.weight.clone()
    for k, v in zip(keys, wanted.float().double(), strict=True):
        w = w - 0.3 * torch.outer(w @ k - v, k)
    torch.testing.assert_close(found.model.head.project.weight + found.memory[KEY], w)


def test_a_rate_of_one_learns_one_truth_whole():
    keys, wanted = drawn(1)
    found = learned(keys, wanted, rate=1.0, momentum=0.0, forget=0.0)
    torch.testing.assert_close(found.step(keys), wanted, rtol=1e-6, atol=1e-6)


def test_outputs_that_are_known_at_different_times_do_not_slow_each_other():
    keys, wanted = drawn(3)
    model, given = linear(WIDTH, OUTPUTS)
    learner = MemoryUpdate(model, given, MemorySettings(rate=0.2, momentum=0.0, recent=0))
    for k in keys:
        learner.step(k[None])
    for ago in range(3):
        part = torch.full((1, OUTPUTS), torch.nan)
        part[0, ago] = wanted[2 - ago, ago]
        learner.observe(part, ago)
    assert learner.update()
    theta = 0.2 / (1 + keys.square().sum(-1).mean())
    head = model.head.project
    for ago in range(3):
        k = keys[2 - ago]
        error = head.weight[ago] @ k + head.bias[ago] - wanted[2 - ago, ago]
        torch.testing.assert_close(
            learner.memory[KEY][ago], -theta * error * k, rtol=1e-5, atol=1e-6
        )


def test_a_step_that_overshoots_is_refused():
    keys, wanted = drawn(1)
    model, given = linear(WIDTH, OUTPUTS)
    learner = MemoryUpdate(model, given, MemorySettings(rate=2.5, recent=0, max_norm=100.0))
    learner.step(keys)
    learner.observe(wanted)
    before = learner.digest()
    assert not learner.update()
    assert learner.refused == 1
    assert learner.digest() == before


def test_momentum_that_overshoots_is_dropped():
    """One input over and over, a rate of a half: what is said moves by half of the error."""
    model, given = linear(WIDTH, 1)
    settings = MemorySettings(rate=0.5, momentum=1.0, forget=0.0, recent=0, max_norm=100.0)
    learner = MemoryUpdate(model, given, settings)
    k = drawn(1)[0]
    start = float(learner.step(k))
    # the second step goes on with the momentum of the first, 4 + 0.5; with that of the second the
    # third would lead to 11.75, further from the mean truth of 6.3 than before
    for truth, said in ((8.0, 4.0), (5.0, 8.5), (6.0, 7.25)):
        learner.observe(torch.tensor([[start + truth]]))
        assert learner.update()
        assert float(learner.step(k)) == pytest.approx(start + said, rel=1e-5)


def test_the_memory_is_bounded():
    keys, wanted = drawn(20)
    model, given = linear(WIDTH, OUTPUTS)
    learner = MemoryUpdate(model, given, MemorySettings(rate=0.9, max_norm=0.05, recent=0))
    for k, v in zip(keys, 100 * wanted, strict=True):
        learner.step(k[None])
        learner.observe(v[None])
        learner.update()
        assert learner.moved <= 0.05 * (1 + 1e-9)
    assert learner.moved == pytest.approx(0.05, rel=0.2)


def test_the_adapter_stays_within_its_rank():
    keys, wanted = drawn(30)
    found = learned(keys[:6], wanted[:6], where="adapter", rank=2, rate=0.05, momentum=0.0)
    (up,) = found.memory.values()
    assert up.shape == (WIDTH, 2)
    probe = torch.eye(WIDTH, dtype=torch.float64)
    head = found.model.head.project
    shift = torch.stack([found.step(row[None])[0] - head(row) for row in probe])
    assert int(torch.linalg.matrix_rank(shift, tol=1e-9)) <= 2
    assert float(shift.abs().max()) > 1e-3
