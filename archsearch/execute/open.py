"""From the execution settings to the backend they name."""

from __future__ import annotations

from archsearch.errors import InputError
from archsearch.execute.backend import Backend
from archsearch.execute.cluster.backends import AUTO, RayBackend, TuneBackend
from archsearch.execute.environment import NO_ACCELERATOR
from archsearch.execute.inline import InlineBackend
from archsearch.execute.local import LocalBackend
from archsearch.execute.process import cores
from archsearch.spec.catalog import suggestion
from archsearch.spec.settings import ExecutionSettings

BACKENDS = ("local", "inline", "ray", "tune")


def open_backend(settings: ExecutionSettings) -> Backend:
    """The running backend; raises InputError for a name that is none."""
    match settings.backend:
        case "local" if settings.most_gpus:
            devices, most = _accelerators(settings.most_gpus)
            return LocalBackend(min(settings.workers or cores(), most), devices=devices)
        case "local":
            return LocalBackend(settings.workers)
        case "inline":
            check_accelerators(settings)
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


def check_accelerators(settings: ExecutionSettings) -> None:
    """Raise InputError where trials are to run here and would not have what they ask for."""
    if settings.most_gpus and settings.backend in ("local", "inline"):
        _accelerators(settings.most_gpus)


def _accelerators(share: float) -> tuple[list[str], int]:
    """Those of this machine, and for how many jobs with such a share there is room at once."""
    # torch takes seconds, which only those wait for who ask for an accelerator
    from archsearch.execute.device import names, room

    devices = names()
    if not devices:
        raise InputError(NO_ACCELERATOR)
    most = room(len(devices), share)
    if not most:
        raise InputError(f"execution.gpus: {share:g} asked for a trial, here are {len(devices)}")
    return devices, most
