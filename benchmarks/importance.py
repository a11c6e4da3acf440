"""Importance estimators: seconds, memory, and ratios to what people use, in one run.

The literal loop is HIA's Algorithm 1 as one writes it down, with NumPy for the distances; it is run to its end once.
Optuna's FANOVA sees the same encoded coordinates. About two minutes on two cores.
"""

import multiprocessing
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator

from gsos.calibrated import calibrated_relief, correlation_ratio, pair_effects
from gsos.fanova import fanova
from gsos.relief import nrrelieff
from gsos.space import ASSESSED, encode, sample

N_PAPER = 11_150
J, SIGMA = 30, 20.0


def trials(n: int, *, log: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n configurations of HIA's space, encoded, and a response with noise, in [0, 1]."""
    rng = np.random.default_rng(0)
    X, is_categorical = encode(pd.DataFrame([sample(ASSESSED, rng) for _ in range(n)]), ASSESSED, log=log)
    response = (X - X.mean(axis=0)) / X.std(axis=0) @ np.geomspace(1, 0.1, X.shape[1]) + rng.normal(scale=0.5, size=n)
    return X, (response - response.min()) / np.ptp(response), is_categorical


def literal_loop(X: np.ndarray, p: np.ndarray, is_categorical: np.ndarray) -> np.ndarray:
    """Algorithm 1 with normalised distances, line by line; every row is h_m once."""
    n, k = X.shape
    scaled = np.where(is_categorical, X, X / np.ptp(X, axis=0))
    decay = np.exp(-((np.arange(1, J + 1) / SIGMA) ** 2))
    d = decay / decay.sum()
    N_p, N_k, N_pk = 0.0, np.zeros(k), np.zeros(k)
    for m in range(n):
        difference = np.abs(scaled - scaled[m])
        difference[:, is_categorical] = difference[:, is_categorical] > 0
        distance = np.sqrt((difference**2).sum(axis=1))
        distance[m] = np.inf
        for j, neighbour in enumerate(np.argsort(distance, kind="stable")[:J]):
            diff_p = abs(p[m] - p[neighbour])
            N_p += diff_p * d[j]
            for i in range(k):
                diff_k = difference[neighbour, i]
                N_k[i] += diff_k * d[j]
                N_pk[i] += diff_p * diff_k * d[j]
    N_p, N_k, N_pk = N_p / n, N_k / n, N_pk / n
    return N_pk / N_p - (N_k - N_pk) / (1 - N_p)


def optuna_fanova(X: np.ndarray, p: np.ndarray, is_categorical: np.ndarray) -> None:
    distributions = {str(i): optuna.distributions.FloatDistribution(x.min(), x.max()) for i, x in enumerate(X.T)}
    study = optuna.create_study()
    for row, value in zip(X.tolist(), p.tolist(), strict=True):
        params = dict(zip(distributions, row, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    FanovaImportanceEvaluator(n_trees=64, seed=0).evaluate(study)


def seconds(function, *args, repeats: int = 3, **options) -> float:
    """The least of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(*args, **options)
        times.append(time.perf_counter() - start)
    return min(times)


def peak_megabytes(n: int) -> float:
    """What nrrelieff needs beyond its input, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (n,))


def _grown(n: int) -> float:
    rng = np.random.default_rng(0)
    X, p = rng.random((n, 11)), rng.random(n)
    nrrelieff(X[:100], p[:100], np.zeros(11, dtype=bool))
    before = _high_water()
    nrrelieff(X, p, np.zeros(11, dtype=bool))
    return _high_water() - before


def _high_water() -> float:
    """This program's largest resident memory so far in MB (Linux; getrusage would count its parent's)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    paper, large, ten, one = trials(N_PAPER), trials(100_000), trials(10_000), trials(1_000)

    start = time.perf_counter()
    expected = literal_loop(*paper)
    literal = time.perf_counter() - start
    assert np.allclose(nrrelieff(*paper), expected, atol=1e-12)
    raw = trials(N_PAPER, log=False)
    optuna_seconds = seconds(optuna_fanova, *one, repeats=1)

    queries = {"n_queries": 5000, "rng": 0, "repeats": 1}
    rows = [
        ("literal loop of Algorithm 1", N_PAPER, literal, 1.0),
        ("nrrelieff, normalised", N_PAPER, fast := seconds(nrrelieff, *paper), literal / fast),
        ("nrrelieff, raw", N_PAPER, fast := seconds(nrrelieff, *raw, distance="raw"), literal / fast),
        ("nrrelieff, manhattan", N_PAPER, fast := seconds(nrrelieff, *paper, metric="manhattan"), literal / fast),
        ("nrrelieff, normalised", 100_000, seconds(nrrelieff, *large), np.nan),
        ("calibrated_relief", 1_000, seconds(calibrated_relief, *one), np.nan),
        ("calibrated_relief", 10_000, seconds(calibrated_relief, *ten, repeats=1), np.nan),
        ("calibrated_relief, 5,000 queries", 100_000, seconds(calibrated_relief, *large, **queries), np.nan),
        ("correlation_ratio", 10_000, seconds(correlation_ratio, *ten), np.nan),
        ("pair_effects", 10_000, seconds(pair_effects, *ten), np.nan),
        ("Optuna's FANOVA, main effects", 1_000, optuna_seconds, 1.0),
        ("fanova: main, total, pairs", 1_000, fast := seconds(fanova, *one), optuna_seconds / fast),
        ("fanova: main, total, pairs", 10_000, seconds(fanova, *ten), np.nan),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["what", "rows", "seconds", "times as fast as the peer"])
    print(table.to_string(index=False, float_format="{:.3g}".format, na_rep=""))
    print(f"\nnrrelieff on 100,000 rows needs {peak_megabytes(100_000):.0f} MB beyond its input.")


if __name__ == "__main__":
    main()
