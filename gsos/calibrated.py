"""Calibrated RReliefF: shares of variance where N-RReliefF gives a covariance. Total effects, main effects, pairs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from gsos.checks import check_count, check_trials
from gsos.relief import coordinates, normalise, ranked_neighbours

SIGMA = 10.0  # decay of a neighbour's weight with its rank
MOST_PAIRS = 20_000_000  # of neighbours at once, about 1 GB
FLOOR = 0.01  # least share with which a hyperparameter counts in the distance


def calibrated_relief(
    X: ArrayLike,
    p: ArrayLike,
    is_categorical: ArrayLike,
    *,
    n_neighbours: int = 30,
    n_passes: int = 3,
    n_bins: int = 10,
    n_queries: int | None = None,
    rng: np.random.Generator | int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Total effect of each hyperparameter, as a share of the variance of p, and how far it stands out of chance.

    X: (n, k), one configuration a row, each on the scale it was sampled on, categories as codes; p: (n,) performance,
    in any unit; is_categorical: (k,) bool. n_bins: two values of a column with more levels than this are the same
    where they fall into the same of so many quantile bins. n_queries: look at the neighbours of so many random rows
    only (for more than 10,000 rows: nearly as good, and linear in n); None takes every row.

    Returns W (k,), neither clipped nor summing to 1, and z (k,), W in standard deviations of what it is when the
    hyperparameter's values are permuted (take z > 2.5 as a find). A constant column has W = 0 and z = 0; W is NaN
    where no two neighbours share a level.

    For each k, over pairs of a row and its nearest in the *other* hyperparameters, rank-weighted as in HIA Eq 12-14:
        diff(p) = (p - p')^2 / 2,  W_k = sum_b mass_b (E[diff(p) | b] - E[diff(p) | b, same bin]) / Var p,
    b the bin of the row, mass_b its share of rows: how much less p differs where k is the same, all else (nearly)
    equal. Where bins are equally full that is (N_pk - N_p N_k) / ((1 - N_k) Var p). With all pairs as neighbours W is
    the correlation ratio, the main effect; that is the first pass, and each later pass weighs the hyperparameters in
    the distance by the W of the one before. Since the others are only nearly equal, p is taken less their main
    effects: that changes nothing in what k contributes, and halves the error where effects add up.

    Differs from N-RReliefF (HIA Eq 10), which is a covariance of diff(p) and diff_k divided by N_p (1 - N_p): among
    neighbours in all hyperparameters, diff_k has no room to differ, least for two-valued ones; |x - x'| has another
    spread for each kind of hyperparameter; and a fixed distance lets inert hyperparameters choose the neighbours.

    Not for fewer than 300 rows, where the forest's total effect (`fanova`) is better, nor for trials of a search that
    learns (TPE, BOHB): where rows crowd, neighbours are near in k as well, and its effect is missed. Total effects
    overlap: with interactions they sum to more than 1.

    Raises ValueError for arrays that `check_trials` refuses, when n <= n_neighbours, and when fewer than two
    hyperparameters vary (`correlation_ratio` is for one).
    """
    X, p, is_categorical = check_trials(X, p, is_categorical)
    n = len(p)
    n_neighbours = check_count("n_neighbours", n_neighbours, 1, n - 1, f" (there are {n} rows)")
    n_passes, n_bins = check_count("n_passes", n_passes, 1), check_count("n_bins", n_bins, 2)
    varying = np.flatnonzero(np.ptp(X, axis=0) > 0)
    if len(varying) < 2:
        raise ValueError(f"{len(varying)} of {X.shape[1]} hyperparameters vary, at least 2 must; see correlation_ratio")
    rows = np.arange(n)
    if n_queries is not None:
        m = check_count("n_queries", n_queries, 1, n, f" (there are {n} rows)")
        rows = np.sort(np.random.default_rng(rng).choice(n, m, replace=False))

    bins = [_bins(X[:, k], is_categorical[k], n_bins) for k in varying]
    spread = np.array([_spread(X[:, k], is_categorical[k]) for k in varying])
    found = np.array([_correlation_ratio(b, p) for b in bins])
    additive = _main_effects(bins, p)
    z = np.zeros(len(varying))
    for number in range(n_passes):
        found = np.where(found > 1e-9, found, 0.0)  # rounding is no effect; nor is what cannot be told (NaN)
        scale = np.sqrt(np.maximum(normalise(found), FLOOR) / spread)
        found = np.empty(len(varying))
        for i, own_bins in enumerate(bins):
            others = np.delete(np.arange(len(varying)), i)
            U = coordinates(X[:, varying[others]], is_categorical[varying[others]], scale[others], power=2)
            found[i], pairs = _total_effect(U, rows, own_bins, p - additive[others].sum(axis=0), n_neighbours)
            if number == n_passes - 1:
                z[i] = _z_score(*pairs, own_bins)
        found /= p.var(ddof=1)
    W, z_all = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    W[varying], z_all[varying] = found, z
    return W, z_all


