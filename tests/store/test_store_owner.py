"""Whether the process that holds a study still lives is told only where it can be known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archsearch.store import owner
from archsearch.store.store import open_store


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def named(pid: int) -> str:
    return owner.this_process().replace(f"{os.getpid()}@", f"{pid}@").rpartition("/")[0]


def test_this_process_lives_and_has_a_readable_name() -> None:
    name = owner.this_process()
    assert not owner.is_dead(name)
    assert owner.label(name).startswith(f"{os.getpid()}@")
    assert "/" not in owner.label(name)


def test_a_process_is_dead_once_it_was_killed(child: subprocess.Popen[bytes]) -> None:
    name = named(child.pid)
    assert not owner.is_dead(name)
    child.kill()
    # nobody has waited for it yet: its number still exists
    deadline = time.monotonic() + 5.0
    while not owner.is_dead(name) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert owner.is_dead(name)
    child.wait()
    assert owner.is_dead(name)
    assert owner.is_dead(owner.label(name))


def test_another_process_with_the_same_number_is_not_the_owner() -> None:
    name, _, birth = owner.this_process().rpartition("/")
    assert owner.is_dead(f"{name}/{int(birth) - 1}")


@pytest.mark.parametrize("stranger", ["7@elsewhere.invalid", "someone", "", "x@y/z"])
def test_what_cannot_be_told_from_here_is_not_dead(stranger: str) -> None:
    assert not owner.is_dead(stranger)


def test_another_boot_or_container_cannot_be_told_from_here(
    child: subprocess.Popen[bytes],
) -> None:
    child.kill()
    child.wait()
    assert not owner.is_dead(f"{owner.label(named(child.pid))}/0000-1/5")


def test_the_study_of_a_dead_driver_is_taken_over_at_once(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    with open_store(f"sqlite:///{tmp_path}/studies.db") as store:
        study = store.create_study("one", {}, "", {}).id
        store.acquire(study, named(child.pid), ttl=3600.0)
        child.kill()
        child.wait()
        assert store.acquire(study) == 2
