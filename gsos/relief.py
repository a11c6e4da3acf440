"""N-RReliefF: the importance of single hyperparameters and of pairs (HIA section 3, Algorithm 1, Eq 1-14)."""

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from gsos.checks import check_count, check_trials

METRICS = {"euclidean": 2, "manhattan": 1}
TIE = 1e-9  # distances that differ by less than this part of themselves are equal
PAIRS = 2**18  # pairs of a row and a neighbour that are held in memory at once


def nrrelieff(
    X: ArrayLike,
    p: ArrayLike,
    is_categorical: ArrayLike,
    *,
    n_neighbours: int = 30,
    sigma: float = 20.0,
    distance: str = "normalised",
    metric: str = "euclidean",
    normalise_response: bool = False,
    n_samples: int | None = None,
    rng: np.random.Generator | int | None = None,
) -> NDArray[np.float64]:
    """Importance of each hyperparameter by N-RReliefF (HIA Algorithm 1 and Eq 10).

    X: (n, k), one configuration a row, categories as codes; p: (n,) performance; is_categorical: (k,) bool.
    distance: "normalised" takes each hyperparameter's diff (its range is 1, a mismatch of categories is 1), "raw" the
    values of X as they are, as the paper prints it. metric: "euclidean" (as printed) or "manhattan" (as in RReliefF).
    normalise_response: divide diff(p) by the range of p. Accuracies are in [0, 1]; for anything else set it, since
    Eq 10 reads diff(p) as a probability.
    n_samples: M random draws with replacement, as Algorithm 1 has it; None takes every row once.

    Returns W (k,), as it comes out of Eq 10: not clipped, not summing to 1. A constant column has W = 0.
    Symbols: J = n_neighbours, d = rank weights, N_p = Eq 12, N_k = Eq 13, N_pk = Eq 14.

    Where the paper is silent: neighbours at the same distance share the mean of their ranks' weights, which is what
    random orders of them give on average, so that the order of the rows does not matter.

    Raises ValueError for arrays that `check_trials` refuses, when n <= n_neighbours, for an unknown distance or
    metric, or when p is the same among all neighbours. Warns when Eq 10 changes its sign (N_p > 1).
    """
    X, p, is_categorical = check_trials(X, p, is_categorical)
    n_neighbours = check_count("n_neighbours", n_neighbours, 1, len(p) - 1, f" (there are {len(p)} rows)")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    if distance not in ("normalised", "raw"):
        raise ValueError(f'distance must be "normalised" or "raw", not {distance!r}')
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")
    rows = np.arange(len(p))
    if n_samples is not None:
        rows = np.random.default_rng(rng).integers(len(p), size=check_count("n_samples", n_samples, 1))

    ranges = np.ptp(X, axis=0)
    scale = np.divide(1.0, ranges, where=(ranges > 0) & ~is_categorical, out=np.ones_like(ranges))
    in_distance = scale if distance == "normalised" else np.ones_like(scale)
    U = coordinates(X, is_categorical, in_distance, METRICS[metric])
    values = np.ascontiguousarray((X * scale).T)
    y = p / np.ptp(p) if normalise_response else p

    N_p, N_k, N_pk = 0.0, np.zeros(len(values)), np.zeros(len(values))
    for m, neighbours, d in ranked_neighbours(U, rows, n_neighbours, sigma, METRICS[metric]):
        d_diff_p = d * np.abs(y[m, None] - y[neighbours])
        N_p += d_diff_p.sum()
        for k, (value, categorical) in enumerate(zip(values, is_categorical, strict=True)):
            diff_k = np.abs(value[m, None] - value[neighbours])
            diff_k = (diff_k > 0).astype(float) if categorical else diff_k
            N_k[k] += (d * diff_k).sum()  # BLAS would sum in another order with other threads
            N_pk[k] += (d_diff_p * diff_k).sum()
    N_p, N_k, N_pk = N_p / len(rows), N_k / len(rows), N_pk / len(rows)
    if N_p == 0 or N_p == 1:
        raise ValueError(f"Eq 10 divides by N_p (1 - N_p), but diff(p) among neighbours is {N_p:g} on average")
    if N_p > 1:
        warnings.warn(
            f"p differs by {N_p:.3g} among neighbours, so that Eq 10 changes its sign: "
            "give accuracies in [0, 1], or normalise_response=True",
            stacklevel=2,
        )
    return N_pk / N_p - (N_k - N_pk) / (1 - N_p)


