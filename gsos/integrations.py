"""GSOS and N-RReliefF for Optuna: a sampler that tunes groups of hyperparameters, and an evaluator of importance."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from math import inf, isfinite
from sys import maxsize
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import BaseImportanceEvaluator
from optuna.samplers import BaseSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gsos.blocks import BlockTPE
from gsos.checks import check_count
from gsos.fanova import fanova
from gsos.relief import nrrelieff
from gsos.space import Config, Space, check_config, from_unit, is_ordered
from gsos.strategy import check_groups, startups
from gsos.tpe import TPE

ITERATIONS = (40, 30, 30)  # of the groups; every later one has as many as the last
N_WARM_UP = 40  # complete trials from which importance is estimated
PLAN, PROPOSAL = "gsos:plan", "gsos:proposal"  # system attributes of a study and of a trial
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

History = list[tuple[FrozenTrial, float]]  # finished trials in their order, with their losses


class GSOSSampler(BaseSampler):
    """Tune groups of hyperparameters one after the other by TPE, the most important first (GSOS Algorithm 2).

    Each group has its turn of so many trials, the first of them random (`strategy.startups`), the others TPE's. Outside
    of the group a hyperparameter has the value of the best trial so far, and before there is one its default. After
    the last group the first one has another turn: ask for sum(iterations) trials, or let it run on.

        sampler = GSOSSampler(groups=[["lr", "layers"], ["dropout"]], iterations=[40, 30], seed=0)
        study = optuna.create_study(sampler=sampler)
        study.optimize(objective, n_trials=70)

    groups: lists of names, every hyperparameter in exactly one.
    weights: in place of groups, name -> importance, such as `optuna.importance.get_param_importances` and the judges of
    `gsos.importance` give. `groups_of` makes up to three groups of them.
    With neither, trials are random until 40 are complete (those that the study already has count), and the weights are
    then the total effects of a forest (`gsos.fanova`, which ranks better than RReliefF where trials are so few). Where
    the forest finds nothing, all are one group. `plan` tells the groups.
    With weights or neither, a hyperparameter that has no weight, such as one that not every complete trial has, joins
    the last group.
    iterations: trials of each group, by default 40 for the first and 30 for every other. With neither groups nor
    weights they are three, of which the first ones count where there are fewer groups.
    defaults: name -> value until a trial is complete; else the middle of the range, on the scale that is sampled, or
    the first choice.
    seed: trial number i draws from SeedSequence([seed, i]). Everything else is in the storage, so a new sampler with
    the same arguments goes on with a study as the old one would have. Processes that reach the end of the random
    trials together, with neither groups nor weights, may each estimate groups; those written last then hold for all.

    A trial that failed (a loss of NaN), was pruned, is infinite or violates a constraint is a bad one to TPE, and never
    the best. Enqueued trials take their turn, and TPE learns from them; running ones do not count yet. A value outside
    of what its range is by now is missing to TPE, and clipped where it is the best trial's. The system attribute
    "gsos:proposal" of a trial tells the group, and where its values came from: "startup", "model", or, where TPE has
    nothing new to propose, "fallback", which is random too.

    strategy: "grouped" is all of the above. "blocks" is Block TPE (`gsos.blocks`), which tunes everything at once and
    finds better values than "grouped" and than Optuna's TPE do (notebook 07); it has no groups. Trial 0 has the
    defaults, the next nine are random. weights, if any, say how often a hyperparameter is changed in the best trial;
    cost_weight, such as 0.5, prefers trials that take less time, as those before did by the clock.

    "grouped" differs from Algorithm 2 (`strategy.GSOS`), which carries the best values among a group's own trials
    forward, also where an earlier group had a better trial; here the best trial of all counts. As long as every group
    finds a better trial than those before, both propose the same.

    Raises ValueError for an unknown strategy and for arguments of the other one, both groups and weights, groups that
    are empty or have a name twice, weights that are negative
    or not finite, iterations that are not positive or not one a group, and defaults in no group; when it is asked, for
    several objectives, a hyperparameter that is in no group, and a default outside of its range.
    """

    def __init__(
        self,
        *,
        groups: Sequence[Sequence[str]] | None = None,
        iterations: Sequence[int] | None = None,
        weights: Mapping[str, float] | None = None,
        defaults: Mapping[str, object] | None = None,
        strategy: str = "grouped",
        cost_weight: float = 0.0,
        seed: int | None = None,
    ):
        if strategy not in ("grouped", "blocks"):
            raise ValueError(f"strategy must be grouped or blocks, not {strategy!r}")
        if strategy == "blocks" and (groups is not None or iterations is not None):
            raise ValueError("strategy 'blocks' tunes everything at once: it takes no groups and no iterations")
        if strategy == "grouped" and cost_weight:
            raise ValueError("cost_weight belongs to strategy 'blocks'")
        if not 0 <= cost_weight < inf:
            raise ValueError(f"cost_weight must be finite and not negative, not {cost_weight!r}")
        self._strategy, self._cost_weight = strategy, cost_weight
        self._weights = dict(weights) if strategy == "blocks" and weights is not None else None
        if groups is not None and weights is not None:
            raise ValueError("give groups or weights, not both: groups follow from weights")
        if wrong := [group for group in groups or () if isinstance(group, str)]:
            raise ValueError(f"groups must be lists of names, not {wrong[0]!r}")
        if groups is not None and not groups:
            raise ValueError("groups must hold at least one group, not none")
        self._may_join = groups is None  # whether a hyperparameter in no group joins the last one
        self._groups = groups and [list(group) for group in groups]
        by_weight = groups_of(weights) if weights is not None else None  # which checks them
        if strategy == "grouped" and by_weight:
            self._groups = by_weight
        self._defaults = dict(defaults or {})
        self._seed = np.random.SeedSequence().entropy if seed is None else check_count("seed", seed, 0)
        checked = self._groups or [[str(i)] for i in range(len(ITERATIONS))]  # three groups, not known yet
        names = [name for group in checked for name in group]
        if iterations is None:
            iterations = [*ITERATIONS, *ITERATIONS[-1:] * len(checked)][: len(checked)]
        check_groups(dict.fromkeys(names), checked, iterations)
        self._iterations = list(map(int, iterations))
        if not self._may_join and (unknown := [name for name in self._defaults if name not in names]):
            raise ValueError(f"defaults have {unknown[0]!r}, which is in no group; groups are {self._groups}")

    def plan(self, study: Study) -> dict | None:
        """The "groups" of a study, their "iterations", and "first", the number of the trial that they began with.

        None before the first trial, and while importance is not known yet. A sampler with other groups or iterations
        begins with its first group.
        """
        return study._storage.get_study_system_attrs(study._study_id).get(PLAN)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin with the first group where this has not happened: an enqueued trial may never ask for a value."""
        if self._groups and not self._follows(self.plan(study)):
            self._begin(study, trial, self._groups)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every hyperparameter that a finished trial has; of one whose range changes, the last range."""
        _check_objective(study)
        known = {}
        for finished in _finished(study):
            known.update(finished.distributions)
        if self._may_join:
            return known
        return {name: known[name] for group in self._groups for name in group if name in known}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Space) -> Config:
        """A value for each hyperparameter of the search space."""
        _check_objective(study)
        history = _history(study)
        turn = self._turn(study, trial, history)
        values, origin = self._tune(turn, search_space, history, trial.number, self._seed)
        best_first = _best_first(history)
        for name in search_space.keys() - values.keys():
            values[name] = self._fixed(name, search_space[name], best_first)
        proposal = {"group": turn.group, "origin": origin}
        study._storage.set_trial_system_attr(trial._trial_id, PROPOSAL, proposal)
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """A value for one hyperparameter: of a first trial, or one that is new, or whose range has changed."""
        _check_objective(study)
        history = _history(study)
        turn = self._turn(study, trial, history)
        if not self._may_join and turn.owner(param_name) is None:
            raise ValueError(f"{param_name!r} is in no group; groups are {self._groups}")
        seed = [self._seed, crc32(param_name.encode())]
        values, _ = self._tune(turn, {param_name: param_distribution}, history, trial.number, seed)
        if values:
            return values[param_name]
        return self._fixed(param_name, param_distribution, _best_first(history))

    def _turn(self, study: Study, trial: FrozenTrial, history: History) -> "Turn":
        if self._strategy == "blocks":
            return EVERYTHING
        plan = self.plan(study)
        if not self._follows(plan):
            groups = self._groups or _estimated_groups(history)
            if groups is None:
                return WARM_UP
            plan = self._begin(study, trial, groups)
        ends = list(accumulate(plan["iterations"]))
        position = max(0, trial.number - plan["first"]) % ends[-1]
        group = bisect_right(ends, position)
        n = plan["iterations"][group]
        start = trial.number - position + ends[group] - n
        return Turn(group, plan["groups"], range(start, start + n), startups(n, group))

    def _begin(self, study: Study, trial: FrozenTrial, groups: list[list[str]]) -> dict:
        plan = {"first": trial.number, "groups": groups, "iterations": self._iterations[: len(groups)]}
        study._storage.set_study_system_attr(study._study_id, PLAN, plan)
        return plan

    def _follows(self, plan: dict | None) -> bool:
        """Whether there is a plan, and this sampler's own rather than that of another one that the study had before."""
        if plan is None:
            return False
        groups = plan["groups"]
        return self._groups in (None, groups) and plan["iterations"] == self._iterations[: len(groups)]

    def _tune(
        self, turn: "Turn", space: Space, history: History, number: int, seed: int | list[int]
    ) -> tuple[Config, str]:
        """Values of those hyperparameters of the space that are tuned in this turn, and their origin."""
        names = turn.tuned(space)
        if turn is EVERYTHING and number == 0:
            return {name: self._fixed(name, space[name], []) for name in names}, "startup"
        axes = Axes({name: space[name] for name in names})
        own = ((axes.levels(trial.params), loss, trial) for trial, loss in history if trial.number in turn.numbers)
        told = [(levels, loss, trial) for levels, loss, trial in own if levels]
        if len(told) < turn.n_startup:
            return axes.at([self._uniform(turn, name, number) for name in names]), "startup"
        options = {"n_startup": 1, "seed": seed, "first": number - len(told)}
        if turn is EVERYTHING:
            weights = self._weights and axes.keyed(self._weights)
            tpe = BlockTPE(axes.space, weights=weights, cost_weight=self._cost_weight, **options)
        else:
            tpe = TPE(axes.space, **options)
        for levels, loss, trial in told:
            tpe.tell(levels, loss, _seconds(trial))
        proposal = tpe.ask()
        return axes.values(proposal), proposal.origin

    def _uniform(self, turn: "Turn", name: str, number: int) -> float:
        """A random start's position in [0, 1], the same in whatever order hyperparameters are suggested."""
        if (owner := turn.owner(name)) is None:
            return np.random.default_rng([self._seed, crc32(name.encode()), number]).random()
        group = turn.groups[owner]
        return np.random.default_rng([self._seed, number]).random(len(group))[group.index(name)]

    def _fixed(self, name: str, distribution: BaseDistribution, best_first: list[FrozenTrial]) -> object:
        """The value of the best trial that has this hyperparameter, else its default."""
        for trial in best_first:
            if name in trial.params:
                return _nearest(distribution, trial.params[name])
        if name in self._defaults:
            try:
                check_config({name: self._defaults[name]}, {name: distribution})
            except ValueError as error:
                raise ValueError(f"defaults: {error}") from None
            return _nearest(distribution, self._defaults[name])
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[0]
        return Axes({name: distribution}).at([0.5])[name]


