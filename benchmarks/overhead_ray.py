"""Milliseconds per trial of Ray Tune whose trials do nothing, with its cheapest searcher.

    python benchmarks/overhead_ray.py 40 default
    python benchmarks/overhead_ray.py 400 reuse_actors

Prints one number. Two trials run at once.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from typing import Any

import ray
from ray import tune


class Trivial(tune.Trainable):
    """A trial that ends with its first step."""

    def setup(self, config: dict[str, Any]) -> None:
        self.config = config

    def step(self) -> dict[str, Any]:
        return {"value": self.config["lr"], "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        pass


SPACE = {
    "width": tune.choice([16, 32, 64]),
    "repeat": tune.randint(1, 5),
    "cell": tune.choice(["gru", "lru", "lstm"]),
    "gate": tune.choice(["none", "additive", "highway"]),
    "channel": tune.choice(["none", "glu"]),
    "weight_decay": tune.uniform(0.0, 0.1),
    "lr": tune.loguniform(1e-4, 1e-2),
}


def main() -> None:
    trials, reuse = int(sys.argv[1]), sys.argv[2] == "reuse_actors"
    # not one that somebody else began on this machine
    settings = {"logging_level": logging.ERROR, "log_to_driver": False}
    ray.init("local", num_cpus=2, include_dashboard=False, **settings)
    settings = tune.TuneConfig(num_samples=trials, metric="value", mode="max", reuse_actors=reuse)
    with tempfile.TemporaryDirectory() as folder:
        running = tune.RunConfig(storage_path=folder, verbose=0)
        tuner = tune.Tuner(Trivial, param_space=SPACE, tune_config=settings, run_config=running)
        began = time.perf_counter()
        found = tuner.fit()
        spent = 1000 * (time.perf_counter() - began) / trials
        assert len(found) == trials
        assert not found.num_errors
    ray.shutdown()
    print(spent)


if __name__ == "__main__":
    main()
