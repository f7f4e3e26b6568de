"""From an architecture to a torch module, and the module itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.blocks.ends.pools import real_steps
from archsearch.blocks.padding import some_positions
from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.checkpointed import RecomputedBlock, RecomputedSegments
from archsearch.blocks.structure.placements import Residual
from archsearch.depth.loops import Spent
from archsearch.errors import ArchitectureError, InputError
from archsearch.sparsity.structures import equipped
from archsearch.spec import architecture as plain
from archsearch.spec.catalog import Catalog, CellType
from archsearch.spec.signature import Signature


class Model(nn.Module):
    """Embedding, stages, norm and head; a whole sequence at once or one step at a time.

    Where all cells are causal, steps beyond a sequence's length change nothing before them. Where
    one is not, sequences are cut to their lengths first, those of one length together, and a
    stream keeps its inputs and is read anew with every step.
    """

    def __init__(
        self, embed: nn.Module, stages: list[nn.Module], norm: nn.Module, head: nn.Module
    ) -> None:
        super().__init__()
        self.embed, self.norm, self.head = embed, norm, head
        self.stages = nn.ModuleList(stages)
        self.causal = all(getattr(part, "causal", True) for part in self.modules())
        self.cuts = not self.causal  # whether padding is cut off
        self.compares = any(getattr(part, "compares", False) for part in self.modules())
        for stage in stages:
            if hasattr(stage, "reads"):
                stage.reads(norm, head)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The prediction, (batch, outputs) or (batch, time, outputs), and what depth costs.

        x is (batch, time, channels) of floats or (batch, time) of tokens, lengths (batch,) or None
        for full length. The second is a scalar to be added to the loss: the mean over all real
        positions, zero where nothing halts.
        """
        h, spent = self._stages(x, lengths)
        penalty = h.new_zeros(())
        for stage in spent:
            penalty = penalty + _mean_over_steps(stage.cost, lengths)
        return self.head(self.norm(h), lengths), penalty

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """The state before the first step of ``batch`` streams: nested tuples of tensors."""
        if not self.causal:
            return ()
        return (
            self.embed.initial_state(batch),
            tuple(stage.initial_state(batch) for stage in self.stages),
            self.head.initial_state(batch),
        )

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """One time step, (batch, channels) or (batch,), to the prediction so far.

        It equals ``forward`` on the steps seen, (batch, outputs), or the last of its time steps.
        """
        if not self.causal:
            seen = torch.cat([*state, x_t.unsqueeze(1)], 1)
            prediction = self(seen)[0]
            return prediction if prediction.ndim == 2 else prediction[:, -1], (seen,)
        at_embed, at_stages, at_head = state
        h, at_embed = self.embed.step(x_t, at_embed)
        after = []
        for stage, before in zip(self.stages, at_stages, strict=True):
            h, now = stage.step(h, before)
            after.append(now)
        prediction, at_head = self.head.step(self.norm(h), at_head)
        return prediction, (at_embed, tuple(after), at_head)

    def loops_used(self, x: Tensor, lengths: Tensor | None = None) -> tuple[float, ...]:
        """How often each stage was applied to these inputs, as a mean over real positions."""
        _, spent = self._stages(x, lengths)
        return tuple(float(_mean_over_steps(stage.loops, lengths)) for stage in spent)

    def known(
        self, x: Tensor, lengths: Tensor | None, portion: float = 1.0
    ) -> AbstractContextManager[None]:
        """Inside, what sets positions against each other knows which steps of x are real.

        x may be a ``portion`` of a batch.
        """
        if not self.compares or torch.compiler.is_compiling():
            return nullcontext()
        if lengths is None or not bool((lengths < x.shape[1]).any()):
            return some_positions(None, portion)
        return some_positions(real_steps(lengths, x.shape[1]), portion)

    def no_decay(self) -> frozenset[str]:
        """Names of the parameters without weight decay: vectors, biases, what a module exempts."""
        exempt = {
            f"{place}.{name}"
            for place, module in self.named_modules()
            if module is not self
            for name in getattr(module, "no_decay", ())
        }
        return frozenset(
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim < 2 or name.rpartition(".")[2] == "bias" or name in exempt
        )

    def slower(self) -> dict[str, float]:
        """The share of the learning rate of every parameter that a module has learn slower."""
        return {
            f"{place}.{name}": share
            for place, module in self.named_modules()
            if module is not self
            for name, share in getattr(module, "slower", {}).items()
        }

    def _stages(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[Spent]]:
        if lengths is None or not self.cuts:
            with self.known(x, lengths):
                return self._through(x)
        groups = [
            (torch.nonzero(lengths == length).squeeze(1), length)
            for length in torch.unique(lengths).tolist()
        ]
        found, total = [], int(lengths.sum())
        for rows, length in groups:
            with self.known(x, None, len(rows) * length / total):
                found.append(self._through(x[rows, :length]))

        def placed(parts: list[Tensor]) -> Tensor:
            """(batch, time, ..) of the groups' results, zero beyond the lengths."""
            whole = parts[0].new_zeros(*x.shape[:2], *parts[0].shape[2:])
            for (rows, length), part in zip(groups, parts, strict=True):
                whole[rows, :length] = part
            return whole

        spent = [
            Spent(placed([part.loops for part in stage]), placed([part.cost for part in stage]))
            for stage in zip(*(used for _, used in found), strict=True)
        ]
        return placed([h for h, _ in found]), spent

    def _through(self, x: Tensor) -> tuple[Tensor, list[Spent]]:
        h, spent = self.embed(x), []
        for stage in self.stages:
            h, used = stage(h)
            spent.append(used)
        return h, spent


