"""Every tie under every halting rule: streams, gradients, seeds; and what each of them promises."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call

from archsearch.build import Model, build
from archsearch.depth.declared import DEPTH, HALTING, TIES
from archsearch.depth.loops import FixedDepth
from archsearch.depth.lora import LoRA, LowRank, linears
from archsearch.depth.routed import RoutedDepth
from archsearch.depth.saturated import SaturatedDepth
from archsearch.depth.tie import Injected, Projected, Shared
from archsearch.depth.varied import MOST, VariedDepth
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import LayerType
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
SIGNATURE = Signature("values", 3, "value", 2, every_step=True, length=7)
WIDTH, LOOPS = 8, 3


def variants(declared: LayerType) -> list[Layer]:
    found = [Layer(declared.name)]
    for key, option in declared.options.items():
        explored = option.search or option.choices or ()
        if isinstance(explored, IntRange | FloatRange):
            explored = (explored.low, explored.high)
        found += [Layer.of(declared.name, **{key: value}) for value in explored]
    return list(dict.fromkeys(declared.complete(layer) for layer in found))


DEFAULTS = [declared.complete(Layer(declared.name)) for declared in DEPTH]
TIED = [layer for declared in TIES for layer in variants(declared)]
HALTED = [layer for declared in HALTING for layer in variants(declared)]
PAIRS = [
    (tie, halting)
    for tie in TIED
    for halting in HALTED
    # options of both at once add little
    if tie in DEFAULTS or halting in DEFAULTS
]


def network(tie: Layer, halting: Layer, cell: str = "gru") -> Model:
    blocks = (Block(Layer(cell), channel=Layer("mlp")),)
    stage = Stage(blocks, loops=LOOPS, tie=tie, halting=halting)
    given = CATALOG.complete_architecture(Architecture(width=WIDTH, stages=(stage,)))
    model = build(given, CATALOG, SIGNATURE, seed=1)
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(2)
        for parameter in model.parameters():
            # what starts at zero would hide that it is read
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize(("tie", "halting"), PAIRS, ids=str)
def test_a_stream_equals_the_whole(tie: Layer, halting: Layer) -> None:
    model, x = network(tie, halting).eval(), randn(2, 7, 3)
    with torch.no_grad():
        whole, _ = model(x)
        state = model.initial_state(2)
        for t in range(7):
            y_t, state = model.step(x[:, t], state)
            torch.testing.assert_close(y_t, whole[:, t], rtol=1e-4, atol=1e-5)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("tie", "halting"), PAIRS, ids=str)
def test_every_parameter_learns_and_weights_survive_a_round_trip(
    tie: Layer, halting: Layer
) -> None:
    model, x = network(tie, halting).train(), randn(4, 7, 3)
    if halting.name == "varied":
        model.stages[0].drawn = lambda: LOOPS + 1
    # all loops are to be used
    if halting.name == "routed":
        nn.init.constant_(model.stages[0].router.bias, 0.0)
        model.stages[0].router.bias.data[-1] = 3.0
    if halting.name in ("act", "ponder"):
        nn.init.constant_(model.stages[0].halt.bias, -2.0)
    y, penalty = model(x)
    (y.square().mean() + penalty).backward()
    still = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert still == []
    again = network(tie, halting)
    again.load_state_dict(model.state_dict())
    model.eval(), again.eval()
    with torch.no_grad():
        assert torch.equal(model(x)[0], again(x)[0])
        copied = copy.deepcopy(model)
        next(iter(model.stages.parameters())).add_(1.0)
        assert torch.equal(copied(x)[0], again(x)[0])
        double = copied.double()
        torch.testing.assert_close(double(x.double())[0].float(), again(x)[0])


@pytest.mark.parametrize("declared", DEPTH, ids=lambda declared: declared.name)
def test_what_is_declared_is_tested_here(declared: LayerType) -> None:
    assert declared.name in {layer.name for layer in TIED + HALTED}


class Affine(nn.Module):
    """x to tanh(W x + b), without a state."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.map(x))

    def initial_state(self, batch: int) -> tuple[()]:
        return ()

    def step(self, x_t: torch.Tensor, state: tuple[()]) -> tuple[torch.Tensor, tuple[()]]:
        return self(x_t), state


def seeded(make: type[nn.Module], **options: object) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)
        return make(Affine(), WIDTH, LOOPS, **options)


def test_lora_starts_as_the_plainly_shared_network() -> None:
    lora, shared, x = seeded(LoRA, rank=2), seeded(Shared), randn(2, 5, WIDTH)
    shared.body.load_state_dict(lora.body.state_dict())
    assert torch.equal(FixedDepth(lora, WIDTH, LOOPS)(x)[0], FixedDepth(shared, WIDTH, LOOPS)(x)[0])
    names = dict(lora.named_parameters())
    assert len(names) == 2 + 2 * LOOPS
    assert sum(p.numel() for p in names.values()) == WIDTH**2 + WIDTH + LOOPS * 2 * 2 * WIDTH
    # the shared matrix is stored once
    assert len(lora.state_dict()) == len(names)


