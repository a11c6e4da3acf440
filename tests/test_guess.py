"""What columns are taken for."""

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gsos.guess import describe, guess, guess_columns, guess_space
from gsos.importance import assess
from gsos.space import SPACES, sample

N = 60


def column(values, name="x"):
    return pd.Series(values, name=name)


def own_trials(n=N, seed=0):
    """lr matters, its logarithm; dropout a little; nothing else does."""
    rng = np.random.default_rng(seed)
    lr, dropout = 10 ** rng.uniform(-5, -1, n), rng.uniform(0, 0.9, n)
    frame = pd.DataFrame({"lr": lr, "dropout": dropout, "optimizer": rng.choice(["adam", "sgd", "rmsprop"], n)})
    frame["batch_size"] = rng.choice([32, 64, 128, 256], n)
    frame["accuracy"] = 0.9 - 0.1 * np.abs(np.log10(lr) + 3) - 0.1 * dropout
    return frame


@pytest.mark.parametrize(
    "values, expected",
    [
        (["adam", "sgd"] * 10, CategoricalDistribution(["adam", "sgd"])),
        ([True, False] * 10, CategoricalDistribution([False, True])),
        ([32, 64, 128, 256] * 5, CategoricalDistribution([32, 64, 128, 256])),
        ([3.0, 5.0, np.nan] * 5, CategoricalDistribution([3, 5])),  # a whole number, though missing made it a float
        ([0.1, 0.01, 0.001] * 5, CategoricalDistribution([0.001, 0.01, 0.1])),
        ([0, 1] * 10, IntDistribution(0, 1)),
        (list(range(1, 11)) * 3, IntDistribution(1, 10)),
        ([5] * 10, IntDistribution(5, 5)),
        ([0.5] * 10, FloatDistribution(0.5, 0.5)),
        (["a"] * 10, CategoricalDistribution(["a"])),
        ([3, 5, 9, 4], IntDistribution(3, 9)),  # too few rows to tell levels from a range
        (pd.Series([1, None, 2] * 9, dtype="Int64"), IntDistribution(1, 2)),
        (pd.Categorical([1, 2] * 9), IntDistribution(1, 2)),
    ],
)
def test_types(values, expected):
    found = guess(column(values)).distribution
    assert found == expected
    levels = getattr(found, "choices", ())
    assert [type(level) for level in levels] == [type(level) for level in getattr(expected, "choices", ())]


@pytest.mark.parametrize(
    "values, why",
    [
        ([f"run_{i}" for i in range(50)], "an identifier: 50 different texts in 50 rows"),
        (["2024-05-01 10:00"] * 10 + ["2024-05-02"] * 10, "dates"),
        (pd.date_range("2024", periods=5), r"its values \(datetime64\) are neither"),
        ([[1, 2], [3]], "neither numbers nor text"),
        ([np.nan] * 5, "no value in any row"),
        (range(100, 200), "a counter"),
    ],
)
def test_columns_that_are_no_hyperparameters(values, why):
    found = guess(column(values))
    assert found.distribution is None
    assert pd.Series([found.why]).str.contains(why).all(), found.why


@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize("seed", range(5))
def test_log_scales_are_told_from_linear_ones(n, seed):
    rng = np.random.default_rng(seed)
    assert guess(column(10 ** rng.uniform(-5, -1, n))).distribution.log
    assert not guess(column(rng.uniform(1e-4, 1, n))).distribution.log  # spans orders of magnitude as well
    assert not guess(column(rng.uniform(-1, 100, n))).distribution.log
    assert not guess(column(10 ** rng.uniform(0, 1.5, n))).distribution.log  # hardly more than one
    assert not guess(column(rng.integers(1, 1000, n))).distribution.log
    assert guess(column(np.exp(rng.uniform(np.log(8), np.log(513), n)).astype(int))).distribution.log


def test_the_papers_space_is_found_in_a_sample_of_it():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame([sample(SPACES["hia"], rng) for _ in range(500)])
    found = guess_space(frame)
    for name, distribution in SPACES["hia"].items():
        assert type(found[name]) is type(distribution), name
        assert getattr(found[name], "log", False) == getattr(distribution, "log", False), name
    assert found["batch_size"] == SPACES["hia"]["batch_size"] and found["kernel"] == SPACES["hia"]["kernel"]


def test_what_is_told_counts_more_than_guesses():
    frame = own_trials().assign(kernel=[3, 5] * (N // 2), run=[f"run {i}" for i in range(N)])
    space = guess_space(frame, log=["batch_size"], linear=["lr"], categorical=["kernel", "run"])
    assert space["batch_size"] == IntDistribution(32, 256, log=True)
    assert isinstance(space["lr"], FloatDistribution) and not space["lr"].log
    assert space["kernel"] == CategoricalDistribution([3, 5]) and len(space["run"].choices) == N


@pytest.mark.parametrize(
    "told, message",
    [
        ({"log": ["x"]}, "--log x: there is no such hyperparameter; there are lr, dropout, optimizer"),
        ({"log": ["lr"], "linear": ["lr"]}, "lr cannot be both log and linear"),
        ({"linear": ["lr"], "categorical": ["lr"]}, "lr cannot be both linear and categorical"),
        ({"log": ["optimizer"]}, "optimizer cannot be on a log scale: it holds no numbers but string values"),
        ({"log": ["zero"]}, "zero cannot be on a log scale: its smallest value is 0"),
    ],
)
def test_what_cannot_be_told(told, message):
    with pytest.raises(ValueError, match=message):
        guess_columns(own_trials().assign(zero=0.0), **told)


def test_guesses_are_described():
    table = describe(guess_columns(own_trials(500).assign(run=[f"run {i}" for i in range(500)])))
    assert table.index.tolist() == ["lr", "dropout", "optimizer", "batch_size", "accuracy"]
    assert table.type.tolist() == ["float", "float", "categories", "levels in order", "float"]
    assert table.scale.tolist() == ["log", "linear", "", "", "linear"]
    assert table["values"]["batch_size"] == "32, 64, 128, 256" and table.why["batch_size"] == "4 numbers only"
    assert table.why["lr"].startswith("numbers; off uniform: logarithms 0.0")


def test_a_guessed_space_can_be_judged():
    frame = own_trials()
    space = guess_space(frame.drop(columns="accuracy"))
    assert assess(frame, space, "fanova", performance="accuracy").table.share.idxmax() == "lr"
