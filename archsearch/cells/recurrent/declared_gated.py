"""Recurrent cells that others build on: the vanilla network, and states behind gates."""

from __future__ import annotations

from archsearch.cells.recurrent.declared_noise import CUT, DROPOUT, ZONEOUT
from archsearch.spec.catalog import CellType, choice, flag, integer, real

_HEADS = integer(
    1, 1, 256, search=(1, 4), doc="blocks of the recurrent matrix, deaf to each other; 1 is dense"
)
_MIXING = integer(1, 1, 256, search=(1, 4), doc="blocks of the input matrix")
_CLIP = real(
    0.0, 0.0, 10.0, search=(0.0, 0.5), doc="bound on the recurrent weights; 0 leaves them free"
)

CELLS: tuple[CellType, ...] = (
    CellType(
        "rnn",
        "archsearch.cells.recurrent.rnn:RNN",
        {
            "activation": choice(
                "tanh", "relu", "gelu", doc="the nonlinearity of the state; gelu is clipped at 10"
            ),
            "init": choice(
                "orthogonal",
                "identity",
                "default",
                doc="the recurrent matrix at the start; identity with relu is the IRNN",
            ),
            "scale": real(
                1.0, 0.0, 1.5, search=(0.8, 1.0), doc="what the identity is multiplied by"
            ).only_when(init="identity"),
            "heads": _HEADS,
            **DROPOUT,
            "zoneout": ZONEOUT,
            "cut": CUT.only_when(recurrent_dropout=0.0, zoneout=0.0),
        },
        doc="A vanilla recurrent network: the whole state passes through one matrix per step.",
        source="Elman 1990; identity start: Le, Jaitly, Hinton 2015, arXiv 1504.00941; dropout: "
        "arXiv 1512.05287; zoneout: arXiv 1606.01305; gelu: arXiv 2004.09602",
    ),
    CellType(
        "lstm",
        "archsearch.cells.recurrent.lstm:LSTM",
        {
            "forget": choice(
                "own",
                "coupled",
                "none",
                doc="the forget gate: its own, one minus the input gate (CIFG), or always open",
            ),
            "start": choice(
                "constant", "chrono", doc="forget biases: all one, or for spans up to a longest"
            ).only_when(forget=("own", "coupled")),
            "forget_bias": real(
                1.0, -5.0, 10.0, search=(0.0, 1.0, 3.0), doc="the forget gate's bias at the start"
            ).only_when(start="constant"),
            "longest": integer(
                128, 3, 1_000_000, search=(64, 512), doc="the longest span in steps at the start"
            ).only_when(start="chrono"),
            "peephole": flag(False, doc="let the gates see the memory"),
            "squash": flag(True, doc="read the memory through a tanh"),
            "heads": _HEADS,
            **DROPOUT,
            "zoneout": ZONEOUT,
            "zoneout_memory": real(
                0.0, 0.0, 0.9, search=(0.0, 0.5), doc="the same of a unit's memory"
            ).added_later(),
            "norm": flag(
                False, doc="layer norms of the gates' two parts and of the memory; slower"
            ).added_later(),
            "project": real(
                1.0,
                0.01,
                1.0,
                search=(1.0, 0.5),
                doc="share of the width to which the state is projected for the recurrent matrix",
            )
            .only_when(heads=1)
            .added_later(),
            "cut": CUT.only_when(
                recurrent_dropout=0.0, zoneout=0.0, zoneout_memory=0.0, norm=False
            ),
        },
        doc="Long short-term memory: a gated additive memory beside the hidden state.",
        source="Hochreiter, Schmidhuber 1997; forget bias: Jozefowicz et al. 2015; variants: "
        "Greff et al. 2015, arXiv 1503.04069; chrono: arXiv 1804.11188; dropout: "
        "arXiv 1512.05287; zoneout: arXiv 1606.01305; norm: arXiv 1607.06450; project: "
        "arXiv 1402.1128",
    ),
    CellType(
        "gru",
        "archsearch.cells.recurrent.gru:GRU",
        {
            "reset": choice(
                "after", "before", doc="where the reset gate acts: after or before the matrix"
            ),
            "update_bias": real(
                1.0,
                -5.0,
                10.0,
                search=(0.0, 1.0, 2.0),
                doc="the update gate's bias at the start; larger keeps the state for longer",
            ),
            "heads": _HEADS,
            **DROPOUT,
            "zoneout": ZONEOUT,
            "cut": CUT.only_when(recurrent_dropout=0.0, zoneout=0.0),
        },
        doc="Gated recurrent unit: one state, mixed with its candidate by an update gate.",
        source="Cho et al. 2014, arXiv 1406.1078; dropout: arXiv 1512.05287; zoneout: "
        "arXiv 1606.01305",
    ),
    CellType(
        "rhn",
        "archsearch.cells.recurrent.rhn:RHN",
        {
            "depth": integer(2, 1, 20, search=(1, 2, 4), doc="highway layers in a step of time"),
            "coupled": flag(True, doc="carry what is not transformed; else a gate of its own"),
            "transform_bias": real(
                -2.0,
                -10.0,
                5.0,
                search=(-4.0, -2.0, -1.0),
                doc="the transform gate's bias at the start; smaller keeps the state for longer",
            ),
            "shared": flag(False, doc="the same recurrent weights in all layers of a step"),
            **DROPOUT,
        },
        doc="Recurrent highway network: several gated layers between two steps of time.",
        source="Zilly et al. 2016, arXiv 1607.03474; dropout: arXiv 1512.05287",
    ),
    CellType(
        "slstm",
        "archsearch.cells.recurrent.slstm:SLSTM",
        {
            "heads": integer(4, 1, 256, search=(1, 4), doc="blocks of the recurrent matrix"),
            "forget": choice("sigmoid", "exp", doc="the forget gate's function"),
            "norm": flag(True, doc="group norm per head on the output"),
            "cut": CUT,
        },
        doc="Scalar LSTM with exponential gates, which can revise what it stored.",
        source="Beck et al. 2024, arXiv 2405.04517",
    ),
    CellType(
        "paragru",
        "archsearch.cells.recurrent.paragru:ParaGRU",
        {
            "heads": _MIXING,
            "clip": _CLIP,
            "solve": choice(
                "sequential",
                "newton",
                search=(),
                doc="a training step by step, or approximately by Newton's method, which is slower "
                "on a CPU",
            ).added_later(),
            "iterations": integer(
                3, 1, 64, search=(3, 2, 4), doc="of Newton's method; so many first states are exact"
            )
            .only_when(solve="newton")
            .added_later(),
            "damping": real(
                1.0, 0.05, 1.0, search=(1.0, 0.7), doc="share of an iteration's way, but the last's"
            )
            .only_when(solve="newton")
            .added_later(),
            "tolerance": real(
                1e-3, 1e-7, 1.0, doc="by how much a state may miss its equation, else step by step"
            )
            .only_when(solve="newton")
            .added_later(),
        },
        doc="A GRU whose units hear only themselves between steps.",
        source="Danieli et al. 2025, arXiv 2510.21450",
    ),
    CellType(
        "paralstm",
        "archsearch.cells.recurrent.paralstm:ParaLSTM",
        {"heads": _MIXING, "clip": _CLIP},
        doc="An LSTM whose units hear only themselves between steps.",
        source="Danieli et al. 2025, arXiv 2510.21450",
    ),
)
