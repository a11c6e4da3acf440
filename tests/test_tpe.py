"""TPE beside slow, literal transcriptions of Algorithm 1 and of the robust estimator, and beside SciPy's densities."""

import ast
import os
import subprocess
import sys
from fractions import Fraction
from math import ceil, exp, isfinite, pi, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import integrate, stats

from gsos.space import SPACES, check_config, from_unit, is_ordered, sample, to_unit
from gsos.tpe import ESTIMATORS, TPE, bandwidths, draw, log_density, plain_density, robust_density

KINDS = {
    "float": FloatDistribution(-2.0, 3.0),
    "log float": FloatDistribution(1e-5, 1.0, log=True),
    "integer": IntDistribution(2, 9),
    "log integer": IntDistribution(4, 64, log=True),
    "stepped": IntDistribution(1, 13, step=4),
    "category": CategoricalDistribution(["a", "b", "c"]),
    "number": CategoricalDistribution([32, 64, 128, 256, 512]),
}
FLOATS = {name: KINDS[name] for name in ("float", "log float")}
RUNS = {
    "floats": FLOATS,
    **{name: {name: d, "float": KINDS["float"]} for name, d in KINDS.items() if name not in FLOATS},
    "levels": {name: KINDS[name] for name in ("stepped", "category", "number")},
    "all": KINDS,
}
X = {"x": FloatDistribution(0.0, 1.0)}
SIX = {"n": IntDistribution(1, 3), "c": CategoricalDistribution(["a", "b"])}  # 6 configurations
SETTINGS = {"robust": {}, "plain": {"estimator": "plain", "bandwidth": 0.2}}
BAD = [np.nan, np.inf, -np.inf]
SEEDS = st.integers(0, 2**32 - 1)
BOTH = pytest.mark.parametrize("estimator", ESTIMATORS)


def bowl(space):
    """A loss: deterministic, another one for another configuration, best inside the space."""

    def loss(config):
        x = to_unit(config, space)
        return float(np.nansum([(1 + 0.37 * j) * (v - 0.31 - 0.043 * j) ** 2 for j, v in enumerate(x)]))

    return loss


def play(tpe, n, loss):
    """n proposals, each told."""
    proposals = []
    for _ in range(n):
        proposals.append(tpe.ask())
        tpe.tell(proposals[-1], loss(proposals[-1]))
    return proposals


def told(space, configs, losses, estimator="robust"):
    """A TPE that knows these trials."""
    tpe = TPE(space, seed=0, n_startup=1, **SETTINGS[estimator])
    for config, loss in zip(configs, losses, strict=True):
        tpe.tell(config, loss)
    return tpe


def samples(space, n, seed):
    rng = np.random.default_rng(seed)
    return [sample(space, rng) for _ in range(n)]


def assert_equal(ours, expected):
    """Levels exactly, numbers of a continuous range but for rounding."""
    for i, (config, other) in enumerate(zip(ours, expected, strict=True)):
        assert config.keys() == other.keys(), i
        for name, value in config.items():
            assert value == (pytest.approx(other[name], rel=1e-8) if isinstance(value, float) else other[name]), i


# Algorithm 1 and the robust estimator in loops. They are handed the uniform numbers that TPE draws at once.


def observed(position, space):
    """Where a candidate will be seen: at the position of its level, if its hyperparameter has levels."""
    return [
        x if isinstance(d, FloatDistribution) else float(to_unit(from_unit({name: x}, {name: d}), {name: d})[0])
        for x, (name, d) in zip(position, space.items(), strict=True)
    ]


def configuration(position, space):
    return from_unit(dict(zip(space, map(float, position), strict=True)), space)


def K(u):
    return 1 / sqrt(2 * pi) * exp(-(u**2) / 2)


def KDE(x, points, h):
    return 1 / (len(points) * h) * sum(K((x - x_i) / h) for x_i in points)


