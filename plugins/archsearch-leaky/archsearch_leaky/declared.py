"""The leaky cell as plain data; importing it does not import torch."""

from archsearch.spec.catalog import CellType, real

LEAKY = CellType(
    "leaky",
    "archsearch_leaky.leaky:Leaky",
    {
        "slowest": real(
            32.0, 2.0, 4096.0, search=(8.0, 32.0, 128.0), doc="longest time constant at the start"
        ),
    },
    doc="A leaky integrator: every unit forgets at its own trained rate.",
    source="Jaeger et al. 2007, Neural Networks 20(3)",
)
