"""Train what a plan asks for, in worker processes, and record it one by one; resumable, the same here and on Ray."""

import shutil
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import optuna
import pandas as pd
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from gsos import __version__, records
from gsos.datasets import ImageDataset
from gsos.paths import RUNS
from gsos.space import Config, Space
from gsos.training import Record, device_name, torch_device, train
from gsos.workers import default_workers, on_ray, open_pools, run


class Task(NamedTuple):
    """One training that a worker is to do."""

    columns: dict  # what its record says of it: strategy, round, iteration, origin, ...
    config: Config
    seed: int  # of the training
    resume: Path | None = None  # weights to go on from
    save: Path | None = None  # and to leave for a later training


class Plan(Protocol):
    """What is to be trained next, given what has been."""

    done: Mapping[Hashable, dict]  # the records of this plan
    n_missing: int  # evaluations still to be done

    def next_task(self) -> Task | None:
        """A task that can start now, None where there is none."""

    def tell(self, row: dict) -> None:
        """A finished evaluation."""


def carry_out(
    make_plan: Callable[[list[dict], Path | None], Plan],
    dataset: ImageDataset,
    *,
    store: str | Path,
    study: str,
    space: Space,
    workers: int | None,
    device: str,
    seed: int,
    committed: str | Path | None,
    progress: bool,
) -> pd.DataFrame:
    """The records of a plan on a dataset: those that are there already, and the rest, trained.

    make_plan(rows, scratch): the plan, told the records that `store` (a journal file or an RDB URL) or the Parquet
    file or folder `committed` has of this study, dataset and seed; scratch is a folder for weights, None on Ray.
    Trainings run in `workers` processes (default: one a core, or a CPU of the cluster of RAY_ADDRESS).

    Raises ValueError for a device that is not there or a store whose records of this study are of other images,
    RuntimeError when another process on this machine is at work on the same study (one process coordinates a study;
    other machines work for it through Ray), OSError when a record cannot be stored.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}")
    if not on_ray():
        torch_device(device)
    storage = records.open_storage(store)
    with alone(store, f"{study}-{dataset.name}".replace("/", "-")) as lock:
        optuna_study = records.open_study(storage, f"{study}/{dataset.name}")
        scratch = None if on_ray() else lock.with_name(f"{lock.stem}-{seed}.weights")
        plan = make_plan(_done(optuna_study, committed, study, dataset, seed), scratch)
        n = plan.n_missing + len(plan.done)
        bar = tqdm(total=n, initial=len(plan.done), desc=dataset.name, unit="model", disable=not progress)
        fixed = {"study": study, "dataset": dataset.name, "seed": seed, "round": 0} | describe_images(dataset)
        if plan.n_missing:
            n_workers = min(default_workers() if workers is None else workers, plan.n_missing)
            with open_pools(n_workers, load_worker, (as_arrays(dataset), device)) as pools:
                for task, result in run(train_task, plan.next_task, pools):
                    row = fixed | task.columns | task.config | result | records.stamp(version())
                    records.add(optuna_study, row, space)
                    plan.tell(row)
                    bar.update()
        bar.close()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        return records.to_frame(plan.done.values())


def study_seed(seed: int, *names: str) -> int:
    """The seed of one part of a study, so that datasets and strategies do not share their configurations."""
    return int(np.random.SeedSequence([seed, *(zlib.crc32(name.encode()) for name in names)]).generate_state(1)[0])


def train_seed(seed: int, model: int) -> int:
    """The seed of the training of a study's model, apart from the one that proposed its configuration."""
    return int(np.random.SeedSequence([seed, model], spawn_key=(1,)).generate_state(1)[0])


def loss(row: Mapping[str, object]) -> float:
    """1 - validation accuracy of a record; infinite where the training diverged or failed."""
    return 1 - row["validation_accuracy"] if row["state"] == "complete" else np.inf


def describe_images(dataset: ImageDataset) -> dict[str, int]:
    """What a record says of the images, with a checksum of those that train and validate."""
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
) -> list[dict]:
    """The records that this study has already, each once."""
    frames = [records.from_study(optuna_study)]
    if committed is not None and Path(committed).exists():
        frames.insert(0, records.load(committed))
    done, images = {}, describe_images(dataset)
    for frame in frames:
        own = (frame.study == study) & (frame.dataset == dataset.name) & (frame.seed == seed)
        for row in frame[own].to_dict("records"):
            for name, value in images.items():
                if row.get(name) != value:
                    raise ValueError(
                        f"study {study!r} has records of {dataset.name} with {name} = {row.get(name)}, not {value}: "
                        "give a study of other images another name"
                    )
            done.setdefault((row["strategy"], row["round"], row["iteration"]), row)
    return list(done.values())


@contextmanager
def alone(store: str | Path, name: str) -> Iterator[Path]:
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
            f"another process is at work on {name} in {store}; wait for it, or name another study"
        ) from error


def version() -> str:
    """What made a record."""
    return f"gsos {__version__}, torch {torch.__version__}"


_worker: tuple[ImageDataset, str]


def as_arrays(dataset: ImageDataset) -> tuple:
    """Plain arrays, since PyTorch would send its tensors through shared memory, which reaches one machine only."""
    return tuple(value.numpy() if isinstance(value, torch.Tensor) else value for value in dataset)


def from_arrays(arrays: tuple) -> ImageDataset:
    """The inverse of `as_arrays`."""
    return ImageDataset(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays))


def load_worker(arrays: tuple, device: str) -> None:
    """Makes this process a worker that trains on these images."""
    global _worker
    _worker = from_arrays(arrays), device


def train_task(task: Task) -> dict:
    """In a worker: the result columns of a task's record; an error of PyTorch becomes a failed record."""
    dataset, device = _worker
    try:
        return train(task.config, dataset, seed=task.seed, device=device, resume=task.resume, save=task.save)._asdict()
    except (RuntimeError, MemoryError) as error:
        if "CUDA error" in str(error):  # the device is lost to this process: no model of it could be trained any more
            raise
        failed = {"state": "failed", "error": f"{type(error).__name__}: {error}"[:500], "epochs_trained": 0}
        return dict.fromkeys(Record._fields) | failed | {"device": device_name(torch_device(device))}
