"""From the execution settings to the backend they name."""

from __future__ import annotations

from archsearch.errors import InputError
from archsearch.execute.backend import Backend
from archsearch.execute.cluster.backends import AUTO, RayBackend, TuneBackend
from archsearch.execute.inline import InlineBackend
from archsearch.execute.local import LocalBackend
from archsearch.spec.catalog import suggestion
from archsearch.spec.settings import ExecutionSettings

BACKENDS = ("local", "inline", "ray", "tune")


def open_backend(settings: ExecutionSettings) -> Backend:
    """The running backend; raises InputError for a name that is none."""
    match settings.backend:
        case "local":
            return LocalBackend(settings.workers)
        case "inline":
            return InlineBackend()
        case "ray" | "tune" as name:
            kind = RayBackend if name == "ray" else TuneBackend
            usual = {"cpus": settings.cpus, "gpus": settings.gpus, "memory": settings.memory}
            usual["least_memory"] = settings.least_memory
            return kind(settings.address or AUTO, settings.workers, needs=usual)
    raise InputError(
        f"execution.backend: expected one of {', '.join(BACKENDS)}; got '{settings.backend}'"
        + suggestion(settings.backend, BACKENDS)
    )