def test_each_loop_of_lora_is_the_body_with_its_own_weight() -> None:
    lora, x = seeded(LoRA, rank=2), randn(2, 5, WIDTH)
    for part in lora.parameters():
        nn.init.normal_(part)
    for loop in range(LOOPS):
        (difference,) = lora.differences[loop]
        weight = lora.body.map.weight + difference.up @ difference.down
        expected = functional_call(lora.body, {"map.weight": weight}, (x,))
        torch.testing.assert_close(lora(x, loop, x), expected)
    assert torch.equal(lora(x, LOOPS + 5, x), lora(x, LOOPS - 1, x))


def test_every_loop_of_lora_has_weights_that_are_loaded_in_place_of_its_own() -> None:
    lora, other, x = seeded(LoRA, rank=2), seeded(LoRA, rank=2), randn(2, 5, WIDTH)
    for part in other.parameters():
        nn.init.normal_(part)
    lora.load_state_dict(other.state_dict(), assign=True)
    assert torch.equal(lora(x, 1, x), other(x, 1, x))


@pytest.mark.parametrize("rank", [0, 1, 3, WIDTH])
def test_a_low_rank_is_the_best_of_its_rank(rank: int) -> None:
    difference = randn(WIDTH, WIDTH).double()
    low = LowRank(WIDTH, WIDTH, rank).double()
    low.approximate(difference)
    left = low(torch.zeros_like(difference)) - difference
    tail = torch.linalg.svdvals(difference)[rank:].square().sum().sqrt()
    assert float(left.detach().norm()) == pytest.approx(float(tail), abs=1e-9)


def test_full_rank_gives_back_unshared_layers() -> None:
    bodies = [Affine() for _ in range(LOOPS)]
    lora, x = seeded(LoRA, rank=WIDTH), randn(2, 3, WIDTH)
    with torch.no_grad():
        mean = torch.stack([body.map.weight for body in bodies]).mean(0)
        lora.body.map.weight.copy_(mean)
        for body, (difference,) in zip(bodies, lora.differences, strict=True):
            body.map.bias.copy_(lora.body.map.bias)
            difference.approximate(body.map.weight - mean)
    for loop, body in enumerate(bodies):
        torch.testing.assert_close(lora(x, loop, x), body(x), rtol=1e-4, atol=1e-5)
    assert [type(module) for module in linears(lora.body)] == [nn.Linear]


def test_projections_and_injection_are_their_equations() -> None:
    x, first = randn(2, 3, WIDTH), randn(2, 3, WIDTH) + 1
    projected = seeded(Projected)
    nn.init.normal_(projected.shares)
    y = projected.body(x)
    a, b = projected.shares[1]
    expected = a * y + b * projected.projections[1](y)
    torch.testing.assert_close(projected(x, 1, first), expected)
    injected = seeded(Injected)
    torch.testing.assert_close(injected(x, 0, first), injected.body((x + first) / 2))


def test_norms_of_its_own_end_each_loop_at_its_scale() -> None:
    shared, x = seeded(Shared, norms=True), randn(2, 3, WIDTH)
    with torch.no_grad():
        shared.scales[1] = 3.0
    for loop, scale in ((0, 1.0), (1, 3.0)):
        size = shared(x, loop, x).square().mean(-1).sqrt()
        torch.testing.assert_close(size, torch.full_like(size, scale), rtol=1e-4, atol=1e-4)


def test_loops_are_drawn_around_their_mean_in_training_only() -> None:
    depth = VariedDepth(Shared(Affine(), WIDTH, 8), WIDTH, 8)
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)
        drawn = [depth.drawn() for _ in range(4000)]
    assert sum(drawn) / len(drawn) == pytest.approx(8, abs=0.25)
    assert min(drawn) >= 1
    assert max(drawn) <= MOST * 8
    assert len(set(drawn)) > 10
    depth.eval()
    assert (depth(randn(1, 2, WIDTH))[1].loops == 8).all()


@pytest.mark.parametrize("truncate", [0, 2])
def test_gradients_reach_back_as_far_as_they_may(truncate: int) -> None:
    depth = VariedDepth(Shared(Affine(), WIDTH, 5, embedding=True), WIDTH, 5, truncate=truncate)
    depth.train()
    depth.drawn = lambda: 5  # type: ignore[method-assign]
    depth(randn(1, 2, WIDTH))[0].sum().backward()
    reached = (depth.tie.embedding.grad.abs().sum(1) > 0).tolist()
    assert reached == [True] * 5 if not truncate else [False] * 3 + [True] * 2


