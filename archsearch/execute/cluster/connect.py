"""The way into a Ray cluster: only with a token, and only into one that asks for it."""

from __future__ import annotations

import logging
import os
import socket
from importlib.metadata import version
from typing import Any

import ray
from ray._private.services import canonicalize_bootstrap_address as canonical
from ray._raylet import Config, GcsClient  # type: ignore[attr-defined]

from archsearch.errors import InputError, TryAgainError
from archsearch.execute.cluster.token import make_safe
from archsearch.execute.failure import described, one_line

OLDEST = (2, 54)
ANSWER_SECONDS = 5


def connect(address: str, most: int | None) -> None:
    """Make this process a driver of the cluster at ``address``, or of one that begins here.

    Raises InputError for a cluster that cannot or must not be used, TryAgainError for one that
    does not answer.
    """
    found = tuple(int(part) for part in version("ray").split(".")[:2])
    if found < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise InputError(f"Ray {version('ray')} is too old; try 'pip install \"ray>={wanted}\"'")
    make_safe(os.environ, create=address == "local")
    settings: dict[str, Any] = {}
    if address == "local":
        place, settings = address, {"num_cpus": most, "include_dashboard": False}
        _appear("token")
    else:
        place = _resolved(address)
        _refuse_unless_guarded(place)
    try:
        ray.init(address=place, log_to_driver=False, logging_level=logging.CRITICAL, **settings)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        raise TryAgainError(
            one_line(f"the Ray cluster at {place} cannot be joined: {described(error)}")
        ) from None


def _refuse_unless_guarded(place: str) -> None:
    """Raise InputError if the cluster lets a stranger in, or does not let us in."""
    _appear("disabled")
    if _lets_in(place):
        raise InputError(
            f"the Ray cluster at {place} answers without a token, so that anybody on its network"
            " can run code on it; begin it again with RAY_AUTH_MODE=token"
        )
    _appear("token")
    if not _lets_in(place):
        raise InputError(
            f"the Ray cluster at {place} does not accept our token; copy its head node's"
            " ~/.ray/auth_token here"
        )


def _appear(mode: str) -> None:
    """Speak to clusters with our token, or without."""
    os.environ["RAY_AUTH_MODE"] = mode
    Config.initialize("")


def _resolved(address: str) -> str:
    """``HOST:PORT`` of what ``auto`` stands for here."""
    try:
        found = canonical(address)
    except ConnectionError:
        found = None
    if found is None:
        raise InputError(
            f"no Ray cluster is found at '{address}'; give --address HOST:PORT, begin one with 'ray"
            " start --head', or try --address local"
        )
    return str(found)


def _lets_in(place: str) -> bool:
    """Whether the head node answers us as we appear; TryAgainError when nobody answers at all."""
    host, _, port = place.rpartition(":")
    try:
        # Ray would try for most of a minute
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        GcsClient(address=place).internal_kv_keys(b"", None, timeout=ANSWER_SECONDS)
    except ray.exceptions.AuthenticationError:
        return False
    except (ray.exceptions.RayError, OSError, RuntimeError) as error:
        raise TryAgainError(
            one_line(f"the Ray cluster at {place} does not answer: {described(error)}")
        ) from None
    return True
