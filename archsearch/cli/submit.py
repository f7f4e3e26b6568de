"""``archsearch submit``: a study handed to a running Ray cluster, to be driven there."""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import click

from archsearch.cli.lock import open_space
from archsearch.cli.options import parse_assignments, set_option, space_argument
from archsearch.errors import InputError, TryAgainError
from archsearch.execute.environment import holds_password

EXAMPLE = """\b
Examples:
  archsearch submit space.yaml --address http://HEAD:8265
  archsearch submit space.yaml --storage postgresql+psycopg://ME@DB/archsearch --no-wait
"""
FOLDER = "~/archsearch-studies"


@click.command(epilog=EXAMPLE)
@space_argument
@set_option
@click.option("--address", default="http://127.0.0.1:8265", show_default=True,
              help="The cluster: its dashboard, which takes jobs.")  # fmt: skip
@click.option("--backend", type=click.Choice(["ray", "tune"]), default="ray", show_default=True,
              help="How its trials run there.")  # fmt: skip
@click.option("--storage", default="sqlite:///archsearch.db", show_default=True,
              help="Database, as the head node reaches it; a file lies in --folder.")  # fmt: skip
@click.option("--folder", default=FOLDER, show_default=True, metavar="PATH",
              help="Where the study lies on the head node.")  # fmt: skip
@click.option("--shared", is_flag=True,
              help="Send no data: the head node sees it under the same paths.")  # fmt: skip
@click.option("--python", default="python", show_default=True, metavar="PROGRAM",
              help="The Python of the head node that archsearch is installed for.")  # fmt: skip
@click.option("--name", help="Name of the study; default: the file's name.")
@click.option("--new", is_flag=True, help="Begin another study if the stored one is different.")
@click.option("--wait/--no-wait", default=True, show_default=True,
              help="Show what the study says, and end with its exit code.")  # fmt: skip
def submit(
    space: str,
    assignments: tuple[str, ...],
    address: str,
    backend: str,
    storage: str,
    folder: str,
    shared: bool,
    python: str,
    name: str | None,
    new: bool,
    wait: bool,
) -> None:
    """Run SPACE.YAML on a Ray cluster, from a machine that only reaches its dashboard.

    The space file and its data are sent to the head node, which runs them as `archsearch run`
    would: a study that its database knows is continued, one that is running there is refused.
    The first line printed is the name of the job.
    """
    overrides = parse_assignments(assignments)
    overrides += [("name", json.dumps(name))] if name else []
    file, catalog = open_space(space, overrides)
    if holds_password(storage):
        raise InputError(
            "--storage: the password would stand in the cluster's list of jobs; leave it out, and"
            " put it into ~/.pgpass on the head node"
        )
    if not folder.startswith(("/", "~/")):
        raise InputError(f"--folder: expected a path that begins with / or ~/, got '{folder}'")
    if find_spec("ray") is None or find_spec("aiohttp") is None:
        raise InputError(
            "submitting needs Ray's client of jobs; try 'pip install archsearch[ray]', or"
            " 'archsearch run --backend ray' on a machine of the cluster"
        )
    # what is wrong so far has been said before anything heavy is imported
    from archsearch.cli.package import pack
    from archsearch.cli.plans import plans_of
    from archsearch.execute.cluster.jobs import JobServer

    plans_of(file, catalog)
    server = JobServer(address)
    job = f"archsearch-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory() as made:
        package = pack(file, Path(made), shared)
        command = [python, "-P", "-m", "archsearch.cli.submitted", folder, "run", package.space]
        command += [f"--set={each}" for each in package.assignments]
        command += ["--backend", backend, "--address", "auto", "--storage", storage]
        command += ["--new"] if new else []
        told = {"study": file.name, "archsearch": version("archsearch")}
        server.submit(job, command, Path(made), told)
    click.echo(job)
    for plugin in package.plugins:
        click.echo(f"needs {plugin.distribution} {plugin.version} on every node", err=True)
    ray = f"RAY_AUTH_MODE=token ray job {{}} --address {server.address} {{}}{job}"
    click.echo(f"follow it: {ray.format('logs', '--follow ')}", err=True)
    click.echo(f"stop it:   {ray.format('stop', '')}", err=True)
    if not wait:
        return
    try:
        code = server.follow(job, _say)
    except KeyboardInterrupt:
        raise TryAgainError(f"not waiting any longer; the job '{job}' goes on") from None
    sys.exit(code)


def _say(text: str) -> None:
    """What the job printed, without what acts on a terminal."""
    visible = (char if char.isprintable() or char in "\n\t" else "?" for char in text)
    click.echo("".join(visible), nl=False)
