"""Exports with a depth policy: the bundle's answers and layers where archsearch is absent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from exported import PREPARATION, REGRESSION, TOKENS, VALUES, export
from safetensors.torch import load_file, save_file
from torch import Tensor

from archsearch.adapt.adapted import Adapted
from archsearch.adapt.certify import Certificate
from archsearch.adapt.chain import Chain
from archsearch.adapt.policies import open as opening
from archsearch.adapt.policies.cascade import Cascade, Patience, loop_rungs, prefix_rungs
from archsearch.adapt.policies.halting import halting_of
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.policies.router import Router
from archsearch.adapt.policies.static import Static, truncations
from archsearch.adapt.policies.view import SIGNALS, WholeView
from archsearch.adapt.walk import Walk
from archsearch.build import build
from archsearch.errors import InputError
from archsearch.plugins import load_catalog
from archsearch.serve.bundle import Bundle
from archsearch.serve.knob import set_knob
from archsearch.serve.predictor import Predictor
from archsearch.serve.standalone import write_standalone, written_out
from archsearch.serve.standalone_depth import WRITTEN
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

LENGTHS = torch.tensor([7, 3, 7, 5, 1, 6, 7, 2])
LIBRARY = (Chain((0, 1, 2, 3)), Chain((0, 2)), Chain((1, 1, 3)))

ALONE = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("archsearch", "scipy"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import torch
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
torch.set_grad_enabled(False)
found, refused = {}, {}
for folder in sys.argv[3:]:
    sys.path.insert(0, folder)
    from model import InputError, load, load_adaptive

    del sys.modules["model"], sys.path[0]
    given, adaptive = load_file(folder + "/../x.safetensors"), load_adaptive()
    plain = load()(given["x"], given["lengths"])[0]
    shares = adaptive.adapted.compute
    assert torch.equal(adaptive(given["x"], given["lengths"], compute=1.0)[0], plain), folder
    for setting, share in enumerate(shares):
        for name, lengths in (("whole", None), ("cut", given["lengths"])):
            said, layers = adaptive(given["x"], lengths, compute=share, uncertified=True)
            found[f"{folder}/{setting}/{name}/said"] = said.contiguous()
            found[f"{folder}/{setting}/{name}/layers"] = layers
    for share in (*shares, 1.5, -1.0):
        try:
            adaptive(given["x"], compute=share)
        except InputError as error:
            refused[f"{folder}/{share}"] = str(error)
save_file(found, sys.argv[1])
with open(sys.argv[2], "w") as file:
    json.dump(refused, file)
assert not any(name.partition(".")[0] == "archsearch" for name in sys.modules)
"""


@dataclass(frozen=True)
class Case:
    """A bundle with a policy, and sequences that it does not treat alike."""

    bundle: Bundle
    x: Tensor
    folder: Path

    @property
    def classes(self) -> bool:
        return self.bundle.signature.targets == "class"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def deep(cell: str = "gru", halting: str = "none") -> Architecture:
    """Four positions: two blocks, and a block that is applied twice, or halts and is one."""
    block = Block(Layer(cell), channel=Layer("mlp"))
    stages = (Stage((block, block)), Stage((block,), loops=2, halting=Layer(halting)))
    return Architecture(8, stages, head=Layer.of("linear", pool="mean"))


def sequences(signature: Signature) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    if signature.inputs == "tokens":
        return torch.randint(signature.channels, (8, 7), generator=draw)
    return torch.randn(8, 7, signature.channels, generator=draw) * 3


def promise(setting: int) -> Certificate:
    return Certificate("ltt", "differs", 0.05, 0.1, setting, "gap >= 0.4", 300, (0.0, 0.01))


def policy_for(name: str, walk: Walk, x: Tensor, classes: bool) -> Policy:
    """By name; thresholds lie between the sequences."""
    view, rows = WholeView(walk, x, None, classes), torch.arange(len(x))
    if name in SIGNALS:
        sure = view.sureness(name, Chain((0,)), rows)
        thresholds = tuple(sure.quantile(torch.tensor([0.8, 0.5, 0.2])).tolist())
        return Cascade(name, prefix_rungs(walk.depth), thresholds)
    if name == "loop_cosine":
        rungs = loop_rungs(walk.units, look_through=False)
        sure = view.sureness("cosine", rungs[0].look, rows)
        return Cascade("cosine", rungs, (float(sure.median()),))
    if name == "router":
        features = view.features(Chain((0,)), rows)
        draw = torch.Generator().manual_seed(1)
        weights = torch.randn(3, features.shape[1], generator=draw) / features.std()
        matrix = tuple(tuple(row) for row in weights.tolist())
        bias = tuple((-weights @ features.mean(0)).tolist())
        return Router(LIBRARY, matrix, bias, (0.01, 0.3, 2.0))
    if name == "patience":
        turned = view.answer(Chain((0, 1)), rows) - view.answer(Chain((0,)), rows)
        return Patience(prefix_rungs(walk.depth), float(turned.abs().amax(-1).median()))
    if name == "halting":
        found = halting_of(walk)
        assert found is not None
        return found
    return Static((LIBRARY[2], Chain((0, 2)), Chain())) if name == "static" else truncations(4)


