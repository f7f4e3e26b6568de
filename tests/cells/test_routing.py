"""Routing attention against a search through its clusters, and what its centroids learn."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn.functional import normalize, scaled_dot_product_attention

from archsearch.cells.attention.centroids import Centroids, mean_directions, nearest
from archsearch.cells.attention.routing import Routing


def built(width=8, heads=4, **options):
    torch.manual_seed(0)
    cell = Routing(width, heads, **options).double()
    if cell.bias is not None:
        torch.nn.init.normal_(cell.bias)
    return cell.eval()


def projected(cell, x):
    return (
        part.unflatten(-1, (cell.heads, -1)).transpose(1, 2)
        for part in cell.project(x).chunk(3, -1)
    )


def by_hand(cell, x, i):
    """The output at one position of one row (T, W), one head and one key after the other."""
    q, k, v = (part[0] for part in projected(cell, x[None]))  # (H, T, d)
    answers = []
    for head in range(cell.heads):
        routed = head - cell.local
        if routed < 0:
            keys = range(max(0, i - cell.window + 1), i + 1)
            scores = [q[head, i] @ k[head, j] / math.sqrt(cell.head_size) for j in keys]
            scores = [s + cell.bias[head, i - j] for s, j in zip(scores, keys, strict=True)]
        else:
            unit = [normalize(part[head], dim=-1) for part in (q, k)]
            middle = cell.centroids.middle[routed]
            mine = (middle @ unit[0][i]).argmax()
            keys = [j for j in range(i + 1) if j == i or (middle @ unit[1][j]).argmax() == mine]
            scores = [math.sqrt(cell.head_size) * (unit[0][i] @ unit[1][j]) for j in keys]
        weights = torch.stack(scores).softmax(0)
        answers.append(sum(w * v[head, j] for w, j in zip(weights, keys, strict=True)))
    return cell.output(torch.cat(answers))


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("clusters", [1, 3])
def test_is_its_sum_over_the_keys_of_a_cluster(heads, clusters):
    cell = built(heads=heads, clusters=clusters, window=4)
    x = torch.randn(2, 23, 8, dtype=torch.float64)
    y, _ = cell(x)
    for i in range(0, 23, 2):
        torch.testing.assert_close(y[1, i], by_hand(cell, x[1], i), rtol=1e-11, atol=1e-13)


def test_one_cluster_is_dense_attention_of_unit_queries_and_keys():
    cell = built(heads=1, clusters=1)
    x = torch.randn(3, 50, 8, dtype=torch.float64)
    q, k, v = projected(cell, x)
    q, k = normalize(q, dim=-1), normalize(k, dim=-1)
    read = scaled_dot_product_attention(q, k, v, is_causal=True, scale=math.sqrt(8))
    expected = cell.output(read.transpose(1, 2).flatten(2))
    torch.testing.assert_close(cell(x)[0], expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("started", [False, True])
def test_nothing_sees_its_future_even_while_centroids_learn(started):
    cell = built(clusters=5).train()
    if started:
        cell(torch.randn(4, 60, 8, dtype=torch.float64))
    x = torch.randn(2, 32, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, -4:] = 3 * torch.randn(2, 4, 8, dtype=torch.float64)
    other = copy.deepcopy(cell)
    assert torch.equal(cell(x)[0][:, :-4], other(changed)[0][:, :-4])
    assert not torch.equal(cell.centroids.middle, other.centroids.middle)


def test_a_stream_is_the_sequence_after_training():
    cell = built(clusters=4).train()
    for _ in range(5):
        cell(torch.randn(4, 30, 8, dtype=torch.float64))
    cell.eval()
    x = torch.randn(2, 40, 8, dtype=torch.float64)
    whole, _ = cell(x)
    before = cell.centroids.middle.clone()
    state = cell.initial_state(2)
    for t in range(40):
        y_t, state = cell.step(x[:, t], state)
        torch.testing.assert_close(y_t, whole[:, t])
    assert torch.equal(cell.centroids.middle, before), "only training moves them"
    assert state[0].shape == (2, 2, 15, 2)
    assert state[2].shape == (2, 2, 40, 2)


def test_centroids_travel_with_the_weights():
    cell = built().train()
    x = torch.randn(2, 40, 8, dtype=torch.float64)
    for _ in range(3):
        cell(x)
    fresh = Routing(8).double()
    fresh.load_state_dict(cell.state_dict())
    assert fresh.centroids.started
    cell, fresh = cell.eval(), fresh.eval()
    assert torch.equal(fresh(x)[0], cell(x)[0])
    # and both learn the same from what comes next
    cell.train()(x), fresh.train()(x)
    assert torch.equal(fresh.centroids.middle, cell.centroids.middle)


def test_a_sequence_computed_again_for_its_gradient_meets_the_same_centroids():
    """As layers do that keep no activations: forward without gradients, later once more with."""
    cell = built().train()
    x = torch.randn(2, 40, 8, dtype=torch.float64)
    cell(x)
    before = cell.centroids.middle.clone()
    with torch.no_grad():
        first = cell(x)[0]
    assert torch.equal(cell.centroids.middle, before)
    assert torch.equal(cell(x)[0], first)
    assert not torch.equal(cell.centroids.middle, before)


def test_centroids_move_in_single_precision_under_autocast():
    cell = built(decay=0.999).float().train()
    x = torch.randn(2, 40, 8)
    cell(x)
    before = cell.centroids.middle.clone()
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = cell(x)
        y.float().square().sum().backward()
    moved = (cell.centroids.middle - before).norm(dim=-1)
    assert cell.centroids.middle.dtype == torch.float32
    # one part in a thousand of the way, or what half precision loses altogether
    assert 0 < moved.max() < 2e-3


def planted(spread=0.15, count=200):
    """Points around four directions that are as far apart as can be, and where they belong."""
    directions = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1]])
    labels = torch.arange(4).repeat(count // 4)
    points = directions[labels] + spread * torch.randn(count, 3)
    return normalize(points, dim=-1), labels


def purity(codes, labels):
    """The share of points that are with the most frequent label of their cluster."""
    best = [labels[codes == c].bincount().max() for c in codes.unique()]
    return (sum(best) / len(labels)).item()


def test_learning_finds_what_was_planted_better_than_the_start():
    before, after = [], []
    for seed in range(8):
        torch.manual_seed(seed)
        centroids = Centroids(1, 4, 3, decay=0.9)
        points, labels = planted()
        before.append(purity(centroids(points[None, None])[0, 0], labels))
        for _ in range(20):
            more, _ = planted()
            centroids.learn(more[None, None])
        after.append(purity(centroids(points[None, None])[0, 0], labels))
        torch.testing.assert_close(centroids.middle.norm(dim=-1), torch.ones(1, 4))
    assert sum(after) / 8 > sum(before) / 8 + 0.1
    assert max(after) > 0.98


def test_lloyds_iterations_never_lose():
    torch.manual_seed(0)
    points = normalize(torch.randn(2, 300, 5, dtype=torch.float64), dim=-1)
    middle = points[:, :7].clone()
    reached = []
    for _ in range(12):
        reached.append((points @ middle.mT).amax(-1).sum().item())
        means, found = mean_directions(points, middle)
        middle = torch.where(found, means, middle)
    assert reached == sorted(reached)
    assert reached[-1] > reached[0] * 1.02


@pytest.mark.parametrize("decay", [0.75, 0.0])
def test_a_centroid_moves_by_its_share_and_an_empty_one_stays(decay):
    centroids = Centroids(1, 3, 2, decay)
    middle = torch.tensor([[[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]]])
    centroids.middle.copy_(middle)
    centroids.started.fill_(True)
    points = normalize(torch.tensor([[1.0, 1.0], [1.0, 0.5], [-3.0, 1.0]]), dim=-1)
    assert nearest(points[None], middle).tolist() == [[0, 0, 2]]
    centroids.learn(points[None, None])
    first = normalize(points[:2].sum(0), dim=0)
    expected = normalize(decay * middle[0, 0] + (1 - decay) * first, dim=0)
    torch.testing.assert_close(centroids.middle[0, 0], expected)
    assert torch.equal(centroids.middle[0, 1], middle[0, 1])
    expected = normalize(decay * middle[0, 2] + (1 - decay) * points[2], dim=0)
    torch.testing.assert_close(centroids.middle[0, 2], expected)


def test_fewer_points_than_centroids_are_a_start_too():
    torch.manual_seed(0)
    centroids = Centroids(2, 6, 3, decay=0.9)
    before = centroids.middle.clone()
    points = normalize(torch.randn(1, 2, 2, 3), dim=-1)
    centroids.learn(points)
    assert centroids.started
    assert centroids.middle.isfinite().all()
    assert (centroids.middle == before).all(-1).sum() >= 2 * 4


def test_no_gradient_reaches_the_centroids_and_training_still_has_one():
    cell = built().train()
    y = cell(torch.randn(2, 20, 8, dtype=torch.float64))[0]
    y.square().sum().backward()
    assert not cell.centroids.middle.requires_grad
    assert all(part.grad.isfinite().all() for part in cell.parameters())


def test_commitment_adds_the_gradient_of_its_loss():
    centroids = Centroids(2, 3, 4, 0.9)
    given = normalize(torch.randn(5, 2, 7, 4), dim=-1)
    points = given.clone().requires_grad_()
    centroids.attract(points, 0.3)
    points.sum().backward()
    wanted = given.clone().requires_grad_()
    nearest = (wanted.detach() @ centroids.middle.mT).argmax(-1)
    middle = torch.stack([centroids.middle[head, nearest[:, head]] for head in range(2)], 1)
    (wanted.sum() + 0.3 * (wanted - middle).square().mean()).backward()
    torch.testing.assert_close(points.grad, wanted.grad)


def test_commitment_draws_queries_and_keys_to_their_centroids():
    torch.manual_seed(0)
    x, apart = torch.randn(8, 20, 16), {}
    for commitment in (0.0, 10.0):
        torch.manual_seed(1)
        cell = Routing(16, 2, clusters=4, decay=1.0, commitment=commitment)
        optimizer = torch.optim.SGD(cell.parameters(), lr=0.5)
        for _ in range(60):
            optimizer.zero_grad()
            y, _, points = cell._read(x, cell.initial_state(len(x)))
            cell.centroids.learn(points)
            (0 * y.sum()).backward()
            optimizer.step()
        nearest = (points.detach() @ cell.centroids.middle.mT).amax(-1)
        apart[commitment] = float((1 - nearest).mean())
    assert apart[10.0] < 0.7 * apart[0.0]
