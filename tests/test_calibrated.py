"""Calibrated RReliefF beside its definition in plain loops, all permutations, and surfaces whose effects are known."""

import itertools
import math
import statistics
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from test_relief import SEEDS, grid_trials, rank_weights

from gsos.calibrated import _permutation_sd, calibrated_relief, correlation_ratio, pair_effects
from gsos.relief import normalise, nrrelieff
from gsos.space import ASSESSED, is_ordered

# --- the definitions in plain loops -----------------------------------------------------------------------------------


def slow_bins(x, categorical, n_bins):
    levels = sorted(set(x))
    if categorical or len(levels) <= n_bins:
        return [levels.index(value) for value in x]
    cuts = [np.quantile(x, i / n_bins) for i in range(1, n_bins)]
    return [sum(value >= cut for cut in cuts) for value in x]


def slow_ratio(bins, p):
    """How much less p differs within bins, rows counting alike; NaN where no two share a bin or p does not vary."""
    n = len(p)
    rows = [m for m in range(n) if list(bins).count(bins[m]) > 1]
    if not rows or min(p) == max(p):
        return math.nan
    fall = []
    for m in rows:
        others = [(p[m] - p[j]) ** 2 / 2 for j in range(n) if j != m]
        same = [(p[m] - p[j]) ** 2 / 2 for j in range(n) if j != m and bins[j] == bins[m]]
        fall.append(statistics.fmean(others) - statistics.fmean(same))
    return statistics.fmean(fall) / statistics.variance(p)


def slow_main_effects(bins, p, n_sweeps=3):
    """Backfitting: means of bins of what the other columns leave, shrunk by their share of signal."""
    n, mean = len(p), statistics.fmean(p)
    effects = [[0.0] * n for _ in bins]
    for _ in range(n_sweeps):
        for k, own in enumerate(bins):
            others = [sum(effects[j][m] for j in range(len(bins)) if j != k) for m in range(n)]
            rest = [p[m] - mean - others[m] for m in range(n)]
            of_bin = {b: statistics.fmean(rest[m] for m in range(n) if own[m] == b) for b in own}
            fit = [of_bin[b] for b in own]
            ratio, spread = slow_ratio(own, rest), statistics.pvariance(fit)
            signal = 0.0 if math.isnan(ratio) else ratio * statistics.variance(rest)
            shrink = min(max(signal / spread, 0.0), 1.0) if spread > 0 else 0.0
            effects[k] = [shrink * value for value in fit]
    return effects


def slow_spread(x, categorical):
    if categorical:
        return statistics.fmean(a != b for a in x for b in x) / 2
    return statistics.pvariance(x)


def slow_calibrated(X, p, is_categorical, n_neighbours, n_bins=10, n_passes=1, rows=None):
    """W as its docstring defines it, of columns that all vary, and of each column what z is made of, given its bins."""
    X, p, n, K = np.asarray(X).T.tolist(), np.asarray(p).tolist(), len(p), len(is_categorical)
    rows = list(range(n)) if rows is None else rows
    bins = [slow_bins(x, categorical, n_bins) for x, categorical in zip(X, is_categorical, strict=True)]
    spread = [slow_spread(x, categorical) for x, categorical in zip(X, is_categorical, strict=True)]
    additive = slow_main_effects(bins, p)
    W = [slow_ratio(b, p) for b in bins]
    for _ in range(n_passes):
        positive = [w if w > 1e-9 else 0.0 for w in W]
        v = [max(w / (sum(positive) or 1.0), 0.01) for w in positive]
        W, statistic = [], []
        for k in range(K):
            others = [j for j in range(K) if j != k]
            q = [p[m] - sum(additive[j][m] for j in others) for m in range(n)]
            pairs = []
            for m in rows:
                distances = {}
                for i in range(n):
                    steps = [(X[j][m] != X[j][i]) if is_categorical[j] else abs(X[j][m] - X[j][i]) for j in others]
                    parts = (v[j] * step**2 / spread[j] for j, step in zip(others, steps, strict=True))
                    distances[i] = math.sqrt(sum(parts))
                del distances[m]
                weights = rank_weights(distances, n_neighbours, 10.0)
                pairs += [(m, i, d / len(rows), (q[m] - q[i]) ** 2 / 2) for i, d in weights.items() if d > 0]

            fall, shared = 0.0, 0.0
            for level in set(bins[k]):
                of_bin = [(d, diff_p, bins[k][i] == level) for m, i, d, diff_p in pairs if bins[k][m] == level]
                mass, same = sum(d for d, _, _ in of_bin), sum(d for d, _, alike in of_bin if alike)
                if same:
                    any_bin = sum(d * diff_p for d, diff_p, _ in of_bin) / mass
                    same_bin = sum(d * diff_p for d, diff_p, alike in of_bin if alike) / same
                    fall, shared = fall + mass * (any_bin - same_bin), shared + mass
            W.append(fall / shared / statistics.variance(p) if shared else math.nan)

            def linear(own, pairs=pairs):
                """W Var p, were the weight of a bin's pairs the one expected of a bin of its size."""
                N_p = sum(d * diff_p for _, _, d, diff_p in pairs)
                factor = {b: (n - 1) / (own.count(b) - 1) if own.count(b) > 1 else 0.0 for b in own}
                return -sum(d * (diff_p - N_p) * factor[own[m]] for m, i, d, diff_p in pairs if own[m] == own[i])

            statistic.append(linear)
    return W, statistic, bins


