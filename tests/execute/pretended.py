"""An accelerator that the processor pretends to be: what would stop on a real one stops here.

Its tensors say that they lie there and refuse those that do not; the numbers are the processor's.
To import it changes torch for the whole process, so it belongs in one of its own, and first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _foreach_utils, backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "pretended"
DEVICE = NAME, 0
aten = torch.ops.aten
# what brings numbers from one device to another; positions may lie on the processor
CROSSING = {aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put_.default}


class There(Tensor):
    """A tensor of the accelerator; ``here`` are its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        here = here.resolve_conj().resolve_neg()
        made = Tensor._make_wrapper_subclass(
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(*DEVICE),
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.here.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.here.untyped_storage()


class Making(TorchDispatchMode):
    """Also what has no tensor among its arguments may be asked for on the accelerator."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = any(isinstance(each, There) for each in given)
    # single numbers may lie anywhere
    strangers = [each for each in given if not isinstance(each, There) and each.dim()]
    if there and strangers and func not in CROSSING:
        raise RuntimeError(f"{func}: all tensors should be on {NAME}, one is not")
    asked = kwargs.get("device")
    if asked is not None:
        there, kwargs = torch.device(asked).type == NAME, {**kwargs, "device": "cpu"}
    elif func is aten.copy_.default:
        there = isinstance(args[0], There)
    args, kwargs = tree_map_only(There, lambda each: each.here, (args, kwargs))
    answer = func(*args, **kwargs)
    if not there:
        return answer
    known = {id(each.here): each for each in given if isinstance(each, There)}
    return tree_map_only(
        Tensor, lambda each: known[id(each)] if id(each) in known else There(each), answer
    )


class Backend(backend_registration._DummyBackendModule):  # type: ignore[misc]
    """What torch and a training ask of a kind of device."""

    generator = torch.Generator()

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_device_name(self, device: object = None) -> str:
        return "a processor in disguise"

    def get_rng_state(self, device: object = None) -> Tensor:
        return self.generator.get_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        self.generator.set_state(state)

    def manual_seed(self, seed: int) -> None:
        self.generator.manual_seed(seed)


def lstm_cell(x: Tensor, state: Any, w: Tensor, u: Tensor, b: Any = 0, d: Any = 0) -> Any:
    """torch's own calls an operation of real accelerators, and so do the others below."""
    h, c = state
    i, f, g, o = (x @ w.T + h @ u.T + b + d).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_cell(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Any = 0, d: Any = 0) -> Tensor:
    (rx, zx, nx), (rh, zh, nh) = (x @ w.T + b).chunk(3, -1), (h @ u.T + d).chunk(3, -1)
    z = (zx + zh).sigmoid()
    return (1 - z) * (nx + (rx + rh).sigmoid() * nh).tanh() + z * h


def lstm(x: Tensor, state: Any, weights: Any, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    (h,), (c,), answers = *state, []
    for x_t in x.unbind(1):
        h, c = lstm_cell(x_t, (h, c), *weights)
        answers.append(h)
    return torch.stack(answers, 1), h[None], c[None]


def gru(x: Tensor, state: Any, weights: Any, *_: object) -> tuple[Tensor, Tensor]:
    (h,), answers = state, []
    for x_t in x.unbind(1):
        h = gru_cell(x_t, h, *weights)
        answers.append(h)
    return torch.stack(answers, 1), h[None]


def on_the_accelerator(act: Callable[[], Any]) -> Any:
    """What ``act`` returns where the accelerator is there."""
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with Making():
            return act()
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


# before the first backward pass, which asks what devices there are
backend_registration._setup_privateuseone_for_python_backend(NAME, Backend())
torch.__future__.set_swap_module_params_on_conversion(True)
_foreach_utils._foreach_supported_types.append(There)
torch.lstm, torch.gru = lstm, gru
for place in (torch, torch._VF):
    place.lstm_cell, place.gru_cell = lstm_cell, gru_cell
# its tensors cannot be made in inference mode
torch.inference_mode = torch.no_grad
