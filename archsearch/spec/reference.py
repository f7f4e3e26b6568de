"""The reference page of the space file, written from the same table of keys that reads it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from archsearch.spec.forms import Form
from archsearch.spec.keys import DOCUMENT
from archsearch.spec.sections import Key, ListOf, OrNone, Section
from archsearch.spec.slots import Open

_INTRODUCTION = """\
# The space file, format 1

A space file says what to search for (`task`), what the architecture may be (`space`), how to
search (`search`), how to judge the answer (`confirm`) and where to run (`execution`). It is YAML
1.2; the JSON Schema of `archsearch schema` lets an editor complete and check it. `archsearch
validate FILE` checks it in a moment, `archsearch explain FILE` says how large it is and what
searching it will cost.

## An example

```yaml
archsearch: 1
task: {name: classification, data: "ucr:ItalyPowerDemand"}     # or a file, such as train.csv
space:
  width: {choice: [32, 64]}                  # one of two widths
  stages:
    - repeat: {int: [1, 3]}                  # one to three layers
      loops: {choice: [1, 2, 4]}             # their weights applied so often
      halting: {choice: [none, act]}         # decided only where loops > 1
      blocks:
        - cell:
            choice:
              - gru                                         # with its defaults
              - {name: lru, state: {choice: [16, 32]}}      # an option decided only for lru
              - {name: deltanet, options: search}           # all that deltanet declares searchable
          gate: {choice: [additive, highway]}
          channel: {choice: [none, {name: glu, expand: 2}]}
  training: {lr: {float: [1.0e-4, 1.0e-2], log: true}, steps: 600}
search:
  trials: 60
  objectives: {accuracy: max, params: min}   # what is better; the first is judged on test
  constraints: {params: "<= 200000"}         # what an answer must keep
  stopping: halving                          # hopeless trials end early
confirm: {finalists: 3, seeds: 5, baselines: [lstm, gru, transformer]}
```

Only `archsearch`, `task`, `width`, `stages` and a `cell` are required; everything else has a
default. The folder `search_spaces` has complete files for every kind of task.

## Open values

A value that is written down is fixed. Where a key is marked *open* below, and in every option of
an open layer, a domain may stand in its place:

| Written | Meaning |
|---|---|
| `{choice: [a, b, c]}` | one of the alternatives: values, layers, blocks, stages or whole lists |
| `{int: [low, high]}` | a whole number, both ends included |
| `{int: [low, high], step: 4}` | low, low + 4, ..., high; the step divides the range |
| `{int: [low, high], log: true}` | drawn evenly in the logarithm; low above 0 |
| `{float: [low, high]}` | a real number, also with `log` or `step` |

## Layers and their options

Whatever has a name is a layer: a cell, a gate, a way of training, a task. It is written as its
name, or as a mapping of its name and options: `gru`, `{name: lru, state: 32}`. `archsearch cells
[NAME]` and `archsearch tasks [NAME]` list names, options and defaults; `archsearch cells --kind
gate` does so for any other kind.

- `options: search` opens every option that the layer declares searchable and that is not given:
  `{name: deltanet, heads: 4, options: search}` searches all but the heads.
- An option is decided only where its layer is chosen, and only where it means something: without
  windowed attention there is no decision about a window, and it is no part of the architecture.
- Where a key has a named default, a mapping may leave out the name:
  `training: {lr: 0.001}` is `adamw`.
- `distribution.name` names a layer of one installed distribution where several have one.

## Two sorts of blocks in one stage

A `mix` puts other blocks in place of some copies of a stage: how many and where are decisions of
the search.

```yaml
stages:
  - repeat: 8
    blocks: [{cell: mamba, channel: glu}]
    mix:
      blocks: [{cell: attention, channel: glu}]
      share: {choice: [0, 0.125, 0.25, 0.5]}     # none, one, two or four of the eight
      at: {choice: [first, last, even, random]}
```

The share is rounded to whole copies. `even` puts them in the middle of as many equal parts: one of
eight is the fifth, two are the third and the seventh. `random` draws one of 64 arrangements, which
the search can tell apart. What is not used is not decided: with a share of 0 there is no decision
about places, with one of 1 none about the usual blocks.

