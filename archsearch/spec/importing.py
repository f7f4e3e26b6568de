"""Imports what a declaration names, and leaves the settings of the process as they were.

A visitor's module may seed a generator, choose another default type or print when it is imported.
What others compute must not depend on whether, and when, it was. A library that is not imported
has no settings yet, and none is imported here.
"""

from __future__ import annotations

import pkgutil
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Setting:
    """``read`` gives a value that ``write`` puts back; both take the library.

    ``drawn`` ones change whenever a random number is drawn.
    """

    name: str
    library: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]
    drawn: bool = False


def _flushes(torch: Any) -> bool:
    tiny = torch.full((1,), 1e-40, dtype=torch.float32, device="cpu")
    return not bool((tiny * 1.0).any())


_SETTINGS = (
    _Setting(
        "torch's default dtype",
        "torch",
        lambda torch: torch.get_default_dtype(),
        lambda torch, value: torch.set_default_dtype(value),
    ),
    _Setting(
        "torch's default device",
        "torch",
        lambda torch: torch.get_default_device(),
        # None takes the mode away that another default is
        lambda torch, value: torch.set_default_device(None if value.type == "cpu" else value),
    ),
    _Setting(
        "whether torch keeps gradients",
        "torch",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, value: torch.set_grad_enabled(value),
    ),
    _Setting(
        "whether torch's algorithms are deterministic",
        "torch",
        lambda torch: torch.get_deterministic_debug_mode(),
        lambda torch, value: torch.set_deterministic_debug_mode(value),
    ),
    _Setting(
        "torch's precision of products",
        "torch",
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, value: torch.set_float32_matmul_precision(value),
    ),
    _Setting(
        "torch's number of threads",
        "torch",
        lambda torch: torch.get_num_threads(),
        lambda torch, value: torch.set_num_threads(value),
    ),
    _Setting(
        "torch's search for anomalies",
        "torch",
        lambda torch: torch.is_anomaly_enabled(),
        lambda torch, value: torch.autograd.set_detect_anomaly(value),
    ),
    _Setting(
        "what torch does with denormal numbers",
        "torch",
        _flushes,
        lambda torch, value: torch.set_flush_denormal(value),
    ),
    _Setting(
        "numpy's treatment of errors",
        "numpy",
        lambda numpy: numpy.geterr(),
        lambda numpy, value: numpy.seterr(**value),
    ),
    _Setting(
        "torch's random state",
        "torch",
        lambda torch: bytes(torch.get_rng_state().numpy()),
        lambda torch, value: torch.set_rng_state(
            torch.frombuffer(bytearray(value), dtype=torch.uint8)
        ),
        drawn=True,
    ),
    _Setting(
        "numpy's random state",
        "numpy",
        lambda numpy: _numpy_state(numpy.random.get_state()),
        lambda numpy, value: numpy.random.set_state(value),
        drawn=True,
    ),
    _Setting(
        "Python's random state",
        "random",
        lambda _: random.getstate(),
        lambda _, value: random.setstate(value),
        drawn=True,
    ),
)


def _numpy_state(state: Any) -> tuple[Any, ...]:
    """The same with whole numbers in place of an array, which is equal to nothing at once."""
    name, keys, *others = state
    return name, tuple(keys.tolist()), *others


class Settings:
    """The settings of the process as they are now."""

    def __init__(self) -> None:
        self._found = [
            (setting, sys.modules[setting.library], setting.read(sys.modules[setting.library]))
            for setting in _SETTINGS
            if setting.library in sys.modules
        ]

    def changed(self, *, drawn: bool = True) -> list[str]:
        """The names of those that are others now; without ``drawn`` but for random states."""
        return [
            setting.name
            for setting, library, before in self._found
            if (drawn or not setting.drawn) and setting.read(library) != before
        ]

    def restore(self) -> None:
        """Put each back that is another now."""
        for setting, library, before in self._found:
            if setting.read(library) != before:
                setting.write(library, before)


@contextmanager
def unchanged() -> Iterator[None]:
    """Afterwards the settings are what they were, whatever was done inside."""
    before = Settings()
    try:
        yield
    finally:
        before.restore()


def imported(target: str) -> Any:
    """What ``module:attribute`` names; raises ImportError, AttributeError or what the module does.

    What a module prints while it is imported goes to stderr, for an answer stands on stdout.
    """
    if target.partition(":")[0] in sys.modules:
        return pkgutil.resolve_name(target)
    with unchanged(), warnings.catch_warnings(), redirect_stdout(sys.stderr):
        return pkgutil.resolve_name(target)
