"""Many trainings in a folder that remembers them: what was killed goes on from there."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Key = tuple[Any, ...]
Runs = dict[Key, dict[str, Any]]
Job = tuple[Key, tuple[Any, ...]]
COLUMNS = (
    TextColumn("{task.description:60}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
)


def options(description: str | None, results: Path, *, seeds: int) -> argparse.ArgumentParser:
    """The options that every script with such a folder has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="start nothing thereafter")
    parser.add_argument("--out", type=Path, default=results)
    return parser


def kept(path: Path, fields: Sequence[str]) -> Runs:
    """The finished runs of a file by the values of these fields.

    A line that a kill cut short is not one, nor an empty one.
    """
    found: Runs = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[tuple(told[field] for field in fields)] = told
    return found


def run_all(
    jobs: Iterable[Job],
    run: Callable[..., dict[str, Any]],
    path: Path,
    fields: Sequence[str],
    *,
    workers: int,
    until: float,
    title: str = "training",
) -> Runs:
    """Calls ``run`` with the arguments of each job, in their order, in processes of their own.

    A job is its key and its arguments. Each outcome is written as it comes; nothing is begun after
    the moment ``until`` of the monotonic clock.
    """
    todo, found = list(jobs), Runs()
    spawn = multiprocessing.get_context("spawn")
    with (
        Progress(*COLUMNS, console=Console()) as bar,
        path.open("a") as file,
        ProcessPoolExecutor(workers, mp_context=spawn) as pool,
    ):
        shown = bar.add_task(title, total=len(todo))
        left, running = iter(todo), {}  # type: ignore[var-annotated]
        while True:
            while len(running) < workers and time.monotonic() < until and (job := next(left, None)):
                running[pool.submit(run, *job[1])] = job[0]
            if not running:
                return found
            ended = next(as_completed(running))
            key = running.pop(ended)
            found[key] = dict(zip(fields, key, strict=True)) | ended.result()
            # a line of its own even after one that was cut short
            file.write("\n" + json.dumps(found[key]) + "\n")
            file.flush()
            name = ", ".join(str(part) for part in reversed(key))
            bar.update(shown, advance=1, description=f"{title}: {name}"[:60])
