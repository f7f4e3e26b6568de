"""How a process that drives a Ray cluster begins: its socket, its settings, its way in."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Sequence
from typing import Any

from archsearch.errors import ArchsearchError
from archsearch.execute.channel import Channel
from archsearch.execute.cluster.connect import connect
from archsearch.execute.failure import described, one_line


def enter(arguments: Sequence[str]) -> tuple[Channel, str, dict[str, Any]]:
    """The channel to the driver, the function that runs a job, and the settings.

    Ends the process with one line for the driver if the cluster cannot be used.
    """
    descriptor, run, _, text = arguments
    settings: dict[str, Any] = json.loads(text)
    control = Channel(socket.socket(fileno=int(descriptor)))
    try:
        connect(settings["address"], settings["most"])
    except ArchsearchError as error:
        refuse(control, str(error), error.exit_code)
    except Exception as error:
        refuse(control, failure(error), 1)
    # whoever ends all processes at once leaves our driver time, and us with it
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control.send({"ready": True})
    return control, run, settings


def failure(error: Exception) -> str:
    """What is said of a fault that nobody expected."""
    return one_line(f"the process that drives the Ray cluster failed: {described(error)}")


def refuse(control: Channel, line: str, code: int) -> None:
    """Tell the driver why nothing goes on, and end with all that is begun."""
    control.send({"error": line, "code": code})
    control.drain()
    # not politely, since it may be Ray that is at fault; the cluster ends what its driver began
    os._exit(code)
