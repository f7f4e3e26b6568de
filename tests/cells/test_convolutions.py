"""What each convolutional cell is known to be equal to, and how far it sees."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d, glu, pad, prelu, rms_norm, silu

from archsearch.cells.convolution.causal import CausalConv
from archsearch.cells.convolution.dilated_fsmn import DilatedFSMN
from archsearch.cells.convolution.fmlp import FMLP
from archsearch.cells.convolution.fsmn import FSMN
from archsearch.cells.convolution.gated_conv import GatedConv
from archsearch.cells.convolution.tcnca import TCNCA
from archsearch.cells.convolution.trellis import Trellis
from archsearch.errors import ArchitectureError


def seen_by_the_last(cell):
    """How much the last of 60 outputs depends on each input, by gradient."""
    x = torch.rand(1, 60, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cell.double()(x)[0][0, -1].sum(), x)
    return gradient[0].abs().sum(-1)


@pytest.mark.parametrize(
    ("build", "reach"),
    [
        (lambda: GatedConv(4, kernel=3, layers=2), 5),
        (lambda: GatedConv(4, kernel=5, layers=3, gate="gtu"), 13),
        (lambda: GatedConv(4, kernel=4, layers=2, bottleneck=2), 7),
        (lambda: Trellis(4, levels=6, cycle=1), 7),
        (lambda: Trellis(4, levels=7, cycle=3), 1 + 1 + 2 + 4 + 1 + 2 + 4 + 1),
        (lambda: Trellis(4, levels=4, cycle=2, kernel=3), 1 + 2 * (1 + 2 + 1 + 2)),
        (lambda: DilatedFSMN(4, order=5, depth=1), 5),
        (lambda: DilatedFSMN(4, order=4, depth=3), 1 + 3 * (1 + 2 + 4)),
        (lambda: FSMN(4, order=12), 12),
        (lambda: FMLP(4, reach=33), 33),
    ],
)
def test_the_last_output_sees_exactly_its_reach(build, reach):
    torch.manual_seed(0)
    cell = build()
    for name, part in cell.named_parameters():
        if name.startswith(("widen", "project")):
            nn.init.uniform_(part, 0.1, 1.0)  # positive, so that no relu hides a path
    assert getattr(cell, "reach", reach) == reach
    seen, exact = seen_by_the_last(cell), torch.arange(60) >= 60 - reach
    # the transform's rounding reaches further
    assert torch.equal(seen > 1e-14 if isinstance(cell, FMLP) else seen > 0, exact)


def test_gated_convolution_is_torch_glu_of_a_padded_convolution():
    torch.manual_seed(0)
    cell, x = GatedConv(5, kernel=4, layers=1), torch.randn(2, 11, 5)
    part = cell.convolutions[0]
    both = conv1d(pad(x.mT, (3, 0)), part.weight, part.bias)
    torch.testing.assert_close(cell(x)[0], x + glu(both, 1).mT)


GATES = {
    "glu": lambda value, gate: value / (1 + (-gate).exp()),
    "gtu": lambda value, gate: value.tanh() / (1 + (-gate).exp()),
    "bilinear": lambda value, gate: value * gate,
    "reglu": lambda value, gate: value * gate * (gate > 0),
    "swish": lambda value, gate: value * gate / (1 + (-gate).exp()),
}


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 11)])
@pytest.mark.parametrize(
    ("gate", "bottleneck"), [*((gate, 1) for gate in GATES), ("glu", 2), ("swish", 4)]
)
def test_gated_convolution_is_its_equations(gate, bottleneck, rows, length):
    torch.manual_seed(0)
    width = 16
    cell = GatedConv(width, kernel=3, layers=2, gate=gate, bottleneck=bottleneck)
    x = torch.randn(rows, length, width, requires_grad=True)
    weight = torch.randn(rows, length, width)
    taps = [3] if bottleneck == 1 else [1, 3, 1]
    assert [part.weight.shape[2] for part in cell.convolutions] == 2 * taps
    assert cell.convolutions[-1].weight.shape[1] == width // bottleneck
    h, left = x.mT, list(cell.convolutions)
    while left:
        inner = h
        for count in taps:
            part = left.pop(0)
            both = conv1d(pad(inner, (count - 1, 0)), part.weight, part.bias)
            inner = GATES[gate](*both.chunk(2, 1))
        h = h + inner
    y, wanted = cell(x)[0], [x, *cell.parameters()]
    torch.testing.assert_close(y, h.mT)
    plain = torch.autograd.grad((h.mT * weight).sum(), wanted)
    for got, want in zip(torch.autograd.grad((y * weight).sum(), wanted), plain, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_a_bottleneck_is_at_least_one_channel_wide():
    cell, x = GatedConv(3, layers=1, bottleneck=64), torch.randn(1, 4, 3)
    assert cell(x)[0].shape == x.shape
    assert cell.initial_state(1)[0].shape == (1, 2, 1)


def test_an_open_gate_leaves_a_plain_convolution():
    torch.manual_seed(0)
    cell, x = GatedConv(5, kernel=4, layers=1), torch.randn(2, 11, 5)
    part = cell.convolutions[0]
    with torch.no_grad():
        part.weight[5:] = 0
        part.bias[5:] = 40
    plain = conv1d(pad(x.mT, (3, 0)), part.weight[:5], part.bias[:5]).mT
    torch.testing.assert_close(cell(x)[0], x + plain)


@pytest.mark.parametrize("levels", [2, 5, 9])
def test_a_sparse_trellis_is_a_truncated_lstm(levels):
    """Theorem 1 of arXiv 1810.06682: only W_1 at t and W_2 at t - 1."""
    torch.manual_seed(0)
    width, length = 6, 14
    cell, oracle = Trellis(width, levels=levels), nn.LSTM(width, width, batch_first=True)
    with torch.no_grad():
        cell.inject[0], cell.hidden[1] = 0, 0
        cell.inject[1], cell.hidden[0] = oracle.weight_ih_l0.T, oracle.weight_hh_l0.T
        cell.bias.copy_(oracle.bias_ih_l0 + oracle.bias_hh_l0)
        x = torch.randn(2, length, width)
        got = cell(x)[0]
        for last in range(levels - 1, length):
            want = oracle(x[:, last - levels + 1 : last + 1])[0][:, -1]
            torch.testing.assert_close(got[:, last], want)


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 17)])
@pytest.mark.parametrize(("kernel", "dropout"), [(2, 0.0), (3, 0.0), (2, 0.4), (3, 0.4)])
def test_a_trellis_is_its_equations_in_plain_convolutions(kernel, dropout, rows, length):
    torch.manual_seed(0)
    width, x = 3, torch.randn(rows, length, 3, dtype=torch.float64, requires_grad=True)
    cell = Trellis(width, levels=5, cycle=2, kernel=kernel, dropout=dropout).double()
    for part in cell.parameters():
        nn.init.normal_(part, std=0.5)
    h = c = torch.zeros(rows, width, length, dtype=torch.float64)
    torch.manual_seed(1)
    y = cell(x)[0]
    torch.manual_seed(1)
    mask = torch.empty(rows, 1, width).bernoulli_(1 - dropout).double().mT / (1 - dropout)
    for dilation in (1, 2, 1, 2, 1):
        back = ((kernel - 1) * dilation, 0)
        both = torch.cat([pad(x.mT, back), pad(mask * h, back)], 1)
        weight = torch.cat([cell.inject, cell.hidden], 1).permute(2, 1, 0)
        gates = conv1d(both, weight, cell.bias, dilation=dilation)
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * pad(c, (dilation, 0))[..., :length] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(y, h.mT, rtol=1e-5, atol=1e-7)
    weight, wanted = torch.randn_like(y), [x, *cell.parameters()]
    plain = torch.autograd.grad((h.mT * weight).sum(), wanted)
    for got, want in zip(torch.autograd.grad((y * weight).sum(), wanted), plain, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


def test_a_trellis_of_two_taps_is_one_of_three_without_the_oldest():
    torch.manual_seed(0)
    two, three = Trellis(8, levels=4, cycle=3), Trellis(8, levels=4, cycle=3, kernel=3)
    with torch.no_grad():
        for name, part in three.named_parameters():
            part.zero_()
            part[-2 * (name != "bias") :].copy_(two.get_parameter(name))
    x = torch.randn(2, 19, 8)
    torch.testing.assert_close(three(x)[0], two(x)[0])


def test_what_a_trellis_drops_has_no_share_in_the_mean():
    """Where little is dropped and all is nearly linear, the mean over masks is evaluation's."""
    torch.manual_seed(0)
    cell = Trellis(6, levels=3, dropout=0.3)
    x = torch.randn(1, 7, 6)
    with torch.no_grad():
        for part in (cell.inject, cell.hidden):
            part.mul_(5)
        many = cell(x.expand(20000, -1, -1))[0]
        whole = cell.eval()(x)[0]
        assert torch.equal(whole, cell(x)[0])
    spread = many.std(0)
    assert spread.max() > 1e-5
    assert (many.mean(0) - whole[0]).abs().max() < 0.05 * spread.max()


