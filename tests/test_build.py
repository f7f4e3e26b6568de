"""A network built from an architecture: streams, seeds, spellings, errors, sane beginnings."""

import random
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from archsearch.blocks.declared import BLOCKS
from archsearch.build import build
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.sparsity.declared import SPARSITY
from archsearch.sparsity.magnitude import prunable
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog, CellType, real
from archsearch.spec.signature import Signature
from archsearch.testing.blocks import variants
from archsearch.train.declared import TRAINING

WIDTH = 16


class Leaky(nn.Module):
    """A visitor's cell, built from the class itself."""

    no_decay = frozenset({"rate"})

    def __init__(self, width, decay):
        super().__init__()
        self.map = nn.Linear(width, width)
        self.rate = nn.Parameter(torch.full((1, width), decay))

    def initial_state(self, batch):
        return (self.rate.new_zeros(batch, self.rate.shape[1]),)

    def forward(self, x, state=None):
        state = self.initial_state(x.shape[0]) if state is None else state
        seen = []
        for x_t in x.unbind(1):
            y_t, state = self.step(x_t, state)
            seen.append(y_t)
        return torch.stack(seen, 1), state

    def step(self, x_t, state):
        memory = self.rate * state[0] + self.map(x_t)
        return memory.tanh(), (memory,)


LEAKY = CellType("leaky", Leaky, {"decay": real(0.9, 0.0, 1.0, search=(0.5, 0.9))})
CATALOG = Catalog((*CELLS, LEAKY, *BLOCKS, *DEPTH, *SPARSITY, *TRAINING))
CELL_NAMES = CATALOG.names("cell")
CAUSAL = tuple(name for name in CELL_NAMES if CATALOG.find("cell", name).causal)


def signature(inputs="values", every_step=False):
    return Signature(inputs, 5, "class", 3, every_step=every_step, length=8)


def example(given, batch, time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if given.inputs == "tokens":
        return torch.randint(given.channels, (batch, time), generator=generator)
    return torch.randn(batch, time, given.channels, generator=generator)


def one_block(cell, **parts):
    return Block(cell if isinstance(cell, Layer) else Layer(cell), **parts)


def network(*stages, **parts):
    return Architecture(WIDTH, stages, **parts)


# what chooses among few by comparing numbers: what single precision rounds may tip the scales
CHOOSING = {
    *("ngram", "routing", "seqboat", "codebook", "key_value"),
    *("act", "routed", "saturated"),
}


@cache
def variants_of(kind, name):
    return tuple(variants(CATALOG.find(kind, name)))


def drawn(rng, cells, smooth=False):
    """A random architecture whose first cell is the first of ``cells``."""

    def layer(kind, name=None):
        names = [n for n in CATALOG.names(kind) if not (smooth and n in CHOOSING)]
        chosen = name or rng.choice(names)
        return Layer.of(chosen, **rng.choice(variants_of(kind, chosen)))

    def stage(names):
        blocks = tuple(
            Block(layer("cell", name), layer("gate"), layer("channel"), layer("norm"))
            for name in names
        )
        loops = rng.choice((1, 2, 3))
        return Stage(blocks, rng.choice((1, 1, 2)), loops, layer("tie"), layer("halting"))

    cut = rng.randint(1, len(cells))
    stages = [stage(names) for names in (cells[:cut], cells[cut:]) if names]
    return Architecture(
        WIDTH, tuple(stages), layer("embed"), layer("norm"), layer("head", "linear")
    )


def halting_often(model):
    """Halting units whose positions stop at different loops."""
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        if name.endswith("halt.weight"):
            nn.init.normal_(parameter, generator=generator)
    return model


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(
    ("inputs", "every_step"), [("values", False), ("tokens", False), ("values", True)]
)
# random networks without norms and residuals amplify what single precision rounds
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)], ids=str
)
def test_a_stream_equals_the_whole_on_every_prefix(cell, inputs, every_step, dtype, tolerance):
    given = signature(inputs, every_step)
    names = CAUSAL if every_step else CELL_NAMES
    if cell not in names:
        pytest.skip("it sees the future, so no task with an answer at every step takes it")
    smooth = dtype == torch.float32
    rng = random.Random(f"{cell}/{inputs}/{every_step}/0")
    others = [name for name in names if not (smooth and name in CHOOSING)]
    architecture = drawn(rng, [cell, rng.choice(others), rng.choice(others)], smooth)
    model = halting_often(build(architecture, CATALOG, given, seed=0)).eval().to(dtype)
    for batch, time in ((3, 7), (1, 1)):
        x = example(given, batch, time)
        x = x.to(dtype) if inputs == "values" else x
        # all that single precision has of its own are compiled loops; their contracts ask more
        compared = {0, 3, time - 1} if smooth else range(time)
        with torch.no_grad():
            state = model.initial_state(batch)
            for t in range(time):
                prediction, state = model.step(x[:, t], state)
                assert prediction.shape == (batch, 3)
                if t in compared:
                    whole, penalty = model(x[:, : t + 1])
                    assert penalty.shape == ()
                    expected = whole[:, t] if every_step else whole
                    torch.testing.assert_close(prediction, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("cell", ["leaky", "bidirectional"])
@pytest.mark.parametrize("pool", ["last", "mean", "max", "kmax", "attention"])
def test_padding_changes_nothing(cell, pool):
    given = signature()
    architecture = network(
        Stage((one_block(cell),), loops=3, halting=Layer.of("act", weight=0.5)),
        head=Layer.of("linear", pool=pool),
    )
    model = halting_often(build(architecture, CATALOG, given, seed=0)).eval()
    x, lengths = example(given, 3, 7), torch.tensor([1, 4, 7])
    together, penalty = model(x, lengths)
    costs = []
    for row, length in enumerate([1, 4, 7]):
        alone, cost = model(x[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)
        costs.append(cost.item() * length)
    assert penalty.item() == pytest.approx(sum(costs) / 12, rel=1e-5)
    # in another order, one length twice
    again, _ = model(x[[2, 0, 1, 0]], lengths[[2, 0, 1, 0]])
    torch.testing.assert_close(again, together[[2, 0, 1, 0]], rtol=1e-5, atol=1e-6)


def test_two_spellings_of_one_network_have_the_same_weights():
    block, other = one_block("leaky"), one_block("leaky", channel=Layer("mlp"))
    short = network(Stage((block, other), repeat=2), Stage((other,)))
    long = network(
        Stage((block, other, block)),
        Stage((other,), halting=Layer("act")),
        Stage(()),
        Stage((other,), tie=Layer.of("shared", embedding=True)),
    )
    assert short.digest == long.digest
    one, two = (build(spelling, CATALOG, signature(), seed=3) for spelling in (short, long))
    assert list(one.state_dict()) == list(two.state_dict())
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second)
    third = build(short, CATALOG, signature(), seed=4)
    assert not torch.equal(one.head.project.weight, third.head.project.weight)


def test_the_global_random_state_stays_as_it_is():
    before = torch.get_rng_state()
    build(network(Stage((one_block("leaky"),))), CATALOG, signature(), seed=2**63 - 1)
    assert torch.equal(before, torch.get_rng_state())


def test_what_halts_costs_and_learns_to():
    stage = Stage((one_block("leaky"),), loops=4, halting=Layer.of("act", weight=0.1))
    model = build(network(stage), CATALOG, signature(), seed=0)
    prediction, penalty = model(example(signature(), 2, 5))
    assert 0.1 < penalty.item() < 0.5
    (prediction.sum() + penalty).backward()
    assert model.stages[0].halt.weight.grad.any()
    (used,) = model.loops_used(example(signature(), 2, 5))
    assert 1 <= used <= 4

    fixed = build(network(replace(stage, halting=Layer("none"))), CATALOG, signature(), seed=0)
    assert fixed(example(signature(), 2, 5))[1].item() == 0
    assert fixed.loops_used(example(signature(), 2, 5)) == (4.0,)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_stored_weights_give_the_same_to_the_last_bit(cell):
    architecture = drawn(random.Random(cell), [cell])
    one, other = (build(architecture, CATALOG, signature(), seed) for seed in (0, 1))
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    x = example(signature(), 2, 5)
    with torch.no_grad():
        assert torch.equal(one.eval()(x)[0], other.eval()(x)[0])


EVERY_CELL = [(cell, gate) for cell in CELL_NAMES for gate in ("additive", "highway")]
EVERY_GATE = [("gru", gate) for gate in CATALOG.names("gate") if gate not in ("none", "rezero")]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("cell", "gate"), dict.fromkeys(EVERY_CELL + EVERY_GATE))
def test_twelve_blocks_begin_with_a_sane_variance(cell, gate):
    block = one_block(cell, gate=Layer(gate), channel=Layer("glu"))
    model = build(network(Stage((block,), repeat=12)), CATALOG, signature(), seed=0)
    seen = []
    model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    prediction, _ = model(example(signature(), 8, 20))
    # with a skip in the cell, too, every block adds up to one deviation
    assert 1e-3 < seen[0].var().item() < (1 + 12) ** 2 * 1.2
    prediction.square().sum().backward()
    reached = [block.cell.layer for block in model.stages[0].tie.body.blocks]
    sizes = [sum(p.grad.norm().item() for p in cell.parameters()) for cell in reached]
    assert max(sizes) < 1e3 * min(sizes)