class Halving(nn.Module):
    """Halves the distance to one, faster where the input's sign is negative."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x < 1, (x + 1) / 2, x)

    def initial_state(self, batch: int) -> tuple[()]:
        return ()

    def step(self, x_t: torch.Tensor, state: tuple[()]) -> tuple[torch.Tensor, tuple[()]]:
        return self(x_t), state


def test_a_position_stops_once_it_is_settled() -> None:
    depth = SaturatedDepth(Shared(Halving(), 1, 20), 1, 20, rest=0.1).eval()
    x = torch.tensor([[[0.0], [1.0], [0.75]]])
    y, spent = depth(x)
    # from 0: .5, .75, .875 (changed by .143 of itself), .9375 (.067)
    assert spent.loops.tolist() == [[4.0, 1.0, 2.0]]
    torch.testing.assert_close(y.flatten(), torch.tensor([0.9375, 1.0, 0.9375]))
    trained, all_loops = depth.train()(x)
    assert (all_loops.loops == 20).all()
    assert torch.all((trained - 1).abs() < 1e-5)


class Counting(Halving):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_a_router_gives_each_position_its_loops() -> None:
    depth = RoutedDepth(Shared(Counting(), 3, 3), 3, 3, balance=1.0, price=0.5).double()
    with torch.no_grad():
        depth.router.weight.copy_(50 * torch.eye(3))
        depth.router.bias.zero_()
    x = torch.eye(3).double()[None]
    y, spent = depth(x)
    assert spent.loops.tolist() == [[1.0, 2.0, 3.0]]
    torch.testing.assert_close(y - x, spent.loops[..., None].expand_as(x))
    # all numbers are used alike: the least that uneven use can cost, and each its expected loops
    torch.testing.assert_close(spent.cost, 1 + 0.5 * spent.loops)
    _, uneven = depth(x[:, :1])
    assert float(uneven.cost.detach()) == pytest.approx(3 + 0.5)


def test_a_random_start_is_drawn_in_training_and_fixed_in_use() -> None:
    injected, x = seeded(Injected, noise=0.5), randn(50, 20, WIDTH)
    assert float(injected.start.abs().max()) <= 1.5
    plain = seeded(Injected)
    # the first loop alone begins with it
    assert torch.equal(injected(x, 1, x), injected.body(x))
    assert plain.start is None
    assert "start" in injected.state_dict()
    assert "start" not in plain.state_dict()
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.default_generator.manual_seed(0)
        first = injected.train().before(x, 0, x)
        drawn = 2 * first - x
        assert float(drawn.std()) == pytest.approx(0.5, rel=0.05)
        assert float(drawn.abs().max()) <= 1.5 + 1e-5
        assert not torch.equal(first, injected.before(x, 0, x))
        torch.default_generator.manual_seed(0)
        assert torch.equal(first, injected.before(x, 0, x))
    injected.eval()
    expected = injected.body((injected.start + x) / 2)
    torch.testing.assert_close(injected(x, 0, x), expected)
    assert torch.equal(injected(x, 0, x), injected(x, 0, x))


class Logits(nn.Module):
    """Two logits, 0 and the stream: a head of which every divergence is known."""

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(h), h], -1).squeeze(1)


def test_a_position_stops_once_its_answer_is_settled() -> None:
    depth = SaturatedDepth(Shared(Counting(), 1, 9), 1, 9, rest=0.05, measure="answer").eval()
    depth.reads(nn.Identity(), Logits())
    x = torch.tensor([[[-1.0], [3.0]]])
    y, spent = depth(x)

    def divergence(logit: float) -> float:
        after, before = (torch.tensor([0.0, a]).log_softmax(0) for a in (logit + 1, logit))
        return float((after.exp() * (after - before)).sum())

    # p_r against p_{r-1}, from the logits -1, 0, 1, ..
    first = next(r for r in range(1, 10) if divergence(-2.0 + r) < 0.05)
    assert first == 4
    assert spent.loops.tolist() == [[4.0, 1.0]]
    assert y.flatten().tolist() == [3.0, 4.0]
    assert not list(depth.parameters())


def test_a_network_hands_its_head_to_the_stage_and_counts_it_once() -> None:
    halting = Layer.of("saturated", measure="answer", rest=1e-5)
    model, x = network(Layer("shared"), CATALOG.complete("halting", halting)).eval(), randn(2, 7, 3)
    assert model.stages[0]._ends == (model.norm, model.head)
    copied = copy.deepcopy(model)
    assert copied.stages[0]._ends == (copied.norm, copied.head)
    assert len(list(model.parameters())) == len(set(model.parameters()))
    with torch.no_grad():
        used = model.loops_used(x)[0]
        model.head.project.weight.zero_()
        # the answer no longer moves
        assert model.loops_used(x)[0] == 1 < used


@pytest.mark.parametrize(
    "tie", [*DEFAULTS[: len(TIES)], Layer.of("lora", rank=2, rest=True)], ids=str
)
def test_a_pickled_network_answers_and_learns_as_before(tie: Layer) -> None:
    model, x = network(tie, DEFAULTS[len(TIES)]).eval(), randn(2, 7, 3)
    other = pickle.loads(pickle.dumps(model))
    taught = []
    for each in (model, other):
        y, _ = each(x)
        y.square().sum().backward()
        taught.append((y, [parameter.grad for parameter in each.parameters()]))
    torch.testing.assert_close(*taught, rtol=0, atol=0)
