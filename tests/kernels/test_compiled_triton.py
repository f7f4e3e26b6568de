"""What the interpreter accepts a GPU's compiler may refuse; it needs no GPU to say so."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from archsearch.cells.recurrent.gru import RESET_BEFORE
from archsearch.cells.recurrent.rhn import highways
from archsearch.kernels.memories import memory_programs
from archsearch.kernels.recurrences import (
    diagonal_programs,
    graph_programs,
    lstm_programs,
    slstm_programs,
    vanilla_programs,
)
from archsearch.kernels.recurrences.graph_triton import settings
from archsearch.kernels.scans import scan_triton
from archsearch.kernels.scans.selective import selective_programs

COUNTS = {
    *("steps", "units", "a_batch", "a_step", "a_unit", "batch", "width", "heads", "size", "rows"),
    *("keys", "values"),
}
AMPERE, HOPPER = 80, 90
HEAD = {"ROWS": 16, "SIZE": 16}
MEMORY = {"EACH": 1, "KEYS": 64, "COLUMNS": 16, "STRETCH": 32}
OWN = {"FORGET": "own", "SQUASH": True, "GATES": 4}
COUPLED = {"FORGET": "coupled", "SQUASH": False, "GATES": 3}
NONE = {"FORGET": "none", "SQUASH": True, "GATES": 3}


def machine_code(program, capability: int, **settings) -> bytes:
    """For a GPU that need not be there; what is no setting and no count is an array of floats."""
    names = program.arg_names
    kinds = {name: "i32" if name in COUNTS else "*fp32" for name in names}
    kinds |= dict.fromkeys(settings, "constexpr")
    known = {(names.index(name),): value for name, value in settings.items()}
    source = ASTSource(program, {name: kinds[name] for name in names}, known)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """Nothing compiled before counts, and one setting is said that a warning asks for."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")


@pytest.mark.parametrize("capability", [AMPERE, HOPPER])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("pairs", [False, True])
def test_scans(capability, reverse, pairs):
    program = scan_triton._scan
    assert machine_code(program, capability, REVERSE=reverse, PAIRS=pairs, THREADS=128)


@pytest.mark.parametrize("lowest", [0.0, -1.0])
@pytest.mark.parametrize("capability", [AMPERE, HOPPER])
def test_selective_scans(capability, lowest):
    known = {"STRETCH": 16, "UNITS": 64, "SIZE": 16, "LOWEST": lowest}
    assert machine_code(selective_programs.forward_program, capability, **known)
    assert machine_code(selective_programs.backward_program, capability, **known)


@pytest.mark.parametrize("fades", ["not", "alike", "apart"])
@pytest.mark.parametrize("overwrites", [False, True])
def test_memories(fades, overwrites):
    absent = {} if fades != "not" else {"decay": None}
    absent |= {} if overwrites else {"beta": None}
    known = MEMORY | {"FADES": fades, "OVERWRITES": overwrites} | absent
    assert machine_code(memory_programs.forward_program, HOPPER, **known)
    known |= {"d" + name: None for name in absent}
    assert machine_code(memory_programs.backward_program, HOPPER, **known)


@pytest.mark.parametrize("kind", [OWN, COUPLED, NONE], ids=["own", "coupled", "none"])
def test_lstms(kind):
    assert machine_code(lstm_programs.forward_program, HOPPER, **kind, **HEAD)
    assert machine_code(lstm_programs.backward_program, HOPPER, **kind, **HEAD)


def test_slstm():
    for sigmoid in (False, True):
        assert machine_code(slstm_programs.forward_program, HOPPER, SIGMOID=sigmoid, **HEAD)
    assert machine_code(slstm_programs.backward_program, HOPPER, **HEAD)


@pytest.mark.parametrize("leaks", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu", "leaky_relu"])
def test_vanilla(activation, leaks):
    kind = {"ACTIVATION": activation, "LEAKS": leaks}
    absent = {} if leaks else {"leak": None}
    assert machine_code(vanilla_programs.forward_program, HOPPER, **kind, **HEAD, **absent)
    absent |= dict.fromkeys(absent and ["dleak"])
    assert machine_code(vanilla_programs.backward_program, HOPPER, **kind, **HEAD, **absent)


@pytest.mark.parametrize("name", ["gru_forward", "gru_backward", "lstm_forward", "lstm_backward"])
def test_diagonal(name):
    assert machine_code(getattr(diagonal_programs, name), AMPERE, THREADS=128)


@pytest.mark.parametrize(
    ("program", "width"), [(RESET_BEFORE, 5), (highways(1, False, False), 200)], ids=["gru", "rhn"]
)
def test_graphs(program, width):
    for each in (graph_programs.forward_program, graph_programs.backward_program):
        assert machine_code(each, HOPPER, **settings(program, width))
