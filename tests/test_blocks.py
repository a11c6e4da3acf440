"""Block TPE beside a slow, literal transcription of it, and beside SciPy's and scikit-learn's densities and models."""

import warnings
from itertools import product
from math import ceil, erf, exp, isfinite, log, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import integrate, stats
from sklearn.linear_model import Ridge

from gsos.blocks import MAX_GOOD, BlockTPE, _Axes, _Densities
from gsos.problems import PROBLEMS
from gsos.space import SPACES, check_config, from_unit, is_ordered, sample, to_unit

KINDS = {
    "float": FloatDistribution(-2.0, 3.0),
    "log float": FloatDistribution(1e-5, 1.0, log=True),
    "integer": IntDistribution(2, 9),
    "log integer": IntDistribution(4, 64, log=True),  # 61 levels
    "few logs": IntDistribution(1, 8, log=True),  # intervals of different lengths
    "long": IntDistribution(0, 5000),
    "stepped": IntDistribution(1, 13, step=4),
    "category": CategoricalDistribution(["a", "b", "c"]),
    "number": CategoricalDistribution([32, 64, 128, 256, 512]),
}
FLOATS = {name: KINDS[name] for name in ("float", "log float")}
RUNS = {
    "floats": FLOATS,
    **{name: {name: d, "x": KINDS["float"]} for name, d in KINDS.items() if name not in FLOATS},
    "levels": {name: KINDS[name] for name in ("stepped", "category", "number", "few logs")},
    "all": KINDS,
    "conditions": SPACES["hia"],  # the filters of a layer exist where the layer does
}
SIX = {"n": IntDistribution(1, 3), "c": CategoricalDistribution(["a", "b"])}  # 6 configurations
BAD = [np.nan, np.inf, -np.inf]
SEEDS = st.integers(0, 2**32 - 1)


def bowl(space):
    """A loss: deterministic, another one for another configuration, best inside the space."""

    def loss(config):
        x = to_unit(config, space)
        return float(np.nansum([(1 + 0.37 * j) * (v - 0.31 - 0.043 * j) ** 2 for j, v in enumerate(x)]))

    return loss


def play(tpe, n, loss, cost=lambda config: None):
    """n proposals, each told."""
    proposals = []
    for _ in range(n):
        proposals.append(tpe.ask())
        tpe.tell(proposals[-1], loss(proposals[-1]), cost(proposals[-1]))
    return proposals


def samples(space, n, seed):
    rng = np.random.default_rng(seed)
    return [sample(space, rng) for _ in range(n)]


def positions(configs, space):
    """(d, n)."""
    return np.array([to_unit(config, space) for config in configs]).T.reshape(len(space), len(configs))


class Densities:
    """l and g of these trials."""

    def __init__(self, good, bad, space, bandwidth=0.1):
        self.axes = _Axes(space)
        self.both = _Densities(positions([*good, *bad], space), len(good), self.axes, bandwidth)

    def log_ratio(self, x):
        """(m,) at x (d, m), as it will be observed."""
        x = np.array(x)
        return self.both.log_ratio(x, self.axes.snap(x))

    def draw(self, kernel, u):
        """(d, m), as it will be observed."""
        x = self.both.draw(kernel, u)
        self.axes.snap(x)
        return x


def distinct(proposals):
    return len({tuple(proposal.items()) for proposal in proposals})


# Block TPE in loops. It is handed the uniform numbers that are drawn at once.


def Phi(z):
    return (1 + erf(z / sqrt(2))) / 2


def intervals(d):
    """The bounds of each level's interval, where there are at most 16 levels or they have no order; else None."""
    if isinstance(d, CategoricalDistribution):
        k = len(d.choices)
        bounds = [i / k for i in range(k + 1)]
    elif isinstance(d, FloatDistribution):
        return None
    elif d.log:
        ends = [log(v - 0.5) for v in range(d.low, d.high + 2)]
        bounds = [(end - ends[0]) / (ends[-1] - ends[0]) for end in ends]
    else:
        k = (d.high - d.low) // d.step + 1
        bounds = [i / k for i in range(k + 1)]
    return bounds if len(bounds) <= 17 or not is_ordered(d) else None


def kernel(x, point, d, m, b, n_dimensions):
    """The density at x of one hyperparameter's kernel at a trial, one of m."""
    if np.isnan(point):
        return 1.0
    bounds = intervals(d)
    if not is_ordered(d):
        k = len(bounds) - 1
        return k * ((int(x * k) == int(point * k)) + 1 / (m + 1)) / (1 + k / (m + 1))
    h = b * m ** (-1 / (n_dimensions + 4))
    if bounds is None:
        kept = Phi((1 - point) / h) - Phi(-point / h)
        return exp(-(((x - point) / h) ** 2) / 2) / (h * sqrt(2 * pi)) / kept
    h = max(h, 0.25 / (len(bounds) - 1))
    low, high = next((low, high) for low, high in zip(bounds, bounds[1:], strict=False) if low <= x <= high)
    inside = (Phi((high - point) / h) - Phi((low - point) / h)) / (Phi((1 - point) / h) - Phi(-point / h))
    return inside / (high - low)


def density(x, points, space, b):
    """A mixture of products of kernels, and the uniform prior as one more of them; x: (d,), points: a list of (d,)."""
    m = len(points)
    total = 1.0
    for point in points:
        total += np.prod([kernel(x[j], point[j], d, m, b, len(space)) for j, d in enumerate(space.values())])
    return total / (m + 1)


