"""A training that goes on from a checkpoint ends as one that was never interrupted, to the bit."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_task import SignTask, Summing, network

from archsearch.build import build
from archsearch.cells.declared import CELLS
from archsearch.plugins import load_catalog
from archsearch.sparsity.declared import SPARSITY
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import NONE, Architecture, Layer, Stage
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task
from archsearch.tasks.task import Task
from archsearch.train.checkpoint import Checkpoint, Mismatch, Training
from archsearch.train.declared import ADAMW
from archsearch.train.fit import Diverged, fit
from archsearch.train.groups import learning_groups

torch.set_num_threads(1)

STEPS = 8
# looks are at 2, 4, 6 and 8
LOOKS = 4
CATALOG = load_catalog()
DROPPING = Layer.of("linear", dropout=0.3)


@dataclass
class Run:
    """A training: the model it made, the curve it told, every checkpoint it could have left."""

    weights: dict[str, torch.Tensor]
    curve: list[tuple[int, dict[str, float]]]
    saved: list[Checkpoint]


def run(
    task: Task,
    architecture: Architecture,
    resume: Checkpoint | None = None,
    saves: Callable[[int], bool] = lambda step: True,
    steps: int = STEPS,
    **training: float | str,
) -> Run:
    model = build(architecture, CATALOG, task.signature, 5)
    curve: list[tuple[int, dict[str, float]]] = []
    saved: list[Checkpoint] = []
    made = 0

    def save(take: Callable[[], Checkpoint]) -> None:
        nonlocal made
        made += 1
        if saves(made):
            saved.append(take().copied())

    with torch.random.fork_rng(devices=()):
        # what the process draws from is seeded by the job, and changed by whatever ran before
        seed = 7 if resume is None else 8
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        options = {"steps": steps, "batch": 6, "evaluations": LOOKS, "lr": 0.02, **training}
        assert fit(
            model,
            task,
            ADAMW.complete(Layer.of("adamw", **options)),
            CATALOG.complete_architecture(architecture).sparsity,
            seed=3,
            report=lambda step, metrics: not curve.append((step, dict(metrics))),
            resume=resume,
            save=save,
        )
    return Run({k: v.clone() for k, v in model.state_dict().items()}, curve, saved)


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        (one.step, one.plain) == (other.step, other.plain)
        and one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())
    )


def check(
    task: Task, architecture: Architecture, *at: int, **training: float | str
) -> list[Checkpoint]:
    whole = run(task, architecture, **training)
    for step in at:
        stored = whole.saved[step - 1]
        assert stored.step == step
        # what is written to JSON and read again
        stored = replace(stored, plain=json.loads(json.dumps(stored.plain)))
        resumed = run(task, architecture, stored, **training)
        assert resumed.curve == whole.curve
        assert all(torch.equal(whole.weights[k], v) for k, v in resumed.weights.items())
        assert len(resumed.saved) == STEPS - step
        for mine, theirs in zip(resumed.saved, whole.saved[step:], strict=True):
            assert same(mine, theirs)
    return whole.saved


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("cell", [declared.name for declared in CELLS])
def test_every_cell(cell: str) -> None:
    """With dropout; after a step between two looks and at a look."""
    architecture = replace(network(cell), head=DROPPING)
    check(SignTask(), architecture, 3, 4)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lru", {"state": 3, "lr_share": 0.1}),
        ("tcn", {"dropout": 0.3}),
        ("trellis", {"dropout": 0.3, "levels": 2}),
    ],
)
def test_cells_that_learn_slower_or_draw(cell: str, options: dict[str, Any]) -> None:
    check(SignTask(), network(cell, **options), 3)


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_every_step_with_everything(at: int) -> None:
    """Dropout, weights that are pruned in steps 2 to 6, and loops that halt."""
    plain = network("gla")
    stage = replace(plain.stages[0], loops=3, halting=Layer.of("act"))
    sparsity = Layer.of("magnitude", density=0.25, updates=4)
    check(SignTask(every_step=True), replace(plain, stages=(stage,), sparsity=sparsity), at)


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("name", [declared.name for declared in SPARSITY])
@pytest.mark.parametrize("cells", [("gru", "gla"), ("lstm", "attention")], ids="-".join)
def test_every_sparsity(name: str, cells: tuple[str, ...]) -> None:
    """In a stage that loops and halts, with dropout; rewired and looked at in between."""
    plain = network(cells[0])
    blocks = tuple(network(cell).stages[0].blocks[0] for cell in cells)
    stage = replace(plain.stages[0], blocks=blocks, loops=2, halting=Layer.of("act"))
    many = {"updates": 4} if "updates" in CATALOG.find("sparsity", name).options else {}
    sparse = replace(plain, stages=(stage,), head=DROPPING, sparsity=Layer.of(name, **many))
    check(SignTask(), sparse, 3, 5)


def hold_in_a_loop(name: str, tie: str, halting: str) -> None:
    """Interrupted before and after the weights were touched in the middle of the training."""
    plain = network("gru")
    stage = replace(plain.stages[0], loops=2, tie=Layer(tie), halting=Layer(halting))
    block = replace(stage.blocks[0], channel=Layer("mlp"))
    sparse = replace(plain, stages=(replace(stage, blocks=(block,)),), sparsity=Layer(name))
    check(SignTask(), sparse, 3, 7)


SPARSE = CATALOG.names("sparsity")
LOOPED = [(tie, halting) for tie in CATALOG.names("tie") for halting in CATALOG.names("halting")]


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize(("place", "name"), list(enumerate(SPARSE)))
def test_every_sparsity_in_a_loop(place: int, name: str) -> None:
    hold_in_a_loop(name, *LOOPED[3 * place % len(LOOPED)])


@pytest.mark.slow
@pytest.mark.parametrize(("tie", "halting"), LOOPED)
@pytest.mark.parametrize("name", SPARSE)
def test_every_sparsity_in_every_loop(name: str, tie: str, halting: str) -> None:
    hold_in_a_loop(name, tie, halting)


@pytest.mark.parametrize("loops", [1, 3])
@pytest.mark.parametrize("halting", ["none", "act"])
def test_loops(loops: int, halting: str) -> None:
    plain = network("gru")
    stage: Stage = replace(plain.stages[0], loops=loops, halting=Layer.of(halting))
    check(SignTask(), replace(plain, stages=(stage,), head=DROPPING), 5)


@pytest.mark.parametrize(
    "layer",
    [
        Layer.of("parity", length=12, curriculum="length"),
        Layer.of("adding", length=12, curriculum="length"),
        Layer.of("mqar", pairs=2, vocab=8, length=16),
    ],
    ids=lambda layer: layer.name,
)
def test_tasks_of_the_catalog(layer: Layer) -> None:
    """Also those with a curriculum, whose batches depend on how far the training is."""
    sizes = {"validation_size": 8, "test_size": 8}
    layer = Layer.of(layer.name, **dict(layer.options), **sizes)
    task = open_task(TaskSpec(layer.name, CATALOG.find("task", layer.name).complete(layer)))
    check(task, network("rnn"), 3)


def test_noise_on_the_gradient() -> None:
    architecture = replace(network("gru"), head=DROPPING)
    saved = check(SignTask(), architecture, 1, 3, noise=0.01)
    assert not same(saved[-1], run(SignTask(), architecture).saved[-1])


def test_a_rate_in_units_of_the_largest_is_found_once() -> None:
    """It is that of the first weights; those of a checkpoint might have another."""
    architecture = replace(network("gru"), head=DROPPING)
    saved = check(SignTask(), architecture, 3, lr_unit="range", lr=0.25)
    rates = {one.plain["highest_rate"] for one in saved}
    assert len(rates) == 1
    assert 0.25 * 1e-5 <= rates.pop() <= 0.25


def test_a_checkpoint_from_before_rates_were_found_goes_on_at_the_given_one() -> None:
    whole = run(SignTask(), network("gru"))
    plain = dict(whole.saved[3].plain)
    del plain["highest_rate"]
    resumed = run(SignTask(), network("gru"), replace(whole.saved[3], plain=plain))
    assert same(resumed.saved[-1], whole.saved[-1])


def test_saving_changes_nothing() -> None:
    architecture = replace(network("deltanet"), head=DROPPING)
    every, never = (
        run(SignTask(), architecture),
        run(SignTask(), architecture, saves=lambda _: False),
    )
    assert never.saved == []
    assert never.curve == every.curve
    assert all(torch.equal(every.weights[k], v) for k, v in never.weights.items())


def test_resuming_twice() -> None:
    architecture = replace(network("lstm"), head=DROPPING)
    whole = run(SignTask(), architecture)
    once = run(SignTask(), architecture, whole.saved[1])
    twice = run(SignTask(), architecture, once.saved[2])
    assert once.saved[2].step == 5
    assert same(twice.saved[-1], whole.saved[-1])


def test_before_the_first_step() -> None:
    """Without a norm and without moments, it can be taken up all the same."""
    architecture = replace(network("gru"), head=DROPPING)
    task = SignTask()
    model = build(architecture, CATALOG, task.signature, 5)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(7)
        random.seed(7)
        np.random.seed(7)
        begun = begin(model, np.random.Generator(np.random.PCG64(3))).checkpoint().copied()
    assert json.loads(json.dumps(begun.plain))["norm"] is None
    assert not any(name.startswith("optimizer") for name in begun.tensors)
    whole = run(task, architecture)
    resumed = run(task, architecture, begun)
    assert len(resumed.saved) == STEPS
    assert same(resumed.saved[-1], whole.saved[-1])


def test_a_divergence_is_the_same() -> None:
    def diverge(resume: Checkpoint | None) -> tuple[str, list[Checkpoint]]:
        saved: list[Checkpoint] = []
        task = SignTask()
        task.poison = (6 if resume is None else 6 - resume.step, math.inf)
        model = build(network("gru"), CATALOG, task.signature, 5)
        with pytest.raises(Diverged) as caught:
            fit(
                model, task, ADAMW.complete(Layer.of("adamw", steps=STEPS, batch=6)), NONE,
                seed=3, report=lambda *_: True, resume=resume,
                save=lambda take: saved.append(take().copied()),
            )  # fmt: skip
        return str(caught.value), saved

    message, saved = diverge(None)
    assert [one.step for one in saved] == [1, 2, 3, 4, 5]
    assert diverge(saved[2])[0] == message
    # also when the norm that it tells of is of a step before
    assert diverge(saved[4])[0] == message


def test_a_plugin_may_draw_from_any_generator() -> None:
    """Python's and NumPy's generators are put back as well, in the middle of a pair of normals."""
    random.seed(1)
    np.random.seed(1)
    random.gauss(0, 1)
    np.random.standard_normal()
    now = begin(Summing(), np.random.default_rng(0))
    saved = now.checkpoint().copied()
    expected = [random.gauss(0, 1), random.random(), *np.random.standard_normal(3), torch.rand(1)]
    random.seed(2)
    np.random.seed(2)
    torch.manual_seed(2)
    now.restore(replace(saved, plain=json.loads(json.dumps(saved.plain))))
    found = [random.gauss(0, 1), random.random(), *np.random.standard_normal(3), torch.rand(1)]
    assert found == expected


@pytest.mark.parametrize("fault", ["cell", "lacks", "more", "shape", "type", "plain", "generator"])
def test_a_checkpoint_of_another_training_is_refused_and_changes_nothing(fault: str) -> None:
    task = SignTask()
    saved = run(task, network("gru")).saved[3]
    some = next(name for name in saved.tensors if name.startswith("model.stages"))
    memory = next(name for name in saved.tensors if name.endswith("exp_avg"))
    tensors, plain = dict(saved.tensors), dict(saved.plain)
    match fault:
        case "lacks":
            del tensors[some]
        case "more":
            tensors["optimizer.99.exp_avg"] = tensors[memory]
        case "shape":
            tensors[memory] = torch.zeros(1, 2, 3)
        case "type":
            tensors[some] = tensors[some].double()
        case "plain":
            plain["curve"] = [[1, None]]
        case "generator":
            plain["batches"] = {"bit_generator": "MT19937"}
    architecture = network("lstm" if fault == "cell" else "gru")
    model = build(architecture, CATALOG, task.signature, 5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generators = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with pytest.raises(Mismatch):
        begin(model, np.random.default_rng(0)).restore(Checkpoint(4, tensors, plain))
    assert all(torch.equal(before[name], v) for name, v in model.state_dict().items())
    assert generators[0] == random.getstate()
    assert generators[1] == np.random.get_state()[1].tolist()
    assert torch.equal(generators[2], torch.get_rng_state())


def begin(model: torch.nn.Module, batches: np.random.Generator) -> Training:
    optimizer = torch.optim.AdamW(learning_groups(model, 0.01), fused=True)
    return Training(model, optimizer, sparsify(model, NONE, STEPS), batches)
