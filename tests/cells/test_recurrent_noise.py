"""Dropout and zoneout of the recurrent cells: by hand with the same draws, and what draws owe."""

from __future__ import annotations

import copy

import pytest
import torch
from recurrent_steps import new_state

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