def test_fsmn_is_a_depthwise_convolution_of_its_projection():
    torch.manual_seed(0)
    cell, x = FSMN(5, order=7, expand=2), torch.randn(2, 11, 5)
    p = cell.project(cell.widen(x).relu())
    kernel = cell.taps.T[:, None]
    memory = conv1d(pad(p.mT, (6, 0)), kernel, groups=5).mT
    torch.testing.assert_close(cell(x)[0], x + p + memory)


def test_dilated_fsmn_is_its_equations():
    torch.manual_seed(0)
    width, order = 4, 3
    cell, x = DilatedFSMN(width, order=order, depth=2), torch.randn(2, 13, width)
    u, v = silu(cell.enter(x)).chunk(2, -1)
    found = [cell.project(cell.widen(v).relu())]
    for index, memory in enumerate(cell.memories):
        total = 0
        for taps, source in zip(memory.taps.split(width, 1), found, strict=True):
            past = (order - 1) * 2**index
            padded = pad(source.mT, (past, 0))
            total = total + conv1d(padded, taps.T[:, None], groups=width, dilation=2**index).mT
        normed = rms_norm(total, (width,), memory.norm.weight, 1e-5)
        found.append(prelu(normed, memory.activation.weight))
    torch.testing.assert_close(cell(x)[0], cell.output(u * (v + found[0] + found[-1])))