def observed(position, space):
    """Where a candidate will be seen: at the position of its level, if its hyperparameter has levels."""
    return [
        x if isinstance(d, FloatDistribution) else float(to_unit(from_unit({name: x}, {name: d}), {name: d})[0])
        for x, (name, d) in zip(position, space.items(), strict=True)
    ]


def configuration(position, space):
    return from_unit(dict(zip(space, map(float, position), strict=True)), space)


def drawn(pick, u, points, d, b, n_dimensions):
    """One value for two uniform numbers: of which trial's kernel, and where."""
    m = len(points)
    chosen = int(pick * (m + 1))
    if chosen == m or np.isnan(points[chosen]):
        return u
    if not is_ordered(d):
        another = len(d.choices) / (m + 1 + len(d.choices))
        return u / another if u < another else points[chosen]
    h = b * m ** (-1 / (n_dimensions + 4))
    if (bounds := intervals(d)) is not None:
        h = max(h, 0.25 / (len(bounds) - 1))
    return stats.truncnorm.ppf(u, -points[chosen] / h, (1 - points[chosen]) / h, loc=points[chosen], scale=h)


def features(x, space):
    """An indicator of each level, or the position and its square."""
    columns = []
    for value, d in zip(x, space.values(), strict=True):
        bounds = intervals(d)
        if bounds is None:
            columns += [0, 0] if np.isnan(value) else [value, value**2]
        else:
            columns += [float(low < value < high) for low, high in zip(bounds, bounds[1:], strict=False)]
    return columns


def literal_candidates(trials, space, chances, kernel_u, place_u, block_u, one_u, *, q, b, full_share, cost_weight):
    """Configurations, the one with the largest score first."""
    d, m = kernel_u.shape
    ranked = sorted(trials, key=lambda trial: trial[1] if isfinite(trial[1]) else np.inf)  # of ties the earlier first
    n_good = min(ceil(q * len(trials)), 25, sum(isfinite(loss) for _, loss, _ in trials))
    points = [to_unit(config, space) for config, _, _ in ranked]
    if not n_good:
        return [configuration(place_u[:, c], space) for c in range(m)]
    good, bad = points[:n_good], points[n_good:]
    candidates, scores = [], []
    for c in range(m):
        full = c < round(full_share * m)
        block = {j for j in range(d) if block_u[j, c] < chances[j]}
        if not block:
            ends = np.cumsum(chances) / sum(chances)
            block = {next(j for j in range(d) if one_u[c] <= ends[j])}
        x = []
        for j, distribution in enumerate(space.values()):
            of_trials = [point[j] for point in good]
            if full or j in block or np.isnan(of_trials[0]):
                pick = kernel_u[0 if full else j, c]
                x.append(drawn(pick, place_u[j, c], of_trials, distribution, b, d))
            else:
                x.append(of_trials[0])
        x = observed(x, space)
        candidates.append(x)
        scores.append(density(x, good, space, b) / density(x, bad, space, b))
    if cost_weight and (known := [(config, cost) for config, _, cost in trials if cost is not None]):
        X = [features(to_unit(config, space), space) for config, _ in known]
        model = Ridge(alpha=1.0).fit(X, [log(cost) for _, cost in known])
        costs = np.exp(model.predict([features(x, space) for x in candidates]))
        improvements = [1 / (q + (1 - q) / ratio) for ratio in scores]  # GSOS Eq 6
        scores = [ei / cost**cost_weight for ei, cost in zip(improvements, costs, strict=True)]
    return [configuration(candidates[c], space) for c in np.argsort(-np.array(scores), kind="stable")]


def block_tpe(space, f, n_trials, *, seed, cost=lambda config: None, default=None, weights=None, n_startup=10,
              n_candidates=24, quantile=0.1, bandwidth=0.1, full_share=0.5, cost_weight=0.0):  # fmt: skip
    """(configuration, origin) of each trial."""
    trials, proposals = [], []
    d, m = len(space), n_candidates
    share = np.array([weights[name] / sum(weights.values()) if weights else 1 / d for name in space])
    chances = [min(max(2 * p, 0.05), 1) for p in share]

    def is_new(config):
        x = to_unit(config, space)
        return not any(np.allclose(x, to_unit(c, space), rtol=0, atol=1e-9, equal_nan=True) for c, _, _ in trials)

    for i in range(n_trials):
        rng = np.random.default_rng([seed, i])
        if i == 0:
            middle = {name: 0.5 if is_ordered(d) else rng.random() for name, d in space.items()}
            config, origin = default or from_unit(middle, space), "startup"
        elif i < n_startup:
            starts = [configuration(column, space) for column in rng.random((d, m)).T]
            config, origin = next(filter(is_new, starts), starts[0]), "startup"
        else:
            kernel_u, place_u, block_u = rng.random((3, d, m))
            some = any(isfinite(loss) for _, loss, _ in trials)
            one_u = rng.random(m) if some else None
            options = {"q": quantile, "b": bandwidth, "full_share": full_share, "cost_weight": cost_weight}
            found = literal_candidates(trials, space, chances, kernel_u, place_u, block_u, one_u, **options)
            config, origin = next(filter(is_new, found), found[0]), "model" if some else "fallback"
            if not is_new(config):
                origin, changed = "fallback", to_unit(config, space)
                while not is_new(config):
                    row = rng.integers(d)
                    changed[row] = rng.random()
                    config = configuration(changed, space)
        trials.append((config, f(config), cost(config)))
        proposals.append((config, origin))
    return proposals


