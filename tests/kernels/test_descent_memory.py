"""The compiled memories that learn against the plain ones, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from archsearch.kernels.memories.descent.descent_lanes import into_lanes, out_of_lanes
from archsearch.kernels.memories.descent.descent_memory import Memory, Rates, descent_memory
from archsearch.kernels.memories.descent.descent_rule import Rule
from archsearch.testing.states import flatten

torch.set_num_threads(1)

RULES = {
    "squares": Rule(),
    "outliers": Rule(outliers=True),
    "cubes": Rule(p=3),
    "fourth powers": Rule(p=4, q=4),
    "norm": Rule(q=4),
    "softmax": Rule(spread=True),
}
# rows, heads, positions, size of a head: fewer and more memories than lanes
SHAPES = [(1, 1, 1, 4), (3, 2, 11, 12), (5, 4, 9, 4), (1, 3, 18, 20)]
VARIANTS = pytest.mark.parametrize("name", RULES)
DEPTHS = pytest.mark.parametrize("depth", [1, 2])


def problem(shape, rule, depth, momentum=False, dtype=torch.float32, seed=0):
    """Inputs, and the tensors among them that want gradients.

    Heads differ in size, so that some errors are cut and some norms below one, and others not.
    """
    rows, heads, steps, size = shape
    draw = torch.Generator().manual_seed(seed)

    def normal(*sizes):
        return torch.randn(*sizes, generator=draw).to(dtype)

    def matrices():
        shapes = [(size, size)] if depth == 1 else [(2 * size, size), (size, 2 * size)]
        large = torch.linspace(0.3, 3, rows * heads, dtype=dtype).view(rows, heads, 1, 1)
        return tuple(large * normal(rows, heads, m, n) * n**-0.5 for m, n in shapes)

    q, k, v = (normal(rows, steps, heads, size).transpose(1, 2) for _ in range(3))
    q, k = normalize(q, dim=-1), normalize(k, dim=-1)
    flat = (rows, heads, steps)
    rates = Rates(
        normal(*flat).sigmoid() / 4,
        -normal(*flat).square() / 8,
        -normal(*flat).square() if momentum else None,
        normal(*flat).exp() if rule.outliers else None,
    )
    now, speed, anchor = matrices(), matrices() if momentum else (), matrices()
    shares = (normal(rows, heads).sigmoid() for _ in range(2))
    memory, start = Memory(now, speed, anchor, *shares), tuple(part[0] for part in matrices())
    wanted = [q, k, v, *(part for part in rates if part is not None), *flatten(memory), *start]
    for part in wanted:
        part.requires_grad_()
    return (q, k, v, rates, memory, start), wanted


def trained(form, given, wanted, position, chunk, rule):
    y, after = form(*given, position, chunk, rule)
    outputs = [y, *flatten(after)]
    weighed = sum(
        (part * torch.cos(torch.arange(part.numel())).view_as(part)).sum() for part in outputs
    )
    slopes = torch.autograd.grad(weighed, wanted, allow_unused=True, materialize_grads=True)
    return [*outputs, *slopes]


def near(got, want, share=5e-5):
    for one, other in zip(got, want, strict=True):
        assert one.shape == other.shape
        size = float(other.detach().abs().nan_to_num().max()) if other.numel() else 0.0
        torch.testing.assert_close(one, other, rtol=1e-4, atol=share * size + 1e-6, equal_nan=True)


def is_compiled(y):
    return "_Descent" in type(y.grad_fn).__name__


@pytest.mark.sampled(every=7)
@pytest.mark.parametrize(("chunk", "passed"), [(1, 0), (4, 0), (4, 3), (32, 0), (32, 20)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@DEPTHS
@VARIANTS
def test_compiled_equals_plain(name, depth, shape, chunk, passed):
    rule = RULES[name]
    position = torch.full((shape[0],), 3 * chunk + passed) if passed else None
    for momentum in (False, True) if name == "squares" else (False,):
        given, wanted = problem(shape, rule, depth, momentum)
        assert is_compiled(descent_memory(*given, position, chunk, rule)[0])
        fast = trained(descent_memory, given, wanted, position, chunk, rule)
        near(fast, trained(descent_memory.plain, given, wanted, position, chunk, rule))


@VARIANTS
def test_a_position_at_a_time(name):
    """Every position on its own, in double precision, with what it left carried on."""
    rule, steps, chunk = RULES[name], 10, 4
    momentum = name == "squares"
    given, wanted = problem((2, 3, steps, 8), rule, 2, momentum)
    y, after = descent_memory(*given, None, chunk, rule)
    (q, k, v, rates, memory, start), others = problem((2, 3, steps, 8), rule, 2, momentum)
    q, k, v = (part.double() for part in (q, k, v))
    rates = Rates(*(None if part is None else part.double() for part in rates))
    start = tuple(part.double() for part in start)
    memory = Memory(
        *(tuple(part.double() for part in parts) for parts in memory[:3]),
        *(part.double() for part in memory[3:]),
    )
    said = []
    for t in range(steps):
        here = Rates(*(None if part is None else part[..., t : t + 1] for part in rates))
        now = (part[:, :, t : t + 1] for part in (q, k, v))
        y_t, memory = descent_memory(*now, here, memory, start, torch.tensor([t, t]), chunk, rule)
        said.append(y_t)
    whole = torch.cat(said, 2)
    near([part.double() for part in (y, *flatten(after))], [whole, *flatten(memory)])
    weight = torch.randn_like(y)
    slopes = torch.autograd.grad(y, wanted, weight)
    exact = torch.autograd.grad(whole, others, weight.double())
    near(slopes, exact)


@pytest.mark.parametrize("cut", [3, 4, 9])
@VARIANTS
def test_a_cut_changes_nothing(name, cut):
    rule, chunk = RULES[name], 4
    given, wanted = problem((2, 3, 13, 8), rule, 2, momentum=name == "squares")
    q, k, v, rates, memory, start = given
    parts = []
    for begin, end in ((0, cut), (cut, 13)):
        some = Rates(*(None if part is None else part[..., begin:end] for part in rates))
        now = (part[:, :, begin:end] for part in (q, k, v))
        y, memory = descent_memory(*now, some, memory, start, torch.full((2,), begin), chunk, rule)
        assert is_compiled(y)
        parts.append(y)
    whole, after = descent_memory(*given, None, chunk, rule)
    near([torch.cat(parts, 2), *flatten(memory)], [whole, *flatten(after)])
    weight = torch.randn_like(whole)
    slopes = torch.autograd.grad(torch.cat(parts, 2), wanted, weight)
    near(slopes, torch.autograd.grad(whole, wanted, weight))


@DEPTHS
@VARIANTS
def test_a_missing_number_spreads_no_further(name, depth):
    """Neither to other memories nor to earlier positions."""
    rule, shape = RULES[name], (3, 2, 11, 8)
    for which in range(3):
        given, wanted = problem(shape, rule, depth)
        with torch.no_grad():
            given[which][1, 1, 6, 2] = torch.nan
        fast = descent_memory(*given, None, 4, rule)[0]
        slow = descent_memory.plain(*given, None, 4, rule)[0]
        assert fast[1, 1, 6:].isnan().any()
        assert not (fast.isnan() & ~slow.isnan()).any()
        # what was said before it has the slopes that it had
        early = [part[:, :, :6].sum() for part in (fast, slow)]
        one, other = (torch.autograd.grad(part, wanted, retain_graph=True) for part in early)
        for got, want in zip(one, other, strict=True):
            assert not (got.isnan() & ~want.isnan()).any()


@pytest.mark.parametrize("rows", [1, 3])
def test_inputs_may_lie_anyhow_in_memory(rows):
    given, _ = problem((rows, 2, 7, 8), Rule(), 2)
    q, k, v, rates, memory, start = given
    want = descent_memory(*given, None, 4, Rule())[0]
    grad = torch.randn_like(want)
    slopes = torch.autograd.grad(want, [q, k, v], grad)
    for order in ((3, 2, 1, 0), (2, 0, 1, 3), (0, 1, 2, 3)):
        back = [order.index(i) for i in range(4)]
        turned = [
            part.detach().permute(order).contiguous().permute(back).requires_grad_()
            for part in (q, k, v)
        ]
        got = descent_memory(*turned, rates, memory, start, None, 4, Rule())[0]
        assert torch.equal(got, want)
        for one, other in zip(torch.autograd.grad(got, turned, grad), slopes, strict=True):
            assert torch.equal(one, other)


def test_a_sum_has_slopes_that_lie_nowhere():
    given, wanted = problem((2, 2, 6, 8), Rule(), 1)
    one = torch.autograd.grad(descent_memory(*given, None, 4, Rule())[0].sum(), wanted)
    other = torch.autograd.grad(descent_memory.plain(*given, None, 4, Rule())[0].sum(), wanted)
    near(one, other)


def test_what_is_left_to_torch():
    rule, shape = Rule(), (2, 2, 6, 8)
    given, _ = problem(shape, rule, 1)
    assert is_compiled(descent_memory(*given, torch.tensor([5, 9]), 4, rule)[0])
    assert not is_compiled(descent_memory(*given, torch.tensor([5, 6]), 4, rule)[0])
    with torch.no_grad():
        assert descent_memory(*given, None, 4, rule)[0].grad_fn is None
    odd, _ = problem((2, 2, 6, 6), rule, 1)
    double, _ = problem(shape, rule, 1, dtype=torch.float64)
    for other in (odd, double):
        assert not is_compiled(descent_memory(*other, None, 4, rule)[0])


@pytest.mark.parametrize("size", [1, 5, 16, 21, 32])
def test_lanes_there_and_back(size):
    x = torch.randn(5, 3, 7, size)  # rows, positions, heads
    lanes, back = torch.full((3, 3, size, 16), torch.nan), torch.empty_like(x)
    places = torch.tensor([5, 7, 21 * size, size, 7 * size])
    into_lanes(x.numpy().ravel(), lanes.numpy(), places.numpy())
    memories = x.transpose(1, 2).flatten(0, 1)
    assert torch.equal(lanes.permute(0, 3, 1, 2).flatten(0, 1)[:35], memories)
    assert not lanes.permute(0, 3, 1, 2).flatten(0, 1)[35:].any()
    out_of_lanes(lanes.numpy(), back.numpy())
    assert torch.equal(back, x)