## How blocks are put together, and how weights begin

`placement` says where a layer's norm stands, `connections` what each block of a stage reads of
those before it, `init` how the first weights are drawn. An init touches the maps by which a cell
reads the stream and writes to it (`input`, `project`, `value`, `open`, `output` in its code) and
the two maps of channel mixers such as `mlp` and `glu`, with their biases. Recurrent matrices,
decay rates, gates, norms, embedding and head stay as their layers drew them, and so does a mixer
whose activation prescribes its own beginning. `lsuv` looks at one batch of random inputs, which
the seed of the trial decides. `deepscale` is made for the gate `balanced`, whose share it sets for
the depth of the network; other gates stay as they are.

## Keys
"""

_CLOSING = """\

## Samplers, stopping rules, metrics

Samplers are `tpe` (`startup`, `window`, `candidates`), which learns from the trials so far, and
`random`. Stopping rules are `none`, `median` (`warmup`, `after`, `window`) and `halving` (`eta`,
`rungs`, `warmup`, `window`).

Objectives and constraints name a metric of the task, such as `accuracy`, `rmse` or `mae`, or what
is measured of every architecture: `params` (trained numbers), `flops` (of one time step), `state`
(numbers that a stream carries from step to step), and the times `latency_ms` (a sequence),
`step_ms` (a step) and `peak_memory_mb`. What zeros save is told in figures of their own: `density`
and `density_all` (the share left of prunable weights, of all), `sparse_flops` (`flops` without
products with zeros, a theoretical number) and `bytes` (the tensors of an export). The times differ
between machines, so a study that has one as an objective does not repeat elsewhere trial by trial.

`depth_auc`, which is measured where an objective or a constraint names it, says how good a network
is at every depth that it can be cut to: the area under the curve of the task's first metric against
the share of layers applied. It lies between 0 and 1, and more is better, whatever the metric
([A depth for each input](adaptive-depth.md)).

## Values with a unit

Times are `90s`, `10m`, `2h`, `1d`; costs `30 cpu-minutes`, `2 gpu-hours`; memory `512MB`, `4GB`
(powers of 1000) or `4GiB` (powers of 1024); constraints `"<= 200000"` with `<=`, `>=`, `<` or `>`.

## Faults

A fault is one line that says where, what was expected and what stands there. The exit code is 2,
and nothing was run or written:

```text
space.yaml:19:3: error: search.trails: expected one of the keys sampler, trials, ...,
got 'trails' (did you mean 'trials'?)
```

## Changes from the command line

`--set key=value` puts a YAML value over one of the file, by its dotted key; list items are
counted from 0:

```sh
archsearch run space.yaml --set search.trials=5 --set space.stages.0.repeat=2
```

## What is read how

Numbers may have an exponent (`1e-3`). `no`, `off`, dates, `1_000` and `010` are texts, as YAML 1.2
has it; quoted numbers are texts. Keys stand once; merge keys (`<<`) and tags are not read; anchors
and aliases are. A file has at most 256 KiB, 32 levels and 20,000 values. Paths of data start at
the folder of the space file.
"""


def reference() -> str:
    """The page in Markdown."""
    parts = [_INTRODUCTION]
    for path, section in _sections("", DOCUMENT):
        if path != _PLACES[id(section)]:
            continue
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
    first = next((section for _, section in _sections(path, form)), None)
    if first is not None:
        inside = _PLACES[id(first)]
        words = f"list of `{inside}`" if inside.endswith("[]") else f"mapping, see `{inside}`"
        words += " or 'none'" if isinstance(form, OrNone) else ""
    elif isinstance(form, ListOf):
        words = f"list, each {form.of.words}"
    else:
        words = form.words
    return words + (" (*open*)" if isinstance(form, Open) else "")


# a section that stands at several keys is described at the first of them
_PLACES = {id(section): path for path, section in reversed(list(_sections("", DOCUMENT)))}

if __name__ == "__main__":
    sys.stdout.write(reference())
