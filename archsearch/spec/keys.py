"""The keys of the space file, format 1: one table that parser, JSON Schema and reference share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archsearch.spec.architecture import Architecture, Block
from archsearch.spec.catalog import choice, integer, real
from archsearch.spec.depthsettings import GUARANTEES, MOVES, POLICIES, RISKS, DepthSettings
from archsearch.spec.forms import Amount, Measured, OneOf, Text, Whole
from archsearch.spec.mix import PLACES, Mix
from archsearch.spec.openlayer import OpenStage
from archsearch.spec.percell import PerCell
from archsearch.spec.ranges import OptionValue
from archsearch.spec.rules import check_mix
from archsearch.spec.scalars import bound, cost, duration, memory
from archsearch.spec.sections import Key, ListOf, Metrics, OrNone, Section
from archsearch.spec.settings import (
    Budget,
    ConfirmSettings,
    Constraint,
    ExecutionSettings,
    Needs,
    Objective,
    SearchSettings,
)
from archsearch.spec.slots import LayerSlot, Open, OpenList, closed
from archsearch.spec.taskform import TaskForm, TaskList
from archsearch.spec.tree import Record

BACKENDS = ("local", "inline", "ray", "tune")
BASELINES = ("lstm", "gru", "transformer")

TIME = Measured(duration, "a time such as 90s, 10m, 2h or 1d", r"^[0-9.]+ ?[smhd]$")


def _record(make: type) -> Any:
    return lambda values: Record(make, tuple(values.items()))


def _number(low: int, high: int) -> Open:
    return Open(OptionValue(integer(low, low, high)))


def _slot(kind: str, default: str | None = None) -> Open:
    return Open(LayerSlot(kind, default))


BLOCK = Section(
    (
        Key("cell", _slot("cell"), "what mixes the time steps", required=True),
        Key("gate", _slot("gate"), "how a layer's output meets the residual stream", "additive"),
        Key("channel", _slot("channel"), "what mixes the channels of one step", "none"),
        Key("norm", _slot("norm", "rmsnorm"), "the normalisation of each layer", "rmsnorm"),
        Key("placement", _slot("placement"), "where that norm stands", "pre"),
    ),
    _record(Block),
)

MIX = Section(
    (
        Key("blocks", Open(OpenList(Open(BLOCK))), "what stands in their place", required=True),
        Key(
            "share",
            Open(OptionValue(real(0.5, 0.0, 1.0))),
            "which part of the copies, to the nearest whole one",
            required=True,
        ),
        Key(
            "at",
            Open(OptionValue(choice(*PLACES))),
            "which of them: the first, the last, evenly spread, or drawn at random",
            "even",
        ),
    ),
    lambda values: Mix(**values),
)

STAGE = Section(
    (
        Key("repeat", _number(1, 1000), "copies of the blocks, each with own weights", "1"),
        Key("loops", _number(1, 1000), "how often the same weights are applied in depth", "1"),
        Key("tie", _slot("tie", "shared"), "what the loops share; read where loops > 1", "shared"),
        Key("halting", _slot("halting"), "who stops looping early; read where loops > 1", "none"),
        Key("connections", _slot("connections"), "what a block reads of those before", "chain"),
        Key("blocks", Open(OpenList(Open(BLOCK))), "the layers of one copy", required=True),
        Key("mix", OrNone(MIX), "other blocks in place of some of the copies", "none"),
    ),
    lambda values: OpenStage(**values),
    check_mix,
)

SPACE = Section(
    (
        Key("width", _number(1, 65536), "channels of the residual stream", required=True),
        Key("embed", _slot("embed", "linear"), "from the inputs to the width", "linear"),
        Key("stages", Open(OpenList(Open(STAGE))), "the network, front to back", required=True),
        Key("norm", _slot("norm", "rmsnorm"), "the normalisation before the head", "rmsnorm"),
        Key("head", _slot("head", "linear"), "from the width to the answer", "linear"),
        Key("sparsity", _slot("sparsity"), "which weights become zero", "none"),
        Key("training", _slot("training", "adamw"), "how the weights are found", "adamw"),
        Key("init", _slot("init"), "how the weights are drawn before", "default"),
    ),
    _record(Architecture),
)


def _search(values: Mapping[str, Any]) -> SearchSettings:
    trials, time, spent = values["trials"], values["time"], values["cost"]
    if trials is None and time is None and spent is None:
        trials = Budget.trials
    resource, seconds = spent or (None, None)
    budget = Budget(
        trials=trials,
        time=time,
        cpu_seconds=seconds if resource == "cpu" else None,
        gpu_seconds=seconds if resource == "gpu" else None,
    )
    objectives = (values["objectives"] or {}).items()
    constraints = (values["constraints"] or {}).items()
    return SearchSettings(
        sampler=closed(values["sampler"]),
        budget=budget,
        seed=values["seed"],
        lag=values["lag"],
        objectives=tuple(Objective(metric, direction) for metric, direction in objectives),
        constraints=tuple(Constraint(metric, *limit) for metric, limit in constraints),
        stopping=closed(values["stopping"]),
    )


SEARCH = Section(
    (
        Key("sampler", LayerSlot("sampler", open_=False), "who proposes the next trial", "tpe"),
        Key(
            "trials",
            Whole(1, 10_000_000),
            "end after so many trials; 60 where neither time nor cost is given",
        ),
        Key("time", TIME, "end after so much time"),
        Key(
            "cost",
            Measured(
                cost,
                "a cost such as 2 gpu-hours or 30 cpu-minutes",
                r"^[0-9.]+ ?(cpu|gpu)-(second|minute|hour|day)s?$",
            ),
            "end after so much computing, over all workers",
        ),
        Key("seed", Whole(0, 2**53), "same seed, same trials", "0"),
        Key(
            "lag",
            Whole(1, 1_000_000),
            "trial k is proposed from the outcomes up to trial k - lag; more workers idle",
            "8",
        ),
        Key(
            "objectives",
            Metrics(OneOf(("max", "min"))),
            "what is better; by default the task's first metric",
        ),
        Key(
            "constraints",
            Metrics(
                Measured(bound, "a bound such as '<= 200000'", r"^ *(<=|>=|<|>) *[-+0-9.eE]+ *$")
            ),
            "what an acceptable architecture keeps",
        ),
        Key(
            "stopping",
            LayerSlot("stopping", open_=False),
            "who ends a hopeless trial early",
            "none",
        ),
    ),
    _search,
)

CONFIRM = Section(
    (
        Key("finalists", Whole(1, 100), "so many of the best architectures are retrained", "3"),
        Key("seeds", Whole(1, 1000), "each so often, on the same seeds", "5"),
        Key(
            "baselines",
            ListOf(OneOf(BASELINES), least=0, most=len(BASELINES)),
            "tuned networks they are compared with",
            f"[{', '.join(BASELINES)}]",
        ),
        Key(
            "masks",
            Whole(0, 100),
            "random masks that a learned one is compared with, of the same size in each matrix",
            "3",
        ),
    ),
    lambda values: ConfirmSettings(**values),
)

DEPTH = Section(
    (
        Key(
            "policy",
            OneOf(("best", *POLICIES)),
            "who says how much of the network an input gets",
            "best",
        ),
        Key("moves", OneOf(MOVES), "whether chains of layers skip, repeat, or do both", "both"),
        Key("chains", Whole(2, 100), "the most chains that a router chooses from", "16"),
        Key("simulations", Whole(1, 10_000), "of a tree search, for each sequence", "50"),
        Key("guarantee", OneOf(GUARANTEES), "how the knob is certified", "ltt"),
        Key(
            "risk",
            OneOf(RISKS),
            "what is bounded: answers other than the network's, or lost right ones",
            "differs",
        ),
        Key("delta", Amount(0.001, 0.999), "the risk that is allowed", "0.05"),
        Key("epsilon", Amount(0.001, 0.999), "how often the bound may fail", "0.1"),
    ),
    lambda values: DepthSettings(**values),
)

MEMORY = Measured(memory, "an amount such as 512MB or 4GB", r"^[0-9.]+ ?([KMGT]i?B|B)$")
ADDRESS = Text(
    r"auto|local|[A-Za-z0-9._\[\]:-]{1,250}:[0-9]{1,5}", "'auto', 'local' or HOST:PORT of a cluster"
)
NEEDS = (
    Key("cpus", Amount(0.01, 1024), "cores that a trial occupies on a cluster; by default one"),
    Key("gpus", Amount(0.0, 64), "GPUs that a trial occupies and trains on, or a share of one"),
)
NEEDS_OF_CELL = Section(
    (*NEEDS, Key("memory", MEMORY, "the most memory of such a trial")),
    lambda values: Needs(**values),
)

EXECUTION = Section(
    (
        Key("backend", OneOf(BACKENDS), "where trials run", "local"),
        Key("workers", Whole(1, 10_000), "trials at the same time; by default one per core"),
        Key("timeout", TIME, "the most time of one trial"),
        Key("memory", MEMORY, "the most memory of one worker"),
        Key("address", ADDRESS, "the Ray cluster: auto finds one, local begins one"),
        *NEEDS,
        Key("cells", PerCell(NEEDS_OF_CELL), "other needs of trials that have such a cell", "{}"),
        Key("least_memory", MEMORY, "on Ray: reserve what like trials used, but at least this"),
    ),
    lambda values: ExecutionSettings(**values),
)

DOCUMENT = Section(
    (
        Key("archsearch", Whole(1, 1), "the format of this file", required=True),
        Key(
            "name",
            Text(
                r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}",
                "a name of at most 100 letters a to z, digits, ' ', . _ -",
            ),
            "the study's name; by default the file's",
        ),
        Key("task", TaskForm(), "the task to search for"),
        Key("tasks", TaskList(TaskForm(), most=100), "several tasks, in place of task"),
        Key("space", SPACE, "everything the architecture may be", required=True),
        Key("search", SEARCH, "who proposes, how long, and what is better", "{}"),
        Key("confirm", OrNone(CONFIRM), "how the answer is judged afterwards", "{}"),
        Key("depth", OrNone(DEPTH), "how the answer adapts its depth to each input", "none"),
        Key("execution", EXECUTION, "where trials run; changes no result", "{}"),
    ),
    dict,
)
