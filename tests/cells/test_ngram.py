"""n-gram heads against a search through the words themselves, and what a layer of them can do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from archsearch.cells.attention.hash_codes import HashCodes
from archsearch.cells.attention.linear_attention import LinearAttention
from archsearch.cells.attention.ngram import NGram
from archsearch.kernels.memories.following import following


def built(width=32, **options):
    torch.manual_seed(0)
    return NGram(width, **options).double()


def told(text, cell):
    """One vector per letter, equal for equal letters: (1, T, W)."""
    words = torch.randn(26, cell.width, dtype=torch.float64)
    assert len(torch.unique(cell.codes(words), dim=0)) == 26, "no two letters share a code"
    return words[torch.tensor([ord(letter) - ord("a") for letter in text])][None]


def followed(text, i, order):
    """The places behind the earlier ones where the last ``order`` letters stood."""
    now = text[i - order + 1 : i + 1] if i >= order - 1 else None
    places = range(order - 1, i - 1)
    return [j + 1 for j in places if now is not None and text[j - order + 1 : j + 1] == now]


def expected(text, x, cell, order):
    outputs = []
    for i in range(len(text)):
        places = followed(text, i, order)
        mean = x[0, places].mean(0) if places else torch.zeros(cell.width, dtype=x.dtype)
        outputs.append(cell.follow(mean) + cell.own(x[0, i]))
    return torch.stack(outputs)[None]


def test_a_b_a_b_a():
    """n = 1: the third letter finds b at 1, the fourth a at 2, the fifth b at 1 and 3."""
    assert [followed("ababa", i, 1) for i in range(5)] == [[], [], [1], [2], [1, 3]]
    assert [followed("ababa", i, 2) for i in range(5)] == [[], [], [], [2], [3]]
    assert [followed("ababa", i, 3) for i in range(5)] == [[], [], [], [], [3]]
    cell = built(rounds=4)
    x = told("ababa", cell)
    a, b = x[0, 0], x[0, 1]
    nothing = torch.zeros(32, dtype=torch.float64)
    means = torch.stack([nothing, nothing, b, a, b])
    torch.testing.assert_close(cell(x)[0][0], cell.follow(means) + cell.own(x[0]))
    cell = built(rounds=4, order=2)
    means = torch.stack([nothing, nothing, nothing, a, b])
    torch.testing.assert_close(cell(x)[0][0], cell.follow(means) + cell.own(x[0]))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("text", ["a", "aa", "aaaa", "abcab", "abcabdabcabeabcab", "xyxyyxxyxy"])
def test_is_a_search_through_the_text(text, order):
    cell = built(order=order, rounds=4)
    x = told(text, cell)
    torch.testing.assert_close(cell(x)[0], expected(text, x, cell, order))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_text_of_many_letters_and_any_cut(order):
    cell = built(order=order, rounds=4)
    letters = torch.randint(3, (90,), generator=torch.Generator().manual_seed(1))
    text = "".join("abc"[letter] for letter in letters)
    x = told(text, cell)
    torch.testing.assert_close(cell(x)[0], expected(text, x, cell, order))
    for cut in (1, 2, 50):
        first, state = cell(x[:, :cut])
        second, _ = cell(x[:, cut:], state)
        torch.testing.assert_close(torch.cat([first, second], 1), cell(x)[0])


def test_a_later_position_changes_nothing_to_the_last_bit():
    cell = built(rounds=4)
    x = told("abcabcaabbcc", cell)
    for at in range(1, 12):
        changed = x.clone()
        changed[:, at:] = x[:, :1]
        assert torch.equal(cell(changed)[0][:, :at], cell(x)[0][:, :at])


def test_heads_answer_with_their_share_by_their_own_hash():
    cell = built(8, heads=2, buckets=8, rounds=1)
    with torch.no_grad():
        # the second head sees every vector as the same
        cell.codes.directions[1] = 0.0
    x = told_apart = torch.randn(1, 6, 8, dtype=torch.float64)
    y = cell(x)[0] - cell.own(x)
    values = cell.follow(told_apart)[0, :, 4:]
    for i in range(6):
        want = values[1:i].mean(0) if i > 1 else torch.zeros(4, dtype=torch.float64)
        torch.testing.assert_close(y[0, i, 4:], want)


def test_equal_vectors_have_equal_codes_wherever_they_stand():
    torch.manual_seed(0)
    codes = HashCodes(16, heads=3, buckets=32, rounds=2)
    words = torch.randn(40, 16)
    x = words[torch.randint(40, (7, 501))]
    alone = codes(words)
    for word, code in zip(words, alone, strict=True):
        at = (x == word).all(-1)
        assert (codes(x)[at] == code).all()
    assert torch.equal(codes(words), codes(7.5 * words)), "a code knows no length"
    assert torch.equal(codes(words[:1]), alone[:1])
    assert alone.min() >= 0
    assert alone.max() < 32**2


def test_codes_of_unlike_vectors_are_spread_and_those_of_like_ones_near():
    torch.manual_seed(0)
    codes = HashCodes(16, heads=1, buckets=32, rounds=2)
    words = torch.randn(4000, 16)
    apart = codes(words)[:, 0]
    same = (apart[:, None] == apart).float().mean().item()
    assert 1 / 1024 < same < 4 / 1024
    near = codes(words + 0.05 * torch.randn_like(words))[:, 0]
    assert (near == apart).float().mean().item() > 0.8


def test_nothing_alike_leaves_the_linear_part():
    cell = built(rounds=4)
    x = told("abcdefghijkl", cell)
    torch.testing.assert_close(cell(x)[0], cell.own(x))


@pytest.mark.parametrize("trained", [True, False])
def test_a_missing_number_stays_with_those_that_look_at_it(trained):
    cell = built(rounds=4)
    x = told("abcadabeabc", cell)
    found = cell.follow(x).detach()
    found[:, 4] = torch.nan  # behind the second a
    with torch.set_grad_enabled(trained):
        grams = cell.codes(x).mT
        missing = following(found[:, None].requires_grad_(), grams, 11).isnan().any(-1)
    assert missing.flatten().nonzero().flatten().tolist() == [5, 8]  # the two that follow


class Recalling(nn.Module):
    """Linear attention with or without n-gram heads before it."""

    def __init__(self, cells):
        super().__init__()
        self.embed = nn.Embedding(32, 32)
        self.cells = nn.ModuleList(cells)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 16)

    def forward(self, tokens):
        h = self.embed(tokens)
        for cell in self.cells:
            h = h + cell(h)[0]
        return self.head(self.norm(h))


def pairs(batch, generator):
    """Four keys with values, then the keys again in another order, to be answered."""
    keys = torch.rand(batch, 16, generator=generator).argsort(1)[:, :4]
    values = torch.randint(16, (batch, 4), generator=generator)
    order = torch.rand(batch, 4, generator=generator).argsort(1)
    context = torch.stack([keys, 16 + values], 2).flatten(1)
    return torch.cat([context, keys.gather(1, order)], 1), values.gather(1, order)


def test_a_layer_recalls_what_stood_behind_a_key():
    """16 keys and 16 values; chance is 1 in 16, knowing the four values 1 in 4."""
    score = {}
    for name, first in (("ngram", [NGram(32, rounds=3)]), ("linear", [])):
        torch.manual_seed(0)
        model = Recalling([*first, LinearAttention(32, 4)])
        optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
        generator = torch.Generator().manual_seed(0)
        for _ in range(100):
            tokens, wanted = pairs(32, generator)
            loss = cross_entropy(model(tokens)[:, 8:].flatten(0, 1), wanted.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        tokens, wanted = pairs(500, generator)
        score[name] = (model(tokens)[:, 8:].argmax(-1) == wanted).float().mean().item()
    assert score["ngram"] > 0.9
    assert score["linear"] < 0.6