def algorithm_1(space, f, m, *, seed, h, n=15, r=0.25, n_candidates=24):
    """Line by line. The acquisition is computed with fractions: where g/l is small, floats would be ties."""
    S, evaluated, gamma = [], [], Fraction(r)
    for i in range(m):
        rng = np.random.default_rng([seed, i])
        if i < n:
            x_new = sample(space, rng)
        else:
            S.sort(key=lambda trial: trial[1])
            y_star = np.quantile([y for _, y in S], r, method="inverted_cdf")
            S_good = [to_unit(x, space).tolist() for x, y in S if y <= y_star]
            S_bad = [to_unit(x, space).tolist() for x, y in S if y > y_star]
            pick, u = rng.random((2, len(space), n_candidates)).tolist()
            best = -1
            for c in range(n_candidates):
                x = []
                for j in range(len(space)):
                    kernel = NormalDist(S_good[int(pick[j][c] * len(S_good))][j], h)
                    x.append(min(max(kernel.inv_cdf(u[j][c]), 0.0), 1.0))
                l_x, g_x = Fraction(1), Fraction(1)
                for j, h_j in enumerate(observed(x, space)):
                    l_x *= Fraction(KDE(h_j, [point[j] for point in S_good], h))
                    g_x *= Fraction(KDE(h_j, [point[j] for point in S_bad], h))
                acquisition = 1 / (gamma + g_x / l_x * (1 - gamma))
                if acquisition > best:
                    best, x_new = acquisition, configuration(x, space)
        S.append((x_new, f(x_new)))
        evaluated.append(x_new)
    return evaluated


def literal_bandwidths(points):
    """One gap after the other; of equal points the earlier is the left one."""
    line = sorted((x, i) for i, x in enumerate(points) if not np.isnan(x))
    h = [1 / min(100, len(points) + 1)] * len(points)
    for (left, i), (right, j) in zip(line, line[1:], strict=False):
        h[i], h[j] = max(h[i], right - left), max(h[j], right - left)
    return np.array(h)


def literal_density(x, points, weights, d):
    """The density of one hyperparameter at each x: a kernel a point, and a uniform one that weighs like a point."""
    density = np.ones(len(x))
    for point, h, weight in zip(points, literal_bandwidths(points), weights, strict=True):
        if np.isnan(point):
            density += weight
        elif is_ordered(d):
            density += weight * stats.truncnorm.pdf(x, -point / h, (1 - point) / h, loc=point, scale=h)
        else:
            density += weight * len(d.choices) * np.isclose(x, point)
    return density / (len(points) + 1)


def literal_draw(pick, u, points, weights, d):
    """The kernels that `pick` falls on, side by side, the uniform one at the end; of each the quantile u."""
    ends = np.cumsum([*weights, 1]) / (len(points) + 1)
    kernel = [next(i for i, end in enumerate(ends) if p < end) for p in pick]
    point, h = np.append(points, np.nan)[kernel], np.append(literal_bandwidths(points), 1)[kernel]
    x = point if not is_ordered(d) else stats.truncnorm.ppf(u, -point / h, (1 - point) / h, loc=point, scale=h)
    return np.where(np.isnan(point), u, x)


def literal_candidates(trials, space, quantile, pick, u):
    """Configurations, the one with the largest l/g first."""
    ranked = sorted(trials, key=lambda trial: trial[1] if isfinite(trial[1]) else np.inf)  # of ties the earlier first
    n_good = min(ceil(quantile * len(trials)), sum(isfinite(loss) for _, loss in trials))
    positions = np.array([to_unit(config, space) for config, _ in ranked])
    good, bad = positions[:n_good].T, positions[n_good:].T
    by_rank = np.arange(n_good, 0, -1) / np.arange(n_good, 0, -1).mean()
    kinds = list(space.values())
    x = [literal_draw(p, v, points, by_rank, d) for p, v, points, d in zip(pick, u, good, kinds, strict=True)]
    at = np.array([observed(position, space) for position in np.transpose(x)]).T
    score = np.ones(at.shape[1])
    for x_j, of_good, of_bad, d in zip(at, good, bad, kinds, strict=True):
        score *= literal_density(x_j, of_good, by_rank, d) / literal_density(x_j, of_bad, np.ones(len(of_bad)), d)
    return [configuration(np.transpose(x)[c], space) for c in np.argsort(-score, kind="stable")]


def robust_tpe(space, f, n_trials, *, seed, n_startup=15, quantile=0.25, n_candidates=24):
    """(configuration, origin) of each trial."""
    trials, proposals = [], []
    for i in range(n_trials):
        rng = np.random.default_rng([seed, i])
        tried = [config for config, _ in trials]
        if i < n_startup:
            config, origin = sample(space, rng), "startup"
        else:
            pick, u = rng.random((2, len(space), n_candidates))
            candidates = literal_candidates(trials, space, quantile, pick, u)
            if new := [config for config in candidates if config not in tried]:
                config, origin = new[0], "model"
            else:
                config, origin = sample(space, rng), "fallback"
                attempts = 1
                while config in tried and attempts < n_candidates:
                    config, attempts = sample(space, rng), attempts + 1
        trials.append((config, f(config)))
        proposals.append((config, origin))
    return proposals


