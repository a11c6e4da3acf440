"""N-RReliefF beside Algorithm 1 of HIA in plain loops, its ties beside all orders of the rows, Eq 11 beside Table 5."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import gsos.relief
from gsos.relief import joint_importance, normalise, nrrelieff, ranked_neighbours

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=40, deadline=None)
IGNORE_WARNINGS = pytest.mark.filterwarnings("ignore:p differs by")


def rank_weights(distances, n_neighbours, sigma):
    """{row: d} from {row: distance}: d' = exp(-(rank / sigma)^2); rows at one distance share the mean of theirs."""
    order = sorted(distances, key=distances.get)
    d1 = [math.exp(-((rank / sigma) ** 2)) for rank in range(1, n_neighbours + 1)]
    d1 += [0.0] * (len(order) - n_neighbours)
    d, first = {}, 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and math.isclose(
            distances[order[last + 1]], distances[order[last]], rel_tol=1e-9, abs_tol=0
        ):
            last += 1
        for row in order[first : last + 1]:
            d[row] = sum(d1[first : last + 1]) / (last + 1 - first) / sum(d1)
        first = last + 1
    return d


def row_order_weights(distances, n_neighbours, sigma):
    """{row: d} where the first of the rows at one distance has the lower rank."""
    order = sorted(distances, key=lambda row: (round(distances[row], 9), row))[:n_neighbours]
    d1 = [math.exp(-((rank / sigma) ** 2)) for rank in range(1, n_neighbours + 1)]
    return {row: weight / sum(d1) for row, weight in zip(order, d1, strict=True)}


def algorithm_1(
    X,
    p,
    is_categorical,
    n_neighbours,
    sigma=20.0,
    distance="normalised",
    metric="euclidean",
    normalise_response=False,
    rows=None,
    weigh=rank_weights,
):
    """N_p, [N_k], [N_pk] of HIA Algorithm 1, literally: for m, for j, for k."""
    X, p, K = np.asarray(X).tolist(), np.asarray(p).tolist(), len(X[0])
    extent = [max(h[k] for h in X) - min(h[k] for h in X) for k in range(K)]
    p_extent = max(p) - min(p) if normalise_response else 1.0
    rows = range(len(X)) if rows is None else rows

    def diff(k, a, b):
        if is_categorical[k]:
            return 0.0 if a == b else 1.0
        return abs(a - b) / extent[k] if extent[k] else 0.0

    def length(a, b):
        parts = [
            diff(k, a[k], b[k]) if distance == "normalised" or is_categorical[k] else abs(a[k] - b[k]) for k in range(K)
        ]
        return sum(parts) if metric == "manhattan" else math.sqrt(sum(part**2 for part in parts))

    N_p, N_k, N_pk = 0.0, [0.0] * K, [0.0] * K
    for m in rows:
        d = weigh({j: length(X[m], X[j]) for j in range(len(X)) if j != m}, n_neighbours, sigma)
        for j in d:
            diff_p = abs(p[m] - p[j]) / p_extent
            N_p += diff_p * d[j]
            for k in range(K):
                N_k[k] += diff(k, X[m][k], X[j][k]) * d[j]
                N_pk[k] += diff_p * diff(k, X[m][k], X[j][k]) * d[j]
    M = len(rows)
    return N_p / M, [N / M for N in N_k], [N / M for N in N_pk]


def eq_10(N_p, N_k, N_pk):
    return [both / N_p - (k - both) / (1 - N_p) for k, both in zip(N_k, N_pk, strict=True)]


def grid_trials(seed, n=None, k=None, high=1.0):
    """Trials on coarse grids, so that ties and copies abound: X, p in [0, high], is_categorical."""
    rng = np.random.default_rng(seed)
    n, k = n or rng.integers(6, 21), k or rng.integers(1, 5)
    is_categorical = rng.random(k) < 0.5
    X = rng.integers(rng.integers(1, 6, size=k), size=(n, k), endpoint=True).astype(float)
    X = np.where(is_categorical, X, X * rng.choice([0.1, 1.0, 32.0], size=k))
    p = high * rng.permutation([0, 4, *rng.integers(5, size=n - 2)]) / 4
    return X, p, is_categorical


