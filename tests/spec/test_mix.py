"""Two sorts of blocks in one stage: where they stand, how many ways, and what a file may say."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest

from archsearch.errors import LocatedError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.mix import DRAWS, positions, replaced
from archsearch.spec.space import Space
from archsearch.spec.spacefile import read_space

CATALOG = load_catalog()
FILE = """\
archsearch: 1
task: adding
space:
  width: 8
  stages:
    - repeat: {repeat}
      blocks: [{{cell: gru}}]
      mix: {mix}
"""
ALL = "{blocks: [{cell: attention}], share: {choice: [0, 0.25, 0.5]}, at: %s}"
EVERYWHERE = "{choice: [first, last, even, random]}"


def space(folder: Path, mix: str, repeat: str = "4") -> Space:
    path = folder / "space.yaml"
    path.write_text(FILE.format(mix=mix, repeat=repeat))
    return read_space(path, CATALOG).space


def letters(architecture: Architecture) -> str:
    (stage,) = architecture.canonical().stages
    return "".join(block.cell.name[0] for block in stage.blocks)


def drawn(whole: Space, count: int = 400) -> Counter[str]:
    rng = random.Random(0)
    return Counter(letters(whole.architecture(whole.sample(rng))) for _ in range(count))


@pytest.mark.parametrize(
    ("copies", "count", "place", "expected"),
    [
        (8, 2, "first", (0, 1)),
        (8, 2, "last", (6, 7)),
        (8, 1, "even", (4,)),
        (8, 2, "even", (2, 6)),
        (8, 4, "even", (1, 3, 5, 7)),
        (7, 3, "even", (1, 3, 5)),
        (3, 3, "even", (0, 1, 2)),
    ],
)
def test_places(copies: int, count: int, place: str, expected: tuple[int, ...]) -> None:
    assert positions(copies, count, place) == expected


def test_random_places_are_the_same_everywhere_and_reach_every_arrangement() -> None:
    assert positions(8, 2, "random", 5) == (0, 2)
    seen = {positions(5, 2, "random", draw) for draw in range(DRAWS.low, DRAWS.high + 1)}
    assert len(seen) == math.comb(5, 2)
    for copies in range(1, 20):
        for count in range(copies + 1):
            for place in ("even", "random"):
                found = positions(copies, count, place, 3) if count else ()
                assert len(set(found)) == count
                assert all(0 <= copy < copies for copy in found)


def test_shares_are_rounded_to_whole_copies() -> None:
    shares = (0.0, 0.124, 0.125, 0.25, 0.5, 1.0)
    assert [replaced(4, share) for share in shares] == [0, 0, 1, 1, 2, 4]


def test_what_is_drawn(tmp_path: Path) -> None:
    found = drawn(space(tmp_path, ALL % EVERYWHERE))
    once = {"aggg", "ggga", "ggag", "gagg"}
    assert {"gggg", "aagg", "ggaa", "gaga", *once} <= set(found)
    assert all(word.count("a") <= 2 for word in found)
    # a third of the draws have no attention, and the same word else comes from several places
    assert 0.25 < found["gggg"] / 400 < 0.42


def test_an_unused_part_is_not_decided(tmp_path: Path) -> None:
    mix = "{blocks: [{cell: {choice: [attention, lru]}}], share: {choice: [0, 0.5, 1]}, at: random}"
    whole = space(tmp_path, mix)
    asked = {}
    for point in whole.points():
        architecture = whole.architecture(point)
        asked.setdefault(letters(architecture).count("g"), set()).add(
            tuple(path.rpartition("mix.")[2] for path, _ in point)
        )
    assert asked == {
        4: {("share",)},
        2: {("share", "blocks.0.cell", "draw")},
        0: {("share", "blocks.0.cell")},
    }
    assert "leaves some copies" in whole.conditions()["stages.0.mix.draw"]


@pytest.mark.parametrize("repeat", ["4", "{int: [1, 4]}", "{choice: [2, 3]}"])
@pytest.mark.parametrize(
    "mix",
    [
        ALL % EVERYWHERE,
        ALL % "even",
        "{blocks: [{cell: attention}, {cell: lru}], share: 0.5}",
        "{blocks: [{cell: {choice: [attention, lru]}}], share: {choice: [0, 0.5, 1]}, at: last}",
        "{blocks: [{cell: attention}], share: {float: [0, 1], step: 0.25}, at: first}",
    ],
)
def test_the_size_is_the_number_of_points_and_each_lies_in_the_space(
    tmp_path: Path, mix: str, repeat: str
) -> None:
    whole = space(tmp_path, mix, repeat)
    points = list(whole.points())
    assert len(set(points)) == len(points) == whole.size()
    for point in random.Random(0).sample(points, min(len(points), 40)):
        architecture = whole.architecture(point)
        assert whole.contains(architecture)
        assert whole.decide(lambda path, _, kept=dict(point): kept[path]) == point


def test_what_lies_outside(tmp_path: Path) -> None:
    whole = space(tmp_path, ALL % "first")
    g, a = Block(Layer("gru")), Block(Layer("attention"))
    inside = [(g, g, g, g), (a, g, g, g), (a, a, g, g)]
    outside = [(g, a, g, g), (a, a, a, g), (a, a, a, a), (a, g, g), (a, g, g, g, g)]
    for blocks in inside + outside:
        stages = (Stage(blocks[:1]), Stage(blocks[1:]))
        assert whole.contains(Architecture(8, stages)) == (blocks in inside)
    lru = Block(Layer("lru"))
    assert not whole.contains(Architecture(8, (Stage((lru, g, g, g)),)))


def test_an_open_share_is_infinite_and_still_knows_its_own(tmp_path: Path) -> None:
    mix = "{blocks: [{cell: attention}], share: {float: [0.2, 0.6]}, at: first}"
    whole = space(tmp_path, mix)
    assert whole.size() == math.inf
    found = drawn(whole)
    assert set(found) == {"aggg", "aagg"}
    g, a = Block(Layer("gru")), Block(Layer("attention"))
    assert whole.contains(Architecture(8, (Stage((a, g, g, g)),)))
    assert not whole.contains(Architecture(8, (Stage((a, a, a, g)),)))
    assert not whole.contains(Architecture(8, (Stage((g, g, g, g)),)))


def test_no_mix_is_the_stage_as_it_was(tmp_path: Path) -> None:
    plain = space(tmp_path, "none")
    assert "mix" not in str(plain.to_plain())
    assert plain.size() == 1
    assert letters(plain.architecture(())) == "gggg"


def test_a_mix_in_a_loop(tmp_path: Path) -> None:
    mix = "{blocks: [{cell: attention}], share: 0.5}\n      loops: 3"
    whole = space(tmp_path, mix)
    architecture = whole.architecture(())
    (stage,) = architecture.stages
    assert (stage.loops, stage.repeat, letters(architecture)) == (3, 1, "gaga")
    assert whole.contains(architecture)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ("[gru]", r"8:12: error: space.stages.0.mix: expected a mapping of blocks, share, at"),
        ("{share: 0.5}", r"8:12: error: space.stages.0.mix.blocks: expected .*, got nothing"),
        ("{blocks: [{cell: gru}]}", r"space.stages.0.mix.share: expected .*, got nothing"),
        (
            "{blocks: [{cell: gru}], share: 1.5}",
            r"8:43: error: space.stages.0.mix.share: expected a number from 0.0 to 1.0, got 1.5",
        ),
        (
            "{blocks: [{cell: gru}], share: 0.5, at: frist}",
            r"mix.at: expected one of .*'first', 'last', 'even', 'random'.*did you mean 'first'",
        ),
        (
            "{blocks: [{cell: gru}], shares: 0.5}",
            r"mix.shares: expected one of the keys blocks, share, at, got 'shares' \(did you mean",
        ),
        (
            "{blocks: [{cell: gru}], share: 0.1}",
            r"8:43: error: space.stages.0.mix.share: expected a share that is at least one of 4 "
            r"copies, got at most 0.1",
        ),
        ("{blocks: [{cel: gru}], share: 0.5}", r"mix.blocks.0.cel: .*did you mean 'cell'"),
    ],
)
def test_faults_name_place_and_remedy(tmp_path: Path, mix: str, message: str) -> None:
    with pytest.raises(LocatedError, match=message):
        space(tmp_path, mix)
