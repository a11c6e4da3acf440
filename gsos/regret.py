"""What the records of `gsos.contest` say: regret after so many evaluations or seconds, ratios with intervals, ranks."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata, studentized_range

from gsos.checks import check_count

_LEAST = 1e-6  # mean regret of a problem, so that one which is always solved has a logarithm


def after_evaluations(records: pd.DataFrame, n: int) -> pd.DataFrame:
    """Regret after n evaluations: a row each problem and seed, a column each strategy, NaN where it did not run."""
    return _table(records[records.evaluation == n])


def after_seconds(records: pd.DataFrame, units: float) -> pd.DataFrame:
    """Regret when `units` times a problem's mean seconds of a training have been spent, as `after_evaluations`.

    A run that ended before keeps its last value, so cheap strategies are not given the evaluations they could afford;
    of one whose first training takes longer, the first counts.
    """
    spent = records.groupby(["problem", "strategy", "seed"], observed=True, sort=False).seconds.cumsum()
    in_time = records[(spent <= units) | (records.evaluation == 1)]
    return _table(in_time.groupby(["problem", "strategy", "seed"], observed=True).tail(1))


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.pivot_table(index=["problem", "seed"], columns="strategy", values="regret", observed=True)


def geometric_mean(regret: pd.DataFrame) -> pd.Series:
    """Of each strategy: the geometric mean over problems of the mean over seeds."""
    return np.exp(np.log(regret.groupby("problem", observed=True).mean().clip(lower=_LEAST)).mean())


def ratios(
    regret: pd.DataFrame, base: str, *, n_resamples: int = 2000, rng: np.random.Generator | int | None = None
) -> pd.DataFrame:
    """The geometric mean of each strategy in parts of another's, `base`, with 90 % intervals: ratio, low, high.

    regret: as `after_evaluations` gives it, all seeds of all problems. On the problems that both have. The bootstrap
    is paired and of two levels: problems are drawn, then seeds within each. Raises ValueError for an unknown base.
    """
    if base not in regret:
        raise ValueError(f"base must be one of {list(regret)}, not {base!r}")
    rng = np.random.default_rng(rng)
    rows = {}
    for name in regret:
        both = regret[[name, base]].dropna()
        problems = both.index.unique("problem")
        values = np.stack([both.loc[problem].to_numpy() for problem in problems])  # (problems, seeds, 2)
        resampled = [_log_ratio(values)] + [_log_ratio(_resample(values, rng)) for _ in range(n_resamples)]
        rows[name] = np.exp([resampled[0], *np.percentile(resampled[1:], [5, 95])])
    return pd.DataFrame.from_dict(rows, orient="index", columns=["ratio", "low", "high"]).rename_axis("strategy")


def describe(table: pd.DataFrame) -> pd.Series:
    """Rows of `ratios` in words: "0.82 [0.70, 0.95]"."""
    return table.ratio.map("{:.2f}".format) + table.low.map(" [{:.2f}, ".format) + table.high.map("{:.2f}]".format)


def _resample(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    n_problems, n_seeds, _ = values.shape
    problems = rng.integers(n_problems, size=(n_problems, 1))
    return values[problems, rng.integers(n_seeds, size=(n_problems, n_seeds))]


def _log_ratio(values: NDArray[np.float64]) -> float:
    means = np.log(np.maximum(values.mean(axis=1), _LEAST))
    return float((means[:, 0] - means[:, 1]).mean())


def mean_ranks(regret: pd.DataFrame) -> pd.Series:
    """Mean over problems of each strategy's rank by mean regret, 1 for the least; strategies with gaps are left out."""
    means = regret.dropna(axis=1).groupby("problem", observed=True).mean()
    ranks = rankdata(means.to_numpy(), axis=1)
    return pd.Series(ranks.mean(axis=0), means.columns, name="rank").sort_values()


def critical_difference(n_strategies: int, n_problems: int, alpha: float = 0.1) -> float:
    """Least difference of mean ranks that is significant by Nemenyi's test (Demsar 2006)."""
    check_count("n_strategies", n_strategies, 2)
    check_count("n_problems", n_problems, 2)
    q = studentized_range.ppf(1 - alpha, n_strategies, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_strategies * (n_strategies + 1) / (6 * n_problems)))


def curves(records: pd.DataFrame, per: str = "evaluation", n_points: int = 60) -> pd.DataFrame:
    """Geometric mean regret of each strategy (a column) by evaluations, or by units of time spent (per="seconds").

    A unit is a problem's mean seconds of a training. Time ends where the cheapest strategy's budget does.
    """
    runs = ["strategy", "problem", "seed"]
    if per == "evaluation":
        points = records.pivot(index=runs, columns="evaluation", values="regret").rename_axis(columns="evaluations")
    else:
        spent = records.groupby(runs, observed=True).seconds.sum()
        end = spent.groupby("strategy", observed=True).mean().min()
        at = pd.Index(np.linspace(end / n_points, end, n_points), name="units")
        found = {key: _at(run, at) for key, run in records.groupby(runs, observed=True, sort=False)}
        points = pd.DataFrame(found, index=at).T.rename_axis(runs)
    means = points.groupby(["strategy", "problem"], observed=True).mean().clip(lower=_LEAST)
    return np.exp(np.log(means).groupby("strategy", observed=True).mean()).T


def _at(run: pd.DataFrame, units: pd.Index) -> NDArray[np.float64]:
    """The regret of one run when so many units are spent."""
    spent = run.seconds.to_numpy(np.float64).cumsum()
    return run.regret.to_numpy()[np.maximum(spent.searchsorted(units, "right") - 1, 0)]