def smooth_trials(n=120, seed=0):
    """Trials without ties, of which the first two columns count: X (n, 5), p in [0, 1], is_categorical."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 5)) * [1, 10, 0.1, 5, 1]
    X[:, 4] = rng.integers(3, size=n)
    return X, X[:, 0] * 0.6 + (X[:, 1] / 10) ** 2 * 0.4, np.array([False] * 4 + [True])


@given(
    seed=SEEDS,
    high=st.sampled_from([1.0, 0.3, 90.0]),
    n_neighbours=st.integers(1, 5),
    sigma=st.sampled_from([0.7, 3.0, 20.0]),
    distance=st.sampled_from(["normalised", "raw"]),
    metric=st.sampled_from(["euclidean", "manhattan"]),
    normalise_response=st.booleans(),
)
@settings(max_examples=150, deadline=None)
@IGNORE_WARNINGS
def test_weights_are_those_of_algorithm_1(seed, high, n_neighbours, sigma, distance, metric, normalise_response):
    X, p, is_categorical = grid_trials(seed, high=high)
    options = dict(distance=distance, metric=metric, normalise_response=normalise_response)
    N_p, N_k, N_pk = algorithm_1(X, p, is_categorical, n_neighbours, sigma, **options)
    assume(N_p > 1e-9 and abs(N_p - 1) > 1e-6)
    W = nrrelieff(X, p, is_categorical, n_neighbours=n_neighbours, sigma=sigma, **options)
    np.testing.assert_allclose(W, eq_10(N_p, N_k, N_pk), rtol=1e-8, atol=1e-9)
    covariance = [(both - N_p * k) / (N_p * (1 - N_p)) for k, both in zip(N_k, N_pk, strict=True)]
    np.testing.assert_allclose(W, covariance, rtol=1e-7, atol=1e-9)


def test_the_defaults_are_thirty_neighbours_and_a_sigma_of_twenty():
    X, p, is_categorical = grid_trials(5, n=50, k=3)
    np.testing.assert_allclose(
        nrrelieff(X, p, is_categorical), eq_10(*algorithm_1(X, p, is_categorical, 30, 20.0)), atol=1e-12
    )


@pytest.mark.parametrize("n_neighbours", [1, 2, 3])
@pytest.mark.parametrize(
    "X",
    [
        [[0, 0], [0, 0], [0, 1], [1, 0], [0, 1]],
        [[0, 0], [1, 0], [2, 0], [1, 1], [1, 2]],
        [[0, 0], [0, 0], [0, 0], [1, 1], [0.1, 0]],
    ],
)
def test_shared_ranks_are_the_mean_over_all_orders_of_the_rows(X, n_neighbours):
    X, p, is_categorical = np.array(X, dtype=float), np.array([0.0, 0.3, 1.0, 0.6, 0.1]), np.array([False, True])
    orders = [list(order) for order in itertools.permutations(range(5))]
    by_order = [
        np.hstack(algorithm_1(X[order], p[order], is_categorical, n_neighbours, 2.0, weigh=row_order_weights))
        for order in orders
    ]
    N = np.mean(by_order, axis=0)
    assert np.std(by_order, axis=0).max() > 0.01  # otherwise there is no tie to break
    W = nrrelieff(X, p, is_categorical, n_neighbours=n_neighbours, sigma=2.0)
    np.testing.assert_allclose(W, eq_10(N[0], N[1:3], N[3:]), atol=1e-12)


def test_one_neighbour_by_hand():
    # Each of the first three rows has the next as its nearest, the last two have each other.
    X, p = [[0.0], [4.0], [7.0], [9.0], [10.0]], [0.0, 1.0, 0.5, 0.5, 0.0]
    # diff(p) 1 .5 0 .5 .5 and diff_k .4 .3 .2 .1 .1, in means: N_p = .5, N_k = .22, N_pk = .13
    assert nrrelieff(X, p, [False], n_neighbours=1) == pytest.approx([0.13 / 0.5 - 0.09 / 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nrrelieff(X, 1.9 * np.array(p), [False], n_neighbours=1)
    with pytest.warns(UserWarning, match="p differs by 1.1 among neighbours"):
        W = nrrelieff(X, 2.2 * np.array(p), [False], n_neighbours=1)
    assert W == pytest.approx([2.2 * 0.13 / 1.1 + (0.22 - 2.2 * 0.13) / 0.1])


@given(seed=SEEDS, distance=st.sampled_from(["normalised", "raw"]))
@FEW
@IGNORE_WARNINGS
def test_the_order_of_the_rows_does_not_matter(seed, distance):
    X, p, is_categorical = grid_trials(seed)
    assume(algorithm_1(X, p, is_categorical, 4)[0] > 0 and algorithm_1(X, p, is_categorical, 4, distance="raw")[0] > 0)
    order = np.random.default_rng(seed).permutation(len(p))
    W = nrrelieff(X, p, is_categorical, n_neighbours=4, distance=distance)
    np.testing.assert_allclose(
        nrrelieff(X[order], p[order], is_categorical, n_neighbours=4, distance=distance), W, atol=1e-10
    )


def test_the_unit_of_a_column_matters_to_the_raw_distance_only():
    X, p, is_categorical = smooth_trials()
    Y = X * [3.0, 0.2, 100.0, 1.0, 1.0] + [-7.0, 2.0, 40.0, 0.5, 0.0]
    W = nrrelieff(X, p, is_categorical, n_neighbours=10)
    np.testing.assert_allclose(nrrelieff(Y, p, is_categorical, n_neighbours=10), W, atol=1e-10)
    raw = [nrrelieff(Z, p, is_categorical, n_neighbours=10, distance="raw") for Z in (X, Y)]
    assert abs(raw[0] - raw[1]).max() > 0.05


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
@pytest.mark.parametrize("distance", ["normalised", "raw"])
def test_codes_of_categories_are_only_names(distance, metric):
    X, p, is_categorical = smooth_trials()
    X[:, 3] = X[:, 3] > 2
    is_categorical[3] = True
    options = dict(n_neighbours=10, distance=distance, metric=metric)
    renamed = X.copy()
    renamed[:, 3] = np.array([-5.0, 12.5])[X[:, 3].astype(int)]
    renamed[:, 4] = np.array([90.0, -1.0, 3.5])[X[:, 4].astype(int)]
    np.testing.assert_allclose(
        nrrelieff(renamed, p, is_categorical, **options), nrrelieff(X, p, is_categorical, **options), atol=1e-10
    )
    is_categorical[4] = False  # as numbers, codes would matter
    W, of_renamed = (nrrelieff(x, p, is_categorical, **options) for x in (X, renamed))
    assert abs(W - of_renamed).max() > 1e-3


@pytest.mark.parametrize("options", [{}, {"metric": "manhattan"}, {"normalise_response": True}])
def test_a_planted_noise_column_gets_about_nothing(options):
    X, p, is_categorical = smooth_trials(n=200)
    W = nrrelieff(X, p, is_categorical, **options)
    assert -0.03 < W[2:].min() and W[2:].max() < 0.005  # inert ones come out a little below 0
    assert W[0] > 2 * W[1] > 2 * W[2:].max() + 0.04


def test_everything_noise_gets_about_nothing():
    X, _, is_categorical = smooth_trials(n=600)
    p = np.random.default_rng(1).random(600)
    assert abs(nrrelieff(X, p, is_categorical)).max() < 0.01


@pytest.mark.parametrize("as_categories", [False, True])
def test_both_columns_of_a_parity_among_five_come_out_on_top(as_categories):
    # Robnik-Sikonja and Kononenko 2003: what judges of one column at a time cannot see.
    X = np.random.default_rng(3).integers(2, size=(100, 5)).astype(float)
    p = (X[:, 1] != X[:, 3]).astype(float)
    assert max(abs(np.corrcoef(x, p)[0, 1]) for x in X.T) < 0.2
    W = nrrelieff(X, p, np.full(5, as_categories), n_neighbours=10)
    assert W[[1, 3]].min() > 0.2 and W[[0, 2, 4]].max() < 0.05


@pytest.mark.parametrize("distance", ["normalised", "raw"])
def test_a_constant_column_has_exactly_no_weight_and_changes_no_other(distance):
    X, p, is_categorical = smooth_trials()
    constant = np.full((len(X), 1), 3.7)
    W = nrrelieff(np.hstack([constant, X, constant]), p, [True, *is_categorical, False], distance=distance)
    assert W[0] == W[-1] == 0
    np.testing.assert_allclose(W[1:-1], nrrelieff(X, p, is_categorical, distance=distance), atol=1e-12)


def test_rows_that_are_drawn_are_those_of_the_generator():
    X, p, is_categorical = grid_trials(8, n=20, k=3)
    for M in (7, 50):  # Algorithm 1 draws with replacement: more draws than rows are no error
        rows = np.random.default_rng(12).integers(20, size=M)
        expected = eq_10(*algorithm_1(X, p, is_categorical, 5, rows=rows.tolist()))
        for rng in (12, np.random.default_rng(12)):
            W = nrrelieff(X, p, is_categorical, n_neighbours=5, n_samples=M, rng=rng)
            np.testing.assert_allclose(W, expected, atol=1e-12)


def test_draws_depend_on_the_seed_alone():
    X, p, is_categorical = smooth_trials()
    before = np.random.get_state()
    W = [nrrelieff(X, p, is_categorical, n_samples=40, rng=seed) for seed in (1, 1, 2)]
    assert (W[0] == W[1]).all() and abs(W[0] - W[2]).min() > 0
    after = np.random.get_state()
    assert before[0] == after[0] and (before[1] == after[1]).all() and before[2:] == after[2:]


def test_percent_accuracies_warn_and_are_right_once_normalised():
    X, p, is_categorical = smooth_trials()
    with pytest.warns(UserWarning, match=r"p differs by 1\d\.\d+ among neighbours.*normalise_response=True"):
        percent = nrrelieff(X, 100 * p, is_categorical)
    assert percent.argmax() > 1  # an irrelevant one
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        W, of_percent = (nrrelieff(X, y, is_categorical, normalise_response=True) for y in (p, 100 * p - 3))
    np.testing.assert_allclose(of_percent, W, atol=1e-10)


def test_columns_may_come_as_lists_and_stay_as_they_are():
    X, p, is_categorical = smooth_trials()
    copies = X.copy(), p.copy(), is_categorical.copy()
    W = nrrelieff(X, p, is_categorical)
    assert all((a == b).all() for a, b in zip(copies, (X, p, is_categorical), strict=True))
    assert (nrrelieff(X.tolist(), p.tolist(), is_categorical.tolist()) == W).all() and W.shape == (5,)


GOOD = dict(X=[[0, 1], [2, 0], [3, 2], [1, 1], [5, 0]], p=[0.1, 0.9, 0.4, 0.3, 0.5], is_categorical=[False, True])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(X=[[0, 1], [2, 0], [np.nan, 2], [1, np.nan], [5, 0]]), "X is NaN or infinite in 2 of 5 rows.* row 2:"),
        (dict(p=[0.1, np.inf, 0.4, 0.3, 0.5]), "p is NaN or infinite in 1 of 5 rows.* row 1:"),
        (dict(p=[0.5] * 5), "p is the same in all 5 rows"),
        (dict(X=[["Adam", 1], ["SGD", 0], [3, 2], [1, 1], [5, 0]]), "X must hold numbers only .*Adam.*codes"),
        (dict(X=[0, 2, 3, 1, 5]), r"X must be of shape \(n, k\).*not \(5,\)"),
        (dict(X=np.empty((5, 0)), is_categorical=np.empty(0, bool)), r"X must be of shape \(n, k\).*not \(5, 0\)"),
        (dict(p=[0.1, 0.9]), r"p must hold one number for each of the 5 rows of X, but has shape \(2,\)"),
        (dict(p=[[0.1], [0.9], [0.4], [0.3], [0.5]]), r"p must hold one number for each .* shape \(5, 1\)"),
        (dict(is_categorical=[0, 1]), r"is_categorical must hold one bool for each of the 2 columns.*\[0, 1\]"),
        (dict(is_categorical=[True]), r"is_categorical must hold one bool for each of the 2 columns.*\[ ?True\]"),
        (dict(n_neighbours=5), r"n_neighbours must be an integer in \[1, 4\] \(there are 5 rows\), not 5"),
        (dict(n_neighbours=0), r"n_neighbours must be an integer in \[1, 4\].* not 0"),
        (dict(n_neighbours=2.5), r"n_neighbours must be an integer in \[1, 4\].* not 2\.5"),
        (dict(n_samples=0), "n_samples must be at least 1, not 0"),
        (dict(sigma=0), "sigma must be positive, not 0"),
        (dict(sigma=-2.0), r"sigma must be positive, not -2\.0"),
        (dict(sigma=math.nan), "sigma must be positive, not nan"),
        (dict(distance="log"), 'distance must be "normalised" or "raw", not \'log\''),
        (dict(metric="cosine"), "metric must be one of euclidean, manhattan, not 'cosine'"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    nrrelieff(**GOOD, n_neighbours=4)
    with pytest.raises(ValueError, match=message):
        nrrelieff(**{"n_neighbours": 2, **GOOD, **wrong})


@pytest.mark.parametrize(("p", "mean"), [([0, 0, 1, 1], 0), ([0, 1, 0, 1], 1)])
def test_eq_10_has_no_value_where_neighbours_never_differ_or_always_do(p, mean):
    with pytest.raises(ValueError, match=rf"Eq 10 divides by N_p \(1 - N_p\).*is {mean} on average"):
        nrrelieff([[0], [1], [10], [11]], p, [False], n_neighbours=1)


# HIA Table 3.
TABLE_3 = {
    "num_conv_layers": 0.385284,
    "lr": 0.227982,
    "dropout_rate": 0.130576,
    "optimizer": 0.042302,
    "epoch": 0.042060,
    "stride": 0.042030,
    "in_channel_num": 0.034890,
    "padding": 0.032672,
    "kernel": 0.028568,
    "num_fc_units": 0.018513,
    "batch_size": 0.015124,
}
# HIA Table 5, joint with num_conv_layers. Its labels are in another order, its values in that of Table 3.
TABLE_5 = [0.679271, 0.616227, 0.564162, 0.564025, 0.564008, 0.559995, 0.558755, 0.556466, 0.550899, 0.549035]


def test_joint_importance_of_table_3_is_table_5():
    joint = joint_importance(list(TABLE_3.values()))
    np.testing.assert_allclose(joint[0, 1:], TABLE_5, rtol=0, atol=2e-6)
    assert joint.shape == (11, 11) and (joint == joint.T).all()
    off_diagonal = joint[np.triu_indices(11, 1)]
    np.testing.assert_allclose(np.sort(off_diagonal)[::-1][:10], TABLE_5, rtol=0, atol=2e-6)  # its ten largest


def test_joint_importance_by_hand():
    np.testing.assert_allclose(
        joint_importance([0.0, math.log(2), math.log(3)]), [[1 / 6, 2 / 6, 3 / 6], [2 / 6, 4 / 6, 1], [3 / 6, 1, 9 / 6]]
    )


def test_normalised_weights_are_clipped_shares():
    assert normalise([3.0, -1.0, 1.0, 0.0]).tolist() == [0.75, 0, 0.25, 0]
    assert normalise([-3.0, -1.0, 0.0]).tolist() == [0, 0, 0]
    assert np.isnan(normalise([1.0, np.nan])[1])
    weights = np.array([3.0, -1.0])
    normalise(weights)
    assert weights.tolist() == [3, -1]


def weight_matrix(U, rows, n_neighbours, sigma, power):
    """The answer of `ranked_neighbours`, one row of n weights for each of `rows`, which must be distinct."""
    found = np.zeros((len(U), len(U)))
    met = []
    for m, neighbours, d in ranked_neighbours(U, rows, n_neighbours, sigma, power):
        assert m.shape == (len(m),) and neighbours.shape == d.shape == (len(m), d.shape[1])
        assert all(len(set(row)) == len(row) for row in neighbours.tolist())
        np.testing.assert_allclose(d.sum(axis=1), 1)
        found[m[:, None], neighbours] = d
        met += m.tolist()
    assert sorted(met) == sorted(rows.tolist())
    return found[rows]


def brute_force(U, rows, n_neighbours, sigma, power):
    expected = np.zeros((len(rows), len(U)))
    for weights, m in zip(expected, rows, strict=True):
        length = (abs(U - U[m]) ** power).sum(axis=1) ** (1 / power)
        for j, d in rank_weights({j: length[j] for j in range(len(U)) if j != m}, n_neighbours, sigma).items():
            weights[j] = d
    return expected


@given(seed=SEEDS, n_neighbours=st.integers(1, 9), power=st.sampled_from([1, 2]), coarse=st.booleans())
@FEW
def test_neighbours_are_those_of_brute_force(seed, n_neighbours, power, coarse):
    rng = np.random.default_rng(seed)
    n, k = rng.integers(10, 60), rng.integers(1, 4)
    U = rng.integers(4, size=(n, k)) * 0.1 if coarse else rng.random((n, k))
    rows = rng.permutation(n)[: rng.integers(1, n)]
    found = weight_matrix(U, rows, n_neighbours, 3.0, power)
    assert (found[np.arange(len(rows)), rows] == 0).all()
    np.testing.assert_allclose(found, brute_force(U, rows, n_neighbours, 3.0, power), atol=1e-12)


def test_ties_may_go_on_far_beyond_the_neighbours():
    U = np.random.default_rng(2).integers(2, size=(300, 2)).astype(float)
    rows = np.arange(300)
    found = weight_matrix(U, rows, 30, 20.0, 2)
    same = (U[:, None] == U).all(axis=2) & ~np.eye(300, dtype=bool)
    assert same.sum(axis=1).min() > 60
    np.testing.assert_allclose(found, same / same.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(weight_matrix(U, rows, 100, 20.0, 2), brute_force(U, rows, 100, 20.0, 2), atol=1e-12)
    np.testing.assert_allclose(weight_matrix(U, rows, 299, 20.0, 2), brute_force(U, rows, 299, 20.0, 2), atol=1e-12)


def test_copies_alone_are_neighbours_alike():
    found = weight_matrix(np.zeros((50, 2)), np.arange(50), 4, 20.0, 2)
    np.testing.assert_allclose(found, (1 - np.eye(50)) / 49, atol=1e-12)


@pytest.mark.parametrize("pairs", [1, 7, 1000])
def test_blocks_of_rows_change_nothing(monkeypatch, pairs):
    trials = [grid_trials(4, n=60, k=3), smooth_trials(60)]
    whole = [nrrelieff(*arrays, n_neighbours=10) for arrays in trials]
    monkeypatch.setattr(gsos.relief, "PAIRS", pairs)
    blocks = [len(m) for m, _, _ in ranked_neighbours(trials[1][0], np.arange(60), 10, 20.0)]
    assert max(blocks) <= max(1, pairs // 12) and sum(blocks) == 60
    for W, arrays in zip(whole, trials, strict=True):
        np.testing.assert_allclose(nrrelieff(*arrays, n_neighbours=10), W, atol=1e-12)
