"""What trials occupy on a cluster, as a space file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.errors import LocatedError
from archsearch.plugins import load_catalog
from archsearch.spec.settings import ExecutionSettings, Needs
from archsearch.spec.spacefile import read_space

FILE = """\
archsearch: 1
task: {name: parity}
space: {width: 8, stages: [{blocks: [{cell: gru}]}]}
"""


def read(tmp_path: Path, line: str) -> ExecutionSettings:
    path = tmp_path / "space.yaml"
    path.write_text(FILE + line + "\n")
    return read_space(path, load_catalog()).execution


def test_needs_of_trials_and_of_cells(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "execution: {backend: ray, address: 'head:6379', gpus: 0.25, cpus: 2, memory: 4GB,"
        " least_memory: 512MiB,"
        " cells: {attention: {gpus: 1}, gru: {memory: 8GB, cpus: 0.5}}}",
    )
    assert (found.backend, found.address) == ("ray", "head:6379")
    assert (found.cpus, found.gpus, found.memory) == (2.0, 0.25, 4 * 10**9)
    assert found.least_memory == 512 * 2**20
    assert found.cells == (
        ("attention", Needs(gpus=1.0)),
        ("gru", Needs(cpus=0.5, memory=8 * 10**9)),
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("execution: {gpus: -1}", "execution.gpus: expected a number from 0 to 64, got -1"),
        ("execution: {cpus: 0}", "execution.cpus: expected a number from 0.01 to 1024, got 0"),
        ("execution: {gpus: yes}", "execution.gpus: expected a number from 0 to 64, got"),
        ("execution: {cells: {gruu: {cpus: 1}}}", "(did you mean 'gru'?)"),
        (
            "execution: {cells: {gru: {gpu: 1}}}",
            "execution.cells.gru.gpu: expected one of the keys",
        ),
        ("execution: {cells: [gru]}", "execution.cells: expected a mapping of cells"),
        ("execution: {address: 'ray://head:1'}", "execution.address: expected 'auto', 'local' or"),
        ("execution: {address: 'head'}", "execution.address: expected 'auto', 'local' or"),
    ],
)
def test_what_is_no_need_is_refused_in_place(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(LocatedError, match=r"space\.yaml:4:\d+: error: ") as refused:
        read(tmp_path, line)
    assert words in str(refused.value)