def made(folder: Path, name: str, signature: Signature = VALUES, cell: str = "gru") -> Case:
    """Written as a bundle, certified for the first place but one of its knob, and exported."""
    architecture = deep(cell, "act") if name == "halting" else deep(cell)
    folder.mkdir()
    bundle, x = export(folder / "plain_bundle", architecture, signature), sequences(signature)
    policy = policy_for(name, Walk(bundle.model()), x, signature.targets == "class")
    # each place costs less than the one before, so that a share leads to each
    compute = tuple(1 - place / policy.settings for place in range(policy.settings))
    depth = Adapted(name, policy, compute, promise(1), {"not": ["written"]})
    bundle = export(folder / "bundle", architecture, signature, depth=depth)
    save_file({"x": x, "lengths": LENGTHS}, folder / "x.safetensors")
    write_standalone(bundle, folder / "plain")
    return Case(bundle, x, folder / "plain")


GIVEN: dict[str, tuple[str, Signature, str]] = {
    "static": ("static", VALUES, "gru"),
    "prefix": ("prefix", TOKENS, "attention"),
    "gap": ("gap", VALUES, "gru"),
    "gap both ways": ("gap", VALUES, "bidirectional"),
    "entropy": ("entropy", TOKENS, "gru"),
    "cosine": ("cosine", REGRESSION, "lstm"),
    "loop_cosine": ("loop_cosine", VALUES, "gru"),
    "patience": ("patience", REGRESSION, "gru"),
    "router": ("router", VALUES, "gru"),
    "halting": ("halting", VALUES, "gru"),
}