def build(
    architecture: plain.Architecture, catalog: Catalog, signature: Signature, seed: int
) -> Model:
    """The network with its initial weights; the global random state stays as it is.

    It is built from the canonical form, so that equal digests and seeds give equal weights to the
    last bit. Raises ArchitectureError with the place that cannot be built.
    """
    if architecture.width < 1:
        raise ArchitectureError(
            f"{architecture.digest} cannot be built: width must be at least 1,"
            f" got {architecture.width}"
        )
    with torch.random.fork_rng(devices=()):
        # torch.manual_seed would also reseed every accelerator
        torch.default_generator.manual_seed(seed)
        causal = signature.every_step and not signature.whole
        return _Builder(architecture, catalog, causal).model(signature)


def stream_variance(model: Model, x: Tensor) -> float:
    """The variance of what the last stage gives for a batch, before the norm and the head."""
    given: list[Tensor] = []
    hook = model.norm.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        with torch.no_grad():
            model(x)
    finally:
        hook.remove()
    return float(given[0].var())


class _Builder:
    """Constructs layer by layer and knows how to name the one that fails."""

    def __init__(self, architecture: plain.Architecture, catalog: Catalog, causal: bool) -> None:
        self.digest = architecture.digest
        self.architecture = architecture.canonical()
        self.width = architecture.width
        self.catalog = catalog
        self.causal = causal
        self.checkpointing = dict(architecture.training.options).get("checkpointing", "none")

    def model(self, signature: Signature) -> Model:
        given, width = self.architecture, self.width
        model = Model(
            self.layer("embed", given.embed, "", signature, width),
            [
                self.stage(stage, f"stage {position}, ")
                for position, stage in enumerate(given.stages, start=1)
            ],
            self.layer("norm", given.norm, "final ", width),
            self.layer("head", given.head, "", signature, width),
        )
        init = self.layer("init", given.init, "")
        # on the meta device there are no weights to draw
        if not any(parameter.is_meta for parameter in model.parameters()):
            init(model.eval(), signature)
        return model.train()

    def stage(self, stage: plain.Stage, place: str) -> nn.Module:
        segments = self.checkpointing == "sqrt" and stage.connections == plain.CHAIN
        each = self.checkpointing != "none" and not segments
        blocks = [
            self.block(block, f"{place}block {position}, ", RecomputedBlock if each else Block)
            for position, block in enumerate(stage.blocks, start=1)
        ]
        body = self.layer("connections", stage.connections, place, blocks, self.width)
        if segments:
            body = RecomputedSegments(blocks, self.width)
        tie = self.layer("tie", stage.tie, place, body, self.width, stage.loops)
        return self.layer("halting", stage.halting, place, tie, self.width, stage.loops)

    def block(self, block: plain.Block, place: str, kind: type[Block]) -> Block:
        def residual(kind: str, layer: plain.Layer) -> Residual:
            parts = (("norm", block.norm), (kind, layer), ("gate", block.gate))
            inner = [self.layer(*part, place, self.width) for part in parts]
            return self.layer("placement", block.placement, place, *inner)

        cell = residual("cell", block.cell)
        channel = None if block.channel == plain.NONE else residual("channel", block.channel)
        built, sparsity = kind(cell, channel), self.architecture.sparsity
        if sparsity == plain.NONE:
            return built
        options = self.catalog.find("sparsity", sparsity.name).settings(sparsity)
        return equipped(built, sparsity.name, options)

    def layer(self, kind: str, layer: plain.Layer, place: str, *given: Any) -> Any:
        """The declared implementation of a layer, called with ``given`` and the layer's options."""
        try:
            declared = self.catalog.find(kind, layer.name)
            options = declared.settings(layer)
            if self.causal and isinstance(declared, CellType) and not declared.causal:
                raise ArchitectureError(
                    "it sees the steps to come, and this task asks for an answer at every step;"
                    " take a causal cell"
                )
            construct: Callable[..., Any] = declared.implementation()
            return construct(*given, **options)
        except (MemoryError, RuntimeError):
            # too little memory is no fault of the architecture
            raise
        except Exception as error:
            raise ArchitectureError(
                f"{place}{kind} '{layer.name}' of {self.digest} cannot be built: {_reason(error)}"
            ) from error


def _reason(error: Exception) -> str:
    """What went wrong on one line; with the kind of error where the text may not say it."""
    text = " ".join(str(error).split())
    if text and isinstance(error, InputError | ValueError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _mean_over_steps(values: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return values.mean()
    real = real_steps(lengths, values.shape[1])
    return (values * real).sum() / real.sum()
