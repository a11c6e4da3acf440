"""Run HGD's experiments side by side, each on a Ray of its own with one CPU, and keep the reports of those done."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

import pandas as pd
import ray
from tqdm import tqdm

from gsos import records
from gsos.datasets import ImageDataset
from gsos.evaluation import alone, as_arrays, describe_images, version
from gsos.records import Column
from gsos.schedulers import POPULATION, Experiment, run_experiment, settings
from gsos.training import device_name, torch_device
from gsos.workers import default_workers, on_ray, open_pools, run

COLUMNS: list[Column] = [
    Column("study", "string", "", "what was run and at which sizes, such as hgd-quick", "key"),
    Column("case", "string", "", "the case study whose domains are searched (HGD T2)", "key"),
    Column("dataset", "string", "", "name in `datasets`", "key"),
    Column("algorithm", "string", "", "one of `schedulers.ALGORITHMS`", "key"),
    Column("variant", "string", "", "one of `schedulers.VARIANTS`", "key"),
    Column("run", "int64", "", "repetition, from 0; all algorithms and variants share its seed", "key"),
    Column("report", "int64", "", "number of the report in its experiment, from 0", "key"),
    Column("trial", "int64", "", "number of the model in its experiment, from 0", "data"),
    Column("epoch", "int64", "epochs", "passes that these weights have seen", "data"),
    Column("copied_from", "int64", "", "trial whose weights it took over before this epoch, else -1", "data"),
    *(Column(f"num_filters_{i}", "int64", "filters", f"of layer {i}", "hyperparameter") for i in (1, 2, 3)),
    *(Column(f"num_fc_units_{i}", "int64", "units", f"of hidden layer {i}", "hyperparameter") for i in (1, 2)),
    Column("batch_size", "int64", "images", "images a step", "hyperparameter"),
    Column("lr", "float64", "", "learning rate at the epoch's end, searched, learnt or fixed", "hyperparameter"),
    Column("momentum", "float64", "", "momentum at the epoch's end, searched, learnt or fixed", "hyperparameter"),
    Column("state", "string", "", "complete, diverged (not finite: accuracy 0) or failed (an error)", "result"),
    Column("loss", "float64", "nats", "mean cross-entropy of the epoch's batches; may not be finite", "result"),
    Column("validation_accuracy", "float64", "", "share of validation images, in [0, 1]", "result"),
    Column("multiply_adds", "int64", "", "multiply-adds of one image's forward pass", "result"),
    Column("images", "int64", "images", "trained on up to this report, all models together", "cost"),
    Column("train_seconds", "float64", "s", "CPU or device seconds of training up to this report", "cost"),
    Column("seconds", "float64", "s", "by the clock, since the experiment began", "cost"),
    Column("budget", "float64", "s", "seconds of training that the experiment has", "data"),
    Column("max_epochs", "int64", "epochs", "of a model, where the algorithm sets an end", "data"),
    Column("width_divisor", "int64", "", "of the layer widths of HGD T2", "data"),
    Column("seed", "int64", "", "of the run", "data"),
    Column("settings", "string", "", "what the paper leaves open (`schedulers.settings`)", "data"),
    Column("n_train", "int64", "images", "training images", "data"),
    Column("n_valid", "int64", "images", "validation images", "data"),
    Column("image_size", "int64", "pixels", "height of the images", "data"),
    Column("in_channel_num", "int64", "channels", "colour channels of the images", "data"),
    Column("n_classes", "int64", "classes", "classes of the dataset", "data"),
    Column("images_crc32", "int64", "", "checksum of the training and validation images and their labels", "data"),
    Column("device", "string", "", "cpu, or the name of the CUDA device", "provenance"),
    Column("version", "string", "", "versions of gsos, PyTorch and Ray", "provenance"),
    Column("finished", "string", "UTC", "when the experiment ended", "provenance"),
]
KEY = [column.name for column in COLUMNS if column.kind == "key"]
_EXPERIMENT = KEY[:-1]

_ATTEMPTS = 3  # to start Ray, which gives itself 30 s: too few on a busy machine
_PATIENCE = 10.0  # seconds for Ray to end
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # silent, as verbose=0 asks
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",  # all are there: cuda:1 is no longer that where 0 is hidden
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # not 15, with which all else that runs comes first
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the reports are collected, not logged in three formats
    "TUNE_GLOBAL_CHECKPOINT_S": "10",  # seconds between two snapshots of an experiment
    "TUNE_MAX_PENDING_TRIALS_PG": str(POPULATION),  # 200 by default, each with a request for a process
}


def run_experiments(
    experiments: Sequence[Experiment],
    images: Mapping[str, ImageDataset],
    *,
    store: str | Path,
    study: str = "hgd",
    workers: int | None = None,
    device: str = "auto",
    committed: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """The reports of experiments, one row each (COLUMNS): of those done already, and of the rest, which are run.

    images: dataset name -> images. store: a folder; a finished experiment is a Parquet file there, and an unfinished
    one goes on where it stopped. What the Parquet file or folder `committed` has is taken as done too.
    `workers` experiments run side by side, each in a process with a Ray of its own that has one CPU. Default: one a
    core, or a CPU of the cluster of RAY_ADDRESS; on a CUDA device here one, since shared seconds are longer.
    Nothing else depends on how many there are: the same seed gives the same reports in the same order, and the clock
    alone decides how far a budget of seconds reaches.

    Raises ValueError for an unknown case, algorithm or variant, a dataset without images, two experiments of one name,
    a device that is not there and stored reports of other settings, RuntimeError when another process is at work on
    the study, when Ray cannot be started and when a trial ended in an error.
    """
    _check(experiments, images)
    if not on_ray():
        torch_device(device)
    store = Path(store).resolve()
    with alone(store, study):
        done = _done(experiments, images, store, study, committed)
        missing = [experiment for experiment in experiments if experiment not in done]
        bar = tqdm(total=len(experiments), initial=len(done), desc=study, unit="experiment", disable=not progress)
        if missing:
            n_workers = min(_n_workers(device) if workers is None else workers, len(missing))
            arrays = {name: as_arrays(dataset) for name, dataset in images.items()}
            tasks = iter(missing)
            with open_pools(n_workers, load_runner, (arrays, store / f"{study}.unfinished", device)) as pools:
                for experiment, (reports, provenance) in run(run_task, lambda: next(tasks, None), pools):
                    common = _columns(experiment, study, images[experiment.dataset]) | provenance
                    done[experiment] = to_frame([reports.assign(report=range(len(reports)), **common)])
                    records.export(done[experiment], store / f"{study}-{experiment.name}.parquet")
                    bar.update()
        bar.close()
    return to_frame([done[experiment] for experiment in experiments])


def _n_workers(device: str) -> int:
    return default_workers() if on_ray() or torch_device(device).type == "cpu" else 1


def to_frame(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames of reports as one, typed, sorted by experiment and report."""
    frame = pd.concat(frames, ignore_index=True).astype({column.name: column.dtype for column in COLUMNS})
    return frame[[column.name for column in COLUMNS]].sort_values(KEY, ignore_index=True)