def joint_importance(weights: ArrayLike) -> NDArray[np.float64]:
    """W[m & n] = exp(W_m + W_n) / exp(sum W), for every pair (HIA Eq 11). weights: (k,); returns (k, k).

    It holds nothing that the single weights do not: it is monotone in W_m + W_n. For interactions see
    `calibrated.pair_effects` and `fanova.fanova`.
    """
    weights = np.asarray(weights, dtype=float)
    return np.exp(weights[:, None] + weights[None, :] - weights.sum())


def normalise(weights: ArrayLike) -> NDArray[np.float64]:
    """Weights as shares: clipped at 0 and divided by their sum; all 0 where none is positive."""
    positive = np.maximum(np.asarray(weights, dtype=float), 0.0)
    total = positive.sum()
    return positive / total if total > 0 else positive


def coordinates(
    X: NDArray[np.float64], is_categorical: NDArray[np.bool_], scale: NDArray[np.float64], power: int
) -> NDArray[np.float64]:
    """Points whose Minkowski distance of this power has, of a category, scale at every mismatch. Returns (n, >= k)."""
    columns = []
    for x, categorical, factor in zip(X.T, is_categorical, scale, strict=True):
        if categorical:
            levels = np.unique(x)
            if len(levels) <= 2:
                columns.append(factor * (x == levels[-1])[:, None])
            else:  # one-hot: a mismatch changes two of these columns
                columns.append(factor * 0.5 ** (1 / power) * (x[:, None] == levels))
        else:
            columns.append(factor * x[:, None])
    return np.hstack(columns)


def ranked_neighbours(
    U: NDArray[np.float64], rows: NDArray[np.int64], n_neighbours: int, sigma: float, power: int = 2
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """The nearest points of each row of U, itself excepted, weighted by rank, in blocks.

    U: (n, c) points; rows: those whose neighbours are wanted. Yields m (b,), neighbours (b, j) and d (b, j), whose
    rows sum to 1: d is proportional to exp(-(rank / sigma)^2) for ranks 1 to n_neighbours, and points at one distance
    share the mean of their ranks' weights (so j may be larger than n_neighbours; d is 0 for those that do not count).
    """
    d_of_rank = np.exp(-((np.arange(1, n_neighbours + 1) / sigma) ** 2))
    d_of_rank /= d_of_rank.sum()
    # Few-valued columns put many points on every median: splitting cells in the middle is up to six times as fast.
    tree = KDTree(U, leafsize=64, balanced_tree=False)
    # The row itself, its neighbours, and one point more, which shows whether a tie goes on.
    return _ranked(tree, rows, n_neighbours + 12, d_of_rank, power)


def _ranked(tree: KDTree, rows: NDArray[np.int64], n_points: int, d_of_rank: NDArray[np.float64], power: int):
    n_points = min(n_points, tree.n)
    block = max(1, PAIRS // n_points)
    for m in (rows[start : start + block] for start in range(0, len(rows), block)):
        distance, index = tree.query(tree.data[m], k=n_points, p=power, workers=-1)
        own = index == m[:, None]
        if not own[:, 0].all():  # a row with copies need not come first
            distance[own] = -1.0
            order = np.argsort(distance, axis=1, kind="stable")
            distance, index = np.take_along_axis(distance, order, 1), np.take_along_axis(index, order, 1)
        is_new = distance[:, 2:] > distance[:, 1:-1] * (1 + TIE)
        whole = is_new[:, len(d_of_rank) - 1 :].any(axis=1) if n_points < tree.n else np.ones(len(m), dtype=bool)
        if whole.any():
            yield m[whole], index[whole, 1:], _share_ties(is_new[whole], d_of_rank)
        if not whole.all():
            yield from _ranked(tree, m[~whole], 2 * n_points, d_of_rank, power)


def _share_ties(is_new: NDArray[np.bool_], d_of_rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """(b, j) weights of j points by rank, the mean of them within a tie. is_new: (b, j - 1), where a distance grows."""
    j = is_new.shape[1] + 1
    total = np.zeros(j + 1)
    total[1 : len(d_of_rank) + 1] = np.cumsum(d_of_rank)[:j]
    total[len(d_of_rank) + 1 :] = total[len(d_of_rank)]
    position = np.arange(j)
    first = np.maximum.accumulate(np.where(np.pad(is_new, ((0, 0), (1, 0)), constant_values=True), position, 0), axis=1)
    last = np.where(np.pad(is_new, ((0, 0), (0, 1)), constant_values=True), position, j)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1] + 1
    return (total[last] - total[first]) / (last - first)