class Turn(NamedTuple):
    """What a trial tunes."""

    group: int | None  # its number; None while importance is not known, and everything is random
    groups: list[list[str]]
    numbers: range  # of the trials of this turn
    n_startup: int  # random ones among them

    def owner(self, name: str) -> int | None:
        """The number of the group that names a hyperparameter."""
        return next((i for i, group in enumerate(self.groups) if name in group), None)

    def tuned(self, space: Space) -> list[str]:
        """The names of a space that are tuned: those of the group, in its order, and with the last those of none."""
        if self.group is None:
            return sorted(space)
        others = sorted(name for name in space if self.owner(name) is None)
        is_last = self.group == len(self.groups) - 1
        return [name for name in self.groups[self.group] if name in space] + others * is_last


WARM_UP = Turn(None, [], range(0), 1)
EVERYTHING = Turn(None, [], range(maxsize), 10)  # Block TPE's only turn


class Axis(NamedTuple):
    """A distribution of Optuna's as `gsos.space` can have it, which knows no floats with a step or of one value.

    These become integers. So do choices that are numbers; other choices are named by their number.
    """

    distribution: BaseDistribution
    levels: BaseDistribution
    to_level: Callable[[float], object]  # from Optuna's internal representation
    to_value: Callable[[object], object]


def _axis(distribution: BaseDistribution) -> Axis:
    match distribution:
        case CategoricalDistribution(choices=choices) if is_ordered(distribution):
            return Axis(distribution, IntDistribution(0, len(choices) - 1), int, choices.__getitem__)
        case CategoricalDistribution(choices=choices):
            names = CategoricalDistribution([str(i) for i in range(len(choices))])
            return Axis(distribution, names, str, lambda name: choices[int(name)])
        case FloatDistribution(low=low, high=high, step=step) if step or low == high:
            step = step or 1
            levels = IntDistribution(0, round((high - low) / step))
            return Axis(distribution, levels, lambda x: round((x - low) / step), lambda i: min(low + i * step, high))
        case IntDistribution():
            return Axis(distribution, distribution, int, int)
    return Axis(distribution, distribution, float, float)


