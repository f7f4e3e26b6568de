"""Where compiled loops find the rows of a tensor."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.stabilised.stabilised_answer import gated_answer
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.trained import flat, in_rows

WIDTH = 16


def turned(*shape):
    return torch.randn(*shape, WIDTH).transpose(0, 1)


LAYOUTS = {
    "whole": torch.randn(2, 3, WIDTH),
    "one row": torch.randn(WIDTH),
    "part of a projection": torch.randn(2, 3, 3 * WIDTH)[..., WIDTH : 2 * WIDTH],
    "positions left out": torch.randn(2, 5, WIDTH)[:, ::2],
    "turned": turned(2, 3),
    "turned, one position": turned(1, 3),
    "turned, one row": turned(3, 1),
    "turned, one of both": turned(1, 1),
    "repeated": torch.randn(1, 1, WIDTH).expand(2, 3, WIDTH),
    "columns first": torch.randn(2, WIDTH, 3).mT,
    "part, one position": torch.randn(3, 1, 2 * WIDTH)[..., WIDTH:],
}

each = pytest.mark.parametrize("layout", LAYOUTS)


@each
def test_rows_are_where_they_are_said_to_be(layout):
    x = LAYOUTS[layout]
    rows, apart = in_rows(x)
    memory = torch.from_numpy(flat(rows))
    for at, row in enumerate(x.reshape(-1, WIDTH)):
        assert torch.equal(memory[at * apart : at * apart + WIDTH], row)


def test_the_part_of_a_projection_is_not_copied():
    whole = torch.randn(2, 3, 2 * WIDTH)
    rows, apart = in_rows(whole[..., WIDTH:])
    assert rows.data_ptr() == whole[..., WIDTH:].data_ptr()
    assert apart == 2 * WIDTH


@each
def test_kernels_read_gates_as_they_lie(layout):
    gate = LAYOUTS[layout]
    h, weight = torch.randn(gate.shape), torch.randn(WIDTH, requires_grad=True)
    got, want = (form(h, gate, weight, gate) for form in (gated_skip, gated_skip.plain))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    scale = torch.ones(1, WIDTH)
    got, want = (
        form(h.unflatten(-1, (1, WIDTH)), scale, h, weight, gate)
        for form in (gated_answer, gated_answer.plain)
    )
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
