"""What the importance estimators ask of their arrays and counts."""

import numpy as np
import pandas as pd
import pytest

from gsos.checks import check_count, check_trials

CATEGORIES = [False, True]


def test_trials_come_back_as_contiguous_numbers():
    X, p, is_categorical = check_trials([[1, 2], [3, 4], [5, 6]], [1, 0, 2], CATEGORIES)
    assert X.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]] and p.tolist() == [1.0, 0.0, 2.0]
    assert (X.dtype, p.dtype, is_categorical.dtype) == (np.float64, np.float64, bool)
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    X, _, _ = check_trials(transposed, p, is_categorical)
    assert X.flags.c_contiguous and X.dtype == np.float64 and (X == transposed).all()


def test_frames_and_truth_values_are_numbers_too():
    frame = pd.DataFrame({"lr": [0.1, 0.2], "nesterov": [True, False]})
    X, p, is_categorical = check_trials(frame, pd.Series([1, 2], index=[5, 6]), np.array(CATEGORIES))
    assert X.tolist() == [[0.1, 1.0], [0.2, 0.0]] and p.tolist() == [1.0, 2.0]


def test_nothing_is_written_into_what_is_given():
    X, p, is_categorical = np.zeros((2, 2)), np.array([1.0, 2.0]), np.array(CATEGORIES)
    for array in (X, p, is_categorical):
        array.flags.writeable = False
    check_trials(X, p, is_categorical)


@pytest.mark.parametrize(
    ("X", "p", "is_categorical", "message"),
    [
        ([[1, "SGD"], [2, "Adam"]], [1, 2], CATEGORIES, "X must hold numbers only .*SGD.*`gsos.space.encode`"),
        ([[1, 2], [3, 4]], ["good", "bad"], CATEGORIES, "p must hold numbers only .*good"),
        ([[1, 2], [3]], [1, 2], CATEGORIES, "X must hold numbers only"),
        ([[1, 2], [3, 1j]], [1, 2], CATEGORIES, "X must hold numbers only"),
        ([[1, 2], [None, 4]], [1, 2], CATEGORIES, "X is NaN or infinite in 1 of 2 rows, the first of them row 1"),
        ([[1, -np.inf], [3, 4]], [1, 2], CATEGORIES, "X is NaN or infinite in 1 of 2 rows, the first of them row 0"),
        ([[np.nan, np.nan], [3, np.nan]], [1, 2], CATEGORIES, "X is NaN or infinite in 2 of 2 rows.* row 0: leave"),
        ([[1, 2], [3, 4]], [np.nan, -np.inf], CATEGORIES, "p is NaN or infinite in 2 of 2 rows, .* row 0"),
        ([[[1, 2]], [[3, 4]]], [1, 2], CATEGORIES, r"X must be of shape \(n, k\).*not \(2, 1, 2\)"),
        ([[1, 2], [3, 4]], 5.0, CATEGORIES, r"p must hold one number for each of the 2 rows of X"),
        ([[1, 2], [3, 4]], [1, 2, 3], CATEGORIES, r"each of the 2 rows of X, but has shape \(3,\)"),
        ([[1, 2], [3, 4]], [1, 2], [True], r"one bool for each of the 2 columns of X, not array\(\[ *True\]\)"),
        ([[1, 2], [3, 4]], [1, 2], True, r"one bool for each of the 2 columns of X, not array\(True\)"),
        ([[1, 2], [3, 4]], [1, 2], [True, None], "one bool for each of the 2 columns of X, not .*None"),
        ([[1, 2], [3, 4]], [1, 2], ["True", "False"], "one bool for each of the 2 columns of X, not .*'False'"),
        ([[1, 2], [3, 4]], [3, 3], CATEGORIES, "p is the same in all 2 rows: nothing can be said"),
        ([[1, 2]], [3], CATEGORIES, "p is the same in all 1 rows"),
        (np.empty((0, 2)), [], CATEGORIES, "p is the same in all 0 rows"),
    ],
)
def test_trials_that_say_nothing_are_refused(X, p, is_categorical, message):
    with pytest.raises(ValueError, match=message):
        check_trials(X, p, is_categorical)


@pytest.mark.parametrize("value", [1, 9, 3.0, np.int64(4), np.float32(2)])
def test_whole_numbers_within_bounds_are_counts(value):
    count = check_count("n", value, 1, 9)
    assert count == value and type(count) is int
    assert check_count("n", value, 1) == value


@pytest.mark.parametrize("value", [0, 10, -1, 2.5, True, False, "3"])
def test_other_values_are_no_counts(value):
    with pytest.raises(ValueError, match=rf"^n must be an integer in \[1, 9\] \(nine rows\), not {value!r}$"):
        check_count("n", value, 1, 9, " (nine rows)")


def test_without_an_upper_bound_the_lower_one_is_named():
    assert check_count("n", 10**9, 3) == 10**9
    with pytest.raises(ValueError, match="^n must be at least 3, not 2$"):
        check_count("n", 2, 3)
    with pytest.raises(ValueError, match=r"^n must be .*at least 3, not 3\.5$"):
        check_count("n", 3.5, 3)
    with pytest.raises(ValueError, match=r"^n must be an integer in \[3, 3\], not 4$"):
        check_count("n", 4, 3, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, None, "many"])
def test_what_is_no_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match=rf"^n must be at least 1, not {value!r}$"):
        check_count("n", value, 1)
