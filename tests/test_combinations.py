"""Any two names in the box can be combined: random networks over all that can be searched."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from archsearch.build import Model, build
from archsearch.errors import ArchitectureError
from archsearch.plugins import load_catalog
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import NONE, Architecture
from archsearch.spec.signature import Signature
from archsearch.spec.space import Space
from archsearch.spec.spacefile import read_space

torch.set_num_threads(1)

CATALOG = load_catalog()
SIGNATURES = (
    Signature("values", 3, "class", 4, every_step=False, length=9),
    Signature("tokens", 5, "number", 2, every_step=False, length=9),
    Signature("values", 2, "number", 2, every_step=True, length=9),
)
FEW, MANY = 15, 500


def everything(causal: bool, folder: Path) -> Space:
    """A space of all cells and all that stands around them, every option open."""

    def names(kind: str) -> str:
        found = CATALOG.names(kind)
        if kind == "cell" and causal:
            found = tuple(name for name in found if CATALOG.find("cell", name).causal)
        return ", ".join(f"{{name: {name}, options: search}}" for name in found)

    def slot(kind: str) -> str:
        return f"{kind}: {{choice: [{names(kind)}]}}"

    parts = ("cell", "gate", "channel", "norm", "placement")
    block = f"{{{', '.join(map(slot, parts))}}}"
    path = folder / f"everything-{causal}.yaml"
    path.write_text(
        f"""
archsearch: 1
task: adding
space:
  width: {{choice: [16, 32]}}
  {slot("embed")}
  {slot("head")}
  {slot("norm")}
  {slot("init")}
  {slot("sparsity")}
  stages:
    - repeat: {{int: [1, 2]}}
      loops: {{choice: [1, 3]}}
      {slot("tie")}
      {slot("halting")}
      {slot("connections")}
      blocks: [{block}]
    - {slot("connections")}
      blocks: [{block}]
"""
    )
    return read_space(path, CATALOG).space


@pytest.fixture(scope="module")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Space]:
    folder = tmp_path_factory.mktemp("spaces")
    return {causal: everything(causal, folder) for causal in (True, False)}


def example(signature: Signature, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if signature.inputs == "tokens":
        return torch.randint(signature.channels, (4, 9), generator=generator)
    return torch.randn(4, 9, signature.channels, generator=generator)


def drawn(
    space: Space, signature: Signature, rng: random.Random, seed: int
) -> tuple[Architecture, Model]:
    """A random network; only a head may refuse, one that answers another kind of question."""
    while True:
        architecture = space.architecture(space.sample(rng))
        try:
            return architecture, build(architecture, CATALOG, signature, seed)
        except ArchitectureError as error:
            if not str(error).startswith("head "):
                raise


def hold(space: Space, signature: Signature, seed: int, folder: Path) -> None:
    """Builds, trains, streams, and is the same again from a file.

    Without norms a network of squares may overflow, which a trial tells of.
    """
    rng = random.Random(f"{signature.inputs} {signature.every_step} {seed}")
    architecture, model = drawn(space, signature, rng, seed)
    x = example(signature, seed)

    def loss(number: int) -> torch.Tensor:  # of a batch that is the same every time
        prediction, penalty = model(x)
        return prediction.tanh().square().mean() + penalty

    try:
        masks = sparsify(model, architecture.sparsity, 2, seed=seed, loss=loss)
    except ArchitectureError as error:
        # a density that does not fit its allocation or its modules
        if "density" not in str(error):
            raise
        masks = sparsify(model, NONE, 2)
    optimiser = torch.optim.SGD(model.parameters(), 1e-3)
    for step in (1, 2):
        optimiser.zero_grad()
        loss(0).backward()
        masks.before_step(step)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        masks.after_step(step, optimiser)
    model.eval()
    for name, mask in masks.masks.items():
        assert not model.get_parameter(name)[~mask].any()
    with torch.no_grad():
        whole, _ = model(x)
        if not whole.isfinite().all():
            assert any(b.norm.name == "none" for stage in architecture.stages for b in stage.blocks)
            return
        # some networks amplify what single precision rounds
        exact, given = copy.deepcopy(model).double(), x.double() if x.is_floating_point() else x
        state, last = exact.initial_state(4), exact(given)[0]
        for t in range(9):
            streamed, state = exact.step(given[:, t], state)
        last = last[:, -1] if signature.every_step else last
        torch.testing.assert_close(streamed, last, rtol=1e-5, atol=1e-5 * float(last.abs().max()))
        weights = {name: part.contiguous() for name, part in model.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        again = build(architecture, CATALOG, signature, seed + 1).eval()
        again.load_state_dict(load_file(folder / "model.safetensors"))
        assert torch.equal(again(x)[0], whole)


@pytest.mark.parametrize("seed", range(FEW))
@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda s: f"{s.inputs}-{s.every_step}")
def test_a_few_random_networks(
    spaces: dict[bool, Space], signature: Signature, seed: int, tmp_path: Path
) -> None:
    hold(spaces[signature.every_step], signature, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FEW, FEW + MANY))
def test_many_random_networks(spaces: dict[bool, Space], seed: int, tmp_path: Path) -> None:
    signature = SIGNATURES[seed % len(SIGNATURES)]
    hold(spaces[signature.every_step], signature, seed, tmp_path)
