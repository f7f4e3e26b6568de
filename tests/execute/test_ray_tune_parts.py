"""Our parts in somebody's own Tuner: the documented script, with one scheduler after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray_nodes import RayNodes
from ray_study import told, write_space

from archsearch.store.store import open_store

pytestmark = pytest.mark.faults

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
TRIALS = 5
SCHEDULERS = {
    "asha": "",
    "hyperband": """
from ray.tune.schedulers import HyperBandScheduler
ASHAScheduler = lambda time_attr, metric, mode, grace_period, max_t: HyperBandScheduler(
    time_attr="training_iteration", metric=metric, mode=mode, max_t=3, reduction_factor=3
)
""",
}
POPULATION = """
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from archsearch.tuned import tuned_study

with tuned_study("space.yaml") as study:
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration", metric=study.metric, mode=study.mode,
        perturbation_interval=1, quantile_fraction=0.5,
        hyperparam_mutations={"training": {"lr": tune.loguniform(0.001, 0.02)}},
    )
    tune.Tuner(
        study.trainable,
        param_space=study.searcher.population(3),
        tune_config=tune.TuneConfig(scheduler=scheduler, reuse_actors=True),
        run_config=tune.RunConfig(callbacks=[study.callback], verbose=0),
    ).fit()
print(study.ended)
"""


def documented() -> str:
    page = PAGE.read_text()
    return page[page.index("```python") + len("```python\n") :].split("```")[0]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_documented_script_runs(scheduler: str, nodes: RayNodes, tmp_path: Path) -> None:
    imports, _, rest = documented().partition("with tuned_study")
    check(tmp_path, nodes, f"{imports}{SCHEDULERS[scheduler]}with tuned_study{rest}", TRIALS)


def test_population_based_training(nodes: RayNodes, tmp_path: Path) -> None:
    """Trials that take over another's weights are stopped there; the best goes to its end."""
    check(tmp_path, nodes, POPULATION, 3)


def check(tmp_path: Path, nodes: RayNodes, script: str, trials: int) -> None:
    """Run the script, and hold what is stored to what Tune may do to a study."""
    write_space(tmp_path, trials, confirm=False).rename(tmp_path / "space.yaml")
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ
        | {"RAY_ADDRESS": nodes.address, "RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
        | nodes.variables,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == f"all {trials} trials are done"
    states = [state for _, _, _, _, state, _ in told(tmp_path)]
    assert len(states) == trials
    assert set(states) <= {"complete", "stopped"}
    assert "complete" in states
    with open_store(f"sqlite:///{tmp_path}/archsearch.db", read_only=True) as store:
        record = store.find_study("same")
        assert record is not None
        for trial in store.history(record.id, "search"):
            looks = [step for step, _ in trial.outcome.curve]
            assert looks == [10, 20, 30][: len(looks)]
            assert (len(looks) == 3) == (str(trial.state) == "complete")
