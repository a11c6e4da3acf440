"""GSOS and N-RReliefF inside Optuna: its own published tests, and the project's strategies and judges as oracles."""

import os
import subprocess
import sys
from datetime import datetime, timedelta
from functools import partial
from math import inf, isfinite, nan
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import get_param_importances
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.testing.pytest_importance import BasicImportanceEvaluatorTestCase, NonConditionalImportanceEvaluatorTestCase
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
from optuna.trial import FrozenTrial, TrialState, create_trial

from gsos.blocks import BlockTPE
from gsos.fanova import fanova
from gsos.importance import assess
from gsos.integrations import GSOSSampler, NRReliefFImportanceEvaluator, groups_of
from gsos.space import DEFAULTS, GROUPS, SPACES, to_unit
from gsos.strategy import GSOS, split_iterations
from gsos.tpe import TPE

PAPER = SPACES["gsos"]
PAPER_DEFAULTS = {name: DEFAULTS["gsos"][name] for name in PAPER}
SMALL = {
    "x": FloatDistribution(-1.0, 1.0),
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "n": IntDistribution(1, 9),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}
SMALL_GROUPS = [["lr", "x"], ["kind"], ["n"]]
SMALL_DEFAULTS = {"x": 0.9, "lr": 0.5, "n": 9, "kind": "c"}


@pytest.fixture(autouse=True, scope="module")
def quiet():
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


def suggest(trial, space):
    """Everything in the space, by the methods that users call."""
    config = {}
    for name, d in space.items():
        match d:
            case CategoricalDistribution():
                config[name] = trial.suggest_categorical(name, d.choices)
            case IntDistribution():
                config[name] = trial.suggest_int(name, d.low, d.high, step=d.step, log=d.log)
            case _:
                config[name] = trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
    return config


def bowl(config, space):
    """Lowest inside the space, far from the defaults above; another number for another configuration."""
    x = to_unit(config, space)
    return float((((x - 0.31 - 0.043 * np.arange(len(x))) ** 2) * (1 + 0.37 * np.arange(len(x)))).sum())


def play(sampler, n, space=SMALL, loss=bowl, **options):
    """The trials of a study."""
    study = optuna.create_study(sampler=sampler, **options)
    study.optimize(lambda trial: loss(suggest(trial, space), space), n_trials=n)
    return study.trials


def proposal(trial):
    return trial.system_attrs["gsos:proposal"]


def best_before(trials, i, maximise=False):
    """The best complete trial of the first i, the earliest of equals; None where there is none."""
    complete = [t for t in trials[:i] if t.state == TrialState.COMPLETE]
    sign = -1 if maximise else 1
    return min(complete, key=lambda t: (sign * t.value, t.number), default=None)


def assert_fixed_as_they_should_be(trials, groups, defaults, maximise=False):
    n_fixed = 0
    for i, trial in enumerate(trials):
        best = best_before(trials, i, maximise)
        for name in set(sum(groups, [])) - set(groups[proposal(trial)["group"]]):
            assert trial.params[name] == (best.params if best else defaults)[name], (i, name)
            n_fixed += 1
    assert n_fixed > len(trials)


# Optuna's own tests

GROUPS_OF_THE_SUITE = [["x", "category", "a", "b"], ["y", "c", "d"], ["z", "e", "f"]]
SAMPLERS = {
    "estimated": partial(GSOSSampler, seed=0),
    "groups": partial(GSOSSampler, groups=GROUPS_OF_THE_SUITE, iterations=[3, 3, 3], seed=0),
    "weights": partial(GSOSSampler, weights={"y": 1.0, "x": 0.5}, iterations=[3, 3]),
    "blocks": partial(GSOSSampler, strategy="blocks", weights={"y": 1.0, "x": 0.5}, cost_weight=0.5, seed=0),
}