@given(seed=SEEDS, n_bins=st.sampled_from([2, 3, 10]))
@settings(max_examples=60, deadline=None)
def test_correlation_ratios_are_those_of_all_pairs(seed, n_bins):
    X, p, is_categorical = grid_trials(seed)
    found = correlation_ratio(X, p, is_categorical, n_bins=n_bins)
    columns = zip(X.T.tolist(), is_categorical, strict=True)
    expected = [slow_ratio(slow_bins(x, categorical, n_bins), p) for x, categorical in columns]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(seed=SEEDS, n_bins=st.sampled_from([2, 3, 10]))
@settings(max_examples=30, deadline=None)
def test_pair_effects_are_correlation_ratios_of_joint_bins(seed, n_bins):
    X, p, is_categorical = grid_trials(seed, k=3)
    effects = pair_effects(X, p, is_categorical, n_bins=n_bins)
    bins = [slow_bins(x, categorical, n_bins) for x, categorical in zip(X.T.tolist(), is_categorical, strict=True)]
    main = [slow_ratio(b, p) for b in bins]
    np.testing.assert_allclose(np.diag(effects), main, atol=1e-12)
    for i, j in itertools.permutations(range(3), 2):
        joint = slow_ratio(list(zip(bins[i], bins[j], strict=True)), p)
        np.testing.assert_allclose(effects[i, j], joint - main[i] - main[j], atol=1e-12)


