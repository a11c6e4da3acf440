"""Test functions whose least value is known, and how near to it a strategy comes.

The usual ones, two to six floats each, and `mixed`, which has hyperparameters of every kind. Optima of `sphere5` and
`ackley5` are shifted away from the middle of their ranges, where a strategy with a prior in the middle would find them
for nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, e, log2, log10, pi
from multiprocessing import get_context

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gsos.checks import check_count
from gsos.space import Config, Space, check_config
from gsos.strategy import Strategy

_SHIFT = np.array([0.37, -0.21, 0.45, -0.33, 0.12])  # of the optimum, in halves of the range


@dataclass(frozen=True)
class Problem:
    """A loss to be minimised, and the least there is."""

    space: Space
    function: Callable[[Mapping[str, object]], float]
    minimiser: Config  # one of them, where there are several
    minimum: float

    def evaluate(self, config: Mapping[str, object]) -> float:
        """The loss of a configuration. Raises ValueError for one that is not in the space."""
        check_config(config, self.space)
        return float(self.function(config))


def _of_floats(
    function: Callable[[NDArray[np.float64]], float],
    ranges: Sequence[tuple[float, float]],
    minimiser: Sequence[float],
    minimum: float = 0.0,
) -> Problem:
    names = [f"x{i}" for i in range(len(ranges))]
    space = {name: FloatDistribution(*bounds) for name, bounds in zip(names, ranges, strict=True)}
    best = dict(zip(names, map(float, minimiser), strict=True))
    return Problem(space, lambda config: function(np.array([config[name] for name in names])), best, minimum)


def _branin(x: NDArray[np.float64]) -> float:
    return (x[1] - 5.1 / (4 * pi**2) * x[0] ** 2 + 5 / pi * x[0] - 6) ** 2 + 10 * (1 - 1 / (8 * pi)) * cos(x[0]) + 10


_HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def _hartmann(x: NDArray[np.float64]) -> float:
    return -np.array([1, 1.2, 3, 3.2]) @ np.exp(-(_HARTMANN_A * (x - _HARTMANN_P) ** 2).sum(axis=1))


def _rosenbrock(x: NDArray[np.float64]) -> float:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _sphere(x: NDArray[np.float64]) -> float:
    return np.sum((x - 5.12 * _SHIFT) ** 2)


def _ackley(x: NDArray[np.float64]) -> float:
    z = x - 32.768 * _SHIFT
    return -20 * np.exp(-0.2 * np.sqrt(np.mean(z**2))) - np.exp(np.mean(np.cos(2 * pi * z))) + 20 + e


def _styblinski_tang(x: NDArray[np.float64]) -> float:
    return np.sum(x**4 - 16 * x**2 + 5 * x) / 2


_MIXED = {
    "lr": FloatDistribution(1e-5, 1.0, log=True),
    "units": IntDistribution(16, 512, log=True),
    "layers": IntDistribution(1, 5),
    "dropout": FloatDistribution(0.0, 0.9),
    "momentum": FloatDistribution(0.0, 0.99),
    "batch": CategoricalDistribution([32, 64, 128, 256]),
    "optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"]),
    "activation": CategoricalDistribution(["relu", "tanh", "gelu", "elu"]),
    "warmup": IntDistribution(0, 100, step=5),
}
_BEST_LR = {"adam": -3.0, "sgd": -1.2, "rmsprop": -3.5}  # log10, by optimizer


def _mixed(config: Mapping[str, object]) -> float:
    """Squares and penalties, none of them negative, and all of them 0 at the minimiser: so the minimum is 0."""
    lr, layers, optimizer = log10(config["lr"]), config["layers"], config["optimizer"]
    return (
        {"adam": 0.0, "sgd": 0.05, "rmsprop": 0.12}[optimizer]
        + {"relu": 0.0, "gelu": 0.01, "elu": 0.03, "tanh": 0.08}[config["activation"]]
        + 0.15 * (lr - _BEST_LR[optimizer]) ** 2 * (1 + (layers - 2) / 6)
        + 0.01 * (log2(config["units"]) - 7) ** 2
        + 0.02 * (layers - 3) ** 2
        + 0.3 * (config["dropout"] - 0.2 - 0.05 * (layers - 3)) ** 2
        + 0.025 * (log2(config["batch"]) - 6 - 0.5 * (lr + 3)) ** 2
        + 0.2 * (config["momentum"] - 0.85) ** 2 * (optimizer == "sgd")
        + 0.05 * (config["warmup"] / 100 - 0.3) ** 2
    )


_MIXED_MINIMISER = {
    "lr": 1e-3,
    "units": 128,
    "layers": 3,
    "dropout": 0.2,
    "momentum": 0.0,
    "batch": 64,
    "optimizer": "adam",
    "activation": "relu",
    "warmup": 30,
}

# Where a minimiser has no closed form, it is a stationary point to the last digit.
_HARTMANN_MINIMISER = [
    *(0.20168951100810438, 0.15001069185005175, 0.47687397434025056),
    *(0.27533243046867674, 0.3116516169105664, 0.6573005340655668),
]
_STYBLINSKI_TANG_MINIMISER = -2.9035340277711783  # the least root of 4 x^3 - 32 x + 5

PROBLEMS: dict[str, Problem] = {
    "branin": _of_floats(_branin, [(-5, 10), (0, 15)], [pi, 2.275], 5 / (4 * pi)),
    "hartmann6": _of_floats(_hartmann, [(0, 1)] * 6, _HARTMANN_MINIMISER, -3.3223680114155147),
    "rosenbrock5": _of_floats(_rosenbrock, [(-5, 10)] * 5, [1] * 5),
    "sphere5": _of_floats(_sphere, [(-5.12, 5.12)] * 5, 5.12 * _SHIFT),
    "ackley5": _of_floats(_ackley, [(-32.768, 32.768)] * 5, 32.768 * _SHIFT),
    "styblinski_tang5": _of_floats(
        _styblinski_tang, [(-5, 5)] * 5, [_STYBLINSKI_TANG_MINIMISER] * 5, -195.83082851885706
    ),
    "mixed": Problem(_MIXED, _mixed, _MIXED_MINIMISER, 0.0),
}


def best_so_far(problem: Problem, strategy: Strategy, n: int) -> NDArray[np.float64]:
    """(n,) the least loss of the first 1, 2, ..., n configurations that a strategy asks for."""
    losses = np.empty(n)
    for i in range(n):
        config = strategy.ask()
        losses[i] = problem.evaluate(config)
        strategy.tell(config, losses[i])
    return np.minimum.accumulate(losses)


def regrets(
    problems: Sequence[str],
    strategies: Mapping[str, Callable[..., Strategy]],
    *,
    seeds: Sequence[int],
    n: int = 100,
    workers: int | None = None,
) -> pd.DataFrame:
    """Best loss of n evaluations, less the problem's minimum: a row each problem and seed, a column each strategy.

    strategies: label -> what makes one of a space and a `seed` (it goes to other processes, so it must pickle).
    workers: processes; None: one a core.
    """
    tasks = [(name, make, seed, n) for name in problems for seed in seeds for make in strategies.values()]
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # so that it is imported once, not once a process
    with context.Pool(workers) as pool:
        found = pool.starmap(_regret, tasks, chunksize=max(1, len(tasks) // 200))
    index = pd.MultiIndex.from_product([problems, seeds], names=["problem", "seed"])
    return pd.DataFrame(np.reshape(found, (len(index), len(strategies))), index, list(strategies))


def _regret(name: str, make: Callable[..., Strategy], seed: int, n: int) -> float:
    problem = PROBLEMS[name]
    return best_so_far(problem, make(problem.space, seed=seed), n)[-1] - problem.minimum


def quotients(
    regrets: pd.DataFrame, base: str, *, n_resamples: int = 2000, rng: np.random.Generator | int | None = None
) -> pd.DataFrame:
    """Mean regret of each strategy as a part of another's, `base`, with 95 % intervals.

    regrets: as from `regrets`, every seed in every problem. Returns the columns quotient, low and high, a row each
    problem and strategy; problem "mean" is the mean over problems. Intervals are percentiles of a bootstrap of seeds,
    the same seeds for all problems and strategies, since these share their random starts.

    Raises ValueError for a strategy that is not there, for fewer than 2 seeds, and where base has no regret at all.
    """
    if base not in regrets:
        raise ValueError(f"base must be one of {list(regrets)}, not {base!r}")
    problems, seeds = regrets.index.unique("problem"), regrets.index.unique("seed")
    check_count("seeds", len(seeds), 2, why=", to be resampled")
    values = regrets.to_numpy().reshape(len(problems), len(seeds), -1)
    at = regrets.columns.get_loc(base)
    if (flat := values[:, :, at].mean(axis=1) == 0).any():
        raise ValueError(f"{base!r} has no regret on {problems[flat][0]!r}: nothing can be a part of it")
    drawn = np.random.default_rng(rng).integers(len(seeds), size=(n_resamples, len(seeds)))
    rows = np.vstack([np.arange(len(seeds)), drawn])  # the seeds themselves come first
    means = np.stack([values[:, row].mean(axis=1) for row in rows])  # (1 + resamples, problems, strategies)
    parts = means / means[:, :, [at]]
    parts = np.concatenate([parts, parts.mean(axis=1, keepdims=True)], axis=1)
    low, high = np.percentile(parts[1:], [2.5, 97.5], axis=0)
    index = pd.MultiIndex.from_product([[*problems, "mean"], regrets.columns], names=["problem", "strategy"])
    return pd.DataFrame({"quotient": parts[0].ravel(), "low": low.ravel(), "high": high.ravel()}, index)
