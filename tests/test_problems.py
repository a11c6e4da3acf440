"""Problems have the optimum they are said to have; regrets and their quotients."""

import itertools
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import optimize, stats

from gsos.problems import PROBLEMS, best_so_far, quotients, regrets
from gsos.space import from_unit
from gsos.strategy import RandomSearch
from gsos.tpe import TPE

RANDOM = partial(RandomSearch, defaults={})
NAMES = pytest.mark.parametrize("name", PROBLEMS)


@NAMES
def test_the_minimum_is_attained_and_a_little_away_it_is_not(name):
    problem = PROBLEMS[name]
    assert problem.evaluate(problem.minimiser) == pytest.approx(problem.minimum, abs=1e-14)
    for key, distribution in problem.space.items():
        if isinstance(distribution, FloatDistribution) and (name, key) != ("mixed", "momentum"):  # adam has none
            away = problem.minimiser | {key: problem.minimiser[key] * 1.01 + 0.01}
            assert problem.evaluate(away) > problem.minimum + 1e-7, key


@NAMES
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_nothing_lies_below_the_minimum(name, data):
    problem = PROBLEMS[name]
    position = {key: data.draw(st.floats(0, 1), label=key) for key in problem.space}
    assert problem.evaluate(from_unit(position, problem.space)) >= problem.minimum - 1e-14


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "mixed"])
def test_no_descent_ends_below_the_minimum(name):
    """From near the minimiser it ends there; from random points it may end elsewhere, but not lower."""
    problem, rng = PROBLEMS[name], np.random.default_rng(0)
    bounds = np.array([(d.low, d.high) for d in problem.space.values()])
    best, width = np.array(list(problem.minimiser.values())), np.ptp(bounds, axis=1)
    near = best + 1e-3 * width * rng.uniform(-1, 1, len(best))
    for start in [near, *rng.uniform(*bounds.T, size=(10, len(best)))]:
        start = start.clip(*bounds.T)
        found = optimize.minimize(
            lambda x: problem.function(dict(zip(problem.space, x, strict=True))), start, bounds=bounds
        )
        assert found.fun >= problem.minimum - 1e-12
        if start is near:
            assert found.fun == pytest.approx(problem.minimum, abs=1e-3)


def test_published_minima():
    """As printed in collections of test functions, to their digits."""
    assert PROBLEMS["branin"].minimum == pytest.approx(0.397887, abs=5e-7)
    for x0, x1 in ((-np.pi, 12.275), (9.42478, 2.475)):  # the other two
        assert PROBLEMS["branin"].evaluate({"x0": x0, "x1": x1}) == pytest.approx(0.397887, abs=5e-7)
    assert PROBLEMS["hartmann6"].minimum == pytest.approx(-3.32237, abs=5e-6)
    printed = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    assert list(PROBLEMS["hartmann6"].minimiser.values()) == pytest.approx(printed, abs=5e-6)
    assert PROBLEMS["styblinski_tang5"].minimum == pytest.approx(-39.16617 * 5, abs=5e-5)
    root = np.roots([4, 0, -32, 5]).real.min()  # of the derivative
    assert list(PROBLEMS["styblinski_tang5"].minimiser.values()) == pytest.approx([root] * 5, abs=1e-12)


@pytest.mark.parametrize("name", ["sphere5", "ackley5"])
def test_the_middle_is_no_good_guess(name):
    for key, distribution in PROBLEMS[name].space.items():
        offset = PROBLEMS[name].minimiser[key] - (distribution.low + distribution.high) / 2
        assert abs(offset) > 0.05 * (distribution.high - distribution.low)


def test_mixed_has_every_kind_of_hyperparameter_and_one_best_level_of_each():
    problem = PROBLEMS["mixed"]
    kinds = {(type(d), getattr(d, "log", False), getattr(d, "step", None) == 5) for d in problem.space.values()}
    assert kinds >= {(FloatDistribution, log, False) for log in (False, True)}
    assert kinds >= {(IntDistribution, *flags) for flags in ((False, False), (True, False), (False, True))}
    assert {type(d.choices[0]) for d in problem.space.values() if isinstance(d, CategoricalDistribution)} == {int, str}
    discrete = {
        key: list(d.choices) if isinstance(d, CategoricalDistribution) else list(range(d.low, d.high + 1, d.step))
        for key, d in problem.space.items()
        if not isinstance(d, FloatDistribution) and key != "units"
    }
    zeros = [
        values
        for values in itertools.product(*discrete.values())
        if problem.function(problem.minimiser | dict(zip(discrete, values, strict=True))) == 0
    ]
    assert zeros == [tuple(problem.minimiser[key] for key in discrete)]
    units = [problem.evaluate(problem.minimiser | {"units": n}) for n in range(16, 513)]
    assert np.flatnonzero(np.array(units) == 0).tolist() == [128 - 16]


