"""A valid space file says what it should; nothing of it imports torch."""

from __future__ import annotations

import dataclasses
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.errors import LocatedError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.domains import Choice, FloatRange, IntRange
from archsearch.spec.settings import (
    Budget,
    ConfirmSettings,
    Constraint,
    ExecutionSettings,
    Objective,
    SearchSettings,
)
from archsearch.spec.spacefile import SpaceFile, read_space

DESIGN = """\
archsearch: 1
task:
  name: classification
  data: ucr:ItalyPowerDemand          # or a path: data/train.csv, .parquet, .npz, .ts
space:
  width: {choice: [32, 64]}
  stages:
    - repeat: {int: [1, 3]}
      loops: {choice: [1, 2, 4]}
      halting: {choice: [none, act]}
      blocks:
        - cell:
            choice:
              - gru                                          # its defaults
              - {name: lru, state: {choice: [16, 32]}}       # a conditional option
              - {name: attention, heads: 4, pattern: {choice: [full, window, power]}}
              - {name: deltanet, options: search}            # everything the cell declares
          gate: {choice: [additive, highway]}
          channel: {choice: [none, {name: glu, expand: 2, activation: {choice: [silu, relu2]}}]}
  sparsity: {choice: [none, {name: magnitude, density: {choice: [0.1, 0.5]}}]}
  training:
    lr: {float: [1.0e-4, 1.0e-2], log: true}
    steps: 600
    batch: 64
search:
  sampler: tpe            # random | tpe | evolution | gp | nsga2 | grid | a plugin's
  trials: 60              # and/or time: 10m, cost: 2 gpu-hours
  seed: 0
  lag: 8                  # section 6; also the largest useful number of workers
  objectives: {accuracy: max, params: min}
  constraints: {params: "<= 200000"}
  stopping: halving       # none | median | halving | hyperband
confirm: {finalists: 3, seeds: 5, baselines: [lstm, gru, transformer]}
"""