def correlation_ratio(
    X: ArrayLike, p: ArrayLike, is_categorical: ArrayLike, *, n_bins: int = 10
) -> NDArray[np.float64]:
    """Main effect of each hyperparameter, (k,) shares of the variance of p, without bias (so it may be below 0).

    1 - (variance of p within bins) / (variance of p), by pairs of rows: calibrated RReliefF with all pairs as
    neighbours. Arguments, constant columns, NaN and errors as in `calibrated_relief`.
    """
    X, p, is_categorical = check_trials(X, p, is_categorical)
    n_bins = check_count("n_bins", n_bins, 2)
    columns = zip(X.T, is_categorical, strict=True)
    return np.array([_correlation_ratio(_bins(x, categorical, n_bins), p) for x, categorical in columns])


def pair_effects(X: ArrayLike, p: ArrayLike, is_categorical: ArrayLike, *, n_bins: int = 10) -> NDArray[np.float64]:
    """Interaction of each pair: what the two explain together beyond their main effects, a share of the variance of p.

    Returns (k, k), symmetric, with the main effects on the diagonal. `correlation_ratio` on the joint bins, less the
    two single ones. An even n_bins puts no threshold in the middle of a range into a bin.
    """
    X, p, is_categorical = check_trials(X, p, is_categorical)
    n_bins = check_count("n_bins", n_bins, 2)
    bins = [_bins(x, categorical, n_bins) for x, categorical in zip(X.T, is_categorical, strict=True)]
    effects = np.diag([_correlation_ratio(b, p) for b in bins])
    for i, j in zip(*np.triu_indices(len(bins), 1), strict=True):
        joint = bins[i] * (bins[j].max() + 1) + bins[j]
        effects[i, j] = effects[j, i] = _correlation_ratio(joint, p) - effects[i, i] - effects[j, j]
    return effects


def _bins(x: NDArray[np.float64], categorical: bool, n_bins: int) -> NDArray[np.int64]:
    """(n,) number of each value's bin: its level where there are few, or quantile bins of about equal size."""
    levels, codes = np.unique(x, return_inverse=True)
    if categorical or len(levels) <= n_bins:
        return codes
    return np.searchsorted(np.quantile(x, np.arange(1, n_bins) / n_bins), x, side="right")


def _spread(x: NDArray[np.float64], categorical: bool) -> float:
    """Half the mean squared distance of two values: the variance; of categories half the share of mismatches."""
    if categorical:
        shares = np.unique(x, return_counts=True)[1] / len(x)
        return (1 - (shares**2).sum()) / 2
    return x.var()


def _correlation_ratio(bins: NDArray[np.int64], p: NDArray[np.float64]) -> float:
    """W of `calibrated_relief` with all pairs of rows as neighbours; NaN where no two rows share a bin."""
    n, p, count = len(p), p - p.mean(), np.bincount(bins)
    if count.max() == n or not p.any():  # a constant column explains nothing; nothing is explained
        return 0.0
    shared = count > 1
    if not shared.any():
        return np.nan
    count, of_bin, squares = count[shared], np.bincount(bins, p)[shared], np.bincount(bins, p**2)[shared]
    any_pair = n / (n - 1) * (squares / count + p.var()) / 2  # of a row of the bin and any other row
    same_bin = (squares - of_bin**2 / count) / (count - 1)
    return float((count * (any_pair - same_bin)).sum() / count.sum() / p.var(ddof=1))


def _main_effects(bins: list[NDArray[np.int64]], p: NDArray[np.float64], n_sweeps: int = 3) -> NDArray[np.float64]:
    """(k, n) contribution of each column to each row in an additive model, by backfitting means of bins.

    Each is shrunk by the share of its variance that is not noise, so that nothing is subtracted where nothing is.
    """
    effects, rest = np.zeros((len(bins), len(p))), p - p.mean()
    for _ in range(n_sweeps):
        for effect, own_bins in zip(effects, bins, strict=True):
            rest += effect
            mean = (np.bincount(own_bins, rest) / np.maximum(np.bincount(own_bins), 1))[own_bins]
            signal = np.nan_to_num(_correlation_ratio(own_bins, rest)) * rest.var(ddof=1)
            effect[:] = mean * np.clip(signal / mean.var(), 0, 1) if mean.var() > 0 else 0.0
            rest -= effect
    return effects