def test_what_is_outside_of_the_space_is_refused():
    with pytest.raises(ValueError, match="x0 = 11.0 is outside"):
        PROBLEMS["branin"].evaluate({"x0": 11.0, "x1": 0.0})
    with pytest.raises(ValueError, match="lacks 'x1'"):
        PROBLEMS["branin"].evaluate({"x0": 0.0})


class Scripted:
    """Asks for given values of x0 and x1 and keeps what it is told."""

    def __init__(self, *values):
        self.values, self.told = list(values), []

    def ask(self):
        return {"x0": self.values[len(self.told)], "x1": 2.275}

    def tell(self, config, loss):
        self.told.append((config["x0"], loss))


def test_best_so_far_is_the_running_minimum_of_what_was_asked():
    strategy = Scripted(0.0, -5.0, np.pi, 1.0)
    best = best_so_far(PROBLEMS["branin"], strategy, 4)
    losses = [loss for _, loss in strategy.told]
    assert [x for x, _ in strategy.told] == [0.0, -5.0, np.pi, 1.0] and losses[1] > losses[0]
    assert best.tolist() == [losses[0], losses[0], losses[2], losses[2]]
    assert best[-1] == pytest.approx(0.397887, abs=5e-7)


def test_regrets_are_those_of_single_runs_whatever_the_workers():
    strategies = {"random": RANDOM, "plain": partial(TPE, estimator="plain", bandwidth=0.1)}
    assert pickle.loads(pickle.dumps(strategies["plain"])).keywords["bandwidth"] == 0.1
    one, two = (regrets(["branin", "mixed"], strategies, seeds=[3, 5], n=20, workers=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert list(one.index) == [("branin", 3), ("branin", 5), ("mixed", 3), ("mixed", 5)]
    problem = PROBLEMS["mixed"]
    again = best_so_far(problem, TPE(problem.space, estimator="plain", bandwidth=0.1, seed=5), 20)[-1]
    assert one.plain["mixed", 5] == again - problem.minimum > 0


def frame(random, ours):
    """Two problems of two seeds each."""
    index = pd.MultiIndex.from_product([["a", "b"], [0, 1]], names=["problem", "seed"])
    return pd.DataFrame({"random": random, "ours": ours}, index, dtype=float)


def test_quotients_by_hand():
    found = quotients(frame([1, 3, 10, 10], [1, 1, 5, 10]), "random", rng=0)
    assert found.quotient["a", "ours"] == 0.5 and found.quotient["b", "ours"] == 0.75
    assert found.quotient["mean", "ours"] == 0.625
    assert (found.xs("random", level="strategy") == 1).all(axis=None)
    # Two seeds are drawn as (0, 0), (0, 1), (1, 0) or (1, 1), a quarter each.
    assert tuple(found.loc[("a", "ours"), ["low", "high"]]) == pytest.approx((1 / 3, 1))
    # The same seeds are drawn for both problems: (1 + 1/2)/2, (1/2 + 3/4)/2 or (1/3 + 1)/2.
    assert tuple(found.loc[("mean", "ours"), ["low", "high"]]) == pytest.approx((0.625, 0.75))


def test_intervals_of_quotients_are_scipys():
    rng = np.random.default_rng(0)
    random, ours = rng.gamma(2, size=(2, 30))
    index = pd.MultiIndex.from_product([["a"], range(30)], names=["problem", "seed"])
    found = quotients(pd.DataFrame({"random": random, "ours": ours}, index), "random", n_resamples=20_000, rng=1)
    ratio = lambda x, y, axis: x.mean(axis=axis) / y.mean(axis=axis)  # noqa: E731
    options = {"paired": True, "method": "percentile", "n_resamples": 20_000, "rng": 2}
    expected = stats.bootstrap((ours, random), ratio, **options).confidence_interval
    assert tuple(found.loc[("a", "ours"), ["low", "high"]]) == pytest.approx(expected, rel=0.02)


def test_quotients_that_cannot_be_are_refused():
    good = frame([1, 2, 3, 4], [1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"base must be one of \['random', 'ours'\], not 'best'"):
        quotients(good, "best")
    with pytest.raises(ValueError, match="'random' has no regret on 'b'"):
        quotients(frame([1, 2, 0, 0], [1, 1, 1, 1]), "random")
    with pytest.raises(ValueError, match="seeds"):
        quotients(good.xs(0, level="seed", drop_level=False), "random")