class TestOptunasTestsOfSamplers(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """All but those for samplers of several objectives, which GSOSSampler refuses."""

    @pytest.fixture(params=list(SAMPLERS))
    def sampler(self, request):
        return SAMPLERS[request.param]


class TestOptunasTestsOfEvaluators(BasicImportanceEvaluatorTestCase, NonConditionalImportanceEvaluatorTestCase):
    """All but those for evaluators that assess parameters no trial has together, or several objectives at once."""

    @pytest.fixture(params=["normalised", "raw"])
    def evaluator(self, request):
        return partial(NRReliefFImportanceEvaluator, distance=request.param)


# The strategy

RUNS = {
    "paper": (PAPER, GROUPS["gsos"], [40, 30, 30], PAPER_DEFAULTS),
    "small": (SMALL, SMALL_GROUPS, [14, 9, 9], SMALL_DEFAULTS),
}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("storage", [None, "sqlite:///:memory:"])
@pytest.mark.parametrize(("run", "seed"), [("paper", 0), ("small", 1), ("small", 2**40)])
def test_it_proposes_what_the_strategy_does(run, seed, storage, direction):
    space, groups, iterations, defaults = RUNS[run]
    if storage and run == "paper":
        iterations = split_iterations(30)
    sign = 1 if direction == "minimize" else -1
    count = iter(range(1000))

    def loss(config):
        return nan if next(count) % 7 == 3 else bowl(config, space)

    strategy, proposals, losses = GSOS(space, groups, iterations, defaults, seed=seed), [], []
    for _ in range(sum(iterations)):
        proposals.append(strategy.ask())
        losses.append(loss(proposals[-1]))
        strategy.tell(proposals[-1], losses[-1])
    ends = np.cumsum(iterations)
    best = [np.nanmin(losses[:end]) for end in ends]
    assert best[0] > best[1] > best[2]  # each group found a better trial, so both must agree

    count = iter(range(1000))
    sampler = GSOSSampler(groups=groups, iterations=iterations, defaults=defaults, seed=seed)
    options = {"loss": lambda config, _: sign * loss(config), "direction": direction, "storage": storage}
    trials = play(sampler, sum(iterations), space, **options)
    assert [t.params for t in trials] == proposals
    assert [proposal(t) for t in trials] == [{"group": p.group, "origin": p.origin} for p in proposals]
    assert {p.origin for p in proposals} >= {"startup", "model"}


def test_a_group_that_finds_nothing_better_changes_nothing():
    """Algorithm 2 would carry its best forward all the same."""
    space = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
    arguments = {"groups": [["x"], ["y"]], "iterations": [4, 4], "defaults": {"x": 1.0, "y": 0.5}, "seed": 0}

    def loss(config, _=None):
        return config["x"] + 10 * (config["y"] != 0.5)

    strategy = GSOS(space, **arguments)
    for _ in range(8):
        config = strategy.ask()
        strategy.tell(config, loss(config))
    trials = play(GSOSSampler(**arguments), 9, space, loss)
    assert strategy.current["y"] != 0.5
    assert trials[8].params["y"] == 0.5 and proposal(trials[8]) == {"group": 0, "origin": "startup"}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_outside_of_its_group_a_hyperparameter_has_the_best_value_so_far(direction):
    def objective(trial):
        loss = bowl(suggest(trial, SMALL), SMALL)
        if trial.number % 5 == 0:
            trial.report(-1e9 if direction == "minimize" else 1e9, 0)
            raise optuna.TrialPruned
        if trial.number % 5 == 1:
            return nan
        return round(loss if direction == "minimize" else -loss, 1)  # with ties

    sampler = GSOSSampler(groups=SMALL_GROUPS, iterations=[9, 8, 7], defaults=SMALL_DEFAULTS, seed=0)
    study = optuna.create_study(sampler=sampler, direction=direction)
    study.optimize(objective, n_trials=60)
    trials = study.trials
    assert all(set(t.params) == set(SMALL) for t in trials)
    assert_fixed_as_they_should_be(trials, SMALL_GROUPS, SMALL_DEFAULTS, direction == "maximize")
    turns = [0] * 9 + [1] * 8 + [2] * 7
    assert [proposal(t)["group"] for t in trials] == (turns * 3)[:60]
    starts = [proposal(t)["origin"] == "startup" for t in trials]
    assert (
        starts[:24] == starts[24:48] == [True] * 3 + [False] * 6 + [True] * 3 + [False] * 5 + [True] * 2 + [False] * 5
    )


def test_trials_that_went_wrong_are_bad_ones():
    """One group is TPE: told of pruned, failed, infinite and infeasible trials as failed, it proposes the same."""
    space = {"x": SMALL["x"], "lr": SMALL["lr"], "kind": SMALL["kind"]}
    tpe = TPE(space, n_startup=11, seed=5)  # 3/8 of 30
    count = iter(range(30))

    def objective(trial):
        config, expected, i = suggest(trial, space), tpe.ask(), next(count)
        assert config == expected, i
        loss = bowl(config, space)
        tpe.tell(expected, nan if i % 10 in (1, 4, 6, 8) else loss)
        match i % 10:
            case 1:
                trial.report(-1.0, 0)
                raise optuna.TrialPruned
            case 4:
                raise RuntimeError
            case 6:
                return -inf
            case 8:
                trial.set_constraint("too large", 0.1)
                return -1.0
        return loss

    study = optuna.create_study(sampler=GSOSSampler(groups=[list(space)], iterations=[30], seed=5))
    study.optimize(objective, n_trials=30, catch=RuntimeError)
    assert next(count, None) is None
    trial = study.ask()  # a new turn
    assert proposal(trial_of(study, suggest(trial, space)))["group"] == 0


def trial_of(study, params):
    return next(t for t in study.get_trials(deepcopy=False) if t.params == params)


def test_trials_without_any_of_the_groups_hyperparameters_say_nothing():
    sampler = GSOSSampler(groups=[["x"]], iterations=[20], seed=0)
    study = optuna.create_study(sampler=sampler)
    for i in range(10):
        trial = study.ask()
        if i % 2:
            trial.suggest_float("x", 0, 1)
            study.tell(trial, 1.0 * i)
        else:
            study.tell(trial, state=TrialState.FAIL)
    origins = [proposal(t)["origin"] for t in study.trials if t.params]
    assert origins == ["startup"] * 5  # five were told, a start is 8 of 20


def test_infeasible_and_infinite_trials_are_never_the_best():
    sampler = GSOSSampler(groups=[["x"], ["n"]], iterations=[9, 1], defaults={"n": 7}, seed=0)
    study = optuna.create_study(sampler=sampler)
    d = {"x": SMALL["x"], "n": SMALL["n"]}
    study.add_trial(create_trial(params={"x": 0.0, "n": 1}, distributions=d, value=-9.0, constraints={"c": 1.0}))
    study.add_trial(create_trial(params={"x": 0.0, "n": 2}, distributions=d, value=-inf))
    assert study.ask(d).params["n"] == 7
    study.add_trial(create_trial(params={"x": 0.0, "n": 3}, distributions=d, value=5.0))
    study.add_trial(create_trial(params={"x": 0.0, "n": 4}, distributions=d, value=5.0))
    assert study.ask(d).params["n"] == 3


def test_all_of_a_study_counts_under_hyperband():
    """Optuna shows a sampler the trials of one bracket only."""

    def objective(trial):
        loss = bowl(suggest(trial, SMALL), SMALL)
        for step in range(9):
            trial.report(loss + 1 / (step + 1), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss

    sampler = GSOSSampler(groups=SMALL_GROUPS, iterations=[10, 5, 5], defaults=SMALL_DEFAULTS, seed=0)
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=30)
    assert {t.state for t in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert_fixed_as_they_should_be(study.trials, SMALL_GROUPS, SMALL_DEFAULTS)
    assert [proposal(t)["group"] for t in study.trials] == [0] * 10 + [1] * 5 + [2] * 5 + [0] * 10


# Defaults


def test_defaults_are_the_middle_of_the_scale_or_the_first_choice():
    space = {
        "tuned": FloatDistribution(0, 1),
        "float": FloatDistribution(-1, 3),
        "log": FloatDistribution(1e-4, 1e-2, log=True),
        "step": FloatDistribution(0.25, 1.25, step=0.25),
        "int": IntDistribution(1, 9),
        "log int": IntDistribution(1, 100, log=True),
        "int step": IntDistribution(0, 12, step=3),
        "choice": CategoricalDistribution(["b", "a"]),
        "number": CategoricalDistribution([128, 32, 64]),
        "none": CategoricalDistribution([None, "x"]),
        "own": FloatDistribution(0, 1),
    }
    sampler = GSOSSampler(groups=[["tuned"], [name for name in space if name != "tuned"]], defaults={"own": 1}, seed=0)
    params = optuna.create_study(sampler=sampler).ask(space).params
    assert params.pop("tuned") == np.random.default_rng([0, 0]).random()
    assert params.pop("log") == pytest.approx(1e-3)
    assert params == {
        "float": 1.0,
        "step": 0.75,
        "int": 5,
        "log int": 7,  # sqrt(0.5 * 100.5) = 7.09
        "int step": 6,
        "choice": "b",
        "number": 128,
        "none": None,
        "own": 1.0,
    }


def test_a_best_trial_without_a_hyperparameter_leaves_it_to_the_next_best():
    study = optuna.create_study(sampler=GSOSSampler(groups=[["x"], ["lr", "kind"]], seed=0))
    for params, value in (({"x": 0.0, "kind": "b"}, 0.0), ({"lr": 0.7, "kind": "c"}, 1.0), ({"lr": 0.2}, 2.0)):
        study.add_trial(create_trial(params=params, distributions={name: SMALL[name] for name in params}, value=value))
    trial = study.ask()
    assert suggest(trial, SMALL | {"n": IntDistribution(3, 3)}).items() >= {"kind": "b", "lr": 0.7, "n": 3}.items()


def test_a_best_value_outside_of_its_range_is_clipped():
    sampler = GSOSSampler(groups=[["a"], ["x", "n"]], iterations=[9, 1], defaults={"x": 3.0, "n": 30}, seed=0)
    study = optuna.create_study(sampler=sampler)
    floats = [(0, 10, None), (5, 9, None), (0, 2, None), (0.5, 8.5, 2.0), (5.5, 9.5, 2.0)]
    integers = [(0, 50, 1), (35, 40, 1), (0, 20, 5), (1, 41, 4), (0, 21, 7)]
    found = []

    def objective(trial):
        (low, high, step), (bottom, top, stride) = floats[trial.number], integers[trial.number]
        trial.suggest_float("a", 0, 1)
        x, n = trial.suggest_float("x", low, high, step=step), trial.suggest_int("n", bottom, top, step=stride)
        found.append((x, n))
        return trial.number

    study.optimize(objective, n_trials=5)
    assert found == [(3.0, 30), (5.0, 35), (2.0, 20), (2.5, 29), (5.5, 21)]


@pytest.mark.parametrize(("low", "high"), [(0, 4), (3, 20), (20, 30)])
def test_a_range_may_change_while_it_is_tuned(low, high):
    sampler = GSOSSampler(groups=[["x", "n"]], iterations=[60], seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda t: (t.suggest_float("x", 0, 10) - 2) ** 2 + t.suggest_int("n", 0, 10), n_trials=30)
    study.optimize(lambda t: (t.suggest_float("x", low, high) - 2) ** 2 + t.suggest_int("n", low, high), n_trials=30)
    later = [t.params for t in study.trials[30:]]
    assert all(low <= p["x"] <= high and low <= p["n"] <= high for p in later)
    assert len({p["x"] for p in later}) == 30  # drawn, not clipped


# Groups


def test_groups_are_of_the_papers_proportion():
    ten = {name: 10 - i for i, name in enumerate("abcdefghij")}
    assert groups_of(dict(reversed(ten.items()))) == [list("abc"), list("defg"), list("hij")]
    assert groups_of({"a": 1.0}) == [["a"]]
    assert groups_of({"a": 0.1, "b": 0.9}) == [["b"], ["a"]]
    assert groups_of({"a": 1, "b": 2, "c": 1}) == [["b"], ["a"], ["c"]]
    assert groups_of(dict.fromkeys("abcd", 0.0)) == [["a"], ["b", "c"], ["d"]]
    assert groups_of(pd.Series({"a": 0.1, "b": 0.9})) == [["b"], ["a"]]  # a judge's shares


def test_weights_make_groups_and_what_has_none_joins_the_last():
    weights = {"n": 0.1, "x": 0.5, "lr": 0.4}
    study = optuna.create_study(sampler=GSOSSampler(weights=weights, iterations=[3, 3, 3], seed=0))
    study.optimize(lambda trial: bowl(suggest(trial, SMALL), SMALL), n_trials=18)
    assert study.sampler.plan(study) == {"first": 0, "groups": [["x"], ["lr"], ["n"]], "iterations": [3, 3, 3]}
    assert_fixed_as_they_should_be(
        study.trials, [["x"], ["lr"], ["n", "kind"]], {"x": 0.0, "lr": 0.01, "n": 5, "kind": "a"}
    )
    assert len({t.params["kind"] for t in study.trials}) > 1


def test_importance_is_estimated_from_random_trials():
    space = SMALL | {"seed": IntDistribution(0, 5), "batch": CategoricalDistribution([64, 32])}

    def objective(trial):
        config = suggest(trial, space)
        if config["kind"] == "a":
            trial.suggest_float("only a", 0, 1)
        if trial.number % 5 == 4:
            return nan
        return np.log10(config["lr"]) ** 2 + 0.5 * config["n"] + 0.2 * config["x"]

    study = optuna.create_study(sampler=GSOSSampler(seed=3))
    study.optimize(objective, n_trials=49)
    warm_up = study.trials  # 40 of them are complete
    assert study.sampler.plan(study) is None
    assert all(proposal(t) == {"group": None, "origin": "startup"} for t in warm_up)
    assert len({t.params["lr"] for t in warm_up}) == len({t.params["x"] for t in warm_up}) == 49
    correlation = np.corrcoef([[np.log(t.params["lr"]), t.params["x"], t.params["n"]] for t in warm_up], rowvar=False)
    assert np.abs(correlation - np.eye(3)).max() < 0.4

    study.optimize(objective, n_trials=60)
    frame = pd.DataFrame([t.params for t in warm_up if t.value is not None])
    names = ["batch", "kind", "lr", "n", "seed", "x"]
    frame = frame.assign(lr=np.log(frame.lr), kind=frame.kind.map("abc".index), batch=frame.batch.map([64, 32].index))
    p = [t.value for t in warm_up if t.value is not None]
    total = fanova(frame[names], p, np.array([name == "kind" for name in names])).total
    groups = groups_of(dict(zip(names, total.tolist(), strict=True)))
    assert study.sampler.plan(study) == {"first": 49, "groups": groups, "iterations": [40, 30, 30]}
    assert set(groups[0]) == {"lr", "n"}
    assert [proposal(t)["group"] for t in study.trials[49:]] == [0] * 40 + [1] * 20
    fixed = [t.params for t in study.trials[49:89]]
    assert len({p["lr"] for p in fixed}) == 40 and len({p["x"] for p in fixed}) < 8


def test_where_nothing_can_be_told_all_are_one_group():
    study = optuna.create_study(sampler=GSOSSampler(iterations=[6, 5, 4], seed=0))
    study.optimize(lambda trial: suggest(trial, SMALL) and 1.0, n_trials=50)
    assert study.sampler.plan(study) == {"first": 40, "groups": [sorted(SMALL)], "iterations": [6]}
    assert len({t.params["x"] for t in study.trials}) == len({t.params["lr"] for t in study.trials}) == 50


def test_trials_that_a_study_already_has_are_the_warm_up():
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.optimize(lambda trial: bowl(suggest(trial, SMALL), SMALL), n_trials=45)
    weights = get_param_importances(study)
    for sampler, first in ((GSOSSampler(seed=0), 45), (GSOSSampler(weights=weights, iterations=[9, 9, 9], seed=0), 46)):
        study.sampler = sampler
        study.optimize(lambda trial: bowl(suggest(trial, SMALL), SMALL), n_trials=1)
        plan = sampler.plan(study)
        assert plan["first"] == first and sorted(sum(plan["groups"], [])) == sorted(SMALL)
        assert proposal(study.trials[-1]) == {"group": 0, "origin": "startup"}
        fixed = set(SMALL) - set(plan["groups"][0])
        assert all(study.trials[-1].params[name] == best_before(study.trials, first).params[name] for name in fixed)


def test_another_sampler_begins_with_its_first_group_and_the_same_one_goes_on():
    study = optuna.create_study(sampler=GSOSSampler(groups=SMALL_GROUPS, iterations=[2, 3, 3], seed=0))

    def groups_of_the_next(n):
        study.optimize(lambda trial: bowl(suggest(trial, SMALL), SMALL), n_trials=n)
        return [proposal(t)["group"] for t in study.trials[-n:]]

    assert groups_of_the_next(3) == [0, 0, 1]
    study.sampler = GSOSSampler(groups=SMALL_GROUPS, iterations=[2, 3, 3], seed=9)
    assert groups_of_the_next(3) == [1, 1, 2]
    study.sampler = GSOSSampler(groups=SMALL_GROUPS[::-1], iterations=[2, 3, 3], seed=0)
    assert groups_of_the_next(3) == [0, 0, 1]
    study.sampler = GSOSSampler(groups=SMALL_GROUPS[::-1], iterations=[1, 3, 3], seed=0)
    assert groups_of_the_next(3) == [0, 1, 1]
    study.sampler = GSOSSampler(iterations=[1, 3, 3])
    assert groups_of_the_next(3) == [1, 2, 2]


# What Optuna allows


def test_enqueued_trials_take_their_turn():
    study = optuna.create_study(sampler=GSOSSampler(groups=[["x"], ["lr"]], iterations=[3, 3], seed=0))
    study.enqueue_trial({"x": 0.25, "lr": 0.125})  # asks the sampler for nothing
    study.enqueue_trial({"lr": 0.5})
    study.optimize(lambda t: abs(t.suggest_float("x", 0, 1) - 0.25) + t.suggest_float("lr", 0, 1), n_trials=4)
    params = [t.params for t in study.trials]
    assert params[0] == {"x": 0.25, "lr": 0.125} and params[1]["lr"] == 0.5
    assert params[2]["lr"] == 0.125 and params[3]["x"] == 0.25
    assert 0.25 not in (params[1]["x"], params[2]["x"]) and params[3]["lr"] != 0.125


def test_tpe_learns_from_enqueued_trials():
    space = {"x": SMALL["x"]}
    tpe = TPE(space, n_startup=8, seed=0)  # 3/8 of 20
    study = optuna.create_study(sampler=GSOSSampler(groups=[["x"]], iterations=[20], seed=0))
    for i in range(15):
        if own := i in (0, 9):
            study.enqueue_trial({"x": 0.1 * i})
        trial = study.ask()
        config = {"x": trial.suggest_float("x", -1, 1)}
        assert config == ({"x": 0.1 * i} if own else tpe.ask())
        loss = bowl(config, space)
        tpe.tell(config, loss)
        study.tell(trial, loss)


def test_part_of_a_group_can_be_fixed():
    study = optuna.create_study(sampler=PartialFixedSampler({"x": 0.5}, GSOSSampler(groups=SMALL_GROUPS, seed=0)))
    study.optimize(lambda trial: bowl(suggest(trial, SMALL), SMALL), n_trials=25)
    assert {t.params["x"] for t in study.trials} == {0.5}
    assert [proposal(t)["origin"] for t in study.trials] == ["startup"] * 15 + ["model"] * 10
    assert len({t.params["lr"] for t in study.trials}) == 25


@pytest.mark.parametrize("storage", [None, "sqlite:///:memory:"])
def test_any_names_and_choices(storage):
    """Names that the papers' network uses otherwise, and choices that compare as equal or not even to themselves."""
    space = {
        "num_conv_layers": CategoricalDistribution(["many", "few"]),
        "num_filters_wide": IntDistribution(1, 2),
        "odd": CategoricalDistribution([None, nan, "a", 0, True, 2.5]),
        "large": IntDistribution(0, 10**12),
        "step": FloatDistribution(-10.2, 10.2, step=0.1),
        "single": FloatDistribution(3.0, 3.0),
    }
    sampler = GSOSSampler(groups=[list(space)], iterations=[40], seed=0)
    study = optuna.create_study(sampler=sampler, storage=storage)
    study.optimize(lambda trial: abs(suggest(trial, space)["step"]), n_trials=30)
    trials = study.trials
    assert {proposal(t)["origin"] for t in trials} == {"startup", "model"}
    assert len({repr(t.params["odd"]) for t in trials}) == 6
    assert all(isfinite(t.value) and t.params["single"] == 3.0 for t in trials)


def test_two_threads():
    study = optuna.create_study(sampler=GSOSSampler(groups=SMALL_GROUPS, iterations=[8, 6, 6], seed=0))
    study.optimize(lambda trial: bowl(suggest(trial, SMALL), SMALL), n_trials=40, n_jobs=2)
    assert_a_parallel_study(study, SMALL_GROUPS, 40, ([0] * 8 + [1] * 6 + [2] * 6) * 2)


def assert_a_parallel_study(study, groups, n, turns):
    """All complete, each tuned its group, and what was fixed stands in some other trial or is the default."""
    trials = study.trials
    defaults = {"x": 0.0, "lr": 0.01, "n": 5, "kind": "a"}
    assert [t.number for t in trials] == list(range(n)) and {t.state for t in trials} == {TrialState.COMPLETE}
    for i, trial in enumerate(trials):
        assert proposal(trial)["group"] in (turns[i], turns[max(0, i - 1)])  # trial 1 may be asked before trial 0
        others = [defaults] + [t.params for t in trials if t is not trial]
        for name in set(SMALL) - set(groups[proposal(trial)["group"]]):
            assert trial.params[name] in [params[name] for params in others]
    starts = [t.params["x"] for t in trials if proposal(t) == {"group": 0, "origin": "startup"}]
    assert len(set(starts)) == len(starts) > 2


# Processes


def work(url, n):
    """In a process of its own."""
    sampler = GSOSSampler(groups=SMALL_GROUPS, iterations=[6, 3, 3], seed=4)
    study = optuna.load_study(study_name="study", storage=url, sampler=sampler)
    study.optimize(lambda trial: bowl(suggest(trial, SMALL), SMALL), n_trials=n)


def start(url, n, hash_seed):
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"}
    command = f"import test_integrations; test_integrations.work({url!r}, {n})"
    return subprocess.Popen([sys.executable, "-c", command], cwd=Path(__file__).parent, env=environment)


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="study", storage=url)
    return url


def test_a_fresh_process_goes_on_as_the_study_would_have(url):
    work(url, 4)
    assert start(url, 13, 1).wait(120) == 0
    stored = optuna.load_study(study_name="study", storage=url).trials
    whole = play(GSOSSampler(groups=SMALL_GROUPS, iterations=[6, 3, 3], seed=4), 17)
    assert [(t.params, t.value, proposal(t)) for t in stored] == [(t.params, t.value, proposal(t)) for t in whole]


def test_two_processes_on_one_study(url):
    workers = [start(url, 8, hash_seed) for hash_seed in (1, 2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    sampler = GSOSSampler(groups=SMALL_GROUPS, iterations=[6, 3, 3], seed=4)
    study = optuna.load_study(study_name="study", storage=url, sampler=sampler)
    assert_a_parallel_study(study, SMALL_GROUPS, 16, ([0] * 6 + [1] * 3 + [2] * 3) * 2)


def test_draws_follow_the_seed_and_no_global_state():
    def params(seed):
        return [t.params for t in play(GSOSSampler(seed=seed), 5)]

    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    first = params(1)
    assert np.array_equal(np.random.get_state()[1], state)
    assert params(1) == first != params(2)
    assert params(None) != params(None)


# Block TPE


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("weights", [None, {"lr": 3.0, "x": 1.0, "n": 1.0, "kind": 1.0}])
def test_blocks_proposes_what_block_tpe_does(direction, weights):
    sign, count = (1 if direction == "minimize" else -1), iter(range(1000))

    def loss(config, _):
        return nan if next(count) % 7 == 3 else sign * bowl(config, SMALL)

    sampler = GSOSSampler(strategy="blocks", weights=weights, defaults=SMALL_DEFAULTS, seed=3)
    trials = play(sampler, 30, SMALL, loss=loss, direction=direction)
    assert trials[0].params == SMALL_DEFAULTS
    assert [proposal(t)["origin"] for t in trials[1:10]] == ["startup"] * 9
    space = {name: SMALL[name] for name in sorted(SMALL)}
    for i in range(10, 30):
        tpe = BlockTPE(space, weights=weights, n_startup=1, seed=3)
        for trial in trials[:i]:
            tpe.tell(trial.params, sign * trial.value if trial.value is not None else nan)
        expected = tpe.ask()
        assert trials[i].params == expected and proposal(trials[i]) == {"group": None, "origin": expected.origin}


def test_blocks_needs_nothing_and_beats_random_search():
    samplers = (lambda seed: GSOSSampler(strategy="blocks", seed=seed)), (lambda seed: RandomSampler(seed=seed))
    found = [np.median([min(t.value for t in play(make(seed), 60)) for seed in range(5)]) for make in samplers]
    assert found[0] < 0.5 * found[1]


def test_cost_weight_prefers_what_took_less_time():
    """Of two choices that are as good one takes a hundred times as long; a trial without a duration tells no cost."""
    space = {"x": FloatDistribution(-1, 1), "slow": CategoricalDistribution([False, True])}
    start = datetime(2026, 1, 1)
    shares = []
    for cost_weight in (0.0, 1.0):
        study = optuna.create_study(sampler=GSOSSampler(strategy="blocks", cost_weight=cost_weight, seed=0))
        for i, x in enumerate(np.linspace(-1, 1, 40).tolist()):
            seconds = 0 if i % 8 == 0 else 100 if i % 2 else 1
            params = {"x": x, "slow": bool(i % 2)}
            times = {"datetime_start": start, "datetime_complete": start + timedelta(seconds=seconds)}
            trial = create_trial(params=params, distributions=space, value=abs(x))
            study.add_trial(FrozenTrial(**{**vars_of(trial), **times}))
        shares.append(np.mean([study.ask(space).params["slow"] for _ in range(40)]))
    assert 0.3 < shares[0] < 0.7 and shares[1] < 0.1


def vars_of(trial):
    names = ("number", "state", "value", "params", "distributions", "user_attrs", "system_attrs", "intermediate_values")
    return {name: getattr(trial, name) for name in names} | {"trial_id": trial._trial_id}


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": [["a"]], "weights": {"a": 1.0}}, "groups or weights, not both"),
        ({"groups": []}, "at least one group"),
        ({"groups": ["lr", "n"]}, "groups must be lists of names, not 'lr'"),
        ({"groups": [["a"], []]}, "group 1 is empty"),
        ({"groups": [["a"], ["b", "a"]]}, "'a' is in a group more than once"),
        ({"groups": [["a"], ["b"]], "iterations": [3]}, r"one positive integer for each of 2 groups, not \[3\]"),
        ({"groups": [["a"]], "iterations": [0]}, r"one positive integer for each of 1 groups, not \[0\]"),
        ({"groups": [["a"]], "iterations": [1.5]}, r"not \[1.5\]"),
        ({"iterations": [3, 3]}, r"for each of 3 groups, not \[3, 3\]"),
        ({"weights": {"a": 1.0, "b": 0.5}, "iterations": [3, 3, 3]}, "for each of 2 groups"),
        ({"weights": {}}, "weights must hold at least one hyperparameter"),
        ({"weights": {"a": 1.0, "b": -0.5}}, r"finite and not negative, not \{'b': -0.5\}"),
        ({"weights": {"a": nan}}, r"finite and not negative, not \{'a': nan\}"),
        ({"groups": [["a"]], "defaults": {"b": 1}}, "defaults have 'b', which is in no group"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"strategy": "block"}, "strategy must be grouped or blocks, not 'block'"),
        ({"strategy": "blocks", "groups": [["a"]]}, "takes no groups and no iterations"),
        ({"strategy": "blocks", "iterations": [3, 3, 3]}, "takes no groups and no iterations"),
        ({"strategy": "blocks", "weights": {"a": -1.0}}, r"finite and not negative, not \{'a': -1.0\}"),
        ({"strategy": "blocks", "cost_weight": -1}, "cost_weight must be finite and not negative, not -1"),
        ({"cost_weight": 0.5}, "cost_weight belongs to strategy 'blocks'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GSOSSampler(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": [["x"]]}, r"'n' is in no group; groups are \[\['x'\]\]"),
        ({"groups": [["x"], ["n"]], "defaults": {"n": 99}}, "defaults: n = 99 is outside of IntDistribution"),
        ({"groups": [["x"], ["n"]], "defaults": {"n": "a"}}, "defaults: n = 'a' is outside of IntDistribution"),
    ],
)
def test_what_only_a_trial_can_tell_is_refused_then(arguments, message):
    trial = optuna.create_study(sampler=GSOSSampler(**arguments, seed=0)).ask()
    trial.suggest_float("x", 0, 1)
    with pytest.raises(ValueError, match=message):
        trial.suggest_int("n", 0, 10)