def test_what_decays_and_what_is_pruned():
    act = Stage((one_block("leaky", norm=Layer("layernorm")),), loops=2, halting=Layer("act"))
    marked = replace(act, tie=Layer.of("shared", embedding=True))
    model = build(network(marked), CATALOG, signature(), seed=0)
    names = dict(model.named_parameters())
    spared = model.no_decay()
    cell = "stages.0.tie.body.blocks.0.cell"
    assert {f"{cell}.layer.rate", f"{cell}.norm.weight", "stages.0.tie.embedding"} <= spared
    assert {name for name in names if name.endswith("bias")} <= spared
    assert spared <= set(names)
    assert {f"{cell}.layer.map.weight", "embed.project.weight"} & spared == set()
    assert prunable(model) == {f"{cell}.layer.map.weight", "stages.0.halt.weight"}


def test_pruning_a_looped_network_keeps_its_promises():
    stage = Stage((one_block("leaky", channel=Layer("mlp")),), loops=3, halting=Layer("act"))
    model = build(network(stage), CATALOG, signature(), seed=0)
    masks = sparsify(model, Layer.of("magnitude", density=0.1), 30)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    losses = []
    for step in range(1, 31):
        x = example(signature(), 16, 6, seed=step)
        prediction, penalty = model(x)
        loss = nn.functional.cross_entropy(prediction, x[:, 0, :3].argmax(1)) + penalty
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        masks.before_step(step)
        optimizer.step()
        masks.after_step(step, optimizer)
        for name, mask in masks.state().items():
            assert not model.get_parameter(name)[~mask].any()
    for name, mask in masks.state().items():
        assert model.get_parameter(name).count_nonzero() == round(0.1 * mask.numel())
    assert losses[-1] < losses[0]


def test_a_network_without_stages_is_a_linear_map_of_its_input():
    model = build(network(norm=Layer("none")), CATALOG, signature(), seed=0)
    x = example(signature(), 2, 4)
    torch.testing.assert_close(model(x)[0], model.head.project(model.embed.project(x[:, -1])))