def assert_equal(ours, expected):
    """Levels exactly, numbers of a continuous range but for rounding."""
    for i, (proposal, (config, origin)) in enumerate(zip(ours, expected, strict=True)):
        assert proposal.keys() == config.keys() and proposal.origin == origin, i
        for name, value in proposal.items():
            assert value == (pytest.approx(config[name], rel=1e-6) if isinstance(value, float) else config[name]), i


@pytest.mark.parametrize("name", RUNS)
def test_proposals_are_what_they_are_described_as(name):
    space = RUNS[name]
    ours = play(BlockTPE(space, seed=3, n_candidates=12), 24, bowl(space))
    assert_equal(ours, block_tpe(space, bowl(space), 24, seed=3, n_candidates=12))
    if name == "conditions":
        assert len({len(proposal) for proposal in ours}) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"n_startup": 4, "quantile": 0.4, "n_candidates": 7},
        {"bandwidth": 0.03, "full_share": 0.3, "n_startup": 5},
        {"weights": {name: float(j) for j, name in enumerate(KINDS)}, "full_share": 0.0, "n_startup": 5},
        {"default": dict(samples(KINDS, 1, 8)[0]), "full_share": 1.0, "n_startup": 5},
        {"cost_weight": 2.0, "n_startup": 5},
    ],
    ids=lambda options: " ".join(options),
)
def test_they_are_so_with_other_settings(options):
    def cost(config):
        return None if config["category"] == "b" else 0.1 + config["long"] / config["number"]

    options = {"n_candidates": 10} | options
    ours = play(BlockTPE(KINDS, seed=4, **options), 18, bowl(KINDS), cost)
    assert_equal(ours, block_tpe(KINDS, bowl(KINDS), 18, seed=4, cost=cost, **options))


def test_they_are_so_with_failures_and_more_of_them_than_bad_trials():
    def loss(config):
        return np.nan if config["float"] > -1 else bowl(FLOATS)(config)

    options = {"n_startup": 6, "quantile": 0.8, "n_candidates": 8}
    ours = play(BlockTPE(FLOATS, seed=7, **options), 20, loss)
    assert sum(np.isnan(loss(config)) for config in ours[:6]) > 3
    assert_equal(ours, block_tpe(FLOATS, loss, 20, seed=7, **options))


@pytest.mark.parametrize("bad", BAD)
def test_they_are_so_when_the_space_is_exhausted_and_where_nothing_is_good(bad):
    ours = play(BlockTPE(SIX, seed=6, n_startup=2, n_candidates=3), 6, bowl(SIX))
    assert_equal(ours, block_tpe(SIX, bowl(SIX), 6, seed=6, n_startup=2, n_candidates=3))
    ours = play(BlockTPE(KINDS, seed=6, n_startup=2), 6, lambda config: bad)
    assert [proposal.origin for proposal in ours] == ["startup"] * 2 + ["fallback"] * 4 and distinct(ours) == 6
    assert_equal(ours, block_tpe(KINDS, lambda config: bad, 6, seed=6, n_startup=2))


# Densities.


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(("n_good", "n_bad"), [(3, 12), (1, 0), (0, 5), (7, 1)])
def test_the_ratio_is_that_of_a_loop(name, n_good, n_bad):
    space = RUNS[name]
    configs = samples(space, n_good + n_bad, 11)
    for config, missing in zip(configs, list(space) * 3, strict=False):  # not only where conditions make them so
        config.pop(missing, None) if len(config) > 1 else None
    good, bad = configs[:n_good], configs[n_good:]
    x = np.array([observed(u, space) for u in np.random.default_rng(12).random((15, len(space)))]).T
    of_good, of_bad = positions(good, space).T, positions(bad, space).T
    expected = [log(density(v, of_good, space, 0.15) / density(v, of_bad, space, 0.15)) for v in x.T]
    np.testing.assert_allclose(Densities(good, bad, space, 0.15).log_ratio(x), expected, rtol=1e-6, atol=1e-9)


def test_a_ratio_by_hand():
    space = {"c": KINDS["category"]}
    at = positions([{"c": choice} for choice in "abc"], space)
    # l of two "a": the prior 1, and twice 3 (1 + 1/3)/(1 + 1) or 3 (1/3)/2; g of one "b": 3 (1 + 1/2)/(1 + 3/2)
    a, other = 3 * (4 / 3) / 2, 3 * (1 / 3) / 2
    b, rest = 3 * 1.5 / 2.5, 3 * 0.5 / 2.5
    good = [(1 + 2 * a) / 3, (1 + 2 * other) / 3, (1 + 2 * other) / 3]
    bad = [(1 + rest) / 2, (1 + b) / 2, (1 + rest) / 2]
    ratio = Densities([{"c": "a"}] * 2, [{"c": "b"}], space).log_ratio(at)
    np.testing.assert_allclose(np.exp(ratio), np.divide(good, bad), rtol=1e-12)
    # a float at .5, h = .2, and the prior: (1 + phi(0)/.2/(Phi(2.5) - Phi(-2.5)))/2, and 2.5 sd away
    one = Densities([{"x": 0.5}], [], {"x": FloatDistribution(0.0, 1.0)}, 0.2).log_ratio(np.array([[0.5, 0.0]]))
    expected = [(1 + 0.39894228 / 0.2 / 0.98758067) / 2, (1 + 0.01752830 / 0.2 / 0.98758067) / 2]
    np.testing.assert_allclose(np.exp(one), expected, rtol=1e-6)


