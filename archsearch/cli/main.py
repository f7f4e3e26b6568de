"""The command line's front door: finds a command, runs it, prints one line when it fails."""

from __future__ import annotations

import importlib
import sys

import click

from archsearch.errors import ArchsearchError

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
    "predict": "archsearch.cli.predict",
    "cells": "archsearch.cli.catalog",
    "tasks": "archsearch.cli.catalog",
}


class LazyGroup(click.Group):
    """Lists its commands in the order of work and imports each on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
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
    try:
        code = cli.main(standalone_mode=False)
    except ArchsearchError as error:
        line = str(error) if error.located else f"error: {error}"
        print(line, file=sys.stderr)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("stopped; the same command continues", file=sys.stderr)
        sys.exit(75)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
