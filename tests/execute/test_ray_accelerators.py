"""What a Ray cluster owes jobs that train on accelerators, as far as it needs none."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from archsearch.execute.cluster.slots import Shape, Slot


def test_a_worker_is_blind_whose_accelerator_torch_does_not_see(monkeypatch) -> None:
    ray = pytest.importorskip("ray")
    from archsearch.execute.cluster.worker import blind

    monkeypatch.setattr("archsearch.execute.device.names", list)
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: [0])
    assert blind()
    monkeypatch.setattr("archsearch.execute.device.names", lambda: ["0"])
    assert not blind()
    monkeypatch.setattr(ray, "get_gpu_ids", list)
    assert not blind()


def test_a_blind_worker_ends_the_run_with_the_remedy() -> None:
    pytest.importorskip("ray")
    from archsearch.execute.cluster.pool import Pool, Unusable
    from archsearch.execute.cluster.worker import versions

    pool, slot, answer = object.__new__(Pool), Slot(None, Shape(gpus=0.5), "1"), Future()
    pool.slots = [slot]
    answer.set_result({"node": "n1", "id": "x", "versions": versions(), "blind": True})
    with pytest.raises(Unusable, match=r"node n1 .*execution\.gpus: torch sees no") as raised:
        pool.began(slot, answer)
    assert raised.value.code == 2


def test_a_lost_worker_is_charged_for_its_share() -> None:
    slot = Slot(None, Shape(gpus=0.5), "1")
    slot.since -= 10
    spent = dict(slot.spent)
    assert spent["gpu_seconds"] == pytest.approx(5, abs=0.1)
    assert [name for name, _ in Slot(None, Shape(), "2").spent] == ["seconds"]
