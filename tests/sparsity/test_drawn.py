"""Random masks of given sizes, what learned masks are compared with."""

from __future__ import annotations

import pytest
import torch
from trained import masked, model, train

from archsearch.errors import ArchitectureError, SpaceError
from archsearch.sparsity.declared import SPARSITY
from archsearch.sparsity.roles import UNLEARNED
from archsearch.sparsity.static import random
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.counts import Counts, read_counts, spell_counts
from archsearch.train.kept import kept


def names() -> list[str]:
    return list(masked(model(), Layer("random")).masks)


def test_so_many_in_each_matrix_and_elsewhere_all() -> None:
    network = model()
    first, second, *_ = names()
    masks = masked(network, Layer.of("drawn", counts=f"{first}=5 {second}=17"))
    for _ in train(network, masks):
        pass
    left = {name: int((w != 0).sum()) for name, w in network.named_parameters() if w.ndim > 1}
    assert (left[first], left[second]) == (5, 17)
    assert masks.masks.keys() == {first, second}


def test_the_places_depend_on_the_number_alone_and_fewer_are_among_more() -> None:
    (first, *_) = names()

    def drawn(count: int, number: int, seed: int) -> torch.Tensor:
        layer = Layer.of("drawn", counts=f"{first}={count}", number=number)
        return masked(model(), layer, seed).masks[first]

    assert torch.equal(drawn(30, 1, 0), drawn(30, 1, 5))
    assert not torch.equal(drawn(30, 1, 0), drawn(30, 2, 0))
    assert not (drawn(20, 1, 0) & ~drawn(30, 1, 3)).any()


def test_rows_stay_whole() -> None:
    (first, *_) = names()
    shape = model().get_parameter(first).shape
    layer = Layer.of("drawn", counts=f"{first}={2 * shape[1]}", pattern="row")
    mask = masked(model(), layer).masks[first]
    assert mask.all(1).sum() == 2
    assert mask.sum() == 2 * shape[1]


@pytest.mark.parametrize("name", ["magnitude", "rigl", "wanda", "soup", "n_of_m"])
def test_what_a_learned_mask_has_left_can_be_drawn_again(name: str) -> None:
    network, other = model(), model()
    layer = Catalog(SPARSITY).complete("sparsity", Layer(name))
    masks = masked(network, layer)
    for _ in train(network, masks):
        pass
    found = {key.removeprefix("kept."): int(value) for key, value in kept(network, layer).items()}
    assert found.keys() == masks.masks.keys()
    assert found == {key: int(mask.sum()) for key, mask in masks.masks.items()}
    again = masked(other, Layer.of("drawn", counts=spell_counts(found)))
    assert {key: int(mask.sum()) for key, mask in again.masks.items()} == found
    assert any(not torch.equal(mask, masks.masks[key]) for key, mask in again.masks.items())


def test_masks_that_nothing_was_learned_of_are_not_counted() -> None:
    assert set(UNLEARNED) < {declared.name for declared in SPARSITY}
    for name in UNLEARNED:
        assert kept(model(), Layer(name)) == {}


def test_counts_are_a_language() -> None:
    assert read_counts(" b.w=2  a=10 ") == {"b.w": 2, "a": 10}
    assert Counts().normal(" b.w=2  a=10 ") == "a=10 b.w=2"
    assert Counts().normal("") == ""
    for text, fault in (
        ("a", "such as 'a.weight=12 b.weight=7', got 'a'"),
        ("a=-1", "got 'a=-1'"),
        ("a=1.5", "got 'a=1.5'"),
        ("a b=1", "got 'a'"),
        ("ä=1", "got 'ä=1'"),
        ("a=1 a=2", "once, got 'a' twice"),
    ):
        with pytest.raises(SpaceError, match=fault):
            Counts().normal(text)


def test_a_model_without_such_a_matrix_is_told_of() -> None:
    with pytest.raises(ArchitectureError, match="the model has no matrix 'stages"):
        masked(model(), Layer.of("drawn", counts="stages.7.weight=3"))
    (first, *_) = names()
    with pytest.raises(ArchitectureError, match=f"10000 weights are asked for of {first}, which"):
        masked(model(), Layer.of("drawn", counts=f"{first}=10000"))


def test_one_number_is_one_mask_of_the_random_method() -> None:
    from archsearch.sparsity.masks import Setting

    known = random(Setting(model(), 10, seed=4), density=0.3)
    counts = spell_counts({name: int(mask.sum()) for name, mask in known.masks.items()})
    again = masked(model(), Layer.of("drawn", counts=counts, number=4))
    for name, mask in known.masks.items():
        assert torch.equal(mask, again.masks[name])
