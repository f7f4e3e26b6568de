"""The documentation does what it says: commands run, examples validate, links lead somewhere."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from forked_commands import forked

from archsearch.build import build
from archsearch.cli.main import COMMANDS
from archsearch.plugins import load_catalog
from archsearch.search.declared import SAMPLERS, STOPPING
from archsearch.spec.keys import DOCUMENT
from archsearch.spec.settings import MEASURED, TIMED
from archsearch.spec.spacefile import SpaceFile, read_space
from archsearch.tasks.open import open_task
from archsearch.train.fit import fit

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
CATALOG = load_catalog()

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
              - {name: deltanet, options: search}            # everything the cell declares searchable
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
"""  # noqa: E501 - as it stands


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def archsearch(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return forked(list(arguments), folder, os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"})


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder in which the tutorial was followed from top to bottom, and what was printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    said: dict[str, str] = {}
    for language, block in re.findall(r"```(python|yaml|sh)\n(.*?)```", TUTORIAL, re.DOTALL):
        if language == "python":
            subprocess.run([sys.executable, "-c", block], cwd=folder, check=True)
        elif language == "yaml":
            (folder / block.split("\n")[0].removeprefix("# ")).write_text(block)
        else:
            for line in block.strip().splitlines():
                command, *arguments = shlex.split(line)
                assert command == "archsearch"
                done = archsearch(*arguments, folder=folder)
                assert done.returncode == 0, f"{line}\n{done.stderr}"
                assert "Traceback" not in done.stderr
                said[line] = done.stdout
    return folder, said


def test_the_tutorial_runs_as_it_stands(followed):
    folder, said = followed
    assert "valid" in said["archsearch validate starts.yaml"]
    assert "nothing was written" in said["archsearch run starts.yaml --dry-run"]
    run = next(text for line, text in said.items() if "--export" in line)
    assert "Verdict:" in run
    assert "exported" in run
    table = pd.read_csv(folder / "answers.csv")
    assert len(table) == 160
    truth = pd.read_csv(folder / "starts.csv")["outcome"]
    assert (table["prediction"] == truth).mean() > 0.75
    assert {"model.py", "model.safetensors"} <= {p.name for p in (folder / "plain").iterdir()}


def test_the_picture_can_be_drawn_again(followed):
    folder, _ = followed
    drawing = [sys.executable, str(ROOT / "docs" / "picture.py"), "archsearch.db", "starts"]
    subprocess.run([*drawing, "starts.svg"], cwd=folder, check=True)
    drawn = (folder / "starts.svg").read_text()
    committed = (ROOT / "docs" / "run.svg").read_text()
    for picture in (drawn, committed):
        assert all(word in picture for word in ("search", "Verdict", "confirm", "chance"))
        assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def quotes(quoted: str, line: str) -> bool:
    """Whether a line begins and ends as quoted, with something left out in between."""
    first, last = " ".join(quoted.split()).split("...")
    return line.startswith(first.strip()) and line.strip().endswith(last.strip())


def test_the_tutorial_quotes_a_real_fault(followed):
    folder, _ = followed
    (quoted,) = (block for block in blocks(TUTORIAL, "text") if "error:" in block)
    space = (folder / "starts.yaml").read_text()
    (folder / "typo.yaml").write_text(space.replace("- gru", "- grou"))
    refused = archsearch("validate", "typo.yaml", folder=folder)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert quotes(quoted.replace("starts.yaml", "typo.yaml"), refused.stderr)


def test_the_reference_quotes_a_real_fault(tmp_path):
    page = (ROOT / "docs" / "space-file.md").read_text()
    (space,) = (block for block in blocks(page, "yaml") if "archsearch: 1" in block)
    (quoted,) = (block for block in blocks(page, "text") if "error:" in block)
    (tmp_path / "space.yaml").write_text(space)
    assert archsearch("validate", "space.yaml", folder=tmp_path).returncode == 0
    (tmp_path / "space.yaml").write_text(space.replace("trials:", "trails:"))
    refused = archsearch("validate", "space.yaml", folder=tmp_path)
    assert quotes(quoted, refused.stderr)


def test_the_space_of_the_readme_is_valid(tmp_path):
    (example,) = blocks((ROOT / "README.md").read_text(), "yaml")
    pd.DataFrame({"r0": [0.0, 1.0], "label": ["a", "b"]}).to_csv(tmp_path / "train.csv")
    (tmp_path / "space.yaml").write_text(example)
    assert read_space(tmp_path / "space.yaml", CATALOG).tasks[0].label == "train"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_has_every_command(name):
    table = (ROOT / "README.md").read_text().partition("## Commands")[2].partition("\n## ")[0]
    rows = "\n".join(line for line in table.splitlines() if line.startswith("|"))
    assert re.search(rf"`(archsearch )?{name}\b", rows)


@pytest.mark.parametrize("kind", ["cell", "gate", "channel", "norm"])
def test_the_readme_has_every_layer_in_the_box(kind):
    box = (ROOT / "README.md").read_text().partition("## In the box")[2].partition("\n## ")[0]
    ours = [entry for entry in CATALOG.declarations(kind) if entry.distribution == "archsearch"]
    missing = [entry.name for entry in ours if entry.name not in box.lower()]
    assert missing == []


def test_the_reference_has_every_key_sampler_rule_and_metric():
    page = (ROOT / "docs" / "space-file.md").read_text()
    top = page.partition("### Top level")[2].partition("###")[0]
    assert [key.name for key in DOCUMENT.keys if f"| `{key.name}` |" not in top] == []
    names = [entry.name for entry in (*SAMPLERS, *STOPPING)]
    options = [option for entry in (*SAMPLERS, *STOPPING) for option in entry.options]
    assert [name for name in (*names, *options, *MEASURED, *TIMED) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [link for link in links if not re.match("[a-z]+:", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_yaml_block_is_yaml(page):
    for block in blocks(page.read_text(), "yaml"):
        assert isinstance(yaml.safe_load(block), dict)


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SpaceFile]:
    folder = tmp_path_factory.mktemp("design")
    (folder / "design.yaml").write_text(DESIGN)
    short = [("space.training.steps", "2"), ("space.training.evaluations", "2")]
    return folder, read_space(folder / "design.yaml", CATALOG, short)


def test_the_example_of_the_design_runs_as_it_stands(design):
    folder, _ = design
    few = ["--trials", "2", "--set", "space.training.steps=10", "--set", "confirm.seeds=1"]
    done = archsearch("run", "design.yaml", *few, "--workers", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "2 complete" in done.stdout
    assert "Verdict:" in done.stdout
    board = archsearch("leaderboard", "design", folder=folder).stdout
    assert "accuracy" in board
    assert "params" in board


def test_samples_of_the_design_build_and_train(design):
    _, file = design
    task = open_task(file.tasks[0])
    rng = random.Random(0)
    seen: dict[str, set[str]] = {}
    for _ in range(30):
        architecture = file.space.architecture(file.space.sample(rng))
        model = build(architecture, CATALOG, task.signature, seed=0)
        assert fit(
            model,
            task,
            architecture.training,
            architecture.sparsity,
            seed=0,
            report=lambda step, metrics: True,
            split=None,
        )
        stage = architecture.stages[0]
        block = stage.blocks[0]
        for slot, layer in {
            "cell": block.cell,
            "gate": block.gate,
            "channel": block.channel,
            "halting": stage.halting,
            "sparsity": architecture.sparsity,
        }.items():
            seen.setdefault(slot, set()).add(layer.name)
            for key in ("pattern", "activation"):
                seen.setdefault(key, set()).add(str(dict(layer.options).get(key)))
    assert seen["cell"] == {"gru", "lru", "attention", "deltanet"}
    assert seen["gate"] == {"additive", "highway"}
    assert seen["channel"] == {"none", "glu"}
    assert seen["halting"] == {"none", "act"}
    assert seen["sparsity"] == {"none", "magnitude"}
    assert {"full", "window", "power"} <= seen["pattern"]
    assert {"silu", "relu2", "relu", "identity"} <= seen["activation"]


def test_the_example_of_sparsity_and_depth_can_be_searched(tmp_path):
    page = (ROOT / "docs" / "sparsity-and-depth.md").read_text()
    (example,) = blocks(page, "yaml")
    (tmp_path / "reber.yaml").write_text(example)
    short = [("space.training.steps", "4"), ("space.training.batch", "8")]
    file = read_space(tmp_path / "reber.yaml", CATALOG, short)
    task = open_task(file.tasks[0])
    rng = random.Random(0)
    for _ in range(8):
        architecture = file.space.architecture(file.space.sample(rng))
        assert fit(
            build(architecture, CATALOG, task.signature, seed=0),
            task,
            architecture.training,
            architecture.sparsity,
            seed=0,
            report=lambda step, metrics: True,
            split=None,
        )


@pytest.mark.parametrize("kind", ["sparsity", "tie", "halting"])
def test_the_page_of_sparsity_and_depth_has_every_name(kind):
    page = (ROOT / "docs" / "sparsity-and-depth.md").read_text()
    ours = [entry for entry in CATALOG.declarations(kind) if entry.distribution == "archsearch"]
    assert [entry.name for entry in ours if f"`{entry.name}`" not in page] == []
