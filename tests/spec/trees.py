"""A small catalog with every sort of option, and random spaces over it."""

from __future__ import annotations

from functools import cache, lru_cache

from hypothesis import strategies as st

from archsearch.spec.architecture import Architecture, Block
from archsearch.spec.catalog import Catalog, CellType, LayerType, choice, flag, integer, real
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.mix import Mix
from archsearch.spec.openlayer import OpenLayer, OpenStage
from archsearch.spec.space import Space
from archsearch.spec.tree import Fixed, Node, Range, Record, Row, pick

CELLS = (
    CellType("plain", ""),
    CellType("leaky", "", {"decay": real(0.5, 0.0, 1.0), "lags": integer(1, 1, 64)}),
    CellType(
        "looker",
        "",
        {
            "pattern": choice("full", "window", "power"),
            "window": integer(4, 1, 9).only_when(pattern="window"),
            "wrap": flag(False).added_later().only_when(pattern=("window", "power")),
            "depth": integer(1, 1, 9).only_when(wrap=True),
        },
    ),
    CellType(
        "counter",
        "",
        {
            "heads": integer(1, 1, 10**9),
            "share": flag(False).only_when(heads=(2, 4)),
        },
    ),
)
OTHERS = (
    LayerType("additive", "", kind="gate"),
    LayerType("highway", "", {"bias": real(-1.0, -4.0, 4.0)}, kind="gate"),
    LayerType("none", "", kind="channel"),
    LayerType("rmsnorm", "", kind="norm"),
    LayerType("pre", "", kind="placement"),
    LayerType("post", "", {"twice": flag(False)}, kind="placement"),
    LayerType("chain", "", kind="connections"),
    LayerType("dense", "", {"reach": integer(1, 1, 64)}, kind="connections"),
    LayerType("default", "", kind="init"),
    LayerType("he", "", {"gain": real(1.0, 0.0, 9.0)}, kind="init"),
    LayerType("linear", "", kind="embed"),
    LayerType("linear", "", kind="head"),
    LayerType("shared", "", {"mark": flag(False)}, kind="tie"),
    LayerType("none", "", kind="halting"),
    LayerType("act", "", {"weight": real(0.1, 0.0, 1.0)}, kind="halting"),
    LayerType("none", "", kind="sparsity"),
    LayerType("adamw", "", {"lr": real(0.01, 0.0, 1.0)}, kind="training"),
)
CATALOG = Catalog(CELLS + OTHERS)
BLOCK = ("cell", "gate", "channel", "norm", "placement")


# a strategy that is made anew is looked through anew: most of the time that drawing takes
@lru_cache(None, typed=True)
def option_nodes(value: object, finite: bool) -> st.SearchStrategy[Node]:
    """Nodes of an option with this default, within the bounds declared above."""
    fixed = st.just(Fixed(value))  # type: ignore[arg-type]
    if isinstance(value, bool):
        return fixed | st.just(pick((Fixed(False), Fixed(True))))
    if isinstance(value, int):
        ranges = st.tuples(st.integers(1, 5), st.integers(0, 2), st.integers(1, 2)).map(
            lambda t: Range(IntRange(t[0], t[0] + t[1] * t[2], t[2]))
        )
        picks = st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True).map(
            lambda values: pick(map(Fixed, values))
        )
        return fixed | ranges | picks
    if isinstance(value, float):
        grid = st.integers(1, 3).map(lambda n: Range(FloatRange(0.0, 0.25 * n, 0.25)))
        real_range = st.just(Range(FloatRange(0.125, 1.0, None, True)))
        picks = st.just(pick((Fixed(0.0), Fixed(0.75))))
        return fixed | grid | picks | (fixed if finite else real_range)
    names = st.lists(
        st.sampled_from(["full", "window", "power"]), min_size=1, max_size=3, unique=True
    )
    return fixed | names.map(lambda values: pick(map(Fixed, values)))


@cache
def layers(kind: str, name: str, finite: bool) -> st.SearchStrategy[Node]:
    declared = CATALOG.find(kind, name)
    parts = {key: option_nodes(o.default, finite) for key, o in declared.options.items()}
    return st.fixed_dictionaries(parts).map(lambda given: OpenLayer(declared, tuple(given.items())))


@cache
def slots(kind: str, finite: bool) -> st.SearchStrategy[Node]:
    """One layer of a kind, or a choice among several."""
    one = st.sampled_from(CATALOG.names(kind)).flatmap(lambda name: layers(kind, name, finite))
    several = st.lists(one, min_size=1, max_size=3, unique_by=lambda n: str(n.to_plain()))
    return one | several.map(pick)


@cache
def blocks(finite: bool) -> st.SearchStrategy[Node]:
    parts = {kind: slots(kind, finite) for kind in BLOCK}
    return st.fixed_dictionaries(parts).map(lambda given: Record(Block, tuple(given.items())))


@cache
def block_lists(finite: bool) -> st.SearchStrategy[Node]:
    row = st.lists(blocks(finite), min_size=1, max_size=2).map(lambda items: Row(tuple(items)))
    return row | st.lists(row, min_size=2, max_size=2).map(pick)


@cache
def mixes(finite: bool) -> st.SearchStrategy[Mix]:
    shares = [Fixed(0.0), Fixed(0.5), Fixed(1.0), pick(map(Fixed, (0.0, 0.25, 0.5)))]
    if not finite:
        shares.append(Range(FloatRange(0.0, 1.0)))
    places = [Fixed("even"), pick(map(Fixed, ("first", "last")))]
    return st.builds(Mix, block_lists(finite), st.sampled_from(shares), st.sampled_from(places))


@cache
def stages(finite: bool) -> st.SearchStrategy[Node]:
    numbers = st.sampled_from(
        [Fixed(1), Fixed(2), Range(IntRange(1, 2)), pick((Fixed(1), Fixed(3)))]
    )
    return st.builds(
        OpenStage,
        repeat=numbers,
        loops=numbers,
        tie=slots("tie", finite),
        halting=slots("halting", finite),
        blocks=block_lists(finite),
        connections=slots("connections", finite),
        mix=st.none() | mixes(finite),
    )


@cache
def rows(finite: bool) -> st.SearchStrategy[Node]:
    row = st.lists(stages(finite), min_size=1, max_size=2).map(lambda items: Row(tuple(items)))
    return row | st.lists(row, min_size=2, max_size=2).map(pick)


WIDTHS = st.sampled_from([Fixed(8), pick((Fixed(8), Fixed(16)))])


@st.composite
def spaces(draw: st.DrawFn, *, finite: bool = False) -> Space:
    fields = {
        "width": draw(WIDTHS),
        "embed": draw(slots("embed", finite)),
        "stages": draw(rows(finite)),
        "training": draw(slots("training", finite)),
        "init": draw(slots("init", finite)),
    }
    return Space(Record(Architecture, tuple(fields.items())), CATALOG)
