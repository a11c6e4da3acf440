"""Subsets, ICC, rank agreement, intervals from halves."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from gsos.agreement import balanced_subsets, half_interval, half_samples, icc, overlap, rank_agreement
from gsos.relief import normalise, nrrelieff

# Shrout and Fleiss (1979), Table 2: six targets, four judges.
SHROUT_FLEISS = pd.DataFrame([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.integers(1, 20), st.integers(0, 9))
def test_no_interval_gives_more_than_the_cap_and_small_ones_give_all(accuracy, cap, seed):
    accuracy = np.array(accuracy)
    edges = np.arange(11) / 10
    subsets = balanced_subsets(accuracy, cap=cap, n_subsets=3, edges=edges, rng=seed)
    for rows in subsets:
        assert len(set(rows)) == len(rows) and np.all(np.diff(rows) > 0)
        assert len(rows) == sum(min(cap, np.sum(np.digitize(accuracy, edges[1:-1]) == i)) for i in range(10))


def test_the_cap_scales_with_the_number_of_records_and_is_the_papers_at_its_own():
    low = np.full(11_150, 0.05)
    assert [len(rows) for rows in balanced_subsets(low, rng=0)] == [600] * 10
    assert len(balanced_subsets(low[:600], rng=0)[0]) == 32
    accuracy = np.array([0.0, 0.1, 0.1, 0.95, 1.0])  # 0.1 opens the second interval; 1.0 is in the last
    assert sorted(len(rows) for rows in balanced_subsets(accuracy, cap=1, rng=0)) == [3] * 10


def test_subsets_follow_the_seed():
    accuracy = np.random.default_rng(0).random(300)
    first, again, other = (balanced_subsets(accuracy, rng=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_subsets_refuse_accuracies_outside_of_the_intervals():
    for wrong in ([0.5, 55.0], [0.5, np.nan], [-0.1]):
        with pytest.raises(ValueError, match=r"accuracy must lie in \[0, 1\] and not be NaN"):
            balanced_subsets(wrong)
    with pytest.raises(ValueError, match="cap must be at least 1, not 0"):
        balanced_subsets([0.5], cap=0)
    with pytest.raises(ValueError, match="n_subsets must be at least 1"):
        balanced_subsets([0.5], n_subsets=0)


def test_overlap_is_the_mean_share_of_common_rows():
    assert overlap([np.arange(4), np.arange(2, 6)]) == 0.5
    assert overlap([np.arange(4), np.arange(4)]) == 1 and overlap([np.arange(4), np.arange(4, 8)]) == 0
    assert overlap([np.arange(2), np.arange(4)]) == pytest.approx((1 + 0.5) / 2)


def test_icc_gives_the_values_of_shrout_and_fleiss():
    found = icc(SHROUT_FLEISS)
    printed = [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]
    assert list(found.index) == ["ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"]
    assert np.allclose(found.icc, printed, atol=0.005)
    assert np.allclose(found.icc[:3], [0.1657, 0.2898, 0.7148], atol=5e-5)
    assert (found.low < found.icc).all() and (found.icc < found.high).all()
    assert found.low["ICC(3,1)"] == pytest.approx(0.3425, abs=1e-4)  # not rounded to two digits


def test_icc_3_1_by_hand_is_mean_squares():
    """(MSR - MSE) / (MSR + (k - 1) MSE) of the two-way table."""
    x = SHROUT_FLEISS.to_numpy(float)
    n, k = x.shape
    rows, columns, grand = x.mean(1, keepdims=True), x.mean(0, keepdims=True), x.mean()
    msr = k * ((rows - grand) ** 2).sum() / (n - 1)
    mse = ((x - rows - columns + grand) ** 2).sum() / ((n - 1) * (k - 1))
    assert icc(SHROUT_FLEISS).icc["ICC(3,1)"] == pytest.approx((msr - mse) / (msr + (k - 1) * mse))


def test_identical_raters_agree_perfectly_and_warn_nobody(recwarn):
    same = pd.DataFrame({i: [0.4, 0.3, 0.2, 0.1, 0.0] for i in range(3)})
    assert np.allclose(icc(same).icc, 1)
    assert not [w for w in recwarn if w.category is not DeprecationWarning]


def test_a_constant_shift_between_raters_hurts_agreement_but_not_consistency():
    shifted = pd.DataFrame({i: np.arange(6) + 10.0 * i + 0.01 * np.cos(np.arange(6) * i) for i in range(3)})
    found = icc(shifted).icc
    assert found["ICC(3,1)"] > 0.99 > 0.2 > found["ICC(2,1)"]


def test_icc_refuses_what_it_cannot_judge():
    for wrong in (SHROUT_FLEISS.iloc[:4], SHROUT_FLEISS[[0]], SHROUT_FLEISS.astype(float).replace(9.0, np.nan)):
        with pytest.raises(ValueError, match="ratings must have at least 5 rows, 2 columns and no NaN"):
            icc(wrong)


def test_kendalls_w_is_one_for_one_order_and_follows_from_spearman():
    """Without ties, W = ((m - 1) mean rho + 1) / m for m raters."""
    rng = np.random.default_rng(0)
    ratings = pd.DataFrame(rng.random((8, 5)))
    found = rank_agreement(ratings)
    rho = [spearmanr(ratings[i], ratings[j]).statistic for i in range(5) for j in range(i)]
    assert found.kendall_w == pytest.approx((4 * np.mean(rho) + 1) / 5)
    assert found.spearman.loc[0, 1] == pytest.approx(spearmanr(ratings[0], ratings[1]).statistic)
    assert rank_agreement(pd.DataFrame({i: [1, 2, 3, 4] for i in range(3)})).kendall_w == pytest.approx(1)
    assert rank_agreement(pd.DataFrame({0: [1, 2, 3], 1: [3, 2, 1]})).kendall_w == pytest.approx(0)
    with pytest.raises(ValueError, match="at least 3 rows, 2 columns"):
        rank_agreement(ratings[[0]])


def test_halves_are_halves_without_copies():
    seen = []
    halves = half_samples(lambda rows: seen.append(rows) or [len(rows)], 11, n_resamples=7, rng=0)
    assert halves.shape == (7, 1) and (halves == 5).all()
    assert all(len(set(rows)) == 5 and rows.max() < 11 for rows in seen)
    again = half_samples(lambda rows: rows, 11, n_resamples=7, rng=0)
    assert sorted(map(tuple, again)) == sorted(map(tuple, seen))  # threads take them in any order
    with pytest.raises(ValueError, match="n must be at least 4 rows or models, to be halved, not 3"):
        half_samples(lambda rows: rows, 3)


def test_the_interval_of_a_mean_is_its_textbook_interval():
    x = np.random.default_rng(0).normal(size=400)
    halves = half_samples(lambda rows: [x[rows].mean()], len(x), n_resamples=4000, rng=0)
    low, high = half_interval([x.mean()], halves)
    assert (low + high) / 2 == pytest.approx(x.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * x.std(ddof=1) / np.sqrt(400), rel=0.05)


def test_intervals_cover_a_known_truth_at_their_nominal_rate():
    """Kendall's tau of a bivariate normal, 2 / pi asin(rho): 95 % and 80 % of 200 samples."""
    rng, rho, n = np.random.default_rng(1), 0.6, 80
    truth = 2 / np.pi * np.arcsin(rho)
    hits = {0.95: 0, 0.8: 0}
    for _ in range(200):
        x, noise = rng.normal(size=(2, n))
        y = rho * x + np.sqrt(1 - rho**2) * noise

        def tau(rows, x=x, y=y):
            return [kendalltau(x[rows], y[rows]).statistic]

        halves, whole = half_samples(tau, n, n_resamples=40, rng=rng), tau(slice(None))
        for level in hits:
            low, high = half_interval(whole, halves, level)
            hits[level] += bool(low[0] <= truth <= high[0])
    assert 0.90 <= hits[0.95] / 200 <= 0.99 and 0.72 <= hits[0.8] / 200 <= 0.88


def test_intervals_of_relief_shares_cover_their_expectation():
    """The truth is what N-RReliefF gives on average at this n, from other samples of the same distribution."""

    def draw(rng):
        X = rng.random((150, 3))
        return X, 0.6 * X[:, 0] + 0.3 * X[:, 1] + 0.1 * rng.random(150)

    def shares(X, p):
        return normalise(nrrelieff(X, p, np.zeros(3, dtype=bool), n_neighbours=10))

    rng = np.random.default_rng(2)
    truth = np.mean([shares(*draw(rng)) for _ in range(200)], axis=0)
    hits = np.zeros(3)
    for _ in range(60):
        X, p = draw(rng)
        halves = half_samples(lambda rows, X=X, p=p: shares(X[rows], p[rows]), 150, n_resamples=30, rng=rng)
        low, high = half_interval(shares(X, p), halves)
        hits += (low <= truth) & (truth <= high)
    assert (hits[:2] / 60 >= 0.85).all()
