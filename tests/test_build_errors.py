"""What cannot be built is said in one line: the place, the fault, the remedy."""

from dataclasses import replace

import pytest
from torch import nn

from archsearch.blocks.declared import BLOCKS
from archsearch.build import build
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.errors import ArchitectureError
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog, CellType
from archsearch.spec.signature import Signature

CATALOG = Catalog((*CELLS, *BLOCKS, *DEPTH))
SIGNATURE = Signature("values", 5, "class", 3, every_step=False, length=8)


def one_block(cell, **parts):
    return Block(cell if isinstance(cell, Layer) else Layer(cell), **parts)


def network(*stages, **parts):
    return Architecture(16, stages, **parts)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            network(Stage((one_block("gru"), one_block(Layer.of("gru", update_bias=99.0))))),
            r"stage 1, block 2, cell 'gru' of \w{16} cannot be built: .*update_bias: expected",
        ),
        (
            network(Stage((one_block("attention"), one_block(Layer.of("attention", heads=7))))),
            r"stage 1, block 2, cell 'attention' of \w{16} cannot be built: .*heads",
        ),
        (
            network(
                Stage((one_block("gru"),), loops=2),
                Stage((one_block("gru", gate=Layer("highwai")),)),
            ),
            r"stage 2, block 1, gate 'highwai' of \w{16} cannot .*did you mean 'highway'",
        ),
        (
            network(Stage((one_block("gru"),), loops=2, halting=Layer.of("act", weight=-1.0))),
            r"^stage 1, halting 'act' of \w{16} cannot be built: .*weight: expected",
        ),
        (network(head=Layer.of("linear", pool="sum")), r"^head 'linear' of .*one of 'last'"),
        (network(norm=Layer("batch")), r"^final norm 'batch' of \w{16} cannot be built"),
        (Architecture(0, ()), r"^\w{16} cannot be built: width must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_built_is_named_with_its_place(architecture, message):
    with pytest.raises(ArchitectureError, match=message) as caught:
        build(architecture, CATALOG, SIGNATURE, seed=0)
    assert "\n" not in str(caught.value)


def test_a_cell_that_sees_the_future_is_refused_where_every_step_is_answered():
    architecture = network(Stage((one_block("gru"), one_block("bidirectional"))))
    assert not build(architecture, CATALOG, SIGNATURE, seed=0).causal
    with pytest.raises(ArchitectureError, match=r"block 2, cell 'bidirectional' .* the steps to"):
        build(architecture, CATALOG, replace(SIGNATURE, every_step=True), seed=0)


class Picky(nn.Module):
    """Refuses as visitors do."""

    def __init__(self, width):
        if width % 3:
            raise KeyError("thirds")
        super().__init__()


class Greedy(nn.Module):
    """Asks for more than there is, as torch reports it."""

    def __init__(self, width):
        super().__init__()
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_a_visitor_that_refuses_is_named_with_its_place():
    catalog = Catalog((CellType("picky", Picky), *BLOCKS, *DEPTH))
    architecture = network(Stage((one_block("picky"),)))
    with pytest.raises(ArchitectureError, match=r"cell 'picky' of \w{16} .*: KeyError: 'thirds'$"):
        build(architecture, catalog, SIGNATURE, seed=0)
    build(replace(architecture, width=15), catalog, SIGNATURE, seed=0)


def test_a_missing_implementation_is_named_with_its_place():
    gone = Catalog((CellType("gone", "archsearch_gone.cells:Gone"), *BLOCKS, *DEPTH))
    with pytest.raises(ArchitectureError, match=r"cell 'gone' .* No module named 'archsearch_gone"):
        build(network(Stage((one_block("gone"),))), gone, SIGNATURE, seed=0)


def test_too_little_memory_is_not_the_architectures_fault():
    catalog = Catalog((CellType("greedy", Greedy), *BLOCKS, *DEPTH))
    with pytest.raises(RuntimeError, match="allocate memory"):
        build(network(Stage((one_block("greedy"),))), catalog, SIGNATURE, seed=0)
