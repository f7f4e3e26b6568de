"""Calls a cell's linear maps the quick way, where nothing has been put around them."""

from __future__ import annotations

from typing import TypeGuard

from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from archsearch.kernels.projections.projection import projection


def projected(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer(x)``; what was put in a linear map's place, and one with hooks, is called itself."""
    if not untouched(layer):
        return layer(x)  # type: ignore[no-any-return]
    return projection(x, layer.weight, layer.bias)


def untouched(layer: nn.Module, kind: type[nn.Module] = nn.Linear) -> TypeGuard[nn.Linear]:
    """Whether the layer is just of this kind, so that its weights alone say what it computes."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    hooked = hooked or layer._backward_hooks or layer._backward_pre_hooks
    return type(layer) is kind and not (hooked or _has_any_global_hook())
