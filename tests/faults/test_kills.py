"""Workers, supervisors and drivers killed or paused at any moment change nothing in a study."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from history import stored, violations
from killing import Follower, Killer, dose, left_behind
from seeds import FIRST
from tiers import tiered
from toy_study import JOURNAL, LEASE, drive, results, undisturbed

from archsearch.store.store import open_store

TRIALS, WORKERS = 120, 4
SOME, MANY = 40, 200
POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
SQLITE = "sqlite:///{folder}/studies.db"


def scheme(url: str) -> str:
    return url.partition(":")[0]


def torment(url: str, folder: Path, faults: int, sampler: str) -> Counter[str]:
    """As many studies as it takes to inject the faults; each must come out undisturbed."""
    rng = random.Random(FIRST)
    left = dose(faults)
    rng.shuffle(left)
    done: Counter[str] = Counter()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["toy_study", "optuna.samplers"])
    open_store(url).close()
    number = 0
    while left:
        journal = folder / f"journal-{number}"
        plan = (f"{folder} {number}", TRIALS, sampler, FIRST + number)
        arguments = (url, plan, str(journal), WORKERS, LEASE)

        def launch(arguments: tuple[Any, ...] = arguments) -> Any:
            driver = processes.Process(target=drive, args=arguments)
            driver.start()
            return driver

        killer = Killer(launch, Follower(journal), rng, LEASE)
        left = killer.torment(left)
        done += killer.done
        killer.journal.look()
        assert left_behind((JOURNAL, str(journal))) == []
        with open_store(url, read_only=True) as store:
            study = store.find_study(plan[0])
            assert study is not None
            assert violations(killer.journal.lines, stored(store, study.id)) == []
            assert results(store, study.id) == undisturbed(plan)
        number += 1
    return done


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Counter[str]]:
    # the fork server, its drivers and their workers find the modules of this folder
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return torment


def test_a_few_faults(drivers: Callable[..., Counter[str]], tmp_path: Path) -> None:
    done = drivers(SQLITE.format(folder=tmp_path), tmp_path, 20, "tpe")
    assert sum(done.values()) == 20


@pytest.mark.parametrize("url", [SQLITE, *([POSTGRES] if POSTGRES else [])], ids=scheme)
@pytest.mark.parametrize("faults", tiered((SOME, MANY), (), (SOME,)))
def test_many_faults(
    drivers: Callable[..., Counter[str]], tmp_path: Path, url: str, faults: int
) -> None:
    done = drivers(url.format(folder=tmp_path), tmp_path, faults, "random")
    assert sum(done.values()) == faults
    assert done["kill driver"] + done["stop driver"] == faults // 5
