"""Every fault of a space file is one line with its place, its key, what was expected and got."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from badcases import CASES, GOOD
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archsearch.errors import InputError, LocatedError
from archsearch.plugins import load_catalog
from archsearch.spec.catalog import Catalog
from archsearch.spec.spacefile import read_space

LINE = re.compile(r"[^\n]+:[0-9]+:[0-9]+: error: [^ ][^\n]*: expected [^\n]+, got [^\n]+")
Read = Callable[[str | bytes], LocatedError]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="module")
def fault(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("bad") / "s.yaml"

    def fault(content: str | bytes) -> LocatedError:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(LocatedError) as caught:
            read_space(path, catalog)
        return caught.value

    return fault


def owed(error: LocatedError) -> None:
    """What every fault keeps, whatever it says."""
    line = str(error)
    assert error.exit_code == 2
    assert LINE.fullmatch(line), line
    assert line.isprintable()
    assert len(line) <= 300


@pytest.mark.parametrize(
    ("content", "line", "column", "key", "expected", "got"),
    [
        pytest.param(*case, id=f"{group[0]}{number}")
        for group, cases in CASES.items()
        for number, case in enumerate(cases, start=1)
    ],
)
def test_fault(fault, content, line, column, key, expected, got):
    started = time.perf_counter()
    error = fault(content)
    assert time.perf_counter() - started < 1
    owed(error)
    head, _, tail = error.message.partition(": expected ")
    assert (error.line, error.column, head) == (line, column, key)
    before, _, after = tail.partition(", got ")
    assert expected in before
    assert got in after


def test_the_corpus_is_large():
    assert len(CASES) == 10
    assert sum(map(len, CASES.values())) >= 120


@pytest.mark.parametrize(
    ("content", "line", "column", "got"),
    [
        (GOOD.encode("utf-16"), 1, 1, "UTF-16"),
        (GOOD.encode("utf-32"), 1, 1, "UTF-16 or UTF-32"),
        (b"archsearch: 1\nname: caf\xe9\n", 2, 10, "the byte 0xe9"),
        (GOOD.encode() + b"#" * 300_000, 1, 1, "a longer file"),
    ],
)
def test_bytes_that_are_no_text(fault, content, line, column, got):
    error = fault(content)
    owed(error)
    assert (error.line, error.column) == (line, column)
    assert got in error.message


def test_a_byte_order_mark_is_no_fault(tmp_path, catalog):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_space(path, catalog).space.size() == 1


def test_things_that_are_no_file(tmp_path, catalog):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    expected = {
        tmp_path: "a directory",
        tmp_path / "gone.yaml": "no such file",
        tmp_path / "fifo": "not a regular file",
        Path("/dev/zero"): "not a regular file",
        tmp_path / "loop": "too many levels of symbolic links",
        tmp_path / ("x" * 300): "file name too long",
        Path("a\0b"): "embedded null byte",
        tmp_path / "evil\n\x1b[31m": "no such file",
    }
    for path, got in expected.items():
        with pytest.raises(LocatedError) as caught:
            read_space(path, catalog)
        owed(caught.value)
        assert got in caught.value.message


def test_columns_count_characters(fault):
    error = fault(GOOD + "search: {objectives: {accuracy: max, größe: max}}\n")
    assert (error.line, error.column) == (8, 38)


@pytest.mark.parametrize("scalar", ["1e-3", "1E-3", "0.001", ".001", "+1.0e-3"])
def test_spellings_of_a_number(tmp_path, catalog, scalar):
    path = tmp_path / "s.yaml"
    path.write_text(GOOD + f"  training: {{lr: {scalar}, steps: 1e3}}\n")
    training = read_space(path, catalog).space.architecture(()).training
    assert (training["lr"], training["steps"]) == (0.001, 1000)


PIECES = st.sampled_from(
    ["{", "}", "[", "]", ":", "- ", "\n", "  ", "&a ", "*a", "!!str ", "choice", "int", "float",
     "none", "search", "null", "true", ".nan", "-1", "1e999", "'", '"', "|", "#", "%", "?", "\t",
     "<<: ", "options: search", "name", "gru", "\x00", "\u202e", "ä", "🙂"]
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 12), PIECES), min_size=1, max_size=4
    )
)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, catalog, edits):
    text = (
        GOOD.replace("gru", "{choice: [gru, {name: lru, state: {int: [8, 32], step: 8}}]}")
        + "  training: {lr: {float: [1e-4, 1e-2], log: true}}\n"
        + "search: {sampler: tpe, trials: 5, constraints: {params: '<= 5'}}\nconfirm: none\n"
    )
    for position, length, piece in edits:
        at = position % len(text)
        text = text[:at] + piece + text[at + length :]
    path = tmp_path / "s.yaml"
    path.write_text(text)
    try:
        read_space(path, catalog)
    except LocatedError as error:
        owed(error)
    except InputError as error:
        pytest.fail(f"without a place: {error}")
