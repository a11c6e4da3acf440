"""Strategies to compare with, behind the interface of `gsos.strategy`: Optuna's TPE, Hyperopt's, and GSOS relatives.

They are told finite losses.
"""

import warnings
from collections.abc import Mapping

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gsos.fanova import fanova
from gsos.integrations import groups_of
from gsos.relief import nrrelieff
from gsos.space import Config, Space, is_ordered, to_unit
from gsos.strategy import GSOS, RandomSearch, split_iterations
from gsos.tpe import TPE, Proposal

N_WARM_UP = 20  # random trials of the GIF-like strategy, as many as GSOS's own starts and a few more
ROUND = 10  # trials of its rounds


class OptunaTPE:
    """Optuna's TPESampler with its own settings. Ordered choices are integers to it, so that it knows their order."""

    def __init__(self, space: Space, *, seed: int, **options: object):
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # not that a study was made in memory
        self._space = space
        self._levels = {
            name: IntDistribution(0, len(d.choices) - 1) if _is_ordinal(d) else d for name, d in space.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of some options
            sampler = optuna.samplers.TPESampler(seed=seed, **options)
        self._study = optuna.create_study(sampler=sampler)

    def ask(self) -> Config:
        """The next configuration to evaluate."""
        self._trial = self._study.ask(self._levels)
        return {
            name: d.choices[self._trial.params[name]] if _is_ordinal(d) else self._trial.params[name]
            for name, d in self._space.items()
        }

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        """The loss of the configuration asked last."""
        self._study.tell(self._trial, loss)


def _is_ordinal(distribution: object) -> bool:
    return isinstance(distribution, CategoricalDistribution) and is_ordered(distribution)


class HyperoptTPE:
    """Hyperopt's `tpe.suggest` with its own settings. Ordered choices are integers to it."""

    def __init__(self, space: Space, *, seed: int):
        from hyperopt import Domain, Trials, tpe  # slow to import, and only those who compare need it

        self._space, self._suggest = space, tpe.suggest
        self._domain = Domain(lambda config: 0.0, {name: _hyperopt(name, d) for name, d in space.items()})
        self._trials, self._rng = Trials(), np.random.default_rng(seed)

    def ask(self) -> Config:
        """The next configuration to evaluate."""
        ids = self._trials.new_trial_ids(1)
        self._trials.refresh()
        (self._doc,) = self._suggest(ids, self._domain, self._trials, int(self._rng.integers(2**31 - 1)))
        chosen = {name: values[0] for name, values in self._doc["misc"]["vals"].items()}
        return {name: _from_hyperopt(d, chosen[name]) for name, d in self._space.items()}

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        """The loss of the configuration asked last."""
        from hyperopt import JOB_STATE_DONE, STATUS_OK

        self._doc |= {"state": JOB_STATE_DONE, "result": {"loss": loss, "status": STATUS_OK}}
        self._trials.insert_trial_docs([self._doc])
        self._trials.refresh()


def _hyperopt(name: str, distribution: object) -> object:
    from hyperopt import hp

    match distribution:
        case CategoricalDistribution(choices=choices) if is_ordered(distribution):
            return hp.quniform(name, -0.5, len(choices) - 0.5, 1)  # `uniformint` gives half a share to either end
        case CategoricalDistribution(choices=choices):
            return hp.choice(name, list(range(len(choices))))
        case FloatDistribution(low=low, high=high, log=True):
            return hp.loguniform(name, np.log(low), np.log(high))
        case IntDistribution(low=low, high=high, log=True):
            return hp.qloguniform(name, np.log(low - 0.5), np.log(high + 0.5), 1)
        case FloatDistribution(low=low, high=high, step=None):
            return hp.uniform(name, low, high)
    low, high, step = distribution.low, distribution.high, distribution.step
    return hp.quniform(name, -0.5, (high - low) / step + 0.5, 1)  # it rounds to multiples: hence the number of the step


def _from_hyperopt(distribution: object, value: float) -> object:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[min(int(value), len(choices) - 1)]
        case IntDistribution(low=low, step=step, log=False) | FloatDistribution(low=low, step=float(step)):
            value = low + step * int(value)
    return type(distribution.low)(min(max(value, distribution.low), distribution.high))


class EstimatedGSOS:
    """GSOS whose groups follow from its own first trials, 40 % of all, which are random: by the forest's total effects.

    The best of the random trials is the default.
    """

    def __init__(self, space: Space, n_iterations: int, *, seed: int):
        self._space, self._n, self._seed = space, n_iterations, seed
        self._n_random = round(0.4 * n_iterations)
        self._strategy = RandomSearch(space, {}, seed=seed)
        self._told: list[tuple[Config, float]] = []

    def ask(self) -> Proposal:
        """The next configuration to evaluate."""
        if len(self._told) == self._n_random:
            X, losses = _rows(self._told, self._space)
            categorical = np.array([not is_ordered(d) for d in self._space.values()])
            try:
                weights = fanova(X, losses, categorical, order=1).total
            except ValueError:  # nothing can be told
                weights = np.ones(len(self._space))
            groups = groups_of(dict(zip(self._space, weights.tolist(), strict=True)))
            best, _ = min(self._told, key=lambda pair: pair[1])
            iterations = split_iterations(self._n - self._n_random, (4, 3, 3)[: len(groups)])
            self._strategy = GSOS(self._space, groups, iterations, best, seed=[self._seed, 1])  # numbers not drawn yet
        return self._strategy.ask()

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        """The loss of the next trial."""
        self._told.append((dict(config), loss))
        self._strategy.tell(config, loss)


class GIFLike:
    """What the abstract and the reviews of GIF (arXiv 2606.10068), GSOS's successor, say; its details are not known.

    After N_WARM_UP random trials, rounds of ROUND: importance by N-RReliefF on all trials so far, three groups by
    sorted importance, the round's trials shared among them in proportion to importance. A group is tuned by TPE, told
    all trials, while the others have the best trial's values. After a round without a better trial the next round
    tunes everything.
    """

    def __init__(self, space: Space, *, seed: int):
        self._space, self._seed = space, seed
        self._told: list[tuple[Config, float]] = []
        self._plan: list[list[str]] = []  # of the round: what each of its trials tunes
        self._before = np.inf  # the best loss when the round began

    def ask(self) -> Proposal:
        """The next configuration to evaluate."""
        i = len(self._told)
        if i < N_WARM_UP:
            return TPE(self._space, n_startup=i + 1, seed=self._seed, first=i).ask()
        best, best_loss = min(self._told, key=lambda pair: pair[1])
        at = (i - N_WARM_UP) % ROUND
        if at == 0:
            self._plan = self._next_round(best_loss < self._before)
            self._before = best_loss
        names = self._plan[at]
        tpe = TPE({name: self._space[name] for name in names}, n_startup=1, seed=self._seed, first=0)
        for config, loss in self._told:
            tpe.tell({name: config[name] for name in names}, loss)
        proposal = tpe.ask()
        return Proposal(best | proposal, proposal.origin)

    def _next_round(self, gained: bool) -> list[list[str]]:
        if not gained:
            return [list(self._space)] * ROUND
        X, losses = _rows(self._told, self._space)
        categorical = np.array([not is_ordered(d) for d in self._space.values()])
        weights = np.ones(len(self._space))
        if np.ptp(losses):
            n_neighbours = min(30, len(losses) - 1)  # HIA 5.3 has 30
            found = nrrelieff(X, losses, categorical, n_neighbours=n_neighbours, normalise_response=True)
            weights = np.maximum(found, 0) if found.max() > 0 else weights
        by_name = dict(zip(self._space, weights.tolist(), strict=True))
        groups = groups_of(by_name)
        shares = np.cumsum([sum(by_name[name] for name in group) for group in groups])
        ends = np.rint(ROUND * shares / shares[-1]).astype(int)
        return [groups[int(np.searchsorted(ends, i, "right"))] for i in range(ROUND)]

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        """The loss of the next trial."""
        self._told.append((dict(config), loss))


def _rows(told: list[tuple[Config, float]], space: Space) -> tuple[np.ndarray, np.ndarray]:
    """X (n, d), in the unit cube, and the losses (n,)."""
    return np.array([to_unit(config, space) for config, _ in told]), np.array([loss for _, loss in told])
