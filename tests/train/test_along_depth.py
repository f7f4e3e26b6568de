"""Trainings that prepare every depth of a network, and the area under the curve along it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_fit import training
from test_resume import check
from torch import Tensor, nn
from toy_task import SignTask, network

from archsearch.build import Model, build
from archsearch.depth.positions import layers_of, passes, prefixes, removable
from archsearch.errors import InputError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.settings import Objective
from archsearch.train.along_depth import AlongDepth, along_depth, goodness, judge_along_depth
from archsearch.train.along_depth import trivial as trivial_of
from archsearch.train.declared import ADAMW
from archsearch.train.distil import Matching
from archsearch.train.exits import answers
from archsearch.train.fit import fit
from archsearch.train.guidance import Guided
from archsearch.train.judge import judge
from archsearch.train.loss import loss, model_loss
from archsearch.train.measure import peak_memory
from archsearch.train.supervision import LeftOut, Supervision, as_trained, survival
from archsearch.train.tensors import Tensors, tensors

torch.set_num_threads(1)
CATALOG = load_catalog()
ACCURACY, ERROR = Objective("accuracy", "max"), Objective("error", "min")
BLOCK = Block(Layer("gru"), channel=Layer("mlp"))
LOOPED = Stage((BLOCK,), loops=3, tie=Layer.of("shared", embedding=True))


def options(**given: object) -> Layer:
    return Layer.of("adamw", **given)


def stack(*stages: Stage, **parts: object) -> Architecture:
    return Architecture(8, stages or (Stage((BLOCK,), repeat=3),), **parts)


def made(task: SignTask, architecture: Architecture | None = None) -> Model:
    return build(architecture or stack(), CATALOG, task.signature, 0)


def drawn(task: SignTask, size: int = 6) -> Tensors:
    return tensors(task.draw(np.random.default_rng(0), size), torch.device("cpu"))


def state(model: nn.Module) -> list[Tensor]:
    return [part.clone() for part in model.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def after(task: SignTask, architecture: Architecture, **given: object) -> Model:
    model = made(task, architecture)
    torch.manual_seed(0)
    fit(model, task, training(steps=4, **given), NONE, seed=0, report=lambda s, m: True)
    return model


def test_at_their_defaults_the_options_are_not_written_and_change_nothing() -> None:
    plain = Layer.of("adamw", steps=4)
    said = Layer.of("adamw", steps=4, drop=0.0, exits="none", exit_share=0.3)
    assert ADAMW.complete(plain) == ADAMW.complete(said)
    task = SignTask()
    one, other = after(task, stack()), after(task, stack(), drop=0.0, exits="none")
    assert same(state(one), state(other))
    assert not same(state(one), state(after(task, stack(), drop=0.5)))
    assert not same(state(one), state(after(task, stack(), exits="equal")))


def test_survival_falls_linearly_to_the_last_layer() -> None:
    assert survival(0.5, 6) == pytest.approx([0.917, 0.833, 0.75, 0.667, 0.583, 0.5], abs=5e-4)
    assert sum(survival(0.5, 6)) == pytest.approx(4.25)


def test_what_is_left_out_is_left_out_whole_and_by_sequence() -> None:
    layer = nn.Identity()
    x, y = torch.randn(4000, 3, 2), torch.randn(4000, 3, 2)
    hook = LeftOut(0.75)
    torch.manual_seed(0)
    out = hook(layer, (x,), y)
    gone = (out == x).flatten(1).all(1)
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.allclose(out[~gone], (x + (y - x) / 0.75)[~gone], atol=1e-5)
    assert torch.allclose(out.mean(0), y.mean(0), atol=0.1)
    assert hook(layer.eval(), (x,), y) is y


def test_the_expectation_of_a_layer_is_what_it_gives_in_use() -> None:
    task = SignTask()
    model = made(task, stack(Stage((BLOCK,)), head=Layer("linear"))).double()
    x = drawn(task, 1).inputs.double().expand(20_000, -1, -1)
    with torch.no_grad(), as_trained(model, options(drop=0.5)):
        h = model.embed(x)
        seen = model.stages[0](h)[0]
        model.eval()
        used = model.stages[0](h)[0]
    assert len(seen.unique(dim=0)) == 2
    assert torch.allclose(seen.mean(0), used[0], atol=0.05)
    assert torch.equal(model.stages[0](h)[0], used)


@pytest.mark.parametrize(
    ("stage", "parts"),
    [
        (Stage((BLOCK,) * 2), [1, 1]),
        (Stage((BLOCK,) * 2, connections=Layer("reversible")), [2, 2]),
        (replace(LOOPED, tie=Layer.of("lora", rank=2)), [3]),
        (Stage((BLOCK, replace(BLOCK, gate=Layer("stochastic_depth")))), [1, 0]),
    ],
)
def test_every_block_can_be_left_out_once(stage: Stage, parts: list[int]) -> None:
    task = SignTask()
    model = made(task, stack(stage))
    assert [len(each) for each in removable(model.stages)] == parts
    batch = drawn(task, 64)
    with torch.no_grad():
        torch.manual_seed(0)
        before = model(batch.inputs)[0]
        with as_trained(model, options(drop=0.9)):
            torch.manual_seed(0)
            inside = model(batch.inputs)[0]
        torch.manual_seed(0)
        assert torch.equal(before, model(batch.inputs)[0])
    assert not torch.allclose(before, inside)


@pytest.mark.parametrize("checkpointing", ["blocks", "sqrt"])
@pytest.mark.parametrize("given", [{"drop": 0.5}, {"drop": 0.5, "exits": "linear"}])
def test_what_is_computed_again_leaves_out_the_same(checkpointing: str, given: dict) -> None:
    task = SignTask()
    plain, saving = (
        after(
            task,
            stack(training=Layer.of("adamw", checkpointing=how)),
            checkpointing=how,
            **given,
        )
        for how in ("none", checkpointing)
    )
    assert same(state(plain), state(saving))


@pytest.mark.parametrize("kind", ["equal", "linear"])
@pytest.mark.parametrize("every_step", [False, True])
def test_exits_are_weighed_and_only_the_last_is_told(kind: str, every_step: bool) -> None:
    task = SignTask(every_step)
    model, batch = made(task), drawn(task)
    said, penalty = answers(model, batch.inputs, batch.lengths)
    assert torch.equal(said[-1], model(batch.inputs, batch.lengths)[0])
    assert penalty.item() == 0.0
    losses = [loss(each, batch, task.signature) for each in said]
    weights = {"equal": (0.5, 0.5), "linear": (1 / 3, 2 / 3)}[kind]
    whole = 0.6 * losses[2] + 0.4 * (weights[0] * losses[0] + weights[1] * losses[1])
    wanted = torch.autograd.grad(whole, list(model.parameters()), allow_unused=True)
    with as_trained(model, options(exits=kind, exit_share=0.4)):
        told = model_loss(model, batch, task.signature)
        found = torch.autograd.grad(told, list(model.parameters()), allow_unused=True)
        model.eval()
        assert torch.allclose(model_loss(model, batch, task.signature), losses[2])
    assert told.item() == pytest.approx(losses[2].item())
    for one, other in zip(found, wanted, strict=True):
        assert (one is None and other is None) or torch.allclose(one, other, atol=1e-6)


def test_exits_reach_early_blocks_where_nothing_else_does() -> None:
    """The last block passes nothing on: only exits can train those before it."""
    task = SignTask()
    blind = Stage((BLOCK, replace(BLOCK, gate=Layer("none"))))
    model, batch = made(task, stack(blind)), drawn(task)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "blocks.1.cell.layer" in name:
                part.zero_()
    first = [part for name, part in model.named_parameters() if "blocks.0.cell" in name]
    model_loss(model, batch, task.signature).backward()
    assert all(part.grad is None or not part.grad.any() for part in first)
    with as_trained(model, options(exits="linear")):
        model_loss(model, batch, task.signature).backward()
    assert any(part.grad is not None and part.grad.any() for part in first)


def test_an_only_position_is_trained_as_ever() -> None:
    loss_of_one = torch.tensor(2.0, requires_grad=True)
    assert Supervision("linear", 0.5).total([loss_of_one]) is loss_of_one


@pytest.mark.parametrize(
    "stage",
    [
        Stage((BLOCK,) * 2),
        Stage((replace(BLOCK, cell=Layer("attention")),) * 2),
        LOOPED,
        replace(LOOPED, halting=Layer("supervised")),
        replace(LOOPED, halting=Layer.of("varied", truncate=2)),
        replace(LOOPED, halting=Layer("act")),
        replace(LOOPED, halting=Layer("ponder")),
        Stage((BLOCK,) * 2, connections=Layer("dense")),
        Stage((Block(Layer("bilstm")),) * 2) if "bilstm" in CATALOG.names("cell") else LOOPED,
    ],
)
def test_a_training_with_both_goes_on_from_any_step(stage: Stage) -> None:
    architecture = stack(stage, Stage((BLOCK,)))
    check(SignTask(), architecture, 3, drop=0.5, exits="linear")


def test_where_cells_see_the_future_drawn_loops_differ_by_length() -> None:
    name = next(n for n in CATALOG.names("cell") if not CATALOG.find("cell", n).causal)
    task = SignTask()
    stage = replace(LOOPED, blocks=(Block(Layer(name)),), halting=Layer("varied"))
    model, batch = made(task, stack(stage)), drawn(task, 32)
    torch.manual_seed(0)
    with as_trained(model, options(exits="equal")):
        for _ in range(5):
            assert torch.isfinite(model_loss(model, batch, task.signature))


def test_a_teacher_and_a_guide_go_with_exits() -> None:
    task = SignTask()
    model, teacher, batch = made(task), made(task, stack(Stage((BLOCK,)))), drawn(task)
    said, _ = answers(model, batch.inputs, batch.lengths)
    wanted = teacher.eval()(batch.inputs, batch.lengths)[0].detach()
    with as_trained(model, options(exits="equal", exit_share=0.4)):
        matched = Matching(teacher, mixed=False)(model, batch, task.signature)
        assert matched.item() == pytest.approx((said[-1] - wanted).square().mean().item())
        guided = Guided(model_loss, teacher, 1.0)(model, batch, task.signature)
        alone = model_loss(model, batch, task.signature)
    assert alone.item() < guided.item() < alone.item() + 1
    first = model.stages[0].tie.body.blocks[0].cell.norm.weight
    mean = 0.6 * (said[2] - wanted).square().mean()
    mean = mean + 0.2 * sum((each - wanted).square().mean() for each in said[:2])
    expected, found = (torch.autograd.grad(each, first)[0] for each in (mean, matched))
    assert torch.allclose(found, expected, atol=1e-6)


def test_exits_cost_memory_in_training() -> None:
    task = SignTask(every_step=True)
    model = made(task)
    plain = peak_memory(model, task, 32)
    with as_trained(model, options(exits="equal")):
        assert peak_memory(model, task, 32) > plain
    assert peak_memory(model, task, 32) == plain


def test_a_hand_computed_area() -> None:
    found = AlongDepth((0.0, 0.5, 1.0), tuple({"accuracy": a} for a in (0.5, 0.9, 1.0)))
    assert found.area(ACCURACY, None) == pytest.approx(0.5 * (0.5 + 0.9) / 2 + 0.5 * 0.95)
    errors = AlongDepth((0.0, 0.25, 1.0), tuple({"error": e} for e in (3.0, 1.0, 0.5)))
    # against a trivial 2: no better than it, then 0.5, then 0.75
    assert errors.area(ERROR, 2.0) == pytest.approx(0.25 * 0.25 + 0.75 * 0.625)
    # who stops by itself at half of its layers has the rest for nothing
    early = AlongDepth((0.0, 0.5), ({"accuracy": 0.0}, {"accuracy": 0.8}))
    assert early.area(ACCURACY, None) == pytest.approx(0.2 + 0.4)
    assert goodness(-3.0, ACCURACY, None) == 0.0
    assert goodness(0.0, ERROR, 0.0) == 0.0


def test_prefixes_are_what_is_applied() -> None:
    task = SignTask()
    act = replace(LOOPED, halting=Layer("act"))
    model = made(task, stack(Stage((BLOCK,) * 2), LOOPED, act, Stage((BLOCK,)))).eval()
    batch = drawn(task)
    with torch.inference_mode():
        h = model.embed(batch.inputs)
        found = prefixes(model.stages, h)
        whole, spent = model._through(batch.inputs)
        blocks = model.stages[0].tie.body.blocks
        second = blocks[1](blocks[0](h))
        loops = list(passes(model.stages[1], second))
        shorter = model.stages[3](model.stages[2](loops[0])[0])[0]
    layers = [float(prefix.layers.mean()) for prefix in found]
    halted = float(spent[2].loops.mean())
    # two blocks, three loops, halting as a whole, one block; then one and two loops with the rest
    assert layers[:6] == [0, 1, 2, 3, 4, 5]
    assert layers[6] == pytest.approx(5 + halted)
    assert len(found) == 10
    assert layers[-1] == pytest.approx(6 + halted)
    assert torch.equal(found[0].h, h)
    assert torch.equal(found[2].h, second)
    assert torch.equal(found[7].h, shorter)
    assert torch.equal(found[-1].h, whole)
    assert [layers_of(stage) for stage in model.stages] == [2, 1, 1, 1]


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("cell", ["gru", "attention", "bigru"])
def test_the_whole_network_is_judged_as_ever(cell: str, every_step: bool) -> None:
    if cell not in CATALOG.names("cell"):
        cell = next(n for n in CATALOG.names("cell") if not CATALOG.find("cell", n).causal)
    if every_step and not CATALOG.find("cell", cell).causal:
        cell = "lstm"
    task = SignTask(every_step)
    model = made(task, stack(Stage((Block(Layer(cell)),) * 2), LOOPED))
    found = judge_along_depth(model, task, "validation")
    assert model.training
    assert {k: v for k, v in found.items() if k != "depth_auc"} == judge(model, task, "validation")
    curve = along_depth(model, task, "validation")
    assert curve.compute == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1.0))
    assert found["depth_auc"] == pytest.approx(curve.area(ACCURACY, None))


def test_layers_are_counted_over_real_steps_where_positions_halt() -> None:
    task = SignTask(every_step=True)
    model = made(task, stack(replace(LOOPED, halting=Layer("act"))))
    curve = along_depth(model, task, "test")
    model.eval()
    (batch,) = task.evaluation("test")
    given = tensors(batch, torch.device("cpu"))
    (used,) = model.loops_used(given.inputs, given.lengths)
    assert curve.compute == pytest.approx((0, used / 3))


def test_a_metric_to_be_lowered_needs_a_trivial_predictor() -> None:
    class Low(SignTask):
        metrics = (ERROR, ACCURACY)

    class Unknown(Low):
        def chance(self) -> dict[str, float]:
            return {}

    model = made(SignTask())
    found, errors = judge_along_depth(model, Low(), "test"), along_depth(model, Low(), "test")
    assert trivial_of(Low(), "test", ERROR) == 0.5
    assert found["depth_auc"] == pytest.approx(errors.area(ERROR, 0.5))
    with pytest.raises(InputError, match="trivial predictor"):
        judge_along_depth(model, Unknown(), "test")


def test_exits_make_early_answers_better() -> None:
    task = SignTask(length=12)
    areas = []
    for exits in ("none", "linear"):
        model = made(task, stack(Stage((Block(Layer("gru")),), repeat=3)))
        given = training(steps=80, lr=0.02, batch=32, exits=exits)
        torch.manual_seed(0)
        fit(model, task, given, NONE, seed=0, report=lambda s, m: True)
        areas.append(judge_along_depth(model, task, "test")["depth_auc"])
    assert areas[1] > areas[0] + 0.02, areas


def test_the_toy_network_has_nothing_before_its_end() -> None:
    task = SignTask()
    curve = along_depth(made(task, network()), task, "test")
    assert curve.compute == (0.0, 1.0)
