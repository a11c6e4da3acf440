"""BOHB (Falkner, Klein, Hutter 2018), asked a whole rung at a time: Hyperband brackets and KDE proposals.

Sizes of brackets, split into good and bad, bandwidths and the drawing of candidates are those of HpBandSter's BOHB,
which HIA 4.1 used. It differs in three things: exponents are integers (a floored logarithm loses a rung at 243 and
eta 3), a category's kernel knows all choices and not only those seen, and the model is brought up to date
between rungs, so that the proposals do not depend on the order in which parallel trainings finish.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from gsos.space import Config, Space, from_unit, is_ordered, sample, to_unit


class Proposal(NamedTuple):
    """One evaluation: train `config` (its budget is in it). Evaluations of one model share `model`."""

    iteration: int  # number of the evaluation in the study
    model: int  # iteration of the model's first evaluation; a survivor continues that training
    origin: str  # of the model's configuration: "startup" (no density yet), "random" (the random share) or "model"
    config: Config


def brackets(max_budget: int, *, min_budget: int = 1, eta: int = 3) -> list[list[tuple[int, int]]]:
    """Hyperband's brackets, each a list of rungs (number of configurations, budget), the most aggressive first.

    Budgets are min_budget * eta^i up to max_budget. A bracket with s + 1 of the S budgets starts with
    floor(S / (s + 1)) eta^s configurations, of which a rung keeps the best 1 in eta.
    """
    if eta < 2 or not 0 < min_budget <= max_budget:
        raise ValueError(
            f"brackets need eta >= 2 and 0 < min_budget <= max_budget, not {eta=} {min_budget=} {max_budget=}"
        )
    budgets = [min_budget]
    while budgets[-1] * eta <= max_budget:
        budgets.append(budgets[-1] * eta)
    n_rungs = [len(budgets) - i for i in range(len(budgets))]
    starts = [len(budgets) // rungs * eta ** (rungs - 1) for rungs in n_rungs]
    return [
        [(start // eta**i, budget) for i, budget in enumerate(budgets[-rungs:])]
        for start, rungs in zip(starts, n_rungs, strict=True)
    ]


class BOHB:
    """Ask for a rung, train it, tell the losses; repeat for as long as you like.

    space: what is searched, the fidelity among it; fidelity: the integer hyperparameter that is the budget, from its
    lower bound in the space to max_budget.
    seed: evaluation i draws from SeedSequence([seed, i]). Losses are minimised; NaN and infinity count as the worst.
    The other arguments are HpBandSter's, with its defaults: the share of observations called good, candidates
    scored for a proposal, share of random configurations, widening of the kernels that candidates are drawn from,
    least bandwidth (of the unit cube).
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        fidelity: str = "epoch",
        max_budget: int = 9,
        eta: int = 3,
        good_fraction: float = 0.15,
        n_candidates: int = 64,
        random_fraction: float = 1 / 3,
        bandwidth_factor: float = 3.0,
        min_bandwidth: float = 1e-3,
    ):
        if fidelity not in space:
            raise ValueError(f"fidelity {fidelity!r} is no hyperparameter of the space: {list(space)}")
        bounds = space[fidelity]
        if not bounds.low <= max_budget <= bounds.high:
            raise ValueError(f"max_budget must lie in {fidelity}'s range {bounds.low}..{bounds.high}, not {max_budget}")
        self.space = {name: distribution for name, distribution in space.items() if name != fidelity}
        self.fidelity, self.max_budget, self.eta = fidelity, max_budget, eta
        self.n_choices = np.array([0 if is_ordered(d) else len(d.choices) for d in self.space.values()])
        self._seed = seed
        self._good_fraction = good_fraction
        self._n_candidates = n_candidates
        self._random_fraction = random_fraction
        self._bandwidth_factor = bandwidth_factor
        self._min_bandwidth = min_bandwidth
        self._brackets = brackets(max_budget, min_budget=bounds.low, eta=eta)
        self._bracket = self._rung = self._n_asked = 0
        self._survivors: list[Proposal] = []
        self._asked: list[Proposal] = []
        self._observations: dict[int, list[tuple[NDArray, float]]] = {}  # budget -> [(position, loss)]

    def ask(self) -> list[Proposal]:
        """The next rung. Asking again before telling gives the same."""
        if not self._asked:
            n, budget = self._brackets[self._bracket][self._rung]
            first = self._n_asked
            if self._rung == 0:
                model = self._fit(first)
                self._asked = [self._propose(i, budget, model) for i in range(first, first + n)]
            else:
                self._asked = [
                    Proposal(i, survivor.model, survivor.origin, {**survivor.config, self.fidelity: budget})
                    for i, survivor in enumerate(self._survivors, start=first)
                ]
            self._n_asked += n
        return list(self._asked)

    def tell(self, losses: Sequence[float]) -> None:
        """The losses of the rung that was asked, in its order."""
        if not self._asked or len(losses) != len(self._asked):
            raise ValueError(
                f"losses must be one for each of the {len(self._asked)} proposals asked, not {len(losses)}"
            )
        losses = np.nan_to_num(np.asarray(losses, dtype=float), nan=np.inf, posinf=np.inf, neginf=np.inf)
        _, budget = self._brackets[self._bracket][self._rung]
        self._observations.setdefault(budget, []).extend(
            (_codes(to_unit(proposal.config, self.space), self.n_choices), loss)
            for proposal, loss in zip(self._asked, losses, strict=True)
        )
        self._rung += 1
        if self._rung < len(self._brackets[self._bracket]):
            n, _ = self._brackets[self._bracket][self._rung]
            best = np.sort(np.argsort(losses, kind="stable")[:n])  # ties: the earlier; survivors keep their order
            self._survivors = [self._asked[i] for i in best]
        else:
            self._rung, self._bracket = 0, (self._bracket + 1) % len(self._brackets)
        self._asked = []

    def _fit(self, iteration: int) -> "Model | None":
        """Densities from the largest budget with enough observations; None where no budget has them."""
        n_min = len(self.space) + 1
        for budget in sorted(self._observations, reverse=True):
            positions, losses = map(np.array, zip(*self._observations[budget], strict=True))
            n_good = max(n_min, int(self._good_fraction * len(losses)))
            n_bad = max(n_min, int((1 - self._good_fraction) * len(losses)))
            order = np.argsort(losses, kind="stable")
            good, bad = positions[order[:n_good]], positions[order[n_good : n_good + n_bad]]
            if min(len(good), len(bad)) >= n_min:
                rng = np.random.default_rng(np.random.SeedSequence([self._seed, iteration], spawn_key=(0,)))
                return Model(
                    *(
                        kde(impute(part, self.n_choices, rng), self.n_choices, self._min_bandwidth)
                        for part in (good, bad)
                    )
                )
        return None

    def _propose(self, iteration: int, budget: int, model: "Model | None") -> Proposal:
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, iteration]))
        origin = "startup" if model is None else "random" if rng.random() < self._random_fraction else "model"
        if origin == "model":
            candidates = draw(model.good, self._n_candidates, self._bandwidth_factor, rng)
            ratio = np.maximum(pdf(model.bad, candidates), 1e-32) / np.maximum(pdf(model.good, candidates), 1e-32)
            best = _positions(candidates[np.argmin(ratio)], self.n_choices)
            config = from_unit(dict(zip(self.space, best, strict=True)), self.space)
        else:
            config = sample(self.space, rng)
        return Proposal(iteration, iteration, origin, config | {self.fidelity: budget})


