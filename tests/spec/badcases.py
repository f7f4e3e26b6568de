"""Bad space files by category: text, line, column, key, part of what was expected, of what came."""

# one case, one line
# ruff: noqa: E501

from __future__ import annotations

GOOD = """\
archsearch: 1
task: parity
space:
  width: 32
  stages:
    - blocks:
        - cell: gru
"""
CELL = "space.stages.0.blocks.0.cell"
BIAS = f"{CELL}.update_bias"


def swap(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def cell(text: str) -> str:
    return swap("gru", text)


def width(text: str) -> str:
    return swap("32", text)


def task(text: str) -> str:
    return swap("parity", text)


def bias(text: str) -> str:
    return cell(f"{{name: gru, update_bias: {text}}}")


def more(text: str) -> str:
    return f"{GOOD}{text}\n"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
STAIRS = "\n".join(" " * depth + "a:" for depth in range(100))
YAML, WHOLE = "YAML", "a whole number from 1 to 65536"

CASES: dict[str, list[tuple[str, int, int, str, str, str]]] = {
    "A file": [
        ("", 1, 1, "document", "a mapping", "an empty file"),
        ("# nothing here\n", 1, 1, "document", "a mapping", "an empty file"),
        ("- 1\n", 1, 1, "document", "a mapping", "a list"),
        ("hello\n", 1, 1, "document", "a mapping", "hello"),
        ("---\n", 2, 1, "document", "a mapping", "nothing"),
        ("archsearch:\t1\n\tx: 1\n", 2, 1, "document", YAML, "a tab character"),
        (more("---\na: 1"), 8, 1, "document", "one document", "a second one"),
        (more("search: {sampler: tp"), 9, 1, "document", YAML, "did not find"),
        (more('name: "abc'), 9, 1, "document", YAML, "unexpected end"),
        (more("name: a\0b"), 8, 8, "document", "text", "'\\x00'"),
        (more("name: a\x1b[31m"), 8, 8, "document", "text", "'\\x1b'"),
        ("%YAML 3.0\n---\na: 1\n", 1, 1, "document", YAML, "incompatible"),
    ],
    "B bombs": [
        (BOMB, 4, 4, "document", "at most 20000 values", "more"),
        ("a: &a [*a]\n", 1, 8, "document", "a finite value", "'*a' inside itself"),
        ("a: *b\n", 1, 4, "document", "a known anchor", "'*b'"),
        ("a: " + "[" * 40, 1, 35, "document", "at most 32 levels", "deeper"),
        ("a: " + "[" * 3000, 1, 35, "document", "at most 32 levels", "deeper"),
        (STAIRS, 33, 33, "document", "at most 32 levels", "deeper"),
        ("a: [" + "1," * 20001 + "]", 1, 40003, "document", "at most 20000 values", "more"),
    ],
    "C tags and old YAML": [
        (more("search: !!python/object/apply:os.system ['x']"), 8, 9, "document", "no tags", "os."),
        (more("name: !!binary aGVsbG8="), 8, 7, "document", "no tags", "binary"),
        (more("search: !!set {a}"), 8, 9, "document", "no tags", "set"),
        (more("name: !foo x"), 8, 7, "document", "no tags", "'!foo'"),
        (cell("no"), 7, 17, CELL, "a cell (attention, ", "'no'"),
        (width("off"), 4, 10, "space.width", WHOLE, "'off'"),
        (width("010"), 4, 10, "space.width", WHOLE, "'010' (did you mean 10?)"),
        (width("1_000"), 4, 10, "space.width", WHOLE, "'1_000' (did you mean 1000?)"),
        (width("1:30"), 4, 10, "space.width", WHOLE, "'1:30'"),
        (width("2024-01-01"), 4, 10, "space.width", WHOLE, "'2024-01-01'"),
        (width("9" * 5000), 4, 10, "space.width", WHOLE, "5000 characters"),
        (swap("- blocks", "- <<: {repeat: 2}\n      blocks"), 6, 7, "space.stages.0.<<", "", "'<<'"),
    ],
    "D duplicate and unknown keys": [
        (more("task: parity"), 8, 1, "document", "each key once", "'task' again (first on line 2)"),
        (width("32\n  width: 64"), 5, 3, "document", "each key once", "(first on line 4)"),
        (width("&a 32\n  width: *a"), 5, 3, "document", "each key once", "'width' again"),
        (more("serach: {}"), 8, 1, "serach", "one of the keys", "(did you mean 'search'?)"),
        (swap("cell:", "cells:"), 7, 11, f"{CELL}s", "one of the keys", "(did you mean 'cell'?)"),
        (width("32\n  witdh: 1"), 5, 3, "space.witdh", "one of", "(did you mean 'width'?)"),
        (more("search: {trails: 1}"), 8, 10, "search.trails", "one of", "mean 'trials'?)"),
        (more("confirm: {seed: 1}"), 8, 11, "confirm.seed", "one of", "mean 'seeds'?)"),
        (more("execution: {cores: 1}"), 8, 13, "execution.cores", "one of", "'cores'"),
        (cell("gruu"), 7, 17, CELL, "a cell (", "'gruu' (did you mean 'gru'?)"),
        (cell("{name: lru, stat: 3}"), 7, 29, f"{CELL}.stat", "an option of lru", "mean 'state'?)"),
        (task("{name: parity, lenght: 3}"), 2, 22, "task.lenght", "an option of parity", "'length'?"),
        (more("search: {sampler: tpee}"), 8, 19, "search.sampler", "a sampler (", "mean 'tpe'?)"),
        (more("? [a]\n: 1"), 8, 3, "document", "a text as key", "a list"),
    ],
    "E missing": [
        (GOOD.replace("archsearch: 1\n", ""), 1, 1, "archsearch", "the number 1", "nothing"),
        (GOOD.replace("task: parity\n", ""), 1, 1, "task", "a task", "nothing"),
        ("archsearch: 1\ntask: parity\n", 1, 1, "space", "a mapping of width", "nothing"),
        (GOOD.replace("  width: 32\n", ""), 4, 3, "space.width", WHOLE, "nothing"),
        (width("32}\n").split("  stages")[0].replace("32}", "32"), 4, 3, "space.stages", "", "nothing"),
        (swap("blocks:\n        - cell: gru", "repeat: 2"), 6, 7, "space.stages.0.blocks", "", "noth"),
        (swap("cell: gru", "gate: additive"), 7, 11, CELL, "a cell", "nothing"),
        (cell("{state: 3}"), 7, 17, f"{CELL}.name", "the name of a cell", "nothing"),
        (task("classification"), 2, 7, "task.data", "a file or ucr:NAME", "nothing"),
    ],
    "F wrong type": [
        (width("'32'"), 4, 10, "space.width", WHOLE, "'32' (did you mean 32?)"),
        (width("32.0"), 4, 10, "space.width", WHOLE, "32.0"),
        (width("true"), 4, 10, "space.width", WHOLE, "true"),
        (width(""), 4, 9, "space.width", WHOLE, "nothing"),
        (width("[32]"), 4, 10, "space.width", WHOLE, "a list"),
        (width("{}"), 4, 10, "space.width", WHOLE, "an empty mapping"),
        (width("{float: [1, 10]}"), 4, 10, "space.width", WHOLE, "{float: ...}"),
        (cell("[gru, lru]"), 7, 17, CELL, "a cell (", "a list"),
        (cell("5"), 7, 17, CELL, "a cell (", "5"),
        (cell("{name: [gru]}"), 7, 24, f"{CELL}.name", "a cell (", "a list"),
        (cell("{name: gru, reset: {int: [1, 2]}}"), 7, 36, f"{CELL}.reset", "one of", "{int: ...}"),
        (cell("{name: gru, options: all}"), 7, 38, f"{CELL}.options", "'search'", "all"),
        (more("name: 2024"), 8, 7, "name", "a name of", "2024"),
        (more("search: [1]"), 8, 9, "search", "a mapping of sampler", "a list"),
        (more("search:"), 8, 8, "search", "a mapping of sampler", "nothing"),
        (more("confirm: yes"), 8, 10, "confirm", "or 'none'", "yes"),
        (more("search: {objectives: [accuracy]}"), 8, 22, "search.objectives", "a mapping", "a list"),
        (more("search: {objectives: {}}"), 8, 22, "search.objectives", "a mapping", "an empty"),
        (more("search: {time: 90}"), 8, 16, "search.time", "a time such as", "90"),
        (more("search: {cost: 2 hours}"), 8, 16, "search.cost", "a cost such as", "2 hours"),
        (more("execution: {memory: 4 gigabytes}"), 8, 21, "execution.memory", "an amount", "4 giga"),
        (more("search: {sampler: {choice: [tpe]}}"), 8, 19, "search.sampler", "not open", "a choice"),
        (swap("- blocks", "- 3\n    - blocks"), 6, 7, "space.stages.0", "a mapping of repeat", "3"),
    ],
    "G numbers": [
        (bias(".nan"), 7, 42, BIAS, "a number from -5.0 to 10.0", "nan"),
        (bias("-.inf"), 7, 42, BIAS, "a number", "-inf"),
        (bias("1e400"), 7, 42, BIAS, "a number", "inf"),
        (bias("{float: [0, .inf]}"), 7, 54, f"{BIAS}.float.1", "a number", "inf"),
        (bias("{float: [0, 1], log: true}"), 7, 63, f"{BIAS}.log", "above 0 with log", "low 0"),
        (bias("{float: [0, 1], step: -0.5}"), 7, 64, f"{BIAS}.step", "a number above 0", "-0.5"),
        (bias("{float: [0, 1], step: 0.3}"), 7, 64, f"{BIAS}.step", "divides the range", "0.3"),
        (bias("{float: [0, 1], step: 1e-300}"), 7, 64, f"{BIAS}.step", "divides", "1e-300"),
        (bias("{float: [0, 1], log: 1}"), 7, 63, f"{BIAS}.log", "true or false", "1"),
        (width("{int: [64, 32]}"), 4, 16, "space.width.int", "low before high", "[64, 32]"),
        (width("{int: [64]}"), 4, 16, "space.width.int", "two numbers", "a list"),
        (width("{int: 64}"), 4, 16, "space.width.int", "two numbers", "64"),
        (width("{int: [1, true]}"), 4, 20, "space.width.int.1", WHOLE, "true"),
        (width("{int: [1, 10], step: 4}"), 4, 31, "space.width.step", "divides the range 1 to 10", "4"),
        (width("{int: [1, 10], step: 0}"), 4, 31, "space.width.step", "a whole number above 0", "0"),
        (width("{int: [1, 10], step: true}"), 4, 31, "space.width.step", "a whole number", "true"),
        (width("{int: [1, 10], step: 3, log: true}"), 4, 31, "space.width.step", "either log", "3"),
        (width("{int: [1, 10], lgo: true}"), 4, 25, "space.width.lgo", "one of", "mean 'log'?)"),
        (width("-1"), 4, 10, "space.width", WHOLE, "-1"),
        (width("18446744073709551616"), 4, 10, "space.width", WHOLE, "18446744073709551616"),
        (more("search: {seed: 9007199254740993}"), 8, 16, "search.seed", "a whole", "9007199254740993"),
        (more("search: {trials: 1.5e1}\nx: 1"), 9, 1, "x", "one of the keys", "'x'"),
    ],
    "H sizes": [
        (width("65537"), 4, 10, "space.width", WHOLE, "65537"),
        (more("search: {trials: 1000000000}"), 8, 18, "search.trials", "10000000", "1000000000"),
        (more("search: {trials: 0}"), 8, 18, "search.trials", "a whole number from 1", "0"),
        (more("search: {lag: 0}"), 8, 15, "search.lag", "a whole number from 1", "0"),
        (more("execution: {workers: 1000000}"), 8, 22, "execution.workers", "10000", "1000000"),
        (more("execution: {timeout: -1}"), 8, 22, "execution.timeout", "a time", "-1"),
        (more("execution: {timeout: 0s}"), 8, 22, "execution.timeout", "a time", "0s"),
        (more("execution: {memory: 10B}"), 8, 21, "execution.memory", "an amount", "10B"),
        (more("confirm: {seeds: 0}"), 8, 18, "confirm.seeds", "a whole number from 1", "0"),
        (swap("- blocks", "- repeat: 1001\n      blocks"), 6, 15, "space.stages.0.repeat", "1000", "1001"),
        (
            swap("- blocks", "- {repeat: 1000, loops: {int: [500, 900]}, blocks: [{cell: gru}]}\n    - blocks"),
            4, 3, "space", "at most 100,000 blocks with loops", "500,001 or more",
        ),
        (
            swap("32", "65536").replace("gru", "gru\n        - cell: gru\n        - cell: gru"),
            4, 3, "space", "at most 10,000,000,000 weights", "12,884,901,888 or more",
        ),
    ],
    "I across keys": [
        (more("tasks: [parity]"), 8, 1, "tasks", "either task or tasks", "both"),
        (swap("task: parity", "tasks: [parity, parity]"), 2, 17, "tasks.1.label", "no other", "'parity'"),
        (swap("task: parity", "tasks: []"), 2, 8, "tasks", "a list of 1 to 100", "an empty list"),
        (swap("archsearch: 1", "archsearch: 2"), 1, 13, "archsearch", "the number 1", "2"),
        (width("{choice: []}"), 4, 19, "space.width.choice", "a list of alternatives", "an empty"),
        (width("{choice: 32}"), 4, 19, "space.width.choice", "a list of alternatives", "32"),
        (width("{choice: [32, 64, 32]}"), 4, 28, "space.width.choice.2", "each alternative once", "32"),
        (width("{choice: [32], log: true}"), 4, 25, "space.width.log", "the keys choice", "'log'"),
        (
            cell("{choice: [gru, {name: gru, reset: after}]}"),
            7, 32, f"{CELL}.choice.1", "each alternative once", "gru again (first on line 7)",
        ),
        (cell("{name: attention, heads: 5}"), 7, 42, f"{CELL}.heads", "a divisor of the width 32", "5"),
        (
            cell("attention").replace("32", "30"),
            7, 17, f"{CELL}.heads", "a divisor of the width 30", "4",
        ),
        (more("search: {objectives: {accuracy: best}}"), 8, 33, "search.objectives.accuracy", "'max'", "best"),
        (more("search: {constraints: {params: 5}}"), 8, 32, "search.constraints.params", "a bound", "5"),
        (more("search: {constraints: {params: '= 5'}}"), 8, 32, "search.constraints.params", "", "'= 5'"),
        (more("search: {stopping: halfing}"), 8, 20, "search.stopping", "a stopping rule", "'halving'?"),
        (more("confirm: {baselines: [lstm, grue]}"), 8, 29, "confirm.baselines.1", "'gru'", "mean 'gru'?)"),
        (more("execution: {backend: locl}"), 8, 22, "execution.backend", "'local' or", "mean 'local'?)"),
        (task("{name: classification, data: gone.csv}"), 2, 36, "task.data", "an existing", "'gone.csv'"),
    ],
    "J hostile": [
        (task("{name: parity, label: ../x}"), 2, 29, "task.label", "a label of at most", "../x"),
        (more("name: <script>"), 8, 7, "name", "a name of", "<script>"),
        (more("name: ${HOME}"), 8, 7, "name", "a name of", "${HOME}"),
        (more("name: -rf"), 8, 7, "name", "a name of", "-rf"),
        (more('name: "a\\e[31m"'), 8, 7, "name", "a name of", "'a\\x1b[31m'"),
        (more('name: "a\\nb"'), 8, 7, "name", "a name of", "'a\\nb'"),
        (more("name: a\u202eb"), 8, 7, "name", "a name of", "a\\u202eb"),
        (more("name: " + "x" * 9000), 8, 7, "name", "a name of", "..."),
        (more("x" * 900 + ": 1"), 8, 1, "..." + "x" * 67, "one of the keys", "..."),
        (cell("'\\x1b]0;evil'"), 7, 17, CELL, "a cell", "evil"),
        (cell("gr\u0446"), 7, 17, CELL, "a cell", "(did you mean 'gru'?)"),
        (cell("'{0.__class__}'"), 7, 17, CELL, "a cell", "'{0.__class__}'"),
        (cell("'x, got y: expected z'"), 7, 17, CELL, "a cell", "'x, got y: expected z'"),
        (more("search: {objectives: {'; DROP TABLE x': max}}"), 8, 23, "search.objectives", "name", "DROP"),
        (task('{name: classification, data: "a\\0b"}'), 2, 36, "task.data", "a text", "invisible"),
        (task(f"{{name: classification, data: {'a' * 5000}}}"), 2, 36, "task.data", "", "5000 char"),
    ],
}  # fmt: skip
