"""The heads with an objective or answers of their own, as plain data."""

from __future__ import annotations

from collections.abc import Mapping

from archsearch.spec.catalog import LayerType, Option, choice, integer, real
from archsearch.spec.domains import FloatRange


def special_heads(reading: Mapping[str, Option]) -> tuple[LayerType, ...]:
    """Those besides the linear one, whose options ``reading`` they share."""
    return (
        LayerType(
            "margin",
            "archsearch.blocks.ends.margin_heads:MarginHead",
            {
                "form": choice(
                    *("one_vs_rest", "crammer_singer"),
                    doc="each class against all others, or the right one against the best other",
                ),
                "power": choice(2, 1, doc="of what is lacking to the margin"),
                "c": real(
                    32.0,
                    0.01,
                    1e6,
                    search=FloatRange(1.0, 1000.0, log=True),
                    doc="what a lacking margin costs against the squared weights",
                ),
                **reading,
            },
            kind="head",
            doc="A linear support vector machine over the network, for classes.",
            source="Tang 2013, arXiv 1306.0239; Agarap 2018, arXiv 1709.03082",
        ),
        LayerType(
            "triplet",
            "archsearch.blocks.ends.margin_heads:TripletHead",
            {
                "size": integer(16, 2, 4096, search=(8, 16, 32), doc="features of the sphere"),
                "margin": real(
                    0.2,
                    0.0,
                    4.0,
                    search=(0.1, 0.2, 0.5),
                    doc="how much nearer, in squared distance, the right class should be",
                ),
                **reading,
            },
            kind="head",
            doc="The nearest of one learned point per class, trained by triplets.",
            source="Schroff et al. 2015, arXiv 1503.03832; Movshovitz-Attias et al. 2017, arXiv "
            "1703.07464",
        ),
        LayerType(
            "pointer",
            "archsearch.blocks.ends.pointer_head:PointerHead",
            {
                "glimpses": integer(
                    0, 0, 8, search=(0, 1, 2), doc="looks at all steps before the answer"
                ),
                "clip": real(0.0, 0.0, 100.0, search=(0.0, 10.0), doc="bounds scores; 0: none"),
                **reading,
            },
            kind="head",
            doc="Additive attention over the steps themselves: class j is the j-th step.",
            source="Vinyals et al. 2015, arXiv 1506.03134",
        ),
    )