# Importance


@pytest.fixture(scope="module")
def random_study():
    study = optuna.create_study(sampler=RandomSampler(seed=0), direction="maximize")
    space = SMALL | {"batch": CategoricalDistribution([32, 64, 256]), "single": IntDistribution(2, 2)}

    def objective(trial):
        config = suggest(trial, space)
        if trial.number % 3 == 0:
            trial.suggest_float("sometimes", 0, 1)
        return 50 * np.log10(config["lr"]) - 30 * (config["kind"] == "b") + 2 * config["x"]

    study.optimize(objective, n_trials=120)
    return study, space


@pytest.mark.parametrize(
    ("judge", "options"),
    [("nrrelieff", {}), ("nrrelieff-raw", {"distance": "raw"}), ("rrelieff", {"metric": "manhattan"})],
)
def test_the_evaluator_is_the_judge(random_study, judge, options):
    study, space = random_study
    frame = pd.DataFrame([{name: t.params[name] for name in space} for t in study.trials])
    value = np.array([t.value for t in study.trials])
    frame["validation_accuracy"] = (value - value.min()) / np.ptp(value)
    expected = assess(frame, space, judge, n_neighbours=20).table
    evaluator = NRReliefFImportanceEvaluator(n_neighbours=20, **options)
    found = get_param_importances(study, evaluator=evaluator, normalize=False)
    assert found == pytest.approx(expected.weight.clip(lower=0).to_dict(), rel=1e-9, abs=1e-12)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert expected.weight.min() < min(found.values()) == 0.0 < max(found.values()) and "sometimes" not in found
    assert get_param_importances(study, evaluator=evaluator) == pytest.approx(expected.share.to_dict())


