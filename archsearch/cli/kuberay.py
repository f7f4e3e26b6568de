"""Manifests for a study on Kubernetes: its space file, and a RayJob of KubeRay that runs it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import yaml

from archsearch.cli.sbatch import MEBIBYTE, Nodes

PLACE, DATA = "/study", "/data"
# beside the driver the head node has Ray's own services
HEAD = {"cpu": "2", "memory": "8Gi"}
RETRIES = 20
KEPT_SECONDS = 600


def manifests(
    name: str,
    files: Mapping[str, str],
    nodes: Nodes,
    *,
    image: str,
    ray: str,
    command: Sequence[str],
    secret: str | None,
    claim: str | None,
) -> str:
    """YAML of a ConfigMap with the space file, and its lock, and of the RayJob ``name``.

    ``secret`` holds the database's URL under the key ``url``; ``claim`` is a volume for data and
    what a study leaves behind. The job is tried again, on a new cluster, until the study ends.
    """
    study = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": dict(files),
    }
    limits: dict[str, str] = {"cpu": str(nodes.cpus)}
    if nodes.memory is not None:
        limits["memory"] = f"{math.ceil(nodes.memory / MEBIBYTE)}Mi"
    if nodes.gpus:
        limits["nvidia.com/gpu"] = str(nodes.gpus)
    pod = partial(_pod, image=image, secret=secret, claim=claim, study=name)
    job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": {
            "entrypoint": f"{shlex.join(command)} --backend ray --address auto",
            "backoffLimit": RETRIES,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "rayClusterSpec": {
                "rayVersion": ray,
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    # trials run on the workers; the head node must not be killed for one
                    "rayStartParams": {"num-cpus": "0"},
                    "template": pod("head", HEAD),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "trials",
                        "replicas": nodes.count,
                        "minReplicas": nodes.count,
                        "maxReplicas": nodes.count,
                        "rayStartParams": {},
                        "template": pod("trials", limits),
                    }
                ],
            },
        },
    }
    return yaml.dump_all([study, job], Dumper=_Plain, sort_keys=False, width=100)


class _Plain(yaml.SafeDumper):
    """A text of several lines is a block, and what stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> yaml.Node:
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Plain.add_representer(str, _Plain.represent_text)


def _pod(
    name: str,
    limits: dict[str, str],
    *,
    image: str,
    secret: str | None,
    claim: str | None,
    study: str,
) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": "study", "configMap": {"name": study}}]
    mounts = [{"name": "study", "mountPath": PLACE, "readOnly": True}]
    if claim is not None:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "data", "mountPath": DATA})
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "resources": {"limits": limits, "requests": limits},
        "volumeMounts": mounts,
    }
    if claim is not None:
        container["workingDir"] = DATA
    if secret is not None and name == "head":
        # only the driver needs it, and no worker gets to see it
        key = {"secretKeyRef": {"name": secret, "key": "url"}}
        container["env"] = [{"name": "ARCHSEARCH_STORAGE", "valueFrom": key}]
    return {"spec": {"containers": [container], "volumes": volumes}}