SMALL = """\
archsearch: 1
task: parity
space:
  width: 32
  stages:
    - blocks:
        - cell: gru
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def read(tmp_path: Path, catalog: Catalog):
    def read(text: str, *overrides: tuple[str, str]) -> SpaceFile:
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return read_space(path, catalog, overrides)

    return read


def test_the_design_example_stands(read):
    file = read(DESIGN)
    domains = file.space.domains()
    assert domains["width"] == Choice(("32", "64"))
    assert domains["stages.0.repeat"] == IntRange(1, 3)
    assert domains["stages.0.blocks.0.cell"] == Choice(("gru", "lru", "attention", "deltanet"))
    assert domains["stages.0.blocks.0.cell.lru.state"] == Choice(("16", "32"))
    assert domains["training.lr"] == FloatRange(1e-4, 1e-2, None, True)
    assert "stages.0.blocks.0.cell.deltanet.heads" in domains
    assert "stages.0.blocks.0.cell.attention.heads" not in domains
    conditions = file.space.conditions()
    assert conditions["stages.0.blocks.0.cell.lru.state"] == "stages.0.blocks.0.cell is lru"
    assert conditions["stages.0.halting"] == "stages.0.loops is above 1"
    assert file.space.size() == math.inf
    assert [task.label for task in file.tasks] == ["ItalyPowerDemand"]
    assert file.search == SearchSettings(
        sampler=file.search.sampler,
        budget=Budget(trials=60),
        objectives=(Objective("accuracy", "max"), Objective("params", "min")),
        constraints=(Constraint("params", "<=", 200000.0),),
        stopping=file.search.stopping,
    )
    assert (file.search.sampler.name, file.search.stopping.name) == ("tpe", "halving")
    assert file.confirm == ConfirmSettings(3, 5, ("lstm", "gru", "transformer"))
    assert (file.name, file.text) == ("space", DESIGN)
    point = file.space.sample(random.Random(1))
    architecture = file.space.architecture(point)
    assert architecture.training["steps"] == 600
    assert file.space.contains(architecture)


def test_the_size_of_the_design_example_without_its_real_range(read):
    text = DESIGN.replace("{float: [1.0e-4, 1.0e-2], log: true}", "0.001")
    deltanet = 3 * 3 * (2 + 1) * 2 * (2 + 2) * 2 * 2
    cells = 1 + 2 + 3 + deltanet
    looping = 1 + 2 * 2
    assert read(text).space.size() == 2 * 3 * looping * cells * 2 * (1 + 2) * (1 + 2)


def test_defaults(read):
    file = read(SMALL)
    assert file.search == dataclasses.replace(
        SearchSettings(), sampler=file.search.sampler, stopping=file.search.stopping
    )
    assert (file.search.sampler.name, file.search.stopping.name) == ("tpe", "none")
    assert file.confirm == ConfirmSettings()
    assert file.execution == ExecutionSettings()
    assert file.space.size() == 1
    only = file.space.architecture(())
    block = only.stages[0].blocks[0]
    assert (only.embed.name, only.head.name, only.sparsity.name) == ("linear", "linear", "none")
    assert (block.gate.name, block.channel.name, block.norm.name) == (
        "additive",
        "none",
        "rmsnorm",
    )
    assert block.cell["reset"] == "after"
    assert only.training["steps"] == 600


def test_spelling_out_the_defaults_changes_nothing(read):
    spelled = SMALL.replace("cell: gru", "cell: {name: gru, reset: after}") + (
        "  training: {name: adamw}\n  norm: rmsnorm\n  embed: {positions: none}\n"
        "search: {sampler: tpe, seed: 0, lag: 8, stopping: none, trials: 60}\n"
        "confirm: {}\nexecution: {backend: local}\n"
    )
    short, long = read(SMALL), read(spelled)
    assert short.space.to_plain() == long.space.to_plain()
    assert short.search == long.search
    assert short.space.architecture(()).digest == long.space.architecture(()).digest


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("", Budget(trials=60)),
        ("trials: 7", Budget(trials=7)),
        ("trials: 1e3", Budget(trials=1000)),
        ("time: 90s", Budget(trials=None, time=90.0)),
        ("time: 1.5h, trials: 9", Budget(trials=9, time=5400.0)),
        ("cost: 2 gpu-hours", Budget(trials=None, gpu_seconds=7200.0)),
        ("cost: 30 cpu-minutes", Budget(trials=None, cpu_seconds=1800.0)),
        ("cost: 1 cpu-day", Budget(trials=None, cpu_seconds=86400.0)),
    ],
)
def test_budgets(read, budget, expected):
    assert read(f"{SMALL}search: {{{budget}}}\n").search.budget == expected


def test_execution_and_no_confirmation(read):
    file = read(
        SMALL + "confirm: none\nname: my study\n"
        "execution: {backend: inline, workers: 2, timeout: 10m, memory: 4GB}\n"
    )
    assert file.confirm is None
    assert file.name == "my study"
    assert file.execution == ExecutionSettings("inline", 2, 600.0, 4 * 10**9)
    assert read(SMALL + "execution: {memory: 1.5 GiB}").execution.memory == 3 * 2**29


@pytest.mark.parametrize(
    ("file", "name"),
    [("my space!.yaml", "my space"), ("日本.yaml", "study-"), ("東京.yaml", "study-")],
)
def test_a_study_is_named_by_its_file(tmp_path, catalog, file, name):
    (tmp_path / file).write_text(SMALL)
    (tmp_path / "大阪.yaml").write_text(SMALL)
    got, other = (read_space(tmp_path / each, catalog).name for each in (file, "大阪.yaml"))
    assert got.startswith(name)
    assert got != other


def test_several_tasks_with_labels(read):
    text = SMALL.replace(
        "task: parity",
        "tasks:\n  - parity\n  - {name: parity, length: 80, label: long}\n  - ucr\n",
    ).replace("  - ucr\n", "  - {name: classification, data: 'ucr:Gun Point'}\n")
    tasks = read(text).tasks
    assert [task.label for task in tasks] == ["parity", "long", "Gun-Point"]
    assert tasks[1].layer["length"] == 80


def test_data_paths_start_at_the_space_file(read, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train set.csv").write_text("x,y\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    text = SMALL.replace("parity", "{name: classification, data: data/train set.csv}")
    task = read(text).tasks[0]
    assert task.layer["data"] == str((tmp_path / "data" / "train set.csv").resolve())
    assert task.label == "train-set"
    both = text.replace("train set.csv}", "train set.csv, test: ../gone.csv}")
    with pytest.raises(LocatedError, match=r"space\.yaml:2:.*task\.test: expected an existing"):
        read(both)


def test_any_value_may_be_open(read):
    file = read(
        """\