@pytest.mark.parametrize("name", RUNS)
def test_plain_is_algorithm_1(name):
    space = RUNS[name]
    ours = play(TPE(space, seed=1, **SETTINGS["plain"]), 40, bowl(space))
    assert [proposal.origin for proposal in ours] == ["startup"] * 15 + ["model"] * 25
    assert_equal(ours, algorithm_1(space, bowl(space), 40, seed=1, h=0.2))


@pytest.mark.parametrize(("r", "h", "n", "m"), [(0.15, 0.1, 10, 12), (0.5, 0.3, 5, 40)])
def test_plain_is_algorithm_1_with_other_settings(r, h, n, m):
    tpe = TPE(KINDS, seed=2, estimator="plain", bandwidth=h, quantile=r, n_startup=n, n_candidates=m)
    expected = algorithm_1(KINDS, bowl(KINDS), 30, seed=2, h=h, r=r, n=n, n_candidates=m)
    assert_equal(play(tpe, 30, bowl(KINDS)), expected)


def test_plain_is_algorithm_1_with_a_narrow_bandwidth():
    space = RUNS["levels"]
    ours = play(TPE(space, seed=0, estimator="plain", bandwidth=0.03), 25, bowl(space))
    assert_equal(ours, algorithm_1(space, bowl(space), 25, seed=0, h=0.03))


@pytest.mark.parametrize("name", RUNS)
def test_robust_is_what_it_is_described_as(name):
    space = RUNS[name]
    ours = play(TPE(space, seed=3), 40, bowl(space))
    configs, origins = zip(*robust_tpe(space, bowl(space), 40, seed=3), strict=True)
    assert [proposal.origin for proposal in ours] == list(origins)
    assert_equal(ours, configs)


def test_robust_is_so_with_hyperparameters_that_do_not_always_exist():
    hia = SPACES["hia"]  # the filters of a layer exist where the layer does
    ours = play(TPE(hia, seed=4, n_startup=8, n_candidates=6), 25, bowl(hia))
    configs, _ = zip(*robust_tpe(hia, bowl(hia), 25, seed=4, n_startup=8, n_candidates=6), strict=True)
    assert len({len(config) for config in configs}) == 3
    assert_equal(ours, configs)


def test_robust_is_so_with_failures_and_another_quantile():
    def loss(config):
        return np.nan if config["float"] > 0 else bowl(FLOATS)(config)

    ours = play(TPE(FLOATS, seed=5, n_startup=6, quantile=0.9), 30, loss)
    configs, _ = zip(*robust_tpe(FLOATS, loss, 30, seed=5, n_startup=6, quantile=0.9), strict=True)
    failed = np.cumsum([np.isnan(loss(config)) for config in configs])
    assert all(failed[i] > 0.1 * (i + 1) for i in range(6, 20))  # fewer trials can be good than should be
    assert_equal(ours, configs)


def test_robust_is_so_when_the_space_is_exhausted():
    ours = play(TPE(SIX, seed=6, n_startup=2, n_candidates=3), 30, bowl(SIX))
    configs, origins = zip(*robust_tpe(SIX, bowl(SIX), 30, seed=6, n_startup=2, n_candidates=3), strict=True)
    assert [proposal.origin for proposal in ours] == list(origins)
    assert_equal(ours, configs)


# Densities.


def density_at(density, x):
    return np.exp(log_density(density, np.atleast_2d(x)))[0]


@given(seed=SEEDS, n=st.integers(2, 30), h=st.floats(0.1, 2))
@settings(max_examples=25, deadline=None)
def test_a_plain_density_is_scipys(seed, n, h):
    rng = np.random.default_rng(seed)
    points, x = rng.random((3, n)), rng.random((3, 20))
    ours = np.exp(log_density(plain_density(points, h), x))
    scipys = [stats.gaussian_kde(p, bw_method=h / p.std(ddof=1))(v) for p, v in zip(points, x, strict=True)]
    np.testing.assert_allclose(ours, scipys, rtol=1e-4)


@given(seed=SEEDS, n=st.integers(0, 30), share=st.sampled_from([0, 0.3, 1]))
@settings(max_examples=25, deadline=None)
def test_a_robust_density_is_a_mixture_of_scipys(seed, n, share):
    rng = np.random.default_rng(seed)
    points, x, weight = rng.random((3, n)), rng.random((3, 20)), rng.random(n) + 0.1
    points[2], x[2] = (rng.integers(4, size=n) + 0.5) / 4, (rng.integers(4, size=20) + 0.5) / 4
    points[rng.random((3, n)) < share] = np.nan
    weight /= weight.mean() if n else 1
    ours = np.exp(log_density(robust_density(points, {2: 4}, weight), x))
    kinds = [KINDS["float"], KINDS["float"], CategoricalDistribution(list("abcd"))]
    scipys = [literal_density(v, p, weight, d) for v, p, d in zip(x, points, kinds, strict=True)]
    np.testing.assert_allclose(ours, scipys, rtol=1e-4)


