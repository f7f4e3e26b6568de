"""The convolutional cells: a finite reach, the same filter everywhere."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, flag, integer, real

_KERNEL = integer(3, 2, 16, search=(2, 3, 5), doc="taps of each convolution")
_WEIGHT_NORM = flag(False, doc="learn each filter's length apart from its direction")

CELLS: tuple[CellType, ...] = (
    CellType(
        "tcn",
        "archsearch.cells.convolution.tcn:TCN",
        {
            "kernel": _KERNEL,
            "layers": integer(3, 1, 12, search=(2, 3, 4), doc="residual blocks of two each"),
            "dilation": integer(2, 1, 4, search=(2, 3), doc="block l spaces taps dilation^l apart"),
            "weight_norm": _WEIGHT_NORM,
            "dropout": real(
                0.0,
                0.0,
                0.9,
                search=(0.0, 0.1, 0.3),
                doc="share of the channels that training drops after each convolution",
            ).added_later(),
        },
        doc="Temporal convolutional network: causal dilated convolutions, a finite reach.",
        source="Bai, Kolter, Koltun 2018, arXiv 1803.01271",
    ),
    CellType(
        "gated_conv",
        "archsearch.cells.convolution.gated_conv:GatedConv",
        {
            "kernel": _KERNEL,
            "layers": integer(3, 1, 20, search=(2, 3, 5), doc="residual layers"),
            "gate": choice(
                *("glu", "gtu", "bilinear", "reglu", "swish"),
                doc="value s(gate), tanh(value) s(gate), value times gate, relu(gate), silu(gate)",
            ),
            "weight_norm": _WEIGHT_NORM,
            "bottleneck": integer(
                1,
                1,
                64,
                search=(1, 2, 4),
                doc="times narrower between two convolutions of one tap each; 1 has none of them",
            ).added_later(),
        },
        doc="Gated convolutional network: causal convolutions, each gated by a second one.",
        source="Dauphin, Fan, Auli, Grangier 2017, arXiv 1612.08083; reglu, swish: Shazeer 2020, "
        "arXiv 2002.05202",
    ),
    CellType(
        "trellis",
        "archsearch.cells.convolution.trellis:Trellis",
        {
            "levels": integer(8, 2, 60, search=(4, 8, 16), doc="times the weights are applied"),
            "cycle": integer(
                1, 1, 6, search=(1, 3), doc="dilations go through 1 to 2^(cycle - 1) in turn"
            ),
            "kernel": choice(2, 3, doc="taps of each convolution; 3 is slower").added_later(),
            "dropout": real(
                0.0,
                0.0,
                0.9,
                search=(0.0, 0.1, 0.3),
                doc="share of the hidden channels that training drops, and is slower for it",
            ).added_later(),
        },
        doc="TrellisNet: a deep convolution that ties its levels and gates them like an LSTM.",
        source="Bai, Kolter, Koltun 2019, arXiv 1810.06682",
    ),
    CellType(
        "fsmn",
        "archsearch.cells.convolution.fsmn:FSMN",
        {
            "order": integer(20, 1, 128, search=(5, 10, 20), doc="taps of the memory"),
            "expand": integer(1, 1, 8, search=(1, 2), doc="hidden width over the cell's width"),
        },
        doc="Feedforward sequential memory: a learned filter of past values beside each value.",
        source="Zhang et al. 2015, arXiv 1512.08301; Zhang et al. 2018, arXiv 1803.05030",
    ),
    CellType(
        "dilated_fsmn",
        "archsearch.cells.convolution.dilated_fsmn:DilatedFSMN",
        {
            "order": integer(10, 2, 64, search=(5, 10, 20), doc="taps of each memory"),
            "depth": integer(2, 1, 5, search=(1, 2, 3), doc="memories; taps of the i-th 2^i apart"),
            "gated": flag(True, doc="multiply the memory by a second projection of the input"),
        },
        doc="Dilated memories, each reading all before it, under a multiplicative gate.",
        source="Zhao et al. 2024 (MossFormer2), arXiv 2312.11825",
    ),
    CellType(
        "fmlp",
        "archsearch.cells.convolution.fmlp:FMLP",
        {
            "reach": integer(64, 2, 8192, search=(32, 64, 128), doc="taps of the filter"),
            "scale": choice(0.02, 0.01, 0.1, doc="deviation of the spectrum at the start"),
            "band": choice(
                *("all", "low", "high", "stop"),
                doc="frequencies that may pass: all, the lower or the upper half, or all but the "
                "middle half; others than all need a reach of at least 8",
            ).added_later(),
        },
        doc="A causal filter per channel, learned as its spectrum.",
        source="Zhou et al. 2022 (FMLP-Rec), arXiv 2202.13556",
        cost="T log T",
    ),
    CellType(
        "tcnca",
        "archsearch.cells.convolution.tcnca:TCNCA",
        {
            "chunk": integer(16, 1, 4096, search=(8, 16, 32), doc="positions that attend together"),
            "query_size": integer(32, 1, 512, search=(16, 32), doc="width of queries and keys"),
            "kernel": _KERNEL,
            "layers": integer(3, 1, 12, search=(2, 3, 4), doc="residual blocks of two each"),
            "dilation": integer(2, 1, 4, search=(2, 3), doc="block l spaces taps dilation^l apart"),
            "normaliser": choice(
                *("softmax", "laplace"),
                doc="from scores to weights: a softmax, or a function of each that needs no sum",
            ).added_later(),
            "bias": choice(
                *("distance", "rotary", "none"),
                doc="what a score gains: a number per distance, a few waves of it, or nothing",
            ).added_later(),
        },
        doc="A dilated convolution for what is far and attention inside chunks for what is near.",
        source="Pham et al. 2023, arXiv 2312.05605; block: Ma et al. 2022 (MEGA), arXiv 2209.10655",
    ),
)
