"""What each weight is multiplied by and what it adds to, seen while a model runs.

Whatever multiplies by a matrix, in the forward pass, is seen: a parameter, or a view of it. The
compiled loops of the kernels give way to plain products meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# which arguments are multiplied
PRODUCTS = {
    aten.mm.default: (0, 1),
    aten.addmm.default: (1, 2),
    aten.bmm.default: (0, 1),
    aten.baddbmm.default: (1, 2),
}
RECURRENT_LAYER = aten.mkldnn_rnn_layer.default
FIGURES = ("count", "x", "xx", "y", "yy", "xy")


class Observed(TorchDispatchMode):
    """Sums over all products inside the ``with``, in double precision.

    ``sums[name]`` has, for each weight, ``count`` and the sums of its input x, of the output y that
    it adds to, and of xx, yy and xy; all zero for a weight that was never seen.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.sums = {
            name: {f: torch.zeros(weight.numel(), dtype=torch.float64) for f in FIGURES}
            for name, weight in weights.items()
        }
        self._weights = dict(weights)
        self._names = {w.untyped_storage().data_ptr(): name for name, w in weights.items()}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: what torch would wrap around the next method imports its compiler, for seconds."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is RECURRENT_LAYER:
            self._note_recurrent(*args[:3], hidden=args[5], outputs=out[0])
        elif func in PRODUCTS:
            left, right = (args[place] for place in PRODUCTS[func])
            self._note(right, left, out)
            # W x is (x' W')'
            self._note(left.mT, right.mT, out.mT)
        return out

    def name_of(self, weight: Tensor) -> str | None:
        """The weight that a tensor is, or is a view of."""
        return self._names.get(weight.untyped_storage().data_ptr())

    def _note(self, weight: Tensor, x: Tensor, y: Tensor) -> None:
        """One product x W = y, each with the same leading dimensions."""
        name = self.name_of(weight)
        if name is None:
            return
        whole = self._weights[name]
        numbers = torch.arange(whole.numel()).as_strided(
            weight.shape, weight.stride(), weight.storage_offset() - whole.storage_offset()
        )
        x, y = x.detach().double().cpu(), y.detach().double().cpu()
        of_x, of_y = x.new_ones(1, y.shape[-1]), x.new_ones(x.shape[-1], 1)
        found = {
            "count": of_y * of_x * x.shape[-2],
            "x": x.sum(-2)[..., None] * of_x,
            "xx": x.square().sum(-2)[..., None] * of_x,
            "y": of_y * y.sum(-2)[..., None, :],
            "yy": of_y * y.square().sum(-2)[..., None, :],
            "xy": x.mT @ y,
        }
        for figure, values in found.items():
            self.sums[name][figure].index_add_(
                0, numbers.flatten(), values.expand(weight.shape).flatten()
            )

    def _note_recurrent(
        self, inputs: Tensor, of_input: Tensor, of_state: Tensor, *, hidden: Tensor, outputs: Tensor
    ) -> None:
        """One whole LSTM layer, (time, batch, ..), whose products are inside of it."""
        before = torch.cat([hidden.view(1, *outputs.shape[1:]), outputs[:-1]])
        drive = (inputs @ of_input.mT + before @ of_state.mT).flatten(0, 1)
        self._note(of_input.mT, inputs.flatten(0, 1), drive)
        self._note(of_state.mT, before.flatten(0, 1), drive)

    def figure(self, name: str, of: Callable[[dict[str, Tensor]], Tensor]) -> Tensor:
        """A figure of each weight from its sums, zero where it is no number; the weight's shape."""
        weight = self._weights[name]
        found = of(self.sums[name]).nan_to_num(0.0, 0.0, 0.0)
        return found.view(weight.shape).to(weight.device)

    def uses(self, name: str) -> Tensor:
        """How often each weight was multiplied."""
        return self.figure(name, lambda s: s["count"])

    def correlation(self, name: str) -> Tensor:
        """The absolute correlation of input and output of each weight."""

        def of(s: dict[str, Tensor]) -> Tensor:
            n = s["count"]
            shared = s["xy"] - s["x"] * s["y"] / n
            spread_x, spread_y = s["xx"] - s["x"].square() / n, s["yy"] - s["y"].square() / n
            return shared.abs() / (spread_x.clamp_min(0) * spread_y.clamp_min(0)).sqrt()

        return self.figure(name, of)

    def norm(self, name: str) -> Tensor:
        """The root mean square of each weight's input."""
        return self.figure(name, lambda s: (s["xx"] / s["count"]).sqrt())

    def mean(self, name: str) -> Tensor:
        return self.figure(name, lambda s: s["x"] / s["count"])

    def variance(self, name: str) -> Tensor:
        return self.figure(name, lambda s: s["xx"] / s["count"] - (s["x"] / s["count"]).square())

    def seen(self, name: str) -> bool:
        return bool(self.sums[name]["count"].any())