def test_densities_by_hand():
    # one point at 0.5, h = max(no gap, 1/2): phi(0)/0.5/(Phi(1) - Phi(-1)) = 0.797885/0.682689, and the prior
    one = robust_density(np.array([[0.5]]), {})
    assert density_at(one, [0.5]) == pytest.approx([(1 + 0.797885 / 0.682689) / 2], rel=1e-5)
    # 3 of 4 points are "a", of three choices: (1 + 3 * 3)/5, (1 + 3)/5 and 1/5
    counted = robust_density((np.array([[0, 0, 0, 1]]) + 0.5) / 3, {0: 3})
    assert density_at(counted, np.array([0.5, 1.5, 2.5]) / 3) == pytest.approx([2, 0.8, 0.2], rel=1e-6)
    assert density_at(plain_density(np.array([[0.0]]), 0.5), [0.5]) == pytest.approx([0.241971 / 0.5], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["good", "bad"])
def test_robust_densities_integrate_to_one(kind, part):
    d = KINDS[kind]
    configs = samples({kind: d}, 20, 7)
    configs[3] = configs[9] = {}  # where it does not exist
    density = dict(zip(("good", "bad"), told({kind: d}, configs, range(20)).densities(), strict=True))[part]
    if is_ordered(d):
        total, _ = integrate.quad(lambda x: density_at(density, [x])[0], 0, 1, epsabs=1e-5, limit=200)
    else:
        total = density_at(density, to_unit_of_levels(d)).mean()  # cells of the same length
    assert total == pytest.approx(1, abs=1e-5)


def to_unit_of_levels(d):
    return [to_unit({"c": choice}, {"c": d})[0] for choice in d.choices]


@pytest.mark.parametrize("kind", KINDS)
def test_plain_densities_integrate_to_one_over_the_real_line(kind):
    configs = samples({kind: KINDS[kind]}, 20, 8)
    for density in told({kind: KINDS[kind]}, configs, range(20), "plain").densities():
        total, _ = integrate.quad(lambda x, density=density: density_at(density, [x])[0], -2, 3, epsabs=1e-5)
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["float", "integer", "log integer"])
@pytest.mark.parametrize("missing", [False, True])
def test_draws_follow_the_robust_density(kind, missing):
    configs = samples({kind: KINDS[kind]}, 40, 9)
    configs[:2] = [{}, {}] if missing else configs[:2]
    density, _ = told({kind: KINDS[kind]}, configs, range(40)).densities()
    (x,) = draw(density, 4000, np.random.default_rng(0))
    fine = (np.arange(20_000) + 0.5) / 20_000
    share = density_at(density, fine).cumsum() / 20_000
    assert stats.kstest(x, lambda v: np.interp(v, fine, share)).pvalue > 1e-3


@pytest.mark.parametrize("missing", [False, True])
def test_drawn_categories_follow_the_robust_density(missing):
    d = KINDS["category"]
    configs = [{"c": choice} for choice in "aababbaa"] + [{"c": "b"}] * 24  # "c" was never seen
    configs[:2] = [{}, {}] if missing else configs[:2]
    density, _ = told({"c": d}, configs, range(32)).densities()
    (x,) = draw(density, 4000, np.random.default_rng(1))
    share = density_at(density, to_unit_of_levels(d))
    counts = np.bincount((x * 3).astype(int), minlength=3)
    assert stats.chisquare(counts, 4000 * share / share.sum()).pvalue > 1e-3


