"""A command on the head node of a Ray cluster, through its job server: only with a token."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import join
from typing import Any

from archsearch.errors import ArchsearchError, InputError, TryAgainError
from archsearch.execute.cluster.token import make_safe
from archsearch.execute.failure import described, one_line

# Ray asks this before it is imported
os.environ["RAY_AUTH_MODE"] = "token"

import aiohttp
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

_ADDRESS = re.compile(r"(?:(https?)://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?/?")
PORT = 8265
ANSWER_SECONDS = 10
# after its last line the server may still call a job running
SETTLE_SECONDS = 30.0
LOOK_SECONDS = 0.2
# a driver asked to stop lets trials write checkpoints; Ray would give it three seconds
STOP_SECONDS = 20
STOPPED = TryAgainError.exit_code
# either would be asked in place of the address given
ELSEWHERE = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")


class JobServer:
    """That of the cluster at ``address``, ``[http[s]://]HOST[:PORT]`` of its dashboard.

    Raises InputError for one that cannot or must not be used, TryAgainError for one that does not
    answer.
    """

    def __init__(self, address: str) -> None:
        self.address = _url(address)
        make_safe(os.environ, create=False)
        for name in ELSEWHERE:
            os.environ.pop(name, None)
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        _refuse_open(self.address)
        try:
            self._client = JobSubmissionClient(self.address)
        except AuthenticationError:
            raise InputError(
                f"the Ray cluster at {self.address} does not accept our token; copy its head"
                " node's ~/.ray/auth_token here"
            ) from None
        except ConnectionError:
            raise _silent(self.address, "the connection was lost") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise _no_server(self.address, described(error)) from None

    def submit(
        self, name: str, command: Sequence[str], folder: Path, metadata: Mapping[str, str]
    ) -> None:
        """Send a folder, and have the command run in the copy of it."""
        environment: dict[str, Any] = {
            "working_dir": str(folder),
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
        }
        try:
            self._client.submit_job(
                entrypoint=join(command),
                submission_id=name,
                runtime_env=environment,
                metadata=dict(metadata),
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ArchsearchError(
                one_line(f"the Ray cluster at {self.address} takes no job: {described(error)}")
            ) from None

    def follow(self, name: str, say: Callable[[str], None]) -> int:
        """Hand on what the job prints until it ends; its exit code, 75 if it was stopped.

        Raises TryAgainError if the connection is lost, after which the job goes on.
        """
        try:
            asyncio.run(self._tail(name, say))
            return self._code(name)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise TryAgainError(
                one_line(
                    f"the job server at {self.address} does not answer any more"
                    f" ({described(error)}); the job '{name}' goes on if its cluster does, and"
                    " submitting the study again continues it"
                )
            ) from None

    async def _tail(self, name: str, say: Callable[[str], None]) -> None:
        async for text in self._client.tail_job_logs(name):
            say(text)

    def _code(self, name: str) -> int:
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            found = self._client.get_job_info(name)
            status = JobStatus(found.status)
            if status.is_terminal() or time.monotonic() > deadline:
                break
            time.sleep(LOOK_SECONDS)
        if status is JobStatus.STOPPED:
            return STOPPED
        code = found.driver_exit_code
        if code is None:
            words = (found.message or str(status)).strip().splitlines()[0]
            raise ArchsearchError(one_line(f"the job '{name}' could not be run: {words}"))
        # of a process that died by a signal
        return code if code >= 0 else 128 - code


def _url(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(
            "--address: expected http://HOST:8265, that of the dashboard of a Ray cluster, got"
            f" '{address}'"
        )
    scheme, host, port = found.groups()
    return f"{scheme or 'http'}://{host}:{port or PORT}"


def _refuse_open(url: str) -> None:
    """Raise InputError if jobs are told to somebody without a token."""
    try:
        with urllib.request.urlopen(f"{url}/api/jobs/", timeout=ANSWER_SECONDS):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in (401, 403):
            raise _no_server(url, f"HTTP {error.code}") from None
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise _silent(url, str(reason)) from None
    raise InputError(
        f"the Ray cluster at {url} answers without a token, so that anybody on its network can run"
        " code on it; begin it again with RAY_AUTH_MODE=token"
    )


def _silent(url: str, reason: str) -> TryAgainError:
    return TryAgainError(
        one_line(
            f"the job server at {url} does not answer ({reason}); begin the cluster with"
            " 'ray start --head' from ray[default], or give --address"
        )
    )


def _no_server(url: str, reason: str) -> InputError:
    return InputError(
        one_line(f"{url}: expected the dashboard of a Ray cluster with a job server, got {reason}")
    )
