"""What any use of a cell needs, without pytest: it imports, is built as declared, keeps shapes.

Torch is imported when the cell has imported it, so that most faults show in a fraction of a second.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from typing import Any

from archsearch.spec.architecture import Layer, Value
from archsearch.spec.catalog import LayerType
from archsearch.spec.importing import Settings
from archsearch.visitor import reason

Check = Callable[[], int]
WIDTHS = (16, 64)
ROWS, STEPS = 2, 5
LEAVE = "other cells run in the same process; set it around what needs it and put it back"


class Broken(Exception):
    """A promise is broken; the words go on after the cell's name."""


class Probe:
    """Looks at one cell. ``width`` is the first at which it could be built."""

    def __init__(self, declared: LayerType) -> None:
        self.declared = declared
        self.options: dict[str, Value] = declared.settings(Layer(declared.name))
        self.width = WIDTHS[0]

    def promises(self) -> Iterator[tuple[str, Check]]:
        """The promises in their order, each with a function that counts the cases it looked at.

        A function raises Broken. Those behind one that did have nothing to look at.
        """
        yield "can be imported", self.imported
        yield "is a torch module", self.is_module
        yield "is built as declared", self.built_as_declared
        yield "can be built", self.built
        yield "keeps the shape", self.keeps_shape
        yield "is finite", self.is_finite
        yield "answers twice alike", self.answers_alike
        yield "has a sound state", self.has_sound_state
        yield "has a step", self.steps
        # what is learned from may change a cell
        yield "has a gradient", self.has_gradient
        yield "leaves settings alone", self.leaves_settings

    def imported(self) -> int:
        target, before = self.declared.target, Settings()
        try:
            self.made: Any = resolve_name(target) if isinstance(target, str) else target
        except (Exception, SystemExit) as error:
            raise Broken(f"cannot be imported: {reason(error)}") from None
        for changed in before.changed():
            raise Broken(f"changes {changed} when it is imported: {LEAVE}")
        if not isinstance(self.made, type):
            what = type(self.made).__name__
            raise Broken(f"is no class: {self.declared.target} is a {what}")
        return 1

    def is_module(self) -> int:
        torch = sys.modules.get("torch")
        if torch is None or not issubclass(self.made, torch.nn.Module):
            raise Broken(f"is no torch module: {self.made.__name__} is not derived from nn.Module")
        for name in ("forward", "initial_state", "step"):
            if not callable(getattr(self.made, name, None)):
                raise Broken(f"has no method '{name}'")
        return 1

    def built_as_declared(self) -> int:
        """The constructor takes the width, and every declared option with the same default."""
        parameters = list(inspect.signature(self.made).parameters.values())
        if not parameters or parameters[0].name != "width":
            raise Broken("is not built as declared: the constructor's first argument is not width")
        kinds = {parameter.kind for parameter in parameters}
        named = {p.name: p.default for p in parameters[1:] if p.kind not in _VARIADIC}
        for key, option in self.declared.options.items():
            if key not in named:
                if inspect.Parameter.VAR_KEYWORD not in kinds:
                    raise Broken(f"is not built as declared: the constructor takes no '{key}'")
            elif named[key] is not inspect.Parameter.empty and named[key] != option.default:
                raise Broken(
                    f"is not built as declared: '{key}' is {option.default!r} in the declaration "
                    f"and {named[key]!r} in the constructor"
                )
        for key, default in named.items():
            if default is inspect.Parameter.empty and key not in self.declared.options:
                raise Broken(f"is not built as declared: '{key}' is required but not declared")
        return len(self.declared.options) or 1

    def built(self) -> int:
        faults, self.settings = [], Settings()
        for self.width in WIDTHS:
            try:
                self.cell = self.made(self.width, **self.options)
            except (Exception, SystemExit) as error:
                faults.append(reason(error))
            else:
                break
        else:
            raise Broken(f"cannot be built: {faults[0]}")
        torch = _torch()
        for name, part in self.cell.named_parameters():
            if isinstance(part, torch.nn.parameter.UninitializedParameter):
                raise Broken(f"has a lazy parameter '{name}': the width gives its size, draw it")
            if part.is_complex():
                raise Broken(f"has a complex parameter '{name}': keep its two parts as real ones")
            if not part.requires_grad:
                raise Broken(f"has a parameter '{name}' that is not trained: make it a buffer")
        for name, part in self.cell.named_modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                raise Broken(
                    f"has a batch norm '{name}', in which rows of a batch see each other: "
                    "take LayerNorm or RMSNorm"
                )
        return 1

    def keeps_shape(self) -> int:
        torch = _torch()
        self.x = torch.randn(ROWS, STEPS, self.width, generator=torch.Generator().manual_seed(0))
        said = self.call("forward", self.x)
        if not isinstance(said, tuple) or len(said) != 2 or not torch.is_tensor(said[0]):
            raise Broken("does not return an output and a state from 'forward'")
        self.y, self.state = said
        if self.y.shape != self.x.shape:
            before, after = tuple(self.x.shape), tuple(self.y.shape)
            raise Broken(f"does not keep the shape: {before} became {after}")
        return 1

    def is_finite(self) -> int:
        if not self.y.isfinite().all():
            raise Broken("is not finite: NaN or infinity in the output for ordinary inputs")
        return 1

    def has_gradient(self) -> int:
        """Outputs follow inputs and parameters, and the cell keeps nothing of the way there."""
        x, torch = self.x.clone().requires_grad_(), _torch()
        try:
            y, _ = self.cell(x)
        except (Exception, SystemExit) as error:
            raise Broken(f"fails in 'forward' where gradients are kept: {reason(error)}") from None
        if not y.requires_grad:
            raise Broken("gives outputs without a gradient: something in 'forward' cuts it off")
        for place, module in self.cell.named_modules():
            for name, part in vars(module).items():
                if torch.is_tensor(part) and part.grad_fn is not None:
                    raise Broken(
                        f"keeps '{f'{place}.{name}'.lstrip('.')}' on itself with its gradient: "
                        "what a cell remembers is its state"
                    )
        return 1

    def answers_alike(self) -> int:
        if not _torch().equal(self.call("forward", self.x)[0], self.y):
            raise Broken(
                "answers the same input differently a second time: a cell draws nothing at random"
                " when it reads, dropout included, and keeps nothing but in its state"
            )
        return 1

    def has_sound_state(self) -> int:
        """Behind a sequence, and before one where the cell can begin without one."""
        states = [("forward", self.state, ROWS)]
        if getattr(self.declared, "causal", True):
            # other rows than above, which may be as many as the cell has layers
            rows = ROWS + 1
            states.append(("initial_state", self.call("initial_state", rows), rows))
        for method, state, rows in states:
            fault = unsound(state, rows)
            if fault:
                raise Broken(f"has no sound state after '{method}': {fault}")
        return len(states)

    def steps(self) -> int:
        """One step at a time gives what the whole sequence gives."""
        if not getattr(self.declared, "has_step", False):
            return 0
        state, outputs = self.call("initial_state", ROWS), []
        for x_t in self.x.unbind(1):
            said = self.call("step", x_t, state)
            if not isinstance(said, tuple) or len(said) != 2 or said[0].shape != x_t.shape:
                raise Broken("does not return an output (batch, width) and a state from 'step'")
            outputs.append(said[0])
            state = said[1]
        error = float((_torch().stack(outputs, 1) - self.y).abs().max())
        if not error <= 1e-3 * max(1.0, float(self.y.abs().max())):
            raise Broken(f"gives other outputs step by step: they differ by up to {error:.2g}")
        return STEPS

    def leaves_settings(self) -> int:
        for changed in self.settings.changed(drawn=False):
            raise Broken(f"changes {changed} when it is built or called: {LEAVE}")
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                raise Broken(
                    f"leaves a thread running, '{thread.name}', that keeps every command from "
                    "ending: make it a daemon"
                )
        return 1

    def call(self, method: str, *arguments: Any) -> Any:
        try:
            with _torch().no_grad():
                return getattr(self.cell, method)(*arguments)
        except (Exception, SystemExit) as error:
            raise Broken(f"fails in '{method}': {reason(error)}") from None


_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def unsound(state: object, rows: int) -> str:
    """What is wrong with a state of so many rows, in words; nothing where it is sound."""
    if type(state) is not tuple:
        return f"a state is a tuple, got {type(state).__name__}"
    for part in state:
        if isinstance(part, tuple):
            found = unsound(part, rows)
            if found:
                return found
        elif not _torch().is_tensor(part):
            return f"a state holds tensors, got {type(part).__name__}"
        elif not part.ndim or len(part) != rows:
            return f"a state's first dimension is the batch, {rows} here, got {tuple(part.shape)}"
    return ""


def _torch() -> Any:
    import torch

    return torch
