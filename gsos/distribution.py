"""How accuracies are distributed: shares by interval, how full the extremes are, medians with intervals."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

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
