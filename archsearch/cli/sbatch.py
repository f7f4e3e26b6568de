"""A Slurm script for a study: one Ray cluster over its nodes, and the driver on the first."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

MEBIBYTE = 1 << 20
# what Ray itself holds on a node beside the trials: its daemons and a small object store
OWN_MEMORY = 2 << 30


@dataclass(frozen=True)
class Nodes:
    """A number of equal nodes; ``memory`` in bytes, None where trials have no bound."""

    count: int
    cpus: int
    gpus: int
    memory: int | None

    @classmethod
    def holding(
        cls, count: int, workers: int, cpus: float, gpus: float, memory: int | None
    ) -> Nodes:
        """Nodes on which so many trials of these needs run at once; the driver has a core more."""
        each = math.ceil(workers / count)
        own = None if memory is None else each * memory + OWN_MEMORY
        return cls(count, math.ceil(each * cpus) + 1, math.ceil(each * gpus), own)


def sbatch(name: str, nodes: Nodes, hours: float, command: Sequence[str]) -> str:
    """The script; ``command`` runs the study, and is given ``--address`` of the cluster.

    A minute before its time is over the driver is asked to stop, and the job is queued again; so
    it is after every end that says to try again.
    """
    asked = {
        "job-name": name,
        "nodes": nodes.count,
        "ntasks-per-node": 1,
        "cpus-per-task": nodes.cpus,
        "time": "{}:{:02d}:00".format(*divmod(round(hours * 60), 60)),
        "signal": "B:TERM@60",
        "output": f"{name}-%j.log",
    }
    if nodes.gpus:
        asked["gpus-per-node"] = nodes.gpus
    if nodes.memory is not None:
        asked["mem"] = f"{math.ceil(nodes.memory / MEBIBYTE)}M"
    options = "\n".join(f"#SBATCH --{key}={shlex.quote(str(asked[key]))}" for key in asked)
    shape = f"--num-cpus={nodes.cpus} --num-gpus={nodes.gpus}"
    return f"""#!/usr/bin/env bash
{options}
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

# only who has this token may use the cluster; every node reads it in the shared home folder
export RAY_AUTH_MODE=token
umask 077
ray get-auth-token --generate >/dev/null
chmod 600 "${{RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}}"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(getent ahostsv4 "$head" | awk 'NR == 1 {{print $1}}'):$((20000 + SLURM_JOB_ID % 20000))

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \\
    ray start --head --block --node-ip-address="${{address%:*}}" --port="${{address##*:}}" \\
    {shape} --include-dashboard=false --disable-usage-stats &
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \\
        --exclude="$head" bash -c 'until ray start --block "$@"; do sleep 2; done' - \\
        --address="$address" {shape} --disable-usage-stats &
fi
until ray status --address "$address" >/dev/null 2>&1; do sleep 2; done

{shlex.join(command)} --backend ray --address "$address" &
driver=$!
trap 'kill -TERM "$driver"' TERM
# a signal ends the waiting, not the driver
while kill -0 "$driver" 2>/dev/null; do
    wait "$driver" || true
done
code=0
wait "$driver" || code=$?
if [ "$code" = 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""
