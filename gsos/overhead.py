"""What TPE itself costs: the seconds spent on proposing, apart from those of the evaluations (GSOS appendix A).

Eq 8 to 11: T_iter = T_eval + T_tpe; the loss is a random number, whatever x in R^d, x_i ~ U(0, 1e6), and an evaluation
is a pause. Hyperopt and Optuna run the same loop, so that our own TPE can be judged beside what people use.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import product
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution

from gsos.strategy import N_STARTUP
from gsos.tpe import TPE

HIGH = 1e6  # Eq 10
DELAY = 0.01  # seconds that an evaluation pauses in appendix A
BANDWIDTH = 0.1  # of the plain estimator; the paper gives none

Objective = Callable[[dict], float]


class Seconds(NamedTuple):
    """Of each trial; their sum is T_iter (Eq 8)."""

    tpe: NDArray[np.float64]  # (n,) to propose, after taking up the loss before; the last one's own loss as well
    evaluation: NDArray[np.float64]  # (n,)


class Peer(NamedTuple):
    """Whose TPE."""

    title: str
    minimise: Callable[..., None]  # (objective, d, n_trials, seed, n_startup): a loop of trials


def _gsos(objective: Objective, d: int, n_trials: int, seed: int, n_startup: int, **options: object) -> None:
    tpe = TPE(_space(d), n_startup=n_startup, seed=seed, **options)
    for _ in range(n_trials):
        config = tpe.ask()
        tpe.tell(config, objective(config))


def _hyperopt(objective: Objective, d: int, n_trials: int, seed: int, n_startup: int) -> None:
    from hyperopt import fmin, hp, tpe  # slow to import, and only those who compare need it

    fmin(
        objective,
        {name: hp.uniform(name, 0, HIGH) for name in _space(d)},
        algo=partial(tpe.suggest, n_startup_jobs=n_startup),
        max_evals=n_trials,
        rstate=np.random.default_rng(seed),
        return_argmin=False,
        show_progressbar=False,
        verbose=False,
    )


def _optuna(objective: Objective, d: int, n_trials: int, seed: int, n_startup: int, **options: object) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # not that a study was made in memory
    space = _space(d)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(n_startup_trials=n_startup, seed=seed, **options))
    for _ in range(n_trials):
        trial = study.ask(space)
        study.tell(trial, objective(trial.params))


def _space(d: int) -> dict[str, FloatDistribution]:
    return {f"x{i}": FloatDistribution(0, HIGH) for i in range(1, d + 1)}


PEERS = {
    "gsos": Peer("gsos", _gsos),
    "gsos plain": Peer("gsos (plain)", partial(_gsos, estimator="plain", bandwidth=BANDWIDTH)),
    "hyperopt": Peer("Hyperopt", _hyperopt),
    "optuna": Peer("Optuna", _optuna),  # its default is multivariate
    "optuna independent": Peer("Optuna (independent)", partial(_optuna, multivariate=False)),
}


def time_trials(
    peer: str, d: int, n_trials: int, *, seed: int, delay: float = 0.0, n_startup: int = N_STARTUP
) -> Seconds:
    """The seconds of each trial of one run by a key of PEERS.

    delay: seconds that an evaluation pauses; n_startup: random trials first. All other settings are the peer's own.
    What it sets up counts in the first trial, its import and first use nowhere.

    Raises ValueError for an unknown peer, and for a d or a number of trials that is not positive.
    """
    if peer not in PEERS:
        raise ValueError(f"peer must be one of {', '.join(PEERS)}, not {peer!r}")
    if d < 1 or n_trials < 1:
        raise ValueError(f"d and n_trials must be positive, not {d} and {n_trials}")
    _warm_up(peer)
    losses = iter(np.random.default_rng(seed).random(n_trials).tolist())  # Eq 9
    begun, ended = [], []

    def evaluate(config: dict) -> float:
        begun.append(perf_counter())
        if delay:
            sleep(delay)
        loss = next(losses)
        ended.append(perf_counter())
        return loss

    with _no_garbage_collection():
        start = perf_counter()
        PEERS[peer].minimise(evaluate, d, n_trials, seed, n_startup)
        stop = perf_counter()
    seconds = np.array(begun) - [start, *ended[:-1]]
    seconds[-1] += stop - ended[-1]
    return Seconds(seconds, np.subtract(ended, begun))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """As in timeit: what a collection costs depends on all that the process holds, in a notebook a lot."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def _warm_up(peer: str) -> None:
    """The first use imports and fills caches; half of its trials are guided by a model."""
    PEERS[peer].minimise(lambda config: 0.0, 2, 20, 0, 10)


def time_runs(
    peers: Sequence[str],
    dimensions: Sequence[int],
    n_trials: int,
    *,
    repeats: int,
    seed: int,
    delay: float = 0.0,
) -> pd.DataFrame:
    """Runs of `time_trials`, one row each: peer, d, n_trials, repeat, and tpe and iter, the seconds of all its trials
    (GSOS T5, Eq 8).

    A repeat runs every peer once at every d, so that a slow minute of the machine slows all of them.
    """
    rows = []
    for repeat, d, peer in product(range(repeats), dimensions, peers):
        seconds = time_trials(peer, d, n_trials, seed=seed + repeat, delay=delay)
        tpe = seconds.tpe.sum()
        rows.append((peer, d, n_trials, repeat, tpe, tpe + seconds.evaluation.sum()))
    return pd.DataFrame(rows, columns=["peer", "d", "n_trials", "repeat", "tpe", "iter"])


def time_growth(
    peers: Sequence[str], d: int, n_told: Sequence[int], *, n_proposals: int = 5, seed: int
) -> pd.DataFrame:
    """Median seconds of a proposal after so many trials, one row each peer and number: peer, d, n_told, seconds.

    The trials before it are random, to save time: what a proposal costs depends on how many there are, not on where
    they lie.
    """

    def after(peer: str, n: int) -> float:
        return float(np.median(time_trials(peer, d, n + n_proposals, seed=seed, n_startup=n).tpe[n:]))

    rows = [(peer, d, n, after(peer, n)) for peer, n in product(peers, n_told)]
    return pd.DataFrame(rows, columns=["peer", "d", "n_told", "seconds"])
