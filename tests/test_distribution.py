"""Shares, valleys and medians on numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from gsos.distribution import accuracy_shares, claim_results, extremes, median_intervals


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


def test_claims_by_hand():
    rows = [("a", "random", 5, x) for x in (0.1, 0.3, 0.4, 0.9)] + [("b", "random", 2, x) for x in (0.1, 0.1, 0.9)]
    rows += [("a", "bohb", 1, 0.2), ("a", "bohb", 9, 0.8), ("a", "bohb", 9, 0.9), ("b", "bohb", 9, 0.4)]
    rows += [("b", "random", 2, np.nan)]  # a diverged training is a record, but has no accuracy
    frame = pd.DataFrame(rows, columns=["dataset", "strategy", "epoch", "validation_accuracy"])
    results = claim_results(frame)
    assert results["HIA-01"][:3] == (12, 12, 2)
    assert results["HIA-02"].value == pytest.approx(5 / 7 - 0.5)
    assert results["HIA-03"].value == pytest.approx(((0.85 - 0.35) + (0.4 - 0.1)) / 2)
    assert results["HIA-04"].value == pytest.approx(3 / 11 / 2 - 4 / 11 / 6)  # 3 below 0.2, 4 between, 4 from 0.8
    for claim in ("HIA-02", "HIA-03", "HIA-04"):
        assert results[claim].low <= results[claim].value <= results[claim].high
    assert claim_results(frame) == results and claim_results(frame, seed=1) != results


def test_intervals_of_claims_are_those_of_a_share():
    accuracy = np.r_[np.full(300, 0.2), np.full(700, 0.7)]
    frame = pd.DataFrame({"dataset": "a", "strategy": "random", "epoch": 3, "validation_accuracy": accuracy})
    result = claim_results(frame)["HIA-02"]
    assert result.high - result.low == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 1000), rel=0.15)
    assert "HIA-03" not in claim_results(frame)  # without BOHB
