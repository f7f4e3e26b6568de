"""A step of the LSTM as a program of slots, for what the recurrence of its own has no place for."""

from __future__ import annotations

from functools import lru_cache

from archsearch.kernels.recurrences.graph_steps import Apply, Product, Program


@lru_cache(maxsize=64)
def lstm_program(forget: str, squash: bool, seen: tuple[str, ...]) -> Program:
    """The first slots are what the gates are given, in the order i, f, g, o of those there are.

    The states are h, c, and a peephole for each gate of ``seen``, which never changes. Options as
    in :func:`archsearch.kernels.recurrences.gated.lstm`.
    """
    names = {"own": "ifgo", "coupled": "fgo", "none": "igo"}[forget]
    slot = {name: at for at, name in enumerate(names)}
    h, c = len(names), len(names) + 1
    peepholes = {gate: c + 1 + at for at, gate in enumerate(seen)}
    actions: list[Product | Apply] = [Product(0, len(names), ((h, 0),))]
    first = count = c + 1 + len(seen)

    def apply(function: str, *inputs: int) -> int:
        nonlocal count
        actions.append(Apply(function, count, inputs))
        count += 1
        return count - 1

    def gate(name: str, memory: int) -> int:
        drive = slot[name]
        if name in peepholes:
            drive = apply("add", drive, apply("multiply", peepholes[name], memory))
        return apply("sigmoid", drive)

    new = apply("tanh", slot["g"])
    if forget == "coupled":
        memory = apply("mix", gate("f", c), c, new)
    else:
        kept = c if forget == "none" else apply("multiply", gate("f", c), c)
        memory = apply("add", kept, apply("multiply", gate("i", c), new))
    read = apply("tanh", memory) if squash else memory
    y = apply("multiply", gate("o", memory), read)
    held = tuple(range(c + 1, first))
    return Program(count, (h, c, *held), (y, memory, *held), tuple(actions))
