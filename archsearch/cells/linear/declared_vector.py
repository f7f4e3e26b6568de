"""Linear recurrences whose state is a vector: each unit, or each small group, by itself."""

from __future__ import annotations

from archsearch.cells.linear.declared_conv import BEFORE, short_conv
from archsearch.spec.catalog import CellType, choice, flag, integer, real

_HEADS = integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads; divides the width")
_NEGATIVE = flag(False, doc="factors in (-1, 1) instead of (0, 1), which lets a state change sign")
_EXPAND = choice(1.0, 2.0, doc="width of the state over the cell's width")
_WIDER = choice(1.0, 2.0, 3.0, doc="width of the state over the cell's width")
_CANDIDATE = choice(
    "positive", "identity", "tanh", doc="what new values pass through; positive keeps them above 0"
)
_LOWER_BOUND = real(
    0.0,
    0.0,
    0.999,
    search=(0.0, 0.5, 0.9),
    doc="the least share that a unit keeps; higher for higher layers",
)
_DT_MIN = real(1e-3, 1e-6, 10.0, search=(1e-3, 1e-2), doc="the smallest step size at the start")
_LR_SHARE = real(
    1.0,
    0.001,
    1.0,
    search=(1.0, 0.25, 0.1),
    doc="share of the learning rate at which the recurrence's own rates learn",
).added_later()
_DT_MAX = real(0.1, 1e-6, 10.0, search=(0.1, 0.5), doc="the largest step size at the start")

CELLS: tuple[CellType, ...] = (
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
            "gamma": flag(
                True, doc="scale what a unit takes in, so that slow ones do not grow large"
            ).added_later(),
            "lr_share": _LR_SHARE,
        },
        doc="Linear recurrent unit: a stable complex diagonal recurrence, the same at every step.",
        source="Orvieto et al. 2023, arXiv 2303.06349",
    ),
    CellType(
        "mingru",
        "archsearch.cells.linear.mingru:MinGRU",
        {
            "expand": _WIDER,
            "candidate": _CANDIDATE,
            "keep_bias": real(
                1.0, -10.0, 10.0, search=(0.0, 1.0, 3.0), doc="the gate's bias at the start"
            ),
            **short_conv(0, 4, at=BEFORE),
            "negative": _NEGATIVE,
        },
        doc="Minimal GRU: gate and candidate see the input only, so the state is a linear scan.",
        source="Feng et al. 2024, arXiv 2410.01201; negative factors: Grazzi et al. 2024, "
        "arXiv 2411.12537",
    ),
    CellType(
        "minlstm",
        "archsearch.cells.linear.minlstm:MinLSTM",
        {
            "expand": _WIDER,
            "candidate": _CANDIDATE,
            "forget_bias": real(
                1.0, -10.0, 10.0, search=(0.0, 1.0, 3.0), doc="the forget gate's bias at the start"
            ),
            **short_conv(0, 4, at=BEFORE),
            "negative": _NEGATIVE,
        },
        doc="Minimal LSTM: forget and input gate see the input only and are scaled to sum to one.",
        source="Feng et al. 2024, arXiv 2410.01201; negative factors: Grazzi et al. 2024, "
        "arXiv 2411.12537",
    ),
    CellType(
        "hgrn",
        "archsearch.cells.linear.hgrn:HGRN",
        {
            "expand": _EXPAND,
            "lower_bound": _LOWER_BOUND,
            "rotate": flag(False, doc="units are halves of complex ones that turn at each step"),
            **short_conv(0, 4, at=BEFORE),
            "negative": _NEGATIVE,
            "output_gate": flag(True, doc="answers under a gate").added_later(),
        },
        doc="Gated linear recurrence whose forget gates have a lower bound.",
        source="Qin et al. 2023, arXiv 2311.04823; negative factors: Grazzi et al. 2024, "
        "arXiv 2411.12537",
    ),
    CellType(
        "mamba",
        "archsearch.cells.linear.mamba:Mamba",
        {
            "state": integer(16, 1, 256, search=(4, 8, 16), doc="states of each channel"),
            "expand": choice(2.0, 1.0, doc="inner width over the cell's width"),
            **short_conv(4, 2, 0, 3),
            "dt_min": _DT_MIN,
            "dt_max": _DT_MAX,
            "negative": _NEGATIVE,
        },
        doc="Mamba: a diagonal state space model whose step size, input and read-out are selected.",
        source="Gu, Dao 2023, arXiv 2312.00752; negative factors: Grazzi et al. 2024, "
        "arXiv 2411.12537",
    ),
    CellType(
        "s4d",
        "archsearch.cells.linear.s4d:S4D",
        {
            "state": integer(32, 2, 1024, search=(16, 32, 64), doc="states per channel, even"),
            "init": choice(
                *("lin", "inv", "legs", "real", "rand"), doc="where the rates of the states start"
            ),
            "rule": choice("zoh", "bilinear", doc="how a step in time is taken"),
            "dt_min": _DT_MIN,
            "dt_max": _DT_MAX,
            "train_rates": flag(
                True, doc="train the rates of the states, or leave them as they start"
            ).added_later(),
            "lr_share": _LR_SHARE,
        },
        doc="S4D: one diagonal state space model per channel, the same at every step.",
        source="Gu et al. 2022, arXiv 2206.11893",
    ),
    CellType(
        "lssl",
        "archsearch.cells.linear.lssl:LSSL",
        {
            "state": integer(16, 1, 64, search=(8, 16, 32), doc="states per channel"),
            "init": choice(
                "legs", "legt", doc="HiPPO matrix at the start: all of the past, or a window"
            ),
            "train_matrix": flag(True, doc="train the matrix within its stable family"),
            "dt_min": _DT_MIN,
            "dt_max": _DT_MAX,
            "lr_share": _LR_SHARE,
        },
        doc="Linear state space layer: a dense HiPPO memory per channel; slow, for reference.",
        source="Gu et al. 2021, arXiv 2110.13985",
    ),
    CellType(
        "lmu",
        "archsearch.cells.linear.lmu:LMU",
        {
            "order": integer(16, 1, 256, search=(8, 16, 32), doc="Legendre coefficients kept"),
            "theta": real(64.0, 1.0, 1e6, search=(16.0, 64.0, 256.0), doc="the window in steps"),
            "channels": integer(4, 1, 256, search=(1, 4, 8), doc="signals that are remembered"),
            "form": choice(
                "parallel", "recurrent", doc="without or with the output and memory fed back"
            ),
            "learn": choice(
                *("none", "theta", "matrix"),
                doc="what of the memory is trained: its window, or its matrix in a stable family",
            ).added_later(),
        },
        doc="Legendre memory unit: polynomials over a sliding window of a few learned signals.",
        source="Voelker, Kajic, Eliasmith 2019, NeurIPS; parallel: Chilkuri, Eliasmith 2021, "
        "arXiv 2102.11417",
    ),
    CellType(
        "aaren",
        "archsearch.cells.linear.aaren:Aaren",
        {
            "heads": _HEADS,
            "temperature": real(
                1.0,
                0.01,
                100.0,
                search=(1.0, 0.5, 2.0),
                doc="what scores are divided by; low: fewer positions count, and sooner",
            ).added_later(),
            "query_scale": real(
                1.0, 0.001, 100.0, search=(1.0, 0.1), doc="size of the query's numbers at the start"
            ).added_later(),
        },
        doc="Aaren: softmax attention with a trained, fixed query, carried on as three sums.",
        source="Feng et al. 2024, arXiv 2405.13956",
    ),
)
