"""What records say, beside answers by hand, a bootstrap in loops and Demsar's table."""

from math import exp, log, sqrt

import numpy as np
import pandas as pd
import pytest

from gsos.regret import (
    after_evaluations,
    after_seconds,
    critical_difference,
    curves,
    describe,
    geometric_mean,
    mean_ranks,
    ratios,
)


def records(runs):
    """(problem, strategy, seed) -> (regret, seconds), as `contest.run_contest` has them."""
    rows = []
    for (problem, strategy, seed), pairs in runs.items():
        for i, (regret, seconds) in enumerate(pairs, 1):
            rows.append((problem, "f", strategy, seed, i, regret, seconds))
    columns = ["problem", "family", "strategy", "seed", "evaluation", "regret", "seconds"]
    return pd.DataFrame(rows, columns=columns).astype({"problem": "category", "strategy": "category"})


RUNS = records(
    {
        ("p", "a", 0): [(9, 1.0), (5, 1.0), (5, 2.0)],
        ("p", "a", 1): [(8, 0.5), (7, 0.5), (2, 0.5)],
        ("p", "b", 0): [(6, 3.0), (4, 1.0), (3, 1.0)],
        ("p", "b", 1): [(7, 0.1), (6, 1.8), (1, 0.2)],
        ("q", "a", 0): [(1, 1.0), (1, 1.0), (0, 1.0)],
        ("q", "a", 1): [(2, 1.9), (2, 0.2), (2, 0.1)],
    }
)


def frame(columns, problems=("p", "q"), n_seeds=2):
    index = pd.MultiIndex.from_product([list(problems), range(n_seeds)], names=["problem", "seed"])
    return pd.DataFrame(columns, index)


def assert_table(table, expected):
    assert table.index.names == ["problem", "seed"] and table.columns.name == "strategy"
    expected = frame(expected)
    assert list(table) == list(expected) and list(table.index) == list(expected.index)
    np.testing.assert_array_equal(table.to_numpy(), expected.to_numpy())


def test_regret_after_evaluations_by_hand():
    nan = np.nan
    assert_table(after_evaluations(RUNS, 1), {"a": [9.0, 8, 1, 2], "b": [6, 7, nan, nan]})
    assert_table(after_evaluations(RUNS, 3), {"a": [5.0, 2, 0, 2], "b": [3, 1, nan, nan]})
    only_q = after_evaluations(RUNS[RUNS.problem == "q"], 2)
    assert list(only_q) == ["a"] and only_q.a.tolist() == [1, 2]  # categories that are not there stay away


def test_regret_after_seconds_by_hand():
    nan = np.nan
    # two units: of (p, a, 0) both trainings of 1; of (p, b, 0) the first one, which takes 3; (p, a, 1) ended before
    assert_table(after_seconds(RUNS, 2.0), {"a": [5.0, 2, 1, 2], "b": [6, 6, nan, nan]})
    assert_table(after_seconds(RUNS, 0.0), {"a": [9.0, 8, 1, 2], "b": [6, 7, nan, nan]})
    assert_table(after_seconds(RUNS, 99.0), {"a": [5.0, 2, 0, 2], "b": [3, 1, nan, nan]})


def test_the_geometric_mean_by_hand():
    regret = frame({"a": [1.0, 3, 8, 8], "b": [5.0, 5, np.nan, np.nan], "solved": [0.0, 0, 1, 1]})
    found = geometric_mean(regret)
    assert found.to_dict() == pytest.approx({"a": sqrt(2 * 8), "b": 5.0, "solved": sqrt(1e-6)})


def test_ratios_are_those_of_the_geometric_means():
    rng = np.random.default_rng(0)
    regret = frame({name: rng.random(20) + 0.1 for name in "abc"}, problems="pqrs", n_seeds=5)
    regret.loc["q", "c"] = np.nan
    found = ratios(regret, "b", n_resamples=50, rng=1)
    means = geometric_mean(regret)
    assert found.loc["a", "ratio"] == pytest.approx(means.a / means.b)
    both = geometric_mean(regret.drop(index="q"))
    assert found.loc["c", "ratio"] == pytest.approx(both.c / both.b)  # on the problems that both have
    assert found.loc["b"].tolist() == [1, 1, 1] and list(found) == ["ratio", "low", "high"]
    assert (found.low <= found.ratio).all() and (found.ratio <= found.high).all()
    pd.testing.assert_frame_equal(ratios(regret, "b", n_resamples=50, rng=1), found)


def test_ratios_of_what_is_paired_are_certain():
    noise = np.random.default_rng(2).lognormal(size=40)
    regret = frame({"base": noise, "half": noise / 2}, problems="pqrs", n_seeds=10)
    found = ratios(regret, "base", n_resamples=30, rng=0)
    np.testing.assert_allclose(found.loc["half"], 0.5)
    solved = ratios(frame({"a": [0.0] * 4, "b": [1.0] * 4}), "b", n_resamples=10, rng=0)
    np.testing.assert_allclose(solved.loc["a"], 1e-6)


def test_ratios_in_words():
    table = pd.DataFrame({"ratio": [0.8171, 2.0], "low": [0.6984, 1.996], "high": [0.9373, 12.0]}, index=["a", "b"])
    assert describe(table).to_dict() == {"a": "0.82 [0.70, 0.94]", "b": "2.00 [2.00, 12.00]"}