class KDE(NamedTuple):
    """A product-kernel density: Gaussian in [0, 1], Aitchison-Aitken on the codes 0..n_choices-1."""

    points: NDArray[np.float64]  # (n, d)
    bandwidth: NDArray[np.float64]  # (d,)
    n_choices: NDArray[np.int64]  # (d,), 0 for a continuous dimension


class Model(NamedTuple):
    """The two densities of TPE: of the good and of the bad observations."""

    good: KDE
    bad: KDE


def kde(points: NDArray[np.float64], n_choices: NDArray[np.int64], min_bandwidth: float) -> KDE:
    """The density of `points` with bandwidths by the normal reference rule, 1.06 s n^(-1 / (4 + d)).

    A category's bandwidth is kept below 1 - 1/n_choices, where its kernel is uniform.
    """
    n, d = points.shape
    bandwidth = np.maximum(1.06 * points.std(axis=0) * n ** (-1 / (4 + d)), min_bandwidth)
    widest = np.where(n_choices > 0, 1 - 1 / np.maximum(n_choices, 2), np.inf)
    return KDE(points, np.minimum(bandwidth, widest), n_choices)


def pdf(density: KDE, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) density at the rows of x (m, d)."""
    points, h, k = density
    difference = x[:, None, :] - points[None, :, :]  # (m, n, d)
    gauss = np.exp(-0.5 * (difference / h) ** 2) / (np.sqrt(2 * np.pi) * h)
    aitchison_aitken = np.where(difference == 0, 1 - h, h / np.maximum(k - 1, 1))
    return np.where(k > 0, aitchison_aitken, gauss).prod(axis=2).mean(axis=1)


def draw(density: KDE, n: int, bandwidth_factor: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, d) candidates: around a random point of the density, from normals widened and truncated to [0, 1];
    a category is kept with probability 1 - bandwidth, else drawn from all choices."""
    points, h, k = density
    centre = points[rng.integers(len(points), size=n)]
    u = rng.random(centre.shape)
    width = bandwidth_factor * h
    low, high = ndtr(-centre / width), ndtr((1 - centre) / width)
    normal = centre + width * ndtri(low + u * (high - low))
    category = np.where(u < 1 - h, centre, np.floor((u - (1 - h)) / h * k))
    return np.where(k > 0, np.clip(category, 0, np.maximum(k - 1, 0)), np.clip(normal, 0, 1))


def impute(points: NDArray[np.float64], n_choices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Hyperparameters that do not exist (NaN) filled from a random point that has them, or at random if none has."""
    filled = points.copy()
    for row in filled:
        while (missing := np.flatnonzero(np.isnan(row))).size:
            donors = points[~np.isnan(points[:, missing[0]])]
            if len(donors):
                row[missing] = donors[rng.integers(len(donors)), missing]
            else:
                k = n_choices[missing[0]]
                row[missing[0]] = rng.integers(k) if k else rng.random()
    return filled


def _codes(position: NDArray[np.float64], n_choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """A position of the unit cube with categories as codes 0..n_choices-1."""
    return np.where(n_choices > 0, np.floor(position * n_choices), position)


def _positions(codes: NDArray[np.float64], n_choices: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(n_choices > 0, (codes + 0.5) / np.maximum(n_choices, 1), codes)
