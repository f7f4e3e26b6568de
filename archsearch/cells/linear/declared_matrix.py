"""Linear recurrences whose state is a matrix: a memory that queries read by their keys."""

from __future__ import annotations

from archsearch.cells.linear.declared_conv import BEFORE, ON_QKV, short_conv
from archsearch.spec.catalog import CellType, choice, flag, integer, real

_HEADS = integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads; divides the width")
_NEGATIVE = flag(False, doc="factors in (-1, 1) instead of (0, 1), which lets a state change sign")
_LOWER_BOUND = real(
    0.0,
    0.0,
    0.999,
    search=(0.0, 0.5, 0.9),
    doc="the least share that a unit keeps; higher for higher layers",
)
_DT_MIN = real(1e-3, 1e-6, 10.0, search=(1e-3, 1e-2), doc="the smallest step size at the start")
_DT_MAX = real(0.1, 1e-6, 10.0, search=(0.1, 0.5), doc="the largest step size at the start")

CELLS: tuple[CellType, ...] = (
    CellType(
        "gla",
        "archsearch.cells.linear.gla:GLA",
        {
            "heads": _HEADS,
            "expand_k": choice(0.5, 1.0, 0.25, doc="key width over the cell's width"),
            "expand_v": choice(1.0, 2.0, doc="value width over the cell's width"),
            "tau": choice(16.0, 4.0, 1.0, doc="gate temperature; larger forgets more slowly"),
            **short_conv(0, 4, at=ON_QKV),
            "negative": _NEGATIVE,
            "rank": integer(
                16, 1, 1024, search=(16, 4, 64), doc="width between the two matrices of the gate"
            ).added_later(),
            "features": choice(
                *("identity", "silu", "relu", "elu1"),
                doc="what queries and keys pass through last; elu1 is elu(x) + 1",
            ).added_later(),
        },
        doc="Gated linear attention: a matrix memory whose rows forget at learned, given rates.",
        source="Yang et al. 2023, arXiv 2312.06635; negative factors: Grazzi et al. 2024, "
        "arXiv 2411.12537",
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
            "decay": choice(
                "fixed", "learned", doc="the rates of forgetting stay, or are where they start"
            ).added_later(),
        },
        doc="Retention: a matrix memory that forgets at one rate per head, whatever the input.",
        source="Sun et al. 2023, arXiv 2307.08621",
    ),
    CellType(
        "hgrn2",
        "archsearch.cells.linear.hgrn2:HGRN2",
        {
            "heads": _HEADS,
            "lower_bound": _LOWER_BOUND,
            **short_conv(0, 4, at=BEFORE),
            "negative": _NEGATIVE,
            "output_gate": flag(False, doc="answers under a gate, as those of hgrn").added_later(),
        },
        doc="HGRN with a matrix memory: what a gate lets go is the key under which to write.",
        source="Qin et al. 2024, arXiv 2404.07904; negative factors: Grazzi et al. 2024, "
        "arXiv 2411.12537",
    ),
    CellType(
        "mamba2",
        "archsearch.cells.linear.mamba2:Mamba2",
        {
            "heads": integer(4, 1, 64, search=(1, 2, 4, 8), doc="heads; divides the inner width"),
            "state": integer(32, 1, 512, search=(8, 16, 32), doc="key width of the memories"),
            "expand": choice(2.0, 1.0, doc="inner width over the cell's width"),
            **short_conv(4, 2, 0, 3),
            "dt_min": _DT_MIN,
            "dt_max": _DT_MAX,
            "negative": _NEGATIVE,
            "rate_min": real(
                *(1.0, 1e-3, 1e3),
                search=(1.0, 0.1),
                doc="the slowest rate of forgetting at the start",
            ).added_later(),
            "rate_max": real(
                *(16.0, 1e-3, 1e3),
                search=(16.0, 4.0),
                doc="the fastest one at the start",
            ).added_later(),
            "remedy": choice(
                *("none", "decay", "clip", "window"),
                search=(),
                doc="against a memory that overflows on sequences longer than those of training:"
                " forget more, bound its norm, or hold the last positions only",
            ).added_later(),
            "after": integer(
                *(1024, 1, 1 << 30), search=(1024, 16), doc="positions before it; those of training"
            )
            .only_when(remedy="decay")
            .added_later(),
            "forget": real(
                *(2.0, 1.0, 100.0), search=(2.0, 1.2), doc="forgets so many times as much"
            )
            .only_when(remedy="decay")
            .added_later(),
            "insert": real(
                *(0.5, 0.0, 1.0), search=(0.5, 1.0), doc="writes such a share of what it would"
            )
            .only_when(remedy="decay")
            .added_later(),
            "largest": real(*(8.0, 1e-3, 1e6), search=(8.0, 0.5), doc="norm of a head's memory")
            .only_when(remedy="clip")
            .added_later(),
            "every": integer(
                *(64, 1, 65536), search=(64, 16), doc="positions after which the norm is bounded"
            )
            .only_when(remedy="clip")
            .added_later(),
            "window": integer(
                *(64, 1, 65536), search=(64, 16), doc="positions held, the own one included"
            )
            .only_when(remedy="window")
            .added_later(),
        },
        doc="Mamba-2: a matrix memory with one selected rate of forgetting per head.",
        source="Dao, Gu 2024, arXiv 2405.21060; negative factors: Grazzi et al. 2024, "
        "arXiv 2411.12537; remedies: Chen et al. 2024, arXiv 2410.07145",
    ),
    CellType(
        "mlstm",
        "archsearch.cells.linear.mlstm:MLSTM",
        {
            "heads": integer(4, 1, 64, search=(1, 2, 4, 8), doc="heads; divides the inner width"),
            "expand": choice(2.0, 1.0, doc="inner width over the cell's width"),
            **short_conv(4, 0),
            "blocks": choice(
                "four", "dense", doc="matrices of queries, keys and values; dense ones are slower"
            ).added_later(),
            "forget": choice(
                "sigmoid",
                "exp",
                doc="function of the forget gate; exp can go above one, and is slower",
            ).added_later(),
            "forget_low": real(
                3.0,
                -10.0,
                20.0,
                search=(3.0, 0.0),
                doc="the first head keeps the sigmoid of this at the start",
            ).added_later(),
            "forget_high": real(
                6.0,
                -10.0,
                20.0,
                search=(6.0, 3.0),
                doc="the last head keeps the sigmoid of this at the start",
            ).added_later(),
        },
        doc="mLSTM: a matrix memory with exponential input gates, read as a weighted mean.",
        source="Beck et al. 2024, arXiv 2405.04517",
    ),
    CellType(
        "plstm",
        "archsearch.cells.linear.plstm:PLSTM",
        {
            "heads": _HEADS,
            "lanes": choice(2, 1, 4, doc="memories of each head, between which contents can move"),
            "mode": choice(
                "propagate",
                "diffuse",
                "orthogonal",
                doc="contents are divided among the lanes, stay in theirs, or are turned",
            ).only_when(lanes=(2, 4)),
            **short_conv(4, 0, at=ON_QKV),
            "negative": flag(
                True, doc="factors in (-1, 1) instead of (0, 1), which lets a state change sign"
            ).added_later(),
            "values": choice(
                *(1, 2, 4),
                search=(),
                doc="values and outputs of each head, of the cell's width each",
            ).added_later(),
        },
        doc="pLSTM on a sequence: matrix memories in lanes, moved by a transition at each step.",
        source="Poeppel et al. 2025, arXiv 2506.11997",
    ),
    CellType(
        "prefix_attention",
        "archsearch.cells.linear.prefix_attention:PrefixAttention",
        {
            "heads": _HEADS,
            "prefix": integer(
                16, 0, 1 << 20, search=(8, 16, 64, 0), doc="positions written twice; 0: none"
            ),
            "feature_size": integer(8, 1, 32, search=(4, 8, 16), doc="query and key width"),
            "features": choice(
                "taylor", "elu", "relu2", doc="positive map of queries and keys; taylor is exp's"
            ),
        },
        doc="Linear attention that writes its first positions twice, once by keys of their own.",
        source="Arora et al. 2024, arXiv 2407.05483",
    ),
)