def test_dilated_fsmn_calls_a_norm_that_is_watched():
    torch.manual_seed(0)
    cell, x, seen = DilatedFSMN(16), torch.randn(2, 13, 16), []
    expected = cell(x)[0]
    for memory in cell.memories:
        memory.norm.register_forward_hook(lambda module, *_: seen.append(module))
    torch.testing.assert_close(cell(x)[0], expected)
    assert seen == [memory.norm for memory in cell.memories]


@pytest.mark.parametrize("reach", [8, 33, 64])
def test_fmlp_filters_with_its_spectrum(reach):
    torch.manual_seed(0)
    cell = FMLP(3, reach=reach).double()
    spectrum = torch.complex(cell.real, cell.imaginary)
    inner = slice(1, (reach + 1) // 2)  # the constant and the fastest wave are real
    found = torch.fft.rfft(cell.kernel, dim=0)
    torch.testing.assert_close(found[inner], spectrum[inner])
    # once around the circle: on a periodic input it is the paper's circular filter
    x = torch.randn(2, reach, 3, dtype=torch.float64)
    circular = torch.fft.irfft(torch.fft.rfft(x, dim=1) * found, reach, 1)
    torch.testing.assert_close(cell(torch.cat([x, x], 1))[0][:, reach:], circular)


BANDS = {
    "low": [0, 1, 2, 3, 4],
    "high": [5, 6, 7, 8],
    "stop": [0, 1, 2, 7, 8],
}


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 40)])
@pytest.mark.parametrize("band", BANDS)
def test_a_band_of_fmlp_is_a_sum_of_its_waves(band, rows, length):
    torch.manual_seed(0)
    cell = FMLP(3, reach=17, band=band).double()
    x = torch.randn(rows, length, 3).double().requires_grad_()
    taps = torch.zeros(17, 3).double()
    for at, real, imaginary in zip(BANDS[band], cell.real, cell.imaginary, strict=True):
        angle = 2 * math.pi * at * torch.arange(17).double()[:, None] / 17
        weight = 1 if at == 0 else 2
        taps = taps + weight * (real * angle.cos() - imaginary * angle.sin()) / 17
    want = conv1d(pad(x.mT, (16, 0)), taps.flip(0).T[:, None], groups=3).mT
    y = cell(x)[0]
    torch.testing.assert_close(y, want)
    weight, wanted = torch.randn_like(y), [x, *cell.parameters()]
    plain = torch.autograd.grad((want * weight).sum(), wanted)
    for got, expected in zip(torch.autograd.grad((y * weight).sum(), wanted), plain, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("reach", [8, 16, 17])
def test_a_wave_outside_of_the_band_is_silent(band, reach):
    torch.manual_seed(0)
    cell, time = FMLP(1, reach=reach, band=band).double(), torch.arange(3 * reach).double()
    passed = []
    for at in range(reach // 2 + 1):
        wave = (2 * math.pi * at * time / reach).cos()
        passed.append(cell(wave[None, :, None])[0][0, reach:].abs().max().item() > 1e-9)
    assert [at for at, heard in enumerate(passed) if heard] == cell.kept.tolist()
    if reach > 8:
        assert cell.kept.tolist() == BANDS[band]


def test_a_band_of_few_frequencies_is_refused():
    with pytest.raises(ArchitectureError, match=r"reach 7 has too few .* take at least 8"):
        FMLP(4, reach=7, band="high")


def test_fmlp_with_a_spectrum_of_ones_changes_nothing():
    cell, x = FMLP(3, reach=32), torch.randn(2, 40, 3)
    with torch.no_grad():
        cell.real.fill_(1)
        cell.imaginary.fill_(0)
    torch.testing.assert_close(cell(x)[0], x)


def test_only_the_convolution_crosses_a_border_of_chunks():
    torch.manual_seed(0)
    cell = TCNCA(4, chunk=8, layers=1, kernel=2, dilation=1).double()
    assert cell.tcn.reach == 3
    x = torch.randn(1, 24, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cell(x)[0][0, 19].sum(), x)
    # position 19 attends to 16 ... 19, whose convolutions see two steps further back
    assert torch.equal(
        gradient[0].abs().sum(-1) > 0, (torch.arange(24) >= 14).logical_and(torch.arange(24) <= 19)
    )


def rotated(vector, distance):
    """Each pair (j, j + half) turned by distance / 10000^(j / half)."""
    half = len(vector) // 2
    pairs = torch.complex(vector[:half], vector[half:])
    angles = distance / 10000 ** (torch.arange(half).double() / half)
    turned = pairs * torch.polar(torch.ones(half).double(), angles)
    return torch.cat([turned.real, turned.imag])


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 13)])
@pytest.mark.parametrize("bias", ["distance", "rotary", "none"])
@pytest.mark.parametrize("normaliser", ["softmax", "laplace"])
def test_tcnca_is_attention_in_each_chunk(normaliser, bias, rows, length):
    torch.manual_seed(0)
    chunk, size = 5, 6
    cell = TCNCA(4, chunk=chunk, query_size=size, normaliser=normaliser, bias=bias).double()
    x = torch.randn(rows, length, 4).double().requires_grad_()
    for part in cell.parameters():
        nn.init.normal_(part, std=0.5)
    if bias == "rotary":
        # q'k of vectors that are rotated by their own positions depends on their distance alone
        by_distance = torch.stack(
            [rotated(cell.rotary.a, d + 3) @ rotated(cell.rotary.b, 3) for d in range(chunk)]
        )
    else:
        by_distance = torch.zeros(chunk).double() if bias == "none" else cell.bias
    convolved = cell.tcn(x)[0]
    z = silu(cell.shared(convolved))
    q, k = (z * cell.scale[side] + cell.shift[side] for side in (0, 1))
    v = silu(cell.value(x))
    seen = []
    for row in range(rows):
        for t in range(length):
            begin = t - t % chunk
            scores = k[row, begin : t + 1] @ q[row, t]
            offsets = by_distance[: t - begin + 1].flip(0)
            if normaliser == "softmax":
                weights = (scores / size**0.5 + offsets).softmax(0)
            else:
                middle = scores / (t - begin + 1) + offsets - 0.5**0.5
                weights = 0.5 * (1 + torch.erf(middle * (2 * math.pi) ** 0.5))
            seen.append(weights @ v[row, begin : t + 1])
    seen = torch.stack(seen).view(rows, length, 4)
    reset, update, candidate = cell.gates(convolved).chunk(3, -1)
    new = silu(candidate + cell.attended(silu(reset) * seen))
    want = update.sigmoid() * new + (1 - update.sigmoid()) * x
    y = cell(x)[0]
    # cosines and sines are kept in single precision
    torch.testing.assert_close(y, want, rtol=1e-5, atol=1e-6)
    weight, wanted = torch.randn_like(y), [x, *cell.parameters()]
    plain = torch.autograd.grad((want * weight).sum(), wanted, allow_unused=True)
    found = torch.autograd.grad((y * weight).sum(), wanted, allow_unused=True)
    for got, expected in zip(found, plain, strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_a_filter_that_was_pruned_as_a_whole_is_silent():
    conv = CausalConv(3, 2, 3, weight_norm=True)
    with torch.no_grad():
        conv.weight[0] = 0
    y, _ = conv(torch.randn(1, 5, 3), torch.zeros(1, 2, 3))
    assert not y[..., 0].any()
    assert y[..., 1].any()
    y.square().sum().backward()
    assert conv.weight.grad.isfinite().all()