class Axes:
    """The axes of several hyperparameters. They are numbered: `space.is_active` has its own idea of some names."""

    def __init__(self, space: Space):
        self._axes = {name: (str(i), _axis(distribution)) for i, (name, distribution) in enumerate(space.items())}
        self.space = {key: axis.levels for key, axis in self._axes.values()}

    def keyed(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Weights by the names in `self.space`; of a hyperparameter that has none, the least there is."""
        return {key: weights.get(name, min(weights.values())) for name, (key, _) in self._axes.items()}

    def levels(self, params: Config) -> Config:
        """Values as `self.space` has them, those left out that do not exist or lie outside of their range."""
        levels = {}
        for name, (key, axis) in self._axes.items():
            if name in params and axis.distribution._contains(x := axis.distribution.to_internal_repr(params[name])):
                levels[key] = axis.to_level(x)
        return levels

    def values(self, levels: Config) -> Config:
        """The inverse of `levels`."""
        return {name: axis.to_value(levels[key]) for name, (key, axis) in self._axes.items()}

    def at(self, positions: Sequence[float]) -> Config:
        """The values at positions in [0, 1], on the scale they are sampled on."""
        return self.values(from_unit(dict(zip(self.space, positions, strict=True)), self.space))


def _nearest(distribution: BaseDistribution, value: object) -> object:
    """The value of the distribution that is nearest; choices never change in a study."""
    x = distribution.to_internal_repr(value)
    if not distribution._contains(x):
        low, step = distribution.low, distribution.step
        x = min(max(x, low), distribution.high)
        x = min(low + round((x - low) / step) * step, distribution.high) if step else x
    return distribution.to_external_repr(x)


def _check_objective(study: Study) -> None:
    if len(study.directions) > 1:
        raise ValueError(f"GSOSSampler tunes one objective; the study has {len(study.directions)}")


def _finished(study: Study) -> list[FrozenTrial]:
    """From the storage: a study under Hyperband would show the trials of one bracket only."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False, states=FINISHED)


def _history(study: Study) -> History:
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    return [(trial, _loss(trial, sign)) for trial in _finished(study)]


def _loss(trial: FrozenTrial, sign: int) -> float:
    if trial.state != TrialState.COMPLETE or any(c > 0 for c in trial.constraints.values()):
        return inf
    return sign * trial.value if isfinite(trial.value) else inf


def _seconds(trial: FrozenTrial) -> float | None:
    """None where a trial was added with no duration."""
    duration = trial.duration.total_seconds() if trial.duration else 0
    return duration if duration > 0 else None


def _best_first(history: History) -> list[FrozenTrial]:
    return [trial for trial, loss in sorted(history, key=lambda pair: pair[1]) if loss < inf]


def groups_of(weights: Mapping[str, float]) -> list[list[str]]:
    """Up to three groups in the proportion 3:4:3, the most important hyperparameters first; ties in their order.

    The paper's ten are 3, 4 and 3; groups that would be empty are left out. Raises ValueError for no weights, and for
    one that is negative or not finite.
    """
    weights = dict(weights)  # of a pandas Series too
    if not weights:
        raise ValueError("weights must hold at least one hyperparameter, not none")
    if wrong := {name: weight for name, weight in weights.items() if not (isfinite(weight) and weight >= 0)}:
        raise ValueError(f"weights must be finite and not negative, not {wrong}")
    names = sorted(weights, key=weights.get, reverse=True)
    ends = [0, *(round(len(names) * share / 10) for share in (3, 7, 10))]
    groups = (names[start:end] for start, end in zip(ends, ends[1:], strict=False))
    return [group for group in groups if group]


def _estimated_groups(history: History) -> list[list[str]] | None:
    """Groups by the forest's total effects of what all complete trials have; None where these are too few."""
    complete = [(trial, loss) for trial, loss in history if loss < inf]
    if len(complete) < N_WARM_UP:
        return None
    trials, losses = zip(*complete, strict=True)
    names = sorted(set.intersection(*(set(trial.params) for trial in trials)))
    try:
        X, is_categorical = _coordinates(trials, {name: trials[-1].distributions[name] for name in names})
        weights = fanova(X, losses, is_categorical, order=1).total
    except ValueError:  # nothing can be told: losses that are all the same, no hyperparameter that all trials have
        return [names]
    return groups_of(dict(zip(names, weights.tolist(), strict=True)))


def _coordinates(
    trials: Sequence[FrozenTrial], space: Space, *, log: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """X (n, k) and is_categorical (k,), as `gsos.space.encode` makes them of records."""
    X = np.empty((len(trials), len(space)))
    for x, (name, distribution) in zip(X.T, space.items(), strict=True):
        x[:] = [distribution.to_internal_repr(trial.params[name]) for trial in trials]
        if log and getattr(distribution, "log", False):
            np.log(x, out=x)
        elif not log and isinstance(distribution, CategoricalDistribution) and is_ordered(distribution):
            x[:] = np.array(distribution.choices)[x.astype(int)]
    return X, np.array([not is_ordered(distribution) for distribution in space.values()], dtype=bool)


class NRReliefFImportanceEvaluator(BaseImportanceEvaluator):
    """N-RReliefF (HIA Algorithm 1, `gsos.relief.nrrelieff`) for `optuna.importance.get_param_importances`.

        get_param_importances(study, evaluator=NRReliefFImportanceEvaluator())

    n_neighbours: of each trial; fewer where there are fewer trials. distance: "normalised", by the range of each
    hyperparameter on the scale it is sampled on, or "raw" as the paper prints it, where those with large numbers
    decide who is a neighbour. metric: "euclidean" or "manhattan".

    Importances are the weights of Eq 10, negative ones as 0; by default Optuna then makes their sum 1. They are a
    covariance, no share of variance, and mean most for trials drawn at random. Fewer than three trials tell nothing:
    all importances are 0.

    Differs from the paper: the objective is divided by its range, since Eq 10 reads differences as probabilities and
    accuracies are the paper's only objective; every trial counts once, instead of M random draws.

    Raises ValueError for a study with several objectives and no target, for params that not one complete trial has
    all of or whose range changed, for an unknown distance or metric, and where the objective is the same in all trials.
    """

    def __init__(self, *, n_neighbours: int = 30, distance: str = "normalised", metric: str = "euclidean"):
        self._n_neighbours = check_count("n_neighbours", n_neighbours, 1)
        self._distance, self._metric = distance, metric

    def evaluate(
        self,
        study: Study,
        params: list[str] | None = None,
        *,
        target: Callable[[FrozenTrial], float] | None = None,
    ) -> dict[str, float]:
        """Name -> importance, the largest first, of `params` or else of what all complete trials have.

        target: what of a trial is explained, by default its value. Trials where it is not finite do not count.
        """
        if target is None and len(study.directions) > 1:
            raise ValueError(
                f"the study has {len(study.directions)} objectives: give a target, such as lambda t: t.values[0]"
            )
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        trials = [trial for trial in complete if set(params or ()) <= set(trial.params)]
        space = intersection_search_space(trials)
        if params and not trials:
            raise ValueError(f"no complete trial has all of the params {params}")
        if changed := [name for name in params or () if name not in space]:
            raise ValueError(f"the range of {changed[0]!r} changed from trial to trial: its importance cannot be told")
        space = {name: d for name, d in space.items() if params is None or name in params}
        p = np.array([trial.value if target is None else target(trial) for trial in trials], dtype=float)
        trials = [trial for trial, finite in zip(trials, np.isfinite(p), strict=True) if finite]
        if len(trials) < 3 or all(distribution.single() for distribution in space.values()):
            return dict.fromkeys(space, 0.0)
        X, is_categorical = _coordinates(trials, space, log=self._distance != "raw")
        weights = nrrelieff(
            X,
            p[np.isfinite(p)],
            is_categorical,
            n_neighbours=min(self._n_neighbours, len(trials) - 1),
            distance=self._distance,
            metric=self._metric,
            normalise_response=True,
        )
        importances = dict(zip(space, np.maximum(weights, 0).tolist(), strict=True))
        return dict(sorted(importances.items(), key=lambda item: -item[1]))
