"""HIA's data generation: random search and BOHB in a ratio of 7 : 3 (HIA 4.1). Resumable, parallel."""

import time
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd

from gsos.bohb import BOHB, Proposal
from gsos.datasets import ImageDataset
from gsos.evaluation import Task, carry_out, loss, study_seed, train_seed
from gsos.space import SPACES, Space, sample

RANDOM_SHARE = (7, 10)  # HIA 4.1


def collect(
    dataset: ImageDataset,
    n: int,
    *,
    store: str | Path,
    study: str = "hia",
    space: Space = SPACES["hia"],
    workers: int | None = None,
    device: str = "auto",
    seed: int = 0,
    committed: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """n trial records on a dataset: 70 % from random search over `space`, 30 % BOHB evaluations.

    What `store` (a journal file or an RDB URL) holds of this study is taken as done, and so is what the Parquet file
    or folder `committed` holds; the rest is trained and stored one by one. The records are the same whatever the
    number of workers (default: one a core). Ray's cluster is used where RAY_ADDRESS is set.

    Raises ValueError for n below 1, and what `evaluation.carry_out` raises.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")

    def make_plan(rows: list[dict], scratch: Path | None) -> Plan:
        done = {(row["strategy"], row["iteration"]): row for row in rows}
        return Plan(n, space, done, dataset.name, seed, scratch)

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


class Plan:
    """What is to be trained next: BOHB's rung first, since the next rung waits for it, then random search."""

    def __init__(self, n: int, space: Space, done: dict, dataset_name: str, seed: int, checkpoints: Path | None):
        part, whole = RANDOM_SHARE
        n_random = (2 * part * n + whole) // (2 * whole)
        self._n = {"random": n_random, "bohb": n - n_random}
        self.done: dict[tuple[str, int], dict] = {
            (strategy, i): row for (strategy, i), row in done.items() if i < self._n.get(strategy, 0)
        }
        self._space = space
        self._seeds = {strategy: study_seed(seed, dataset_name, strategy) for strategy in self._n}
        self.checkpoints = checkpoints
        self._bohb = BOHB(space, seed=self._seeds["bohb"])
        self._random = iter(i for i in range(n_random) if ("random", i) not in self.done)
        self._rung_tasks: deque[Task] = deque()
        self._n_queued = 0  # BOHB evaluations that were queued or found done
        self._files: list[Path] = []  # weights that the rung in work goes on from
        self._next_rung()

    @property
    def n_missing(self) -> int:
        """Evaluations still to be done."""
        return sum(self._n.values()) - len(self.done)

    def next_task(self) -> Task | None:
        """A task that can start now, None where there is none."""
        if self._rung_tasks:
            return self._rung_tasks.popleft()
        i = next(self._random, None)
        if i is None:
            return None
        start = time.perf_counter()
        config = sample(self._space, np.random.default_rng(np.random.SeedSequence([self._seeds["random"], i])))
        seconds = time.perf_counter() - start
        columns = {"strategy": "random", "iteration": i, "model": i, "origin": "random", "propose_seconds": seconds}
        return Task(columns, config, train_seed(self._seeds["random"], i))

    def tell(self, row: dict) -> None:
        """A finished evaluation."""
        self.done[row["strategy"], row["iteration"]] = row
        if row["strategy"] == "bohb":
            self._next_rung()

    def _next_rung(self) -> None:
        """Go on to the first rung that lacks an evaluation, and queue what it lacks."""
        while True:
            start = time.perf_counter()
            rung = self._bohb.ask()
            seconds = (time.perf_counter() - start) / len(rung)
            wanted = [proposal for proposal in rung if proposal.iteration < self._n["bohb"]]
            missing = [proposal for proposal in wanted if ("bohb", proposal.iteration) not in self.done]
            if missing:
                if rung[0].iteration >= self._n_queued:
                    self._rung_tasks.extend(self._bohb_task(proposal, seconds) for proposal in missing)
                    self._n_queued = rung[-1].iteration + 1
                return
            for file in self._files:
                file.unlink(missing_ok=True)
            self._files = [
                file for proposal in rung if (file := self._weights(proposal.model, proposal.config["epoch"]))
            ]
            if len(wanted) < len(rung):  # the study ends within this rung
                return
            self._bohb.tell([loss(self.done["bohb", proposal.iteration]) for proposal in rung])

    def _bohb_task(self, proposal: Proposal, seconds: float) -> Task:
        i, model, origin, config = proposal
        epoch = config["epoch"]
        resume = self._weights(model, epoch // self._bohb.eta) if i != model else None
        save = self._weights(model, epoch) if epoch < self._bohb.max_budget else None
        columns = {"strategy": "bohb", "iteration": i, "model": model, "origin": origin, "propose_seconds": seconds}
        return Task(columns, config, train_seed(self._seeds["bohb"], model), resume, save)

    def _weights(self, model: int, epoch: int) -> Path | None:
        return self.checkpoints / f"{model}-{epoch}.pt" if self.checkpoints is not None else None
