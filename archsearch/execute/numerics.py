"""What the last bit of a training depends on besides its job: software, processor, threads."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from archsearch.spec.settings import fingerprint
from archsearch.train.draws import CPU

_DISTRIBUTIONS = ("archsearch", "torch", "numpy", "numba")
# by these the mathematical libraries choose their code and the size of their blocks
_PROCESSOR = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "cache size")
_VARIABLES = ("MKL_", "ONEDNN_", "DNNL_", "ATEN_", "ARCHSEARCH_KERNELS")


def numerics(device: torch.device) -> dict[str, str]:
    """Short names of all of it, for the place it is called at; equal where trainings are equal.

    Plugins are left out: a study is not continued with other versions of those it began with.
    """
    own = (
        {} if device == CPU else {"device": torch.get_device_module(device).get_device_name(device)}
    )
    return {**_of_process(), "threads": str(torch.get_num_threads()), **own}


@cache
def _of_process() -> dict[str, str]:
    chosen = {
        name: value
        for name, value in os.environ.items()
        # how many threads there are is asked of torch
        if name.startswith(_VARIABLES) and not name.endswith("_NUM_THREADS")
    }
    return {
        **{name: version(name) for name in _DISTRIBUTIONS},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": fingerprint(_processor()),
        "variables": fingerprint(chosen),
    }


def _processor() -> dict[str, str]:
    """What Linux says of the first core; elsewhere what Python knows."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {"processor": platform.processor()}
    pairs = [line.partition(":") for line in first.splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    return {name: facts[name] for name in _PROCESSOR if name in facts}
