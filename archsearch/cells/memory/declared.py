"""Cells whose state is a small network that learns while it reads."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, Option, choice, flag, integer, real

_MIRAS = "Behrouz, Razaviyayn, Zhong, Mirrokni 2025, arXiv 2504.13173"

_WITH_ATTENTION = ("context", "gate", "layer")


def _options(**more: Option) -> dict[str, Option]:
    return {
        "heads": integer(4, 1, 64, search=(2, 4), doc="independent memories; divide the width"),
        "depth": choice(2, 1, doc="matrices of the memory: 1 is linear, 2 a residual network"),
        "expand": integer(
            2, 1, 8, search=(2, 4), doc="hidden width of a memory over its width"
        ).only_when(depth=2),
        "chunk": integer(
            8, 1, 256, search=(8, 16), doc="positions whose gradients are taken at one memory"
        ),
        "rate": choice(1.0, 0.3, doc="largest sum of the learning rates in a chunk"),
        **more,
    }


CELLS: tuple[CellType, ...] = (
    CellType(
        "titans",
        "archsearch.cells.memory.titans:Titans",
        _options(
            momentum=flag(True, doc="carry past surprise along"),
            forget=flag(True, doc="let the memory decay at a rate the input sets"),
            integration=choice(
                *("memory", "context", "gate", "layer"),
                doc="the memory alone, read into the context of attention (MAC), as the gate of"
                " attention (MAG), or as the layer below it (MAL)",
            ).added_later(),
            window=integer(
                *(16, 1, 65536),
                search=(16, 32),
                doc="positions that attention sees; of context, those of a segment, a multiple"
                " of chunk",
            )
            .only_when(integration=_WITH_ATTENTION)
            .added_later(),
            persistent=integer(
                *(4, 0, 1024), search=(4, 0, 16), doc="learned tokens that attention always sees"
            )
            .only_when(integration=_WITH_ATTENTION)
            .added_later(),
        ),
        doc="Titans: a memory network trained on surprise, with momentum and forgetting.",
        source="Behrouz, Zhong, Mirrokni 2024, arXiv 2501.00663",
    ),
    CellType(
        "moneta",
        "archsearch.cells.memory.moneta:Moneta",
        _options(
            p=choice(3, 2, 4, doc="exponent of the loss"),
            q=choice(4, 2, doc="norm that the memory is kept in"),
        ),
        doc="Moneta: a memory network with an l_p loss, kept in an l_q norm.",
        source=_MIRAS,
    ),
    CellType(
        "yaad",
        "archsearch.cells.memory.yaad:Yaad",
        _options(
            bound_bias=real(
                *(0.0, -10.0, 10.0),
                search=(0.0, 2.0),
                doc="bias, at the start, of the size from which an error is an outlier",
            ).added_later()
        ),
        doc="Yaad: a memory network with a Huber loss, robust to outliers.",
        source=_MIRAS,
    ),
    CellType(
        "memora",
        "archsearch.cells.memory.memora:Memora",
        _options(),
        doc="Memora: a memory network whose rows are distributions.",
        source=_MIRAS,
    ),
)
