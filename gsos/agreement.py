"""How far importance weights agree: balanced subsets, ICC, rank agreement, intervals by subsampling (HIA 5.2)."""

import warnings
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import friedmanchisquare
from scipy.stats import t as student

from gsos.checks import check_count
from gsos.distribution import ACCURACY_EDGES

CAP = 600 / 11_150  # HIA 5.2: at most 600 of its 11,150 records from an interval of accuracy


def balanced_subsets(
    accuracy: ArrayLike,
    *,
    n_subsets: int = 10,
    cap: int | None = None,
    edges: ArrayLike = ACCURACY_EDGES,
    rng: np.random.Generator | int | None = None,
) -> list[NDArray[np.int64]]:
    """Random subsets of rows with at most `cap` of them from each interval of accuracy (HIA 5.2).

    accuracy: (n,) in [0, 1]; edges: (bins + 1,), intervals closed on the left, the last on both sides. cap: default
    600 n / 11,150, the paper's share, so that subsets differ whatever n. Returns sorted row numbers of each subset.
    """
    accuracy = np.asarray(accuracy, dtype=float)
    edges = np.asarray(edges, dtype=float)
    if not ((accuracy >= edges[0]) & (accuracy <= edges[-1])).all():
        raise ValueError(f"accuracy must lie in [{edges[0]:g}, {edges[-1]:g}] and not be NaN")
    cap = max(1, round(CAP * len(accuracy))) if cap is None else check_count("cap", cap, 1)
    rng = np.random.default_rng(rng)
    interval = np.digitize(accuracy, edges[1:-1])
    rows = [np.flatnonzero(interval == i) for i in np.unique(interval)]
    return [
        np.sort(np.concatenate([rng.choice(r, min(cap, len(r)), replace=False) for r in rows]))
        for _ in range(check_count("n_subsets", n_subsets, 1))
    ]


def overlap(subsets: list[NDArray[np.int64]]) -> float:
    """Mean share of a subset's rows that another subset has too."""
    shares = [np.isin(a, b).mean() for i, a in enumerate(subsets) for j, b in enumerate(subsets) if i != j]
    return float(np.mean(shares))


def icc(ratings: pd.DataFrame) -> pd.DataFrame:
    """Intraclass correlation in all its forms with 95 % intervals (Shrout and Fleiss 1979), by pingouin.

    ratings: one row a target (a hyperparameter), one column a rater (a list of weights). Returns a row for each of
    ICC(1,1), ICC(2,1), ICC(3,1) (consistency of single lists), ICC(1,k), ICC(2,k), ICC(3,k); columns icc, low, high.
    Raises ValueError for fewer than 5 targets or 2 raters, or NaN.
    """
    import pingouin  # two seconds, which only this function should cost

    if len(ratings) < 5 or ratings.shape[1] < 2 or ratings.isna().to_numpy().any():
        raise ValueError(f"ratings must have at least 5 rows, 2 columns and no NaN; they are {ratings.shape}")
    long = ratings.set_axis(range(ratings.shape[1]), axis=1).reset_index(drop=True).reset_index().melt("index")
    rounding = pingouin.options["round.column.CI95"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # identical raters divide by zero; pandas announces its next version
        pingouin.options["round.column.CI95"] = None
        try:
            found = pingouin.intraclass_corr(long, targets="index", raters="variable", ratings="value")
        finally:
            pingouin.options["round.column.CI95"] = rounding
    interval = np.stack(found.CI95)
    names = ["ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"]
    return pd.DataFrame({"icc": found.ICC.to_numpy(), "low": interval[:, 0], "high": interval[:, 1]}, index=names)


class RankAgreement(NamedTuple):
    spearman: pd.DataFrame  # (raters, raters) rank correlations
    kendall_w: float  # concordance of all raters: 0 none, 1 the same order


def rank_agreement(ratings: pd.DataFrame) -> RankAgreement:
    """Agreement of orders. ratings: one row a hyperparameter (at least 3), one column a rater.

    Kendall's W is corrected for ties; it is Friedman's statistic divided by raters (hyperparameters - 1). A rater that
    ranks nothing has no Spearman correlation (NaN).
    """
    n, raters = ratings.shape
    if n < 3 or raters < 2 or ratings.isna().to_numpy().any():
        raise ValueError(f"ratings must have at least 3 rows, 2 columns and no NaN; they are {ratings.shape}")
    statistic, _ = friedmanchisquare(*ratings.to_numpy(dtype=float))
    return RankAgreement(ratings.corr("spearman"), float(statistic / (raters * (n - 1))))


def half_samples(
    statistic: Callable[[NDArray[np.int64]], ArrayLike],
    n: int,
    *,
    n_resamples: int = 100,
    rng: np.random.Generator | int | None = None,
) -> NDArray[np.float64]:
    """A statistic of random halves of n rows, without replacement. statistic: row numbers -> (k,).

    Returns (n_resamples, k). A bootstrap would be wrong for RReliefF: copies of a row become each other's neighbours.
    """
    check_count("n", n, 4, why=" rows or models, to be halved")
    n_resamples = check_count("n_resamples", n_resamples, 2)
    rng = np.random.default_rng(rng)
    halves = [np.sort(rng.choice(n, n // 2, replace=False)) for _ in range(n_resamples)]
    with ThreadPool() as pool:  # neighbours and trees are sought outside of Python's lock
        return np.array(pool.map(statistic, halves, chunksize=1), dtype=float)


def half_interval(
    whole: ArrayLike, halves: NDArray[np.float64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(low, high), each (k,): the interval of a statistic, from its values (n_resamples, k) on random halves.

    Halves differ among themselves as much as the whole differs from its expectation: the variance of a mean of b rows
    out of n is (1 / b - 1 / n) s^2, which for b = n / 2 is s^2 / n (Politis, Romano 1994). So the interval is the
    statistic of all rows (k,) and Student's quantile times the halves' standard deviation around it. It speaks of
    sampling, not of the statistic's bias. Halves where the statistic is NaN do not count.
    """
    margin = student.ppf((1 + level) / 2, len(halves) - 1) * np.nanstd(halves, axis=0, ddof=1)
    return np.asarray(whole) - margin, np.asarray(whole) + margin
