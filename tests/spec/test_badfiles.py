"""How faults are placed and worded where a file of ``tests/bad`` does not show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archsearch.errors import LocatedError
from archsearch.plugins import load_catalog
from archsearch.spec.catalog import Catalog
from archsearch.spec.spacefile import read_space

GOOD = """\
archsearch: 1
task: parity
space:
  width: 32
  stages:
    - blocks:
        - cell: gru
"""
Read = Callable[[str], LocatedError]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def fault(catalog: Catalog, tmp_path: Path) -> Read:
    path = tmp_path / "s.yaml"

    def fault(content: str) -> LocatedError:
        path.write_text(content)
        with pytest.raises(LocatedError) as caught:
            read_space(path, catalog)
        return caught.value

    return fault


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("search: {cost: 2 hours}", 16, "search.cost: expected a cost such as 2 gpu-hours"),
        ("search: {cost: 2 tpu-hours}", 16, "search.cost: expected a cost such as"),
        ("search: {time: 10 parsecs}", 16, "search.time: expected a time such as"),
        ("search: {objectives: {}}", 22, "search.objectives: expected a mapping of metrics"),
        ("search: {constraints: {params: '= 5'}}", 32, "search.constraints.params: expected a"),
        ("execution: {memory: 4 gigabytes}", 21, "execution.memory: expected an amount such as"),
        ("confirm: {seeds: 0}", 18, "confirm.seeds: expected a whole number from 1"),
        ("search: {objectives: {accuracy: max, größe: max}}", 38, "search.objectives: expected"),
    ],
)
def test_faults_of_the_later_sections(fault, line, column, message):
    error = fault(f"{GOOD}{line}\n")
    assert (error.line, error.column) == (8, column)
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("path", "got"),
    [
        ("x" * 300, "file name too long"),
        ("a\0b", "embedded null byte"),
        ("evil\n\x1b[31m", "no such file"),
        ("é" * 90, "no such file"),
        ("gone/" * 60 + "s.yaml", "no such file"),
    ],
)
def test_names_that_are_no_file(tmp_path, catalog, path, got):
    with pytest.raises(LocatedError) as caught:
        read_space(tmp_path / path, catalog)
    assert got in caught.value.message
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 300


def test_a_byte_order_mark_is_no_fault(tmp_path, catalog):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_space(path, catalog).space.size() == 1


@pytest.mark.parametrize("scalar", ["1e-3", "1E-3", "0.001", ".001", "+1.0e-3"])
def test_spellings_of_a_number(tmp_path, catalog, scalar):
    path = tmp_path / "s.yaml"
    path.write_text(GOOD + f"  training: {{lr: {scalar}, steps: 1e3}}\n")
    training = read_space(path, catalog).space.architecture(()).training
    assert (training["lr"], training["steps"]) == (0.001, 1000)


def test_an_aliased_value_is_at_fault_where_it_is_used(fault):
    error = fault(
        GOOD.replace("32", "&n 2048").replace("gru", "{name: lru, state: &s 16}")
        + ("        - cell: {name: attention, heads: *n}\n")
    )
    assert (error.line, error.column) == (8, 42)
    assert "expected a whole number from 1 to 64, got 2048" in error.message


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        ("{choice: [30, 32]}", None),
        ("{choice: [30, {int: [16, 64]}]}", None),
        ("{choice: [30, 31]}", "a divisor of the width 30 or 31, got 4"),
    ],
)
def test_heads_must_divide_one_of_the_widths(tmp_path, catalog, fault, width, expected):
    text = GOOD.replace("32", width).replace("gru", "{name: attention, heads: 4}")
    if expected is None:
        (tmp_path / "s.yaml").write_text(text)
        assert read_space(tmp_path / "s.yaml", catalog).space.size() > 1
    else:
        assert expected in fault(text).message


def test_metrics_are_checked_for_every_task(tmp_path, catalog, fault):
    text = GOOD.replace("task: parity", "tasks: [parity, mqar]")
    (tmp_path / "s.yaml").write_text(f"{text}search: {{objectives: {{loss: min, params: min}}}}\n")
    assert len(read_space(tmp_path / "s.yaml", catalog).search.objectives) == 2
    error = fault(f"{text}search: {{constraints: {{accuracy_long: '> 0.5'}}}}\n")
    assert error.message.startswith("search.constraints: expected a metric of mqar (accuracy, loss")
    assert error.message.endswith("got 'accuracy_long' (did you mean 'accuracy'?)")