def levels_of(d):
    values = d.choices if isinstance(d, CategoricalDistribution) else range(d.low, d.high + 1, d.step)
    return [float(to_unit({"v": value}, {"v": d})[0]) for value in values]


@pytest.mark.parametrize("part", ["good", "bad"])
def test_densities_integrate_to_one(part):
    space = {name: KINDS[name] for name in ("few logs", "category", "stepped", "float")}
    configs = samples(space, 9, 13)
    del configs[2]["few logs"], configs[3]["float"], configs[4]["category"]
    of = Densities(configs, [], space) if part == "good" else Densities([], configs, space)
    sign = 1 if part == "good" else -1  # the other one is the prior alone, 1 everywhere
    cells = [list(zip(levels_of(d), np.diff(intervals(d)), strict=True)) for d in list(space.values())[:3]]
    at = list(product(*cells))
    lengths = np.array([a[1] * b[1] * c[1] for a, b, c in at])

    def over_cells(x):
        point = np.array([[a[0], b[0], c[0], x] for a, b, c in at]).T
        return lengths @ np.exp(sign * of.log_ratio(point))

    total, _ = integrate.quad(over_cells, 0, 1, epsabs=1e-7, limit=200)
    assert lengths.sum() == pytest.approx(1) and total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("missing", [False, True])
def test_draws_follow_the_density_jointly(missing):
    space = {name: KINDS[name] for name in ("few logs", "category", "float")}
    good = [{"few logs": 1, "category": "a", "float": -1.5}, {"few logs": 7, "category": "b", "float": 2.0}] * 2
    good += [{"category": "c", "float": 0.0}, {"few logs": 3}] if missing else []
    of, rng = Densities(good, [], space, 0.3), np.random.default_rng(14)
    n, n_parts = 6000, 400
    together = np.broadcast_to(rng.random(n), (3, n))  # whole configurations: one trial for all values
    x = of.draw(together, rng.random((3, n)))
    cells = list(product(levels_of(space["few logs"]), levels_of(space["category"])))
    lengths = [a * b for a, b in product(np.diff(intervals(space["few logs"])), [1 / 3] * 3)]
    fine = (np.arange(n_parts) + 0.5) / n_parts
    expected, counts = [], []
    for (level, category), length in zip(cells, lengths, strict=True):
        at = np.array([np.full(n_parts, level), np.full(n_parts, category), fine])
        expected += list(n * length * np.exp(of.log_ratio(at)).reshape(4, -1).mean(axis=1) / 4)
        inside = np.isclose(x[0], level) & np.isclose(x[1], category)
        counts += list(np.bincount((x[2, inside] * 4).astype(int), minlength=4))
    assert sum(counts) == n and sum(expected) == pytest.approx(n, rel=1e-3)
    assert min(expected) > 2
    assert stats.chisquare(counts, np.array(expected) * n / sum(expected)).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["float", "log integer", "long"])
def test_marginal_draws_follow_the_density(kind):
    space = {kind: KINDS[kind], "other": KINDS["category"]}
    configs = samples(space, 6, 15)
    of, rng = Densities(configs, [], space, 0.2), np.random.default_rng(16)
    x = of.draw(rng.random((2, 4000)), rng.random((2, 4000)))
    h = 0.2 * 6 ** (-1 / 6)
    kernels = [stats.truncnorm(-p / h, (1 - p) / h, loc=p, scale=h) for p in positions(configs, space)[0]]
    seen = x[0] if kind == "float" else x[0] + rng.uniform(-0.5, 0.5, 4000) * (1 / 5001 if kind == "long" else 0)
    if kind == "log integer":  # within its interval anew
        bounds = np.log(np.arange(3.5, 65)) - log(3.5)
        cell = np.searchsorted(bounds / bounds[-1], x[0], "right") - 1
        seen = (bounds[cell] + rng.random(4000) * np.diff(bounds)[cell]) / bounds[-1]
    expected = stats.kstest(seen, lambda v: (v + sum(k.cdf(v) for k in kernels)) / 7)
    assert expected.pvalue > 1e-3 or expected.statistic < 0.02


def test_kernels_are_not_narrower_than_a_quarter_of_a_level():
    space = {"few": IntDistribution(1, 2), "many": KINDS["long"]}
    configs = [{"few": 1, "many": 2500}]
    x = positions([{"few": 1, "many": 2500}, {"few": 2, "many": 2500}], space)
    fine = 1 / (0.01 * sqrt(2 * pi))
    inside = 2 * (stats.norm.cdf(2) - stats.norm.cdf(-2)) / (stats.norm.cdf(6) - stats.norm.cdf(-2))  # h = 1/8
    outside = 2 * (stats.norm.cdf(6) - stats.norm.cdf(2)) / (stats.norm.cdf(6) - stats.norm.cdf(-2))
    expected = [(1 + fine * inside) / 2, (1 + fine * outside) / 2]
    np.testing.assert_allclose(np.exp(Densities(configs, [], space, 0.01).log_ratio(x)), expected, rtol=1e-6)


