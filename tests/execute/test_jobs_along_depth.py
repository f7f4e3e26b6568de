"""Jobs that are asked for the area under the curve along depth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_run_job import ACCURACY, job

from archsearch.execute.plain import job_from_plain, job_to_plain
from archsearch.execute.run_job import run_job
from archsearch.spec.architecture import Layer, Stage
from archsearch.spec.settings import DEPTH_AUC, Objective, SearchSettings
from archsearch.spec.trial import Limit, State

AREA = Objective(DEPTH_AUC, "max")


def asked(**changes: object):
    plain = job()
    (stage,) = plain.architecture.stages
    training = Layer.of("adamw", steps=10, batch=8, evaluations=5, exits="linear", drop=0.3)
    architecture = replace(
        plain.architecture, stages=(Stage(stage.blocks, repeat=3),), training=training
    )
    return replace(plain, architecture=architecture, along_depth=True, **changes)


def test_it_is_told_at_every_look_and_at_the_end() -> None:
    outcome, without = run_job(asked()), run_job(replace(asked(), along_depth=False))
    assert outcome.state is State.COMPLETE
    assert all(0 < dict(metrics)[DEPTH_AUC] < 1 for _, metrics in outcome.curve)
    assert outcome.metric(DEPTH_AUC) == dict(outcome.curve[-1][1])[DEPTH_AUC]
    assert without.metric(DEPTH_AUC) is None
    # and looking changes nothing
    rest = [(name, value) for name, value in outcome.metrics if name != DEPTH_AUC]
    assert rest == list(without.metrics)


def test_a_confirmation_tells_it_of_the_test_split() -> None:
    outcome = run_job(asked(protocol="confirm"))
    assert all(DEPTH_AUC not in dict(metrics) for _, metrics in outcome.curve)
    assert outcome.metric(DEPTH_AUC) is not None


@pytest.mark.parametrize(("bound", "state"), [(0.0, State.COMPLETE), (-1.1, State.STOPPED)])
def test_a_limit_may_be_on_it(bound: float, state: State) -> None:
    limited = asked(objectives=(AREA,), limits=(Limit(4, ((bound,),)),))
    assert run_job(limited).state is state


def test_a_job_that_is_asked_is_another_one() -> None:
    assert asked().key != replace(asked(), along_depth=False).key
    assert job_from_plain(job_to_plain(asked())) == asked()
    assert replace(job(), along_depth=False).key == job().key


def test_settings_ask_by_an_objective_or_a_constraint() -> None:
    assert SearchSettings(objectives=(ACCURACY, AREA)).asks(DEPTH_AUC)
    assert not SearchSettings(objectives=(ACCURACY,)).asks(DEPTH_AUC)