def load(source: str | Path) -> pd.DataFrame:
    """Reports from a Parquet file, or from all Parquet files of a folder. Raises ValueError where there are none."""
    paths = sorted(Path(source).glob("*.parquet")) if Path(source).is_dir() else [Path(source)]
    if not paths or not paths[0].is_file():
        raise ValueError(f"there are no reports at {source}")
    return to_frame([pd.read_parquet(path) for path in paths])


def _check(experiments: Sequence[Experiment], images: Mapping[str, ImageDataset]) -> None:
    names = set()
    for experiment in experiments:
        experiment.check()
        if experiment.dataset not in images:
            raise ValueError(f"there are images of {', '.join(images)}, not of {experiment.dataset!r}")
        if experiment.name in names:
            raise ValueError(f"two experiments are named {experiment.name}: give one of them another run")
        names.add(experiment.name)


def _columns(experiment: Experiment, study: str, dataset: ImageDataset) -> dict[str, object]:
    """What all reports of an experiment have in common."""
    described = describe_images(dataset)
    text = ", ".join(f"{name} {value:g}" for name, value in settings().value.items())
    common = experiment._asdict() | described | {"study": study, "settings": text}
    return {column.name: common[column.name] for column in COLUMNS if column.name in common}


def _done(
    experiments: Sequence[Experiment],
    images: Mapping[str, ImageDataset],
    store: Path,
    study: str,
    committed: str | Path | None,
) -> dict[Experiment, pd.DataFrame]:
    """The experiments that ended already. Raises ValueError where their settings were others."""
    stored = {}
    if committed is not None and Path(committed).exists():
        stored = dict(iter(load(committed).groupby(_EXPERIMENT)))
    found = {}
    for experiment in experiments:
        path = store / f"{study}-{experiment.name}.parquet"
        frame = load(path) if path.is_file() else stored.get((study, *experiment[:5]))
        if frame is None:
            continue
        for name, value in _columns(experiment, study, images[experiment.dataset]).items():
            if frame[name].iloc[0] != value:
                raise ValueError(
                    f"study {study!r} has reports of {experiment.name} with {name} = {frame[name].iloc[0]}, not "
                    f"{value}: give a study of other settings another name"
                )
        found[experiment] = frame
    return found


