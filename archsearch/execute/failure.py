"""What an exception says to a person, and which state a trial ends in because of it."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from archsearch.errors import InputError
from archsearch.spec.trial import Outcome, State

LONGEST = 600

# how torch begins where an accelerator's memory is short
ACCELERATORS = ("CUDA", "HIP")
# how torch and the C library word it, on the CPU and on an accelerator
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "bad_alloc", "bad allocation")


def failed(error: BaseException) -> Outcome:
    """The outcome of a job that raised: invalid input, too little memory, or a crash."""
    if isinstance(error, InputError):
        return Outcome(State.INVALID, message=one_line(str(error)))
    if out_of_memory(error):
        told = _first_line(error)
        key = "execution.gpus" if told.startswith(ACCELERATORS) else "execution.memory"
        return Outcome(
            State.OOM,
            message=one_line(
                f"out of memory: {told or type(error).__name__}; raise {key}, or search smaller"
                " widths, batches and sequences"
            ),
        )
    return Outcome(State.CRASHED, message=one_line(f"{described(error)}{_place(error)}"))


def unkept(path: str, error: OSError) -> Outcome:
    """What comes of a job whose weights cannot be written: nothing yet, for it is not at fault."""
    reason = error.strerror or described(error)
    return Outcome(State.RUNNING, message=one_line(f"{path} cannot be written: {reason}"))


def out_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and says_out_of_memory(str(error))
    )


def says_out_of_memory(text: str) -> bool:
    return any(words in text for words in _MEMORY_WORDS)


def described(error: BaseException) -> str:
    """``ValueError: heads must divide width``."""
    line = _first_line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def one_line(text: str) -> str:
    """The text without line breaks and control characters, cut at a length a table can show."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    words = " ".join(printable.split())
    return words if len(words) <= LONGEST else words[: LONGEST - 3] + "..."


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    where = "/".join(Path(last.filename).parts[-3:])
    return f" ({where}:{last.lineno} in {last.name})"
