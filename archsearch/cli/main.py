"""The command line's front door: finds a command, runs it, prints one line when it fails."""

from __future__ import annotations

import atexit
import importlib
import os
import re
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from archsearch.cli.encoding import spell_out
from archsearch.errors import MAKE_ROOM, ArchsearchError, InputError, TryAgainError, is_full
from archsearch.spec.positions import LONGEST, escape
from archsearch.spec.words import suggestion

# command -> module that defines it; a module is imported only when its command is used
COMMANDS = {
    "run": "archsearch.cli.run",
    "validate": "archsearch.cli.space",
    "explain": "archsearch.cli.explain",
    "schema": "archsearch.cli.space",
    "show": "archsearch.cli.show",
    "leaderboard": "archsearch.cli.leaderboard",
    "studies": "archsearch.cli.studies",
    "export": "archsearch.cli.export",
    "adapt": "archsearch.cli.adapt",
    "share": "archsearch.cli.share",
    "shrink": "archsearch.cli.shrink",
    "predict": "archsearch.cli.predict",
    "cluster": "archsearch.cli.cluster",
    "submit": "archsearch.cli.submit",
    "cells": "archsearch.cli.catalog",
    "tasks": "archsearch.cli.catalog",
    "plugin": "archsearch.cli.plugin",
}


class LazyGroup(click.Group):
    """Lists its commands in the order of work and imports each on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            hint = suggestion(cmd_name, COMMANDS)
            raise click.UsageError(f"no such command '{cmd_name}'{hint}", ctx)
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command


EXAMPLE = """\b
Example:
  archsearch run search_spaces/quickstart.yaml
  archsearch show quickstart
"""


@click.command(cls=LazyGroup, epilog=EXAMPLE)
@click.version_option(package_name="archsearch", prog_name="archsearch")
def cli() -> None:
    """Search neural architectures for a sequence task.

    A space file says what may vary; `run` searches it, judges the finalists on data the search
    never saw, and exports the winner.
    """


def main() -> None:
    """The entry point: every expected failure is one line on stderr and a documented exit code."""
    # registered first and so called last, when only modules remain to be taken down
    atexit.register(_ignore_stops)
    signal.signal(signal.SIGTERM, _stop)
    spell_out("backslashreplace")
    try:
        code = cli.main(prog_name="archsearch", standalone_mode=False)
    except ArchsearchError as error:
        refuse(str(error) if error.located else f"error: {error}", error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        refuse(f"error: {_usage(error)}", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        refuse("stopped; the same command continues", TryAgainError.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        full = is_full(error)
        if error.filename is None and not full:
            raise
        reason = (error.strerror or "cannot be used").lower()
        line = f"error: {error.filename or 'the output'}: {reason}"
        if full:
            refuse(f"{line}; {MAKE_ROOM}", TryAgainError.exit_code)
        refuse(line, InputError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def _ignore_stops() -> None:
    """Keep the exit code of what is done: the interpreter would die of a signal at its very end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _forget_output() -> None:
    """Send nowhere what could not be written: the interpreter would try again at its very end."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def refuse(line: str, code: int) -> NoReturn:
    """End with one line on stderr, in which nothing acts on a terminal, of bearable length."""
    text = escape(line)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST * 2 // 3]} ... {text[-LONGEST // 4 :]}"
    # nobody may be left to be told
    with suppress(OSError):
        print(text, file=sys.stderr)
    _forget_output()
    sys.exit(code)


def _usage(error: click.ClickException) -> str:
    """What is wrong with the command line, and whom to ask."""
    fault = " ".join(error.format_message().split()).rstrip(".")
    # click puts several in brackets of its own
    fault = re.sub(
        r"\.? \(?Did you mean (?:one of: )?([^?]+)\?\)?",
        lambda found: f" (did you mean {found[1].replace(', ', ' or ')}?)",
        fault,
    )
    fault = fault[0].lower() + fault[1:]
    context = getattr(error, "ctx", None)
    if context is None:
        return fault
    return f"{fault}; see '{context.command_path} --help'"
