"""Shares, valleys and medians on numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from gsos.distribution import accuracy_shares, extremes, median_intervals


def test_shares_by_hand():
    accuracy = [0.0, 0.05, 0.1, 0.95, 1.0, np.nan]
    strategy = ["random", "bohb", "random", "random", "bohb", "random"]
    shares = accuracy_shares(pd.DataFrame({"validation_accuracy": accuracy, "strategy": strategy}))
    assert shares.shape == (10, 2) and shares.to_numpy().sum() == pytest.approx(1)
    assert shares.random.tolist() == [0.2, 0.2, 0, 0, 0, 0, 0, 0, 0, 0.2]  # 0.1 opens the second interval
    assert shares.bohb.tolist() == [0.2, 0, 0, 0, 0, 0, 0, 0, 0, 0.2]  # 1.0 belongs to the last
    assert accuracy_shares(pd.DataFrame({"validation_accuracy": [0.3], "strategy": ["random"]})).bohb.sum() == 0


def test_extremes_by_hand():
    shares = pd.DataFrame(
        {"random": [0.3, 0.1, 0, 0, 0, 0, 0, 0.12, 0.2, 0.1], "bohb": [0, 0, 0, 0, 0, 0, 0, 0.06, 0.1, 0.02]}
    )
    assert extremes(shares).to_dict() == pytest.approx({"low": 0.2, "middle": 0.03, "high": 0.21})


def test_median_intervals_hold_the_median_and_narrow_with_n():
    rng = np.random.default_rng(0)
    frame = pd.concat(
        pd.DataFrame({"a": "x", "b": n, "validation_accuracy": rng.normal(0.5, 0.1, n)}) for n in (20, 500)
    )
    small, large = median_intervals(frame, ["a", "b"]).itertuples()
    assert small.n == 20 and large.n == 500
    assert small.low < small.median < small.high and large.low < large.median < large.high
    assert large.high - large.low < small.high - small.low
    # for a normal distribution the median's standard error is 1.2533 s / sqrt(n)
    assert large.high - large.low == pytest.approx(2 * 1.96 * 1.2533 * 0.1 / np.sqrt(500), rel=0.35)
    assert median_intervals(frame, ["a", "b"]).equals(median_intervals(frame, ["a", "b"]))
    one = median_intervals(frame.head(1), ["a", "b"]).iloc[0]
    assert np.isnan(one.low) and one["median"] == frame.validation_accuracy.iloc[0]
