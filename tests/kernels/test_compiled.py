"""Machine code is made once per machine, and where the user's own cache cannot be written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import archsearch
from archsearch.kernels import compiled

# two of the smallest loops: what is held here is of all of them
SCALED = """
import json, sys, warnings
warnings.simplefilter("error")
import torch
import archsearch
from archsearch.kernels import compiled
from archsearch.kernels.norms import unit_length_loops
from archsearch.kernels.norms.unit_length import unit_length
for name in sys.argv[1:]:
    torch.manual_seed(0)
    x = torch.randn(2, 9, 16, dtype=getattr(torch, name), requires_grad=True)
    fast, slow = unit_length(x), unit_length.plain(x)
    torch.testing.assert_close(fast, slow)
    weight = torch.randn_like(slow)
    got, want = (torch.autograd.grad(found, x, weight) for found in (fast, slow))
    torch.testing.assert_close(got, want)
stats = [loop.machine.stats for loop in (unit_length_loops.forward, unit_length_loops.backward)]
print(json.dumps({
    "read": sum(sum(each.cache_hits.values()) for each in stats),
    "compiled": sum(sum(each.cache_misses.values()) for each in stats),
    "folder": str(compiled.folder()),
}))
"""
TYPES = ["float32", "float64"]
ROOT = Path(archsearch.__file__).parents[1]


def scaled(*types, **variables):
    own = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", SCALED, *types],
        capture_output=True,
        text=True,
        check=False,
        env=own | {name: str(value) for name, value in variables.items()},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def unwritable(tmp_path):
    """A place where nobody, root included, can make a folder."""
    file = tmp_path / "file"
    file.touch()
    return file / "home"


def test_it_is_read_after_it_was_compiled(tmp_path):
    first = scaled("float32", XDG_CACHE_HOME=tmp_path)
    second = scaled("float32", XDG_CACHE_HOME=tmp_path)
    assert (first["read"], first["compiled"]) == (0, 2)
    assert (second["read"], second["compiled"]) == (2, 0)
    assert Path(first["folder"]).parent == tmp_path / "archsearch" / "kernels"
    assert (tmp_path / "archsearch").stat().st_mode & 0o077 == 0


DOUBLE = """
from archsearch.kernels.compiled import compiled

@compiled
def double(x, y):
    for i in range(len(x)):
        y[i] = 2 * x[i]
"""
DOUBLED = """
import json, sys
import numpy as np
from doubled import double
from archsearch.kernels import compiled
for kind in sys.argv[1:]:
    x, y = np.ones(3, kind), np.zeros(3, kind)
    double(x, y)
    assert y.tolist() == [2, 2, 2]
