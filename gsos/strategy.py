"""GSOS (Algorithm 2) and the strategies it is compared with: ask for a configuration, evaluate it, tell its loss.

Every strategy proposes complete configurations, minimises the loss, and can be told trials that it did not propose:
told the trials of an interrupted run, it goes on as that run would have. Trial i draws from SeedSequence([seed, i]).
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Protocol

import numpy as np

from gsos.blocks import BlockTPE
from gsos.checks import check_count
from gsos.space import GROUPS, Config, Space, check_config, sample
from gsos.tpe import TPE, Proposal

SHARES = (4, 3, 3)  # of the iterations, one a group (GSOS 5.4)
N_STARTUP = 15  # GSOS Algorithm 1
COST_WEIGHT = 0.5  # of Block TPE where it weighs costs; notebook 07 shows others


class Strategy(Protocol):
    """What every strategy can do."""

    def ask(self) -> Proposal:
        """The next configuration to evaluate, with the hyperparameters that are not tuned."""

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        """The loss of the next trial, NaN or infinite where it failed, and what it cost, for those that weigh it."""


class RandomSearch:
    """Every configuration drawn from the space alone."""

    def __init__(self, space: Space, defaults: Mapping[str, object], *, seed: int):
        self._space, self._fixed, self._seed = space, _without(defaults, space), check_count("seed", seed, 0)
        self._n_asked = self._n_told = 0

    def ask(self) -> Proposal:
        i = max(self._n_asked, self._n_told)
        self._n_asked = i + 1
        return Proposal(self._fixed | sample(self._space, np.random.default_rng([self._seed, i])), "random")

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        self._n_told += 1


class Simultaneous:
    """TPE on the whole space: the conventional strategy (GSOS 5.4)."""

    def __init__(self, space: Space, n_iterations: int, defaults: Mapping[str, object], *, seed: int):
        self._tpe = TPE(space, n_startup=startups(n_iterations, 0), seed=seed)
        self._fixed = _without(defaults, space)

    def ask(self) -> Proposal:
        proposal = self._tpe.ask()
        return Proposal(self._fixed | proposal, proposal.origin)

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        self._tpe.tell(_part(config, self._tpe.space), loss)


class Blocks:
    """Block TPE on the whole space, which begins with the defaults: beyond the paper (`gsos.blocks`)."""

    def __init__(self, space: Space, defaults: Mapping[str, object], *, cost_weight: float = 0.0, seed: int):
        self._tpe = BlockTPE(space, default=_part(defaults, space), cost_weight=cost_weight, seed=seed)
        self._fixed = _without(defaults, space)

    def ask(self) -> Proposal:
        proposal = self._tpe.ask()
        return Proposal(self._fixed | proposal, proposal.origin)

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        self._tpe.tell(_part(config, self._tpe.space), loss, cost)


class GSOS:
    """Groups of hyperparameters tuned one after the other by TPE, the most important first (GSOS Algorithm 2).

    groups: names, every hyperparameter of the space in exactly one group; iterations: of each group, its random starts
    among them (`startups`). defaults: a value for every hyperparameter until its group is tuned (x_default), and for
    those outside of the space. When the iterations of a group are done, its best values are carried forward; where
    all of its losses were NaN or infinite, it keeps the defaults.

    Raises ValueError for a hyperparameter in no group, in two groups or not in the space, for iterations that are not
    positive or not one number a group, and for defaults that are missing or outside of the space.
    """

    def __init__(
        self,
        space: Space,
        groups: Sequence[Sequence[str]],
        iterations: Sequence[int],
        defaults: Mapping[str, object],
        *,
        seed: int | Sequence[int],
    ):
        check_groups(space, groups, iterations)
        try:
            check_config(_part(defaults, space), space)
        except ValueError as error:
            raise ValueError(f"defaults: {error}") from None
        self.space, self.groups, self.iterations = space, [list(group) for group in groups], list(iterations)
        self.current: Config = dict(defaults)  # x_current
        self._seed = seed
        self._group, self._n_told = -1, 0
        self._next_group()

    def _next_group(self) -> None:
        self._group += 1
        names = self.groups[self._group]
        self._tpe = TPE(
            {name: self.space[name] for name in names},
            n_startup=startups(self.iterations[self._group], self._group),
            seed=self._seed,
            first=self._n_told,
        )
        self._best, self._best_loss = _part(self.current, names), np.inf

    def ask(self) -> Proposal:
        """Raises ValueError when the iterations of all groups are done."""
        if self._tpe.n_told >= self.iterations[self._group]:
            raise ValueError(f"all {sum(self.iterations)} iterations of the groups are done")
        proposal = self._tpe.ask()
        return Proposal(self.current | proposal, proposal.origin, self._group)

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        values = _part(config, self.groups[self._group])
        self._tpe.tell(values, loss)
        self._n_told += 1
        if isfinite(loss) and loss < self._best_loss:
            self._best, self._best_loss = values, loss
        if self._tpe.n_told == self.iterations[self._group]:
            self.current |= self._best
            if self._group + 1 < len(self.groups):
                self._next_group()


class EpochSchedule:
    """A control: TPE on the whole space, but one hyperparameter is fixed and freed exactly when GSOS does so.

    Until its group's turn it has its default, then it is tuned with all others, then it keeps the best value of its
    turn. While it is fixed, a trial says nothing about it: TPE is told the trial without it.

    Raises ValueError for groups and iterations as `GSOS` does, for a name in no group, and for a default of it that is
    missing or outside of the space.
    """

    def __init__(
        self,
        space: Space,
        groups: Sequence[Sequence[str]],
        iterations: Sequence[int],
        defaults: Mapping[str, object],
        *,
        seed: int | Sequence[int],
        name: str = "epoch",
    ):
        check_groups(space, groups, iterations)
        if name not in space:
            raise ValueError(f"name must be a hyperparameter of the space, {list(space)}, not {name!r}")
        check_config(_part(defaults, [name]), {name: space[name]})
        turn = next(i for i, group in enumerate(groups) if name in group)
        self._free = range(sum(iterations[:turn]), sum(iterations[: turn + 1]))
        self._tpe = TPE(space, n_startup=startups(sum(iterations), 0), seed=seed)
        self._name, self._fixed = name, _without(defaults, space) | {name: defaults[name]}
        self._best_loss = np.inf

    def ask(self) -> Proposal:
        proposal = self._tpe.ask()
        config = self._fixed | proposal
        if self._tpe.n_told not in self._free:
            config[self._name] = self._fixed[self._name]
        return Proposal(config, proposal.origin)

    def tell(self, config: Mapping[str, object], loss: float, cost: float | None = None) -> None:
        known = _part(config, self._tpe.space)
        if self._tpe.n_told not in self._free:
            del known[self._name]
        elif isfinite(loss) and loss < self._best_loss:
            self._fixed[self._name], self._best_loss = config[self._name], loss
        self._tpe.tell(known, loss)


def check_groups(space: Space, groups: Sequence[Sequence[str]], iterations: Sequence[int]) -> None:
    """Raises ValueError unless each hyperparameter is in exactly one group, and each group has iterations."""
    names = [name for group in groups for name in group]
    if unknown := [name for name in names if name not in space]:
        raise ValueError(f"groups have {unknown[0]!r}, which is not in the space: {list(space)}")
    if missing := [name for name in space if name not in names]:
        raise ValueError(f"{missing[0]!r} is in no group; groups are {[list(group) for group in groups]}")
    if twice := [name for name in space if names.count(name) > 1]:
        raise ValueError(f"{twice[0]!r} is in a group more than once; groups are {[list(group) for group in groups]}")
    if empty := [i for i, group in enumerate(groups) if not group]:
        raise ValueError(f"group {empty[0]} is empty; groups are {[list(group) for group in groups]}")
    if len(iterations) != len(groups) or not all(isinstance(m, int | np.integer) and m >= 1 for m in iterations):
        raise ValueError(f"iterations must be one positive integer for each of {len(groups)} groups, not {iterations}")


def startups(n_iterations: int, group: int) -> int:
    """Random starts within the iterations of a group: 3/8 of the first's, 1/3 of a later one's, at most 15.

    They are 15 of 100, and 15, 10 and 10 of 40, 30 and 30: Algorithm 1's 15 inside the shares, so that short runs
    are guided too.
    """
    share = n_iterations * 3 / 8 if group == 0 else n_iterations / 3
    return max(1, min(N_STARTUP, round(share)))


def split_iterations(n_iterations: int, shares: Sequence[int] = SHARES) -> list[int]:
    """The iterations of each group, in proportion to the shares: 40, 30, 30 of 100. Raises ValueError for too few."""
    ends = [round(n_iterations * sum(shares[: i + 1]) / sum(shares)) for i in range(len(shares))]
    iterations = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if min(iterations) < 1:
        raise ValueError(f"{n_iterations} iterations are too few for groups with the shares {tuple(shares)}")
    return iterations


def shuffled_groups(groups: Sequence[Sequence[str]], seed: int) -> list[list[str]]:
    """Random groups of the same sizes: a control that knows nothing of importance."""
    names = [name for group in groups for name in group]
    shuffled = iter(np.random.default_rng([seed, 0, len(names)]).permutation(names).tolist())
    return [[next(shuffled) for _ in group] for group in groups]


def make(
    name: str,
    space: Space,
    defaults: Mapping[str, object],
    *,
    groups: Sequence[Sequence[str]],
    n_iterations: int,
    seed: int,
) -> Strategy:
    """A strategy by its name, a key of STRATEGIES; groups share the iterations in the proportion 4:3:3.

    Raises ValueError for an unknown name, for one about epochs in a space without them, and for "calibrated groups",
    which are those of GSOS's space, in another.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {name!r}")
    if name in ("middle epoch", "top epoch") and "epoch" not in space:
        raise ValueError(f"strategy {name!r} needs the hyperparameter 'epoch'; the space has {list(space)}")
    if name == "random":
        return RandomSearch(space, defaults, seed=seed)
    if name == "simultaneous":
        return Simultaneous(space, n_iterations, defaults, seed=seed)
    if name in ("blocks", "blocks cost"):
        return Blocks(space, defaults, cost_weight=COST_WEIGHT if name == "blocks cost" else 0.0, seed=seed)
    iterations = split_iterations(n_iterations)
    if name == "epoch schedule":
        return EpochSchedule(space, groups, iterations, defaults, seed=seed)
    if name == "reversed order":
        groups = groups[::-1]
    elif name == "random groups":
        groups = shuffled_groups(groups, seed)
    elif name == "calibrated groups":
        groups = GROUPS["calibrated"]
    elif name in ("middle epoch", "top epoch"):
        low, high = space["epoch"].low, space["epoch"].high
        defaults = dict(defaults) | {"epoch": high if name == "top epoch" else (low + high) // 2}
    return GSOS(space, groups, iterations, defaults, seed=seed)


STRATEGIES = {  # name -> label
    "gsos": "GSOS",
    "simultaneous": "simultaneous TPE",
    "epoch schedule": "TPE, GSOS's epoch schedule",
    "reversed order": "GSOS, reversed order",
    "random groups": "GSOS, random groups",
    "middle epoch": "GSOS, middle epoch first",
    "top epoch": "GSOS, top epoch first",
    "random": "random search",
    "blocks": "Block TPE",
    "blocks cost": "Block TPE, cost-aware",
    "calibrated groups": "GSOS, groups by our weights",
}


def _part(config: Mapping[str, object], names: Sequence[str] | Space) -> Config:
    return {name: config[name] for name in names if name in config}


def _without(config: Mapping[str, object], names: Space) -> Config:
    return {name: value for name, value in config.items() if name not in names}
