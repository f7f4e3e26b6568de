"""The recurrent cells: a state that passes through a nonlinearity at every step."""

from __future__ import annotations

from archsearch.cells.recurrent.declared_gated import CELLS as GATED
from archsearch.spec.catalog import CellType, choice, flag, integer, real, text
from archsearch.spec.graph.search import Graphs

_CORE = choice("gru", "lstm", "rnn", "rhn", doc="the recurrent cell")

CELLS: tuple[CellType, ...] = (
    *GATED,
    CellType(
        "bidirectional",
        "archsearch.cells.recurrent.bidirectional:Bidirectional",
        {
            "inner": choice("gru", "lstm", "rnn", "rhn", "s4d", doc="the cell of each direction"),
            "merge": choice("concat", "sum", doc="two cells of half the width, or a sum of two"),
        },
        doc="Two cells, one reading backwards; for tasks whose answers may wait for the end.",
        source="Schuster, Paliwal 1997",
        causal=False,
        has_step=False,
    ),
    CellType(
        "leaky_rnn",
        "archsearch.cells.recurrent.leaky_rnn:LeakyRNN",
        {
            "timescales": choice(
                "unit", "shared", "fixed", doc="a time constant per unit, one for all, or untrained"
            ),
            "spread": flag(
                True, doc="time constants from 2 to tau at the start, else all tau"
            ).only_when(timescales=("unit", "fixed")),
            "tau": real(
                10.0, 1.01, 1e6, search=(3.0, 10.0, 50.0), doc="time constant in steps at the start"
            ),
            "activation": choice("tanh", "leaky_relu", doc="the nonlinearity of the drive"),
        },
        doc="A leaky recurrent network: every unit moves at a time constant of its own.",
        source="Funahashi, Nakamura 1993; trained: Khajehabdollahi et al. 2023, arXiv 2309.12927",
    ),
    CellType(
        "sparse_rnn",
        "archsearch.cells.recurrent.sparse_rnn:SparseRNN",
        {
            "density": real(
                0.25, 0.0, 1.0, search=(0.1, 0.25, 0.5), doc="share of the units that a unit hears"
            ),
            "graph": choice("random", "small_world", doc="how it is drawn whom a unit hears"),
            "activation": choice("tanh", "relu", doc="the nonlinearity of the state"),
        },
        doc="A recurrent network on a sparse graph, drawn once and then fixed.",
        source="Jaeger 2001 (sparse reservoirs); small world: Watts, Strogatz 1998",
    ),
    CellType(
        "ode",
        "archsearch.cells.recurrent.ode:ODECell",
        {
            "field": choice("gru", "leaky", doc="what drives the state"),
            "solver": choice("rk4", "euler", doc="Runge-Kutta of order four, or Euler"),
            "substeps": integer(1, 1, 16, search=(1, 2), doc="steps of the solver per input"),
            "tau": real(
                2.0, 1.01, 1e6, search=(2.0, 5.0, 10.0), doc="time constant of a unit at the start"
            )
            .added_later()
            .only_when(field="leaky"),
        },
        doc="A state that follows a differential equation between inputs.",
        source="Chen et al. 2018, arXiv 1806.07366; field: De Brouwer et al. 2019, "
        "arXiv 1905.12374",
    ),
    CellType(
        "graph",
        "archsearch.cells.recurrent.graph:GraphCell",
        {
            "graph": text(
                "gru",
                Graphs(),
                doc="the operations of a step; statements set h, the output, and c, a memory; lin "
                "has a matrix for each of its inputs and a bias",
            ),
            "keep": real(
                1.0,
                -5.0,
                10.0,
                search=(0.0, 1.0, 2.0),
                doc="the bias at the start of gates that hold a state; larger keeps it for longer",
            ),
        },
        doc="A recurrent step written, or searched, as a small graph of operations.",
        source="Zoph, Le 2016, arXiv 1611.01578",
    ),
    CellType(
        "attentive_rnn",
        "archsearch.cells.recurrent.attentive_rnn:AttentiveRNN",
        {
            "core": _CORE,
            "window": integer(16, 2, 4096, search=(4, 8, 16), doc="outputs looked back at"),
            "heads": integer(4, 1, 64, search=(1, 2, 4), doc="independent heads of attention"),
        },
        doc="A recurrent cell that also attends to its own last outputs.",
        source="taxonomy: Heidenreich et al. 2024, arXiv 2410.02654",
    ),
    CellType(
        "recurrent_attention",
        "archsearch.cells.recurrent.recurrent_attention:RecurrentAttention",
        {
            "core": _CORE,
            "place": choice(
                "before", "after", doc="the recurrent cell before or after the attention"
            ),
            "heads": integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads of attention"),
            "positions": choice("rope", "none", doc="how a head knows distances"),
        },
        doc="Attention with a recurrent cell before or after it; said to be worse than without.",
        source="taxonomy: Heidenreich et al. 2024, arXiv 2410.02654",
        cost="T^2",
    ),
)
