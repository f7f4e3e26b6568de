"""From a trained stack of layers of their own to one that loops over shared ones.

After Bae et al. 2024, arXiv 2410.20672, sections 2.2 and 2.3: layers that are to share weights are
replaced by one, and a tie of low rank takes up what each of them had beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from archsearch.depth.lora import LoRA, linears
from archsearch.errors import InputError
from archsearch.spec.architecture import CHAIN, Architecture, Layer, Stage

PATTERNS = ("cycle", "sequence", "middle_cycle", "middle_sequence")
STARTS = ("average", "stepwise", "lower", "upper")
DIFFERENCES = ("svd", "zero")


@dataclass(frozen=True)
class Place:
    """Where a layer of the stack went: the stage, the block in its body, the loop."""

    stage: int
    block: int
    loop: int


def looped(
    architecture: Architecture, pattern: str, loops: int, tie: Layer
) -> tuple[Architecture, tuple[Place, ...]]:
    """The architecture whose layers are shared by a pattern, and where each layer went.

    ``cycle`` goes through all shared layers again and again (1 2 1 2), ``sequence`` repeats each
    (1 1 2 2); with ``middle_`` the first and the last layer stay as they are. Raises InputError
    where the layers are not one chain, cannot be shared out evenly, or differ in kind.
    """
    stages = architecture.canonical().stages
    if len(stages) != 1 or stages[0].loops > 1 or stages[0].connections != CHAIN:
        raise InputError("expected a network of one chain of blocks, without loops")
    blocks = stages[0].blocks
    ends = 1 if pattern.startswith("middle_") else 0
    inner = blocks[ends : len(blocks) - ends]
    if not inner:
        raise InputError(f"{len(blocks)} layers leave none between the first and the last to share")
    if len(inner) == 1:
        raise InputError("one layer has no other to share weights with")
    if loops < 2 or len(inner) % loops:
        raise InputError(
            f"{len(inner)} layers cannot be shared out over {loops} loops; take a divisor above 1"
        )
    count = len(inner) // loops
    cyclic = pattern.endswith("cycle")
    kinds = [inner[at % count if cyclic else at // loops * loops] for at in range(len(inner))]
    if tuple(kinds) != inner:
        raise InputError("layers that are to share weights differ in kind")
    if cyclic:
        made = [Stage(inner[:count], loops=loops, tie=tie)]
        places = [Place(ends, at % count, at // count) for at in range(len(inner))]
    else:
        made = [Stage((block,), loops=loops, tie=tie) for block in inner[::loops]]
        places = [Place(ends + at // loops, 0, at % loops) for at in range(len(inner))]
    if ends:
        made = [Stage(blocks[:1]), *made, Stage(blocks[-1:])]
        places = [Place(0, 0, 0), *places, Place(len(made) - 1, 0, 0)]
    return replace(architecture, stages=tuple(made)), tuple(places)


@torch.no_grad()
def take_over(
    model: nn.Module,
    stack: nn.Module,
    places: Sequence[Place],
    *,
    start: str = "average",
    difference: str = "svd",
) -> dict[str, float]:
    """Give a looped model the weights of a stack of layers, in place; what could not be kept.

    A shared layer is the ``average`` of those that it stands for, or one of the stack's: at equal
    strides from the first to the last (``stepwise``), the first ones or the last ones. With
    ``svd`` a tie of low rank takes up the best approximation of each difference, with ``zero``
    none. The answer has, for each layer and parameter, the Frobenius norm of what is missing.
    Raises InputError where a shared layer would start as one of another kind.
    """
    for part in ("embed", "norm", "head"):
        getattr(model, part).load_state_dict(getattr(stack, part).state_dict())
    layers = list(stack.stages[0].tie.body.blocks)
    chosen = _chosen(len(places), places, start)
    for key in dict.fromkeys((place.stage, place.block) for place in places):
        sharing = [at for at, place in enumerate(places) if (place.stage, place.block) == key]
        target = model.stages[key[0]].tie.body.blocks[key[1]]
        sources = [dict(layers[at].named_parameters()) for at in sharing]
        one = dict(layers[chosen.get(key, sharing[0])].named_parameters())
        own = dict(target.named_parameters())
        if start != "average" and {k: v.shape for k, v in one.items()} != {
            k: v.shape for k, v in own.items()
        }:
            raise InputError(
                f"layer {chosen[key]} is of another kind than those it is to stand for"
            )
        for name, parameter in own.items():
            alike = torch.stack([source[name] for source in sources])
            parameter.copy_(alike.mean(0) if start == "average" else one[name])
        buffers = dict(layers[sharing[0]].named_buffers())
        for name, buffer in target.named_buffers():
            buffer.copy_(buffers[name])
    missing: dict[str, float] = {}
    for at, place in enumerate(places):
        whole = dict(layers[at].named_parameters())
        tie = model.stages[place.stage].tie
        for name, lost in _fitted(tie, place, whole, difference).items():
            missing[f"layer {at}: {name}"] = float(lost.norm())
    return missing


def _fitted(
    tie: nn.Module, place: Place, own: dict[str, Tensor], difference: str
) -> dict[str, Tensor]:
    """What a layer had beside the shared one, less what the tie could take up, by parameter."""
    block = tie.body.blocks[place.block]
    left = {name: own[name] - shared for name, shared in block.named_parameters()}
    if difference == "zero" or not isinstance(tie, LoRA):
        return left
    within = f"blocks.{place.block}."
    names = {id(part): name for name, part in tie.body.named_parameters()}
    fits = {
        names[id(linear.weight)]: low
        for linear, low in zip(linears(tie.body), tie.differences[place.loop], strict=True)
    }
    for name in left:
        low = fits.get(within + name)
        if low is not None:
            low.approximate(left[name])
            left[name] = left[name] - low(torch.zeros_like(left[name]))
        elif tie.rest:
            tie.rest[place.loop][tie.others.index(within + name)].added.copy_(left[name])
            left[name] = torch.zeros_like(left[name])
    return left


def _chosen(count: int, places: Sequence[Place], start: str) -> dict[tuple[int, int], int]:
    """Which layer of the stack each shared one begins as, by (stage, block)."""
    looping = {place.stage for place in places if place.loop}
    inner = [at for at in range(count) if places[at].stage in looping]
    keys = list(dict.fromkeys((places[at].stage, places[at].block) for at in inner))
    last = len(keys) - 1
    if start == "lower":
        picked = inner[: len(keys)]
    elif start == "upper":
        picked = inner[-len(keys) :]
    else:
        picked = [
            inner[round(at * (len(inner) - 1) / last) if last else 0] for at in range(len(keys))
        ]
    return dict(zip(keys, picked, strict=True))
