"""A bundle whose layers share weights, made from one whose layers have weights of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from archsearch.build import Model, build
from archsearch.depth.sharing import DIFFERENCES, PATTERNS, STARTS, Place, looped, take_over
from archsearch.errors import InputError
from archsearch.serve.bundle import Bundle, write_bundle
from archsearch.spec.architecture import NONE, Architecture, Layer

SHARED = Layer("shared")


@dataclass(frozen=True)
class Sharing:
    """How the layers of a bundle's network share weights.

    Patterns, starts and differences are those of :mod:`archsearch.depth.sharing`; a tie "lora"
    keeps of each layer what its rank can hold.
    """

    bundle: Bundle
    architecture: Architecture
    places: tuple[Place, ...]
    pattern: str
    start: str
    difference: str

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        loops: int,
        pattern: str = "cycle",
        tie: Layer = SHARED,
        start: str = "average",
        difference: str = "svd",
    ) -> Sharing:
        """Raises InputError for a network that is sparse or no chain of blocks that can share."""
        for name, legal in (pattern, PATTERNS), (start, STARTS), (difference, DIFFERENCES):
            if name not in legal:
                raise InputError(f"expected one of {', '.join(legal)}, got '{name}'")
        if bundle.architecture.sparsity != NONE:
            raise InputError("a sparse network cannot share its layers; its masks differ")
        shape, places = looped(bundle.architecture, pattern, loops, tie)
        shape = bundle.catalog.complete_architecture(shape)
        return cls(bundle, shape, places, pattern, start, difference)

    @property
    def name(self) -> str:
        return f"{self.pattern}, {self.start}, {self.difference}"

    def take_over(self, model: nn.Module, stack: nn.Module) -> dict[str, float]:
        """Give a looped model the weights of the stack; the norm of what is lost, by parameter."""
        return take_over(model, stack, self.places, start=self.start, difference=self.difference)

    def model(self, stack: nn.Module) -> tuple[Model, dict[str, float]]:
        """The looped model that stands for the stack, and what is lost."""
        model = build(self.architecture, self.bundle.catalog, self.bundle.signature, seed=0)
        return model, self.take_over(model, stack)


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

    The new bundle has no facts, as nothing measured it; it answers worse than the old one until it
    is trained on. Raises InputError as :meth:`Sharing.of` does.
    """
    sharing = Sharing.of(bundle, loops, pattern, tie, start, difference)
    model, missing = sharing.model(bundle.model())
    made = write_bundle(
        folder, model.state_dict(), sharing.architecture, bundle.signature, bundle.preparation, {},
        bundle.catalog, task=bundle.manifest.task, force=force,
    )  # fmt: skip
    return made, missing