def literal_ratios(regret, name, base, n_resamples, rng):
    """One drawn problem and one drawn seed after the other."""
    problems = list(regret.index.unique("problem"))
    seeds = list(regret.index.unique("seed"))
    found = []
    for _ in range(n_resamples):
        logs = []
        for problem in rng.choice(problems, len(problems)):
            drawn = [regret.loc[(problem, seed)] for seed in rng.choice(seeds, len(seeds))]
            logs.append(log(np.mean([row[name] for row in drawn]) / np.mean([row[base] for row in drawn])))
        found.append(exp(np.mean(logs)))
    return found


def test_intervals_are_those_of_a_bootstrap_in_loops():
    rng = np.random.default_rng(3)
    effect = np.repeat(rng.normal(0, 0.3, 5), 8)  # of the problems
    regret = frame({"a": rng.lognormal(effect, 0.8), "b": rng.lognormal(0, 0.8, 40)}, problems="pqrst", n_seeds=8)
    low, high = np.percentile(literal_ratios(regret, "a", "b", 1200, rng), [5, 95])
    found = ratios(regret, "b", n_resamples=4000, rng=4).loc["a"]
    width = log(high / low)
    assert log(found.low) == pytest.approx(log(low), abs=0.06 * width)
    assert log(found.high) == pytest.approx(log(high), abs=0.06 * width)


def test_nine_of_ten_intervals_hold_the_truth():
    rng, held, centres = np.random.default_rng(5), 0, []
    for _ in range(150):
        shared = rng.normal(size=(12, 1)) + rng.normal(0, 0.5, (12, 10))  # of problems, and of their seeds
        own = rng.normal(0, 0.2, (2, 12, 1)) + rng.normal(0, 0.3, (2, 12, 10))
        values = np.exp(shared + own).reshape(2, -1)  # of the same distribution: the truth is 1
        regret = frame({"a": values[0], "b": values[1]}, problems="abcdefghijkl", n_seeds=10)
        found = ratios(regret, "b", n_resamples=100, rng=rng).loc["a"]
        held += found.low <= 1 <= found.high
        centres.append(log(found.ratio))
    assert held >= 0.84 * 150
    assert abs(np.mean(centres)) < 3 * np.std(centres) / sqrt(150)


def test_mean_ranks_with_ties_by_hand():
    # means of p: 1, 2, 2, 9; of q: 4, 3, 5, 6; of r: 1, 1, 1, 1
    regret = frame(
        {"d": [9.0, 9, 5, 7, 1, 1], "b": [2.0, 2, 3, 3, 1, 1], "a": [0.0, 2, 4, 4, 1, 1], "c": [1.0, 3, 5, 5, 1, 1]},
        problems="pqr",
    )
    regret["gaps"] = [0.0, 0, 0, 0, np.nan, np.nan]
    found = mean_ranks(regret)
    assert found.to_dict() == pytest.approx(
        {"b": (2.5 + 1 + 2.5) / 3, "a": (1 + 2 + 2.5) / 3, "c": (2.5 + 3 + 2.5) / 3, "d": (4 + 4 + 2.5) / 3}
    )
    assert list(found.index) == ["a", "b", "c", "d"] and found.name == "rank"


def test_curves_by_hand():
    by_evaluation = curves(RUNS)
    assert by_evaluation.index.name == "evaluations" and by_evaluation.index.tolist() == [1, 2, 3]
    # of a, means of p and q after 1, 2 and 3: 8.5 and 1.5, 6 and 1.5, 3.5 and 1
    np.testing.assert_allclose(by_evaluation.a, np.sqrt([8.5 * 1.5, 6 * 1.5, 3.5 * 1]))
    assert by_evaluation.b.tolist() == pytest.approx([6.5, 5, 2])
    # runs of a take 4, 1.5, 3 and 2.2 units, of b 5 and 2.1: time ends after 10.7/4, the least mean
    by_time = curves(RUNS, "seconds", n_points=2)
    assert by_time.index.name == "units" and by_time.index.tolist() == pytest.approx([10.7 / 8, 10.7 / 4])
    np.testing.assert_allclose(by_time.a, np.sqrt([(9 + 7) / 2 * 1.5, (5 + 2) / 2 * 1.5]))
    assert by_time.b.tolist() == pytest.approx([6.5, 3.5])
    assert len(curves(RUNS, "seconds")) == 60


# Demsar 2006, table 5a: the critical values of the two-tailed Nemenyi test for two to ten strategies.
Q = {
    0.05: (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164),
    0.10: (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920),
}


@pytest.mark.parametrize("alpha", Q)
def test_critical_differences_are_those_of_demsars_table(alpha):
    for k, q in enumerate(Q[alpha], 2):
        assert critical_difference(k, 15, alpha) == pytest.approx(q * sqrt(k * (k + 1) / (6 * 15)), rel=4e-4)
    assert critical_difference(4, 14, 0.05) == pytest.approx(1.25, abs=0.005)  # Demsar's example: four on 14 data sets
    assert critical_difference(4, 14) == critical_difference(4, 14, 0.1)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"base must be one of \['a'\], not 'b'"):
        ratios(frame({"a": [1.0] * 4}), "b")
    with pytest.raises(ValueError, match="n_strategies must be at least 2, not 1"):
        critical_difference(1, 15)
    with pytest.raises(ValueError, match="n_problems must be at least 2, not 1"):
        critical_difference(3, 1)