def test_only_trials_with_all_params_count(random_study):
    study, _ = random_study
    found = get_param_importances(study, evaluator=NRReliefFImportanceEvaluator(), params=["lr", "sometimes"])
    part = optuna.create_study()
    part.add_trials(
        create_trial(
            params={name: t.params[name] for name in ("lr", "sometimes")},
            distributions={name: t.distributions[name] for name in ("lr", "sometimes")},
            value=-t.value,
        )
        for t in study.trials
        if "sometimes" in t.params
    )
    assert found == get_param_importances(part, evaluator=NRReliefFImportanceEvaluator(n_neighbours=30))


def test_neighbours_are_as_many_as_there_are():
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    study.optimize(lambda t: t.suggest_float("x", 0, 1) + 0.1 * t.suggest_float("y", 0, 1), n_trials=8)
    seven, thirty = (
        get_param_importances(study, evaluator=NRReliefFImportanceEvaluator(n_neighbours=n)) for n in (7, 30)
    )
    assert seven == thirty and list(seven) == ["x", "y"]


def test_two_trials_tell_nothing():
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2)
    assert NRReliefFImportanceEvaluator().evaluate(study) == {"x": 0.0}


def test_what_cannot_be_judged_is_refused(random_study):
    study, _ = random_study
    evaluate = NRReliefFImportanceEvaluator().evaluate
    with pytest.raises(ValueError, match=r"no complete trial has all of the params \['lr', 'z'\]"):
        evaluate(study, params=["lr", "z"])
    with pytest.raises(ValueError, match="p is the same in all 120 rows"):
        evaluate(study, target=lambda t: 1.0)
    with pytest.raises(ValueError, match="the study has 2 objectives: give a target"):
        evaluate(optuna.create_study(directions=["minimize", "maximize"]))
    with pytest.raises(ValueError, match='distance must be "normalised" or "raw"'):
        NRReliefFImportanceEvaluator(distance="cosine").evaluate(study)
    with pytest.raises(ValueError, match="metric must be one of"):
        NRReliefFImportanceEvaluator(metric="cosine").evaluate(study)
    with pytest.raises(ValueError, match="n_neighbours must be at least 1, not 0"):
        NRReliefFImportanceEvaluator(n_neighbours=0)