@given(seed=SEEDS, n=st.integers(2, 20))
@settings(max_examples=15, deadline=None)
def test_the_order_of_trials_does_not_matter(seed, n):
    configs, rng = samples(KINDS, n, seed), np.random.default_rng(seed)
    x = np.array([observed(u, KINDS) for u in rng.random((5, len(KINDS)))]).T
    n_good = int(rng.integers(1, n))
    good, bad = configs[:n_good], configs[n_good:]
    once = Densities(good, bad, KINDS).log_ratio(x)
    np.testing.assert_allclose(once, Densities(good[::-1], bad[::-1], KINDS).log_ratio(x), atol=1e-9)


def test_the_ratio_holds_where_densities_are_beyond_floats():
    space = {f"x{j}": FloatDistribution(0.0, 1.0) for j in range(200)}
    good, bad = dict.fromkeys(space, 0.5), dict.fromkeys(space, 0.501)  # a tenth of a standard deviation away
    assert -200 * log(0.01 * sqrt(2 * pi)) > log(1e308)  # the height of either
    x = np.full((200, 3), 0.5) + [[0.0, 0.001, 0.4]]
    assert Densities([good], [bad], space, 0.01).log_ratio(x) == pytest.approx([1, -1, 0], abs=1e-6)  # 200 * .1^2 / 2
    for one, sign in ((Densities([good], [], space, 0.01), 1), (Densities([], [good], space, 0.01), -1)):
        here, _, away = one.log_ratio(x)
        assert 650 < sign * here < np.inf and away == pytest.approx(-sign * log(2))


def test_sixteen_levels_are_integrated_and_seventeen_are_not():
    space = {"sixteen": IntDistribution(1, 16), "seventeen": IntDistribution(1, 17)}
    good = [{"sixteen": 8, "seventeen": 8}]
    of = Densities(good, [], space, 0.03)
    cell = 16 * (stats.norm.cdf(1 / 32 / 0.03) - stats.norm.cdf(-1 / 32 / 0.03))
    ratio = of.log_ratio(positions(good, space))
    assert np.exp(ratio) == pytest.approx([(1 + cell / (0.03 * sqrt(2 * pi))) / 2])


def test_the_end_of_the_interval_is_the_last_level():
    space = {name: KINDS[name] for name in ("category", "number", "integer")}
    of = Densities(samples(space, 4, 22), samples(space, 4, 23), space)
    last = positions([{"category": "c", "number": 512, "integer": 9}], space)
    assert of.log_ratio(np.ones((3, 1))) == pytest.approx(of.log_ratio(last), rel=1e-12)
    near = of.draw(np.zeros((3, 1)), np.full((3, 1), 1 - 2**-53))
    assert (near <= last + 1e-12).all()


def test_one_trial_is_enough_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        proposals = play(BlockTPE(KINDS, seed=1, n_startup=1, cost_weight=0.5), 3, bowl(KINDS), lambda config: 2.0)
    assert [proposal.origin for proposal in proposals] == ["startup", "model", "model"]


# Which trials are good, and which are blocks.


@pytest.mark.parametrize(
    ("n", "quantile", "n_good"), [(1, 0.1, 1), (10, 0.1, 1), (11, 0.1, 2), (20, 0.5, 10), (400, 0.1, MAX_GOOD)]
)
def test_the_best_are_good_but_not_more_than_25(n, quantile, n_good):
    space = {"i": IntDistribution(0, 999)}
    tpe = BlockTPE(space, quantile=quantile, seed=0)
    losses = np.random.default_rng(0).permutation(n)
    for i, loss in enumerate(losses.tolist()):
        tpe.tell({"i": i}, loss)
    good, bad = ([from_unit({"i": x}, space)["i"] for x in part[0]] for part in tpe.split())
    assert MAX_GOOD == 25 and good == np.argsort(losses)[:n_good].tolist()
    assert bad == np.argsort(losses)[n_good:].tolist()


@pytest.mark.parametrize("bad", BAD)
def test_a_loss_that_is_no_number_is_never_good(bad):
    tpe = BlockTPE(SIX, quantile=0.9, seed=0)
    for n, loss in enumerate([bad, 2.0, bad, 1.0, bad]):
        tpe.tell({"n": 1 + n % 3, "c": "a"}, loss)
    good, rest = tpe.split()
    assert (good.shape[1], rest.shape[1]) == (2, 3)
    assert good[0].tolist() == [to_unit({"n": n, "c": "a"}, SIX)[0] for n in (1, 2)]


def of_blocks(space, n_candidates=4000, **options):
    """Which values of candidates are not those of the best trial (d, m); hardly any value is drawn as it was."""
    tpe = BlockTPE(space, seed=0, n_candidates=n_candidates, **options)
    for i, config in enumerate(samples(space, 30, 17)):
        tpe.tell(config, float(i))
    best = tpe.split()[0][:, :1]
    return tpe._candidates(np.random.default_rng(18)) != best


TEN = {f"x{j}": FloatDistribution(0.0, 1.0) for j in range(10)}


def test_a_block_has_two_values_on_average_and_at_least_one():
    changed = of_blocks(TEN, full_share=0.0)
    sizes = changed.sum(axis=0)
    # two, and one more where none of ten with the chance 1/5 is in it
    assert sizes.min() == 1 and sizes.mean() == pytest.approx(2 + 0.8**10, abs=0.08)
    np.testing.assert_allclose(changed.mean(axis=1), (2 + 0.8**10) / 10, atol=0.04)
    expected = stats.binom.pmf(range(5), 10, 0.2)
    expected[1] += expected[0]
    counts = np.bincount(sizes, minlength=11)[1:5]
    assert (
        stats.chisquare([*counts, 4000 - counts.sum()], 4000 * np.append(expected[1:], 1 - expected[1:].sum())).pvalue
        > 1e-3
    )


