"""``archsearch cluster``: what a cluster's own scheduler needs to run a study, as text."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from archsearch.cli.kuberay import PLACE, manifests
from archsearch.cli.lock import lock_path, open_space
from archsearch.cli.options import Finite, parse_assignments, set_option, space_argument
from archsearch.cli.sbatch import Nodes, sbatch
from archsearch.errors import InputError
from archsearch.execute.environment import holds_password
from archsearch.spec.spacefile import SpaceFile

WORKERS = 8
# ten years
LONGEST_HOURS = 87_600
# the first whose token the operator of KubeRay sets up
LEAST_RAY = "2.54.0"
LONGEST_NAME = 47
# of a file in a ConfigMap, with the ending of a lock; and a name for one that has none
LONGEST_KEY, KEY = 200, "space.yaml"
SLURM_EXAMPLE = """\b
Example:
  archsearch cluster slurm space.yaml --nodes 4 --hours 12 > study.sbatch
  sbatch study.sbatch
"""
KUBERAY_EXAMPLE = """\b
Example:
  archsearch cluster kuberay space.yaml --image registry.example/archsearch:1 \\
      --storage-secret study-database > study.yaml
  kubectl apply -f study.yaml
"""


@click.group(epilog=SLURM_EXAMPLE)
def cluster() -> None:
    """Write what Slurm or Kubernetes needs to run a study on a Ray cluster of its own.

    Nodes are made large enough for the trials that `execution` of the space file asks for. Nothing
    is started; read the text, and hand it over.
    """


@cluster.command(epilog=SLURM_EXAMPLE)
@space_argument
@set_option
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Nodes.")
@click.option("--hours", type=Finite(0.1, LONGEST_HOURS), default=24.0, show_default=True,
              help="The longest that the job may last; it is then queued again.")  # fmt: skip
@click.option("--storage", help="Database; by default a file in the folder of submission.")
def slurm(
    space: str, assignments: tuple[str, ...], nodes: int, hours: float, storage: str | None
) -> None:
    """Print a script for sbatch that runs SPACE.YAML."""
    file, _ = open_space(space, parse_assignments(assignments))
    if holds_password(storage or ""):
        raise InputError(
            "--storage: the password would stand in the script, and among the processes of its"
            " node; leave it out, and put it into ~/.pgpass, or set ARCHSEARCH_STORAGE there"
        )
    command = ["archsearch", "run", space, *(f"--set={each}" for each in assignments)]
    command += [f"--storage={storage}"] if storage else []
    click.echo(sbatch(spelled(file.name), needed(file, nodes), hours, command), nl=False)


@cluster.command(epilog=KUBERAY_EXAMPLE)
@space_argument
@set_option
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Worker nodes.")
@click.option("--image", required=True, help="Container image with archsearch[ray,postgres] in it.")
@click.option("--ray", help="Ray's version in the image; default: the one here.")
@click.option("--storage-secret", help="Secret whose key 'url' is the database's URL.")
@click.option("--claim", help="PersistentVolumeClaim with data, seen by every node as /data.")
def kuberay(
    space: str,
    assignments: tuple[str, ...],
    nodes: int,
    image: str,
    ray: str | None,
    storage_secret: str | None,
    claim: str | None,
) -> None:
    """Print manifests for KubeRay (1.5.1 or newer) that run SPACE.YAML."""
    file, _ = open_space(space, parse_assignments(assignments))
    if storage_secret is None and claim is None:
        raise InputError(
            "the study would end with its pod: give --storage-secret for a database, or --claim for"
            " a volume on which archsearch.db can lie"
        )
    own = key_of(space)
    command = ["archsearch", "run", f"{PLACE}/{own}"]
    command += [f"--set={each}" for each in assignments]
    # by its file, the study would be called otherwise
    command += [] if own == Path(space).name else [f"--name={file.name}"]
    files = {own: Path(space), lock_path(own).name: lock_path(space)}
    text = manifests(
        spelled(file.name),
        {name: path.read_text() for name, path in files.items() if path.exists()},
        needed(file, nodes),
        image=image,
        ray=ray or _version_here(),
        command=command,
        secret=storage_secret,
        claim=claim,
    )
    click.echo(text, nl=False)


def needed(file: SpaceFile, nodes: int) -> Nodes:
    """Nodes with room for all workers of the space file at once, whatever cells they train."""
    execution = file.execution
    needs = execution.needs([name for name, _ in execution.cells])
    return Nodes.holding(
        nodes, execution.workers or WORKERS, needs["cpus"], needs["gpus"], needs["memory"]
    )


def spelled(name: str) -> str:
    """A study's name as Kubernetes and Slurm take one: small letters, digits and dashes."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_NAME].strip("-")
    return plain if plain[:1].isalpha() else f"study-{plain}".strip("-")[:LONGEST_NAME]


def key_of(space: str) -> str:
    """The name of a space file as a ConfigMap takes one: letters, digits, dots and dashes."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(space).name)
    usable = len(plain) <= LONGEST_KEY and not plain.startswith("..")
    return plain if usable else KEY


def _version_here() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        return LEAST_RAY