# the suite takes one of them, the sweep the others
PARTS = 3
Told = tuple[dict[str, Case], dict[str, Tensor], dict[str, str]]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Told]:
    """The cases of a part, and what one process without archsearch said of them."""

    @cache
    def told(part: int) -> Told:
        torch.set_num_threads(1)
        place = tmp_path_factory.mktemp("alone")
        cases = {
            name: made(place / name.replace(" ", "_"), *GIVEN[name])
            for name in list(GIVEN)[part::PARTS]
        }
        outputs = [str(place / "y.safetensors"), str(place / "refused.json")]
        folders = [str(case.folder) for case in cases.values()]
        done = subprocess.run(
            [sys.executable, "-I", "-c", ALONE, *outputs, *folders],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return cases, load_file(outputs[0]), json.loads(Path(outputs[1]).read_text())

    return told


@pytest.fixture
def alone(name: str, parts: Callable[[int], Told]) -> Told:
    return parts(list(GIVEN).index(name) % PARTS)


@pytest.mark.sampled(every=PARTS)
@pytest.mark.parametrize("name", GIVEN)
def test_answers_and_layers_are_the_bundles_at_every_setting(name: str, alone: Told) -> None:
    cases, found, _ = alone
    case = cases[name]
    kinds = set()
    adapted = case.bundle.adapted(Walk(case.bundle.model()))
    assert adapted is not None
    for setting, share in enumerate(adapted.compute):
        knob = set_knob(case.bundle, case.bundle.model(), share, uncertified=True)
        assert knob.setting == setting
        for kind, lengths in (("whole", None), ("cut", LENGTHS)):
            view = WholeView(knob.walk, case.x, lengths, case.classes)
            with torch.no_grad():
                expected = knob.decide(view)
            said = found[f"{case.folder}/{setting}/{kind}/said"]
            layers = found[f"{case.folder}/{setting}/{kind}/layers"]
            assert torch.equal(said, expected.prediction)
            assert torch.equal(layers, expected.layers)
            kinds.add(tuple(layers.tolist()))
            predictor = Predictor(case.bundle, compute=share, uncertified=True)
            predicted = torch.from_numpy(
                predictor.predict(case.x.numpy(), None if lengths is None else lengths.numpy())
            )
            answer = said.softmax(-1) if case.classes else said
            real = ~predicted.isnan()
            assert torch.equal(answer[real], predicted[real])
            assert predictor.applied == pytest.approx(float(layers.mean()) / knob.walk.full)
    # the knob does something, and where it looks at sequences these are not treated alike
    assert len(kinds) > 1
    if name not in ("static", "prefix"):
        assert any(len(set(kind)) > 1 for kind in kinds)


@pytest.mark.sampled(every=PARTS)
@pytest.mark.parametrize("name", GIVEN)
def test_what_is_not_certified_is_refused_in_the_same_words(name: str, alone: Told) -> None:
    cases, _, refused = alone
    case = cases[name]
    adapted = case.bundle.adapted(Walk(case.bundle.model()))
    assert adapted is not None
    assert adapted.certified == 1
    for setting, share in enumerate((*adapted.compute, 1.5, -1.0)):
        said = refused.get(f"{case.folder}/{share}")
        if setting <= adapted.certified:
            assert said is None
            continue
        with pytest.raises(InputError) as fault:
            Predictor(case.bundle, compute=share)
        assert said == str(fault.value)
        assert "\n" not in said
        assert ("uncertified=True" in said) is (share in adapted.compute)


def test_every_policy_of_a_bundle_can_be_written_out() -> None:
    assert {policy.name for policy in WRITTEN} == set(opening._OPEN)


@dataclass(frozen=True)
class Elsewhere(Static):
    """A policy that exports know nothing of."""

    name = "elsewhere"


def test_another_policy_is_refused_in_a_line_that_names_those_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(opening._OPEN, "elsewhere", lambda *_: Elsewhere((Chain(),)))
    depth = Adapted("elsewhere", Elsewhere((Chain(),)), (1.0, 0.0), None)
    bundle = export(tmp_path / "best", deep(), depth=depth)
    with pytest.raises(InputError, match=r"'elsewhere'.*static, prefix, cascade, patience, router"):
        write_standalone(bundle, tmp_path / "plain")
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("thresholds=(", "thresholds=(2.0, "),
        ("setting=1,", "setting=2,"),
        ("return top[..., 0] - top[..., 1]", "return top[..., 0]"),
        ("self.spent[rows] +=", "self.spent[rows] -="),
    ],
)
def test_a_policy_that_decides_otherwise_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    depth = Adapted(
        "gap", Cascade("gap", prefix_rungs(4), (0.3, 0.05)), (1.0, 0.7, 0.4), promise(1)
    )
    bundle = export(tmp_path / "best", deep(), depth=depth)
    original = written_out

    def other(*given: Any) -> str:
        text = original(*given)
        assert text.count(before) == 1
        return text.replace(before, after)

    monkeypatch.setattr("archsearch.serve.standalone.written_out", other)
    with pytest.raises(InputError, match="depth policy differs"):
        write_standalone(bundle, tmp_path / "plain")
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_without_a_policy_nothing_of_it_is_written(tmp_path: Path) -> None:
    """What has one differs in what was added, before the model's own text and after it."""
    catalog = load_catalog()
    complete = catalog.complete_architecture(deep())
    walk = Walk(build(complete, catalog, VALUES, seed=0))
    depth = Adapted("prefix", truncations(walk.depth), (1.0, 0.7, 0.5, 0.2, 0.0), None)
    plain = written_out(complete, catalog, VALUES, preparation=PREPARATION)
    adaptive = written_out(complete, catalog, VALUES, depth=depth)
    for word in ("load_adaptive", "DEPTH", "Walk", "Certificate", "uncertified"):
        assert word in adaptive
        assert word not in plain
    write_standalone(export(tmp_path / "best", deep()), tmp_path / "plain")
    assert (tmp_path / "plain" / "model.py").read_text() == plain


def test_a_policy_that_is_long_is_written_in_short_lines(tmp_path: Path) -> None:
    thresholds = tuple(1 - place / 29 for place in range(28))
    policy = Cascade("gap", prefix_rungs(4), thresholds)
    depth = Adapted("gap", policy, tuple(1 - place / 29 for place in range(29)), None)
    write_standalone(export(tmp_path / "best", deep(), depth=depth), tmp_path / "plain")
    text = (tmp_path / "plain" / "model.py").read_text()
    written = text[text.index("DEPTH = ") :]
    assert max(map(len, written.splitlines())) <= 100
    assert str(thresholds[13]) in written
