"""Generated tasks against slow and obvious truths, and their streams and curricula."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.tasks.groups import multiplication_table

SMALL = {
    "parity": {"length": 12, "test_length": 31},
    "word_problem": {"length": 12, "test_length": 31},
    "logic": {"gates": 4, "length": 12, "test_length": 31},
    "mqar": {"pairs": 3, "vocab": 16, "length": 20},
    "selective_copying": {"tokens": 3, "vocab": 8, "length": 12, "test_length": 31},
    "sorting": {"length": 12, "test_length": 32},
    "reber": {"length": 20, "test_length": 40},
    "listops": {"length": 16, "test_length": 40},
    "cloze": {"vocab": 7, "strides": 3, "length": 12, "test_length": 31},
    "sudoku": {},
    "adding": {"length": 12, "test_length": 31},
}


def rows(task, split, size=256):
    for batch in task.evaluation(split, size):
        for place in range(batch.size):
            mask = None if batch.mask is None else batch.mask[place]
            yield batch.inputs[place], batch.targets[place], mask


@pytest.fixture(params=SMALL)
def small(request, opened):
    return opened(request.param, **SMALL[request.param])


def test_parity_is_the_running_sum_modulo_two(opened):
    for bits, targets, mask in rows(opened("parity", **SMALL["parity"]), "test"):
        odd = False
        for step, bit in enumerate(bits):
            odd ^= bool(bit)
            assert targets[step] == odd
        assert mask.all()


@pytest.mark.parametrize(("name", "order"), [("S3", 6), ("A5", 60), ("S5", 120), ("Z60", 60)])
def test_groups_obey_the_axioms(name, order):
    table = multiplication_table(name)
    every = np.arange(order)
    assert table.shape == (order, order)
    assert (table[0] == every).all()
    assert (table[:, 0] == every).all()
    assert (np.sort(table, axis=0) == every[:, None]).all()
    assert (np.sort(table, axis=1) == every).all()
    a, b, c = np.random.default_rng(0).integers(0, order, (3, 2000))
    assert (table[table[a, b], c] == table[a, table[b, c]]).all()
    assert (table == table.T).all() == (name == "Z60")


def test_the_word_problem_multiplies_permutations(opened):
    elements = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    for word, targets, _ in rows(opened("word_problem", **SMALL["word_problem"]), "validation"):
        product = (0, 1, 2)
        for step, symbol in enumerate(word):
            product = tuple(product[image] for image in elements[symbol])
            assert elements[targets[step]] == product


def test_recall_asks_every_key_once_for_the_value_shown_with_it(opened):
    places = []
    for tokens, targets, mask in rows(opened("mqar", **SMALL["mqar"]), "test"):
        shown = dict(zip(tokens[0:6:2], tokens[1:6:2], strict=True))
        assert len(shown) == 3
        assert all(1 <= key < 8 <= value < 16 for key, value in shown.items())
        asked = np.flatnonzero(mask)
        assert sorted(tokens[asked]) == sorted(shown)
        assert (asked >= 6).all()
        assert (asked % 2 == 0).all()
        assert [shown[key] for key in tokens[asked]] == list(targets[asked])
        assert (tokens[6:][~mask[6:]] == 0).all()
        places.extend(asked)
    counts = np.bincount(places, minlength=20)[6::2]
    assert counts[0] > 2 * counts[-1] > 0


def test_any_value_of_the_context_scores_one_over_the_pairs(opened):
    scores = opened("mqar", **SMALL["mqar"]).baselines("test")["any value of the context"]
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["loss"] == pytest.approx(np.log(3), abs=1e-3)


def test_selective_copying_repeats_the_symbols_in_order(opened):
    task = opened("selective_copying", **SMALL["selective_copying"])
    last = []
    for tokens, targets, mask in rows(task, "test"):
        room = len(tokens) - 4
        data = tokens[:room][tokens[:room] < 6]
        assert len(data) == 3
        assert tokens[room] == 7
        assert (tokens[room + 1 :] == 6).all()
        assert (mask == (np.arange(len(tokens)) > room)).all()
        assert list(targets[mask]) == list(data)
        if room == 8:
            last.append(tokens[room - 1] < 6)
    assert np.mean(last) == pytest.approx(3 / 8, abs=0.07)


def test_sorting_asks_for_positions_in_the_order_of_size(opened):
    task = opened("sorting", **SMALL["sorting"])
    assert task.signature.outputs == 16
    for sequence, targets, mask in rows(task, "test"):
        count = len(sequence) // 2
        numbers, asks = sequence[:count, 0], sequence[count:, 1]
        assert (numbers[targets[mask]] == np.sort(numbers)).all()
        assert asks == pytest.approx(np.arange(1, count + 1) / count)
        assert not sequence[count:, 0].any()
        assert not sequence[:count, 1].any()
        assert list(mask) == [False] * count + [True] * count
    assert task.chance() == pytest.approx(
        {
            "accuracy": 1 / 6,
            "loss": np.log(6),
            "accuracy_long": 1 / 16,
            "loss_long": np.log(16),
        }
    )
    shown = task.baselines("test")["in the order shown"]
    assert shown["accuracy"] == pytest.approx(1 / 6, abs=0.03)
    assert shown["accuracy_long"] == pytest.approx(1 / 16, abs=0.02)


def test_cloze_hides_one_item_of_a_regular_sequence_and_loses_others(opened):
    task = opened("cloze", **SMALL["cloze"], test_size=2000)
    lost, places = [], []
    for tokens, target, _ in rows(task, "test"):
        (asked,) = np.flatnonzero(tokens == 7)
        shown = np.flatnonzero(tokens < 7)
        # the only sequences that what is shown, and the answer, could be of
        known = np.append(shown, asked)
        items = np.append(tokens[shown], target)
        fits = [
            ((start + stride * known) % 7 == items).all()
            for start in range(7)
            for stride in (1, 2, 3)
        ]
        assert any(fits)
        if len(tokens) == 12:
            places.append(asked)
            lost.append((tokens == 8).sum())
    # of eleven others in each of 2000: three deviations
    assert np.mean(lost) / 11 == pytest.approx(0.3, abs=3 * (0.3 * 0.7 / 22_000) ** 0.5)
    assert np.bincount(places, minlength=12) == pytest.approx(np.full(12, 2000 / 12), abs=45)


def test_the_item_before_tells_the_hidden_one_where_the_stride_is_one(opened):
    for strides, lost, expected in ((1, 0.0, 1 - 1 / 12 * 6 / 7), (3, 0.0, 11 / 36 + 1 / 84)):
        task = opened("cloze", vocab=7, strides=strides, lost=lost, length=12, test_size=4000)
        scores = task.baselines("test")["one more than the item before"]
        assert scores["accuracy"] == pytest.approx(expected, abs=0.03)


def test_adding_sums_one_number_of_each_half(opened):
    task = opened("adding", **SMALL["adding"])
    for sequence, target, _ in rows(task, "validation"):
        value, marker = sequence.T
        half = len(sequence) // 2
        assert marker[:half].sum() == marker[half:].sum() == 1
        assert target[0] == pytest.approx((value * marker).sum(), abs=1e-6)


def test_always_answering_one_scores_a_sixth(opened):
    task = opened("adding", length=10, test_size=50_000)
    assert task.baselines("test")["always 1"]["mse"] == pytest.approx(1 / 6, abs=0.003)
    assert task.chance() == {"mse": 1 / 6}


@pytest.mark.parametrize("name", SMALL)
def test_splits_never_move_and_share_nothing(opened, name):
    task = opened(name)
    seen = {}
    for split in ("train", "validation", "test"):
        first = [row[0].tobytes() for row in rows(task, split, size=100)]
        assert first == [row[0].tobytes() for row in rows(task, split, size=7)]
        seen[split] = set(first)
        assert len(first) == (512 if split == "test" else 256)
        # there are few short ones in a grammar
        assert len(seen[split]) == len(first) or name in ("reber", "listops", "sudoku")
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]


def test_training_follows_the_given_generator_alone(small):
    first, second = (small.batch(np.random.default_rng(5), 9, 0.7) for _ in range(2))
    assert first.inputs.tobytes() == second.inputs.tobytes()
    assert first.targets.tobytes() == second.targets.tobytes()
    other = small.batch(np.random.default_rng(6), 9, 0.7)
    assert first.inputs.tobytes() != other.inputs.tobytes()


def test_the_curriculum_grows_to_the_full_length_at_sixty_percent(opened):
    task = opened("parity", length=40)
    rng = np.random.default_rng(0)
    at = {part: task.batch(rng, 2, part).inputs.shape[1] for part in (0.0, 0.3, 0.6, 0.9, 1.0)}
    assert at == {0.0: 3, 0.3: 22, 0.6: 40, 0.9: 40, 1.0: 40}
    fixed = opened("parity", length=40, curriculum="none")
    assert fixed.batch(rng, 2, 0.0).inputs.shape == (2, 40)


def test_the_shapes_are_those_of_the_signature(small):
    shapes = small.signature
    batch = small.batch(np.random.default_rng(0), 4, 1.0)
    assert batch.inputs.shape[:2] == (4, shapes.length)
    if shapes.inputs == "tokens":
        assert batch.inputs.dtype == batch.targets.dtype == np.int64
        assert batch.inputs.max() < shapes.channels
        if shapes.every_step:
            assert batch.targets.shape == batch.mask.shape == batch.inputs.shape
        else:
            assert batch.targets.shape == (4,)
            assert batch.mask is None
    else:
        assert batch.inputs.dtype == np.float32
        assert batch.inputs.shape[2] == shapes.channels
        if shapes.targets == "class":
            assert batch.targets.dtype == np.int64
            assert batch.targets.shape == batch.mask.shape == batch.inputs.shape[:2]
        else:
            assert batch.targets.dtype == np.float32
            assert batch.targets.shape == (4, shapes.outputs)
    if shapes.every_step or shapes.inputs == "values":
        assert (batch.lengths == shapes.length).all()
    else:
        assert (batch.lengths <= shapes.length).all()


def test_the_truth_scores_perfectly_and_lengths_are_told_apart(opened):
    task = opened("parity", **SMALL["parity"])
    batches = list(task.evaluation("test", 100))
    said = [np.where(np.arange(2) == b.targets[..., None], 50.0, 0.0) for b in batches]
    assert task.score(said, batches)["accuracy"] == 1.0
    forgetful = [
        logits if batch.inputs.shape[1] == 12 else np.zeros_like(logits)
        for logits, batch in zip(said, batches, strict=True)
    ]
    scores = task.score(forgetful, batches)
    assert scores["accuracy"] == 1.0
    assert scores["accuracy_long"] == pytest.approx(0.5, abs=0.02)
    assert scores["loss_long"] == pytest.approx(np.log(2))
    assert scores["loss"] < 1e-9


def test_the_score_does_not_depend_on_the_batch_size(opened):
    task = opened("mqar", **SMALL["mqar"])
    scores = []
    for size in (512, 33, 1):
        rng = np.random.default_rng(1)
        batches = list(task.evaluation("test", size))
        said = [rng.standard_normal((*batch.inputs.shape, 16)) for batch in batches]
        scores.append(task.score(said, batches))
    assert scores[0] == scores[1] == scores[2]


def test_the_fingerprint_names_options_and_not_the_protocol(opened):
    task = opened("parity", length=12)
    assert opened("parity", protocol="confirm", length=12).fingerprint == task.fingerprint
    for change in ({"length": 13}, {"length": 12, "data_seed": 1}, {"length": 12, "test_size": 9}):
        assert opened("parity", **change).fingerprint != task.fingerprint


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mqar", {"pairs": 8, "vocab": 16}, "vocab must be even and at least 18"),
        ("mqar", {"pairs": 8, "length": 30}, "length must be even and at least 32"),
        ("selective_copying", {"tokens": 8, "length": 16}, "length must be at least 17"),
        ("selective_copying", {"test_length": 5}, "test_length must be at least 17"),
        ("sorting", {"length": 9}, "length must be even and at least 4"),
        ("sorting", {"test_length": 2}, "test_length must be even and at least 4"),
        ("cloze", {"vocab": 7, "strides": 7}, "strides must be below vocab"),
        ("parity", {"length": 9, "test_length": 9}, "must differ"),
    ],
)
def test_impossible_options_are_refused_in_words(opened, name, options, message):
    with pytest.raises(DataError, match=message):
        opened(name, **options)