stats = double.machine.stats
print(json.dumps({
    "read": sum(stats.cache_hits.values()),
    "compiled": sum(stats.cache_misses.values()),
    "folder": str(compiled.folder()),
}))
"""
COMPILED, READ = (0, 1), (1, 0)


def doubled(place, start=None, types=("float64",), **variables):
    """As :func:`scaled`, of a loop of ours alone, in a process that needs no torch."""
    if not (place / "doubled.py").exists():
        (place / "doubled.py").write_text(DOUBLE)
    own = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    paths = {"PYTHONPATH": f"{place}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", DOUBLED, *types],
        capture_output=True,
        text=True,
        check=False,
        env=own | paths | {name: str(value) for name, value in variables.items()},
        preexec_fn=start,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def counted(place, start=None, **variables):
    """How often the code of the loop was read, and how often compiled."""
    found = doubled(place, start, NUMBA_CACHE_DIR=place / "cache", **variables)
    return found["read"], found["compiled"]


def test_processes_that_start_together_share_it(tmp_path):
    orders = [TYPES, TYPES[::-1]]
    (tmp_path / "doubled.py").write_text(DOUBLE)
    share = partial(doubled, tmp_path, XDG_CACHE_HOME=tmp_path)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda order: share(types=order), orders))
    assert sum(each["compiled"] for each in found) == len(TYPES)
    again = share(types=TYPES)
    assert (again["read"], again["compiled"]) == (len(TYPES), 0)


@pytest.mark.parametrize(("kind", "left"), [("nbi", 0), ("nbi", 0.99), ("nbc", 0.5)])
def test_code_that_was_cut_short_is_made_anew(tmp_path, kind, left):
    """As where the power failed before all of it was on the disk."""
    assert counted(tmp_path) == COMPILED
    (file,) = tmp_path.rglob(f"*.{kind}")
    os.truncate(file, int(left * file.stat().st_size))
    assert counted(tmp_path) == COMPILED
    assert counted(tmp_path) == READ


def test_a_full_disk_costs_no_more_than_a_compilation(tmp_path):
    counted(tmp_path)
    (file,) = tmp_path.rglob("*.nbi")
    file.unlink()
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (0, 0))
    assert counted(tmp_path, full) == COMPILED
    assert not file.exists()


def test_a_home_that_cannot_be_written_costs_no_more_than_one_compilation(tmp_path, unwritable):
    places = {"HOME": unwritable, "XDG_CACHE_HOME": "", "TMPDIR": tmp_path}
    first, second = doubled(tmp_path, **places), doubled(tmp_path, **places)
    assert Path(first["folder"]).is_relative_to(tmp_path)
    assert first["folder"] == second["folder"]
    assert (first["compiled"], second["compiled"]) == (1, 0)


def test_a_folder_that_others_could_write_is_not_trusted(tmp_path, unwritable):
    planted = tmp_path / f"archsearch-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    found = doubled(tmp_path, HOME=unwritable, XDG_CACHE_HOME="", TMPDIR=tmp_path)
    assert not Path(found["folder"]).is_relative_to(planted)
    assert list(planted.iterdir()) == []


def test_the_users_own_choice_is_kept(tmp_path):
    found = doubled(tmp_path, NUMBA_CACHE_DIR=tmp_path / "chosen", XDG_CACHE_HOME=tmp_path)
    assert Path(found["folder"]).parent == tmp_path / "chosen"
    assert list((tmp_path / "chosen").rglob("*.nbi"))


def test_a_choice_that_cannot_be_written_is_passed_over(tmp_path, unwritable):
    found = doubled(tmp_path, NUMBA_CACHE_DIR=unwritable, XDG_CACHE_HOME=tmp_path)
    assert Path(found["folder"]).parent == tmp_path / "archsearch" / "kernels"


def test_what_a_loop_uses_is_compiled_with_it(tmp_path):
    package = tmp_path / "archsearch"
    shutil.copytree(
        Path(archsearch.__file__).parent, package, ignore=shutil.ignore_patterns("*.pyc")
    )
    assert counted(tmp_path) == COMPILED
    with (package / "kernels" / "lanes.py").open("a") as used:
        used.write("# other than it was\n")
    assert counted(tmp_path) == COMPILED
    assert counted(tmp_path) == READ


def test_code_of_other_sources_goes_when_it_was_long_unused(tmp_path):
    for name, age in (("unused", 2 * compiled.OUTDATED), ("recent", 0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, 2 * (time.time() - age,))
    compiled._newest(tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"new", "recent"}


FORKED = """
import os, sys
from archsearch.kernels.ready import make_ready
make_ready()
from archsearch.kernels.scans import scan_loops
loops = (scan_loops.forward.machine, scan_loops.backward.machine)
if os.fork() == 0:
    known = [len(loop.overloads) for loop in loops]
    def refuse(*_): os._exit(3)
    for loop in loops:
        loop.compile = refuse
    make_ready()
    os._exit(0 if known == [len(loop.overloads) for loop in loops] == [2, 2] else 4)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_forked_worker_has_it_from_its_parent():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


THREADS = """
import sys, threading
import torch
from archsearch.kernels.choose import accelerated
names, found = sys.argv[1:], []
start = threading.Barrier(len(names))
def first_call(name):
    start.wait()
    found.append(accelerated(cpu=f"{name}:double")(torch.neg)(torch.ones(1)).item())
threads = [threading.Thread(target=first_call, args=(name,)) for name in names]
for each in threads:
    each.start()
for each in threads:
    each.join()
assert found == [2.0] * len(names), found
"""


def test_threads_may_be_the_first_to_need_it_together(tmp_path):
    """A compiler that two threads import at once is left half imported."""
    for name, imports in {"one": "import numba", "two": "from numba.core import cgutils"}.items():
        (tmp_path / f"{name}.py").write_text(f"{imports}\ndef double(x):\n    return 2 * x\n")
    done = subprocess.run(
        [sys.executable, "-c", THREADS, "one", "two"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert done.returncode == 0, done.stderr


def test_a_loop_that_is_compiled_holds_up_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)

    def entered(name):
        def enter():
            with compiled._alone(name):
                inside.set()

        inside = threading.Event()
        threading.Thread(target=enter, daemon=True).start()
        return inside

    with compiled._alone("package.loops.forward"):
        assert entered("package.loops.backward").wait(20)
        waiting = entered("package.loops.forward")
        assert not waiting.wait(0.2)
    assert waiting.wait(20)
