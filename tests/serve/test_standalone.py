"""The exported source file: the same predictions in a process that has no archsearch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import (
    PREPARATION,
    REGRESSION,
    TOKENS,
    VALUES,
    compare_short,
    export,
    network,
    plugin_catalog,
)
from safetensors.torch import load_file, save_file

from archsearch import plugins
from archsearch.blocks.activations.declared_activations import FUNCTIONS, MODULES
from archsearch.errors import InputError
from archsearch.installed import Installed
from archsearch.plugins import load_catalog
from archsearch.serve.standalone import write_standalone, written_out
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CELLS = load_catalog().names("cell")
TOGETHER = 4  # networks that hold all of them
FULL = Architecture(
    width=16,
    stages=(
        Stage((Block(Layer("lstm"), gate=Layer("highway"), channel=Layer("mlp")),), repeat=2),
        Stage(
            (
                Block(Layer.of("attention", pattern="window"), channel=Layer("glu")),
                Block(Layer("deltanet"), norm=Layer("layernorm")),
            ),
            loops=3,
            tie=Layer.of("shared", embedding=True),
            halting=Layer("act"),
        ),
        Stage((Block(Layer("gla")), Block(Layer("lru")), Block(Layer("retention")))),
    ),
    embed=Layer.of("linear", positions="sinusoidal"),
    head=Layer.of("linear", pool="mean"),
)

ALONE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "archsearch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
import torch
from model import load
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
model, x = load(), load_file(sys.argv[2])["x"]
state = model.initial_state(len(x))
for x_t in x.unbind(1):
    streamed, state = model.step(x_t, state)
save_file({"whole": model(x)[0], "streamed": streamed}, sys.argv[3])
assert not any(name.partition(".")[0] == "archsearch" for name in sys.modules)
"""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_it_predicts_the_same_where_archsearch_is_absent(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best", FULL)
    write_standalone(bundle, tmp_path / "plain")
    assert sorted(entry.name for entry in (tmp_path / "plain").iterdir()) == [
        "model.py",
        "model.safetensors",
    ]
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 9, 3)).astype(np.float32))
    save_file({"x": x}, tmp_path / "x.safetensors")
    files = [str(tmp_path / name) for name in ("plain", "x.safetensors", "y.safetensors")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *files], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "y.safetensors")
    model = bundle.model()
    assert torch.equal(found["whole"], model(x)[0])
    state = model.initial_state(2)
    for x_t in x.unbind(1):
        streamed, state = model.step(x_t, state)
    assert torch.equal(found["streamed"], streamed)
    write_standalone(bundle, tmp_path / "plain", force=True)


def test_it_says_how_its_inputs_are_made(tmp_path: Path) -> None:
    write_standalone(export(tmp_path / "best", FULL), tmp_path / "plain")
    tree = ast.parse((tmp_path / "plain" / "model.py").read_text())
    (quoted,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PREPARATION"
    )
    assert ast.literal_eval(quoted) == PREPARATION
    assert "PREPARATION" in str(ast.get_docstring(tree))


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_can_be_written_out(tmp_path: Path, cell: str) -> None:
    bundle = export(tmp_path / "best", network(cell, width=16), VALUES)
    write_standalone(bundle, tmp_path / "plain")


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("signature", [TOKENS, REGRESSION], ids=("tokens", "regression"))
def test_cells_of_all_kinds_can_be_written_out_together(
    tmp_path: Path, signature: Signature, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what they are to each other does not depend on the length; each alone has long ones
    compare_short(monkeypatch)
    causal = [name for name in CELLS if load_catalog().find("cell", name).causal]
    cells = causal if signature.every_step else CELLS
    for first in range(TOGETHER):
        stages = tuple(Stage((Block(Layer(name)),)) for name in cells[first::TOGETHER])
        bundle = export(tmp_path / f"best{first}", Architecture(16, stages), signature)
        write_standalone(bundle, tmp_path / f"plain{first}")


def test_every_gate_channel_mixer_and_activation_can_be_written_out(tmp_path: Path) -> None:
    gates = [Layer(name) for name in load_catalog().names("gate")]
    mixers = [Layer(name) for name in load_catalog().names("channel")]
    mixers += [Layer.of("mlp", activation=name) for name in (*FUNCTIONS, *MODULES)]
    blocks = [Block(Layer("rnn"), gate) for gate in gates]
    blocks += [Block(Layer("rnn"), channel=mixer) for mixer in mixers]
    stages = tuple(Stage((block,)) for block in blocks)
    bundle = export(tmp_path / "best", Architecture(6, stages), VALUES)
    write_standalone(bundle, tmp_path / "plain")


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("connections", load_catalog().names("connections"))
def test_every_way_of_connecting_and_placing_can_be_written_out(
    tmp_path: Path, connections: str
) -> None:
    blocks = tuple(
        Block(Layer("gru"), Layer("highway"), Layer("mlp"), placement=Layer(name))
        for name in load_catalog().names("placement")
    )
    stages = (Stage(blocks, loops=2, connections=Layer(connections)), Stage(blocks))
    bundle = export(tmp_path / "best", Architecture(6, stages), VALUES)
    write_standalone(bundle, tmp_path / "plain")


def test_a_network_without_norms_can_be_written_out(tmp_path: Path) -> None:
    stage = Stage((Block(Layer("rnn"), channel=Layer("mlp"), norm=Layer("none")),))
    bundle = export(tmp_path / "best", Architecture(6, (stage,), norm=Layer("none")), VALUES)
    write_standalone(bundle, tmp_path / "plain")


def test_the_file_imports_nothing_of_ours() -> None:
    catalog = load_catalog()
    text = written_out(catalog.complete_architecture(FULL), catalog, VALUES)
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    assert found - set(sys.stdlib_module_names) == {"torch", "safetensors"}


def test_no_name_is_defined_twice() -> None:
    catalog = load_catalog()
    text = written_out(catalog.complete_architecture(FULL), catalog, TOKENS)
    names = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
    assert sorted(names) == sorted(set(names))


def test_a_plugins_cell_is_written_out_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "installed", lambda name: Installed(name, "0.1.0", "0" * 64))
    bundle = export(tmp_path / "best", network("leaky"), catalog=plugin_catalog())
    write_standalone(bundle, tmp_path / "plain")
    assert "class Leaky(nn.Module):" in (tmp_path / "plain" / "model.py").read_text()


def test_a_difference_is_found_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = export(tmp_path / "best", network(Layer.of("lstm")))
    original = written_out

    def other_options(*given: Any) -> str:
        return (
            original(*given)
            .replace("Additive(", "Replace(")
            .replace("class Additive", "class Replace")
            .replace("return x + fx", "return fx")
        )

    monkeypatch.setattr("archsearch.serve.standalone.written_out", other_options)
    with pytest.raises(InputError, match="differs from the exported one"):
        write_standalone(bundle, tmp_path / "plain")
    monkeypatch.setattr("archsearch.serve.standalone.written_out", lambda *_: "import nowhere")
    with pytest.raises(InputError, match="ModuleNotFoundError"):
        write_standalone(bundle, tmp_path / "plain")
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best")
    write_standalone(bundle, tmp_path / "plain")
    with pytest.raises(InputError, match="add --force"):
        write_standalone(bundle, tmp_path / "plain")
    write_standalone(bundle, tmp_path / "plain", force=True)
    with pytest.raises(InputError, match="name a new folder"):
        write_standalone(bundle, tmp_path / "best", force=True)
