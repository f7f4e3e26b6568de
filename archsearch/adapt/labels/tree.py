"""Monte Carlo tree search for chains, sequence by sequence, where there are too many to try all.

It follows Dr.LLM (arXiv 2510.12773) after CoLa (arXiv 2507.07996): a state is a chain, a move skips
one or two steps or repeats one position once. All sequences search side by side, so that what they
try next runs in one batch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch

from archsearch.adapt.chain import Chain
from archsearch.adapt.examples import Examples
from archsearch.adapt.walk import Walk

Moves: TypeAlias = Literal["skip", "repeat", "both"]
Evaluate: TypeAlias = Callable[[list[tuple[int, Chain]]], list[float]]


@dataclass(frozen=True)
class TreeSearch:
    """``curiosity`` is c of the upper bound, ``price`` lambda, ``stray`` how often it is ignored.

    A chain is widened by another move only while it has fewer than the root of its visits (Coulom
    2007), so that a few simulations still look deeper than one move. ``memoised`` asks for no
    chain of a sequence twice, which changes no result.
    """

    simulations: int = 50
    curiosity: float = 1.8
    price: float = 0.5
    stray: float = 0.1
    moves: Moves = "both"
    memoised: bool = True

    def run(self, evaluate: Evaluate, rows: int, depth: int, seed: int) -> list[dict[Chain, float]]:
        """For each of ``rows`` sequences the chains that were tried, with their rewards.

        ``evaluate`` is given (row, chain) pairs and returns rewards from 0 to 1.
        """
        trees = [
            _Tree(self, Chain.plain(depth), depth, random.Random(f"{seed}/{row}"))
            for row in range(rows)
        ]
        for _ in range(self.simulations + 1):
            chosen = [(row, tree.choose()) for row, tree in enumerate(trees)]
            asked = [
                (row, node.chain)
                for row, node in chosen
                if not self.memoised or node.chain not in trees[row].known
            ]
            for (row, chain), reward in zip(asked, evaluate(asked) if asked else [], strict=True):
                trees[row].known[chain] = reward
            for row, node in chosen:
                node.reward(trees[row].known[node.chain])
        return [tree.known for tree in trees]


def upper_bound(
    total: float, visits: int, among: int, curiosity: float, price: float, length: int, depth: int
) -> float:
    """Q / v + c sqrt(ln V / v) - lambda |P| / N, by which the next chain is chosen."""
    spread = curiosity * math.sqrt(math.log(among) / visits)
    return total / visits + spread - price * length / depth


@dataclass(eq=False)
class _Node:
    chain: Chain
    parent: _Node | None
    untried: list[Chain]
    children: list[_Node] = field(default_factory=list)
    total: float = 0.0
    visits: int = 0

    def reward(self, reward: float) -> None:
        node: _Node | None = self
        while node is not None:
            node.total, node.visits = node.total + reward, node.visits + 1
            node = node.parent


class _Tree:
    """The chains tried for one sequence."""

    def __init__(self, search: TreeSearch, root: Chain, depth: int, rng: random.Random) -> None:
        self.search, self.depth, self.rng = search, depth, rng
        self.known: dict[Chain, float] = {}
        self.root = self._node(root, None)

    def choose(self) -> _Node:
        """The chain to try next; the first is the plain one."""
        node = self.root
        while node.visits:
            if node.untried and len(node.children) < math.sqrt(node.visits):
                child = self._node(node.untried.pop(), node)
                node.children.append(child)
                return child
            if not node.children:
                return node
            node = self._best(node)
        return node

    def _best(self, node: _Node) -> _Node:
        if self.rng.random() < self.search.stray:
            return self.rng.choice(node.children)
        search = self.search

        def bound(child: _Node) -> float:
            length, among = len(child.chain), max(node.visits, 1)
            return upper_bound(
                child.total, child.visits, among, search.curiosity, search.price, length, self.depth
            )

        return max(node.children, key=bound)

    def _node(self, chain: Chain, parent: _Node | None) -> _Node:
        moves = moved(chain, self.search.moves)
        self.rng.shuffle(moves)
        return _Node(chain, parent, moves)


def moved(chain: Chain, moves: Moves) -> list[Chain]:
    """What one move makes of a chain, without repetition; no position comes more than twice."""
    found: dict[Chain, None] = {}
    for start, position in enumerate(chain.path):
        if moves != "repeat":
            for count in (1, 2):
                if start + count <= len(chain):
                    found[chain.skip(start, count)] = None
        if moves != "skip" and chain.path.count(position) == 1:
            found[chain.repeat(start, 1, 1)] = None
    return list(found)


def rewards(walk: Walk, examples: Examples, dense: bool = True) -> Evaluate:
    """Whether a sequence is answered right along a chain, or how surely where ``dense``.

    That is the logistic function of the margin, which lies between 0 and 1 as well.
    """

    @torch.inference_mode()
    def evaluate(asked: list[tuple[int, Chain]]) -> list[float]:
        rows = torch.tensor([row for row, _ in asked])
        some, chains = examples.take(rows), [chain for _, chain in asked]
        prediction = walk.run_each(chains, some.x, some.lengths)
        if dense:
            return some.margin(prediction).sigmoid().tolist()
        return (some.said(prediction) == some.wanted()).float().tolist()

    return evaluate


def best_of(tried: Sequence[dict[Chain, float]], costs: Sequence[int]) -> list[Chain]:
    """For each sequence the chain of the highest reward, the cheapest of several."""
    return [
        max(known, key=lambda chain: (known[chain], -chain.cost(costs), chain)) for known in tried
    ]
