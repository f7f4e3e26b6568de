"""Every built-in cell as plain data: its options, what a search explores, its cost, its source."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, flag, integer, real

_HEADS = integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads; divides the width")

CELLS: tuple[CellType, ...] = (
    CellType(
        "rnn",
        "archsearch.cells.recurrent.rnn:RNN",
        {
            "activation": choice("tanh", "relu", doc="the nonlinearity of the state"),
            "init": choice(
                "orthogonal",
                "identity",
                "default",
                doc="the recurrent matrix at the start; identity with relu is the IRNN",
            ),
        },
        doc="A vanilla recurrent network: the whole state passes through one matrix per step.",
        source="Elman 1990; identity start: Le, Jaitly, Hinton 2015, arXiv 1504.00941",
    ),
    CellType(
        "lstm",
        "archsearch.cells.recurrent.lstm:LSTM",
        {
            "forget_bias": real(
                1.0, -5.0, 10.0, search=(0.0, 1.0, 3.0), doc="the forget gate's bias at the start"
            ),
        },
        doc="Long short-term memory: a gated additive memory beside the hidden state.",
        source="Hochreiter, Schmidhuber 1997; forget bias: Jozefowicz et al. 2015",
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
        },
        doc="Gated recurrent unit: one state, mixed with its candidate by an update gate.",
        source="Cho et al. 2014, arXiv 1406.1078",
    ),
    CellType(
        "lru",
        "archsearch.cells.linear.lru:LRU",
        {
            "state": integer(64, 1, 4096, search=(16, 32, 64), doc="complex state units"),
            "r_min": real(
                0.0, 0.0, 0.9999, search=(0.0, 0.5, 0.9), doc="the smallest radius at the start"
            ),
            "r_max": real(
                0.999, 0.001, 0.9999, search=(0.99, 0.999), doc="the largest radius at the start"
            ),
            "max_phase": real(
                6.28,
                0.0,
                6.28,
                search=(0.314, 6.28),
                doc="the largest angle at the start; small for slow signals",
            ),
        },
        doc="Linear recurrent unit: a stable complex diagonal recurrence, the same at every step.",
        source="Orvieto et al. 2023, arXiv 2303.06349",
    ),
    CellType(
        "gla",
        "archsearch.cells.linear.gla:GLA",
        {
            "heads": _HEADS,
            "expand_k": choice(0.5, 1.0, doc="key width over the cell's width"),
            "expand_v": choice(1.0, 2.0, doc="value width over the cell's width"),
            "tau": choice(16.0, 4.0, 1.0, doc="gate temperature; larger forgets more slowly"),
            "conv": choice(
                0, 4, doc="taps of a short causal convolution on queries, keys and values"
            ),
        },
        doc="Gated linear attention: a matrix memory whose rows forget at learned, given rates.",
        source="Yang et al. 2023, arXiv 2312.06635",
    ),
    CellType(
        "retention",
        "archsearch.cells.linear.retention:Retention",
        {
            "heads": _HEADS,
            "expand_v": choice(1.0, 2.0, doc="value width over the cell's width"),
            "exponent": real(
                5.0,
                1.0,
                10.0,
                search=(3.0, 5.0),
                doc="head h keeps 1 - 2^-(exponent + h) of its memory per step",
            ),
            "rotary": flag(True, doc="rotate queries and keys by their position"),
        },
        doc="Retention: a matrix memory that forgets at a fixed rate per head.",
        source="Sun et al. 2023, arXiv 2307.08621",
    ),
    CellType(
        "deltanet",
        "archsearch.cells.linear.deltanet:DeltaNet",
        {
            "heads": integer(2, 1, 64, search=(1, 2, 4), doc="independent memories"),
            "head_size": integer(
                16, 1, 256, search=(8, 16, 32), doc="key and value width of each memory"
            ),
            "conv": choice(
                4, 0, doc="taps of a short causal convolution on queries, keys and values"
            ),
            "beta_range": choice(
                1, 2, doc="writing strength in (0, 1) or (0, 2); 2 allows negative eigenvalues"
            ),
            "activation": choice("silu", "relu", "identity", doc="on queries, keys and values"),
        },
        doc="DeltaNet: a matrix memory that replaces what it holds for a key instead of adding.",
        source="Yang et al. 2024, arXiv 2406.06484; beta range: Grazzi et al. 2024, "
        "arXiv 2411.12537",
    ),
    CellType(
        "attention",
        "archsearch.cells.attention.attention:Attention",
        {
            "heads": _HEADS,
            "pattern": choice(
                "full",
                "window",
                "power",
                doc="keys seen: all earlier ones, the last few, or those a power of two back",
            ),
            "window": integer(
                16, 1, 65536, search=(8, 16, 32), doc="keys seen, the own one included"
            ).only_when(pattern="window"),
            "positions": choice("rope", "none", "alibi", doc="how a head knows distances"),
        },
        doc="Causal softmax attention over all, recent, or exponentially spaced positions.",
        source="Vaswani et al. 2017, arXiv 1706.03762; RoPE: arXiv 2104.09864; ALiBi: "
        "arXiv 2108.12409; power: arXiv 2503.03588",
        cost="T^2",
    ),
    CellType(
        "tcn",
        "archsearch.cells.convolution.tcn:TCN",
        {
            "kernel": integer(3, 2, 16, search=(2, 3, 5), doc="taps of each convolution"),
            "layers": integer(3, 1, 12, search=(2, 3, 4), doc="residual blocks of two each"),
            "dilation": integer(2, 1, 4, search=(2, 3), doc="block l spaces taps dilation^l apart"),
            "weight_norm": flag(False, doc="learn each filter's length apart from its direction"),
        },
        doc="Temporal convolutional network: causal dilated convolutions, a finite reach.",
        source="Bai, Kolter, Koltun 2018, arXiv 1803.01271",
    ),
)
