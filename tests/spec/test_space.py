"""Properties of every space: sampling, mutating, counting, listing, membership."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import CATALOG, spaces

from archsearch.errors import SpaceError
from archsearch.spec.architecture import (
    Architecture,
    Block,
    Layer,
    Stage,
    architecture_from_plain,
    to_plain,
)
from archsearch.spec.catalog import CellType, choice, real
from archsearch.spec.domains import Choice, FloatRange, IntRange
from archsearch.spec.openlayer import OpenLayer, OpenStage
from archsearch.spec.space import Space
from archsearch.spec.tree import Fixed, Node, Range, Record, Row, pick

SEEDS = st.integers(0, 2**32 - 1).map(random.Random)
quick = settings(max_examples=80, deadline=None)


def cell_space(cell: Node, loops: Node | None = None, repeat: Node | None = None) -> Space:
    """One stage of one block, with everything but the cell fixed."""
    fixed = {
        slot: OpenLayer(CATALOG.find(slot, name))
        for slot, name in (("gate", "additive"), ("channel", "none"), ("norm", "rmsnorm"))
    }
    stage = OpenStage(
        repeat=repeat or Fixed(1),
        loops=loops or Fixed(1),
        tie=OpenLayer(CATALOG.find("tie", "shared")),
        halting=pick(
            (
                OpenLayer(CATALOG.find("halting", "none")),
                OpenLayer(CATALOG.find("halting", "act")),
            )
        ),
        blocks=Row((Record(Block, (("cell", cell), *fixed.items())),)),
    )
    return Space(Record(Architecture, (("width", Fixed(8)), ("stages", Row((stage,))))), CATALOG)


def looker(**options: Node) -> OpenLayer:
    return OpenLayer(CATALOG.find("cell", "looker"), tuple(options.items()))


@quick
@given(spaces(), SEEDS)
def test_a_sample_lies_in_its_space(space, rng):
    point = space.sample(rng)
    domains = space.domains()
    assert [path for path, _ in point] == [path for path in domains if path in dict(point)]
    for path, value in point:
        assert domains[path].contains(value)
    architecture = space.architecture(point)
    assert space.contains(architecture)
    assert space.contains(architecture.canonical())
    assert space.catalog.complete_architecture(architecture) == architecture
    assert architecture_from_plain(json.loads(json.dumps(to_plain(architecture)))) == architecture
    assert set(space.readable(point)) == set(dict(point))


@quick
@given(spaces(), SEEDS)
def test_a_path_has_one_domain_and_is_asked_once(space, rng):
    domains = space.domains()
    asked: list[str] = []

    def choose(path, domain):
        assert domains[path] == domain
        asked.append(path)
        return domain.sample(rng)

    point = space.decide(choose)
    assert len(set(asked)) == len(asked)
    assert tuple(asked) == tuple(path for path, _ in point)
    assert space.decide(lambda path, _: dict(point)[path]) == point


@quick
@given(spaces(), SEEDS)
def test_a_mutation_redraws_one_decision(space, rng):
    point = space.sample(rng)
    mutated = space.mutate(point, rng)
    space.architecture(mutated)
    before, after = dict(point), dict(mutated)
    changed = [path for path in before if path in after and before[path] != after[path]]
    if any(space.domains()[path].size > 1 for path in before):
        assert len(changed) == 1
    else:
        assert mutated == point
    # what came or went hangs on the decision that changed
    for path in set(before) ^ set(after):
        # a mix decides on the blocks beside it
        stage = changed[0].rpartition(".")[0].removesuffix(".mix")
        assert path.startswith(stage), (path, changed)


@quick
@given(spaces(finite=True))
def test_the_size_is_the_number_of_points(space):
    size = space.size()
    assert isinstance(size, int)
    if size > 1500:
        return
    points = list(space.points())
    assert len(points) == size == len(set(points))
    for point in points[:: max(1, size // 20)]:
        space.architecture(point)


@quick
@given(spaces(finite=True), SEEDS)
def test_membership_is_that_some_point_is_the_same_network(space, rng):
    if space.size() > 400:
        return
    digests = {space.architecture(point).digest for point in space.points()}
    architecture = space.architecture(space.sample(rng))
    for near in neighbours(architecture):
        completed = space.catalog.complete_architecture(near)
        assert space.contains(near) == (completed.digest in digests)


def neighbours(architecture: Architecture) -> list[Architecture]:
    """Other spellings of the network, and networks that differ in one way."""
    first, *rest = architecture.stages
    block = first.blocks[0]
    stages = [
        replace(first, repeat=first.repeat + 1),
        replace(first, loops=first.loops % 3 + 1),
        replace(first, blocks=first.blocks * 2),
        replace(first, blocks=first.blocks * first.repeat, repeat=1),
        replace(first, blocks=(replace(block, gate=Layer("highway")), *first.blocks[1:])),
        replace(first, blocks=(replace(block, cell=Layer("looker")), *first.blocks[1:])),
        replace(first, halting=Layer("act")),
    ]
    others = [replace(architecture, stages=(stage, *rest)) for stage in stages]
    others.append(replace(architecture, stages=architecture.stages[::-1]))
    others.append(replace(architecture, stages=architecture.stages * 2))
    others.append(replace(architecture, width=24 - architecture.width))
    others.append(architecture.canonical())
    return others


def _plain() -> OpenLayer:
    return OpenLayer(CATALOG.find("cell", "plain"))


def test_membership_ignores_how_stages_are_spelled():
    space = cell_space(_plain(), repeat=Range(IntRange(2, 4, 2)))
    block = Block(Layer("plain"))
    assert space.contains(Architecture(8, (Stage((block, block)),)))
    assert space.contains(Architecture(8, (Stage((block,)), Stage((block,)))))
    assert space.contains(Architecture(8, (Stage((block,), repeat=4),)))
    assert not space.contains(Architecture(8, (Stage((block,), repeat=3),)))
    assert not space.contains(Architecture(8, (Stage((block,), repeat=2, loops=2),)))
    assert not space.contains(Architecture(16, (Stage((block, block)),)))
    assert not space.contains(Architecture(8, (Stage((Block(Layer("looker")),), repeat=2),)))
    assert not space.contains(Architecture(8, (Stage((Block(Layer("unknown")),), repeat=2),)))
    assert not space.contains(Architecture(8, ()))


def test_membership_fills_in_defaults_and_drops_dead_options():
    space = cell_space(looker())
    for options in ({}, {"pattern": "full"}, {"pattern": "full", "window": 7, "wrap": True}):
        cell = Layer.of("looker", **options)
        assert space.contains(Architecture(8, (Stage((Block(cell),)),)))
    assert not space.contains(
        Architecture(8, (Stage((Block(Layer.of("looker", pattern="power")),)),))
    )


def test_an_option_that_was_added_later_changes_no_digest():
    looking = CATALOG.find("cell", "looker")
    before = Layer.of("looker", pattern="power")
    assert looking.complete(before) == before
    assert looking.complete(Layer.of("looker", pattern="power", wrap=False)) == before
    assert looking.settings(before) == {"pattern": "power", "wrap": False}
    wrapped = looking.complete(Layer.of("looker", pattern="power", wrap=True))
    assert wrapped == Layer.of("looker", pattern="power", wrap=True, depth=1)
    space = cell_space(looker(pattern=Fixed("power"), wrap=pick((Fixed(False), Fixed(True)))))
    for cell in (before, wrapped):
        assert space.contains(Architecture(8, (Stage((Block(cell),)),)))


def test_another_name_for_settings_is_the_same_network():
    options = {
        "shape": choice("plain", "bent").alias("known", shape="bent", slope=2.0),
        "slope": real(1.0, 0.5, 4.0).only_when(shape="bent"),
    }
    declared = CellType("shaped", "", options)
    known, spelled = Layer.of("shaped", shape="known"), Layer.of("shaped", shape="bent", slope=2.0)
    assert declared.complete(known) == declared.complete(spelled) == spelled
    assert declared.settings(known) == {"shape": "bent", "slope": 2.0}
    node = OpenLayer(declared, (("shape", pick(map(Fixed, ("plain", "known")))),))
    seen = {node.walk("cell", lambda _, domain, at=at: at) for at in (0, 1)}
    assert seen == {Layer.of("shaped", shape="plain"), spelled}
    assert all(node.matches(layer) for layer in seen)
    assert not node.matches(Layer.of("shaped", shape="bent", slope=1.0))
    assert node.size() == 2
    both = OpenLayer(
        declared, (("shape", pick(map(Fixed, ("bent", "known")))), ("slope", Fixed(0.5)))
    )
    assert both.matches(spelled)
    assert both.matches(Layer.of("shaped", shape="bent", slope=0.5))
    assert not both.matches(Layer.of("shaped", shape="bent", slope=1.0))


def test_conditions_are_counted_exactly():
    windows = Range(IntRange(1, 9))
    wrap = pick((Fixed(False), Fixed(True)))
    pattern = pick(map(Fixed, ("full", "window", "power")))
    assert cell_space(looker(pattern=pattern, window=windows)).size() == 1 + 9 + 1
    assert cell_space(looker(pattern=pattern, window=windows, wrap=wrap)).size() == 1 + 18 + 2
    everything = looker(pattern=pattern, window=windows, wrap=wrap, depth=Range(IntRange(1, 4)))
    assert cell_space(everything).size() == 1 + 9 * (1 + 4) + (1 + 4)
    assert cell_space(_plain(), loops=Range(IntRange(1, 5))).size() == 1 + 4 * 2


def test_a_long_range_that_a_condition_reads_costs_nothing():
    counter = CATALOG.find("cell", "counter")
    share = pick((Fixed(False), Fixed(True)))
    cell = OpenLayer(counter, (("heads", Range(IntRange(1, 10**9))), ("share", share)))
    assert cell_space(cell).size() == 10**9 + 2


def test_an_open_real_range_is_infinite_and_has_no_list():
    declared = CATALOG.find("cell", "leaky")
    leaky = OpenLayer(declared, (("decay", Range(FloatRange(0.1, 0.9))),))
    space = cell_space(leaky)
    assert space.size() == math.inf
    with pytest.raises(SpaceError, match="no list of points"):
        space.points()


def test_two_spellings_share_a_digest():
    def digest(**options):
        cell = Layer.of("looker", **options)
        architecture = Architecture(8, (Stage((Block(cell),), repeat=2, halting=Layer("none")),))
        return CATALOG.complete_architecture(architecture).digest

    assert digest() == digest(pattern="full") == digest(window=9) == digest(window=3, wrap=True)
    assert digest(pattern="window") == digest(window=4, pattern="window", wrap=False)
    assert digest(pattern="window") != digest(pattern="window", window=5)
    once = Architecture(8, (Stage((Block(Layer("plain")),), halting=Layer("act")),))
    assert (
        CATALOG.complete_architecture(once).digest
        == replace(
            CATALOG.complete_architecture(once), stages=(Stage((Block(Layer("plain")),)),)
        ).digest
    )


def test_a_point_of_another_space_is_refused():
    space = cell_space(looker(pattern=pick(map(Fixed, ("full", "window")))))
    path = "stages.0.blocks.0.cell.pattern"
    assert space.architecture(((path, 1),)).stages[0].blocks[0].cell["window"] == 4
    for point, message in [
        ((), f"does not decide {path}"),
        (((path, 2),), f"has 2 at {path}, outside"),
        (((path, True),), f"has True at {path}, outside"),
        (((path, 0), ("width", 3)), "decides width, which is not open there"),
    ]:
        with pytest.raises(SpaceError, match=message):
            space.architecture(point)


def test_labels_and_segments_are_unique():
    leaky = CATALOG.find("cell", "leaky")
    branches = [
        OpenLayer(leaky, (("decay", Fixed(decay)), ("lags", Range(IntRange(1, top)))))
        for decay, top in ((0.1, 2), (0.2, 3), (0.2, 4))
    ]
    space = cell_space(pick(branches))
    cell = "stages.0.blocks.0.cell"
    assert space.domains() == {
        cell: Choice(("leaky(decay=0.1)", "leaky(decay=0.2)", "leaky(decay=0.2)#2")),
        f"{cell}.leaky.lags": IntRange(1, 2),
        f"{cell}.leaky#2.lags": IntRange(1, 3),
        f"{cell}.leaky#3.lags": IntRange(1, 4),
        "stages.0.halting": Choice(("none", "act")),
    }
    assert space.readable(((cell, 2), (f"{cell}.leaky#3.lags", 4))) == {
        cell: "leaky(decay=0.2)#2",
        f"{cell}.leaky#3.lags": "4",
    }


def test_plain_data_names_every_difference():
    one = cell_space(looker(window=Range(IntRange(1, 8))))
    same = cell_space(looker(window=Range(IntRange(1, 8))))
    other = cell_space(looker(window=Range(IntRange(1, 8, log=True))))
    assert json.loads(json.dumps(one.to_plain())) == same.to_plain()
    assert one.to_plain() != other.to_plain()


def test_mutation_reaches_the_only_other_value_of_a_degenerate_range():
    near = math.nextafter(1e5, math.inf)
    leaky = CATALOG.find("cell", "leaky")
    cell = OpenLayer(
        leaky, (("decay", Range(FloatRange(1e5, near, None, True))), ("lags", Fixed(1)))
    )
    space = cell_space(cell)
    path = "stages.0.blocks.0.cell.decay"
    values = {dict(space.mutate(((path, 1e5),), random.Random(seed)))[path] for seed in range(3)}
    assert values == {near}
