"""Strategies against each other on problems whose truth is known (`gsos.replay`, `gsos.problems`): runs and records."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from gsos.blocks import BlockTPE
from gsos.integrations import groups_of
from gsos.peers import EstimatedGSOS, GIFLike, HyperoptTPE, OptunaTPE
from gsos.problems import PROBLEMS
from gsos.replay import KINDS, TABLES, Surface, Table
from gsos.space import Config, middle, sample
from gsos.strategy import COST_WEIGHT, GSOS, EpochSchedule, RandomSearch, Simultaneous, split_iterations
from gsos.tpe import TPE

DOMINANT = 0.5  # share of the variance of log seconds from which one hyperparameter drives the cost
COLUMNS = {
    "problem": "a table or a function",
    "family": "of tables: a key of `replay.FAMILIES`; else function",
    "strategy": "a key of STRATEGIES or of VARIANTS",
    "seed": "of the run; it also draws the recorded seeds that a table answers with, alike for all strategies",
    "evaluation": "number of the evaluation in its run, from 1",
    "regret": "true loss of what was observed as best so far, less the least there is; of a table in parts of what "
    "its mean has",
    "seconds": "of this training; of a table in parts of its mean, of a function 1",
}


class Contestant(NamedTuple):
    """A strategy: its label, and what makes one (of a problem, a number of evaluations and a seed)."""

    title: str
    make: Callable[..., object]


class Function:
    """A test function of `gsos.problems` with the interface of `replay.Table`: each evaluation is one second."""

    family, mean_seconds = "function", 1.0

    def __init__(self, name: str):
        self._problem = PROBLEMS[name]
        self.name, self.space, self.optimum = name, self._problem.space, self._problem.minimum
        self.mean = self.optimum + 1  # regret in the function's own unit
        self.seeds = range(1)

    def evaluate(self, config: Mapping[str, object], seed: int) -> tuple[float, float]:
        """(loss, seconds)."""
        return self._problem.evaluate(config), 1.0

    def truth(self, config: Mapping[str, object]) -> float:
        """The loss."""
        return self._problem.evaluate(config)


Problem = Table | Surface | Function


def open_problem(name: str) -> Problem:
    """A table, a function of `gsos.problems` or a surface ("KIND SEED") by its name. Raises ValueError for others."""
    if name in TABLES:
        return Table(name)
    if name in PROBLEMS:
        return Function(name)
    kind, _, seed = name.rpartition(" ")
    if kind not in KINDS or not seed.isdigit():
        known = ", ".join([*TABLES, *PROBLEMS, *(f"{kind} SEED" for kind in KINDS)])
        raise ValueError(f"problem must be one of {known}, not {name!r}")
    return Surface(kind, int(seed))


class _Repeating(BlockTPE):
    """Proposes a configuration again where it scores best: what the others gain by not doing so."""

    def _new(self, positions):
        config, _ = super()._new(positions[:, :1])
        return config, True


def _gsos(problem: Problem, n: int, seed: int, order: str) -> GSOS:
    groups = groups_of(problem.exact_importance().main)
    if order == "random":
        names = np.random.default_rng([seed, 3]).permutation([name for group in groups for name in group]).tolist()
        ends = np.cumsum([0, *map(len, groups)])
        groups = [names[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    groups = groups[::-1] if order == "reversed" else groups
    return GSOS(
        problem.space, groups, split_iterations(n, (4, 3, 3)[: len(groups)]), _default(problem, seed), seed=seed
    )


def _cost_schedule(problem: Problem, n: int, seed: int) -> EpochSchedule:
    groups = groups_of(problem.exact_importance().main)
    name, level = cost_driver(problem)
    defaults = _default(problem, seed) | {name: level}
    return EpochSchedule(problem.space, groups, split_iterations(n), defaults, seed=seed, name=name)


def _default(problem: Problem, seed: int) -> Config:
    return middle(problem.space, np.random.default_rng([seed, 1]))


def _blocks(problem: Problem, n: int, seed: int, **options: object) -> BlockTPE:
    return BlockTPE(problem.space, seed=seed, **options)


def _weighted(problem: Problem, n: int, seed: int, reverse: bool = False) -> BlockTPE:
    total = problem.exact_importance().total
    ranked = total.sort_values()
    weights = dict(zip(ranked.index, ranked[::-1] if reverse else ranked, strict=True))
    return BlockTPE(problem.space, weights=weights, seed=seed)


def _random_default(problem: Problem, n: int, seed: int) -> BlockTPE:
    return BlockTPE(problem.space, default=sample(problem.space, np.random.default_rng([seed, 4])), seed=seed)


def cost_driver(problem: Problem) -> tuple[str, object] | None:
    """The hyperparameter that alone explains most of the variance of a table's log seconds, and its cheapest value.

    None where that is less than DOMINANT of it, and for anything but a table.
    """
    if not isinstance(problem, Table):
        return None
    shape = [len(d.choices) for d in problem.space.values()]
    seconds = np.log(problem.seconds.mean(axis=0)).reshape(shape)
    means = [seconds.mean(axis=tuple(a for a in range(seconds.ndim) if a != axis)) for axis in range(seconds.ndim)]
    axis = int(np.argmax([mean.var() for mean in means]))
    if means[axis].var() < DOMINANT * seconds.var():
        return None
    name = list(problem.space)[axis]
    return name, problem.space[name].choices[int(means[axis].argmin())]


STRATEGIES: dict[str, Contestant] = {
    "random": Contestant("random search", lambda problem, n, seed: RandomSearch(problem.space, {}, seed=seed)),
    "hyperopt": Contestant("Hyperopt", lambda problem, n, seed: HyperoptTPE(problem.space, seed=seed)),
    "optuna independent": Contestant(
        "independent Optuna", lambda problem, n, seed: OptunaTPE(problem.space, seed=seed, multivariate=False)
    ),
    "optuna multivariate": Contestant(
        "multivariate Optuna", lambda problem, n, seed: OptunaTPE(problem.space, seed=seed, multivariate=True)
    ),
    "tpe": Contestant("our TPE", lambda problem, n, seed: Simultaneous(problem.space, n, {}, seed=seed)),
    "gsos": Contestant("GSOS, true order", partial(_gsos, order="true")),
    "gsos estimated": Contestant(
        "GSOS, estimated order", lambda problem, n, seed: EstimatedGSOS(problem.space, n, seed=seed)
    ),
    "gsos random": Contestant("GSOS, random order", partial(_gsos, order="random")),
    "gsos reversed": Contestant("GSOS, reversed order", partial(_gsos, order="reversed")),
    "cost schedule": Contestant("TPE, cost schedule", _cost_schedule),
    "gif-like": Contestant("GIF-like", lambda problem, n, seed: GIFLike(problem.space, seed=seed)),
    "blocks": Contestant("Block TPE", _blocks),
    "blocks cost": Contestant("Block TPE, cost-aware", partial(_blocks, cost_weight=COST_WEIGHT)),
}
VARIANTS: dict[str, Contestant] = {  # of Block TPE: one change each
    "independent": Contestant(
        "independent kernels", lambda problem, n, seed: TPE(problem.space, n_startup=10, quantile=0.1, seed=seed)
    ),
    "quantile .25": Contestant("quantile .25", partial(_blocks, quantile=0.25)),
    "no blocks": Contestant("no blocks", partial(_blocks, full_share=1.0)),
    "blocks only": Contestant("blocks only", partial(_blocks, full_share=0.0)),
    "repeats": Contestant("repeats allowed", lambda problem, n, seed: _Repeating(problem.space, seed=seed)),
    "random default": Contestant("random first point", _random_default),
    "15 starts": Contestant("15 random starts", partial(_blocks, n_startup=15)),
    "5 starts": Contestant("5 random starts", partial(_blocks, n_startup=5)),
    "bandwidth .05": Contestant("bandwidth .05", partial(_blocks, bandwidth=0.05)),
    "bandwidth .2": Contestant("bandwidth .2", partial(_blocks, bandwidth=0.2)),
    "weights": Contestant("blocks by true total effects", _weighted),
    "weights reversed": Contestant("blocks by reversed effects", partial(_weighted, reverse=True)),
    "cost .1": Contestant("cost weight .1", partial(_blocks, cost_weight=0.1)),
    "cost .25": Contestant("cost weight .25", partial(_blocks, cost_weight=0.25)),
    "cost 1": Contestant("cost weight 1", partial(_blocks, cost_weight=1.0)),
}


NEED_NO_TRUTH = (  # these play where exact importance is not known
    *("random", "hyperopt", "optuna independent", "optuna multivariate", "tpe", "gsos estimated", "gif-like"),
    *("blocks", "blocks cost", "repeats", "random default", "no blocks", "blocks only", "bandwidth .05"),
)


def play(problem: Problem, strategy: object, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n evaluations of a strategy. Returns regret and seconds (n,), as in COLUMNS.

    A table answers with one of its recorded seeds, drawn anew for each evaluation.
    """
    answers = np.random.default_rng([seed, 2]).integers(getattr(problem, "seeds", range(2**31))[-1] + 1, size=n)
    regret, seconds = np.empty(n), np.empty(n)
    best = np.inf
    for i, answer in enumerate(answers.tolist()):
        config = strategy.ask()
        loss, seconds[i] = problem.evaluate(config, answer)
        strategy.tell(config, loss, seconds[i])
        if loss < best:
            best, truth = loss, problem.truth(config)
        regret[i] = truth
    return (regret - problem.optimum) / (problem.mean - problem.optimum), seconds / problem.mean_seconds