_runner: tuple[dict[str, tuple], Path, str]  # images, folder, device


def load_runner(arrays: dict[str, tuple], folder: Path, device: str) -> None:
    """Makes this process one that runs experiments on these images, and that ends with the one that started it."""
    global _runner
    _runner = arrays, folder, device
    if parent := multiprocessing.parent_process():  # None in a worker of a cluster, which Ray ends
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)  # so that Ray ends first: it would leave two of its processes for a minute
    time.sleep(_PATIENCE)
    os._exit(1)


def run_task(experiment: Experiment) -> tuple[pd.DataFrame, dict[str, str]]:
    """In a worker: the reports of an experiment, and their provenance. A worker of a cluster has a child do it: one
    process can be connected to one Ray only."""
    if ray.is_initialized() and ray.get_runtime_context().get_actor_id():
        return _child().submit(_run_here, experiment).result()
    return _run_here(experiment)


@cache
def _child() -> ProcessPoolExecutor:  # not a Pool, whose process Ray would hang where it kills both
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), load_runner, _runner)


def _run_here(experiment: Experiment) -> tuple[pd.DataFrame, dict[str, str]]:
    start_ray()
    arrays, folder, name = _runner
    device = torch_device(name)
    reports = run_experiment(experiment, arrays[experiment.dataset], folder, str(device))
    return reports, {"device": device_name(device)} | records.stamp(f"{version()}, ray {ray.__version__}")


def start_ray() -> None:
    """Connects this process to a Ray of its own with one CPU, that ends with it; nothing where it has one already.

    Raises RuntimeError where Ray cannot be started.
    """
    if ray.is_initialized():
        return
    os.environ.pop("RAY_ADDRESS", None)
    os.environ |= _ENVIRONMENT | os.environ  # what is set already holds
    for attempt in range(_ATTEMPTS):
        try:
            ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
            break
        except Exception as error:  # Ray raises many kinds
            ray.shutdown()
            if attempt == _ATTEMPTS - 1:
                raise RuntimeError(
                    f"Ray could not be started on this machine ({type(error).__name__}: {error})"
                ) from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends Ray too, below; Ray's own handler prints a trace
    Finalize(None, ray.shutdown, exitpriority=100)
