"""A bundle whose layers share weights, made from one whose layers have weights of their own."""

from __future__ import annotations

from pathlib import Path

from archsearch.build import build
from archsearch.depth.sharing import DIFFERENCES, PATTERNS, STARTS, looped, take_over
from archsearch.errors import InputError
from archsearch.serve.bundle import Bundle, write_bundle
from archsearch.spec.architecture import NONE, Layer

SHARED = Layer("shared")


def share(
    bundle: Bundle,
    folder: Path,
    *,
    loops: int,
    pattern: str = "cycle",
    tie: Layer = SHARED,
    start: str = "average",
    difference: str = "svd",
    force: bool = False,
) -> tuple[Bundle, dict[str, float]]:
    """Write the looped network that stands for the bundle's stack, and say what each layer lost.

    Patterns, starts and differences are those of :mod:`archsearch.depth.sharing`; a ``tie`` "lora"
    keeps of each layer what its rank can hold. The new bundle has no facts, as nothing measured it;
    it answers worse than the old one until it is trained on. Raises InputError where the network is
    no chain of blocks that can share, or is sparse.
    """
    for name, legal in (pattern, PATTERNS), (start, STARTS), (difference, DIFFERENCES):
        if name not in legal:
            raise InputError(f"expected one of {', '.join(legal)}, got '{name}'")
    if bundle.architecture.sparsity != NONE:
        raise InputError("a sparse network cannot share its layers; its masks differ")
    given, signature, catalog = bundle.architecture, bundle.signature, bundle.catalog
    shape, places = looped(given, pattern, loops, tie)
    shape = catalog.complete_architecture(shape)
    model = build(shape, catalog, signature, seed=0)
    missing = take_over(model, bundle.model(), places, start=start, difference=difference)
    made = write_bundle(
        folder, model.state_dict(), shape, signature, bundle.preparation, {}, catalog,
        task=bundle.manifest.task, force=force,
    )  # fmt: skip
    return made, missing