def run_contest(
    problems: Sequence[str],
    strategies: Sequence[str],
    seeds: Sequence[int],
    *,
    own: Mapping[str, Callable[..., object]] | None = None,
    n: int = 100,
    store: str | Path,
    workers: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Every strategy on every problem with every seed: one row an evaluation (COLUMNS).

    strategies: keys of STRATEGIES and VARIANTS; "cost schedule" runs only where a `cost_driver` is. store: a folder,
    where each problem's runs of a strategy are a Parquet file as soon as they are done, and taken from when the same
    is asked for again. own: further strategies, run each time: name -> function of (problem, n, seed) that gives an
    object with ask() and tell(config, loss, cost); one that other processes can import, where there are several.
    workers: processes; None: one a core; 1: this one. The records do not depend on it.

    Raises ValueError for an unknown problem or strategy, and for an own strategy whose name is taken.
    """
    own, known = dict(own or {}), STRATEGIES | VARIANTS
    if unknown := [name for name in strategies if name not in known]:
        raise ValueError(f"strategies must be of {', '.join(known)}, not {unknown[0]!r}")
    if taken := own.keys() & known.keys():
        raise ValueError(f"own strategies need other names than {sorted(taken)}")
    store = Path(store)
    store.mkdir(parents=True, exist_ok=True)
    has_driver = {name: cost_driver(open_problem(name)) is not None for name in problems}
    pairs = [(p, s) for p in problems for s in [*strategies, *own] if s != "cost schedule" or has_driver[p]]
    tasks = [(p, s, own.get(s), list(seeds), n, store) for p, s in pairs]
    if workers == 1:
        return to_frame([_run_task(task) for task in tqdm(tasks, disable=not progress)])
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # so that it is imported once, not once a process
    with context.Pool(workers, initializer=_one_thread) as pool:
        parts = pool.imap(_run_task, tasks)
        frames = list(tqdm(parts, total=len(tasks), unit="strategy on a problem", disable=not progress))
    return to_frame(frames)


def to_frame(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Records as one frame with categories for names."""
    frame = pd.concat(frames, ignore_index=True)
    return frame.astype({name: "category" for name in ("problem", "family", "strategy")})


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _run_task(task: tuple[str, str, Callable[..., object] | None, list[int], int, Path]) -> pd.DataFrame:
    name, strategy, make, seeds, n, store = task
    path = store / f"{name} {strategy} {n} {zlib.crc32(repr(seeds).encode()):08x}.parquet".replace(" ", "_")
    if path.is_file() and make is None:
        return pd.read_parquet(path)
    problem, make = open_problem(name), make or (STRATEGIES | VARIANTS)[strategy].make
    runs = [play(problem, make(problem, n, seed), n, seed) for seed in seeds]
    frame = pd.DataFrame(
        {
            "problem": name,
            "family": problem.family,
            "strategy": strategy,
            "seed": np.repeat(np.array(seeds, dtype=np.int32), n),
            "evaluation": np.tile(np.arange(1, n + 1, dtype=np.int16), len(seeds)),
            "regret": np.concatenate([regret for regret, _ in runs]).round(6).astype(np.float32),
            "seconds": np.concatenate([seconds for _, seconds in runs]).round(3).astype(np.float32),
        }
    )
    part = path.with_suffix(".part")  # moved, so that a file that is there is whole
    frame.to_parquet(part)
    part.replace(path)
    return frame