def _total_effect(
    U: NDArray[np.float64], rows: NDArray[np.int64], bins: NDArray[np.int64], p: NDArray[np.float64], n_neighbours: int
) -> tuple[float, tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]]:
    """W Var p of one hyperparameter, and of each pair A = d (diff(p) - N_p) / M, its row and its neighbour.

    U: (n, c) points of the others; rows: (m,) whose neighbours count; bins: (n,) of its own values.
    """
    m, j, d = _pairs(U, rows, n_neighbours)
    diff_p, same = (p[m] - p[j]) ** 2 / 2, bins[m] == bins[j]
    d_p, b, n_bins = d * diff_p, bins[m], bins.max() + 1
    mass, mass_same = np.bincount(b, d, n_bins), np.bincount(b[same], d[same], n_bins)
    shared = mass_same > 0
    if not shared.any():
        return np.nan, (d_p, m, j)
    any_bin = np.bincount(b, d_p, n_bins)[shared] / mass[shared]
    same_bin = np.bincount(b[same], d_p[same], n_bins)[shared] / mass_same[shared]
    W = (mass[shared] * (any_bin - same_bin)).sum() / mass[shared].sum()
    return float(W), ((d_p - d * (d_p.sum() / d.sum())) / len(rows), m, j)


def _pairs(
    U: NDArray[np.float64], rows: NDArray[np.int64], n_neighbours: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every pair of a row and a neighbour: their numbers and its weight."""
    blocks, n_pairs = [], 0
    for m, j, d in ranked_neighbours(U, rows, n_neighbours, SIGMA):
        n_pairs += j.size
        if n_pairs > MOST_PAIRS:
            raise ValueError(
                f"more than {MOST_PAIRS:,} pairs of neighbours: too many rows lie at the same distance, since their "
                "hyperparameters have few values; take fewer n_queries, or `correlation_ratio` or `fanova`"
            )
        blocks.append((np.repeat(m, j.shape[1]), j.ravel(), d.ravel()))
    return tuple(np.concatenate(block) for block in zip(*blocks, strict=True))


def _z_score(A: NDArray[np.float64], m: NDArray[np.int64], j: NDArray[np.int64], bins: NDArray[np.int64]) -> float:
    """W, linear in the pairs of a bin, in its standard deviations over permutations of the bins.

    W is -sum_b mass_b sum_{pairs in b} A / (their weight); with that weight's expectation for a bin of n_b rows,
    mass_b (n_b - 1) / (n - 1), it is -sum A c_b over the pairs in the same bin, c_b = (n - 1) / (n_b - 1).
    """
    factor = _bin_factors(bins)
    same = bins[m] == bins[j]
    sd = _permutation_sd(csr_array((A, (m, j)), shape=(len(bins), len(bins))), bins)
    return float(-(A[same] * factor[bins[m[same]]]).sum() / sd) if sd > 0 else 0.0


def _bin_factors(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    count = np.bincount(bins)
    return np.divide(len(bins) - 1, count - 1, where=count > 1, out=np.zeros(len(count)))


def _permutation_sd(A: csr_array, bins: NDArray[np.int64]) -> float:
    """Standard deviation of sum_ij A_ij D_ij over all permutations of the bins, for A that sums to 0.

    A: (n, n) with empty diagonal; D_ij = c_b where i and j are both in bin b, else 0 (c_b as in `_z_score`). Exact:
    the second moment of Mantel's statistic (Mantel 1967) from the sums of squares of the entries (a2, d2) and of the
    rows (a3, d3) of both matrices.
    """
    n = A.shape[0]
    if n < 4:
        return np.nan
    a2 = (A.multiply(A).sum() + A.multiply(A.T).sum()) / 2  # of the symmetric part
    a3 = (((A.sum(axis=0) + A.sum(axis=1)) / 2) ** 2).sum()
    count, factor = np.bincount(bins), _bin_factors(bins)
    row = factor * (count - 1)
    d1, d2, d3 = (count * row).sum() ** 2, (count * row * factor).sum(), (count * row**2).sum()
    moment = (
        2 * a2 * d2 / (n * (n - 1))
        + 4 * (a3 - a2) * (d3 - d2) / (n * (n - 1) * (n - 2))
        + (2 * a2 - 4 * a3) * (d1 + 2 * d2 - 4 * d3) / (n * (n - 1) * (n - 2) * (n - 3))
    )
    return float(np.sqrt(max(moment, 0.0)))
