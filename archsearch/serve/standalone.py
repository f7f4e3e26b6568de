"""Exports a model as plain PyTorch: one source file and its weights, without archsearch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pprint import pformat
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.adapt.adapted import Adapted
from archsearch.adapt.walk import Walk
from archsearch.errors import InputError
from archsearch.serve.bundle import Bundle
from archsearch.serve.folder import write_folder
from archsearch.serve.manifest import SOURCE, WEIGHTS
from archsearch.serve.modules import Key, packages_of
from archsearch.serve.sources import Sources
from archsearch.serve.standalone_depth import TAKEN as TAKEN_FOR_DEPTH
from archsearch.serve.standalone_depth import check_depth, constructed, needed, usage
from archsearch.serve.standalone_text import HEAD, PREPARED, TAIL
from archsearch.serve.weights import serialize
from archsearch.sparsity.packing import packed
from archsearch.sparsity.structures import PLACE, structure
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage, layers
from archsearch.spec.catalog import Catalog
from archsearch.spec.signature import Signature
from archsearch.spec.untrusted import shown

MODEL = ("archsearch.build", "Model")
BLOCK = ("archsearch.build", "Block")
SIGNATURE = ("archsearch.spec.signature", "Signature")
RESIZED = ("archsearch.sparsity.compaction", "resized")
UNPACKED = ("archsearch.sparsity.packing", "unpacked")
PLAIN = bool | int | float | str | None
TAKEN = ("SIGNATURE", "PREPARATION", "build", "load", "annotations", "model", "Path", "load_file")


def write_standalone(bundle: Bundle, path: Path, *, force: bool = False) -> str:
    """Write the new folder ``path`` with model.py and model.safetensors; says what they need.

    Before it appears, the written model must give bit for bit what the bundle's gives, for whole
    sequences and in a stream, and with the bundle's depth policy at each place of its knob. Raises
    InputError where it does not, where a cell's source is not to be had or a policy cannot be
    written out, or where something is in the way.
    """
    manifest = bundle.manifest
    text = written_out(
        bundle.architecture,
        bundle.catalog,
        bundle.signature,
        manifest.sizes,
        bool(manifest.packed),
        None if manifest.depth is None else bundle.adapted(Walk(bundle.model())),
        manifest.preparation,
    )
    state = packed(bundle.state) if manifest.packed else bundle.state
    files = {SOURCE: text.encode(), WEIGHTS: serialize(state)}
    write_folder(path, files, lambda fresh: _check_parity(bundle, fresh / SOURCE), force=force)
    return _listed(packages_of(text))


def written_out(
    architecture: Architecture,
    catalog: Catalog,
    signature: Signature,
    sizes: Mapping[str, tuple[int, int]] = MappingProxyType({}),
    packed_weights: bool = False,
    depth: Adapted | None = None,
    preparation: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """The source of one Python module that builds and loads the model.

    ``sizes`` are those of its compacted linear maps; ``packed_weights`` says that zeros are not
    stored; ``depth`` is the policy that it adapts its depth by; ``preparation``, plain data, is
    quoted in it.
    """
    also = ([RESIZED] if sizes else []) + ([UNPACKED] if packed_weights else [])
    taken: tuple[str, ...] = TAKEN
    if depth is not None:
        also += needed(depth)
        taken += TAKEN_FOR_DEPTH
    writer = _Writer(architecture.canonical(), catalog, also, taken)
    inputs = "(batch, time) of tokens"
    if signature.inputs == "values":
        inputs = f"(batch, time, {signature.channels})"
    source = writer.sources.text()
    head = HEAD.format(
        title=architecture.title,
        version=version("archsearch"),
        packages=_listed(packages_of(source)),
        inputs=inputs,
        prepared=PREPARED if preparation else "",
        depth="" if depth is None else usage(depth),
    )
    given = ", ".join(f"{key}={value!r}" for key, value in signature.to_plain().items())
    names = writer.sources.name
    ends = {
        "embed": writer.layer("embed", architecture.embed, "SIGNATURE"),
        "norm": writer.layer("norm", architecture.norm),
        "head": writer.layer("head", architecture.head, "SIGNATURE"),
    }
    whole = f"{names(MODEL)}({ends['embed']}, stages, {ends['norm']}, {ends['head']})"
    if sizes:
        cut = "".join(f"        {name!r}: {tuple(size)},\n" for name, size in sizes.items())
        whole = f"{names(RESIZED)}({whole}, {{\n{cut}    }})"
    state = "load_file(weights)"
    if packed_weights:
        state = f"{names(UNPACKED)}({state}, model.state_dict())"
    quoted = pformat(dict(preparation), width=98, compact=True, sort_dicts=False)
    tail = TAIL.format(
        signature=f"{names(SIGNATURE)}({given})",
        preparation=f"\nPREPARATION = {quoted}\n" if preparation else "",
        model=names(MODEL),
        stages="\n".join(writer.stage(stage) for stage in writer.architecture.stages),
        whole=whole,
        state=state,
        weights=WEIGHTS,
    )
    if depth is not None:
        tail += constructed(depth, signature.targets == "class", names)
    return head + source + "\n\n" + tail


def _listed(packages: Iterable[str]) -> str:
    """Packages in words: torch and safetensors, which every model needs, and the others."""
    first = ("torch", "safetensors")
    *others, last = [*first, *sorted(set(packages) - set(first))]
    return f"{', '.join(others)} and {last}"


@dataclass(frozen=True)
class _Class:
    """The implementation of a layer and the options that it is constructed with."""

    key: Key
    options: tuple[tuple[str, Any], ...]


class _Writer:
    """Says in Python what ``build`` does for one architecture."""

    def __init__(
        self,
        architecture: Architecture,
        catalog: Catalog,
        also: Iterable[Key] = (),
        taken: Iterable[str] = TAKEN,
    ) -> None:
        self.architecture, self._catalog = architecture, catalog
        own = {"archsearch"}
        sparsity = architecture.sparsity
        options = catalog.find("sparsity", sparsity.name).settings(sparsity)
        self._change = structure(sparsity.name, options)
        roots = [SIGNATURE, BLOCK, MODEL, *also]
        if self._change is not None:
            roots.append((PLACE, self._change[0]))
        for kind, layer in _built(architecture):
            roots.append(self._class(kind, layer).key)
            if catalog.find(kind, layer.name).distribution != "archsearch":
                own.add(roots[-1][0].partition(".")[0])
        self.sources = Sources(roots, own, taken)

    def stage(self, stage: Stage) -> str:
        blocks = "".join(f"            {self._block(block)},\n" for block in stage.blocks)
        body = self.layer("connections", stage.connections, f"[\n{blocks}        ]")
        tie = self.layer("tie", stage.tie, body, stage.loops)
        return f"        {self.layer('halting', stage.halting, tie, stage.loops)},"

    def layer(self, kind: str, layer: Layer, first: str = "", *more: int) -> str:
        """The call that constructs a layer; the width follows the ``first`` argument."""
        numbers = [str(number) for number in (self.architecture.width, *more)]
        return self._call(kind, layer, [first, *numbers] if first else numbers)

    def _call(self, kind: str, layer: Layer, arguments: list[str]) -> str:
        found = self._class(kind, layer)
        arguments = list(arguments)
        arguments += [f"{key}={value!r}" for key, value in found.options]
        return f"{self.sources.name(found.key)}({', '.join(arguments)})"

    def _block(self, block: Block) -> str:
        channel = "None"
        if block.channel != NONE:
            channel = self._residual(block, "channel", block.channel)
        made = f"{self.sources.name(BLOCK)}({self._residual(block, 'cell', block.cell)}, {channel})"
        if self._change is None:
            return made
        function, given = self._change
        options = "".join(f", {key}={value!r}" for key, value in given.items())
        return f"{self.sources.name((PLACE, function))}({made}{options})"

    def _residual(self, block: Block, kind: str, layer: Layer) -> str:
        parts = (("norm", block.norm), (kind, layer), ("gate", block.gate))
        return self._call("placement", block.placement, [self.layer(*part) for part in parts])

    def _class(self, kind: str, layer: Layer) -> _Class:
        declared = self._catalog.find(kind, layer.name)
        target: Callable[..., nn.Module] = declared.implementation()
        name = target.__qualname__
        options = tuple(sorted(declared.settings(layer).items()))
        what = f"{kind} '{layer.name}' cannot be written out as plain PyTorch"
        if "." in name:
            raise InputError(f"{what}: {name} is no class at the top of {target.__module__}")
        for key, value in options:
            if not _is_plain(value):
                raise InputError(f"{what}: its option '{key}' is no number, text or list of those")
        return _Class((target.__module__, name), options)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def _built(architecture: Architecture) -> Iterator[tuple[str, Layer]]:
    """The layers that ``build`` constructs and a prediction needs."""
    for kind, layer in layers(architecture):
        if kind not in ("training", "sparsity", "init") and (kind, layer) != ("channel", NONE):
            yield kind, layer
    for stage in architecture.stages:
        yield "connections", stage.connections
        yield from (("placement", block.placement) for block in stage.blocks)


def _check_parity(bundle: Bundle, source: Path) -> None:
    """Compare the written model with the bundle's; InputError where they differ."""
    try:
        module = _imported(source)
        written, known = module.load(), bundle.model()
        for x in _samples(bundle.signature):
            pairs = zip(_answers(written, x), _answers(known, x), strict=True)
            if not all(torch.equal(one, other) for one, other in pairs):
                raise InputError("the written model differs from the exported one")
        if bundle.manifest.depth is not None:
            check_depth(module.load_adaptive(), bundle, _samples(bundle.signature))
    except InputError:
        raise
    except Exception as error:
        reason = shown(f"{type(error).__name__}: {error}", 300)
        raise InputError(f"the model cannot be written out as plain PyTorch: {reason}") from error


def _imported(source: Path) -> Any:
    """The module in a file, which leaves no trace among the imported ones or beside the file."""
    name = source.parent.name.strip(".")
    spec = spec_from_file_location(name, source)
    if spec is None or spec.loader is None:
        raise InputError(f"{source}: cannot be imported")
    module = sys.modules[name] = module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
        del sys.modules[name]
    return module


def _samples(signature: Signature) -> Iterator[Tensor]:
    draw = torch.Generator().manual_seed(0)
    for batch, time in ((1, 1), (3, 7), (2, 65)):
        if signature.inputs == "tokens":
            yield torch.randint(signature.channels, (batch, time), generator=draw)
        else:
            yield torch.randn(batch, time, signature.channels, generator=draw)


def _answers(model: nn.Module, x: Tensor) -> Iterator[Tensor]:
    """What a model says of whole sequences, of padded ones, and of a stream."""
    yield model(x)[0]
    yield model(x, torch.arange(len(x)) % x.shape[1] + 1)[0]
    state = model.initial_state(len(x))
    for x_t in x.unbind(1):
        prediction, state = model.step(x_t, state)
        yield prediction
