"""What a person is told who waits for one long computation: how far it is, now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

FIRST, EVERY = 10.0, 30.0


@contextmanager
def told_how_far(
    how_far: Callable[[], str], first: float = FIRST, every: float = EVERY
) -> Iterator[None]:
    """While the block runs, ``how_far()`` is told after ``first`` and then each ``every`` seconds.

    What takes less than ``first`` is silent.
    """
    done, began = threading.Event(), time.monotonic()

    def tell() -> None:
        wait = first
        while not done.wait(wait):
            click.echo(f"{how_far()}, {time.monotonic() - began:,.0f} s", err=True)
            wait = every

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
