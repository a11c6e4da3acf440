"""Block TPE: TPE with one density over whole configurations, half of whose candidates change a block of the best trial.

Nothing is fixed for good, so nothing depends on the order of hyperparameters: each of a block's values is proposed
together with what the others are. Symbols as in `gsos.tpe`.
"""

from collections.abc import Mapping, Sequence
from math import ceil, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from gsos.space import Config, Space, check_config, from_unit, grid, is_active, is_ordered, middle
from gsos.tpe import TPE, Proposal

BANDWIDTH = 0.1  # of the unit interval, for a single trial; n trials have it times n^(-1/(d+4)), as in Scott's rule
MAX_GOOD = 25  # trials in l, as in Hyperopt
BLOCK_SIZE = 2.0  # hyperparameters that a block has on average
_COARSE = 16  # levels up to which kernels are integrated over the levels' intervals
_RIDGE = 1.0  # of the model of costs
_TRIES = 1000  # changes of a value until a configuration is new


class BlockTPE(TPE):
    """Ask for a configuration, evaluate it, tell its loss and, if it matters, its cost; losses are minimised.

    The first configuration is the default, or the middle of the space; n_startup - 1 random ones follow. Then the best
    `quantile` of all trials, MAX_GOOD at most, make l, the others g, each a mixture over trials of *products* of
    kernels, of one bandwidth, and a uniform prior. `full_share` of the n_candidates are drawn from l; the others are
    the best trial with a random block of its values drawn anew, each from l's marginal distribution. The one with the
    largest l/g is proposed, and no configuration twice: where all candidates are old, the best of them is, with single
    values changed until it is new, a "fallback", as is a random one where no trial is good.

    default: a value for every hyperparameter; None: the middle of each range, on the scale that is sampled, and random
    categories. weights: name -> importance, to which the chance to be in a block is proportional; None: all alike.
    cost_weight: the power of the cost, as an additive model of the logarithms of those told has it, by which the
    acquisition of Eq 6 is divided; 1 makes it the improvement to be expected in a unit of time (Snoek et al. 2012).

    Seeds, trials that failed and trials in parallel as in `TPE`. Raises ValueError as `TPE` does, for a default that
    is not in the space, for weights that are missing, negative or all 0, for a negative cost_weight, a full_share
    outside of [0, 1] and a bandwidth that is not positive.
    """

    def __init__(
        self,
        space: Space,
        *,
        default: Mapping[str, object] | None = None,
        weights: Mapping[str, float] | None = None,
        cost_weight: float = 0.0,
        full_share: float = 0.5,
        n_startup: int = 10,
        quantile: float = 0.1,
        n_candidates: int = 24,
        bandwidth: float = BANDWIDTH,
        seed: int | Sequence[int],
        first: int = 0,
    ):
        super().__init__(
            space, n_startup=n_startup, quantile=quantile, n_candidates=n_candidates, seed=seed, first=first
        )
        if not 0 <= cost_weight < np.inf:
            raise ValueError(f"cost_weight must be finite and not negative, not {cost_weight!r}")
        if not 0 <= full_share <= 1:
            raise ValueError(f"full_share must lie in [0, 1], not {full_share!r}")
        if not 0 < bandwidth < np.inf:
            raise ValueError(f"bandwidth must be positive and finite, not {bandwidth!r}")
        if default is not None:
            check_config(default, space)
            default = {name: value for name, value in default.items() if is_active(name, default)}
        self._default = default
        self._in_block = _block_chances(space, weights)
        self._cumulative = self._in_block.cumsum() / self._in_block.sum()
        self._cost_weight, self._full_share, self._h = cost_weight, full_share, bandwidth
        self._costs: list[float] = []  # log, NaN where none was told
        self._axes = _Axes(space)

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        """A finished trial and what it cost, in any unit; as `TPE.tell`. Raises ValueError for a cost not positive."""
        if cost is not None and not 0 < cost < np.inf:
            raise ValueError(f"cost must be positive and finite, or None where it is not known, not {cost!r}")
        super().tell(config, loss)
        self._costs.append(np.nan if cost is None else log(cost))

    def _key(self, config: Mapping[str, object]) -> tuple:
        """Alike for a float and for what comes back of it from the unit cube."""
        return tuple([f"{v:.12g}" if isinstance(v, float) else v for v in map(config.get, self.space)])

    def _propose(self, i: int, rng: np.random.Generator) -> Proposal:
        if i == 0:
            return Proposal(self._default or middle(self.space, rng), "startup")
        if i < self._n_startup:
            return Proposal(self._new(rng.random((len(self.space), self._n_candidates)))[0], "startup")
        candidates = self._candidates(rng)
        config, is_new = self._new(candidates)
        if is_new:
            return Proposal(config, "model" if self._n_finite else "fallback")
        for _ in range(_TRIES):
            row = rng.integers(len(self.space))
            candidates[row, 0] = rng.random()
            config, is_new = self._new(candidates[:, :1])
            if is_new:
                break
        return Proposal(config, "fallback")

    def _new(self, positions: NDArray[np.float64]) -> tuple[Config, bool]:
        """The first configuration that has not been proposed, and True; the first one and False where there is none."""
        for position in positions.T:
            config = from_unit(dict(zip(self.space, position.tolist(), strict=True)), self.space)
            if self._key(config) not in self._seen:
                return config, True
        return from_unit(dict(zip(self.space, positions[:, 0].tolist(), strict=True)), self.space), False

    def split(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions of the good and of the bad trials in the unit cube, (d, n) each, from the best to the worst."""
        ordered, n_good = self._ordered()
        return ordered[:, :n_good], ordered[:, n_good:]

    def _ordered(self) -> tuple[NDArray[np.float64], int]:
        n_good = min(ceil(self._quantile * self.n_told), MAX_GOOD, self._n_finite)
        return self._trials[:, self._order[: self.n_told]], n_good

    def _candidates(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(d, m) positions, the one with the largest score first; random ones where there is no good trial."""
        ordered, n_good = self._ordered()
        d, m = len(self.space), self._n_candidates
        kernel, u, block = rng.random((3, d, m))
        if not n_good:
            return u
        densities = _Densities(ordered, n_good, self._axes, self._h)
        n_full = round(self._full_share * m)
        kernel[:, :n_full] = kernel[0, :n_full]  # whole configurations: one trial for all hyperparameters
        x = densities.draw(kernel, u)
        in_block = block < self._in_block[:, None]
        one = self._cumulative.searchsorted(rng.random(m))
        in_block[one, range(m)] |= ~in_block.any(axis=0)
        in_block[:, :n_full] = True
        best = ordered[:, :1]
        x = np.where(in_block | np.isnan(best), x, best)
        score = densities.log_ratio(x, self._axes.snap(x))
        if self._cost_weight:  # log EI, which no longer grows where l/g is large, so that costs count there
            log_ei = -np.logaddexp(log(self._quantile), log(1 - self._quantile) - score)
            score = log_ei - self._cost_weight * self._log_cost(x)
        return x[:, (-score).argsort(kind="stable")]

    def _log_cost(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        costs = np.array(self._costs)
        known = np.flatnonzero(np.isfinite(costs))
        if not known.size:
            return np.zeros(x.shape[1])
        rows, new = self._axes.features(self._trials[:, known]), self._axes.features(x)
        centre = rows.mean(axis=0)
        rows, new = rows - centre, new - centre
        return new @ np.linalg.solve(rows.T @ rows + _RIDGE * np.eye(rows.shape[1]), rows.T @ costs[known])


def _block_chances(space: Space, weights: Mapping[str, float] | None) -> NDArray[np.float64]:
    """(d,) chance of each hyperparameter to be in a block."""
    if weights is None:
        return np.full(len(space), min(1, BLOCK_SIZE / len(space)))
    w = np.array([float(weights.get(name, np.nan)) for name in space])
    if not (w >= 0).all() or not 0 < w.sum() < np.inf:
        raise ValueError(f"weights must be finite, not negative, not all 0, and of each of {list(space)}: {weights}")
    return np.clip(BLOCK_SIZE * w / w.sum(), 0.05, 1)


class _Axes:
    """Where the values of a space lie: `coarse` hyperparameters have few levels, the others count as continuous."""

    def __init__(self, space: Space):
        levels = [grid(d) for d in space.values()]
        ordered = np.array([is_ordered(d) for d in space.values()])
        coarse = ~ordered | [found is not None and len(found[0]) <= _COARSE for found in levels]
        self.d = len(space)
        self.coarse, self.fine = np.flatnonzero(coarse), np.flatnonzero(~coarse)
        self.ordered = ordered[self.coarse]
        self.k = np.array([len(levels[row][0]) for row in self.coarse], dtype=np.intp)
        self._grids = [(row, *levels[row]) for row in self.fine if levels[row] is not None]
        widest = max(self.k, default=1)
        self.centres, self.edges = np.full((len(self.k), widest), 0.5), np.ones((len(self.k), widest + 1))
        self.edges[:, 0] = 0
        for i, row in enumerate(self.coarse):
            self.centres[i, : self.k[i]], self.edges[i, 1 : self.k[i]] = levels[row]
        self.all = np.arange(self.d)[:, None]
        self.narrowest = np.zeros((self.d, 1))  # kernels: a quarter of a coarse value's interval
        self.narrowest[self.coarse, 0] = 0.25 / self.k
        self._rows = np.arange(len(self.k))[:, None]
        self._inner = self.edges[:, 1:-1, None]
        self.cells = np.maximum(self.edges[:, 1:] - self.edges[:, :-1], 1e-9)[:, :, None]
        self.from_centre = self.edges[:, :, None] - self.centres[:, None, :]  # (rows, edge, level)

    def level(self, x: NDArray[np.float64]) -> NDArray[np.intp]:
        """(rows, n) level of each coarse value of x (d, n); of a missing one, as many as the widest row has."""
        x = x[self.coarse, None]
        level = np.add.reduce(x >= self._inner, axis=1, dtype=np.intp)
        np.minimum(level, self.k[:, None] - 1, out=level)
        level[np.isnan(x[:, 0])] = self.centres.shape[1]
        return level

    def snap(self, x: NDArray[np.float64]) -> NDArray[np.intp]:
        """Moves x (d, n) to where its values will be observed; returns its levels."""
        level = self.level(x)
        if self.coarse.size:
            x[self.coarse] = self.centres[self._rows, level]
        for row, centres, bounds in self._grids:
            x[row] = centres[bounds.searchsorted(x[row], "right")]
        return level

    def features(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, p) of an additive model: an indicator of each level, positions and their squares; 0 where missing."""
        one_hot = self.level(x)[:, :, None] == np.arange(self.centres.shape[1])
        fine = np.nan_to_num(x[self.fine].T)
        return np.hstack([*one_hot, fine, fine**2])


class _Densities:
    """l and g: mixtures, on the unit cube, of products of kernels at n trials and of a uniform one that counts as one
    more. `widths`: of the kernels (d, 2), of l and of g."""

    def __init__(self, points: NDArray[np.float64], n_good: int, axes: _Axes, bandwidth: float):
        self._points, self._axes = points, axes
        self._n = np.array([n_good, points.shape[1] - n_good])
        h = bandwidth * np.maximum(self._n, 1) ** (-1 / (axes.d + 4))
        self.widths = np.maximum(h, axes.narrowest)

    def draw(self, kernel: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        """(d, m) positions from l for uniform numbers (d, m): `kernel` picks the trial of each value, u its place."""
        n, axes, width = self._n[0], self._axes, self.widths[:, :1]
        pick = (kernel * (n + 1)).astype(np.intp)
        centre = self._points[self._axes.all, np.minimum(pick, n - 1)]
        below, to_end = ndtr(-centre / width), ndtr((1 - centre) / width)
        x = np.minimum(np.maximum(centre + width * ndtri(below + u * (to_end - below)), 0), 1)
        for i in np.flatnonzero(~axes.ordered):  # another category, or the same: the rest of u is uniform again
            row, other = axes.coarse[i], axes.k[i] / (n + 1 + axes.k[i])
            x[row] = np.where(u[row] < other, u[row] / other, centre[row])
        return np.where((pick == n) | np.isnan(centre), u, x)

    def log_ratio(self, x: NDArray[np.float64], level: NDArray[np.intp]) -> NDArray[np.float64]:
        """(m,) log l/g at x (d, m), each value where it will be observed, whose coarse values have these levels."""
        n_good = self._n[0]
        kernels = self._coarse(level) + self._fine(x)  # (m, n) logarithms
        top = np.maximum(kernels.max(axis=1), 0)
        np.exp(kernels - top[:, None], out=kernels)
        l, g = kernels[:, :n_good].sum(axis=1), kernels[:, n_good:].sum(axis=1)  # noqa: E741
        prior = np.exp(-np.minimum(top, 700))  # not 0, however far it is below them
        return np.log((prior + l) / (prior + g)) + np.log((self._n[1] + 1) / (n_good + 1))

    def _fine(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        fine = self._axes.fine
        if not fine.size:
            return np.zeros(1)
        points, x = self._points[fine], x[fine]
        h = self.widths[fine[0]].repeat(self._n)
        known = ~np.isnan(points)
        p = np.where(known, points, 0)
        inside = ndtr((1 - p) / h) - ndtr(-p / h)
        heights = known * np.log(inside * (h * sqrt(2 * pi))) + p * p * (0.5 / h**2)
        return (x * x).T @ (known * (-0.5 / h**2)) + x.T @ (p / h**2) - heights.sum(axis=0)

    def _coarse(self, level: NDArray[np.intp]) -> NDArray[np.float64]:
        axes = self._axes
        if not axes.coarse.size:
            return np.zeros(1)
        n_rows, k = axes.centres.shape
        density = np.ones((2, n_rows, k, k + 1))  # of l and g, row, level of x, level of the trial: 1 where missing
        cumulative = ndtr(axes.from_centre / self.widths[axes.coarse].T[:, :, None, None])
        share = cumulative[:, :, 1:] - cumulative[:, :, :-1]
        density[..., :-1] = share / (axes.cells * (cumulative[:, :, -1:] - cumulative[:, :, :1]))
        for i in np.flatnonzero(~axes.ordered):
            uniform = 1 / (self._n[:, None, None] + 1)
            density[:, i, :, :-1] = axes.k[i] * (np.eye(k) + uniform) / (1 + axes.k[i] * uniform)
        table = np.log(np.maximum(density, 1e-300))
        of_points = np.arange(n_rows)[:, None] + n_rows * np.arange(2).repeat(self._n)
        at = of_points * (k * (k + 1)) + axes.level(self._points)
        return table.take(at[:, None, :] + level[:, :, None] * (k + 1)).sum(axis=0)
