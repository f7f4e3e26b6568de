"""Bundles and source files of sparse models: smaller, and the same answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from exported import FACTS, PREPARATION, TASK, VALUES, random_state
from safetensors.torch import load_file, save_file

from archsearch.build import Model, build
from archsearch.errors import StateError
from archsearch.plugins import load_catalog
from archsearch.serve.bundle import MANIFEST, WEIGHTS, Bundle, read_bundle, write_bundle
from archsearch.serve.standalone import write_standalone
from archsearch.sparsity.packing import size_of
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage

CATALOG = load_catalog()
PRUNED = Layer.of("one_shot", which="channel", pattern="row")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def sparse(
    zeros: str, tie: Layer | None = None, sparsity: Layer = PRUNED
) -> tuple[Architecture, Model]:
    """Mixers whose first maps have zeros: some whole ``rows``, or half of all ``spread``."""
    blocks = (Block(Layer("gru"), channel=Layer("mlp")), Block(Layer("lru"), channel=Layer("glu")))
    stage = Stage(blocks, loops=1 if tie is None else 2, tie=tie or Layer("shared"))
    architecture = CATALOG.complete_architecture(Architecture(8, (stage,), sparsity=sparsity))
    model = build(architecture, CATALOG, VALUES, seed=1)
    model.load_state_dict(random_state(model))
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(".channel.layer.into.weight"):
                if zeros == "rows":
                    weight.view(-1, 16, 8)[:, 3:11] = 0
                else:
                    weight.masked_fill_(torch.rand(weight.shape, generator=draw) < 0.5, 0)
    return architecture, model.eval()


def written(path: Path, architecture: Architecture, model: Model) -> Bundle:
    state = model.state_dict()
    return write_bundle(path, state, architecture, VALUES, PREPARATION, FACTS, CATALOG, task=TASK)


def x() -> torch.Tensor:
    return torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tie", [None, Layer("shared"), Layer("injected"), Layer("projected")])
def test_idle_units_are_gone_and_the_answers_are_the_same(tmp_path: Path, tie: Layer) -> None:
    architecture, model = sparse("rows", tie)
    bundle = written(tmp_path / "best", architecture, model)
    smaller = read_bundle(tmp_path / "best").model()
    mixers = [part for name, part in smaller.named_modules() if name.endswith("channel.layer")]
    assert [mixer.out.in_features for mixer in mixers] == [8, 8]
    assert [mixer.into.out_features for mixer in mixers] == [8, 16]
    with torch.no_grad():
        assert torch.allclose(smaller(x())[0], model(x())[0], rtol=1e-6, atol=1e-6)
    write_standalone(bundle, tmp_path / "plain")
    assert "channel.layer.into': (8, 8)" in (tmp_path / "plain" / "model.py").read_text()


def test_a_dense_model_is_written_as_ever(tmp_path: Path) -> None:
    architecture, model = sparse("rows", sparsity=NONE)
    bundle = written(tmp_path / "best", architecture, model)
    plain = json.loads((tmp_path / "best" / MANIFEST).read_text())
    assert plain["version"] == 1
    assert plain["weights"].keys() == {"sha256"}
    assert all(torch.equal(bundle.state[name], part) for name, part in model.state_dict().items())


def test_zeros_are_not_stored_and_nothing_is_rounded(tmp_path: Path) -> None:
    sparsity = Layer.of("one_shot", which="channel")
    architecture, model = sparse("spread", sparsity=sparsity)
    bundle = written(tmp_path / "best", architecture, model)
    known = model.state_dict()
    assert all(torch.equal(bundle.state[name], part) for name, part in known.items())
    with torch.no_grad():
        assert torch.equal(bundle.model()(x())[0], model(x())[0])
    stored = load_file(tmp_path / "best" / WEIGHTS)
    zeros = sum(int((part == 0).sum()) for name, part in known.items() if "into.weight" in name)
    whole = sum(part.numel() for name, part in known.items() if "into.weight" in name)
    dense = sum(part.numel() * part.itemsize for part in known.values())
    taken = sum(part.numel() * part.itemsize for part in stored.values())
    assert dense - taken == 4 * zeros - whole // 8 > 0
    assert taken == size_of(known)
    write_standalone(bundle, tmp_path / "plain")
    plain = load_file(tmp_path / "plain" / WEIGHTS)
    assert plain.keys() == stored.keys()
    assert json.loads((tmp_path / "best" / MANIFEST).read_text())["version"] == 2


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ({"sizes": {"nowhere": [1, 1]}}, "nowhere: is no map of hidden units"),
        ({"sizes": {"head.output": [1, 1]}}, "is no map of hidden units"),
        ({"sizes": {"stages.0.tie.body.blocks.0.channel.layer.into": [4, 8]}}, "do not fit"),
        ({"sizes": [1]}, "weights is malformed"),
        ({"sizes": {"a": [0, 1]}}, "weights is malformed"),
        ({"packed": ["nowhere"]}, "no tensor of numbers"),
        ({"packed": "head"}, "weights is malformed"),
        ({"packed": []}, "lacks the tensor"),
    ],
)
def test_a_manifest_with_other_sizes_is_refused(
    tmp_path: Path, fault: dict[str, object], match: str
) -> None:
    written(tmp_path / "best", *sparse("spread"))
    path = tmp_path / "best" / MANIFEST
    plain = json.loads(path.read_text())
    del plain["seal"]
    plain["weights"] |= fault
    path.write_text(json.dumps(plain))
    with pytest.raises(StateError, match=match):
        read_bundle(tmp_path / "best")


def test_bits_that_do_not_fit_the_values_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "best", *sparse("spread"))
    path = tmp_path / "best" / WEIGHTS
    stored = load_file(path)
    name = next(name for name in stored if name.endswith(".nonzero"))
    stored[name] = torch.zeros_like(stored[name])
    save_file(stored, path)
    manifest = tmp_path / "best" / MANIFEST
    plain = json.loads(manifest.read_text())
    del plain["seal"]
    plain["weights"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(plain))
    with pytest.raises(StateError, match="0 bits are set for"):
        read_bundle(tmp_path / "best")
