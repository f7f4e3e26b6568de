"""The environment that workers get: one thread each, and none of the driver's secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

# the accelerators that a process may use, by which CUDA and Ray tell them apart
VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_ACCELERATOR = (
    "execution.gpus: torch sees no accelerator here; install a torch that is built for yours, or"
    " leave 'gpus' out and train on the processor"
)

SETTINGS = {
    # small networks lose more to a second thread than they gain
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # large tensors from memory that is already mapped: up to four times as fast on the CPU
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    # with which cuBLAS computes the same way every time
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # sets of names come in the same order in every process
    "PYTHONHASHSEED": "0",
}

# a worker runs plugins: it trains, and has no business with databases, clouds or registries
_SECRET = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|SECRETS|PASSWORD|PASSWD|PASS|PGPASSWORD|CREDENTIAL|CREDENTIALS"
    r"|APIKEY|KEY|DSN|AUTH)(?:_|$)|^(?:AWS|AZURE|GCP|GOOGLE)_|^PG[A-Z]+$|DATABASE_URL"
    r"|^ARCHSEARCH_STORAGE$",
    re.IGNORECASE,
)
_URL_WITH_PASSWORD = re.compile(
    r"://[^/@\s]*:[^@\s]+@|://.*[?&](?:password|passwd|sslpassword)=", re.IGNORECASE
)


def holds_password(url: str) -> bool:
    return bool(_URL_WITH_PASSWORD.search(url))


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``own`` but what names or holds a secret, over our settings."""
    open_ones = {
        name: value
        for name, value in own.items()
        if not _SECRET.search(name) and not _URL_WITH_PASSWORD.search(value)
    }
    return SETTINGS | open_ones
