"""The tests of a contract class without pytest's runner: each test is a promise with its cases."""

from __future__ import annotations

import inspect
import itertools
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from archsearch.spec.catalog import LayerType
from archsearch.testing.cells import CellContract
from archsearch.testing.probe import Broken, Check
from archsearch.testing.variants import variants

Case = dict[str, Any]


def contract(declared: LayerType, width: int) -> Iterator[tuple[str, Check]]:
    """Every promise of :class:`CellContract` to the cell, as a probe gives its own."""
    owed = type("Owed", (CellContract,), {"cell_type": declared, "width": width})
    for name, method in inspect.getmembers(owed, inspect.isfunction):
        if name.startswith("test_"):
            yield _title(name), _check(owed(), method, declared)


def _check(owed: CellContract, method: Callable[..., None], declared: LayerType) -> Check:
    def check() -> int:
        looked = 0
        for case in _cases(method, declared):
            torch.manual_seed(7)
            try:
                method(owed, **case)
            except pytest.skip.Exception:
                continue
            except (Exception, SystemExit) as error:
                raise Broken(f"{_words(error)}{_where(case)}") from error
            looked += 1
        return looked

    return check


def _cases(method: Callable[..., None], declared: LayerType) -> Iterator[Case]:
    """Every combination that pytest would run: of the marks, and of the declared options."""
    tables: list[list[Case]] = []
    for mark in getattr(method, "pytestmark", []):
        if mark.name == "parametrize":
            tables.append([_named(mark.args[0], values) for values in mark.args[1]])
    if "options" in inspect.signature(method).parameters:
        tables.append([{"options": options} for options in variants(declared)])
    for parts in itertools.product(*tables):
        yield {name: value for part in parts for name, value in part.items()}


def _named(names: str | tuple[str, ...], values: Any) -> Case:
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    return dict(zip(listed, values if len(listed) > 1 else (values,), strict=True))


def _title(name: str) -> str:
    """``test_g1_step_equals_forward`` as ``G1 step equals forward``."""
    words = name.removeprefix("test_").split("_")
    if words[0][0] == "g" and words[0][1:].isdecimal():
        words[0] = words[0].upper()
    return " ".join(words)


def _words(error: BaseException) -> str:
    """What the failure says, or the line of the test that failed without a word."""
    said = next((line for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, AssertionError):
        frames = traceback.extract_tb(error.__traceback__)
        return said or str(frames[-1].line)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _where(case: Case) -> str:
    plain = {name: value for name, value in case.items() if name != "options"}
    plain |= case.get("options", {})
    listed = ", ".join(f"{name}={value}" for name, value in plain.items())
    return f" ({listed})" if listed else ""