archsearch: 1
task: parity
space:
  width: {choice: [16, {int: [32, 64], step: 16}]}
  stages:
    choice:
      - - {blocks: [{cell: gru}]}
      - - {blocks: [{cell: lstm}], repeat: 2}
        - blocks:
            choice:
              - [{cell: gru}]
              - [{cell: gru}, {cell: {name: gru, reset: before}}]
  head: {choice: [linear, {name: linear, pool: {choice: [mean, max]}}]}
  training: {options: search, weight_decay: 0, lr: 1e-3}
"""
    )
    domains = file.space.domains()
    assert domains["width.#2"] == IntRange(32, 64, 16)
    assert domains["stages"].labels == ("[[gru]]", "[[lstm], [gru]|[gru, gru]]")
    assert "stages.#2.1.blocks" in domains
    assert domains["head.linear#2.pool"] == Choice(("mean", "max"))
    # exits are none, or one of two with one of four shares; blocks are left out at three rates
    assert file.space.size() == 4 * 3 * 3 * (1 + 2 * 4) * 3
    architectures = [file.space.architecture(point) for point in file.space.points()]
    assert {a.training["lr"] for a in architectures} == {0.001}
    assert {len(a.stages) for a in architectures} == {1, 2}


def test_options_search_opens_what_is_declared_and_not_given(read):
    given = "heads: 2, normaliser: softmax, keys: own, unit: false, keep: 1.0"
    text = SMALL.replace("gru", f"{{name: attention, options: search, {given}}}")
    file = read(text)
    cell = "stages.0.blocks.0.cell"
    assert set(file.space.domains()) == {
        f"{cell}.pattern",
        f"{cell}.window",
        f"{cell}.stride",
        f"{cell}.positions",
        f"{cell}.block",
        f"{cell}.select",
    }
    assert file.space.conditions() == {
        f"{cell}.window": f"{cell}.pattern is window or chunked or dilated",
        f"{cell}.stride": f"{cell}.pattern is strided or fixed or dilated",
        f"{cell}.block": f"{cell}.pattern is perhead",
        f"{cell}.select": f"{cell}.pattern is perhead",
    }
    # full, power, three windows, three strides, two shares of blocks of three sizes; each with four
    # kinds of positions
    assert file.space.size() == (1 + 1 + 3 + 3 + 2 * 3) * 4


def test_ten_to_the_thirty_points_answer_at_once(read):
    block = "{cell: {name: tcn, options: search}, gate: {choice: [additive, highway, none]}}"
    text = SMALL.replace("- cell: gru", "\n        - ".join(["", *[block] * 25]))
    file = read(text)
    assert file.space.size() == (3 * 3 * 2 * 2 * 3 * 3) ** 25
    point = file.space.sample(random.Random(0))
    assert file.space.contains(file.space.architecture(point))


def test_anchors_are_read(read):
    text = SMALL.replace("cell: gru", "&b\n          cell: gru\n        - *b")
    assert len(read(text).space.architecture(()).stages[0].blocks) == 2


def test_options_of_layers_keep_their_declared_type(read):
    text = SMALL.replace("cell: gru", "cell: gru\n          channel: {name: glu, expand: 2}")
    expand = read(text).space.architecture(()).stages[0].blocks[0].channel["expand"]
    assert type(expand) is float
    assert Layer.of("glu", expand=expand) == Layer.of("glu", expand=2.0)


def test_reading_does_not_import_torch(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(DESIGN)
    code = (
        "import sys; from archsearch.plugins import load_catalog;"
        "from archsearch.spec.spacefile import read_space;"
        "from archsearch.spec.schema import json_schema;"
        "catalog = load_catalog(); space = read_space(sys.argv[1], catalog).space;"
        "json_schema(catalog); import random; space.architecture(space.sample(random.Random(0)));"
        "bad = {'torch', 'optuna', 'sqlalchemy', 'ray', 'pandas'} & set(sys.modules);"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
