"""TPE, the Tree-structured Parzen Estimator, asked for one configuration at a time (GSOS 3, Algorithm 1, Eq 1-7).

Symbols of the paper: the densities l of good and g of bad configurations, split at the quantile gamma of the losses;
K, a Gaussian, and h, its bandwidth. Hyperparameters live on the unit interval, on the scale they are sampled on.
"""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite, pi, sqrt
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from gsos.checks import check_count
from gsos.space import Space, check_config, from_unit, grid, is_ordered, sample, to_unit

ESTIMATORS = ("robust", "plain")
_SQRT_2PI = sqrt(2 * pi)
_UNIFORM = 1e3  # a kernel so wide is uniform on the unit interval, to seven digits


class Proposal(dict):
    """A configuration that knows its origin ("startup", "model" or "fallback") and the group tuned, if any."""

    def __init__(self, config: Mapping[str, object], origin: str, group: int | None = None):
        super().__init__(config)
        self.origin, self.group = origin, group


class TPE:
    """Ask for a configuration, evaluate it, tell its loss; losses are minimised.

    n_startup random configurations come first. Then the best `quantile` of the trials make the density l, the others
    g; n_candidates are drawn from l, and the one with the largest (gamma + (1 - gamma) g/l)^-1 is proposed (Eq 6).
    A trial whose loss is NaN or infinite is a bad one. Where l cannot be told, the proposal is random, a "fallback".

    estimator: "plain" is Algorithm 1 as printed: Gaussian kernels of one `bandwidth` h (of the unit interval; the
    paper gives none), on the codes of categories, good where f <= y*, ties and all. "robust" differs from it:
    kernels are truncated to the domain and as wide as the gaps to their neighbours, within bounds; good trials weigh
    by their rank; a uniform prior counts as one more trial; categories are counted; ties go to the earlier trial;
    and a configuration is not proposed again while a candidate is new.

    seed: trial i draws from SeedSequence([seed, i]) (a sequence is allowed in place of the integer), so a run that
    was told its first i trials goes on as it would have without a stop; first: the number of the first trial.
    Several trials may be asked before they are told; trials that were never asked may be told.
    """

    def __init__(
        self,
        space: Space,
        *,
        n_startup: int = 15,
        quantile: float = 0.25,
        n_candidates: int = 24,
        estimator: str = "robust",
        bandwidth: float | None = None,
        seed: int | Sequence[int],
        first: int = 0,
    ):
        if not space:
            raise ValueError("space must have at least one hyperparameter")
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, not {estimator!r}")
        if (estimator == "plain") != (bandwidth is not None) or (bandwidth is not None and not 0 < bandwidth < np.inf):
            raise ValueError(f"estimator 'plain' needs a positive bandwidth, 'robust' none; got {bandwidth!r}")
        if not 0 < quantile < 1:
            raise ValueError(f"quantile must lie between 0 and 1, not {quantile}")
        self._n_startup = check_count("n_startup", n_startup, 1)
        self._n_candidates = check_count("n_candidates", n_candidates, 1)
        self._seed = [check_count("seed", s, 0) for s in (seed if isinstance(seed, Sequence) else [seed])]
        self.space = dict(space)
        self.n_told = 0
        self._quantile = quantile
        self._bandwidth = bandwidth
        self._first = first
        self._grids = [(row, *levels) for row, d in enumerate(space.values()) if (levels := grid(d)) is not None]
        self._choices = {row: len(d.choices) for row, d in enumerate(space.values()) if not is_ordered(d)}
        self._trials = np.empty((len(space), 0))  # positions in the unit cube, a column a trial, as they were told
        self._losses = np.empty(0)  # from the best to the worst
        self._order = np.empty(0, dtype=np.intp)  # the trial of each loss
        self._seen: set[tuple] = set()
        self._n_asked = self._n_finite = 0

    def ask(self) -> Proposal:
        """The next configuration to evaluate."""
        i = max(self._n_asked, self.n_told)
        self._n_asked = i + 1
        rng = np.random.default_rng([*self._seed, self._first + i])
        proposal = self._propose(i, rng)
        self._seen.add(self._key(proposal))
        return proposal

    def _propose(self, i: int, rng: np.random.Generator) -> Proposal:
        if i < self._n_startup:
            return Proposal(sample(self.space, rng), "startup")
        for position in self._candidates(rng).T:
            config = from_unit(dict(zip(self.space, position.tolist(), strict=True)), self.space)
            if self._bandwidth or self._key(config) not in self._seen:
                return Proposal(config, "model")
        for _ in range(self._n_candidates):
            config = sample(self.space, rng)
            if self._key(config) not in self._seen:
                break
        return Proposal(config, "fallback")

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        """A finished trial. Hyperparameters that did not exist in it are missing from its configuration.

        cost: not weighed here.

        Raises ValueError for an unknown hyperparameter, for a value outside the space, and, since Algorithm 1 has no
        conditions, for a missing one where the estimator is plain.
        """
        check_config(config, self.space, partial=not self._bandwidth)
        if not isinstance(loss, Real):
            raise ValueError(f"loss must be a number, NaN or infinite where there is none, not {loss!r}")
        loss = float(loss) if isfinite(loss) else np.inf
        n = self.n_told
        if n == len(self._losses):
            self._make_room()
        position = to_unit(config, self.space)
        if self._bandwidth and np.isnan(position).any():
            missing = [name for name in self.space if name not in config]
            raise ValueError(f"estimator 'plain' needs all hyperparameters; the configuration lacks {missing}")
        self._trials[:, n] = position
        rank = self._losses[:n].searchsorted(loss, "right")
        for array, value in ((self._losses, loss), (self._order, n)):
            array[rank + 1 : n + 1] = array[rank:n]
            array[rank] = value
        self._seen.add(self._key(config))
        self._n_finite += loss < np.inf
        self.n_told += 1

    def _make_room(self) -> None:
        n = max(128, self.n_told)
        self._trials = np.concatenate([self._trials, np.empty((len(self.space), n))], axis=1)
        self._losses = np.concatenate([self._losses, np.empty(n)])
        self._order = np.concatenate([self._order, np.empty(n, dtype=np.intp)])

    def _key(self, config: Mapping[str, object]) -> tuple:
        return tuple(map(config.get, self.space))

    def split(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions of the good and of the bad trials in the unit cube, (d, n) each, from the best to the worst."""
        n = self.n_told
        n_good = ceil(self._quantile * n)
        if self._bandwidth and n:
            n_good = self._losses[:n].searchsorted(self._losses[n_good - 1], "right")
        n_good = min(n_good, self._n_finite)
        return self._trials[:, self._order[:n_good]], self._trials[:, self._order[n_good:n]]

    def densities(self) -> tuple["Parzen", "Parzen"] | None:
        """l and g; None where there is no good trial, or no bad one and no prior in its place."""
        good, bad = self.split()
        if self._bandwidth:
            h = self._bandwidth
            return (plain_density(good, h), plain_density(bad, h)) if good.size and bad.size else None
        if not good.size:
            return None
        n = good.shape[1]
        by_rank = np.arange(n, 0, -1) * (2 / (n + 1))
        return robust_density(good, self._choices, by_rank), robust_density(bad, self._choices)

    def _candidates(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(d, m) positions drawn from l, the one with the largest acquisition first; (d, 0) where there is no l."""
        if (densities := self.densities()) is None:
            return np.empty((len(self.space), 0))
        good, bad = densities
        x = draw(good, self._n_candidates, rng)
        for row, centres, edges in self._grids:  # scored where their values will be observed
            x[row] = centres[edges.searchsorted(x[row], "right")]
        score = (log_density(good, x) - log_density(bad, x)).sum(axis=0)  # Eq 6 grows with l/g, Eq 7
        return x[:, (-score).argsort(kind="stable")]


class Parzen(NamedTuple):
    """d densities on the unit interval, each a mixture of n kernels and a uniform one, the prior."""

    points: NDArray[np.float64]  # (d, n)
    width: NDArray[np.float64]  # (d, n) standard deviation; not of a category, whose kernel is its own interval
    below: NDArray[np.float64]  # (d, n) the share of a kernel that lies below what is kept of it
    kept: NDArray[np.float64]  # (d, n) the share that is kept, by which it is divided
    weight: NDArray[np.float64]  # (n,)
    prior: float  # weight of the uniform kernel; all weights sum to 1
    choices: Mapping[int, int]  # row -> number of choices, of hyperparameters whose values have no order


def plain_density(points: NDArray[np.float64], bandwidth: float) -> Parzen:
    """KDE(x) = 1/(nh) sum of K((x - x_i)/h) in each dimension (GSOS 3.2); points: (d, n)."""
    d, n = points.shape
    whole = np.ones((d, n))
    return Parzen(points, bandwidth * whole, 0 * whole, whole, np.full(n, 1 / n), 0.0, {})


def robust_density(
    points: NDArray[np.float64], choices: Mapping[int, int], weight: NDArray[np.float64] | None = None
) -> Parzen:
    """Kernels as wide as their gaps, truncated to the domain, and a prior that weighs as much as a point.

    points: (d, n); weight: (n,) of mean 1, by default 1.
    """
    n = points.shape[1]
    width = bandwidths(points)
    if np.count_nonzero(missing := np.isnan(points)):
        points, width = np.where(missing, 0.5, points), np.where(missing, _UNIFORM, width)
    below = ndtr(-points / width)
    weight = np.full(n, 1 / (n + 1)) if weight is None else weight / (n + 1)
    return Parzen(points, width, below, ndtr((1 - points) / width) - below, weight, 1 / (n + 1), choices)


def bandwidths(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, n): the larger of a point's gaps to its neighbours, as in Hyperopt at least 1/min(100, n + 1).

    points: (d, n) in [0, 1]. A point at either end has one neighbour; a single one, or one that is NaN, has none.
    """
    d, n = points.shape
    first = n * np.arange(d)[:, None]
    order = points.argsort(axis=1) + first
    ordered = points.take(order)
    gap = np.zeros((d, n + 1))
    np.subtract(ordered[:, 1:], ordered[:, :-1], out=gap[:, 1:-1])
    if np.count_nonzero(gap) < d * (n - 1):  # the order of equal points must not depend on the processor's sort
        order = points.argsort(axis=1, kind="stable") + first
    width = np.empty((d, n))
    width.ravel()[order] = np.fmax(gap[:, 1:], gap[:, :-1])
    return np.fmax(width, 1 / min(100, n + 1), out=width)


def draw(density: Parzen, m: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(d, m) positions drawn from the densities; what a plain kernel draws from beyond the domain is clipped."""
    points, width, below, kept, weight, _, choices = density
    d, n = points.shape
    pick, u = rng.random((2, d, m))
    kernel = weight.cumsum().searchsorted(pick, "right")
    at = np.minimum(kernel, n - 1) + n * np.arange(d)[:, None]
    centre = points.take(at)
    x = centre + width.take(at) * ndtri(below.take(at) + u * kept.take(at))
    for row in choices:
        x[row] = np.where(width[row][at[row] - n * row] < _UNIFORM, centre[row], u[row])
    return np.where(kernel == n, u, np.minimum(np.maximum(x, 0), 1))


def log_density(density: Parzen, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, m) logarithms of the densities at x (d, m); a category is where `space.grid` has it.

    The d m n kernels, most of the work of a proposal, are computed in single precision, unless there is no prior:
    their tails count then.
    """
    points, width, _, kept, weight, prior, choices = density
    dtype = np.float32 if prior else np.float64
    z = x.astype(dtype)[:, :, None] - points.astype(dtype)[:, None, :]
    z *= (sqrt(0.5) / width).astype(dtype)[:, None, :]
    z *= z
    kernel = np.exp(np.negative(z, out=z), out=z)
    height = (weight / (_SQRT_2PI * width * kept)).astype(dtype)
    for row, k in choices.items():
        kernel[row] = np.where(width[row] < _UNIFORM, k * (x[row][:, None] == points[row]), 1)
        height[row] = weight
    mixture = (kernel @ height[:, :, None])[:, :, 0].astype(np.float64)
    return np.log(np.maximum(prior + mixture, 1e-300))  # a plain density may be 0