@pytest.mark.parametrize(("full_share", "n_full"), [(0.0, 0), (0.3, 7), (0.5, 12), (1.0, 24)])
def test_the_others_are_whole_configurations(full_share, n_full):
    many = {f"x{j}": FloatDistribution(0.0, 1.0) for j in range(40)}
    sizes = of_blocks(many, n_candidates=24, full_share=full_share).sum(axis=0)
    assert (sizes == 40).sum() == n_full and (sizes < 20).sum() == 24 - n_full


def test_weights_change_how_often_a_hyperparameter_is_in_a_block():
    weights = {name: float(10 * (name == "x3") + (name == "x4") + 2) for name in TEN} | {"x9": 0.0}
    shares = 2 * np.array(list(weights.values())) / sum(weights.values())
    chances = np.clip(shares, 0.05, 1)
    none = np.prod(1 - chances)
    found = of_blocks(TEN, full_share=0.0, weights=weights).mean(axis=1)
    np.testing.assert_allclose(found, chances + none * chances / chances.sum(), atol=0.03)
    assert found.argmax() == 3 and found.argmin() == 9 and found[9] > 0.03


def test_a_value_that_the_best_trial_lacks_is_drawn():
    space = {
        "num_conv_layers": IntDistribution(1, 3),
        **{f"num_filters_{j}": IntDistribution(4, 64) for j in (1, 2, 3)},
    }
    tpe = BlockTPE(space, seed=0, full_share=0.0)
    tpe.tell({"num_conv_layers": 1, "num_filters_1": 9}, 0.0)
    x = tpe._candidates(np.random.default_rng(0))
    assert np.isfinite(x).all() and len(np.unique(x[3])) > 10 > len(np.unique(x[0]))


# Beginnings, repetitions, ends.


def test_the_first_configuration_is_the_default_or_the_middle():
    first = BlockTPE(KINDS, seed=0).ask()
    assert first.origin == "startup" and first.pop("category") in ("a", "b", "c")
    assert first == {
        **{"float": 0.5, "log float": pytest.approx(10**-2.5), "integer": 6, "stepped": 9},
        **{"log integer": 15, "few logs": 2, "long": 2500, "number": 128},  # sqrt(3.5 64.5), sqrt(.5 8.5)
    }
    assert {BlockTPE(KINDS, seed=seed).ask()["category"] for seed in range(20)} == {"a", "b", "c"}
    (default,) = samples(KINDS, 1, 19)
    proposals = play(BlockTPE(KINDS, default=default, n_startup=3, seed=0), 5, bowl(KINDS))
    assert proposals[0] == default and [p.origin for p in proposals] == ["startup"] * 3 + ["model"] * 2
    tpe = BlockTPE(KINDS, default=default, seed=0)
    tpe.tell(proposals[4], 0.0)
    assert tpe.ask() == proposals[1]  # the second trial, and no default


def test_what_a_default_lacks_by_condition_is_not_proposed():
    space = {"num_conv_layers": IntDistribution(1, 2), **{f"num_filters_{j}": IntDistribution(4, 64) for j in (1, 2)}}
    tpe = BlockTPE(space, default={"num_conv_layers": 1, "num_filters_1": 9, "num_filters_2": 4}, seed=0)
    assert tpe.ask() == {"num_conv_layers": 1, "num_filters_1": 9}


@given(seed=SEEDS, n_startup=st.integers(1, 8))
@settings(max_examples=15, deadline=None)
def test_nothing_is_proposed_again_before_the_space_is_exhausted(seed, n_startup):
    proposals = play(BlockTPE(SIX, seed=seed, n_startup=n_startup), 9, bowl(SIX))
    assert distinct(proposals[:6]) == 6
    assert [proposal.origin for proposal in proposals[max(6, n_startup) :]] == ["fallback"] * (9 - max(6, n_startup))
    for proposal in proposals:
        check_config(proposal, SIX)


def test_a_larger_space_is_exhausted_too():
    space = {"a": IntDistribution(1, 4), "b": CategoricalDistribution([True, False]), "c": KINDS["number"]}
    assert distinct(play(BlockTPE(space, seed=1), 40, bowl(space))) == 40
    assert distinct(play(BlockTPE({"a": space["a"]}, seed=1), 8, bowl({"a": space["a"]}))) == 4


def test_of_levels_asked_ahead_none_is_asked_twice():
    tpe = BlockTPE(SIX, seed=2, n_startup=2)
    assert distinct([tpe.ask() for _ in range(6)]) == 6
    tpe = BlockTPE(SIX, seed=2, n_startup=1)
    tpe.tell({"n": 1, "c": "a"}, 0.0)  # nor what was told without having been asked
    assert distinct([{"n": 1, "c": "a"}, *(tpe.ask() for _ in range(5))]) == 6


def test_a_float_that_has_come_back_from_the_unit_cube_is_no_new_one():
    """Blocks of levels alone, drawn as they were: the best trial again, but for the rounding of its floats."""
    space = {"c": KINDS["category"], "n": IntDistribution(1, 3)} | FLOATS
    weights = {"c": 1.0, "n": 1.0, "float": 0.0, "log float": 0.0}
    for seed in range(10):
        x = positions(play(BlockTPE(space, seed=seed, weights=weights), 40, bowl(space)), space)
        near = np.abs(x[:, :, None] - x[:, None, :]).max(axis=0) < 1e-6
        assert near.sum() == 40