def test_draws_follow_the_plain_density_and_are_clipped():
    inside = plain_density(np.array([[0.4, 0.5, 0.6]]), 0.04)
    (x,) = draw(inside, 4000, np.random.default_rng(2))
    normals = [stats.norm(centre, 0.04) for centre in (0.4, 0.5, 0.6)]
    assert stats.kstest(x, lambda v: np.mean([normal.cdf(v) for normal in normals], axis=0)).pvalue > 1e-3
    edge = plain_density(np.array([[0.02], [0.9]]), 0.1)
    low, high = draw(edge, 4000, np.random.default_rng(3))
    assert min(low.min(), high.min()) == 0 <= 1 == max(low.max(), high.max())
    assert stats.binomtest(int((low == 0).sum()), 4000, stats.norm.cdf(-0.2)).pvalue > 1e-3
    assert stats.binomtest(int((high == 1).sum()), 4000, stats.norm.cdf(-1)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("points", "widths"),
    [
        ([0.1, 0.2, 0.5, 0.9], [0.2, 0.3, 0.4, 0.4]),  # the gap 0.1 is less than 1/5
        ([0.5, 0.9, 0.1, 0.2], [0.4, 0.4, 0.2, 0.3]),
        ([0.7], [0.5]),
        ([0.1, np.nan, 0.6], [0.5, 0.25, 0.5]),
        ([np.nan, np.nan], [1 / 3, 1 / 3]),
        ([0.3] * 9, [0.1] * 9),
        ([0.3] * 150, [0.01] * 150),
        ([], []),
    ],
)
def test_bandwidths_by_hand(points, widths):
    two = np.array([points, points[::-1]], dtype=float)
    np.testing.assert_allclose(bandwidths(two), [widths, widths[::-1]], rtol=1e-12)


@given(seed=SEEDS, n=st.integers(1, 150), share=st.sampled_from([0, 0.2]))
@settings(max_examples=25, deadline=None)
def test_bandwidths_are_those_of_a_loop(seed, n, share):
    rng = np.random.default_rng(seed)
    points = np.where(rng.random((2, n)) < share, np.nan, rng.random((2, n)))
    np.testing.assert_allclose(bandwidths(points), [literal_bandwidths(row) for row in points], rtol=1e-12)


def test_bandwidths_of_equal_points_are_those_of_a_loop():
    points = np.random.default_rng(0).integers(5, size=(4, 60)) / 4
    np.testing.assert_allclose(bandwidths(points), [literal_bandwidths(row) for row in points], rtol=1e-12)


@given(seed=SEEDS, n=st.integers(4, 40))
@settings(max_examples=25, deadline=None)
def test_the_order_of_trials_does_not_matter(seed, n):
    rng = np.random.default_rng(seed)
    configs, x = samples(FLOATS, n, seed), rng.random((2, 10))
    order = rng.permutation(n)
    for estimator in ESTIMATORS:
        one = told(FLOATS, configs, range(n), estimator).densities()
        other = told(FLOATS, [configs[i] for i in order], order, estimator).densities()
        for density, same in zip(one, other, strict=True):
            np.testing.assert_allclose(log_density(density, x), log_density(same, x), atol=1e-5)


# Which trials are good.


def good_and_bad(losses, estimator, **settings):
    """The numbers of the trials that are good, and of those that are bad, in order."""
    space = {"i": IntDistribution(0, 999)}
    tpe = TPE(space, seed=0, **SETTINGS[estimator], **settings)
    for i, loss in enumerate(losses):
        tpe.tell({"i": i}, loss)
    return tuple([from_unit({"i": x}, space)["i"] for x in part[0]] for part in tpe.split())


@BOTH
def test_the_best_quarter_is_good(estimator):
    assert good_and_bad([], estimator) == ([], [])
    assert good_and_bad([5.0], estimator) == ([0], [])
    assert good_and_bad([3, 1, 4, 2], estimator) == ([1], [3, 0, 2])
    assert good_and_bad([3, 1, 4, 2, 0], estimator) == ([4, 1], [3, 0, 2])
    assert good_and_bad([3, 1, 4, 2, 0], estimator, quantile=0.6) == ([4, 1, 3], [0, 2])


def test_of_ties_the_earlier_is_good_or_all_are():
    losses = [2, 1, 1, 0, 1, 2, 3, 1]
    assert good_and_bad(losses, "robust") == ([3, 1], [2, 4, 7, 0, 5, 6])
    assert good_and_bad(losses, "plain") == ([3, 1, 2, 4, 7], [0, 5, 6])


@BOTH
@pytest.mark.parametrize("bad", BAD)
def test_a_loss_that_is_no_number_is_bad(estimator, bad):
    assert good_and_bad([bad, 2, bad, 1, 1e300], estimator) == ([3, 1], [4, 0, 2])
    assert good_and_bad([bad, 2, bad, bad, bad], estimator, quantile=0.9) == ([1], [0, 2, 3, 4])
    assert good_and_bad([bad, bad], estimator) == ([], [0, 1])


