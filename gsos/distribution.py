"""How accuracies are distributed: shares by interval, how full the extremes are, medians, HIA's claims of them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from gsos.claims import Result

ACCURACY_EDGES = np.round(np.linspace(0, 1, 11), 1)  # HIA's ten performance intervals of 0.1


def accuracy_shares(frame: pd.DataFrame, edges: NDArray[np.float64] = ACCURACY_EDGES) -> pd.DataFrame:
    """Share of all records in each interval of accuracy, a column for each strategy; together they sum to 1.

    Intervals are closed on the left, the last on both sides. Records without an accuracy do not count.
    """
    frame = frame.dropna(subset="validation_accuracy")
    counts = {
        strategy: np.histogram(rows.validation_accuracy, edges)[0] / len(frame)
        for strategy, rows in frame.groupby("strategy")
    }
    index = pd.Index([f"{low:g}-{high:g}" for low, high in zip(edges[:-1], edges[1:], strict=True)], name="accuracy")
    return pd.DataFrame(counts, index=index).reindex(columns=["random", "bohb"], fill_value=0.0)


def extremes(shares: pd.DataFrame) -> pd.Series:
    """Mean share of an interval in the two lowest, the middle ones and the two highest: low, middle, high.

    shares: one row an interval (at least five), as `accuracy_shares` gives it. HIA's Fig 3 is "skewing toward the
    extremes" with "comparatively sparse" intermediate intervals where both low and high exceed middle.
    """
    total = shares.sum(axis=1).to_numpy()
    return pd.Series({"low": total[:2].mean(), "middle": total[2:-2].mean(), "high": total[-2:].mean()})


def median_intervals(
    frame: pd.DataFrame, by: list[str], *, column: str = "validation_accuracy", n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Median of a column in each group with its 95 % bootstrap interval (percentile).

    Returns one row a group: the columns `by`, n, median, low, high; low and high are NaN for fewer than two records.
    """
    rows = []
    for key, values in frame.dropna(subset=column).groupby(by, sort=False)[column]:
        low = high = np.nan
        if len(values) > 1:
            rng = np.random.default_rng(seed)
            sample = (values.to_numpy(dtype=float),)
            interval = bootstrap(sample, np.median, n_resamples=n_resamples, method="percentile", rng=rng)
            low, high = interval.confidence_interval
        rows.append((*key, len(values), float(values.median()), low, high))
    return pd.DataFrame(rows, columns=[*by, "n", "median", "low", "high"])


def claim_results(frame: pd.DataFrame, *, n_resamples: int = 1000, seed: int = 0) -> dict[str, Result]:
    """HIA's claims of sections 4.1 and 5.1, with 95 % bootstrap intervals over the records of each dataset.

    The datasets are taken as given. For HIA-03 the median accuracies, at BOHB's full budget and of random search, are
    compared on each dataset.
    """
    scale = {"n_records": len(frame), "n_datasets": frame.dataset.nunique()}
    named = frame.dropna(subset="validation_accuracy")
    full = (named.strategy == "bohb") & (named.epoch == named.epoch[named.strategy == "bohb"].max())
    rng, parts = np.random.default_rng(seed), {}
    for key, values in named.groupby(["dataset", "strategy", full.rename("full")]).validation_accuracy:
        n = len(values)
        chosen = np.vstack([np.arange(n), rng.integers(n, size=(n_resamples, n))])  # first the records themselves
        parts[key] = values.to_numpy(float)[chosen]
    random = {dataset: part for (dataset, strategy, _), part in parts.items() if strategy == "random"}
    best = {dataset: part for (dataset, _, is_full), part in parts.items() if is_full}
    everything, at_random = np.hstack(list(parts.values())), np.hstack(list(random.values()))
    low, high = (everything < 0.2).mean(axis=1), (everything >= 0.8).mean(axis=1)
    ahead = [np.median(best[name], axis=1) - np.median(random[name], axis=1) for name in best if name in random]
    found = {"HIA-02": (at_random < 0.5).mean(axis=1) - 0.5}
    found |= {"HIA-03": np.mean(ahead, axis=0)} if ahead else {}
    found |= {"HIA-04": np.minimum(low, high) / 2 - (1 - low - high) / 6}
    results = {"HIA-01": Result(len(frame), **scale)}
    for claim, values in found.items():
        ends = np.quantile(values[1:], [0.025, 0.975])
        results[claim] = Result(float(values[0]), **scale, low=float(ends[0]), high=float(ends[1]))
    return results
