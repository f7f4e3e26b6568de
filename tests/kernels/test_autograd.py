"""What torch may do with a loop: repeat it, differentiate it again, keep its tensors elsewhere."""

from __future__ import annotations

import pytest
import torch
from test_recorded import drawn, each
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.memories.gated_delta import gated_delta
from archsearch.kernels.memories.linear_attention import linear_attention
from archsearch.kernels.memories.signed_attention import signed_attention
from archsearch.kernels.memories.stabilised.stabilised_answer import gated_answer
from archsearch.kernels.memories.stabilised.stabilised_inputs import memory_inputs
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.norms.rectified_norm import rectified_norm
from archsearch.kernels.trained import fit

ROWS, STEPS, HEADS, SIZE = 2, 5, 2, 16
WIDTH = HEADS * SIZE


def first(found):
    return found[0] if isinstance(found, tuple) else found


@each
def test_what_is_computed_again_has_the_same_gradients(kernel):
    inputs = drawn(kernel, 0)
    again = checkpoint(kernel, *inputs, use_reentrant=False)
    got, want = (
        torch.autograd.grad(first(found).square().sum(), inputs)
        for found in (again, kernel(*inputs))
    )
    torch.testing.assert_close(got, want)


@each
def test_a_penalty_on_gradients_is_refused_rather_than_left_out(kernel):
    inputs = drawn(kernel, 0)
    # what comes in from a sum is a constant
    slopes = torch.autograd.grad(first(kernel(*inputs)).sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        sum(slope.square().sum() for slope in slopes).backward()


@each
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_functional_gradients_are_those_of_the_loop(kernel):
    inputs = drawn(kernel, 0)

    def loss(*inputs):
        return first(kernel(*inputs)).square().sum()

    got = torch.func.grad(loss, tuple(range(len(inputs))))(*inputs)
    want = torch.autograd.grad(loss(*inputs), inputs)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)


def part_of_projection(*sizes):
    whole = torch.randn(*sizes[:-1], 3 * sizes[-1])
    return whole[..., sizes[-1] : 2 * sizes[-1]].requires_grad_()


def skipped(part):
    x, skip = torch.ones(ROWS, STEPS, WIDTH), torch.ones(WIDTH)
    return gated_skip(x, part, skip, part)


def answered(part):
    h, scale = torch.ones(ROWS, STEPS, HEADS, SIZE).cumsum(-1), torch.ones(HEADS, SIZE)
    return gated_answer(h, scale, torch.ones(ROWS, STEPS, WIDTH), torch.ones(WIDTH), part)


def asked(part):
    blocks, weight = torch.ones(3, WIDTH // 4, 4, 4), torch.ones(2, 3 * WIDTH)
    c = torch.ones(ROWS, STEPS, WIDTH)
    return memory_inputs(c, part, blocks, weight, weight[:, 0], 1.0)[3]


@pytest.mark.parametrize("kernel", [skipped, answered, asked])
def test_tensors_kept_elsewhere_may_come_back_without_their_gaps(kernel):
    part = part_of_projection(ROWS, STEPS, WIDTH)
    (want,) = torch.autograd.grad(kernel(part).square().sum(), part)
    with saved_tensors_hooks(lambda kept: kept.detach().numpy().copy(), torch.from_numpy):
        found = kernel(part).square().sum()
    (got,) = torch.autograd.grad(found, part)
    torch.testing.assert_close(got, want)


NORMS = {
    gated_skip: [(2, 5, 32), (2, 5, 32), (32,), (2, 5, 32), (32,)],
    gated_norm: [(2, 5, 2, 16), (16,), (2, 5, 32)],
    rectified_norm: [(2, 5, 32), (32,), (1,)],
}


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("kernel", NORMS, ids=lambda kernel: kernel.__name__)
def test_a_part_of_another_width_is_refused_rather_than_read(kernel, at):
    sizes = [*NORMS[kernel]]
    if at >= len(sizes):
        pytest.skip("has fewer inputs")
    sizes[at] = (*sizes[at][:-1], sizes[at][-1] - 16 if sizes[at][-1] > 16 else 8)
    given = [torch.randn(size, requires_grad=True) for size in sizes]
    for form in (kernel, kernel.plain):
        with pytest.raises(RuntimeError):
            form(*given)


MEMORIES = [linear_attention, signed_attention, delta_rule, gated_delta]


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("kernel", MEMORIES, ids=lambda kernel: kernel.__name__)
def test_what_does_not_fit_is_not_read(kernel, at):
    """One row for all is what torch makes of it; more rows than there are inputs are refused."""
    inputs = drawn(kernel, 0)
    if at >= len(inputs):
        pytest.skip("has fewer inputs")
    for rows in (1, 3):
        given = list(inputs)
        given[at] = -0.3 * torch.rand(rows, *inputs[at].shape[1:])
        runs = []
        for form in (kernel, kernel.plain):
            try:
                y, left = form(*given)
                runs.append([y, left, *torch.autograd.grad(y.sum(), inputs, allow_unused=True)])
            except (RuntimeError, ValueError):
                runs.append(["refused"])
        if runs[1] == ["refused"]:
            assert runs[0] == ["refused"]
            continue
        for got, want in zip(*runs, strict=True):
            if want is not None:
                torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)


def test_letters_stand_for_sizes():
    x, h, one = torch.ones(2, 5, 3), torch.ones(2, 3), torch.ones(1, 3)
    assert fit("btw bw", x, h)
    assert fit("btw Bw", x, one)
    assert not fit("btw bw", x, one)
    assert not fit("btw Bw", x, torch.ones(3, 3))
    assert not fit("btw bww", x, h)
    assert not fit("bww bw", x, h)
