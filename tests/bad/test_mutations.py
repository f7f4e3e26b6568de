"""A valid space file with something changed in it is read, or refused in one line."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus import GRAMMAR, LONGEST_LINE, run
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent.parent
RICH = """\
archsearch: 1
name: rich
tasks:
  - {name: mqar, pairs: 4, vocab: 32, length: 32, label: recall}
  - {name: selective_copying, tokens: 4, length: 32}
space:
  width: {choice: [16, {int: [32, 64], step: 16}]}
  embed: {name: linear, positions: sinusoidal}
  stages:
    choice:
      - - repeat: {int: [1, 4], log: true}
          loops: {choice: [1, 2, 4]}
          tie: {embedding: true}
          halting: {choice: [none, {name: act, threshold: 0.05}]}
          blocks:
            - &block
              cell:
                choice:
                  - gru
                  - {name: lru, state: {choice: [16, 32]}, r_max: {float: [0.9, 0.99]}}
                  - {name: attention, heads: 4, pattern: {choice: [full, window]}, window: 8}
                  - {name: deltanet, options: search}
              gate: {choice: [additive, {name: highway, bias: {float: [-4, 0], step: 0.5}}]}
              channel: {choice: [none, {name: glu, expand: 2}]}
              norm: layernorm
      - - blocks: [*block, {cell: tcn}]
  sparsity: {choice: [none, {name: magnitude, density: {choice: [0.1, 0.5]}}]}
  training: {lr: {float: [1.0e-4, 1.0e-2], log: true}, steps: 600, batch: 64}
search:
  sampler: {name: tpe, startup: 5}
  trials: 60
  time: 10m
  cost: 2 gpu-hours
  objectives: {accuracy: max, params: min}
  constraints: {params: "<= 200000", state: "< 1e4"}
  stopping: {name: halving, eta: 2}
confirm: {finalists: 2, seeds: 3, baselines: [lstm]}
execution: {backend: local, workers: 2, timeout: 90s, memory: 4GB}
"""
PIECES = st.sampled_from(
    ["{", "}", "[", "]", ":", "- ", "\n", "  ", "&a ", "*a", "*block", "!!str ", "choice", "int",
     "float", "none", "search", "null", "true", ".nan", "-1", "1e999", "'", '"', "|", "#", "%",
     "?", "\t", "<<: ", "options: search", "name", "gru", "\x00", "\u202e", "ä", "🙂", "\r"]
)  # fmt: skip
SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -1, 3, 10**6, 2**53 + 1, 10**30, 0.5, -0.0, 1e-320, 1e308,
     float("nan"), float("inf"), "", "none", "search", "gru", "lru", "1", "01", "1e3", "<= 5",
     "9" * 500, "a.b", "../x", "\x1b[31m", "{0}", "%s", "ucr:X", "10m", "4GB", "2 gpu-hours"]
)  # fmt: skip
KEYS = ("name", "choice", "int", "float", "log", "step", "options", "label", "width", "x")


@cache
def texts() -> tuple[str, ...]:
    return (RICH, *(path.read_text() for path in sorted((ROOT / "search_spaces").glob("*.yaml"))))


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) below a node."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(pairs):
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


@st.composite
def edited(draw: st.DrawFn) -> str:
    """The text with a few pieces put in, over something else."""
    text = draw(st.sampled_from(texts()))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 12))
        text = text[:at] + draw(PIECES) + text[at + length :]
    return text


@st.composite
def rearranged(draw: st.DrawFn) -> str:
    """The document with values replaced, swapped, dropped, wrapped or renamed."""
    document = yaml.safe_load(draw(st.sampled_from(texts())))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(document))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        value = container[key]
        match draw(st.integers(0, 6)):
            case 0:
                container[key] = draw(SCALARS)
            case 1:
                other, at = draw(st.sampled_from(found))
                container[key] = copy.deepcopy(other[at])
            case 2:
                del container[key]
            case 3:
                container[key] = {draw(st.sampled_from(KEYS)): value}
            case 4:
                container[key] = [value] * draw(st.integers(0, 3))
            case 5 if isinstance(container, dict):
                container[draw(st.sampled_from(KEYS))] = container.pop(key)
            case _:
                container[key] = {"choice": [value, draw(SCALARS)]}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = Path.cwd()
    path = tmp_path_factory.mktemp("mutations")
    os.chdir(path)
    yield path
    os.chdir(before)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(edited(), rearranged()))
def test_a_changed_file_is_read_or_refused_in_one_line(folder: Path, text: str) -> None:
    (folder / "space.yaml").write_bytes(text.encode("utf-8", errors="surrogatepass"))
    done = run(["validate", "space.yaml"])
    assert done.code in (0, 2), done.err
    if done.code == 0:
        assert done.err == ""
        return
    line = done.err.removesuffix("\n")
    assert GRAMMAR.fullmatch(line), line
    assert line.isprintable()
    assert len(line) <= LONGEST_LINE
    assert done.out == ""


def test_the_richest_of_them_is_valid(folder: Path) -> None:
    (folder / "space.yaml").write_text(RICH)
    assert run(["validate", "space.yaml"]).code == 0