@pytest.mark.parametrize("d", [1, 50])
@pytest.mark.parametrize("kinds", [("float",), ("integer", "category"), ("long", "number", "float", "category")])
def test_any_number_of_dimensions(d, kinds):
    space = {f"x{j}": KINDS[kinds[j % len(kinds)]] for j in range(d)}
    n = 8 if d == 1 else 16
    proposals = play(BlockTPE(space, seed=5, n_startup=3), n, bowl(space))
    for proposal in proposals:
        check_config(proposal, space)
    assert distinct(proposals) == n


def test_the_same_trial_and_the_same_loss_many_times():
    tpe = BlockTPE(KINDS, seed=6)
    for config in samples(KINDS, 1, 20) * 300 + samples(KINDS, 300, 21):
        tpe.tell(config, 0.5, 1.0)
    assert distinct([tpe.ask() for _ in range(10)]) == 10


def test_a_hyperparameter_of_one_value_is_no_harm():
    space = {"one": IntDistribution(3, 3), "single": CategoricalDistribution(["a"])} | FLOATS
    proposals = play(BlockTPE(space, seed=7, cost_weight=0.2), 20, bowl(space), lambda config: config["log float"])
    assert {(p["one"], p["single"]) for p in proposals} == {(3, "a")} and distinct(proposals) == 20


@st.composite
def spaces(draw):
    def distribution():
        low = draw(st.integers(1, 50))
        match draw(st.sampled_from(["float", "log float", "int", "log int", "step", "names", "numbers"])):
            case "float":
                return FloatDistribution(-low, low / 2)
            case "log float":
                return FloatDistribution(10.0**-low, 1.0, log=True)
            case "int" as kind:
                return IntDistribution(-low, draw(st.sampled_from([low, 30 * low])))
            case "log int" as kind:
                return IntDistribution(low, draw(st.sampled_from([low, low + 3, 40 * low])), log=True)
            case "step":
                return IntDistribution(0, 7 * low, step=7)
            case kind:
                k = draw(st.integers(1, 20))
                return CategoricalDistribution([f"c{i}" for i in range(k)] if kind == "names" else list(range(k)))

    return {f"h{i}": distribution() for i in range(draw(st.integers(1, 5)))}


@given(space=spaces(), seed=SEEDS, cost_weight=st.sampled_from([0.0, 0.5]))
@settings(max_examples=25, deadline=None)
def test_proposals_lie_in_any_space_and_follow_their_seed(space, seed, cost_weight):
    def run():
        tpe = BlockTPE(space, seed=seed, n_startup=3, n_candidates=6, cost_weight=cost_weight)
        return play(tpe, 10, bowl(space), lambda config: 1 + bowl(space)(config))

    proposals = run()
    for proposal in proposals:
        check_config(proposal, space)
    assert run() == proposals


# Seeds, resuming, and asking ahead.


def test_proposals_follow_their_seed_and_not_the_global_state():
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    first = play(BlockTPE(KINDS, seed=7), 20, bowl(KINDS))
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(1)
    assert play(BlockTPE(KINDS, seed=7), 20, bowl(KINDS)) == first
    assert not any(proposal in first for proposal in play(BlockTPE(KINDS, seed=8), 20, bowl(KINDS))[1:])
    other = BlockTPE(KINDS, seed=[7, 1], first=4)
    other.tell(first[0], 0.0)
    u = np.random.default_rng([7, 1, 5]).random((len(KINDS), 24))
    assert other.ask() == configuration(u[:, 0], KINDS)


@given(seed=SEEDS, i=st.integers(0, 24), name=st.sampled_from(["all", "levels", "conditions"]))
@settings(max_examples=12, deadline=None)
def test_a_run_goes_on_as_it_would_have(seed, i, name):
    space = RUNS[name]

    def loss(config):
        value = bowl(space)(config)
        return np.nan if value > 1.2 else value

    def cost(config):
        return None if loss(config) < 0.3 else 1 + bowl(space)(config)

    whole = play(BlockTPE(space, seed=seed, n_startup=6, cost_weight=0.5), 24, loss, cost)
    resumed = BlockTPE(space, seed=seed, n_startup=6, cost_weight=0.5)
    for config in whole[:i]:
        resumed.tell(dict(config), loss(config), cost(config))
    again = play(resumed, 24 - i, loss, cost)
    assert again == whole[i:] and [p.origin for p in again] == [p.origin for p in whole[i:]]


@pytest.mark.parametrize("n_told", [0, 12])
def test_several_may_be_asked_before_they_are_told(n_told):
    space = SIX | FLOATS
    tpe = BlockTPE(space, seed=10)
    play(tpe, n_told, bowl(space))
    ahead = [tpe.ask() for _ in range(12)]
    assert distinct(ahead) == 12 and [p.origin for p in ahead].count("startup") == max(10 - n_told, 0)
    for proposal in reversed(ahead):
        tpe.tell(proposal, bowl(space)(proposal))
    assert tpe.n_told == n_told + 12 and tpe.ask() not in ahead


# Costs.


