"""Parts of compiled loops, made into machine code only within the loops that call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

# what the processor can do in one instruction it may, rounding once
CONTRACTED = {"contract"}


def inlined(function: Callable[..., Any], *, specialised: bool = False) -> Callable[..., Any]:
    """``function`` as a part of the loops that call it; Python cannot.

    One form of it serves all whole numbers, written out in the call or not, which saves a third
    of what large loops take to compile; ``specialised``, each that is written out has its own.
    """
    part = numba.njit(
        error_model="numpy",
        fastmath=CONTRACTED,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=_Translator,
    )(function)
    if not specialised:
        resolve = part.get_call_template

        def template(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
            return resolve(tuple(types.unliteral(kind) for kind in arguments), named)

        part.get_call_template = template
    return part  # type: ignore[no-any-return]


class _Translator(Compiler):  # type: ignore[misc]
    """Numba's compiler, whose functions are not put into memory one by one: it took a sixth."""

    def __init__(self, typing: Any, target: Any, library: Any, *rest: Any) -> None:
        super().__init__(typing, target, library or _Part(target.codegen(), "part"), *rest)


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """Code to be linked into a loop, which goes into memory as a whole."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # for numba: nothing of that name is in memory

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, env: Any) -> None:
        """The environment of a part is for Python's objects, of which it has none."""
