"""Options and arguments that several commands share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

from archsearch.cli.encoding import spell_out
from archsearch.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_STORAGE = "sqlite:///archsearch.db"


class Finite(click.FloatRange):
    """A number within bounds, none of which NaN is outside of, and not infinite."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = float(click.FLOAT.convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{found} is no finite number", param, ctx)
        return float(super().convert(found, param, ctx))


def storage_option(command: Command) -> Command:
    """``--storage URL``: where trials are remembered."""
    return click.option(
        "--storage",
        default=DEFAULT_STORAGE,
        envvar="ARCHSEARCH_STORAGE",
        show_default=True,
        show_envvar=True,
        help="Database of the studies: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``: plain data for a script instead of tables for a person."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")(command)


def set_option(command: Command) -> Command:
    """``--set key=value``: change one value of the space file for this run."""
    return click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="Replace a value of the space file, e.g. --set space.training.steps=100 (repeatable).",
    )(command)


def parse_assignments(
    assignments: tuple[str, ...], example: str = "search.trials=20"
) -> list[tuple[str, str]]:
    """``key=value`` texts as pairs; raises InputError on one without a key."""
    pairs = []
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise InputError(f"--set {text}: expected KEY=VALUE, e.g. --set {example}")
        pairs.append((key.strip(), value))
    return pairs


def space_argument(command: Command) -> Command:
    """The space file."""
    return click.argument("space", metavar="SPACE.YAML", type=click.Path())(command)


def print_json(data: Any) -> None:
    """Plain data as indented JSON on stdout; NaN and infinity as null."""
    click.echo(json.dumps(_finite(data), indent=2, default=str))


def console() -> Console:
    """Where tables go; plain text when stdout is no terminal."""
    spell_out("replace")
    return Console(highlight=False, soft_wrap=False)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float) and (data != data or abs(data) == float("inf")):
        return None
    return data
