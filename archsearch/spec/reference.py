"""The reference page of the space file, written from the same table of keys that reads it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from archsearch.spec.forms import Form
from archsearch.spec.keys import DOCUMENT
from archsearch.spec.sections import Key, ListOf, Section
from archsearch.spec.slots import Open

_INTRODUCTION = """\
# The space file, format 1

A space file says what to search for (`task`), what the architecture may be (`space`), how to
search (`search`), how to judge the answer (`confirm`) and where to run (`execution`). It is YAML
1.2; the JSON Schema of `archsearch schema` lets an editor complete and check it.

## Open values

Where a key is marked *open*, these may stand in place of one value:

| Written | Meaning |
|---|---|
| `{choice: [a, b, c]}` | one of the alternatives: values, layers, blocks, stages or whole lists |
| `{int: [low, high]}` | a whole number, both ends included |
| `{int: [low, high], step: 4}` | low, low + 4, ..., high; the step divides the range |
| `{int: [low, high], log: true}` | drawn evenly in the logarithm; low above 0 |
| `{float: [low, high]}` | a real number, also with `log` or `step` |

## Layers

A layer is its name, or a mapping of its name and options: `gru`, `{name: lru, state: 32}`. An
option of an open layer may itself be open; `options: search` opens every option that the layer
declares searchable and that is not given. An option that means nothing beside the others (a
window without windowed attention) is neither decided nor part of the architecture. Where a key
has a named default, a mapping may leave out the name: `training: {lr: 0.001}` is `adamw`.
`distribution.name` names a layer of one installed distribution where several have one.

## Keys
"""

_CLOSING = """\

## Values with a unit

Times are `90s`, `10m`, `2h`, `1d`; costs `30 cpu-minutes`, `2 gpu-hours`; memory `512MB`, `4GB`
(powers of 1000) or `4GiB` (powers of 1024); constraints `"<= 200000"` with `<=`, `>=`, `<` or `>`.

## What is read how

Numbers may have an exponent (`1e-3`). `no`, `off`, dates, `1_000` and `010` are texts, as YAML 1.2
has it; quoted numbers are texts. Keys stand once; merge keys (`<<`) and tags are not read; anchors
and aliases are. A file has at most 256 KiB, 32 levels and 20,000 values. A fault is one line,
`file:line:column: error: key: expected ..., got ...`, and nothing is written.

`--set key=value` puts a YAML value over one of the file, by its dotted key:
`--set search.trials=5 --set space.stages.0.repeat=2`.
"""


def reference() -> str:
    """The page in Markdown."""
    parts = [_INTRODUCTION]
    for path, section in _sections("", DOCUMENT):
        title = f"### `{path}`" if path else "### Top level"
        rows = "\n".join(_row(key, path) for key in section.keys)
        parts.append(
            f"\n{title}\n\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n{rows}\n"
        )
    return "".join([*parts, _CLOSING])


def _sections(path: str, form: Form) -> Iterator[tuple[str, Section]]:
    if isinstance(form, Section):
        yield path, form
        for key in form.keys:
            yield from _sections(f"{path}.{key.name}" if path else key.name, key.form)
    elif form.inner is not None:
        yield from _sections(f"{path}[]" if isinstance(form, ListOf) else path, form.inner)


def _row(key: Key, path: str) -> str:
    default = "*required*" if key.required else f"`{key.default}`" if key.default else "–"
    full = f"{path}.{key.name}" if path else key.name
    return f"| `{key.name}` | {_value(key.form, full)} | {default} | {key.doc} |"


def _value(form: Form, path: str) -> str:
    inside = next((found for found, _ in _sections(path, form)), None)
    if inside is not None:
        words = f"list of `{inside}`" if inside.endswith("[]") else f"mapping, see `{inside}`"
    elif isinstance(form, ListOf):
        words = f"list, each {form.of.words}"
    else:
        words = form.words
    return words + (" (*open*)" if isinstance(form, Open) else "")


if __name__ == "__main__":
    sys.stdout.write(reference())
