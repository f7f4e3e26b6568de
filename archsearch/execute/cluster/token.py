"""The token without which no Ray cluster of ours answers, in a file that only we can read."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from archsearch.errors import InputError

OWN = Path(".ray") / "auth_token"


def token_file(environment: Mapping[str, str]) -> Path:
    """Where Ray reads the token, unless it stands in ``RAY_AUTH_TOKEN``."""
    given = environment.get("RAY_AUTH_TOKEN_PATH")
    return Path(given) if given else Path.home() / OWN


def make_safe(environment: Mapping[str, str], create: bool) -> None:
    """See to it that there is a token, and that nobody else can read its file.

    With ``create`` one is made where there is none, which is right only for a cluster that begins
    here. Raises InputError.
    """
    if environment.get("RAY_AUTH_TOKEN"):
        return
    path = token_file(environment)
    if create and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(32))
    try:
        found = path.stat()
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no token for the Ray cluster; copy the head node's ~/.ray/auth_token"
            " to this place, or name its place in RAY_AUTH_TOKEN_PATH"
        ) from None
    except PermissionError:
        raise InputError(
            f"{path}: others can read the token of the Ray cluster, and its mode cannot be changed"
            " from here; make it 0600"
        ) from None