@given(
    losses=st.lists(st.floats(allow_nan=True) | st.sampled_from([0.0, 1.0]), max_size=300),
    quantile=st.floats(0.05, 0.95),
)
@settings(max_examples=40, deadline=None)
def test_splits_are_those_of_a_sort(losses, quantile):
    key = [value if isfinite(value) else np.inf for value in losses]
    ranked = sorted(range(len(losses)), key=key.__getitem__)
    n_good = min(ceil(quantile * len(losses)), sum(map(isfinite, losses)))
    assert good_and_bad(losses, "robust", quantile=quantile) == (ranked[:n_good], ranked[n_good:])
    if losses:
        y_star = key[ranked[ceil(quantile * len(losses)) - 1]]
        good = [i for i in ranked if key[i] <= y_star and isfinite(losses[i])]
        assert good_and_bad(losses, "plain", quantile=quantile) == (good, [i for i in ranked if i not in good])


# Extremes.


@BOTH
@pytest.mark.parametrize("bad", BAD)
def test_without_a_good_trial_proposals_are_a_fallback(estimator, bad):
    proposals = play(TPE(KINDS, seed=1, n_startup=3, **SETTINGS[estimator]), 8, lambda config: bad)
    assert [proposal.origin for proposal in proposals] == ["startup"] * 3 + ["fallback"] * 5
    assert len({tuple(proposal.items()) for proposal in proposals}) == 8


def test_before_anything_is_told_proposals_are_a_fallback():
    for estimator in ESTIMATORS:
        tpe = TPE(KINDS, seed=2, n_startup=1, **SETTINGS[estimator])
        assert [tpe.ask().origin for _ in range(3)] == ["startup", "fallback", "fallback"]


def test_one_good_trial_and_the_prior_are_enough_for_robust():
    robust, plain = (told(X, [{"x": 0.5}], [1.0], estimator) for estimator in ("robust", "plain"))
    assert (robust.ask().origin, plain.ask().origin) == ("model", "fallback")
    assert plain.densities() is None and len(robust.densities()) == 2


@BOTH
def test_the_same_trial_a_thousand_times(estimator):
    tpe = told(KINDS, samples(KINDS, 1, 3) * 1000, [0.5] * 1000, estimator)
    proposals = [tpe.ask() for _ in range(20)]
    for proposal in proposals:
        check_config(proposal, KINDS)
    assert {proposal.origin for proposal in proposals} == {"model" if estimator == "robust" else "fallback"}
    assert len({tuple(proposal.items()) for proposal in proposals}) == 20


@BOTH
def test_the_same_loss_for_a_thousand_configurations(estimator):
    configs = samples(KINDS, 1000, 4)
    tpe = told(KINDS, configs, [0.5] * 1000, estimator)
    good, bad = tpe.split()
    assert (good.shape[1], bad.shape[1]) == ((250, 750) if estimator == "robust" else (1000, 0))
    proposal = tpe.ask()
    check_config(proposal, KINDS)
    assert proposal.origin == ("model" if estimator == "robust" else "fallback") and proposal not in configs


def test_a_category_that_no_good_trial_has_can_be_proposed():
    space = {"c": KINDS["category"]}
    tpe = told(space, [{"c": "a"}] * 3 + [{"c": "b"}] * 9, range(12))
    good, bad = tpe.densities()
    # of 3 good and 9 bad trials "b" has 0 and 9, "c" none: the prior's 1/4, (1 + 9 * 3)/10, 1/10
    assert density_at(good, to_unit_of_levels(space["c"])[1:]) == pytest.approx([0.25, 0.25], rel=1e-6)
    assert density_at(bad, to_unit_of_levels(space["c"])[1:]) == pytest.approx([2.8, 0.1], rel=1e-6)
    proposal = tpe.ask()
    assert proposal == {"c": "c"} and proposal.origin == "model"


@BOTH
@pytest.mark.parametrize("d", [1, 50])
def test_any_number_of_dimensions(estimator, d):
    space = {f"x{j}": (X["x"], KINDS["integer"], KINDS["category"])[j % 3] for j in range(d)}
    proposals = play(TPE(space, seed=5, **SETTINGS[estimator]), 25, bowl(space))
    for proposal in proposals:
        check_config(proposal, space)
    assert [proposal.origin for proposal in proposals] == ["startup"] * 15 + ["model"] * 10


