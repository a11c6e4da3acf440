"""HIA's data generation: random search and BOHB in a ratio of 7 : 3 (HIA 4.1). Resumable, parallel."""

import shutil
import time
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from gsos import __version__, records
from gsos.bohb import BOHB, Proposal
from gsos.datasets import ImageDataset
from gsos.paths import RUNS
from gsos.space import SPACES, Config, Space, sample
from gsos.training import Record, device_name, torch_device, train
from gsos.workers import default_workers, on_ray, open_pools, run

RANDOM_SHARE = (7, 10)  # HIA 4.1


class Task(NamedTuple):
    """One training that a worker is to do."""

    strategy: str
    iteration: int
    model: int
    origin: str
    config: Config
    seed: int  # of the training
    propose_seconds: float
    resume: Path | None  # weights to go on from
    save: Path | None  # and to leave for the next rung


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

    Raises ValueError for a device that is not there or a store whose records of this study are of other images,
    RuntimeError when another process on this machine collects into the same study (one process coordinates a study;
    other machines work for it through Ray), OSError when a record cannot be stored.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}")
    if not on_ray():
        torch_device(device)
    storage = records.open_storage(store)
    with _alone(store, f"{study}-{dataset.name}".replace("/", "-")) as lock:
        optuna_study = records.open_study(storage, f"{study}/{dataset.name}")
        done = _done(optuna_study, committed, study, dataset, seed)
        weights = None if on_ray() else lock.with_name(f"{lock.stem}-{seed}.weights")
        plan = Plan(n, space, done, dataset.name, seed, weights)
        bar = tqdm(total=n, initial=len(plan.done), desc=dataset.name, unit="model", disable=not progress)
        fixed = {"study": study, "dataset": dataset.name, "seed": seed, "round": 0} | _describe_images(dataset)
        if plan.n_missing:
            n_workers = min(default_workers() if workers is None else workers, plan.n_missing)
            with open_pools(n_workers, _load_worker, (_as_arrays(dataset), device)) as pools:
                for task, result in run(_train, plan.next_task, pools):
                    row = fixed | _describe(task) | result | records.stamp(_version())
                    records.add(optuna_study, row, space)
                    plan.tell(row)
                    bar.update()
        bar.close()
        if plan.checkpoints is not None:
            shutil.rmtree(plan.checkpoints, ignore_errors=True)
        return records.to_frame(plan.done.values())


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
        return Task("random", i, i, "random", config, self._train_seed("random", i), seconds, None, None)

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
            self._bohb.tell([_loss(self.done["bohb", proposal.iteration]) for proposal in rung])

    def _bohb_task(self, proposal: Proposal, seconds: float) -> Task:
        i, model, origin, config = proposal
        epoch = config["epoch"]
        resume = self._weights(model, epoch // self._bohb.eta) if i != model else None
        save = self._weights(model, epoch) if epoch < self._bohb.max_budget else None
        return Task("bohb", i, model, origin, config, self._train_seed("bohb", model), seconds, resume, save)

    def _weights(self, model: int, epoch: int) -> Path | None:
        return self.checkpoints / f"{model}-{epoch}.pt" if self.checkpoints is not None else None

    def _train_seed(self, strategy: str, model: int) -> int:
        sequence = np.random.SeedSequence([self._seeds[strategy], model], spawn_key=(1,))
        return int(sequence.generate_state(1)[0])


def study_seed(seed: int, *names: str) -> int:
    """The seed of one part of a study, so that datasets and strategies do not share their configurations."""
    return int(np.random.SeedSequence([seed, *(zlib.crc32(name.encode()) for name in names)]).generate_state(1)[0])


def _loss(row: dict) -> float:
    return 1 - row["validation_accuracy"] if row["state"] == "complete" else np.inf


def _describe(task: Task) -> dict:
    columns = ("strategy", "iteration", "model", "origin", "propose_seconds")
    return {name: getattr(task, name) for name in columns} | task.config


def _describe_images(dataset: ImageDataset) -> dict[str, int]:
    channels, height, _ = dataset.image_shape
    checksum = 0
    for tensor in (dataset.x_train, dataset.y_train, dataset.x_valid, dataset.y_valid):
        checksum = zlib.crc32(tensor.contiguous().numpy(), checksum)
    return {
        "n_train": len(dataset.y_train),
        "n_valid": len(dataset.y_valid),
        "n_test": len(dataset.y_test),
        "in_channel_num": channels,
        "image_size": height,
        "n_classes": dataset.n_classes,
        "images_crc32": checksum,
    }


def _done(
    optuna_study: optuna.Study, committed: str | Path | None, study: str, dataset: ImageDataset, seed: int
) -> dict[tuple[str, int], dict]:
    """(strategy, iteration) -> the record, of those that this study has already."""
    frames = [records.from_study(optuna_study)]
    if committed is not None and Path(committed).exists():
        frames.insert(0, records.load(committed))
    done, images = {}, _describe_images(dataset)
    for frame in frames:
        own = (frame.study == study) & (frame.dataset == dataset.name) & (frame.seed == seed)
        for row in frame[own].to_dict("records"):
            for name, value in images.items():
                if row.get(name) != value:
                    raise ValueError(
                        f"study {study!r} has records of {dataset.name} with {name} = {row.get(name)}, not {value}: "
                        "give a study of other images another name"
                    )
            done.setdefault((row["strategy"], row["iteration"]), row)
    return done


@contextmanager
def _alone(store: str | Path, name: str) -> Iterator[Path]:
    """Keeps a second process of this machine from the same study in the same store; gives the lock's path."""
    if "://" in str(store):
        place = RUNS / f"database-{zlib.crc32(str(store).encode()):08x}"
    else:
        place = Path(store)
    lock = place.with_name(f"{place.name}.{name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            yield lock
    except Timeout as error:
        raise RuntimeError(
            f"another process is collecting {name} into {store}; wait for it, or name another study"
        ) from error


def _version() -> str:
    return f"gsos {__version__}, torch {torch.__version__}"


_worker: tuple[ImageDataset, str]


def _as_arrays(dataset: ImageDataset) -> tuple:
    """Plain arrays, since PyTorch would send its tensors through shared memory, which reaches one machine only."""
    return tuple(value.numpy() if isinstance(value, torch.Tensor) else value for value in dataset)


def _load_worker(arrays: tuple, device: str) -> None:
    global _worker
    dataset = ImageDataset(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays))
    _worker = dataset, device


def _train(task: Task) -> dict:
    """In a worker: the result columns of a task's record; an error of PyTorch becomes a failed record."""
    dataset, device = _worker
    try:
        return train(task.config, dataset, seed=task.seed, device=device, resume=task.resume, save=task.save)._asdict()
    except (RuntimeError, MemoryError) as error:
        if "CUDA error" in str(error):  # the device is lost to this process: no model of it could be trained any more
            raise
        failed = {"state": "failed", "error": f"{type(error).__name__}: {error}"[:500], "epochs_trained": 0}
        return dict.fromkeys(Record._fields) | failed | {"device": device_name(torch_device(device))}