def test_a_cost_weight_makes_proposals_cheaper():
    space = {"epoch": IntDistribution(1, 100), "lr": KINDS["log float"], "x": FloatDistribution(0.0, 1.0)}

    def loss(config):
        return (log(config["lr"]) + 5) ** 2 + config["x"]

    def cost(config):
        return None if config["x"] > 0.8 else config["epoch"] * 3.0  # some trials do not tell theirs

    def spent(cost_weight):
        runs = [play(BlockTPE(space, seed=s, cost_weight=cost_weight), 40, loss, cost) for s in range(6)]
        return np.array([[config["epoch"] for config in run[10:]] for run in runs]).mean(axis=1)

    free, weighed, more = spent(0.0), spent(0.3), spent(1.0)
    assert (more < free).all() and more.mean() < 0.75 * free.mean()
    assert more.mean() < weighed.mean() < free.mean()


def test_costs_are_those_of_a_ridge_regression():
    space = RUNS["conditions"] | KINDS
    configs, cost = samples(space, 30, 24), np.random.default_rng(25).lognormal(3, 1, 30)
    tpe = BlockTPE(space, seed=0, cost_weight=1.0)
    for i, config in enumerate(configs):
        tpe.tell(config, float(i), None if i % 5 == 0 else cost[i])
    told = [i for i in range(30) if i % 5]
    x = positions(configs, space).T
    model = Ridge(alpha=1.0).fit([features(x[i], space) for i in told], np.log(cost[told]))
    found = tpe._log_cost(x.T) - model.predict([features(row, space) for row in x])
    np.testing.assert_allclose(found, found[0], rtol=1e-9)  # but for a constant


def test_costs_do_not_count_unless_they_are_weighed_and_told():
    def run(cost_weight, cost):
        return play(BlockTPE(KINDS, seed=11, cost_weight=cost_weight), 20, bowl(KINDS), cost)

    plain = run(0.0, lambda config: None)
    assert run(0.0, lambda config: config["number"]) == run(0.5, lambda config: None) == plain
    assert run(0.5, lambda config: 7.0) == plain  # always the same
    by_number = run(0.5, lambda config: config["number"])
    assert by_number != plain and run(0.5, lambda config: 60 * config["number"]) == by_number  # in any unit


# Does it help?


@pytest.mark.parametrize("name", ["hartmann6", "ackley5", "mixed"])
def test_it_beats_random_search(name):
    problem = PROBLEMS[name]
    guided = [min(map(problem.evaluate, play(BlockTPE(problem.space, seed=s), 60, problem.evaluate))) for s in range(5)]
    random = [min(map(problem.evaluate, samples(problem.space, 60, s))) for s in range(5)]
    gap = np.array(random).mean() - problem.minimum
    assert np.mean(guided) - problem.minimum < 0.75 * gap and np.median(guided) < np.median(random)


# Errors.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"space": {}}, "space must have at least one hyperparameter"),
        ({"default": {"n": 4, "c": "a"}}, r"n = 4 is outside of IntDistribution"),
        ({"default": {"n": 1}}, "the configuration lacks 'c'"),
        ({"default": {"n": 1, "c": "a", "x": 2}}, "unknown hyperparameter 'x'"),
        ({"weights": {"n": 1.0}}, r"weights must be finite, not negative, not all 0, and of each of \['n', 'c'\]"),
        ({"weights": {"n": 1.0, "c": -0.1}}, "weights must be finite, not negative"),
        ({"weights": {"n": 0, "c": 0}}, "weights must be finite, not negative, not all 0"),
        ({"weights": {"n": np.nan, "c": 1}}, "weights must be finite"),
        ({"weights": {"n": np.inf, "c": 1}}, "weights must be finite"),
        ({"cost_weight": -0.1}, "cost_weight must be finite and not negative, not -0.1"),
        ({"cost_weight": np.nan}, "cost_weight must be finite and not negative, not nan"),
        ({"cost_weight": np.inf}, "cost_weight must be finite and not negative, not inf"),
        ({"full_share": -0.1}, r"full_share must lie in \[0, 1\], not -0.1"),
        ({"full_share": 1.1}, r"full_share must lie in \[0, 1\], not 1.1"),
        ({"bandwidth": 0.0}, "bandwidth must be positive and finite, not 0.0"),
        ({"bandwidth": -0.1}, "bandwidth must be positive and finite, not -0.1"),
        ({"bandwidth": np.inf}, "bandwidth must be positive and finite, not inf"),
        ({"quantile": 1.0}, "quantile must lie between 0 and 1, not 1.0"),
        ({"n_startup": 0}, "n_startup must be at least 1, not 0"),
        ({"n_candidates": 0}, "n_candidates must be at least 1, not 0"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        BlockTPE(**({"space": SIX, "seed": 0} | wrong))


@pytest.mark.parametrize("cost", [0, -1.0, np.nan, np.inf])
def test_a_cost_that_cannot_be_is_refused_with_its_trial(cost):
    tpe = BlockTPE(SIX, seed=0, cost_weight=0.1)
    with pytest.raises(
        ValueError, match=f"cost must be positive and finite, or None where it is not known, not {cost}"
    ):
        tpe.tell({"n": 1, "c": "a"}, 0.0, cost)
    assert tpe.n_told == 0
    with pytest.raises(ValueError, match="n = 4 is outside of"):
        tpe.tell({"n": 4, "c": "a"}, 0.0, 1.0)
    tpe.tell({"n": 1, "c": "a"}, 0.0, 2)
    assert tpe.n_told == 1 and tpe.ask().origin == "startup"
