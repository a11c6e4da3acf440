"""Run strategies on a dataset, in rounds, one record an iteration (GSOS 5.4). Resumable, parallel."""

import time
from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path

import pandas as pd

from gsos.datasets import ImageDataset
from gsos.evaluation import Task, carry_out, loss, study_seed, train_seed
from gsos.space import DEFAULTS, GROUPS, SPACES, Space, is_active
from gsos.strategy import STRATEGIES, make


def run_strategy(strategy: str, dataset: ImageDataset, *, n_iterations: int, round: int, **options) -> pd.DataFrame:
    """n_iterations trial records of one round of a strategy; everything else as in `run_strategies`."""
    return run_strategies([strategy], dataset, n_iterations=n_iterations, rounds=[round], **options)


def run_strategies(
    strategies: Sequence[str],
    dataset: ImageDataset,
    *,
    n_iterations: int,
    rounds: Sequence[int],
    store: str | Path,
    study: str = "gsos",
    space: Space = SPACES["gsos"],
    defaults: Mapping[str, object] = DEFAULTS["gsos"],
    groups: Sequence[Sequence[str]] = GROUPS["gsos"],
    workers: int | None = None,
    device: str = "auto",
    seed: int = 0,
    committed: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Trial records of rounds of strategies (keys of `strategy.STRATEGIES`) on a dataset, n_iterations of each.

    Within a round trials follow one another; rounds and strategies run side by side, each training in a process of
    one thread. What `store` (a journal file or an RDB URL) holds of this study is taken as done, and so is what the
    Parquet file or folder `committed` holds; the records are the same whatever the number of workers. Strategies
    have the same seed in a round: their differences are paired by round.
    propose_seconds are CPU seconds of asking and telling.

    Raises ValueError for an unknown strategy, for groups that do not fit the space, for too few iterations, for records
    of this study that these settings would not have made, and what `evaluation.carry_out` raises.
    """
    if unknown := [name for name in strategies if name not in STRATEGIES]:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {unknown[0]!r}")
    if n_iterations < 1 or not all(r >= 0 for r in rounds):
        raise ValueError(f"n_iterations must be positive and rounds 0 or more, not {n_iterations} and {list(rounds)}")
    options = {"space": space, "defaults": defaults, "groups": groups, "n_iterations": n_iterations}

    def make_plan(rows: list[dict], _: Path | None) -> Plan:
        seeds = {r: study_seed(seed, dataset.name, f"round {r}") for r in rounds}
        done = {(row["strategy"], row["round"], row["iteration"]): row for row in rows}
        return Plan([Run(name, r, done, seed=seeds[r], **options) for r in rounds for name in strategies])

    return carry_out(
        make_plan,
        dataset,
        store=store,
        study=study,
        space=space,
        workers=workers,
        device=device,
        seed=seed,
        committed=committed,
        progress=progress,
    )


_OTHERWISE = "these are other settings, so give this study another name"


def _same(stored: object, proposed: object) -> bool:
    return isclose(stored, proposed) if isinstance(proposed, float) else stored == proposed


class Run:
    """One round of one strategy: its trials follow one another."""

    def __init__(self, name: str, round: int, done: dict, *, seed: int, n_iterations: int, space: Space, **options):
        self.name, self.round = name, round
        self.rows: list[dict] = []
        self.in_flight = False
        self._strategy = make(name, space, seed=seed, n_iterations=n_iterations, **options)
        self._seed, self._space, self._n = seed, space, n_iterations
        self._seconds = 0.0  # of telling the last trial
        if (name, round, n_iterations) in done:
            raise ValueError(
                f"the store has more than {n_iterations} iterations of {name!r}, round {round}: {_OTHERWISE}"
            )
        while self.n_missing and (row := done.get((name, round, len(self.rows)))) is not None:
            proposal = self._strategy.ask()
            if changed := [key for key in space if is_active(key, proposal) and not _same(row[key], proposal[key])]:
                raise ValueError(
                    f"the store's iteration {len(self.rows)} of {name!r}, round {round}, has {changed[0]} = "
                    f"{row[changed[0]]!r}, and now it would be {proposal[changed[0]]!r}: {_OTHERWISE}"
                )
            self.tell(row)

    @property
    def n_missing(self) -> int:
        """Iterations still to be done."""
        return self._n - len(self.rows)

    def next_task(self) -> Task:
        """The training of the next iteration."""
        start = time.thread_time()
        proposal = self._strategy.ask()
        seconds = self._seconds + time.thread_time() - start
        i = len(self.rows)
        columns = {"strategy": self.name, "round": self.round, "iteration": i, "model": i, "origin": proposal.origin}
        columns |= {"group": proposal.group, "propose_seconds": seconds}
        config = {name: value for name, value in proposal.items() if is_active(name, proposal)}
        self.in_flight = True
        return Task(columns, config, train_seed(self._seed, i))

    def tell(self, row: dict) -> None:
        """The record of the next iteration."""
        start = time.thread_time()
        config = {name: row[name] for name in self._space if is_active(name, row)}
        self._strategy.tell(config, loss(row), predicted_cost(row))
        self._seconds = time.thread_time() - start
        self.rows.append(row)
        self.in_flight = False


STEP = 1.6e7  # multiply-adds that take as long as all else in a step, on one core (fitted to trial records)


def predicted_cost(row: Mapping[str, object]) -> float | None:
    """What a training costs, in steps without arithmetic; None for one that failed, whose network is not known.

    Seconds follow it (rank correlation .97), but unlike them it is the same each time, and so are proposals that depend
    on it.
    """
    if row["state"] == "failed":
        return None
    n_train, epochs = int(row["n_train"]), int(row["epoch"])
    steps = epochs * -(-n_train // int(row["batch_size"]))
    return steps + epochs * n_train * int(row["multiply_adds"]) / STEP


class Plan:
    """What is to be trained next: of the first round that has an idle run, the run that is least advanced."""

    def __init__(self, runs: Sequence[Run]):
        self._runs = {(run.name, run.round): run for run in runs}

    @property
    def done(self) -> dict[tuple, dict]:
        """(strategy, round, iteration) -> record."""
        return {(*key, i): row for key, run in self._runs.items() for i, row in enumerate(run.rows)}

    @property
    def n_missing(self) -> int:
        """Evaluations still to be done."""
        return sum(run.n_missing for run in self._runs.values())

    def next_task(self) -> Task | None:
        """A task that can start now, None where there is none."""
        idle = [run for run in self._runs.values() if run.n_missing and not run.in_flight]
        return min(idle, key=lambda run: (run.round, len(run.rows))).next_task() if idle else None

    def tell(self, row: dict) -> None:
        """A finished evaluation."""
        self._runs[row["strategy"], row["round"]].tell(row)
