"""Steps of the recurrent cells by their equations, for tests to repeat."""

from __future__ import annotations

import torch
from torch.nn.functional import linear

from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.rhn import RHN
from archsearch.cells.recurrent.rnn import RNN
from archsearch.cells.recurrent.slstm import SLSTM


def new_state(cell, h, c, x, read):
    """What the cell makes of x and its state, where its matrices read ``read(h)`` for h."""
    if isinstance(cell, RHN):
        for level in range(cell.depth):
            layer = cell.layers[min(level, len(cell.layers) - 1)]
            gates = linear(read(h), layer.weight, layer.bias)
            gates = gates + linear(x, cell.input.weight) if level == 0 else gates
            u, g, *carry = gates.split(cell.width, -1)
            carry = carry[0].sigmoid() if carry else 1 - g.sigmoid()
            h = g.sigmoid() * u.tanh() + carry * h
        return h, c
    drive, u = cell.input(x), cell.recurrent(torch.eye(cell.width, dtype=x.dtype)).t()
    if isinstance(cell, RNN):
        new = drive + linear(read(h), u)
        if cell.activation == "gelu":
            new = (new * (1 + torch.erf(new / 2**0.5)) / 2).clamp_max(10)
            return new, c
        return getattr(torch, cell.activation)(new), c
    if isinstance(cell, GRU):
        (r, z, n), (u_r, u_z, u_n) = drive.split(cell.width, -1), u.split(cell.width)
        r, z = (r + linear(read(h), u_r)).sigmoid(), (z + linear(read(h), u_z)).sigmoid()
        if cell.candidate_bias is None:
            n = (n + linear(r * read(h), u_n)).tanh()
        else:
            n = (n + r * (linear(read(h), u_n) + cell.candidate_bias)).tanh()
        return (1 - z) * n + z * h, c
    if isinstance(cell, SLSTM):
        # without a running maximum, which only keeps numbers in range
        memory, size = c
        i, f, z, o = (drive + linear(read(h), u)).split(cell.width, -1)
        keep = f.sigmoid() if cell.sigmoid else f.exp()
        memory, size = keep * memory + i.exp() * z.tanh(), keep * size + i.exp()
        return o.sigmoid() * memory / size, (memory, size)
    heard, norms = linear(read(h), u), cell.norms
    if norms is not None:
        drive = normed(linear(x, cell.input.weight)) * norms.input + cell.input.bias
        heard = normed(heard) * norms.recurrent
    gates = dict(zip(cell.gates, (drive + heard).split(cell.width, -1), strict=True))
    for gate in cell.peepholes.keys() & {"i", "f"}:
        gates[gate] = gates[gate] + cell.peepholes[gate] * c
    f = gates["f"].sigmoid() if "f" in gates else torch.ones_like(c)
    i = gates["i"].sigmoid() if "i" in gates else 1 - f
    c = f * c + i * gates["g"].tanh()
    o = gates["o"] + cell.peepholes["o"] * c if cell.peepholes else gates["o"]
    seen = c if norms is None else normed(c) * norms.memory.weight + norms.memory.bias
    return o.sigmoid() * (seen.tanh() if cell.squash else seen), c


def normed(x):
    away = x - x.mean(-1, keepdim=True)
    return away / (away.square().mean(-1, keepdim=True) + 1e-5).sqrt()
