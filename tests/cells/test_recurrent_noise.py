"""Dropout and zoneout of the recurrent cells: by hand with the same draws, and what draws owe."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import linear

from archsearch.cells.recurrent import noise
from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rhn import RHN
from archsearch.cells.recurrent.rnn import RNN

WIDTH = 6
DROPS = {"input_dropout": 0.2, "recurrent_dropout": 0.3}
NOISY = {
    RNN: DROPS | {"zoneout": 0.4},
    GRU: DROPS | {"zoneout": 0.4},
    LSTM: DROPS | {"zoneout": 0.4, "zoneout_memory": 0.45},
    RHN: DROPS,
}
CASES = [
    (RNN, {}),
    (RNN, {"activation": "relu", "heads": 3}),
    (RNN, {"activation": "gelu"}),
    (GRU, {}),
    (GRU, {"reset": "before", "heads": 2}),
    (LSTM, {}),
    (LSTM, {"forget": "coupled", "peephole": True, "heads": 3}),
    (LSTM, {"forget": "none", "squash": False, "peephole": True}),
    (LSTM, {"norm": True, "peephole": True, "heads": 2}),
    (LSTM, {"norm": True, "forget": "none", "squash": False}),
    (LSTM, {"norm": True, "forget": "coupled", "project": 0.5}),
    (LSTM, {"project": 0.5}),
    (RHN, {"depth": 3}),
    (RHN, {"coupled": False, "shared": True}),
]


def title(case):
    return "-".join([case[0].__name__, *map(str, case[1].values())])


def made(kind, dtype=torch.float64, **options):
    torch.manual_seed(0)
    cell = kind(WIDTH, **options).to(dtype)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cell


def new_state(cell, h, c, x, read):
    """What the cell makes of x and its state, where its matrices read ``read(h)`` for h."""
    if isinstance(cell, RHN):
        for level in range(cell.depth):
            layer = cell.layers[min(level, len(cell.layers) - 1)]
            gates = linear(read(h), layer.weight, layer.bias)
            gates = gates + linear(x, cell.input.weight) if level == 0 else gates
            u, g, *carry = gates.split(WIDTH, -1)
            carry = carry[0].sigmoid() if carry else 1 - g.sigmoid()
            h = g.sigmoid() * u.tanh() + carry * h
        return h, c
    drive, u = cell.input(x), cell.recurrent(torch.eye(WIDTH, dtype=x.dtype)).t()
    if isinstance(cell, RNN):
        new = drive + linear(read(h), u)
        if cell.activation == "gelu":
            new = (new * (1 + torch.erf(new / 2**0.5)) / 2).clamp_max(10)
            return new, c
        return getattr(torch, cell.activation)(new), c
    if isinstance(cell, GRU):
        (r, z, n), (u_r, u_z, u_n) = drive.split(WIDTH, -1), u.split(WIDTH)
        r, z = (r + linear(read(h), u_r)).sigmoid(), (z + linear(read(h), u_z)).sigmoid()
        if cell.candidate_bias is None:
            n = (n + linear(read(r * h), u_n)).tanh()
        else:
            n = (n + r * (linear(read(h), u_n) + cell.candidate_bias)).tanh()
        return (1 - z) * n + z * h, c
    heard, norms = linear(read(h), u), cell.norms
    if norms is not None:
        drive = normed(linear(x, cell.input.weight)) * norms.input + cell.input.bias
        heard = normed(heard) * norms.recurrent
    gates = dict(zip(cell.gates, (drive + heard).split(WIDTH, -1), strict=True))
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


def by_hand(cell, x, state, drawn):
    """The equations with masks of inputs and state (B, W) and with what stays, (T, B, W)."""
    h, c = state[0], state[-1]
    outputs = []
    for t, x_t in enumerate(x.unbind(1)):
        new, memory = new_state(cell, h, c, x_t * drawn["in"], lambda read: read * drawn["state"])
        h = drawn["h"][t] * h + (1 - drawn["h"][t]) * new
        c = drawn["c"][t] * c + (1 - drawn["c"][t]) * memory
        outputs.append(h)
    return torch.stack(outputs, 1), h, c


def watched(monkeypatch, steps):
    """What the cells draw from now on, by its name."""
    drawn, original = (
        {"in": 1.0, "state": 1.0, "h": [0.0] * steps, "c": [0.0] * steps},
        noise._drawn,
    )
    names = {0.8: "in", 0.7: "state", 0.4: "h", 0.45: "c"}

    def draw(like, shape, share):
        found = original(like, shape, share)
        # heads lie before rows
        apart = found.movedim(-3, -2).flatten(-2) if like.ndim == 3 else found
        name = names[round(share, 2)]
        drawn[name] = apart / share if name in ("in", "state") else apart
        return found

    monkeypatch.setattr(noise, "_drawn", draw)
    return drawn


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [(3, 7), (1, 1)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=title)
def test_training_follows_the_equations_with_its_draws(case, size, dtype, monkeypatch):
    kind, options = case
    cell = made(kind, dtype, **NOISY[kind], **options)
    x = torch.randn(*size, WIDTH, dtype=dtype, requires_grad=True)
    state = tuple(
        torch.randn(len(x), WIDTH, dtype=dtype, requires_grad=True) for _ in cell.initial_state(1)
    )
    drawn = watched(monkeypatch, size[1])
    y, after = cell(x, state)
    want, h, c = by_hand(cell, x, state, drawn)
    within = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    torch.testing.assert_close(y, want, **within)
    torch.testing.assert_close(after, (h, c)[: len(after)], **within)
    parts, weights = (x, *state, *cell.parameters()), torch.randn_like(y)
    found, expected = (
        torch.autograd.grad((out * weights).sum() + sum(part.sum() for part in last), parts)
        for out, last in ((y, after), (want, (h, c)[: len(after)]))
    )
    for slope, by in zip(found, expected, strict=True):
        torch.testing.assert_close(slope, by, **within)


@pytest.mark.parametrize("case", CASES, ids=title)
def test_evaluation_has_no_dropout_and_the_mean_of_zoneout(case):
    kind, options = case
    plain = made(kind, **options).eval()
    dropped = made(kind, **DROPS, **options).eval()
    x = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    assert torch.equal(dropped(x)[0], plain(x)[0])
    if kind is RHN:
        return
    zoned = made(kind, **NOISY[kind], **options).eval()
    h, c = NOISY[kind]["zoneout"], NOISY[kind].get("zoneout_memory")
    mean = {"in": 1.0, "state": 1.0, "h": [h] * 5, "c": [c or 0.0] * 5}
    first = zoned.initial_state(2)
    torch.testing.assert_close(zoned(x)[0], by_hand(zoned, x, first, mean)[0])
    # a lone step is as in evaluation, whatever the mode
    stepped = zoned.train().step(x[:, 0], first)[0]
    torch.testing.assert_close(stepped, zoned.eval()(x)[0][:, 0])


@pytest.mark.parametrize("kind", NOISY, ids=lambda kind: kind.__name__)
def test_training_draws_from_the_seed_and_anew(kind):
    cell, x, found = made(kind, **NOISY[kind]), torch.randn(2, 5, WIDTH).double(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        learner = copy.deepcopy(cell)
        descent = torch.optim.SGD(learner.parameters(), 0.1)
        for _ in range(2):
            learner(x)[0].square().sum().backward()
            descent.step()
        found.append(learner(x)[0])
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
    torch.manual_seed(1)
    assert not torch.equal(cell(x)[0], cell(x)[0])


@pytest.mark.parametrize("kind", NOISY, ids=lambda kind: kind.__name__)
def test_a_row_has_one_mask_of_its_own(kind, monkeypatch):
    cell, drawn = made(kind, **DROPS), watched(monkeypatch, 4)
    cell(torch.randn(64, 4, WIDTH).double())
    for name, share in (("in", 0.8), ("state", 0.7)):
        mask = drawn[name]
        assert mask.shape == (64, WIDTH)
        assert len(mask.unique(dim=0)) > 16
        torch.testing.assert_close(mask.unique(), torch.tensor([0, 1 / share]).double())
        # four deviations of the mean of so many
        assert abs(mask.mean() - 1) < 4 * ((1 - share) / share / mask.numel()) ** 0.5


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM], ids=lambda kind: kind.__name__)
def test_a_unit_in_its_zone_stays_as_it_was(kind):
    cell, state = made(kind, zoneout=0.3), kind(WIDTH).double().initial_state(200)
    state = tuple(torch.randn_like(part) for part in state)
    y, (h, *_) = cell(torch.randn(200, 1, WIDTH).double(), state)
    stays = (y[:, 0] == state[0]).double().mean()
    assert abs(stays - 0.3) < 4 * (0.3 * 0.7 / h.numel()) ** 0.5