@given(seed=SEEDS, n_startup=st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_nothing_is_proposed_again_while_something_is_new(seed, n_startup):
    proposals = play(TPE(SIX, seed=seed, n_startup=n_startup), 20, bowl(SIX))
    for i, proposal in enumerate(proposals):
        check_config(proposal, SIX)
        if i >= n_startup:
            assert proposal not in proposals[:i] or proposal.origin == "fallback"
    assert len({tuple(proposal.items()) for proposal in proposals}) == 6
    assert [proposal.origin for proposal in proposals[-3:]] == ["fallback"] * 3


def test_nothing_is_proposed_again_before_the_space_is_exhausted():
    tpe = TPE(SIX, seed=0, n_startup=1)
    proposals = [tpe.ask(), *play(tpe, 3, bowl(SIX)), tpe.ask(), tpe.ask()]  # told or not
    assert len({tuple(proposal.items()) for proposal in proposals}) == 6
    assert {proposal.origin for proposal in proposals[1:]} <= {"model", "fallback"}
    tpe = told(SIX, proposals[1:], range(5))  # nor what was told without having been asked
    assert tpe.ask() == proposals[0]


def test_plain_repeats_itself():
    proposals = play(TPE(SIX, seed=0, **SETTINGS["plain"]), 40, bowl(SIX))
    assert {proposal.origin for proposal in proposals[15:]} == {"model"}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("n_startup", [1, 15, 20])
def test_proposals_lie_in_the_space_and_the_first_are_random(name, n_startup):
    proposals = play(TPE(SPACES[name], seed=6, n_startup=n_startup), 30, bowl(SPACES[name]))
    assert [proposal.origin for proposal in proposals] == ["startup"] * n_startup + ["model"] * (30 - n_startup)
    for i, proposal in enumerate(proposals):
        check_config(proposal, SPACES[name])
        if i < n_startup:
            assert proposal == sample(SPACES[name], np.random.default_rng(np.random.SeedSequence([6, i])))


# Seeds, resuming, and asking ahead.


@BOTH
def test_proposals_follow_their_seed_and_not_the_global_state(estimator):
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    first = play(TPE(KINDS, seed=7, **SETTINGS[estimator]), 25, bowl(KINDS))
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(1)
    assert play(TPE(KINDS, seed=7, **SETTINGS[estimator]), 25, bowl(KINDS)) == first
    other = play(TPE(KINDS, seed=8, **SETTINGS[estimator]), 25, bowl(KINDS))
    assert not any(proposal in first for proposal in other)


FRESH = """
from gsos.space import SPACES, to_unit
from gsos.tpe import TPE
for settings in {}, {"estimator": "plain", "bandwidth": 0.2}:
    tpe = TPE(SPACES["gsos"], seed=3, **settings)
    for _ in range(60):
        config = tpe.ask()
        tpe.tell(config, float(((to_unit(config, SPACES["gsos"]) - 0.3) ** 2).sum()))
        print(repr(config))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "12345"},
        {"NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3"},  # another processor
    ],
    ids=["hashes", "processor"],
)
def test_a_fresh_process_proposes_the_same(environment, capsys):
    exec(FRESH)
    here = capsys.readouterr().out.splitlines()
    command = [sys.executable, "-W", "ignore", "-c", FRESH]
    again = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True).stdout
    assert len(here) == 120
    assert_equal(map(ast.literal_eval, again.splitlines()), map(ast.literal_eval, here))


@given(seed=SEEDS, i=st.integers(0, 30), estimator=st.sampled_from(ESTIMATORS), name=st.sampled_from(["all", "levels"]))
@settings(max_examples=15, deadline=None)
def test_a_run_goes_on_as_it_would_have(seed, i, estimator, name):
    space = RUNS[name]

    def loss(config):
        value = bowl(space)(config)
        return np.nan if value > 1.2 else value

    whole = play(TPE(space, seed=seed, n_startup=8, **SETTINGS[estimator]), 30, loss)
    resumed = TPE(space, seed=seed, n_startup=8, **SETTINGS[estimator])
    for config in whole[:i]:
        resumed.tell(dict(config), loss(config))
    assert resumed.n_told == i
    again = play(resumed, 30 - i, loss)
    assert again == whole[i:] and [p.origin for p in again] == [p.origin for p in whole[i:]]


def test_the_first_trial_and_a_sequence_of_seeds_continue_a_stream():
    whole = [TPE(KINDS, seed=[1, 2], first=i).ask() for i in range(4)]
    tpe = TPE(KINDS, seed=[1, 2])
    assert [tpe.ask() for _ in range(4)] == whole
    assert whole[3] == sample(KINDS, np.random.default_rng([1, 2, 3]))
    assert not any(TPE(KINDS, seed=[1, 3]).ask() == config for config in whole)


@pytest.mark.parametrize("n_told", [0, 20])
def test_several_may_be_asked_before_they_are_told(n_told):
    space = SIX | X
    tpe = TPE(space, seed=10)
    play(tpe, n_told, bowl(space))
    ahead = [tpe.ask() for _ in range(18)]
    assert len({tuple(proposal.items()) for proposal in ahead}) == 18
    assert [proposal.origin for proposal in ahead].count("startup") == max(15 - n_told, 0)
    for proposal in reversed(ahead):
        tpe.tell(proposal, bowl(space)(proposal))
    assert tpe.n_told == n_told + 18 and tpe.ask() not in ahead


def test_of_levels_asked_ahead_none_is_asked_twice():
    tpe = told(SIX, [{"n": 1, "c": "a"}], [0.0])
    assert len({tuple(tpe.ask().items()) for _ in range(5)}) == 5


# Does it help?


def test_the_robust_estimator_beats_random_search():
    space = {name: KINDS[name] for name in ("float", "log float", "integer", "number")}
    guided, random = [], []
    for seed in range(10):
        guided.append(min(map(bowl(space), play(TPE(space, seed=seed), 60, bowl(space)))))
        random.append(min(map(bowl(space), samples(space, 60, seed))))
    assert stats.wilcoxon(guided, random, alternative="less").pvalue < 0.005
    assert np.median(guided) < 0.5 * np.median(random)


# Errors.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"space": {}}, "space must have at least one hyperparameter"),
        ({"estimator": "clever"}, "estimator must be one of robust, plain, not 'clever'"),
        ({"estimator": "plain"}, "estimator 'plain' needs a positive bandwidth, 'robust' none; got None"),
        ({"estimator": "plain", "bandwidth": 0.0}, "needs a positive bandwidth, 'robust' none; got 0.0"),
        ({"estimator": "plain", "bandwidth": -1}, "needs a positive bandwidth, 'robust' none; got -1"),
        ({"estimator": "plain", "bandwidth": np.nan}, "needs a positive bandwidth, 'robust' none; got nan"),
        ({"bandwidth": 0.1}, "needs a positive bandwidth, 'robust' none; got 0.1"),
        ({"quantile": 0}, "quantile must lie between 0 and 1, not 0"),
        ({"quantile": 1.0}, "quantile must lie between 0 and 1, not 1.0"),
        ({"quantile": np.nan}, "quantile must lie between 0 and 1, not nan"),
        ({"n_startup": 0}, "n_startup must be at least 1, not 0"),
        ({"n_candidates": 0}, "n_candidates must be at least 1, not 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TPE(**({"space": X, "seed": 0} | wrong))


@BOTH
def test_a_trial_that_cannot_be_is_refused(estimator):
    tpe = TPE(KINDS, seed=0, **SETTINGS[estimator])
    (config,) = samples(KINDS, 1, 0)
    with pytest.raises(ValueError, match="unknown hyperparameter 'depth'; the space has"):
        tpe.tell(config | {"depth": 3}, 0.0)
    with pytest.raises(ValueError, match="stepped = 2 is outside of IntDistribution"):
        tpe.tell(config | {"stepped": 2}, 0.0)
    with pytest.raises(ValueError, match="category = 'z' is outside of CategoricalDistribution"):
        tpe.tell(config | {"category": "z"}, 0.0)
    assert tpe.n_told == 0 and tpe.split()[1].shape == (7, 0)


def test_a_missing_hyperparameter_is_refused_where_the_estimator_is_plain():
    with pytest.raises(ValueError, match="the configuration lacks 'c'"):
        TPE(SIX, seed=0, **SETTINGS["plain"]).tell({"n": 1}, 0.0)


def test_a_hyperparameter_that_does_not_exist_is_refused_where_the_estimator_is_plain():
    with pytest.raises(ValueError, match="num_filters"):
        play(TPE(SPACES["hia"], seed=0, **SETTINGS["plain"]), 15, bowl(SPACES["hia"]))


def test_what_is_no_seed_and_no_loss_is_named():
    space = {"x": FloatDistribution(0, 1)}
    for seed in (None, -1, 1.5):
        with pytest.raises(ValueError, match=f"seed must be at least 0, not {seed}"):
            TPE(space, seed=seed)
    for loss in (None, "a"):
        with pytest.raises(ValueError, match=f"loss must be a number, .* not {loss!r}"):
            TPE(space, seed=0).tell({"x": 0.5}, loss)
    with pytest.raises(ValueError, match="needs a positive bandwidth, 'robust' none; got inf"):
        TPE(space, seed=0, estimator="plain", bandwidth=np.inf)