@given(
    seed=SEEDS,
    n_neighbours=st.integers(1, 5),
    n_bins=st.sampled_from([2, 3, 10]),
    n_passes=st.sampled_from([1, 1, 2, 3]),
    some=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_weights_are_those_of_the_definition(seed, n_neighbours, n_bins, n_passes, some):
    X, p, is_categorical = grid_trials(seed, high=50.0)
    varying = np.ptp(X, axis=0) > 0
    assume(varying.sum() > 1)
    options, rows = dict(n_neighbours=n_neighbours, n_bins=n_bins, n_passes=n_passes), None
    if some:
        rows = np.sort(np.random.default_rng(seed).choice(len(p), 5, replace=False)).tolist()
    W, z = calibrated_relief(X, p, is_categorical, **options, n_queries=5 if some else None, rng=seed)
    expected = slow_calibrated(X[:, varying], p, is_categorical[varying], **options, rows=rows)[0]
    np.testing.assert_allclose(W[varying], expected, rtol=1e-6, atol=1e-8)
    assert (W[~varying] == 0).all() and (z[~varying] == 0).all()


@given(seed=SEEDS, n_neighbours=st.integers(1, 5), n_passes=st.integers(1, 2))
@settings(max_examples=8, deadline=None)
def test_z_is_the_weight_among_all_permutations_of_the_column(seed, n_neighbours, n_passes):
    X, p, is_categorical = grid_trials(seed, n=6, k=2)
    assume((np.ptp(X, axis=0) > 0).all())
    z = calibrated_relief(X, p, is_categorical, n_neighbours=n_neighbours, n_passes=n_passes)[1]
    _, linear, bins = slow_calibrated(X, p, is_categorical, n_neighbours, n_passes=n_passes)
    for k, (statistic, own) in enumerate(zip(linear, bins, strict=True)):
        permuted = [statistic(order) for order in itertools.permutations(own)]
        sd = statistics.pstdev(permuted)
        assert statistics.fmean(permuted) == pytest.approx(0, abs=1e-9)
        if sd > 1e-6:
            assert z[k] == pytest.approx(statistic(own) / sd, rel=1e-6, abs=1e-8)


@given(seed=SEEDS, bins=st.lists(st.integers(0, 3), min_size=4, max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_moment_behind_z_is_that_over_all_permutations(seed, bins):
    n = len(bins)
    A = np.random.default_rng(seed).normal(size=(n, n)) * (np.random.default_rng(seed + 1).random((n, n)) < 0.7)
    off_diagonal = ~np.eye(n, dtype=bool)
    A = np.where(off_diagonal, A - A[off_diagonal].mean(), 0.0)
    count = {b: bins.count(b) for b in bins}
    factor = {b: (n - 1) / (count[b] - 1) if count[b] > 1 else 0.0 for b in count}
    permuted = [
        sum(A[i, j] * factor[b[i]] for i, j in itertools.permutations(range(n), 2) if b[i] == b[j])
        for b in itertools.permutations(bins)
    ]
    assert np.mean(permuted) == pytest.approx(0, abs=1e-12)
    assert _permutation_sd(csr_array(A), np.array(bins)) == pytest.approx(np.std(permuted), abs=1e-7)


# --- chance -----------------------------------------------------------------------------------------------------------


def inert_trials(n, rng):
    """Four columns of several kinds and a response that depends on none."""
    X = np.column_stack([rng.random(n), rng.integers(2, size=n), rng.integers(3, size=n), rng.integers(8, size=n)])
    return X, rng.normal(size=n), np.array([False, True, True, False])


def test_correlation_ratios_of_noise_are_nothing_on_average():
    rng = np.random.default_rng(0)
    found = np.array([correlation_ratio(*inert_trials(40, rng)) for _ in range(500)])
    assert (abs(found.mean(axis=0)) < 3.5 * found.std(axis=0) / math.sqrt(500)).all()
    assert (found.mean(axis=0) < 0.01).all() and (found < 0).any(axis=0).all()


def test_a_rare_level_with_loud_noise_is_no_effect():
    """Rows count alike, not pairs: else a frequent, quiet level would pass for an explanation."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(30):
        X = np.column_stack([rng.random(400) < 0.1, rng.random(400), rng.random(400)]).astype(float)
        p = rng.normal(size=400) * np.where(X[:, 0] == 1, 10, 1)
        is_categorical = [False] * 3
        found.append((correlation_ratio(X, p, is_categorical)[0], calibrated_relief(X, p, is_categorical)[0][0]))
    main, total = np.mean(found, axis=0)
    assert abs(main) < 0.02 and abs(total) < 0.15  # counting pairs, both are 0.8


def test_correlation_ratios_are_the_main_effects_of_an_additive_surface():
    rng = np.random.default_rng(1)
    X, noise, is_categorical = inert_trials(20_000, rng)
    # Variances: of 6 x on [0, 1] 36 / 12, of which bins of a tenth keep 99 %; of 2 b 1; of a third at 3 2; of noise 4.
    p = 6 * X[:, 0] + 2 * X[:, 1] + 3 * (X[:, 2] == 1) + 2 * noise
    main = np.array([3 * 0.99, 1, 2, 0]) / 10
    np.testing.assert_allclose(correlation_ratio(X, p, is_categorical), main, atol=0.012)
    assert correlation_ratio(X, p, is_categorical, n_bins=2)[0] == pytest.approx(0.3 * 0.75, abs=0.012)


def test_z_of_noise_is_about_standard_normal():
    rng = np.random.default_rng(2)
    results = [calibrated_relief(*inert_trials(80, rng), n_neighbours=15) for _ in range(150)]
    W, z = np.array(results).swapaxes(0, 1)
    assert 0.8 < z.std() < 1.3 and abs(z.mean()) < 0.3
    assert (z > 2.5).mean() < 0.03
    assert (abs(W.mean(axis=0)) < 0.06).all()


# --- surfaces over HIA's eleven hyperparameters -----------------------------------------------------------------------

NAMES = list(ASSESSED)
IS_CATEGORICAL = np.array([not is_ordered(distribution) for distribution in ASSESSED.values()])
TABLE_3 = [0.385284, 0.227982, 0.130576, 0.042302, 0.042060, 0.042030, 0.034890, 0.032672, 0.028568, 0.018513, 0.015124]


def draw(n, rng):
    """Uniform configurations, each on the scale it is sampled on."""
    columns = {
        "num_conv_layers": rng.integers(1, 4, n),
        "lr": rng.uniform(-6, -1, n),
        "dropout_rate": rng.uniform(0, 0.9, n),
        "optimizer": rng.integers(2, size=n),
        "epoch": rng.integers(1, 11, n),
        "stride": rng.integers(1, 3, n),
        "in_channel_num": rng.choice([1, 3], n),
        "padding": rng.integers(2, size=n),
        "kernel": rng.integers(2, 4, n),
        "num_fc_units": np.log(np.floor(np.exp(rng.uniform(np.log(8), np.log(257), n)))),
        "batch_size": rng.integers(4, size=n),
    }
    return np.column_stack([columns[name] for name in NAMES]).astype(float)


CENTRE, SCALE = (lambda X: (X.mean(axis=0), X.std(axis=0)))(draw(100_000, np.random.default_rng(99)))


def standard(X):
    """Named columns with mean 0 and variance 1."""
    return dict(zip(NAMES, ((X - CENTRE) / SCALE).T, strict=True))


def equal(X):
    return sum(standard(X).values())


def mix(X):
    """Shares of variance as in HIA Table 3; the learning rate is best above the middle, dropout harms above it."""
    u = standard(X)
    u["lr"], u["dropout_rate"] = -((u["lr"] - 0.5) ** 2), -np.maximum(u["dropout_rate"], 0)
    u["lr"], u["dropout_rate"] = (u["lr"] + 1.25) / 1.342, (u["dropout_rate"] + 0.433) / 0.559
    return sum(math.sqrt(share) * u[name] for name, share in zip(NAMES, TABLE_3, strict=True))


def xor(X):
    """Three pairs that act together only, with shares .29, .21 and .12, and two main effects, with .3 and .08."""
    u = standard(X)
    deep = np.where(u["num_conv_layers"] < -1, -math.sqrt(2), math.sqrt(0.5))  # 1 layer, or 2 and 3
    pairs = [
        (0.29, np.sign(u["lr"]) * np.sign(u["optimizer"])),
        (0.21, deep * np.sign(u["stride"])),
        (0.12, np.sign(u["dropout_rate"]) * np.sign(u["epoch"])),
    ]
    together = sum(math.sqrt(share) * effect for share, effect in pairs)
    return together + math.sqrt(0.3) * u["num_conv_layers"] + math.sqrt(0.08) * u["num_fc_units"]


def alive(X):
    """Whether the learning rate lies in a window that moves with depth, optimizer and stride."""
    x, u = dict(zip(NAMES, X.T, strict=True)), standard(X)
    low = -4.3 + 0.4 * (x["num_conv_layers"] - 2) + 0.4 * u["optimizer"] + 0.2 * u["stride"]
    high = -1.8 - 0.3 * (x["num_conv_layers"] - 2) + 0.3 * u["optimizer"]
    return (low < x["lr"]) & (x["lr"] < high)


def bimodal(X):
    """Accuracies: chance outside of the window, moderate differences within."""
    u = standard(X)
    accuracy = 0.75 + 0.06 * u["epoch"] - 0.08 * np.maximum(u["dropout_rate"], 0) + 0.04 * u["num_fc_units"]
    return np.where(alive(X), accuracy + 0.03 * u["num_conv_layers"], 0.1)


def parity(X):
    u = standard(X)
    return np.sign(u["lr"]) * np.sign(u["optimizer"]) * np.sign(u["stride"])


R2 = 0.8


def trials(surface, n, seed):
    """n configurations and what is measured there, of which noise is a fifth."""
    rng = np.random.default_rng(seed)
    X = draw(n, rng)
    sd = surface(draw(20_000, np.random.default_rng(7))).std() * math.sqrt(1 / R2 - 1)
    return X, surface(X) + sd * rng.normal(size=n), IS_CATEGORICAL


@pytest.fixture(scope="module")
def truth():
    """Main and total effects of each surface, shares of its own variance, by Monte Carlo (Jansen 1999)."""
    rng = np.random.default_rng(5)
    A, B = draw(50_000, rng), draw(50_000, rng)

    def effects(surface):
        f_A, f_B, main, total = surface(A), surface(B), [], []
        for k in range(len(NAMES)):
            swapped = A.copy()
            swapped[:, k] = B[:, k]
            f = surface(swapped)
            main.append(1 - ((f_B - f) ** 2).mean() / 2 / f_A.var())
            total.append(((f_A - f) ** 2).mean() / 2 / f_A.var())
        return np.array(main), np.array(total)

    return {surface: effects(surface) for surface in (equal, mix, xor, bimodal, parity)}


def share_error(weights, total):
    return abs(normalise(weights) - total / total.sum()).mean()


def test_the_surfaces_are_what_they_are_said_to_be(truth):
    main, total = truth[equal]
    np.testing.assert_allclose(total, np.full(11, 1 / 11), atol=0.005)
    np.testing.assert_allclose(truth[mix][1], TABLE_3, atol=0.01)
    np.testing.assert_allclose(main, total, atol=0.02)
    np.testing.assert_allclose(truth[xor][1], [0.51, 0.29, 0.12, 0.29, 0.12, 0.21, 0, 0, 0, 0.08, 0], atol=0.01)
    np.testing.assert_allclose(truth[parity][1], np.isin(NAMES, ["lr", "optimizer", "stride"]), atol=0.02)
    assert 0.4 < alive(draw(20_000, np.random.default_rng(3))).mean() < 0.6
    assert truth[bimodal][1].sum() > 1.2 and truth[bimodal][1].argmax() == 1


def test_equal_effects_get_about_equal_shares_and_would_not_by_eq_10():
    ratio, classic = [], []
    for seed in range(3):
        arrays = trials(equal, 3000, seed)
        shares = normalise(calibrated_relief(*arrays, n_queries=1500, rng=seed)[0])
        ratio.append(shares.max() / shares.min())
        W = nrrelieff(*arrays, normalise_response=True)
        classic.append(W.max() / max(W.min(), 1e-9))
    assert np.mean(ratio) < 1.8
    assert min(classic) > 10


@pytest.fixture(scope="module")
def found():
    """W and z from 1,000 trials of each surface, three times."""
    surfaces = (mix, xor, bimodal)
    return {surface: [calibrated_relief(*trials(surface, 1000, seed)) for seed in range(3)] for surface in surfaces}


def test_shares_are_those_of_the_total_effects(truth, found):
    errors = [np.mean([share_error(W, truth[surface][1]) for W, _ in found[surface]]) for surface in found]
    assert np.mean(errors) < 0.017 and max(errors) < 0.025
    classic = {surface: nrrelieff(*trials(surface, 1000, 0), normalise_response=True) for surface in found}
    assert np.mean([share_error(W, truth[surface][1]) for surface, W in classic.items()]) > 0.04


@pytest.mark.parametrize("surface", [xor, bimodal])
def test_inert_hyperparameters_get_no_share(truth, found, surface):
    total = truth[surface][1]
    inert = total < 0.002
    assert inert.sum() >= 4
    assert np.mean([normalise(W)[inert].sum() for W, _ in found[surface]]) < 0.03
    assert all((z[total > 0.2] > 5).all() and (abs(z[inert]) < 4).all() for _, z in found[surface])


def test_weights_are_shares_of_the_whole_variance(truth, found):
    W = np.mean([W for W, _ in found[mix]], axis=0)
    np.testing.assert_allclose(W, R2 * truth[mix][1], atol=0.05)
    assert W.sum() == pytest.approx(R2, abs=0.1)
    main = correlation_ratio(*trials(xor, 10_000, 0))
    np.testing.assert_allclose(main, R2 * truth[xor][0], atol=0.02)


def test_a_parity_of_three_is_found(truth):
    three = truth[parity][1] > 0.5
    for seed in range(3):
        W, z = calibrated_relief(*trials(parity, 300, seed))
        shares = normalise(W)
        assert shares[three].min() > shares[~three].max() and shares[three].sum() > 0.85
        assert z[three].min() > 5


def test_pairs_that_act_together_are_found():
    effects = np.mean([pair_effects(*trials(xor, 1000, seed)) for seed in range(3)], axis=0)
    expected = np.zeros((11, 11))
    for a, b, share in [
        ("lr", "optimizer", 0.29),
        ("num_conv_layers", "stride", 0.21),
        ("dropout_rate", "epoch", 0.12),
    ]:
        i, j = NAMES.index(a), NAMES.index(b)
        expected[i, j] = expected[j, i] = R2 * share
    expected[0, 0], expected[9, 9] = R2 * 0.3, R2 * 0.08
    np.testing.assert_allclose(effects, expected, atol=0.04)


def test_pair_effects_are_symmetric_with_main_effects_on_the_diagonal():
    arrays = trials(xor, 200, 0)
    effects = pair_effects(*arrays, n_bins=4)
    assert effects.shape == (11, 11) and (effects == effects.T).all()
    assert (np.diag(effects) == correlation_ratio(*arrays, n_bins=4)).all()


# --- invariance -------------------------------------------------------------------------------------------------------


def judge(X, p, is_categorical):
    W, z = calibrated_relief(X, p, is_categorical, n_neighbours=10)
    pairs = pair_effects(X, p, is_categorical)
    return np.concatenate([W, z, correlation_ratio(X, p, is_categorical), pairs.ravel()])


def few_columns(seed=0, n=150):
    """Trials whose columns are of all kinds, and whose first two act together."""
    rng = np.random.default_rng(seed)
    X, noise, is_categorical = inert_trials(n, rng)
    return X, (X[:, 0] > 0.5) * X[:, 1] + 0.2 * X[:, 3] + 0.2 * noise, is_categorical


def test_the_units_of_response_and_columns_do_not_matter():
    X, p, is_categorical = few_columns()
    expected = judge(X, p, is_categorical)
    for q in (100 * p, p - 40, 0.001 * p + 1, -p):
        np.testing.assert_allclose(judge(X, q, is_categorical), expected, atol=1e-6)
    scaled = X * [0.01, 1, 1, 64] + [3, 0, 0, -5]
    np.testing.assert_allclose(judge(scaled, p, is_categorical), expected, atol=1e-6)


def test_names_of_categories_and_the_order_of_rows_and_columns_do_not_matter():
    X, p, is_categorical = few_columns()
    expected = judge(X, p, is_categorical)
    renamed = X.copy()
    renamed[:, 1], renamed[:, 2] = 7 - 9 * X[:, 1], np.array([5.0, -3.0, 4.0])[X[:, 2].astype(int)]
    np.testing.assert_allclose(judge(renamed, p, is_categorical), expected, atol=1e-8)
    order = np.random.default_rng(1).permutation(len(p))
    np.testing.assert_allclose(judge(X[order], p[order], is_categorical), expected, atol=1e-8)
    W, z = calibrated_relief(X, p, is_categorical)
    reversed_W, reversed_z = calibrated_relief(X[:, ::-1], p, is_categorical[::-1])
    np.testing.assert_allclose(reversed_W[::-1], W, atol=0.02)  # backfitting goes column by column
    np.testing.assert_allclose(reversed_z[::-1], z, atol=0.5)


def test_a_constant_column_has_no_weight_and_changes_no_other():
    X, p, is_categorical = few_columns()
    W, z = calibrated_relief(X, p, is_categorical)
    constant = np.full((len(p), 1), 2.0)
    more_W, more_z = calibrated_relief(np.hstack([constant, X, constant]), p, [True, *is_categorical, False])
    assert more_W[0] == more_W[-1] == more_z[0] == more_z[-1] == 0
    np.testing.assert_allclose(more_W[1:-1], W, atol=1e-12)
    np.testing.assert_allclose(more_z[1:-1], z, atol=1e-12)
    for seed in range(20):  # exactly none, whatever the rounding
        assert correlation_ratio(constant, few_columns(seed)[1], [False]).tolist() == [0]


def test_some_queries_are_nearly_as_good_as_all():
    arrays = trials(mix, 400, 0)
    W, z = calibrated_relief(*arrays)
    before = np.random.get_state()[1].copy()
    some = [calibrated_relief(*arrays, n_queries=200, rng=seed) for seed in (1, 1, 2)]
    assert (np.random.get_state()[1] == before).all()
    assert (some[0][0] == some[1][0]).all() and (some[0][1] == some[1][1]).all()
    assert (some[0][0] != some[2][0]).all()
    np.testing.assert_allclose(some[0][0], W, atol=0.1)
    assert some[0][1][0] > 10
    every = calibrated_relief(*arrays, n_queries=400, rng=3)
    np.testing.assert_allclose(every, (W, z), atol=1e-9)


def test_a_column_of_which_no_two_rows_share_a_level_has_no_answer():
    X, p, _ = few_columns(n=20)
    X[:, 1] = np.arange(20)
    is_categorical = np.array([False, True, True, False])
    assert np.isnan(correlation_ratio(X, p, is_categorical)).tolist() == [False, True, False, False]
    W, z = calibrated_relief(X, p, is_categorical, n_neighbours=5)
    assert np.isnan(W).tolist() == [False, True, False, False] and z[1] == 0 and np.isfinite(z).all()


def test_a_response_without_noise_is_no_reason_to_warn():
    X = np.array(list(itertools.product([0, 1], [0, 1], [0, 1])) * 4, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        W, z = calibrated_relief(X, X[:, 0], [False, True, False], n_neighbours=5)
    assert W.argmax() == 0 and z.argmax() == 0 and np.isfinite([W, z]).all()


GOOD = dict(X=few_columns(n=20)[0], p=few_columns(n=20)[1], is_categorical=[False, True, True, False], n_neighbours=5)
NAN = np.where(np.arange(20) < 17, GOOD["p"], np.nan)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(X=np.arange(20.0)[:, None], is_categorical=[False]), "1 of 1 hyperparameters vary, at least 2 must"),
        (dict(X=GOOD["X"] * [0, 0, 0, 1]), "1 of 4 hyperparameters vary, at least 2 must"),
        (dict(X=np.ones((20, 4))), "0 of 4 hyperparameters vary"),
        (dict(n_neighbours=20), r"n_neighbours must be an integer in \[1, 19\] \(there are 20 rows\), not 20"),
        (dict(n_neighbours=0), "n_neighbours must be .* not 0"),
        (dict(p=NAN), "p is NaN or infinite in 3 of 20 rows, the first of them row 17"),
        (dict(p=np.ones(20)), "p is the same in all 20 rows"),
        (dict(n_bins=1), "n_bins must be at least 2, not 1"),
        (dict(n_passes=0), "n_passes must be at least 1, not 0"),
        (dict(n_queries=21), r"n_queries must be an integer in \[1, 20\] \(there are 20 rows\), not 21"),
        (dict(n_queries=0), "n_queries must be .* not 0"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    calibrated_relief(**GOOD)
    with pytest.raises(ValueError, match=message):
        calibrated_relief(**{**GOOD, **wrong})


@pytest.mark.parametrize("function", [correlation_ratio, pair_effects])
def test_the_others_refuse_alike(function):
    arrays = GOOD["X"], GOOD["p"], GOOD["is_categorical"]
    with pytest.raises(ValueError, match="n_bins must be at least 2, not 1"):
        function(*arrays, n_bins=1)
    with pytest.raises(ValueError, match="p is NaN or infinite in 3 of 20 rows"):
        function(arrays[0], NAN, arrays[2])
    assert function(arrays[0][:, :1], arrays[1], [False]).shape[0] == 1  # one column is enough for these
